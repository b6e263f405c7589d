"""What every kind of diagram is: named rows and columns, sources that fill the cells, quantities that are stored."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, cast

import numpy as np

from lindyn.support import checks
from lindyn.support.labels import Label

if TYPE_CHECKING:
    import xarray

Found = dict[str, dict[str, np.ndarray]]  # source → quantity, and "reason" ("" for a cell without fault) → values


class Axis(NamedTuple):
    """One side of the grid: the name of its dimension, and where its cells stand."""

    name: str
    values: tuple[float, ...]


class GridSettings(abc.ABC):
    """Settings of a diagram: a frozen dataclass of plain data. `chunks.cells_of` is told how its cells are computed.

    Attributes:
        kind: name of this kind of diagram, kept in its store.
        quantities: what a cell holds, and how it is labelled.
        may_be_nan: those that a cell without fault may lack.
        sources: what fills the cells.
        seeds: of the draws; one diagram for each.
    """

    kind: ClassVar[str]
    quantities: ClassVar[Mapping[str, Label]]
    may_be_nan: ClassVar[tuple[str, ...]]
    sources: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    @abc.abstractmethod
    def rows(self) -> Axis:
        """The slower axis: a unit of work is some of its rows."""

    @property
    @abc.abstractmethod
    def columns(self) -> Axis:
        """The faster axis."""

    @property
    @abc.abstractmethod
    def rows_of_a_unit(self) -> int:
        """How many rows are computed and stored together."""

    @property
    @abc.abstractmethod
    def lane_bytes(self) -> int:
        """Bytes of one simulated cell."""

    @abc.abstractmethod
    def described(self, dataset: xarray.Dataset) -> xarray.Dataset:
        """Return the diagram with what these settings say of its cells, which pictures need."""

    @property
    def cells(self) -> int:
        """Number of cells of one source."""
        return len(self.seeds) * len(self.rows.values) * len(self.columns.values)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for a store."""
        values = ((f.name, getattr(self, f.name)) for f in fields(cast(Any, self)) if f.init)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return settings from `as_dict`."""
        held = checks.instance("data", data, dict, "what `as_dict` returned")
        known = {field.name: field for field in fields(cast(Any, cls)) if field.init}
        if strange := [name for name in held if name not in known]:
            raise checks.InvalidArgument("data", "hold settings of a diagram", f"it holds {checks.shown(strange[0])}")
        if lacking := [n for n, field in known.items() if field.default is MISSING and n not in held]:
            raise checks.InvalidArgument("data", f"hold {', '.join(lacking)}", "it does not")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in held.items()})
