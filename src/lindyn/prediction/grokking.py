"""Grokking: a lazy start with weight decay fits what it sees at once, and generalises when τ(t) has fallen enough.

Under decay μ on both layers τ(t) = τ₀e^{−2μt} exactly (2.8). While τ is large the network is a kernel machine, which
fills unseen entries with zeros; it finds them when τ(t) reaches τ_c, a number of the task that τ₀ does not enter:

    t_test = ln(τ₀/τ_c)/(2μ).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn.solutions.modes import mode_time
from lindyn.support import checks

if TYPE_CHECKING:
    from jaxtyping import Float

    from lindyn.tasks.task import Task

# the start of the measuring run, over the largest singular value to be learned, and where it gives up
_LAZY, _GIVE_UP = 3.0, (1e-2, 1e-4, 1e-6)
_SLOWEST = 1e-5  # decay over the signal, below which the run would take hours
_RECORDS = 400
_FITTED = 0.05  # share of the seen error that is left when what is seen counts as fitted


@dataclass(frozen=True)
class GrokkingDelay:
    """When a start with weight decay generalises; prints itself with units.

    Attributes:
        threshold: τ₀ at the start.
        weight_decay: μ per unit of flow time, on both layers.
        critical: τ_c of the task.
        fit_time: flow time at which what is seen is fitted to 5 % of its squared error: of a mode of the given signal
            by (3.2), else of a lazy start, ln 20/(4τ₀).
        test_time: flow time at which it generalises; 0 for a start at or below τ_c, which generalises as it fits.
        learning_rate: η, flow time of a step; None if not given.
    """

    threshold: float
    weight_decay: float
    critical: float
    fit_time: float
    test_time: float
    learning_rate: float | None = None

    @property
    def delayed(self) -> bool:
        """Whether it generalises later than it fits."""
        return self.test_time > self.fit_time

    @property
    def test_step(self) -> float | None:
        """Step at which it generalises, t_test/η."""
        return None if self.learning_rate is None else self.test_time / self.learning_rate

    def _at(self, time: float) -> str:
        step = "" if self.learning_rate is None else f" (step {time / self.learning_rate:,.0f})"
        return f"flow time {time:.4g}{step}"

    def __str__(self) -> str:
        """One sentence, times in flow time and in steps where the rate is known."""
        if not self.delayed:
            return f"generalises as it fits: τ = {self.threshold:.4g} is not far above τ_c = {self.critical:.4g}"
        return (
            f"fits what it sees by {self._at(self.fit_time)} and generalises at {self._at(self.test_time)}, when "
            f"weight decay {self.weight_decay:.4g} has lowered τ from {self.threshold:.4g} to τ_c = {self.critical:.4g}"
        )

    __repr__ = __str__


def grokking_delay(
    threshold: float,
    weight_decay: float,
    critical: float,
    *,
    signal: float | None = None,
    learning_rate: float | None = None,
) -> GrokkingDelay:
    """Return when a start with weight decay generalises: t_test = ln(τ₀/τ_c)/(2μ).

    Args:
        threshold: τ₀ > 0 at the start.
        weight_decay: μ > 0 on both layers, per unit of flow time: a step of learning rate η shrinks them by 1 − ημ.
        critical: τ_c > 0 of the task, from `critical_threshold`.
        signal: smallest singular value to be learned, for the time to fit; left out, that of a lazy start.
        learning_rate: η, to have steps as well.

    Raises:
        InvalidArgument: a number that is not positive. Without weight decay a lazy start never generalises.

    References:
        works (12.6); theory (2.8).

    Examples:
        >>> print(grokking_delay(10.0, 0.01, 0.0115, learning_rate=0.05))
        fits what it sees by flow time 0.07489 (step 1) and generalises at flow time 338.4 (step 6,768), when weight
        decay 0.01 has lowered τ from 10 to τ_c = 0.0115
        >>> print(grokking_delay(0.003, 0.01, 0.0115))
        generalises as it fits: τ = 0.003 is not far above τ_c = 0.0115
    """
    tau = checks.number("threshold", threshold, above=0)
    mu = checks.number(
        "weight_decay", weight_decay, above=0, remedy="without weight decay a lazy start never generalises"
    )
    low = checks.number(
        "critical", critical, above=0, remedy="measure it with lindyn.prediction.critical_threshold(task, weight_decay)"
    )
    rate = None if learning_rate is None else checks.number("learning_rate", learning_rate, above=0)
    if signal is None:
        fit = math.log(1 / _FITTED) / (4 * tau)
    else:
        s = checks.number("signal", signal, above=0)
        fit = float(mode_time(s, tau, (1 - math.sqrt(_FITTED)) * s))
    return GrokkingDelay(tau, mu, low, fit, max(math.log(tau / low), 0.0) / (2 * mu), rate)


def critical_threshold(task: Task, weight_decay: float, *, level: float = 0.2) -> float:
    """Return τ_c of a task: τ(t) at the time when one lazy run under the formula has found what it does not see.

    One run serves every lazy start of that task at that decay: τ_c does not depend on τ₀, and on μ by some tens of
    percent, which enters the time by its logarithm. The run starts at three times the largest singular value.

    Args:
        task: one that knows its truth and does not show all of it, such as a `Completion` with held-out entries.
        weight_decay: μ, per unit of flow time: from 1e-5 of the largest singular value of what is seen up to all of
            it, at which nothing would be left.
        level: share of the test error at the start that counts as found.

    Returns:
        τ_c, in units of the target.

    Raises:
        InvalidArgument: a task without a test error, one whose test error falls as the train error does, or one whose
            test error stays above the level until τ is a millionth of the signal.

    References:
        works (12.6).

    Examples:
        >>> import lindyn as ld
        >>> truth = ld.SpikedMatrix(dim=16, singular_values=[1.0], noise=0.0, key=0)
        >>> seen = truth.observe(0.7, key=1).observed
        >>> task = ld.Completion(truth.target, seen, held_out=~seen)
        >>> critical = critical_threshold(task, 0.02)
        >>> round(critical, 3), round(grokking_delay(10.0, 0.02, critical).test_time, 1)  # measured at τ₀ = 10: 121.4
        (0.078, 121.4)
    """
    from lindyn.tasks.task import Task

    share = checks.number("level", level, above=0)
    if not isinstance(task, Task):
        raise checks.InvalidArgument("task", "be a task, such as Completion", f"it is {type(task).__name__}")
    if not task.has_truth:
        raise checks.InvalidArgument("task", "know what it does not show", "it has no test error", "give the truth")
    signal = task.scale()
    mu = checks.number("weight_decay", weight_decay, at_least=_SLOWEST * signal, at_most=signal)
    fitted, found, left = math.nan, math.nan, math.nan
    for give_up in _GIVE_UP:  # a longer run only where the shorter one has not seen it
        time, train, test = _lazy_run(task, mu, signal, give_up)
        fitted, found, left = time_below(time, train, _FITTED), time_below(time, test, share), float(test.min())
        if not math.isnan(found):
            break
    else:
        raise checks.InvalidArgument(
            "task",
            "be one that generalises at this weight decay",
            f"its test error has not fallen below {left:.2g} of its start while τ fell to {_GIVE_UP[-1] * signal:.2g}",
            "show more entries, or lower the weight decay",
        )
    if not found >= 3 * fitted:
        raise checks.InvalidArgument(
            "task",
            "hide part of the truth from training",
            "its test error falls as fast as its train error, so that nothing is delayed",
        )
    return _LAZY * signal * math.exp(-2 * mu * found)


def _lazy_run(task: Task, decay: float, signal: float, give_up: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, train and test error over their starts, of the formula from τ = 3 signals until τ = give_up signals."""
    from lindyn.dynamics import Mixed
    from lindyn.methods.flow import Flow
    from lindyn.simulation.simulation import simulate

    start, end = _LAZY * signal, math.log(_LAZY / give_up) / (2 * decay)
    fit = math.log(1 / _FITTED) / (4 * start)
    times = np.r_[0.0, np.geomspace(0.1 * fit, 100 * fit, 40), np.linspace(0, end, _RECORDS)]
    times, errors = np.unique(times[times <= end]), ["train_error", "test_error"]
    run = simulate(Mixed(start, weight_decay=decay), task, Flow(rtol=1e-7), times=times, observables=errors)
    train, test = (_share(np.asarray(run[name])) for name in errors)
    return run.time, train, test


def _share(error: Float[np.ndarray, " records"]) -> Float[np.ndarray, " records"]:
    return error / error[0] if error[0] > 0 else error


def time_below(times: Any, error: Any, level: float) -> float:
    """Return the time at which an error first falls below a level, interpolated in its logarithm; NaN if never.

    NaN too where it is below from the start: nothing has fallen then.

    Examples:
        >>> round(time_below([0.0, 1.0, 2.0], [1.0, 0.1, 0.01], 0.05), 3)
        1.301
    """
    t = checks.times("times", times)
    y = checks.array("error", error, 1, dtype=np.float64, shape=t.shape, finite=False)
    level = checks.number("level", level)
    below = y < level
    if not below.any() or below[0]:
        return math.nan
    k = int(np.argmax(below))
    before, after = np.log(np.maximum(y[k - 1 : k + 1], np.finfo(float).tiny) / level)
    return float(t[k - 1] + (t[k] - t[k - 1]) * before / (before - after))
