"""Units of a grid, the pieces in which it is computed and stored, and what is to be done of them."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple

import numpy as np

from lindyn.diagrams.grid import Found, GridSettings
from lindyn.diagrams.portrait import PortraitSettings, compute_portrait
from lindyn.diagrams.settings import DiagramSettings
from lindyn.diagrams.sources import compute
from lindyn.support.checks import InvalidArgument, one_line


@singledispatch
def cells_of(settings: Any, seed: int, columns: np.ndarray, rows: np.ndarray, lanes: int) -> Found:
    """Compute cells by all sources of the settings; each kind of diagram registers how.

    Args:
        settings: those of the diagram.
        seed: one of its seeds.
        columns: place of each cell on the faster axis.
        rows: on the slower one.
        lanes: simulated cells that run side by side.
    """
    raise TypeError(f"{type(settings).__name__} says of no cell how it is computed.")


@cells_of.register
def _(settings: DiagramSettings, seed: int, columns: np.ndarray, rows: np.ndarray, lanes: int) -> Found:
    return compute(settings, seed, columns, rows, lanes=lanes)


@cells_of.register
def _(settings: PortraitSettings, seed: int, columns: np.ndarray, rows: np.ndarray, lanes: int) -> Found:
    del seed, lanes  # nothing is drawn, and all cells of a portrait run side by side
    return compute_portrait(settings, columns, rows)


class Unit(NamedTuple):
    """Rows `first` to `stop` of the diagram of one seed, by their numbers."""

    seed: int
    first: int
    stop: int

    def cells(self, settings: GridSettings) -> int:
        """Return the number of cells."""
        return (self.stop - self.first) * len(settings.columns.values)


class Work(NamedTuple):
    """A unit to compute, or one cell of it after the unit has failed."""

    unit: Unit
    cell: int | None = None
    failures: int = 0

    def again(self, settings: GridSettings) -> list[Work]:
        """Return what to try after a failure: every cell by itself, and then that cell once more."""
        cells = range(self.unit.cells(settings)) if self.cell is None else [self.cell]
        return [Work(self.unit, cell, self.failures + 1) for cell in cells]

    def attempt(self, settings: GridSettings, lanes: int) -> Found | Exception:
        """Compute the cells, or return what went wrong in a form that travels between processes."""
        try:
            return self.compute(settings, lanes)
        except InvalidArgument as error:
            return error
        except Exception as error:
            return RuntimeError(f"{type(error).__name__}: {one_line(error)}")

    def compute(self, settings: GridSettings, lanes: int) -> Found:
        """Compute the cells."""
        own = settings.rows.values[self.unit.first : self.unit.stop]
        rows, columns = (g.ravel() for g in np.meshgrid(own, settings.columns.values, indexing="ij"))
        if self.cell is not None:
            rows, columns = (g[self.cell : self.cell + 1] for g in (rows, columns))
        return cells_of(settings, settings.seeds[self.unit.seed], columns, rows, lanes)
