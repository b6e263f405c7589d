"""Units of a grid, the pieces in which it is computed and stored, and what is to be done of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lindyn.diagrams.settings import DiagramSettings
from lindyn.diagrams.sources import SIMULATED, Found, compute
from lindyn.support.checks import InvalidArgument, one_line

_PREDICTED_CELLS = 100_000  # of a unit of prediction; of a simulation one row is a unit


class Unit(NamedTuple):
    """Rows (width exponents) `first` to `stop` of the diagram of one seed, by their numbers."""

    seed: int
    first: int
    stop: int

    def cells(self, settings: DiagramSettings) -> int:
        """Return the number of cells."""
        return (self.stop - self.first) * len(settings.variance_exponents)


def rows_of_a_unit(settings: DiagramSettings) -> int:
    """Return how many rows make a unit: one that is simulated, many that are predicted."""
    if any(source in SIMULATED for source in settings.sources):
        return 1
    return min(len(settings.width_exponents), max(1, _PREDICTED_CELLS // len(settings.variance_exponents)))


class Work(NamedTuple):
    """A unit to compute, or one cell of it after the unit has failed."""

    unit: Unit
    cell: int | None = None
    failures: int = 0

    def again(self, settings: DiagramSettings) -> list[Work]:
        """Return what to try after a failure: every cell by itself, and then that cell once more."""
        cells = range(self.unit.cells(settings)) if self.cell is None else [self.cell]
        return [Work(self.unit, cell, self.failures + 1) for cell in cells]

    def attempt(self, settings: DiagramSettings, lanes: int) -> Found | Exception:
        """Compute the cells, or return what went wrong in a form that travels between processes."""
        try:
            return self.compute(settings, lanes)
        except InvalidArgument as error:
            return error
        except Exception as error:
            return RuntimeError(f"{type(error).__name__}: {one_line(error)}")

    def compute(self, settings: DiagramSettings, lanes: int) -> Found:
        """Compute the cells."""
        rows = settings.width_exponents[self.unit.first : self.unit.stop]
        width, variance = (g.ravel() for g in np.meshgrid(rows, settings.variance_exponents, indexing="ij"))
        if self.cell is not None:
            width, variance = (g[self.cell : self.cell + 1] for g in (width, variance))
        return compute(settings, settings.seeds[self.unit.seed], variance, width, lanes=lanes)
