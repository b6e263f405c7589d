"""The phase diagram: units of the grid, computed by an engine and stored as they come."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lindyn.diagrams.chunks import Unit, Work
from lindyn.diagrams.executors import Engine, choose_engine
from lindyn.diagrams.grid import Found, GridSettings
from lindyn.diagrams.store import DiskStore, MemoryStore
from lindyn.support.checks import InvalidArgument, one_line, shown
from lindyn.support.progress import Progress

if TYPE_CHECKING:
    import xarray

ATTEMPTS = 3


def phase_diagram(
    settings: GridSettings,
    *,
    path: str | Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    lanes: int | None = None,
    progress: bool | None = None,
) -> xarray.Dataset:
    """Compute training as a function of (variance, width), by theory or by exact simulation.

    Args:
        settings: grid, tasks, training and sources: `DiagramSettings` (`figure2()` gives the published ones), or
            `PortraitSettings`, whose axes are the learning rate and the richness.
        path: a zarr folder. Units of the grid are written as they are done; the same call again resumes where it
            stopped, and other settings on it are refused by name. Left out, the diagram lives in memory.
        workers: local processes, one thread each (needs `lindyn[cluster]`); left out, this process does it all.
        dask: address of a running Dask scheduler, instead.
        lanes: simulated cells that run side by side in one process; left out, 1 on a CPU, where products of one cell
            are fastest, and as many as a quarter of the free memory holds on a GPU.
        progress: show a progress bar; left out, only on a terminal.

    Returns:
        A dataset with dimensions (source, seed, width_exponent, variance_exponent), of a portrait (source, seed,
        learning_rate, richness), with the quantities that `settings.quantities` describes; status (0 missing, 1 done,
        2 failed, 3 ended by the largest number of steps) and the reason of a failure.

    Raises:
        InvalidArgument: settings that cannot be used, or that differ from those of the folder, or a folder that
            holds something else.
        OSError: the folder cannot be written, or another process writes it; what is done is kept.

    References:
        theory sections 4 and 5.

    Examples:
        >>> from lindyn.diagrams import DiagramSettings, phase_diagram
        >>> settings = DiagramSettings(
        ...     variance_exponents=(-2.0, -1.0), width_exponents=(1.5, 2.0, 2.5), shape=200, rank=5
        ... )
        >>> phase_diagram(settings)["min_test_error"].sizes["width_exponent"]
        3
    """
    if not isinstance(settings, GridSettings):
        raise InvalidArgument(
            "settings",
            "be DiagramSettings or PortraitSettings",
            f"it is {shown(settings)}",
            "call `figure2()` for the published ones",
        )
    engine = choose_engine(settings, workers=workers, dask=dask, lanes=lanes)
    with MemoryStore(settings) if path is None else DiskStore(settings, path) as store:
        if any(store.pending()):
            with engine:  # what keeps the engine from starting leaves no folder behind
                store.prepare()
                pending = list(store.pending())
                with Progress("phase diagram", len(pending), progress) as bar:
                    _fill(settings, store, pending, engine, bar)
        return settings.described(store.dataset)


def _fill(settings: GridSettings, store: MemoryStore, units: list[Unit], engine: Engine, bar: Progress) -> None:
    """Compute units; one that fails is tried cell by cell, and a cell that fails three times is recorded."""
    queue = deque(Work(unit) for unit in units)
    singles: dict[Unit, dict[int, Found]] = {}
    done = 0
    for work, outcome in engine.stream(settings, queue):
        if isinstance(outcome, InvalidArgument):
            raise outcome
        if isinstance(outcome, Exception) and work.failures + 1 < ATTEMPTS:
            queue.extend(work.again(settings))
            continue
        found = _failed(settings, outcome) if isinstance(outcome, Exception) else outcome
        if work.cell is not None:
            cells = singles.setdefault(work.unit, {})
            cells[work.cell] = found
            if len(cells) < work.unit.cells(settings):
                continue
            found = _joined(singles.pop(work.unit))
        store.write(work.unit, found)
        done += 1
        bar.update(done)


def _failed(settings: GridSettings, error: Exception) -> Found:
    reason = f"failed {ATTEMPTS} times, at last with {one_line(error)}"
    nothing = {name: np.full(1, np.nan) for name in settings.quantities}
    return {source: {**nothing, "reason": np.array([reason], dtype=object)} for source in settings.sources}


def _joined(cells: dict[int, Found]) -> Found:
    ordered = [cells[k] for k in sorted(cells)]
    return {
        source: {name: np.concatenate([cell[source][name] for cell in ordered]) for name in quantities}
        for source, quantities in ordered[0].items()
    }
