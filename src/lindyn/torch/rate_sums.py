"""Sums of learning rates as they are used, for Adam's clock: schedules, groups and restarts included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class RateSums:
    """Sum over the steps made of the learning rate of one parameter for each pair; NaN where it is not known.

    A rate belongs to a group of the optimiser, and a parameter may have been replaced by a copy of another type: where
    it stands in no group, the rate is known if all groups have the same.

    Args:
        count: number of pairs.
        optimizer: whose groups hold the rates; None if it is not known yet, see `watch`.
        parameters: returns the parameter of each pair, as it is at present.
    """

    def __init__(self, count: int, optimizer: Any, parameters: Callable[[], Sequence[Any]]):
        self.sums = np.zeros(count)
        self._parameters = parameters
        self._optimizer = optimizer
        self._groups: list[int | None] | None = None
        self._noted: np.ndarray | None = None

    @property
    def kind(self) -> str | None:
        """Class name of the optimiser, seen through the trainers' wrappers; None if there is none."""
        if self._optimizer is None:
            return None
        inner = self._optimizer
        while getattr(inner, "optimizer", None) is not None:
            inner = inner.optimizer
        return type(inner).__name__

    def watch(self, optimizer: Any) -> None:
        """Read rates from this optimiser from now on."""
        if optimizer is not self._optimizer:
            self._optimizer, self._groups = optimizer, None

    def note(self) -> None:
        """Keep the present rates for the next step, where a schedule moves on before the step is counted."""
        self._noted = self._rates()

    def add(self, steps: int) -> None:
        """Count steps that were made with the present rates, or the noted ones."""
        if steps:
            self.sums = self.sums + steps * (self._rates() if self._noted is None else self._noted)
            self._noted = None

    def seek(self, step: int, steps: Sequence[int], count: int, recorded: Sequence[np.ndarray]) -> None:
        """Go back to what the sums were at a step, between records by interpolation."""
        if step < count:
            at = np.array([*steps, count], dtype=float)
            known = np.stack([*recorded, self.sums])
            self.sums = np.array([np.interp(step, at, known[:, i]) for i in range(known.shape[1])])

    def _rates(self) -> np.ndarray:
        if self._optimizer is None:
            return np.full(self.sums.shape, np.nan)
        groups = self._optimizer.param_groups
        if self._groups is None or any(i is not None and i >= len(groups) for i in self._groups):
            where = {id(p): i for i, group in enumerate(groups) for p in group["params"]}
            self._groups = [where.get(id(parameter)) for parameter in self._parameters()]
        rates = [float(group["lr"]) for group in groups]
        common = rates[0] if len(set(rates)) == 1 else np.nan
        return np.array([common if i is None else rates[i] for i in self._groups])
