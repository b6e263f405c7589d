"""The phase diagram: rows of the grid, computed one after the other and stored as they come."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lindyn.phase_diagram.settings import DiagramSettings
from lindyn.phase_diagram.sources import row
from lindyn.phase_diagram.store import DiskStore, MemoryStore
from lindyn.progress import Progress

if TYPE_CHECKING:
    import xarray


def phase_diagram(
    settings: DiagramSettings, *, path: str | Path | None = None, progress: bool | None = None
) -> xarray.Dataset:
    """Compute training as a function of (variance, width), by theory or by exact simulation.

    Args:
        settings: grid, tasks, training and sources; `figure2()` gives the published ones.
        path: a zarr folder. Rows are written as they are done; the same call again resumes where it stopped, and
            other settings on it are refused by name. Left out, the diagram lives in memory.
        progress: show a progress bar; left out, only on a terminal.

    Returns:
        A dataset with dimensions (source, seed, width_exponent, variance_exponent): smallest test error, stable rank
        and active modes there, steps until it, last step, train error, learning rate, and the largest distance
        between descent and formula (where both are sources).

    Raises:
        InvalidArgument: settings that cannot be used, or that differ from those of the folder.
        ValueError: the folder holds something else.

    References:
        theory sections 4 and 5.

    Examples:
        >>> from lindyn.phase_diagram import DiagramSettings, phase_diagram
        >>> settings = DiagramSettings(
        ...     variance_exponents=(-2.0, -1.0), width_exponents=(1.5, 2.0, 2.5), shape=200, rank=5
        ... )
        >>> phase_diagram(settings)["min_test_error"].sizes["width_exponent"]
        3
    """
    store = MemoryStore(settings) if path is None else DiskStore(settings, path)
    pending = list(store.pending())
    with Progress("phase diagram", len(pending), progress) as bar:
        for done, (seed, number) in enumerate(pending, start=1):
            store.write(seed, number, row(settings, settings.sources, settings.seeds[seed], number))
            bar.update(done)
    return store.dataset
