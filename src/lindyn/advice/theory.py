"""What the large-d theory says of a threshold, for a wide and for a narrow pair of layers, and the search over it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from lindyn.advice.heavy_ball import MOST_STEPS, SMALL_LAG, heavy_ball, lag_of
from lindyn.advice.narrow_pairs import narrow_curves
from lindyn.advice.recipes import WIDE_ERROR, narrow_starts, wide_starts
from lindyn.advice.recommendation import Constraint, Start
from lindyn.prediction.large_d import stability_bound_of
from lindyn.prediction.spectra import SpikedSpectrum, rank_in_noise, start_residue
from lindyn.prediction.validity import cells_error
from lindyn.solutions.modes import ModeTimes, mode_time, mode_times

SHARE_OF_BOUND = 0.1  # learning rate over the stability bound: descent lags the flow by some 5 %
SMALL_START = 0.01  # σ⁴w over the signal's entries that counts as small
NEAR = 0.01  # relative excess of error that is traded for fewer steps
_STARTS = 64  # hidden units over which a narrow pair is averaged at a point: 32 starts of width 2, 8 of width 8
_NEGLIGIBLE = 1e-4  # excess of error, in units of the signal's entries
_DECADES_BELOW, _FACTOR_ABOVE = 8, 30.0  # of the smallest, of the largest signal mode: where τ is sought


class Curves(NamedTuple):
    """Predicted at flow times: test error per entry, stable rank, learned strength of the detected modes."""

    test_error: np.ndarray
    stable_rank: np.ndarray
    signal_modes: np.ndarray


class Point(NamedTuple):
    """The best step at one threshold."""

    threshold: float
    rate: float  # flow time a step
    step: int
    test_error: float
    stable_rank: float
    steps: np.ndarray  # of the curve
    curve: np.ndarray  # test error at those steps


@dataclass(frozen=True, eq=False)
class AbstractTheory(ABC):
    """Predictions for one spectrum, as a function of the threshold."""

    spectrum: SpikedSpectrum
    momentum: float = field(default=0.0, kw_only=True)

    @property
    def modes(self) -> np.ndarray:
        """Singular values of the target by which signal modes show; the top of the bulk where none shows by itself."""
        shown = self.spectrum.outliers[self.spectrum.overlaps > 0]
        return shown if shown.size else np.array([self.spectrum.modes.top])

    @property
    def signal_entry(self) -> float:
        """‖A*‖_F²/(d_out d_in): the error of predicting zero."""
        return float((self.spectrum.signal**2).sum()) / (float(self.spectrum.shape[0]) * self.spectrum.shape[1])

    @property
    @abstractmethod
    def resolution(self) -> tuple[int, int]:
        """Thresholds to try, and times of each curve."""

    @property
    @abstractmethod
    def basis(self) -> str:
        """What the predictions rest on, in a sentence."""

    @abstractmethod
    def width_at(self, threshold: float) -> int:
        """Return the width, given or chosen."""

    @abstractmethod
    def variance(self, threshold: float) -> float | None:
        """Return σ² of a Gaussian start of both layers, None where there is none."""

    @abstractmethod
    def starts(self, threshold: float, rate: float) -> tuple[Start, ...]:
        """Return ways to start at the threshold; `rate`: the learning rate of a plain pair."""

    @abstractmethod
    def conditions(self, threshold: float) -> list[Constraint]:
        """Return the conditions under which the predictions hold."""

    @abstractmethod
    def start_variance(self, threshold: float) -> float:
        """Return the variance n₀ of an entry of A(0)."""

    @abstractmethod
    def stability_bound(self, threshold: float) -> float:
        """Return the largest stable flow time of a step."""

    @abstractmethod
    def horizon(self, threshold: float) -> float:
        """Return a flow time by which every detected mode is learned: later ones only fit noise."""

    @abstractmethod
    def curves(self, threshold: float, times: np.ndarray) -> Curves:
        """Return the predicted curves."""

    def curves_at(self, threshold: float, rate: float, steps: np.ndarray) -> Curves:
        """Return the predicted curves at steps, each a flow time `rate` long."""
        return self.curves(threshold, rate * steps)

    def delay(self, point: Point) -> float:
        """Return the share of its time by which momentum holds the slowest mode up, as against the clock η/(1 − β)."""
        decay = math.hypot(float(self.modes[-1]), point.threshold)
        return lag_of(point.rate, decay, self.momentum) - lag_of(point.rate, decay, 0.0)

    @abstractmethod
    def mode_times(self, threshold: float) -> ModeTimes:
        """Return when each mode is learned."""

    @abstractmethod
    def range_at(self, point: Point) -> tuple[float, float]:
        """Return between which test errors single runs end at a point."""

    def refined(self) -> AbstractTheory:
        """Return the theory as it is used at a point, once the search is over."""
        return self


@dataclass(frozen=True, eq=False)
class WideTheory(AbstractTheory):
    """Width of at least the smaller dimension: the mixed formula from zero (3.2)."""

    width: int | None

    @property
    def resolution(self) -> tuple[int, int]:
        """Thresholds to try, and times of each curve."""
        return 64, 300

    @property
    def basis(self) -> str:
        """The mixed formula."""
        return "the mixed formula (2.1) from A(0) ≈ 0: w ≫ d for a Gaussian start, or an orthogonal one (2.4)"

    def width_at(self, threshold: float) -> int:
        """Return the given width, or one large enough for a Gaussian start to follow the formula."""
        if self.width is not None:
            return self.width
        wide = max(self.spectrum.shape) / WIDE_ERROR**2
        small = threshold**2 / (SMALL_START * self.signal_entry)
        return math.ceil(max(wide, sum(self.spectrum.shape), small))

    def variance(self, threshold: float) -> float:
        """Return σ² = τ/w."""
        return threshold / self.width_at(threshold)

    def starts(self, threshold: float, rate: float) -> tuple[Start, ...]:
        """Return a Gaussian and an orthogonal start."""
        return wide_starts(self.spectrum, self.width_at(threshold), threshold, rate)

    def conditions(self, threshold: float) -> list[Constraint]:
        """Return those of a Gaussian start."""
        spread = math.sqrt(max(self.spectrum.shape) / self.width_at(threshold))
        n0 = self.start_variance(threshold) / self.signal_entry
        entries = "σ⁴w over the signal's entries²"
        return [
            Constraint.small("w ≫ d (2.3)", spread, WIDE_ERROR, name="√(d/w)", what="a Gaussian start"),
            Constraint.small("σ⁴w ≪ signal²", n0, SMALL_START, name=entries, what="A(0) ≈ 0"),
        ]

    def start_variance(self, threshold: float) -> float:
        """Return n₀ = σ⁴w = τ²/w."""
        return threshold**2 / self.width_at(threshold)

    def stability_bound(self, threshold: float) -> float:
        """Return the bound of `lindyn.methods.rates` for a Gaussian start."""
        width = self.width_at(threshold)
        deviation = math.sqrt(threshold / width)
        return float(stability_bound_of(self.spectrum, threshold, float(width), (deviation, deviation)))

    def horizon(self, threshold: float) -> float:
        """Return three times the time to learn 99 % of the slowest detected mode."""
        slowest = self.modes[-1]
        return 3 * float(mode_time(slowest, threshold, 0.99 * slowest))

    def curves(self, threshold: float, times: np.ndarray) -> Curves:
        """Return the curves of the spiked spectrum."""
        found = self.spectrum.curves(threshold, times, start_variance=self.start_variance(threshold))
        shows = self.spectrum.overlaps > 0
        return Curves(found["test_error"], found["stable_rank"], found["signal_modes"][:, shows])

    def curves_at(self, threshold: float, rate: float, steps: np.ndarray) -> Curves:
        """Return those of the flow, or of the steps themselves where momentum lags behind its clock."""
        modes = self.spectrum.modes
        lag = lag_of(rate, math.hypot(modes.top, threshold), self.momentum)
        if not self.momentum or lag < SMALL_LAG or steps[-1] > MOST_STEPS:
            return super().curves_at(threshold, rate, steps)
        shown = self.spectrum.outliers[self.spectrum.overlaps > 0]
        places = np.concatenate([modes.values, shown, [modes.top]])
        found = heavy_ball(places, threshold, rate, self.momentum, steps)
        bulk, signal, top = np.split(found, [modes.values.size, places.size - 1], axis=1)
        residue = start_residue(self.start_variance(threshold), threshold, rate * steps)
        entries = float(modes.shape[0]) * modes.shape[1]
        _, test, power = modes.errors_of(bulk, entries)
        return Curves(test + residue, rank_in_noise(power, top[:, 0], residue, modes.shape), signal)

    def mode_times(self, threshold: float) -> ModeTimes:
        """Return the inverse of the mode curve."""
        return mode_times(self.modes, threshold)

    def range_at(self, point: Point) -> tuple[float, float]:
        """Return the test error less and plus its stated error."""
        share = point.rate / self.stability_bound(point.threshold)
        start, width = self.start_variance(point.threshold), self.width_at(point.threshold)
        reached = point.step / (1 + self.delay(point))  # step of the flow
        cell = (point.threshold, point.rate, reached, start, width, share)
        tau, rate, steps, n0, w, part = (np.array([float(v)]) for v in cell)
        error = float(cells_error(self.spectrum, tau, rate, steps, n0, w, part)[0])
        return max(0.0, point.test_error - error), point.test_error + error


@dataclass(frozen=True, eq=False)
class NarrowTheory(AbstractTheory):
    """Width below both dimensions (LoRA): the λ-balanced flow (3.4), averaged over starts."""

    width: int
    draws: int = 1  # of the start, the same ones at every threshold

    @property
    def resolution(self) -> tuple[int, int]:
        """Thresholds to try, and times of each curve."""
        return 16, 60

    @property
    def basis(self) -> str:
        """The λ-balanced flow."""
        return "one factor starts at zero, the other random, w ≪ d (2.7); numbers are means over starts, (3.4)"

    @classmethod
    def searched(cls, spectrum: SpikedSpectrum, width: int, momentum: float) -> NarrowTheory:
        """Return the theory with as many starts as a search can afford: where it is narrow, starts differ."""
        return cls(spectrum, width, draws=4 * max(1, 6 // width) if width <= 32 else 1, momentum=momentum)

    def refined(self) -> NarrowTheory:
        """Return the theory over enough starts: at a width of 2 one of them in ten ends a third above the mean."""
        return replace(self, draws=max(self.draws, _STARTS // self.width))

    def width_at(self, threshold: float) -> int:
        """Return the given width."""
        return self.width

    def variance(self, threshold: float) -> None:
        """Return None: one layer starts at zero, and each of the `starts` has a law of its own."""

    def starts(self, threshold: float, rate: float) -> tuple[Start, ...]:
        """Return LoRA's starts."""
        return narrow_starts(self.spectrum, self.width, threshold, rate)

    def conditions(self, threshold: float) -> list[Constraint]:
        """Return that of the law of a narrow pair."""
        share = math.sqrt(self.width / self.spectrum.shape[1])
        return [Constraint.small("w ≪ d_in (2.7)", share, 0.5, name="√(w/d_in)", what="LoRA's τ")]

    def start_variance(self, threshold: float) -> float:
        """Return 0: one layer starts at zero."""
        return 0.0

    def stability_bound(self, threshold: float) -> float:
        """Return the bound for W2 = 0 and W1 of variance 2τ/d_in."""
        deviation = math.sqrt(2 * threshold / self.spectrum.shape[1])
        return float(stability_bound_of(self.spectrum, threshold, float(self.width), (deviation, 0.0)))

    def horizon(self, threshold: float) -> float:
        """Return three times an estimate for the slowest detected mode, of which w/d_in is in row(A₀)."""
        slowest = self.modes[-1]
        share = self.width / self.spectrum.shape[1]
        return 1.5 * (math.log(2 * slowest / (threshold * share) + 1) + 5) / math.hypot(slowest, threshold)

    def curves(self, threshold: float, times: np.ndarray) -> Curves:
        """Return the mean curves over starts."""
        found = narrow_curves(self.spectrum, self.width, threshold, times, draws=self.draws)
        return Curves(found.test_error, found.stable_rank, found.signal_modes)

    def mode_times(self, threshold: float) -> ModeTimes:
        """Return when the mean learned strength passes each level, interpolated linearly."""
        times = np.linspace(0, self.horizon(threshold), 200)
        learned = self.curves(threshold, times).signal_modes
        levels = (np.full(self.modes.shape, threshold), self.modes / 2, 0.9 * self.modes)
        return ModeTimes(*(_passing(times, learned, level, self.modes) for level in levels))

    def range_at(self, point: Point) -> tuple[float, float]:
        """Return the quantiles 10 and 90 % over starts, widened by twice the error of the noise's draw."""
        time = np.array([point.rate * point.step])
        found = narrow_curves(self.spectrum, self.width, point.threshold, time, draws=self.refined().draws)
        if self.momentum:  # what starts have reached that momentum holds up
            early = narrow_curves(
                self.spectrum, self.width, point.threshold, time / (1 + self.delay(point)), draws=self.refined().draws
            )
            found = found._replace(low=np.minimum(found.low, early.low), high=np.maximum(found.high, early.high))
        # the draw of the noise, as of a wide pair
        cell = (np.array([float(v)]) for v in (point.threshold, point.rate, point.step, 0.0, math.inf, 0.0))
        error = 2 * float(cells_error(self.spectrum, *cell)[0])  # of an expected deviation: nine in ten
        return max(0.0, float(found.low[0]) - error), float(found.high[0]) + error


def theory_of(spectrum: SpikedSpectrum, width: int | None, momentum: float = 0.0) -> AbstractTheory:
    """Return the theory of a pair of a given width, or of one that is yet to be chosen wide enough."""
    if width is not None and width < min(spectrum.shape):
        return NarrowTheory.searched(spectrum, width, momentum)
    return WideTheory(spectrum, width, momentum=momentum)


def _passing(times: np.ndarray, learned: np.ndarray, level: np.ndarray, modes: np.ndarray) -> np.ndarray:
    found = np.full(level.shape, math.nan)
    for k in range(level.size):
        above = np.flatnonzero(learned[:, k] >= level[k])
        if level[k] < modes[k] and above.size and above[0] > 0:
            i = int(above[0])
            before, after = learned[i - 1, k], learned[i, k]
            found[k] = times[i - 1] + (times[i] - times[i - 1]) * (level[k] - before) / (after - before)
    return found


@dataclass(frozen=True)
class Search:
    """Best steps over thresholds.

    Attributes:
        recommended: the fewest steps within 1 % of the smallest error that the budget allows.
        smallest_error: the smallest predicted test error within the budget.
        unlimited_error: the smallest without a budget.
    """

    recommended: Point
    smallest_error: float
    unlimited_error: float


_MOST_STEPS = 2.0**53  # beyond it floats do not count steps one by one


def rate_at(theory: AbstractTheory, threshold: float, rate: float | None) -> float:
    """Return the flow time a step: given, or a tenth of the stability bound."""
    return SHARE_OF_BOUND * theory.stability_bound(threshold) if rate is None else rate


def last_step(theory: AbstractTheory, threshold: float, rate: float) -> int:
    """Return the step beyond which nothing but noise is learned."""
    late = 1 + lag_of(rate, math.hypot(float(theory.modes[0]), threshold), theory.momentum)
    return max(1, math.ceil(min(late * theory.horizon(threshold) / rate, _MOST_STEPS)))


def highest_stable_rate(theory: AbstractTheory) -> float:
    """Return the stability bound at the smallest threshold that is tried, where it is highest."""
    return theory.stability_bound(10.0**-_DECADES_BELOW * float(theory.modes[-1]))


def best_step(theory: AbstractTheory, threshold: float, rate: float, budget: int | None, *, refine: bool) -> Point:
    """Return the step of smallest predicted test error at a threshold, within a budget of steps if there is one."""
    last = last_step(theory, threshold, rate)
    last = last if budget is None else min(last, budget)
    steps = np.unique(np.linspace(0, last, theory.resolution[1]).round())
    found = theory.curves_at(threshold, rate, steps)
    k = int(np.argmin(found.test_error))
    if refine:
        low, high = steps[max(k - 1, 0)], steps[min(k + 1, steps.size - 1)]
        steps = np.union1d(steps, np.linspace(low, high, theory.resolution[1]).round())
        found = theory.curves_at(threshold, rate, steps)
        k = int(np.argmin(found.test_error))
    return Point(
        threshold,
        rate,
        int(steps[k]),
        float(found.test_error[k]),
        float(found.stable_rank[k]),
        steps,
        found.test_error,
    )


def search(theory: AbstractTheory, rate: float | None, budget: int) -> Search | None:
    """Search the threshold; None if the given rate is unstable at all of them."""
    count, _ = theory.resolution
    grid = np.geomspace(10.0**-_DECADES_BELOW * theory.modes[-1], _FACTOR_ABOVE * theory.modes[0], count)
    rates = [(t, rate_at(theory, t, rate)) for t in grid.tolist() if rate is None or rate < theory.stability_bound(t)]
    if not rates:
        return None
    points = [best_step(theory, t, r, budget, refine=False) for t, r in rates]
    cut = [(t, r) for t, r in rates if last_step(theory, t, r) > budget]
    unlimited = [best_step(theory, t, r, None, refine=False) for t, r in cut]
    smallest = min(p.test_error for p in points)
    allowed = (1 + NEAR) * smallest + _NEGLIGIBLE * theory.signal_entry
    chosen = min((p for p in points if p.test_error <= allowed), key=lambda p: p.step)
    return Search(
        recommended=best_step(theory.refined(), chosen.threshold, chosen.rate, budget, refine=True),
        smallest_error=smallest,
        unlimited_error=min([smallest, *(p.test_error for p in unlimited)]),
    )


def trade_off(theory: AbstractTheory, rate: float | None, depths: Sequence[float]) -> list[Point]:
    """Return the best steps, without a budget, at thresholds in units of the smallest detected mode."""
    thresholds = [depth * float(theory.modes[-1]) for depth in depths]
    stable = [t for t in thresholds if rate is None or rate < theory.stability_bound(t)]
    fine = theory.refined()
    return [best_step(fine, t, rate_at(theory, t, rate), None, refine=False) for t in stable]
