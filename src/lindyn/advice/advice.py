"""Advice from a description of the task: the search over the threshold, and what follows from where it ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lindyn.advice.adam_advice import AdamAdvice, adam_advice, is_adam
from lindyn.advice.heavy_ball import SMALL_LAG
from lindyn.advice.limits import assumptions_of, constraints_of
from lindyn.advice.recommendation import Advice, DecayAdvice, Depth, ModeAdvice
from lindyn.advice.theory import (
    AbstractTheory,
    Point,
    Search,
    highest_stable_rate,
    search,
    theory_of,
    trade_off,
)
from lindyn.prediction.estimation import estimate_spectrum
from lindyn.prediction.grokking import grokking_delay
from lindyn.prediction.losses import curvature_of, no_scale
from lindyn.prediction.regimes import phase_of
from lindyn.prediction.spectra import SpikedSpectrum, mean_signal_spectrum
from lindyn.support import checks
from lindyn.support.bounds import WIDEST

PLAIN = ("gd", "sgd")
REFUSED = (
    "adam", "adamw", "adamax", "nadam", "radam", "adagrad", "adadelta", "adafactor", "rmsprop", "rprop", "lamb",
    "lars", "lion", "sign", "signsgd", "muon", "shampoo", "soap", "sophia",
)  # fmt: skip
_LEAST_GAIN = 0.01  # share of the error of predicting zero, below which nothing is recommended
DEPTHS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4)  # of the table, in units of the smallest signal mode


def advise(
    shape: int | tuple[int, int] | None = None,
    *,
    rank: int | None = None,
    singular_values: Any = None,
    target: Any = None,
    gradient: Any = None,
    noise: float | None = None,
    scale: float = 1.0,
    width: int | None = None,
    optimizer: str = "gd",
    momentum: float = 0.0,
    loss: Any = None,
    curvature: float | None = None,
    learning_rate: float | Sequence[float] | None = None,
    steps: int = 750,
    weight_decay: float | None = None,
    critical_threshold: float | None = None,
) -> Advice | AdamAdvice:
    """Advise how to start, how fast to learn and when to stop, by the large-d theory, before anything is trained.

    Searches the threshold τ (σ²w of a Gaussian pair) for the smallest predicted test error that `steps` gradient
    steps can reach, and recommends the earliest step within 1 % of it. A pair of width below both dimensions is
    treated as a LoRA pair: there the λ-balanced flow (3.4) is averaged over starts, and the advice names LoRA's
    settings (2.7).

    Args:
        shape: (d_out, d_in), or d; taken from `target` or `gradient` if one is given.
        rank: K of a signal A* = scale·CDᵀ, whose mean spectrum is used; or one of the next three.
        singular_values: those of the true matrix A*.
        target: a measured matrix T = A* + E; signal and, unless given, noise are estimated from its spectrum.
        gradient: gradient of the cost in A at A = 0, whose negative over `curvature` serves as the target.
        noise: standard deviation of a noise entry; left out, estimated from a matrix, else taken as 1.
        scale: multiplies the signal of given rank.
        width: w; left out, one is recommended that a Gaussian start follows the formula at.
        optimizer: "gd" or "sgd"; or "adam", "adamw" for a LoRA pair, of which only a bound is known (2.10): until
            which step it must still be lazy, and from when it can have turned.
        momentum: heavy-ball momentum μ: the clock η/(1 − μ), or the steps themselves where they lag behind it.
        loss: "mse" or a `torch.nn.MSELoss`: the cost ‖A − T‖_F²/d_out of whitened inputs, κ = 2/d_out.
        curvature: κ of the cost ½κ‖A − T‖_F², instead; 1 if both are left out.
        learning_rate: η to keep to; left out, a tenth of the stability bound. With Adam also one for each step.
        steps: largest number of steps.
        weight_decay: λ > 0 of the optimiser on both layers, a share ηλ of each weight a step. The predictions leave it
            out; the advice says how far it lowers τ until the recommended step.
        critical_threshold: τ_c of a task with unseen entries, from `lindyn.prediction.critical_threshold`: the advice
            then says when the recommended start finds those (grokking); needs `weight_decay`.

    Returns:
        An `Advice`, which prints itself; with Adam an `AdamAdvice`.

    Raises:
        InvalidArgument: arguments that cannot be used; an optimiser that the theory does not cover, by name; a signal
            that the noise hides, so that nothing can be learned; a learning rate that is unstable everywhere.

    References:
        theory (2.3)–(2.8), (2.10), (3.2), (3.4), sections 4 and 5; works (12.6).

    Examples:
        >>> advice = advise(200, rank=5, noise=1.0)
        >>> advice.phase, advice.steps <= 750, round(advice.test_error, 2)
        ('active', True, 0.05)
        >>> [(c.condition, c.status) for c in advice.constraints][0]
        ('w ≥ rank', 'satisfied')
    """
    if is_adam(optimizer) and width is not None:
        described = {"rank": rank, "singular_values": singular_values, "noise": noise}
        for name, value in (("weight_decay", weight_decay), ("critical_threshold", critical_threshold)):
            if value is not None:
                raise checks.InvalidArgument(
                    name, "be left out", f"it is {value:g}, and with {optimizer} no threshold is conserved"
                )
        if momentum:
            raise checks.InvalidArgument("momentum", "be left out", f"it is {momentum:g}, and {optimizer} has its own")
        size = _shape_of(shape, target, gradient)
        return adam_advice(
            size,
            checks.integer("width", width, at_least=1),
            optimizer=str(optimizer).lower(),
            learning_rate=learning_rate,
            steps=checks.integer("steps", steps, at_least=1),
            ignored=[name for name, value in described.items() if value is not None],
        )
    _refuse_optimizer(optimizer)
    mu = checks.number("momentum", momentum)
    if not 0 <= mu < 1:
        raise checks.InvalidArgument("momentum", "lie in [0, 1)", f"it is {mu:g}")
    kappa = curvature_of(loss, curvature, _outputs(shape, target, gradient))
    budget = checks.integer("steps", steps, at_least=1)
    spectrum, noise_is, notes = _spectrum(shape, rank, singular_values, target, gradient, noise, scale, kappa)
    w = None if width is None else checks.integer("width", width, at_least=1, at_most=int(WIDEST))
    theory = theory_of(spectrum, w, mu)
    if not spectrum.signal.any():
        raise _hidden(target, gradient, f"no singular value stands out of the bulk, which ends at {spectrum.edge:.4g}")
    unit = kappa / (1 - mu)  # flow time of a step of learning rate 1
    given = None if learning_rate is None else unit * checks.number("learning_rate", learning_rate, above=0)
    found = search(theory, given, budget)
    if found is None:
        raise checks.InvalidArgument(
            "learning_rate",
            f"be below the stability bound, at most {highest_stable_rate(theory) / unit:.4g}",
            f"it is {learning_rate:g}",
            "lower it, or leave it out",
        )
    if found.unlimited_error > (1 - _LEAST_GAIN) * theory.signal_entry:
        gain = f"training lowers the error of predicting zero by less than {_LEAST_GAIN:.0%}"
        raise _hidden(target, gradient, gain)
    advice = _recommended(_Plan(theory, found, given, budget, optimizer, mu, kappa, noise_is), notes)
    return _with_decay(advice, found.recommended.rate, weight_decay, critical_threshold)


def _with_decay(advice: Advice, step: float, decay: float | None, critical: float | None) -> Advice:
    """Add what weight decay does to the threshold; a step is that much flow time, on which λ is λ/κ."""
    if decay is None:
        if critical is not None:
            raise checks.InvalidArgument(
                "critical_threshold",
                "come with a weight_decay",
                "none is given",
                "without weight decay a lazy start never generalises",
            )
        return advice
    rate = checks.number("weight_decay", decay, above=0) / advice.curvature
    kept = math.exp(-2 * rate * step * advice.steps)
    delay = None
    if critical is not None:
        low = checks.number("critical_threshold", critical, above=0)
        slowest = min(mode.target for mode in advice.modes)
        delay = grokking_delay(advice.threshold, rate, low, signal=slowest, learning_rate=step)
    return replace(advice, decay=DecayAdvice(float(decay), 1 - kept, delay))


def _outputs(shape: Any, target: Any, gradient: Any) -> int | None:
    """Number of outputs: rows of the matrix."""
    if shape is not None:
        return checks.matrix_shape("shape", shape)[0]
    name, matrix = ("target", target) if target is not None else ("gradient", gradient)
    return None if matrix is None else len(checks.array(name, matrix, 2))


def _hidden(target: Any, gradient: Any, but: str) -> checks.InvalidArgument:
    return checks.InvalidArgument(
        "target" if target is not None else "gradient" if gradient is not None else "noise",
        "leave a signal that shows above the noise",
        but,
        "no training beats predicting zero; average more observations, or look for a stronger signal",
    )


def _shape_of(shape: Any, target: Any, gradient: Any) -> tuple[int, int]:
    """Return (d_out, d_in) as given, or of the matrix."""
    matrix = target if gradient is None else gradient
    if matrix is not None:
        d_out, d_in = checks.array("target" if gradient is None else "gradient", matrix, 2).shape
        return d_out, d_in
    if shape is None:
        raise checks.InvalidArgument("shape", "be given, or target or gradient", "it is not")
    return checks.matrix_shape("shape", shape)


def _refuse_optimizer(optimizer: str) -> None:
    name = str(optimizer).lower()
    if name in REFUSED:
        raise checks.InvalidArgument(
            "optimizer",
            "be plain gradient descent, 'gd' or 'sgd'",
            f"it is {checks.shown(optimizer)}, which rescales the gradient and so breaks the conservation law that "
            "fixes the threshold",
            "measure the regime while training, with lindyn.torch.RegimeTracker"
            + ("; for Adam's clock give `width`, LoRA's rank, and `learning_rate`" if is_adam(optimizer) else ""),
        )
    checks.choice("optimizer", optimizer, PLAIN)


def _spectrum(
    shape: Any, rank: Any, singular_values: Any, target: Any, gradient: Any, noise: Any, scale: float, kappa: float
) -> tuple[SpikedSpectrum, str, list[str]]:
    """Return the spectrum of the target, where its noise is known from, and notes."""
    sources = {"rank": rank, "singular_values": singular_values, "target": target, "gradient": gradient}
    given = [name for name, value in sources.items() if value is not None]
    if not given:
        raise checks.InvalidArgument("rank", "be given, or singular_values, target or gradient", "none of them is")
    if len(given) > 1:
        raise checks.InvalidArgument(
            given[0],
            "be the only one of rank, singular_values, target and gradient",
            f"{', '.join(given)} are given",
        )
    if given[0] != "rank":
        no_scale(scale, given[0])
    if target is None and gradient is None:
        if shape is None:
            raise checks.InvalidArgument("shape", "be given with a rank or singular values", "it is not")
        size = checks.matrix_shape("shape", shape)
        level = 1.0 if noise is None else checks.number("noise", noise, at_least=0)
        signal = singular_values if rank is None else mean_signal_spectrum(size, rank, scale=scale)
        spectrum = SpikedSpectrum(size, signal, level)
        if not spectrum.signal.any():
            raise checks.InvalidArgument("singular_values", "hold a positive value", "all are 0")
        hidden = int(np.sum(spectrum.overlaps == 0))
        hides = [f"{hidden} of {spectrum.signal.size} signal modes do not show above the noise one by one"]
        return spectrum, "assumed: none was given" if noise is None else "given", hides if hidden else []
    matrix = checks.array("target", target, 2) if gradient is None else -checks.array("gradient", gradient, 2) / kappa
    if shape is not None and checks.matrix_shape("shape", shape) != matrix.shape:
        raise checks.InvalidArgument(
            "shape", f"be that of the matrix, {matrix.shape}", f"it is {shape}", "leave it out"
        )
    estimate = estimate_spectrum(matrix, noise)
    signal = estimate.signal if estimate.signal.size else np.zeros(1)
    how = "given" if noise is not None else "estimated from the median singular value"
    found = f"{estimate.signal.size} modes of the matrix stand out, above {estimate.limit:.4g}"
    return SpikedSpectrum(estimate.shape, signal, estimate.noise), how, [found]


@dataclass(frozen=True, eq=False)
class _Plan:
    """A search that has ended, and what the user asked for."""

    theory: AbstractTheory
    found: Search
    given_rate: float | None  # flow time of a step
    budget: int
    optimizer: str
    momentum: float
    curvature: float
    noise_is: str

    @property
    def best(self) -> Point:
        """The recommended point."""
        return self.found.recommended

    @property
    def unit(self) -> float:
        """Flow time of a step of learning rate 1."""
        return self.curvature / (1 - self.momentum)


def _recommended(plan: _Plan, notes: list[str]) -> Advice:
    theory, best, mu, kappa = plan.theory, plan.best, plan.momentum, plan.curvature
    spectrum, tau = theory.spectrum, best.threshold
    variance = theory.variance(tau)
    rate, bound = best.rate / plan.unit, (1 + mu) * theory.stability_bound(tau) / kappa
    if best.test_error > 0.9 * theory.signal_entry:
        notes = [*notes, f"the best error is {best.test_error / theory.signal_entry:.0%} of that of predicting zero"]
    if variance is None and theory.delay(best) > SMALL_LAG:
        late = f"momentum {mu:g} makes this pair up to {theory.delay(best):.0%} slower than its steps here say"
        notes = [*notes, f"{late}: the stated range knows it, the curve does not"]
    lag = 0.5 * best.rate * math.hypot(float(theory.modes[0]), tau)
    return Advice(
        shape=spectrum.shape,
        width=theory.width_at(tau),
        narrow=variance is None,
        noise=spectrum.noise,
        threshold=tau,
        phase=_phase(theory, tau),
        variance=variance,
        learning_rate=rate,
        stability_bound=bound,
        steps=best.step,
        budget=plan.budget,
        test_error=best.test_error,
        test_error_range=theory.range_at(best),
        zero_error=theory.signal_entry,
        stable_rank=best.stable_rank,
        smallest_error=plan.found.smallest_error,
        steps_per_decade=math.log(10) / (2 * float(theory.modes[-1]) * best.rate),
        modes=_modes(theory, best),
        starts=theory.starts(tau, rate),
        constraints=constraints_of(theory, plan.found, rate / bound),
        trade_off=tuple(_depth(plan, p) for p in trade_off(theory, plan.given_rate, DEPTHS)),
        assumptions=assumptions_of(theory, mu, kappa, lag, plan.noise_is),
        notes=tuple(notes),
        optimizer=plan.optimizer,
        momentum=mu,
        curvature=kappa,
    )


def _phase(theory: AbstractTheory, tau: float) -> str:
    """Phase by the modes that show; σ⁴w is measured in entries of the signal."""
    start = theory.start_variance(tau) / theory.signal_entry
    return phase_of(tau, theory.modes, width=theory.width_at(tau), start_variance=start, rank=theory.modes.size)


def _modes(theory: AbstractTheory, best: Point) -> tuple[ModeAdvice, ...]:
    spectrum, times = theory.spectrum, theory.mode_times(best.threshold)
    steps = [t / best.rate * (1 + theory.delay(best)) for t in times]
    out = []
    for k, (s, x, overlap) in enumerate(zip(spectrum.signal, spectrum.outliers, spectrum.overlaps, strict=True)):
        at = [None if overlap == 0 or math.isnan(t[k]) else float(t[k]) for t in steps]
        activity = float(x / math.hypot(x, best.threshold))
        out.append(ModeAdvice(float(s), float(x), float(overlap), activity, *at))
    return tuple(out)


def _depth(plan: _Plan, p: Point) -> Depth:
    theory = plan.theory
    return Depth(
        depth=p.threshold / float(theory.modes[-1]),
        threshold=p.threshold,
        phase=_phase(theory, p.threshold),
        width=theory.width_at(p.threshold),
        variance=theory.variance(p.threshold),
        learning_rate=p.rate / plan.unit,
        steps=p.step,
        price=p.step / max(plan.best.step, 1),
        test_error=p.test_error,
        stable_rank=p.stable_rank,
        within_budget=p.step <= plan.budget,
        curve=np.stack([p.steps, p.curve]),
    )
