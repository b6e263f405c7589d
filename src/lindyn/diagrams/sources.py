"""Sources of a diagram: each turns cells (γ_σ², γ_w) of one seed into numbers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lindyn.diagrams.deep_cells import deep_cell, deep_lane_width, follow_deep_modes
from lindyn.diagrams.grid import Found
from lindyn.diagrams.predicted import follow_modes
from lindyn.diagrams.settings import SIMULATED, DiagramSettings
from lindyn.diagrams.simulated import Cell, Outcome, run_cells
from lindyn.diagrams.stopping import Watch
from lindyn.networks.two_layer import TwoLayer
from lindyn.prediction.deep_accuracy import deep_error_estimate
from lindyn.prediction.deep_spectra import deep_active, deep_errors, deep_stability_limit, deep_validity
from lindyn.prediction.large_d import stability_bound_of
from lindyn.prediction.spectra import ModeSpectrum
from lindyn.prediction.validity import (
    USABLE,
    cells_error,
    descend_cells,
    error_estimate,
    stable_rank_of,
    steps_matter,
)
from lindyn.solutions.deep_modes import deep_published_rate
from lindyn.solutions.modes import step_in_turn
from lindyn.solutions.step_sizes import figure2_rate
from lindyn.support import checks
from lindyn.support.labels import OF_CELLS
from lindyn.support.linalg import stable_rank
from lindyn.support.precision import working_precision
from lindyn.support.randomness import stream

_RISEN = 1.001  # a train error above that of the start, up to rounding, has diverged


def compute(
    settings: DiagramSettings, seed: int, variance_exponents: Any, width_exponents: Any, *, lanes: int = 1
) -> Found:
    """Compute cells by all sources of the settings, whatever their grid: a cell depends on its place and seed alone.

    Args:
        settings: tasks, training and sources.
        seed: seed of task and weights.
        variance_exponents: γ_σ² of each cell.
        width_exponents: γ_w of each cell.
        lanes: simulated cells that run side by side.

    Returns:
        For each source the quantities of every cell, and "reason": why a cell failed (its numbers are NaN), or "".

    Raises:
        InvalidArgument: exponents of different lengths, not finite, or a negative γ_w.

    References:
        theory sections 4 and 5.

    Examples:
        >>> from lindyn.diagrams import figure2
        >>> found = compute(figure2(sources=["predict"]), 0, [-2.2, -1.0], [1.75, 1.75])
        >>> found["predict"]["min_test_error"].round(3).tolist()
        [0.051, 0.513]
    """
    checks.instance("settings", settings, DiagramSettings, "DiagramSettings", "call `figure2()` for the published ones")
    seed, lanes = checks.integer("seed", seed, at_least=0), checks.integer("lanes", lanes, at_least=1)
    gamma_v = checks.array("variance_exponents", variance_exponents, 1, dtype=np.float64)
    gamma_w = checks.array("width_exponents", width_exponents, 1, dtype=np.float64, shape=gamma_v.shape)
    if np.any(gamma_w < 0):
        raise checks.InvalidArgument("width_exponents", "be non-negative", f"the smallest is {gamma_w.min():g}")
    variance, width = settings.law(gamma_v, gamma_w)
    found: Found = {}
    for source in ("predict", "spectral"):
        if source in settings.sources:
            found[source] = _predicted(settings, source, seed, variance, width)
    simulated = tuple(s for s in SIMULATED if s in settings.sources)
    if simulated:
        entropy = np.stack([gamma_v, gamma_w]).view(np.uint64).T
        found |= _simulated(settings, simulated, seed, variance, width, entropy, lanes)
    return {source: found[source] for source in settings.sources}


@lru_cache(maxsize=8)
def _modes(settings: DiagramSettings, source: str, seed: int) -> ModeSpectrum:
    if source == "predict":
        return settings.theory().modes
    task = settings.task(seed)
    return ModeSpectrum.of(task.target, task.signal)


@lru_cache(maxsize=8)
def _signal(settings: DiagramSettings, source: str, seed: int) -> np.ndarray:
    """Singular values of the signal, by which the published rate is set."""
    if source == "predict" or settings.spectrum == "mean" or settings.singular_values is not None:
        return settings.signal_spectrum()
    return np.linalg.svd(settings.task(seed).reference(), compute_uv=False)[: settings.rank]


def _rates(
    settings: DiagramSettings, source: str, seed: int, variance: np.ndarray, width: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the learning rate of each cell, and its stability bound."""
    deviation, tau = np.sqrt(variance), settings.threshold(variance, width)
    if settings.depth == 2:
        bound = stability_bound_of(settings.theory(), tau, width, (deviation, deviation))
    else:
        bound = deep_stability_limit(tau, width, settings.theory().modes.top, settings.shape, settings.depth)
    if not isinstance(settings.learning_rate, str):
        return np.full(bound.shape, settings.learning_rate), bound
    signal = _signal(settings, source, seed)
    top, size = float(signal[0]), float(np.linalg.norm(signal))
    if settings.depth != 2:
        return deep_published_rate(tau, top=top, size=size, bound=bound, depth=settings.depth), bound
    return figure2_rate(tau, top=top, size=size, bound=bound), bound


class _Followed(NamedTuple):
    """Predicted cells: how they ended; at their best step stable rank, active modes, stated error; where it holds."""

    end: Watch
    stable: np.ndarray
    active: np.ndarray
    error: np.ndarray
    trusted: Any


def _two_layers(
    settings: DiagramSettings, modes: ModeSpectrum, tau: np.ndarray, rate: np.ndarray, n0: np.ndarray,
    bound: np.ndarray, width: np.ndarray,
) -> _Followed:  # fmt: skip
    stepped = steps_matter(rate / bound, np.full(tau.size, settings.steps), modes)
    end = follow_modes(modes, tau, rate, n0, steps=settings.steps, unit=settings.unit, stepped=stepped)
    best = rate * end.best_step
    stable, active = modes.errors(tau, best, n0)["stable_rank"], modes.active(tau, best)
    error = cells_error(settings.theory(), tau, rate, np.asarray(end.best_step), n0, width, rate / bound)
    if stepped.any():
        cells = tau[stepped], rate[stepped], n0[stepped], np.asarray(end.best_step)[stepped]
        run = descend_cells(modes, *cells, step_of=step_in_turn)
        stable[stepped] = stable_rank_of(modes, *cells, step_of=step_in_turn)
        active[stepped] = (run.learned > cells[0][:, None]) @ modes.counts
        theory = descend_cells(settings.theory().modes, *cells, step_of=step_in_turn)
        error[stepped] = error_estimate(settings.theory(), width[stepped], (rate / bound)[stepped], theory)
    return _Followed(end, stable, active, error, True)


def _more_layers(
    settings: DiagramSettings, modes: ModeSpectrum, tau: np.ndarray, rate: np.ndarray, n0: np.ndarray,
    bound: np.ndarray, width: np.ndarray,
) -> _Followed:  # fmt: skip
    depth = settings.depth
    end = follow_deep_modes(modes, depth, tau, rate, n0, steps=settings.steps, unit=settings.unit)
    best = rate * end.best_step
    stable, active = deep_errors(modes, depth, tau, best, n0).stable_rank, deep_active(modes, depth, tau, best)
    error = deep_error_estimate(
        settings.theory(),
        depth,
        threshold=tau,
        time=best,
        start_variance=n0,
        width=width,
        rate=rate,
        share=rate / bound,
    )
    return _Followed(end, stable, active, error, deep_validity(width, n0, settings.shape, settings.unit))


def _predicted(
    settings: DiagramSettings, source: str, seed: int, variance: np.ndarray, width: np.ndarray
) -> dict[str, np.ndarray]:
    tau, n0 = settings.threshold(variance, width), settings.start_variance(variance, width)
    rate, bound = _rates(settings, source, seed, variance, width)
    modes = _modes(settings, source, seed)
    followed = _two_layers if settings.depth == 2 else _more_layers
    end, stable, active, error, trusted = followed(settings, modes, tau, rate, n0, bound, width)
    zero = modes.energy / (float(modes.shape[0]) * modes.shape[1])
    found = {
        **_of_watch(end),
        "stable_rank": stable,
        "active_modes": active,
        "distance": np.full(tau.size, np.nan),
        "learning_rate": rate,
        "error_estimate": error,
        "valid": np.where(trusted & (error <= USABLE * zero), 1.0, 0.0),
    }
    unstable = rate > bound
    found = {name: np.where(unstable, np.nan, values) for name, values in found.items()}
    why = [f"diverges: learning rate {r:.3g}, stability bound {b:.3g}" for r, b in zip(rate, bound, strict=True)]
    return {**found, "reason": np.where(unstable, np.array(why, dtype=object), "")}


def _of_watch(watch: Watch) -> dict[str, np.ndarray]:
    named = {
        "min_test_error": watch.best_test,
        "steps_to_min": watch.best_step,
        "last_step": watch.last_step,
        "train_error": watch.last_train,
        "unfinished": watch.running,
    }
    return {name: np.asarray(value, dtype=np.float64) for name, value in named.items()}


def lane_width(settings: DiagramSettings, width: float) -> int:
    """Return the hidden units that a cell is padded to: few sizes, since each is compiled."""
    if settings.depth != 2:
        return deep_lane_width(settings.shape, settings.depth, width)
    n = sum(settings.shape)
    return min(n, max(8, 1 << (int(min(width, n)) - 1).bit_length()))


def _simulated(
    settings: DiagramSettings,
    sources: tuple[str, ...],
    seed: int,
    variance: np.ndarray,
    width: np.ndarray,
    entropy: np.ndarray,
    lanes: int,
) -> Found:
    rate, bound = _rates(settings, "descend", seed, variance, width)
    tau, dtype = settings.threshold(variance, width), np.dtype(settings.dtype)
    padded = np.array([lane_width(settings, w) for w in width])
    found = {s: {q: np.full(tau.size, np.nan) for q in OF_CELLS} for s in sources}
    reasons = np.full(tau.size, "", dtype=object)

    def starts(chosen: np.ndarray) -> Iterator[Cell]:
        for k in chosen:
            key = stream("seeds", seed, "cells", *entropy[k].tolist())
            if settings.depth != 2:
                place = int(width[k]), variance[k], rate[k], padded[k]
                yield deep_cell(settings.shape, settings.depth, *place, key=key, dtype=dtype)
                continue
            net = TwoLayer.gaussian(settings.shape, int(width[k]), variance[k], key=key)
            yield Cell(dtype.type(rate[k]), _layers(net, padded[k], dtype), _twin(net, dtype))

    with working_precision(dtype):
        task = jax.tree.map(jnp.asarray, settings.task(seed))
        for columns in np.unique(padded):
            chosen = np.flatnonzero(padded == columns)
            ends = run_cells(
                task,
                starts(chosen),
                steps=settings.steps,
                lanes=min(lanes, chosen.size),
                follow_twin="formula" in sources,
                unit=settings.unit,
            )
            for number, outcome in ends:
                k = chosen[number]
                if not outcome.watch.last_train <= _RISEN * outcome.watch.first_train:
                    reasons[k] = (
                        f"diverged at step {int(outcome.watch.last_step)}: learning rate {rate[k]:.3g}, "
                        f"stability bound {bound[k]:.3g}"
                    )
                    continue
                for source in sources:
                    for name, value in _quantities(
                        source, outcome, tau[k], rate[k], compared=settings.depth == 2
                    ).items():
                        found[source][name][k] = value
    return {source: {**quantities, "reason": reasons} for source, quantities in found.items()}


def _layers(net: TwoLayer, columns: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Layers with the hidden index last, padded with zeros to `columns` hidden units (1.4)."""
    w1_t, w2 = np.zeros((net.shape[1], columns), dtype), np.zeros((net.shape[0], columns), dtype)
    w1_t[:, : net.reduced_width], w2[:, : net.reduced_width] = net.w1.T, net.w2
    return w1_t, w2


def _twin(net: TwoLayer, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Smallest start that obeys the mixed dynamics exactly from the network's A(0): λ-balanced, λ = 2τ (2.4), (2.6)."""
    d_out, d_in = net.shape
    side: Literal["in", "out"] = "in" if d_in <= d_out else "out"
    twin = TwoLayer.balanced(threshold=net.threshold, width=min(d_out, d_in), side=side, start=net.matrix)
    return np.ascontiguousarray(twin.w1.T).astype(dtype), twin.w2.astype(dtype)


def _quantities(source: str, outcome: Outcome, tau: float, rate: float, *, compared: bool) -> dict[str, Any]:
    watch, best = outcome.watch, outcome.best
    if source == "formula":
        assert outcome.twin_watch is not None and outcome.twin_best is not None
        watch, best = outcome.twin_watch, outcome.twin_best
    s = np.linalg.svd(best, compute_uv=False)
    return {
        **_of_watch(watch),
        "stable_rank": float(stable_rank(s)),
        "active_modes": float((s > tau).sum()),
        "distance": outcome.distance if source == "descend" and compared else np.nan,
        "learning_rate": rate,
        "error_estimate": np.nan,
        "valid": np.nan,
    }
