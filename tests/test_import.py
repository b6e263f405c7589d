"""Importing the package stays light and changes nothing for others; its commands load what they need and no more."""

import importlib.util
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lindyn

ROOMS = {m.name for m in pkgutil.iter_modules(lindyn.__path__)} - {"_version", "__main__", "cli", "support"}
# what a user of every kind needs every day; anything else has its address in a room
EVERY_DAY = """
SpikedMatrix Regression Completion CustomCost PowerLaw TwoLayer DeepLinear Dynamics Mixed Lazy Balanced
GradientDescent Flow ClosedForm Trajectory
simulate compare predict predict_factors phase_diagram advise inspect reproduce cite
InvalidArgument StabilityWarning __version__ laws observables starts
"""

HEAVY = ("jax", "diffrax", "equinox", "optax", "xarray", "zarr", "pandas", "matplotlib", "torch", "scipy")
EXTRAS = ("sklearn", "dask", "distributed", "adaptive", "safetensors", "peft", "transformers")


def run_python(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_package_loads_nothing_heavy_until_it_is_used():
    loaded = run_python("import sys, lindyn, lindyn.cli\nprint(*sys.modules)")
    assert not {*HEAVY, *EXTRAS, "numpy", "jaxtyping", "rich"} & {*loaded}
    assert not {*run_python("import sys, lindyn\nprint(*sys.modules)")} & {"typer", "numpy"}


COMMANDS = [
    ["--help"],
    ["--version"],
    ["simulate", "--help"],
    ["phase-diagram", "-h"],
    ["regime", "--dim", "50", "--rank", "2", "--variance-exponent", "-1.85", "--width-exponent", "2.25"],
    ["regime", "--threshold", "2", "--singular-values", "8,3,1", "--json"],
    ["predict", "--dim", "50", "--rank", "2", "--variance", "1e-5", "--width", "1e5"],
    ["advise", "--dim", "50", "--rank", "2"],
    ["advise", "--dim", "50", "--rank", "2", "--width", "4", "--json"],
    ["inspect", "no-such-file"],
    ["regime", "--dim", "50"],
]


@pytest.mark.slow
def test_commands_that_need_no_jax_do_not_load_it():
    code = f"""
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from lindyn.cli import main
codes = []
for arguments in {COMMANDS!r}:
    sys.argv = ["lindyn", *arguments]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        try:
            main()
            codes.append(0)
        except SystemExit as stop:
            codes.append(stop.code)
print(*codes, *sys.modules)
"""
    out = run_python(code)
    assert out[: len(COMMANDS)] == ["0"] * 9 + ["2"] * 2  # the last two are refused
    assert not {*HEAVY, *EXTRAS} & {*out}


def test_help_loads_no_numpy_either():
    code = "import sys\nsys.argv = ['lindyn', '--help']\nfrom lindyn.cli import main\ntry: main()\nexcept SystemExit: "
    assert "numpy" not in run_python(code + "print(*sys.modules)")


def test_regime_loads_little_beside_numpy_and_its_command_line():
    code = f"import sys\nsys.argv = {['lindyn', *COMMANDS[4]]!r}\nfrom lindyn.cli import main\ntry: main()\n"
    loaded = run_python(code + "except SystemExit: pass\nprint(*sys.modules)")
    assert "lindyn.prediction.regimes" in loaded
    assert not {*HEAVY, "jaxtyping", "numpy.ma", "unittest.mock"} & {*loaded}


@pytest.mark.slow
def test_a_run_in_double_precision_flips_no_global_flag_and_loads_no_extras():
    seen = run_python(
        "import sys, lindyn as ld, jax, jax.numpy as jnp\n"
        "modules = sorted(sys.modules)\n"
        "task = ld.SpikedMatrix(dim=4, rank=1)\n"
        "run = ld.simulate(ld.TwoLayer.gaussian(4, 100, 0.01), task, ld.GradientDescent(steps=2))\n"
        "print(run.info.dtype, jax.config.jax_enable_x64, jnp.ones(1).dtype, *modules)"
    )
    assert seen[:3] == ["float64", "False", "float32"]
    assert not {"matplotlib", "torch", *EXTRAS} & {*seen}


def test_the_names_at_the_top_are_these_and_the_rooms():
    assert {*lindyn.__all__} == {*EVERY_DAY.split()} | ROOMS
    assert all(hasattr(lindyn, name) for name in lindyn.__all__)


def test_every_room_is_reached_without_an_import_of_its_own():
    loaded = run_python(f"import lindyn as ld\nfor room in {sorted(ROOMS)}: print(getattr(ld, room).__name__)")
    assert loaded == [f"lindyn.{room}" for room in sorted(ROOMS)]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_every_name_of_a_room_is_there(room):
    module = getattr(lindyn, room)
    assert module.__all__
    assert all(hasattr(module, name) for name in module.__all__)


def addresses():
    """What documents call ld.… or lindyn.…, and what docstrings and messages call `lindyn.…`; file → addresses."""
    root = Path(lindyn.__file__).parents[2]
    pages = [root / "README.md", *(root / "docs").glob("*.md"), *(root / "docs/papers").glob("*.md")]
    files = [(page, r"(?<![\w./])(?:ld|lindyn)((?:\.[A-Za-z_]\w*)+)") for page in pages]
    files += [(file, r"`lindyn((?:\.[A-Za-z_]\w*)+)") for file in Path(lindyn.__file__).parent.rglob("*.py")]
    for path, pattern in files:
        for found in re.findall(pattern, path.read_text(encoding="utf-8")):
            yield path.name, found[1:].split(".")


@pytest.mark.slow
def test_every_address_that_is_written_somewhere_exists():
    missing = set()
    for file, parts in addresses():
        value = lindyn
        for k, name in enumerate(parts[:2]):  # a third is an attribute of a class: fields have none
            try:
                value = getattr(value, name)
            except AttributeError:
                if importlib.util.find_spec(".".join(["lindyn", *parts[: k + 1]])) is None:
                    missing.add((file, ".".join(parts)))
                break
    assert missing == set()
