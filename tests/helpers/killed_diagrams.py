"""A process that is killed at many moments while it writes a diagram, and resumed: does anything show?

Run as a script, with a folder and a seed. Each run is a fork of this process, which has imported the package and used
nothing of JAX; the numbers of a cell are made from its place, so that all time goes into writing.
"""

import os
import signal
import sys
from pathlib import Path

import dask.array  # noqa: F401
import filelock  # noqa: F401
import numpy as np
import psutil  # noqa: F401
import xarray  # noqa: F401
import zarr.codecs  # noqa: F401 (all that a run imports, so that no fork imports it again)

from lindyn.diagrams import DiagramSettings, phase_diagram
from lindyn.diagrams.chunks import Work
from lindyn.support.labels import OF_CELLS

SETTINGS = DiagramSettings(
    variance_exponents=(-2.5, -1.5, -0.5), width_exponents=(0.0, 2.5), shape=(20, 24), rank=2,
    seeds=(0, 1), sources=("descend",), steps=60,
)  # fmt: skip


def made_up(work, settings, lanes):
    """Numbers that tell cells and quantities apart, in place of a simulation."""
    cells = np.arange(work.unit.cells(settings)) + 100.0 * work.unit.first + 1000.0 * work.unit.seed
    return {
        source: {name: cells + 0.01 * k for k, name in enumerate(OF_CELLS)}
        | {"reason": np.full(len(cells), "", object)}
        for source in settings.sources
    }


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in Path(root).rglob("*") if p.is_file()}


def run(path, moment=None):
    """Write the diagram in a process of its own, killed before its change number `moment` of the file system.

    Returns the number of changes that it made, or None if it was killed.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def watch(event, arguments):
            nonlocal count
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir"):
                count += 1
                if count == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        phase_diagram(SETTINGS, path=path)
        os.write(write, str(count).encode())
        os._exit(0)
    os.close(write)
    told = os.read(read, 100)
    os.close(read)
    os.waitpid(child, 0)
    return int(told) if told else None


def main(home, seed):
    Work.compute = made_up
    total = run(home / "whole.zarr")
    whole = contents(home / "whole.zarr")
    moments = sorted(np.random.default_rng(seed).choice(np.arange(1, total), 20, replace=False).tolist())
    for moment in moments:
        path = home / f"killed_{moment}.zarr"
        killed = run(path, moment) is None
        resumed = run(path) is not None
        same = contents(path) == whole
        left = [p.name for p in home.glob(f".{path.name}*") if not p.name.endswith(".lock")]
        told = f"moment {moment} of {total}: killed {killed}, resumed {resumed}, same bytes {same}, left behind {left}"
        sys.stdout.write(told + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
