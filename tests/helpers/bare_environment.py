"""A Python environment that holds this package and a few named distributions with what they need, and nothing else."""

import os
import subprocess
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import lindyn as ld


def python_with(folder: Path, *distributions: str) -> Path:
    """Make the environment in a folder, without the network, and return its interpreter.

    The distributions are linked from the environment that runs the tests, each with what its record lists.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    for name in _with_needs(distributions):
        for top in {Path(file).parts[0] for file in metadata.files(name) or ()} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(str(metadata.distribution(name).locate_file(top))))
    (site / "lindyn").symlink_to(Path(ld.__file__).parent)
    return python


def _with_needs(distributions: tuple[str, ...]) -> set[str]:
    """Return distributions and, without their extras, what they require."""
    found: set[str] = set()
    ahead = [*distributions]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            needs = map(Requirement, metadata.requires(name) or ())
            ahead += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found


def run_in(python: Path, code: str) -> str:
    """Run code in such an environment, seeing nothing of this one; return what it prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([python, "-W", "error", "-c", code], capture_output=True, text=True, check=False, env=clean)
    assert done.returncode == 0, done.stderr
    return done.stdout
