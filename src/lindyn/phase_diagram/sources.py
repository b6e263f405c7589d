"""Sources of a diagram: each turns one row of the grid (one seed, one width, all variances) into numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lindyn.networks import TwoLayer
from lindyn.phase_diagram.kernel import Outcome, run_batch
from lindyn.phase_diagram.settings import DiagramSettings
from lindyn.phase_diagram.stopping import StoppedCurves, follow
from lindyn.precision import working_precision
from lindyn.prediction import stability_bound_of
from lindyn.rates import figure2_rate
from lindyn.spectra import ModeSpectrum

QUANTITIES = {
    "min_test_error": ("smallest test error per entry before stopping", "target²"),
    "stable_rank": ("stable rank at the smallest test error", "1"),
    "steps_to_min": ("steps until the smallest test error", "1"),
    "last_step": ("step at which the published rules stop", "1"),
    "train_error": ("train error per entry at the last step", "target²"),
    "active_modes": ("singular values of A above the threshold at the smallest test error", "1"),
    "distance": ("largest ‖A − A_formula‖_F²/(d_out d_in) along the run", "target²"),
    "learning_rate": ("published learning rate", "1/target"),
}

Row = dict[str, dict[str, np.ndarray]]  # source → quantity → values along the variances


def row(settings: DiagramSettings, sources: tuple[str, ...], seed: int, number: int) -> Row:
    """Compute row `number` (of width exponents) of a diagram for one seed, by the given sources."""
    found: Row = {}
    for source in ("predict", "spectral"):
        if source in sources:
            found[source] = _curves_row(settings, source, seed, number)
    simulated = tuple(s for s in ("descend", "formula") if s in sources)
    if simulated:
        found |= _simulated_row(settings, simulated, seed, number)
    return found


@lru_cache(maxsize=8)
def _modes(settings: DiagramSettings, source: str, seed: int) -> ModeSpectrum:
    if source == "predict":
        return settings.theory().modes
    task = settings.task(seed)
    return ModeSpectrum.of(task.target, task.signal)


def _rates(settings: DiagramSettings, signal: np.ndarray, variance: np.ndarray, width: int) -> np.ndarray:
    deviation = np.sqrt(variance)
    bound = stability_bound_of(settings.theory(), variance * width, width, (deviation, deviation))
    top, size = float(signal[0]), float(np.linalg.norm(signal))
    return figure2_rate(variance * width, top=top, size=size, bound=bound)


def _signal(settings: DiagramSettings, seed: int) -> np.ndarray:
    """Singular values of the signal of one seed, by which the published rate is set."""
    if settings.spectrum == "mean":
        return settings.signal_spectrum()
    return np.linalg.svd(settings.task(seed).reference(), compute_uv=False)[: settings.rank]


def _curves_row(settings: DiagramSettings, source: str, seed: int, number: int) -> dict[str, np.ndarray]:
    variance, width = settings.law(settings.width_exponents[number])
    tau, n0 = variance * width, variance**2 * width
    signal = settings.signal_spectrum() if source == "predict" else _signal(settings, seed)
    rate = _rates(settings, signal, variance, width)
    modes = _modes(settings, source, seed)

    def errors(cells: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (cells.size, steps.size)
        times = rate[cells, None] * steps
        out = modes.errors(np.broadcast_to(tau[cells, None], shape), times, np.broadcast_to(n0[cells, None], shape))
        return out["train_error"], out["test_error"]

    ends: StoppedCurves = follow(errors, cells=tau.size, steps=settings.steps)
    best = rate * ends.best_step
    return {
        "min_test_error": ends.best_test,
        "stable_rank": modes.errors(tau, best, n0)["stable_rank"],
        "steps_to_min": ends.best_step.astype(float),
        "last_step": ends.last_step.astype(float),
        "train_error": ends.last_train,
        "active_modes": modes.active(tau, best),
        "distance": np.full(tau.size, np.nan),
        "learning_rate": rate,
    }


def _simulated_row(settings: DiagramSettings, sources: tuple[str, ...], seed: int, number: int) -> Row:
    variance, width = settings.law(settings.width_exponents[number])
    tau = variance * width
    rate = _rates(settings, _signal(settings, seed), variance, width)
    dtype = np.dtype(settings.dtype)
    networks, twins = [], []
    for j, v in enumerate(variance):
        net = TwoLayer.gaussian(settings.shape, width, v, key=np.random.default_rng([seed, number, j]))
        networks.append(_padded(net, sum(settings.shape), dtype))
        if "formula" in sources:
            twins.append(_padded(TwoLayer.orthogonal(threshold=tau[j], start=net.matrix), sum(settings.shape), dtype))
    with working_precision(dtype):
        task = jax.tree.map(jnp.asarray, settings.task(seed))
        stacked = [
            tuple(np.stack(part) for part in zip(*nets, strict=True)) if nets else None for nets in (networks, twins)
        ]
        limit = jnp.asarray(settings.steps, jnp.int32)
        outcomes = run_batch(task, stacked[0], stacked[1], jnp.asarray(rate, dtype), limit)
        network, formula, distance = jax.tree.map(lambda x: np.asarray(x, dtype=np.float64), outcomes)
    found = {"descend": _named(network, tau, rate, distance)}
    if formula is not None:
        found["formula"] = _named(formula, tau, rate, np.full(tau.size, np.nan))
    return {source: found[source] for source in sources}


def _padded(net: TwoLayer, columns: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Layers with the hidden index first, padded with zeros to `columns` hidden units (1.4)."""
    out = []
    for layer in (net.w1, net.w2.T):
        padded = np.zeros((columns, layer.shape[1]), dtype)
        padded[: len(layer)] = layer
        out.append(padded)
    return out[0], out[1]


def _named(outcome: Outcome, tau: np.ndarray, rate: np.ndarray, distance: np.ndarray) -> dict[str, Any]:
    s = outcome.singular_values
    top = s[:, 0] ** 2
    return {
        "min_test_error": outcome.min_test_error,
        "stable_rank": np.divide((s**2).sum(1), top, out=np.zeros_like(top), where=top > 0),
        "steps_to_min": outcome.steps_to_min,
        "last_step": outcome.last_step,
        "train_error": outcome.train_error,
        "active_modes": (s > tau[:, None]).sum(1).astype(float),
        "distance": distance,
        "learning_rate": rate,
    }
