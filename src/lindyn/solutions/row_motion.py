"""The flow of one row under a kernel of the form c + d ββᵀ, over many decades of time.

On uncorrelated inputs the formula moves a single row by β̇ = (c + d ββᵀ) Λ(w − β), where c and d depend on ‖β‖ alone.
Variances λ_k that span thirty decades make it stiff, and power laws want times that span ten. So the steps are implicit
(L-stable, of order 2) and as long as a fixed share of the time that has passed, or of the time in which c grows e-fold
where that is shorter; with the kernel held, an implicit step is a diagonal matrix plus one of rank one, which Sherman
and Morrison invert in O(n); repeated, it finds its kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Row = Float[np.ndarray, " n"]
Rates = Callable[[float], tuple[float, float]]

# of the SDIRK rule of order 2 that is L-stable
_GAMMA = 1 - 1 / math.sqrt(2)
# the first step, as a share of a later one at the time when anything happens
_FIRST = 1e-3
_PASSES = 60


class NotConvergedError(ArithmeticError):
    """An implicit step did not find its kernel."""


class RowMotion:
    """β(t) of β̇ = (c + d ββᵀ) Λ(w − β), from record to record.

    Args:
        variances: λ_k > 0, shape (n,).
        target: w, shape (n,).
        start: β(0), shape (n,).
        rates: from ‖β‖ to c ≥ 0 and d ≥ 0.
        steps_per_decade: steps for each factor of ten in time, or in c; the error falls with its square.

    References:
        works (10.2), (10.3); Alexander (1977) for the rule.

    Examples:
        >>> lazy = RowMotion(np.array([1.0, 0.5]), np.ones(2), np.zeros(2), lambda norm: (2.0, 0.0), 200)
        >>> bool(np.allclose(lazy.go_to(1.0), 1 - np.exp([-2.0, -1.0]), rtol=1e-4))
        True
    """

    def __init__(self, variances: Row, target: Row, start: Row, rates: Rates, steps_per_decade: int):
        self._variances, self._target, self._rates = variances, target, rates
        self._scale = np.sqrt(variances)
        self._row, self._slope, self._now = start.copy(), self._velocity(start), 0.0
        self._share = math.log(10) / steps_per_decade
        self._drive = variances * target
        self._speed, self._growth = rates(float(np.linalg.norm(start)))[0], 0.0
        # rates at which the fastest mode is learned at first, and at which c changes
        push = float(np.linalg.norm(self._slope))
        fastest = max(self._speed * float(variances.max()), push / self._speed if self._speed > 0 else 0.0)
        self._first = _FIRST * self._share / fastest if fastest > 0 else _FIRST * self._share

    def go_to(self, time: float) -> Row:
        """Return β at a time not before the last one asked for.

        Raises:
            NotConvergedError: a step did not find its kernel.
        """
        while self._now < time:
            step = max(self._share * min(self._now, 1 / self._growth if self._growth > 0 else math.inf), self._first)
            last = self._now + 1.0001 * step >= time
            self._step(time - self._now if last else step)
            self._now = time if last else self._now + step
        return self._row

    def _step(self, step: float) -> None:
        """Make one step, and note how fast c grows."""
        inner = _GAMMA * step
        middle = self._stage(self._row, inner, self._row + inner * self._slope)
        slope = (middle - self._row) / inner
        before = self._row + (1 - _GAMMA) * step * slope
        self._row = self._stage(before, inner, before + inner * slope)
        self._slope = (self._row - before) / inner
        speed = self._rates(float(np.linalg.norm(self._row)))[0]
        self._growth = abs(math.log(speed / self._speed)) / step if speed > 0 and self._speed > 0 else 0.0
        self._speed = speed

    def _stage(self, before: Row, step: float, guess: Row) -> Row:
        """Solve x = before + step (c + d xxᵀ) Λ(w − x), that is (1 + step(cΛ + d x(Λx)ᵀ)) x = before + step(…)Λw."""
        now = guess
        for _ in range(_PASSES):
            c, d = self._rates(float(np.linalg.norm(now)))
            diagonal = 1 + (step * c) * self._variances
            pushed = before + (step * c) * self._drive
            if d > 0:
                weighted = (step * d) * self._variances * now
                along, pushed = now / diagonal, pushed + now * (weighted @ self._target)
                new = pushed / diagonal
                new -= along * ((weighted @ new) / (1 + weighted @ along))
            else:
                new = pushed / diagonal
            change, now = new - now, new
            close = np.linalg.norm(change) <= 1e-10 * np.linalg.norm(now)
            if close and np.linalg.norm(self._scale * change) <= 1e-12 * np.linalg.norm(self._scale * now):
                return now
        raise NotConvergedError(f"a step of {step:.3g} at time {self._now:.6g} needs over {_PASSES} passes")

    def _velocity(self, row: Row) -> Row:
        c, d = self._rates(float(np.linalg.norm(row)))
        push = self._variances * (self._target - row)
        return c * push + d * (row @ push) * row
