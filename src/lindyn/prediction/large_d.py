"""Prediction of whole runs by the large-d theory: curves for one network, or numbers for millions of cells."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from lindyn.methods.recorded_steps import save_steps
from lindyn.networks.deep_laws import DeepParametrization
from lindyn.networks.laws import Parametrization
from lindyn.prediction.deep_accuracy import deep_error_estimate
from lindyn.prediction.deep_spectra import (
    at_depth,
    deep_errors,
    deep_notes,
    deep_stability_limit,
    deep_validity,
)
from lindyn.prediction.losses import no_scale
from lindyn.prediction.spectra import ModeSpectrum, SpikedSpectrum, mean_signal_spectrum, rank_in_noise
from lindyn.prediction.validity import (
    SMALL_STEPS,
    STEPPED,
    USABLE,
    Descent,
    Setting,
    ValidityWarning,
    cells_error,
    descend,
    descend_cells,
    diverges_at,
    error_estimate,
    follow,
    stable_rank_of,
    steps_matter,
)
from lindyn.simulation.trajectory import Trajectory, Variable
from lindyn.solutions.deep_modes import checked_depth, deep_mode_curve, deep_published_rate
from lindyn.solutions.step_sizes import StabilityWarning, figure2_rate, gaussian_gram, published_rate, stability_limit
from lindyn.solutions.thresholds import start_variance
from lindyn.support import checks
from lindyn.support.bounds import LARGEST_LOGARITHM, MOST_STEPS, SQUARED
from lindyn.support.labels import OF_STATES
from lindyn.support.namespaces import quantities
from lindyn.support.provenance import Provenance


def predict(
    shape: int | tuple[int, int],
    law: Parametrization | DeepParametrization,
    *,
    depth: int | None = None,
    rank: int | None = None,
    singular_values: Any = None,
    noise: float = 1.0,
    scale: float = 1.0,
    learning_rate: float | str = "auto",
    steps: int = 750,
    save_every: int = 1,
    weight_decay: float = 0.0,
) -> Trajectory:
    """Predict the errors of training a wide network on a signal in noise, without a matrix: any d, at once.

    Uses the large-d spectra and the mode curve at flow time t = η·step; above a tenth of the stability bound, where
    descent leaves its flow, and with weight decay the steps themselves at infinite width. A start A(0) that is not
    small enters by its lazy decay. "error_estimate" says how far the test error of one run can be from the curve, for
    finite width, finite d, A(0) and the step (see `lindyn.prediction.validity` and docs/validity.md).

    Args:
        shape: (d_out, d_in), or d; 10⁹ is answered at once.
        law: variances and width, from `lindyn.laws`, or of any depth from `lindyn.networks.deep_laws`.
        depth: L, 1 to 6, of a network of that law with the same width in all hidden layers; 2, or the law's own.
        rank: K of a signal A* = scale·CDᵀ, whose mean spectrum is used.
        singular_values: the signal's own, instead of `rank`.
        noise: standard deviation of the noise entries.
        scale: multiplies the signal of given rank.
        learning_rate: η, or a published rule ("auto", "figure1"; see `lindyn.methods.rates`).
        steps: number of gradient-descent steps to cover.
        save_every: record every so many steps.
        weight_decay: μ of both layers, per step and learning rate as in `torch.optim.SGD`; two layers only. The train
            error is that of the task, without the penalty.

    Returns:
        A trajectory of "train_error", "test_error", "error_estimate", "stable_rank" and "signal_modes" (learned
        strength of each). Where descent diverges, it ends there and its status says so.

    Raises:
        InvalidArgument: arguments that cannot be used.

    Warns:
        StabilityWarning: the learning rate is above the stability bound.
        ValidityWarning: one run can be further from the smallest test error than a tenth of that of predicting zero.

    References:
        theory section 5.

    Examples:
        >>> from lindyn.networks.laws import exponents
        >>> law = exponents(200, variance_exponent=-2.2, width_exponent=1.75)
        >>> run = predict(200, law, rank=5, steps=750)
        >>> round(float(run["test_error"].min()), 3)
        0.051
    """
    d_out, d_in = checks.matrix_shape("shape", shape)
    if not isinstance(law, Parametrization | DeepParametrization):
        raise checks.InvalidArgument(
            "law",
            "be a law of the start, such as lindyn.laws.standard(width=1000, variance=1e-4)",
            f"it is {checks.shown(law)}",
        )
    spectrum = _spectrum_of((d_out, d_in), rank, singular_values, noise, scale)
    steps = checks.integer("steps", steps, at_least=0, at_most=MOST_STEPS)
    depth = None if depth is None else checks.integer("depth", depth, at_least=1)
    chosen = save_steps(steps, save_every).astype(float)

    mu = checks.number("weight_decay", weight_decay, at_least=0)
    tau, top = law.threshold, float(spectrum.signal[0])
    if isinstance(law, DeepParametrization) or depth not in (None, 2):
        deep = law if isinstance(law, DeepParametrization) else at_depth(law, (d_out, d_in), checked_depth(depth))
        if depth not in (None, deep.depth):
            raise checks.InvalidArgument("depth", f"be that of the law, {deep.depth}", f"it is {depth}")
        if mu:
            raise checks.InvalidArgument(
                "weight_decay", f"be 0 at depth {deep.depth}", f"it is {mu:g}", "simulate a DeepLinear instead"
            )
        return _predict_deep(deep, spectrum, learning_rate, chosen)
    if tau == 0:
        raise checks.InvalidArgument(
            "law", "have a positive variance", "its threshold is 0, and a start of zero never moves"
        )
    u_in, u_out = law.units
    deviations = u_in * math.sqrt(law.variance_in), u_out * math.sqrt(law.variance_out)
    bound = float(stability_bound_of(spectrum, tau, law.width, deviations)) / law.clock
    if isinstance(learning_rate, str):
        size = float(np.linalg.norm(spectrum.signal))
        rate, why = published_rate(learning_rate, threshold=tau, top=top, size=size, bound=bound, unit=law.clock)
    else:
        rate, why = checks.number("learning_rate", learning_rate, above=0, at_most=SQUARED), "given"
    n0 = law.start_variance
    notes = [f"learning rate {rate:.6g}: {why}; stability bound {bound:.4g}"]
    if n0 >= 0.1:
        notes.append(f"σ⁴w = {n0:.3g}: A(0) is not small; its lazy decay is included, exact only where τ ≫ s")
    if law.width < max(d_out, d_in):
        notes.append(f"width {law.width:,} is below d = {max(d_out, d_in):,}: outside the theory, which needs w ≫ d")
    if mu:
        notes.append(f"weight decay {mu:g}: the threshold falls as e^(−2μt); the error estimate was fitted without it")
    setting = Setting(tau, rate * law.clock, n0, _decay_of(mu, rate, law.clock))
    curves, how = _curves(spectrum, setting, chosen)
    last, status = _ending(curves["train_error"], chosen, rate, bound)
    run, steps_error = Descent(*(part[:last] for part in curves.pop("run"))), curves.pop("steps_error")[:last]
    curves = {name: values[:last] for name, values in curves.items()}
    curves["error_estimate"] = error_estimate(spectrum, law.width, rate / bound, run) + steps_error
    told, poor = _accuracy(curves, spectrum)
    if poor and status == "completed":
        warnings.warn(f"Prediction of a {told}.", ValidityWarning, stacklevel=2)
    dims: dict[str, tuple[str, ...]] = {
        "train_error": (), "test_error": (), "error_estimate": (), "stable_rank": (), "signal_modes": ("signal_mode",)
    }  # fmt: skip
    variables = {name: Variable(dims[name], *OF_STATES[name]) for name in dims}
    info = Provenance(
        dynamics=f"network of width {law.width:,}",
        law=f"{law.name}, {law.distribution} weights",
        method="large-d theory",
        why=f"{how} on the {'spiked spectrum (section 5)' if spectrum.separate else 'spectrum (5.1)'}, no matrices",
        task="SpikedMatrix",
        shape=(d_out, d_in),
        threshold=float(tau),
        dtype="float64",
        state_bytes=sum(v.nbytes for v in curves.values()),
        learning_rate=rate,
        stability_bound=float(bound),
        notes=(*notes, told),
        sources=("tu2024mixed", "benaych2012singular", "gavish2014optimal"),
        status=status,
    )
    return Trajectory(
        setting.rate * chosen[:last], chosen[:last], {name: curves[name] for name in dims}, variables, info
    )


def _curves(spectrum: SpikedSpectrum, setting: Setting, steps: np.ndarray) -> tuple[dict[str, Any], str]:
    """Return the curves, the motion of the modes behind them, and what the step makes of the test error."""
    modes = spectrum.modes
    share = setting.rate * math.hypot(modes.top, setting.threshold)
    curves: dict[str, Any] = spectrum.curves(
        setting.threshold, setting.rate * steps, start_variance=setting.start_variance
    )
    if share <= SMALL_STEPS * (1 + 1e-9) and setting.decay == 0:
        if steps[-1] > STEPPED:  # the flow lags by the share of half a step of its fastest mode
            late = spectrum.curves(
                setting.threshold, setting.rate * steps * (1 - 0.5 * share), start_variance=setting.start_variance
            )
            return {**curves, "run": follow(modes, setting, steps),
                    "steps_error": np.abs(late["test_error"] - curves["test_error"])}, "mode curve (3.2)"  # fmt: skip
        run = descend(modes, setting, steps)
        return {**curves, "run": run, "steps_error": np.abs(run.test_error - curves["test_error"])}, "mode curve (3.2)"
    run = descend(modes, setting, steps)
    with np.errstate(over="ignore", invalid="ignore"):  # cut off where descent diverges
        power = run.learned**2 @ modes.counts
        top = _alone(np.array([modes.top]), spectrum, setting, steps)[:, 0]
        curves |= {"train_error": run.train_error, "test_error": run.test_error}
        curves["stable_rank"] = rank_in_noise(power, top, run.residue, modes.shape)
        shown = np.where(spectrum.overlaps > 0, spectrum.outliers, 0.0)
        curves["signal_modes"] = _alone(shown, spectrum, setting, steps)
    return {
        **curves,
        "run": run,
        "steps_error": np.zeros(steps.size),
    }, "steps of descent at infinite width, whose modes are independent,"


def _decay_of(mu: float, rate: float, clock: float) -> float:
    """Return μ in flow time; refuse one that turns the weights over in a step."""
    if mu * rate >= 1:
        raise checks.InvalidArgument(
            "weight_decay", f"be below 1/η = {1 / rate:.4g}", f"it is {mu:g}, and a step would turn every weight over"
        )
    return mu / clock


def _alone(values: np.ndarray, spectrum: SpikedSpectrum, setting: Setting, steps: np.ndarray) -> np.ndarray:
    """Return what modes of given singular values have learned, (records, modes)."""
    alone = ModeSpectrum(spectrum.shape, values, np.ones(values.size), values, 0.0, float(values[0]))
    return descend(alone, setting, steps).learned


def _ending(train: np.ndarray, steps: np.ndarray, rate: float, bound: float) -> tuple[int, str]:
    """Return how many records there are, and how the run ended; warn above the stability bound."""
    if rate <= bound:
        return train.size, "completed"
    what = f"learning rate {rate:.4g} is above the stability bound {bound:.4g}"
    warnings.warn(f"{what[0].upper()}{what[1:]}: descent diverges.", StabilityWarning, stacklevel=3)
    bad = diverges_at(train)
    if bad is None:
        return train.size, f"diverged: {what}, where descent is unstable; what is predicted is not what it does"
    return max(bad, 1), f"diverged at step {steps[bad]:.0f}: {what}"


def _accuracy(curves: dict[str, Any], spectrum: SpikedSpectrum) -> tuple[str, bool]:
    """Return the accuracy of the smallest test error in a sentence, and whether it is poor."""
    best = int(np.argmin(curves["test_error"]))
    smallest, error = float(curves["test_error"][best]), float(curves["error_estimate"][best])
    zero = spectrum.modes.energy / (float(spectrum.shape[0]) * spectrum.shape[1])
    told = f"smallest test error {smallest:.3g} ± {error:.2g} for one run (finite width and d, A(0), step)"
    if error <= USABLE * zero:
        return told, False
    return (
        f"{told}: outside the theory's range, more than {USABLE:.0%} of the error {zero:.3g} of predicting zero",
        True,
    )


def _predict_deep(
    law: DeepParametrization, spectrum: SpikedSpectrum, learning_rate: float | str, steps: np.ndarray
) -> Trajectory:
    """Predict a network of any depth by its deep mode curve."""
    depth, tau, shape = checked_depth(law.depth), law.threshold, spectrum.shape
    if tau == 0 and depth > 1:
        raise checks.InvalidArgument(
            "law", "have a positive variance", "its threshold is 0, and a start of zero never moves"
        )
    top, size = float(spectrum.signal[0]), float(np.linalg.norm(spectrum.signal))
    width = min(law.widths, default=1)
    bound = float(deep_stability_limit(tau, width, spectrum.modes.top, shape, depth)) / law.clock
    if isinstance(learning_rate, str):
        checks.choice("learning_rate", learning_rate, ("auto", "figure1"))
    if isinstance(learning_rate, str) and learning_rate == "auto":
        rate = float(deep_published_rate(tau, top=top, size=size, bound=bound * law.clock, depth=depth)) / law.clock
        why = "1/(25κ), the published rate of Figure 2 at this depth, at most half the stability bound"
    elif isinstance(learning_rate, str):
        rate, why = (
            1 / (2.5 * depth * top ** (2 - 2 / depth) * law.clock),
            "the published rate of Figure 1 at this depth",
        )
    else:
        rate, why = checks.number("learning_rate", learning_rate, above=0, at_most=SQUARED), "given"
    times = rate * law.clock * steps
    n0 = law.start_variance
    errors = deep_errors(spectrum.modes, depth, tau, times, n0)
    shows = (spectrum.overlaps > 0).astype(float)
    learned = deep_mode_curve(spectrum.outliers, tau, times[:, None], depth) * shows
    off = deep_error_estimate(
        spectrum, depth, threshold=tau, time=times, start_variance=n0, width=width if law.widths else np.inf,
        rate=rate * law.clock, share=rate / bound,
    )  # fmt: skip
    curves = {**errors._asdict(), "signal_modes": learned, "error_estimate": off}
    variables = {
        name: Variable(("signal_mode",) if name == "signal_modes" else (), *OF_STATES[name]) for name in curves
    }
    outside = deep_notes(law, shape, n0)
    unit = float(np.sum(np.square(spectrum.signal))) / (float(shape[0]) * shape[1])
    last, status = _ending(errors.train_error, steps, rate, bound)
    notes = [f"learning rate {rate:.6g}: {why}; stability bound {bound:.4g}", *outside]
    if status == "completed":
        told, poor = _accuracy(curves, spectrum)
        notes.insert(1, told)
        if poor or not deep_validity(width, n0, shape, unit):
            warnings.warn("; ".join([*outside, *([told] if poor else [])]), ValidityWarning, stacklevel=3)
    info = Provenance(
        dynamics=f"network of {depth} layers, width {width:,}",
        law=f"{law.name}, {law.distribution} weights",
        method="large-d theory",
        why="deep mode curve (7.3) on the spiked spectrum (section 5), no matrices",
        task="SpikedMatrix",
        shape=shape,
        threshold=float(tau),
        dtype="float64",
        state_bytes=sum(v.nbytes for v in curves.values()),
        learning_rate=rate,
        stability_bound=bound,
        notes=tuple(notes),
        sources=("tu2024mixed", "benaych2012singular", "gavish2014optimal"),
        status=status,
    )
    return Trajectory(times[:last], steps[:last], {k: v[:last] for k, v in curves.items()}, variables, info)


def predict_cells(
    shape: int | tuple[int, int],
    variance_exponent: Any,
    width_exponent: Any,
    step: Any,
    *,
    rank: int | None = None,
    singular_values: Any = None,
    noise: float = 1.0,
    scale: float = 1.0,
    learning_rate: float | str = "auto",
) -> dict[str, np.ndarray]:
    """Predict the errors at many (γ_σ², γ_w, step) at once: the large-d theory of `predict`, cell by cell.

    Args:
        shape: (d_out, d_in), or d.
        variance_exponent: γ_σ² of each cell, σ² = d^γ_σ², d = √(d_out d_in); broadcast with the next two.
        width_exponent: γ_w of each cell, w = d^γ_w ≥ 1, rounded.
        step: gradient-descent step of each cell, ≥ 0.
        rank: K of a signal A* = scale·CDᵀ, whose mean spectrum is used.
        singular_values: the signal's own, instead of `rank`.
        noise: standard deviation of the noise entries.
        scale: multiplies the signal of given rank.
        learning_rate: η, or "auto" or "figure1", evaluated for each cell.

    Returns:
        "train_error", "test_error", "error_estimate" (how far one run can be from that test error), "stable_rank"
        and "learning_rate", of the broadcast shape.

    Raises:
        InvalidArgument: entries that are not finite, a negative step or width exponent.

    References:
        theory sections 4 and 5.

    Examples:
        >>> out = predict_cells(200, [-2.2, -1.0], 1.75, [0, 20], rank=5)
        >>> out["test_error"].shape
        (2,)
    """
    d_out, d_in = checks.matrix_shape("shape", shape)
    spectrum = _spectrum_of((d_out, d_in), rank, singular_values, noise, scale)
    log_dim = 0.5 * math.log(float(d_out) * d_in)
    gamma_variance, gamma_width, steps = _cells(log_dim, variance_exponent, width_exponent, step)
    variance = np.exp(gamma_variance * log_dim)
    width = np.maximum(1.0, np.round(np.exp(gamma_width * log_dim)))
    tau = variance * width
    deviation = np.sqrt(variance)
    bound = stability_bound_of(spectrum, tau, width, (deviation, deviation))
    top, size = float(spectrum.signal[0]), float(np.linalg.norm(spectrum.signal))
    if not isinstance(learning_rate, str):
        rate = np.full(tau.shape, checks.number("learning_rate", learning_rate, above=0, at_most=SQUARED))
    elif checks.choice("learning_rate", learning_rate, ("auto", "figure1")) == "auto":
        rate = figure2_rate(tau, top=top, size=size, bound=bound)
    else:
        rate = np.full(tau.shape, 1 / (5 * top))
    n0 = start_variance((variance, variance), (width,))
    curves = spectrum.curves(tau, rate * steps, start_variance=n0)
    curves["error_estimate"] = cells_error(spectrum, tau, rate, steps, n0, width, rate / bound)
    names = ("train_error", "test_error", "error_estimate", "stable_rank")
    found = {name: np.array(curves[name]) for name in names}
    stepped = steps_matter(rate / bound, steps, spectrum.modes)
    if stepped.any():
        cells = tau[stepped], rate[stepped], n0[stepped], steps[stepped]
        run = descend_cells(spectrum.modes, *cells)
        own = error_estimate(spectrum, width[stepped], (rate / bound)[stepped], run)
        values = (run.train_error, run.test_error, own, stable_rank_of(spectrum.modes, *cells))
        for name, value in zip(names, values, strict=True):
            found[name][stepped] = value
    return {**found, "learning_rate": rate}


def _cells(log_dim: float, variance_exponent: Any, width_exponent: Any, step: Any) -> list[np.ndarray]:
    """Return the exponents and steps of all cells, within the range in which d^γ and its powers are numbers."""
    given = {"variance_exponent": variance_exponent, "width_exponent": width_exponent, "step": step}
    for name, value in given.items():
        values = checks.numbers(name, value)
        if not np.all(np.isfinite(values)):
            raise checks.InvalidArgument(
                name, "hold finite numbers", "it holds NaN or infinity", "fill or drop those rows"
            )
        if name != "variance_exponent" and np.any(values < 0):
            raise checks.InvalidArgument(name, "be non-negative", f"its smallest entry is {values.min():g}")
        if name == "step":
            most, what = float(MOST_STEPS), ""
        else:
            most, what = LARGEST_LOGARITHM / max(log_dim, math.ulp(1.0)), " at this shape, where d^γ is a number"
        if np.any(np.abs(values) > most):
            raise checks.InvalidArgument(name, f"stay within ±{most:.3g}{what}", f"it holds {values.max():g}")
    return list(np.broadcast_arrays(*quantities(**given)[1]))


def _spectrum_of(
    shape: tuple[int, int], rank: int | None, singular_values: Any, noise: float, scale: float
) -> SpikedSpectrum:
    checks.exactly_one("rank", rank, "singular_values", singular_values)
    if singular_values is not None:
        no_scale(scale, "singular_values")
    signal = singular_values if rank is None else mean_signal_spectrum(shape, rank, scale=scale)
    return SpikedSpectrum(shape, signal, noise)


def stability_bound_of(spectrum: SpikedSpectrum, tau: Any, width: Any, deviations: tuple[Any, Any]) -> np.ndarray:
    """Return the stability bound of `lindyn.methods.rates` from the edges of the start's and the target's spectrum."""
    d_out, d_in = spectrum.shape
    gram_in, gram_out = (gaussian_gram(s**2, width, d) for s, d in zip(deviations, (d_in, d_out), strict=True))
    return stability_limit(gram_in, gram_out, spectrum.modes.top, tau)
