"""How far a prediction can be from a run, and the steps of descent where they are not small.

A single run at finite d and w deviates from the large-d curve by five effects. With P(t) the predicted test error, O
the part of ‖A‖_F²/D that is orthogonal to A* (learned noise), R = n₀e^{−4τt} what is left of A(0), D = d_out d_in and
n = d_in + d_out:

    draw of the noise   C_d √(2/D) (O + R)                        a sum of D squares
    places of the modes C_x √(Σ_k (∂P/∂m_k ∂m_k/∂x_k ν)²/n_k)     u ᵀEv is N(0, ν²): an outlier moves by ν
    finite width        C_w x/(1 + C_s x)·(O + R)·(1 + (η/η_max)²), x = n/w: the kernel's eigenvalues spread by √(d/w)
    arrival of modes    C_a √(x/(1 + 10x)) |Σ_k ∂P/∂m_k τ∂m_k/∂τ|  each mode starts from its own τ(1 ± O(√(d/w)))
    overlap with A(0)   C_0 2√(R ‖A*‖_F²)/D                       ⟨A(0), A*⟩ is not 0

and the step, |P_descent − P_flow|, where the flow is reported. The first five add as squares; the modes that a network
of w < K cannot represent, Σ_{k > w} s_k²/D, and the step add to them. The constants were fitted to one table of
simulated settings and are checked on another (docs/validity.md).

At infinite width descent itself is as explicit as its flow, weight decay included: `descent_step` of
`lindyn.solutions.modes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lindyn.prediction.spectra import ModeSpectrum, SpikedSpectrum, rank_in_noise
from lindyn.solutions.modes import ModeOfLayers, descent_step, mode_curve, step_at_once
from lindyn.support.namespaces import arrays

DRAW, PLACES, WIDTH, SATURATION, ARRIVAL, OVERLAP = 1.3, 0.65, 0.24, 0.2, 0.63, 2.3  # C_d, C_x, C_w, C_s, C_a, C_0
SMALL_STEPS = 0.1  # η over the stability bound, up to which the flow is reported: there it lags by some 5 %
RELATIVE = 1e-4  # change of x and of τ by which slopes are taken
USABLE = (
    0.1  # stated error at the smallest test error, over that of predicting zero, above which a prediction is marked
)
STEPPED = 20_000  # of descent that are followed one by one; longer runs of small steps are those of the flow
_MOST_WORK = 3e8  # steps of modes of cells: some seconds
_BLOCK = 20_000  # cells evaluated at once: some 100 MB
_DIVERGED = 1.001  # train error above that of the start, up to rounding


StepOf = Callable[[ModeOfLayers, Any, Any], ModeOfLayers]


class ValidityWarning(UserWarning):
    """A prediction is asked for where the theory does not hold; the message carries the numbers."""


class Setting(NamedTuple):
    """What moves the modes of a prediction."""

    threshold: Any
    rate: float  # flow time of a step
    start_variance: float
    decay: float = 0.0  # μ of both layers


class Descent(NamedTuple):
    """Motion of the modes at infinite width."""

    learned: np.ndarray  # m, (records, modes)
    slope: np.ndarray  # ∂m/∂x
    arrival: np.ndarray  # τ∂m/∂τ
    residue: np.ndarray  # what is left of n₀
    train_error: np.ndarray
    test_error: np.ndarray


def flow_slopes(learned: Any, higher: Any, value: Any, threshold: Any, time: Any) -> tuple[Any, Any]:
    """Return ∂m/∂x and τ∂m/∂τ of the mode curve, from the curves at x and at x(1 + `RELATIVE`).

    m is homogeneous: x∂m/∂x + τ∂m/∂τ − t∂m/∂t = m.

    Args:
        learned: m.
        higher: m at x(1 + `RELATIVE`).
        value: x.
        threshold: τ.
        time: t.
    """
    xp, (m, high, x, tau, t) = arrays(learned, higher, value, threshold, time)
    slope = xp.where(x > 0, (high - m) / (RELATIVE * xp.where(x > 0, x, 1.0)), 0.0)  # a mode of 0 stays there
    speed = 2 * xp.hypot(m, tau) * (x - m)
    return slope, m + t * speed - x * slope


def _motion(modes: ModeSpectrum, m: np.ndarray, slopes: tuple[Any, Any], residue: np.ndarray) -> Descent:
    train, test, _ = modes.errors_of(m, float(modes.shape[0]) * modes.shape[1])
    return Descent(m, *slopes, residue, train + residue, test + residue)


def descend(modes: ModeSpectrum, setting: Setting, steps: np.ndarray) -> Descent:
    """Return the steps of gradient descent on every mode, at infinite width and from a zero start.

    Args:
        modes: of the target.
        setting: threshold and flow time of a step.
        steps: whole numbers, increasing, of the records.

    References:
        theory (1.2), (2.2), (3.2).

    Examples:
        >>> modes = SpikedSpectrum(100, [60.0], 1.0).modes
        >>> lazy = descend(modes, Setting(1e6, 1e-7, 0.0), np.array([1.0]))
        >>> round(float(lazy.learned[0, 0] / modes.values[0]), 9)  # 2ητ
        0.2
    """
    values, tau = modes.values, setting.threshold
    x = np.concatenate([values, values * (1 + RELATIVE), values])
    grown = np.concatenate([np.full(2 * values.size, tau), np.full(values.size, tau * (1 + RELATIVE))])  # c + m
    fallen = grown.copy()  # c − m
    learned, residue = np.zeros((steps.size, x.size)), np.zeros(steps.size)
    at, left = {int(step): k for k, step in enumerate(steps)}, setting.start_variance
    with np.errstate(over="ignore", invalid="ignore"):  # descent that diverges overflows, and is cut off by its caller
        for step in range(int(steps[-1]) + 1):
            if step in at:
                learned[at[step]], residue[at[step]] = 0.5 * (grown - fallen), left
            grown, fallen = descent_step(grown, fallen, x, setting.rate, setting.decay)
            left = residue_step(left, tau, setting.rate, setting.decay)
            tau = tau * (1 - setting.rate * setting.decay) ** 2
        return _stepped(modes, learned, residue)


def descend_cells(
    modes: ModeSpectrum,
    threshold: np.ndarray,
    rate: np.ndarray,
    start_variance: np.ndarray,
    steps: np.ndarray,
    step_of: StepOf = step_at_once,
) -> Descent:
    """Return the same for many cells at one step each: `descend`, a record a cell.

    Args:
        modes: of the target.
        threshold: τ of each cell, (cells,).
        rate: flow time of a step.
        start_variance: n₀.
        steps: step of each cell.
        step_of: how a mode makes a step, both layers at once or in turn.

    Examples:
        >>> modes = SpikedSpectrum(100, [60.0], 1.0).modes
        >>> cells = descend_cells(modes, np.array([1.0, 2.0]), np.full(2, 1e-2), np.zeros(2), np.array([3, 0]))
        >>> alone = descend(modes, Setting(1.0, 1e-2, 0.0), np.array([3]))
        >>> bool(abs(cells.test_error[0] - alone.test_error[0]) < 1e-15), float(cells.learned[1, 0])
        (True, 0.0)
    """
    order = np.argsort(-steps)  # the longest first, so that those still running are the first ones
    tau, eta, last = threshold[order], rate[order], steps[order].astype(int)
    ones = np.ones(modes.values.size)
    x = np.concatenate([ones, ones * (1 + RELATIVE), ones]) * np.tile(modes.values, 3)
    layer = tau[:, None] * np.concatenate([ones, ones, ones * (1 + RELATIVE)])
    mode, left = ModeOfLayers(layer, layer.copy(), 0 * layer), np.array(start_variance[order], dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # as in `descend`
        for step in range(int(last.max(initial=0))):
            on = slice(int(np.searchsorted(-last, -step, side="left")))
            moved = step_of(ModeOfLayers(*(part[on] for part in mode)), x, eta[on, None])
            for part, now in zip(mode, moved, strict=True):
                part[on] = now
            left[on] = residue_step(left[on], tau[on], eta[on])
        back = np.argsort(order)
        return _stepped(modes, mode.learned[back], left[back])


def _stepped(modes: ModeSpectrum, learned: np.ndarray, residue: np.ndarray) -> Descent:
    """Return all of it from the curves at x, at x(1 + ε) and from τ(1 + ε), side by side."""
    m, high, late = np.split(learned, 3, axis=1)
    # a mode of 0, without noise, stays there
    slope = np.divide(high - m, RELATIVE * modes.values, out=np.zeros_like(m), where=modes.values > 0)
    return _motion(modes, m, (slope, (late - m) / RELATIVE), residue)


def residue_step(left: Any, threshold: Any, rate: Any, decay: Any = 0.0) -> Any:
    """Return what a step leaves of a random start in both errors: the lazy decay of iid entries.

        n ← n(1 − 2η(τ + μ))², τ the threshold at this step.

    Args:
        left: n before the step, σ⁴w at first.
        threshold: τ.
        rate: η, flow time of the step.
        decay: μ of both layers.

    References:
        theory section 4, (2.8); *follows* from (1.2) at τ ≫ s.
    """
    return left * (1 - 2 * rate * (threshold + decay)) ** 2


def follow(modes: ModeSpectrum, setting: Setting, steps: np.ndarray) -> Descent:
    """Return the same along the flow, at times ηn: descent in the limit of small steps."""
    times = setting.rate * steps
    residue = setting.start_variance * np.exp(-4 * setting.threshold * times)
    return _flow(modes, setting.threshold, times[:, None], residue)


def _flow(modes: ModeSpectrum, tau: Any, times: np.ndarray, residue: np.ndarray) -> Descent:
    x = np.concatenate([modes.values, modes.values * (1 + RELATIVE)])
    m, high = np.split(mode_curve(x, tau, times), 2, axis=1)
    return _motion(modes, m, flow_slopes(m, high, modes.values, tau, times), residue)


def error_estimate(spectrum: SpikedSpectrum, width: Any, share: Any, run: Descent) -> np.ndarray:
    """Return how far the test error of a single run can be from the prediction, the step apart.

    Args:
        spectrum: of the target.
        width: w; broadcast with the records.
        share: learning rate over the stability bound.
        run: motion of the modes.

    References:
        theory section 5; the terms stand at the head of `lindyn.prediction.validity`.

    Examples:
        >>> spectrum = SpikedSpectrum(100, [60.0], 1.0)
        >>> run = follow(spectrum.modes, Setting(1.0, 1e-3, 0.0), np.array([60.0]))
        >>> narrow, wide = (error_estimate(spectrum, w, 0.06, run) for w in (100, 10**6))
        >>> bool(narrow > 5 * wide)
        True
    """
    modes, (d_out, d_in) = spectrum.modes, spectrum.shape
    w, entries = np.asarray(width, dtype=np.float64), float(d_out) * d_in
    terms = deviation_terms(run.learned, run.slope, run.arrival, modes.counts, modes.projections, entries)
    along, power, places, late = (np.sum(term, axis=-1) for term in terms)
    found = deviation_of(along, power, places, late, run.residue, w, share, modes.energy, spectrum.noise, (d_out, d_in))
    beyond = np.append(np.cumsum((spectrum.signal**2)[::-1])[::-1], 0.0) / entries  # Σ_{k > w} s_k²/D at each w
    return np.asarray(found + beyond[np.minimum(w, spectrum.signal.size).astype(int)])


def deviation_terms(
    learned: Any, slope: Any, arrival: Any, count: Any, projection: Any, entries: Any
) -> tuple[Any, Any, Any, Any]:
    """Return what a mode adds to ⟨A, A*⟩, to ‖A‖_F², to (∂P/∂m ∂m/∂x)²/n and to ∂P/∂m τ∂m/∂τ.

    Args:
        learned: m.
        slope: ∂m/∂x.
        arrival: τ∂m/∂τ.
        count: n, how many modes the node stands for.
        projection: the sum of their ⟨u, A*v⟩.
        entries: D = d_out d_in.
    """
    xp, (m, rise, late, n, known) = arrays(learned, slope, arrival, count, projection)
    pull = 2 * (m * n - known) / entries
    # a node that stands for no whole mode belongs to one that its neighbours share
    return m * known, m**2 * n, (pull * rise) ** 2 / xp.maximum(n, 1e-12), pull * late


def deviation_of(
    along: Any, power: Any, places: Any, late: Any, residue: Any, width: Any, share: Any, energy: Any, noise: Any,
    shape: tuple[Any, Any],
) -> Any:  # fmt: skip
    """Return the five effects of the head of this file together, from the sums of `deviation_terms`.

    Args:
        along: ⟨A, A*⟩.
        power: ‖A‖_F² without what is left of the start.
        places: sum of (∂P/∂m ∂m/∂x)²/n.
        late: sum of ∂P/∂m τ∂m/∂τ.
        residue: what is left of n₀.
        width: w.
        share: learning rate over the stability bound.
        energy: ‖A*‖_F².
        noise: ν.
        shape: (d_out, d_in).
    """
    xp, (along, power, places, late, residue, w, share, energy, nu, d_out, d_in) = arrays(
        along, power, places, late, residue, width, share, energy, noise, *shape
    )
    entries = d_out * d_in
    learned = power - along**2 / xp.where(energy > 0, energy, 1.0)
    spread = xp.maximum(learned, 0.0) / entries + residue  # O + R
    ratio = (d_out + d_in) / w
    draw = DRAW * xp.sqrt(2 / entries) * spread
    moved = PLACES * nu * xp.sqrt(places)
    finite = WIDTH * ratio / (1 + SATURATION * ratio) * (1 + xp.minimum(share, 1.0) ** 2) * spread
    arrival = ARRIVAL * xp.sqrt(ratio / (1 + 10 * ratio)) * late
    overlap = OVERLAP * 2 * xp.sqrt(residue * energy) / entries
    return xp.sqrt(draw**2 + moved**2 + finite**2 + arrival**2 + overlap**2)


def cells_error(
    spectrum: SpikedSpectrum,
    threshold: np.ndarray,
    rate: np.ndarray,
    steps: np.ndarray,
    start_variance: np.ndarray,
    width: np.ndarray,
    share: np.ndarray,
) -> np.ndarray:
    """Return the same for many cells at one step each, along the flow; arrays of one shape.

    The step is taken as the lag of half a step of the fastest mode: the test error that much earlier and later.

    Args:
        spectrum: of the target.
        threshold: τ.
        rate: flow time of a step.
        steps: step of each cell.
        start_variance: n₀.
        width: w.
        share: learning rate over the stability bound.

    Examples:
        >>> spectrum, cell = SpikedSpectrum(100, [60.0], 1.0), [np.array([v]) for v in (1.0, 1e-3, 60.0, 0.0)]
        >>> narrow, wide = (cells_error(spectrum, *cell, np.array([w]), np.array([0.06])) for w in (100.0, 1e6))
        >>> bool(narrow[0] > 2 * wide[0])
        True
    """
    modes, entries = spectrum.modes, float(spectrum.shape[0]) * spectrum.shape[1]
    columns = [np.asarray(v, dtype=np.float64).ravel() for v in (threshold, rate * steps, start_variance, width, share)]
    lag = np.ravel(0.5 * rate * np.hypot(modes.top, threshold))
    found = np.empty(columns[0].size)
    for first in range(0, found.size, _BLOCK):
        here = slice(first, first + _BLOCK)
        tau, time, n0, w, part = (column[here] for column in columns)
        run = _flow(modes, tau[:, None], time[:, None], n0 * np.exp(-4 * tau * time))
        shifted = [time * np.maximum(1 + sign * lag[here], 0.0) for sign in (-0.5, 0.5)]  # never before the start
        moved = [modes.errors_of(mode_curve(modes.values, tau[:, None], t[:, None]), entries)[1] for t in shifted]
        found[here] = error_estimate(spectrum, w, part, run) + np.abs(moved[1] - moved[0])
    return found.reshape(np.shape(threshold))


def stable_rank_of(
    modes: ModeSpectrum,
    threshold: np.ndarray,
    rate: np.ndarray,
    start_variance: np.ndarray,
    steps: np.ndarray,
    step_of: StepOf = step_at_once,
) -> np.ndarray:
    """Return ‖A‖_F²/‖A‖_op² of cells after their steps; what is left of the start counts as noise.

    Args:
        modes: of the target.
        threshold: τ of each cell, (cells,).
        rate: flow time of a step.
        start_variance: n₀.
        steps: step of each cell.
        step_of: as in `descend_cells`.
    """
    cells = threshold, rate, start_variance, steps
    run, one = descend_cells(modes, *cells, step_of=step_of), np.ones(1)
    top = descend_cells(replace(modes, values=modes.top * one, counts=one, projections=one), *cells, step_of=step_of)
    power = run.learned**2 @ modes.counts
    return np.asarray(rank_in_noise(power, top.learned[:, 0], run.residue, modes.shape))


def steps_matter(share: np.ndarray, steps: np.ndarray, modes: ModeSpectrum) -> np.ndarray:
    """Return which cells are followed step by step: those above a tenth of the stability bound, below it, in reach.

    Above the bound nothing is predicted; more than some seconds of steps in all are left to the flow and its error.

    Args:
        share: learning rate over the stability bound.
        steps: step of each cell.
        modes: of the target.
    """
    chosen = (share > SMALL_STEPS * (1 + 1e-9)) & (share <= 1) & (steps <= STEPPED)
    within = float(np.sum(steps[chosen])) * modes.values.size <= _MOST_WORK
    return chosen & within


def diverges_at(train_error: np.ndarray) -> int | None:
    """Return the first record whose train error is above that of the start, or is no number."""
    bad = ~(train_error <= _DIVERGED * train_error[0])
    return int(np.argmax(bad)) if bad.any() else None
