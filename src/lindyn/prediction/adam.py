"""Adam's clock: until when the random factor of a pair must still be where it started, and when it can have turned.

Adam conserves no imbalance, so that a threshold predicts nothing of it. But an entry of a parameter moves by at most
about η in a step, whatever the scale of the loss. An entry of LoRA's A starts at a deviation σ_A; after n steps A can
therefore have turned by no more than about

    x = ηn/σ_A,      with a schedule x = Σ_k η_k/σ_A.                                                            (2.10)

This is a bound read from a scaling, not a prediction of times: x says what Adam can have done, not what it has done.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lindyn.support import checks
from lindyn.support.bounds import SQUARED

LAZY_UNTIL, TURNED_FROM = 0.2, 1.0  # x below which A has hardly moved, and from which it can have turned (2.10)
OPTIMIZERS = ("adam", "adamw")  # for which the bound was measured


class Seen(NamedTuple):
    """What was seen at a value of x: over eight settings of full-batch Adam with and without gradient noise."""

    x: float
    turn: tuple[float, float]
    share_outside: tuple[float, float]


# ‖A − A₀‖/‖A₀‖ and share of ‖ΔW‖² outside row(A₀): smallest and largest (2.10); tests/torch/test_adam.py makes them
TABLE = (
    Seen(0.1, (0.06, 0.10), (0.00, 0.03)),
    Seen(0.2, (0.13, 0.24), (0.03, 0.15)),
    Seen(0.4, (0.33, 0.54), (0.17, 0.52)),
    Seen(0.7, (0.59, 1.00), (0.47, 0.80)),
    Seen(1.0, (0.71, 1.40), (0.70, 0.89)),
)


@dataclass(frozen=True, eq=False)
class AdamClock:
    """The clock of one random factor; made by `adam_clock`.

    Attributes:
        deviation: σ_A, root mean square of the factor's entries at the start.
        rates: learning rate of each step; one number where it is constant and has no end.
    """

    deviation: float
    rates: Float[np.ndarray, " steps"] | float

    @property
    def steps(self) -> int | None:
        """Number of steps of the schedule, None where it has no end."""
        return len(self.rates) if isinstance(self.rates, np.ndarray) else None

    def at(self, step: float) -> float:
        """Return x after so many steps, between two of them by interpolation.

        Examples:
            >>> adam_clock(0.01, 2e-4).at(50)
            1.0
        """
        n = checks.number("step", step, at_least=0)
        if not isinstance(self.rates, np.ndarray):
            return float(self.rates) * n / self.deviation
        sums = np.concatenate([[0.0], np.cumsum(self.rates)])
        return float(np.interp(n, np.arange(len(sums)), sums)) / self.deviation

    def step_at(self, x: float) -> int | None:
        """Return the last step at which the clock has not passed x; None where the schedule ends before.

        Examples:
            >>> adam_clock(0.01, [2e-4] * 30).step_at(0.2), adam_clock(0.01, [2e-4] * 30).step_at(1.0)
            (10, None)
        """
        wanted = checks.number("x", x, at_least=0) * self.deviation
        if not isinstance(self.rates, np.ndarray):
            return math.floor(wanted / float(self.rates) * (1 + 1e-12))
        sums = np.cumsum(self.rates)
        if sums[-1] < wanted * (1 - 1e-12):
            return None
        return int(np.searchsorted(sums, wanted * (1 + 1e-12), side="right"))

    @property
    def lazy_until(self) -> int | None:
        """Step until which the pair must still be lazy, x = 0.2; None: the whole schedule."""
        return self.step_at(LAZY_UNTIL)

    @property
    def turned_from(self) -> int | None:
        """Step before which the factor cannot have turned wholly, x = 1; None: not within the schedule."""
        return self.step_at(TURNED_FROM)

    def __str__(self) -> str:
        """Return the bound as two sentences."""
        until, turned = self.lazy_until, self.turned_from
        lazy = f"until step {until:,}" if until is not None else "to the end of the schedule"
        if turned is not None:
            later = f"it can have turned from about step {turned:,} on"
        else:
            later = (
                f"it cannot turn wholly within the {self.steps:,} steps, where x ends at {self.at(self.steps or 0):.2g}"
            )
        return f"still lazy {lazy} (x = {LAZY_UNTIL:g}); {later} (x = {TURNED_FROM:g}): a bound, no prediction of times"


_LONGEST_SCHEDULE = 10**7  # steps: each has its rate


def adam_clock(deviation: float, learning_rate: float | Sequence[float], steps: int | None = None) -> AdamClock:
    """Return Adam's clock x = Σ η/σ_A of a factor pair that starts with B = 0.

    Args:
        deviation: σ_A > 0, root mean square of the entries of A at the start: 1/√(3 d_in) for LoRA's default, 1/r for
            "gaussian"; for any array `np.sqrt(np.mean(a**2))`.
        learning_rate: η, or one for each step (a schedule, warm-up included).
        steps: number of steps at a constant rate; left out, without end.

    Raises:
        InvalidArgument: a deviation or rate that is not positive; `steps` beside a schedule.

    References:
        theory (2.10). A bound by scaling, measured for Adam and AdamW; weight decay and clipping are not in it.

    Examples:
        >>> kaiming = adam_clock(1 / (3 * 4096) ** 0.5, 2e-4)
        >>> kaiming.lazy_until, kaiming.turned_from
        (9, 45)
        >>> print(adam_clock(1 / 16, 2e-4, steps=300))
        still lazy until step 62 (x = 0.2); it cannot turn wholly within the 300 steps, where x ends at 0.96 (x = 1): a
        bound, no prediction of times
    """
    sigma = checks.number("deviation", deviation, above=0, remedy="a factor of zeros has no clock of its own")
    if checks.numbers("learning_rate", learning_rate).ndim == 0:
        rate = checks.number("learning_rate", learning_rate, above=0, at_most=SQUARED)
        if steps is None:
            return AdamClock(sigma, rate)
        return AdamClock(sigma, np.full(checks.integer("steps", steps, at_least=1, at_most=_LONGEST_SCHEDULE), rate))
    if steps is not None:
        raise checks.InvalidArgument("steps", "be left out", "a schedule with a rate for each step is given")
    rates = checks.array("learning_rate", learning_rate, 1, dtype=np.float64)
    if rates.max() > SQUARED:
        raise checks.InvalidArgument("learning_rate", f"be at most {SQUARED:g}", f"its largest is {rates.max():g}")
    if (rates < 0).any() or not rates.any():
        raise checks.InvalidArgument(
            "learning_rate", "not be negative, nor 0 throughout", f"its least is {rates.min()}"
        )
    return AdamClock(sigma, rates)
