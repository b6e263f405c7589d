"""Advice before training: how to start, at what learning rate, when to stop, what to expect, and what it would cost to
go deeper into the active regime."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn import checks
from lindyn.advice_theory import (
    NEAR,
    SHARE_OF_BOUND,
    SMALL_START,
    WIDE_ERROR,
    AbstractTheory,
    NarrowTheory,
    Point,
    Search,
    WideTheory,
    highest_stable_rate,
    search,
    trade_off,
)
from lindyn.estimation import estimate_spectrum
from lindyn.parametrizations import Parametrization, standard
from lindyn.regimes import phase_of
from lindyn.spectra import SpikedSpectrum, mean_signal_spectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN = ("gd", "sgd")
REFUSED = (
    "adam", "adamw", "adamax", "nadam", "radam", "adagrad", "adadelta", "adafactor", "rmsprop", "rprop", "lamb",
    "lars", "lion", "sign", "signsgd", "muon", "shampoo", "soap", "sophia",
)  # fmt: skip
DEPTHS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4)  # of the table, in units of the smallest signal mode
_UNNOTICED = 0.02  # relative gain in error below which a limit does not bind


@dataclass(frozen=True)
class Start:
    """One way to start at the recommended threshold.

    Attributes:
        name: what it is called.
        how: the layers, as formulas.
        settings: the numbers to set.
        learning_rate: η for this start (LoRA's scale changes the clock).
        accuracy: how far the prediction holds for it.
    """

    name: str
    how: str
    settings: dict[str, Any]
    learning_rate: float
    accuracy: str


@dataclass(frozen=True)
class ModeAdvice:
    """One signal mode: its singular value in the signal and in the target, and the steps that it takes.

    Attributes:
        signal: s of the true matrix.
        target: the singular value by which it shows (the noise's edge if it does not).
        overlap: product of the squared-cosine roots: the share of the mode's direction that the target has.
        activity: target/√(target² + τ²): 0 lazy, 1 active.
        crossing_step: when it crosses τ; None if it stays below, or does not show.
        half_step: when half of it is learned.
        learned_step: when 90 % of it is learned.
    """

    signal: float
    target: float
    overlap: float
    activity: float
    crossing_step: float | None
    half_step: float | None
    learned_step: float | None


@dataclass(frozen=True)
class Constraint:
    """A condition on the choice: "satisfied", "binding" (it costs test error or accuracy) or "violated"."""

    condition: str
    status: str
    remark: str


@dataclass(frozen=True, eq=False)
class Depth:
    """One row of the trade-off: a threshold, and the best that training from there reaches, without a budget.

    Attributes:
        depth: τ over the smallest singular value of the signal's modes.
        threshold: τ.
        phase: phase of training there.
        width: w, given or wide enough for this threshold.
        variance: σ² of a Gaussian start, τ/w (None for a narrow pair).
        learning_rate: η.
        steps: steps until the smallest test error.
        price: steps over those of the recommended point.
        test_error: the smallest test error.
        stable_rank: there.
        within_budget: whether the budget of steps allows it.
        curve: steps and test errors of the whole run, shape (2, records).
    """

    depth: float
    threshold: float
    phase: str
    width: int
    variance: float | None
    learning_rate: float
    steps: int
    price: float
    test_error: float
    stable_rank: float
    within_budget: bool
    curve: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class Advice:
    """A recommended point of training and what to expect of it; prints itself, plots itself, and becomes plain data.

    Attributes:
        shape: (d_out, d_in).
        width: hidden width w, given or recommended.
        narrow: whether w is below both dimensions (LoRA).
        noise: standard deviation of a noise entry, given, estimated or assumed.
        threshold: recommended τ.
        phase: phase of training there.
        variance: σ² of a Gaussian start, τ/w (None for a narrow pair: see `starts`).
        learning_rate: η of the optimiser for a plain pair (for LoRA, see `starts`).
        stability_bound: η above which training is unstable.
        steps: recommended stopping step.
        budget: largest number of steps that was allowed.
        test_error: expected test error per entry at that step.
        zero_error: that of predicting zero, ‖A*‖_F²/(d_out d_in).
        stable_rank: expected there.
        smallest_error: the smallest expected within the budget; `steps` is the earliest within 1 % of it.
        steps_per_decade: further steps for every factor of 10 in τ, ln 10/(2 s_K η).
        modes: what becomes of each signal mode.
        starts: ways to start at this threshold.
        constraints: which conditions bind.
        trade_off: the price of depth.
        assumptions: what all of it rests on.
        notes: what was noticed.
        optimizer: "gd" or "sgd".
        momentum: heavy-ball momentum μ.
        curvature: κ of the cost ½κ‖A − T‖_F².
    """

    shape: tuple[int, int]
    width: int
    narrow: bool
    noise: float
    threshold: float
    phase: str
    variance: float | None
    learning_rate: float
    stability_bound: float
    steps: int
    budget: int
    test_error: float
    zero_error: float
    stable_rank: float
    smallest_error: float
    steps_per_decade: float
    modes: tuple[ModeAdvice, ...]
    starts: tuple[Start, ...]
    constraints: tuple[Constraint, ...]
    trade_off: tuple[Depth, ...]
    assumptions: tuple[str, ...]
    notes: tuple[str, ...]
    optimizer: str
    momentum: float
    curvature: float

    @property
    def law(self) -> Parametrization:
        """The recommended Gaussian law, for `lindyn.TwoLayer.parametrized` and `lindyn.predict`.

        Raises:
            InvalidArgument: the pair is narrow; its starts are in `starts`.
        """
        if self.variance is None:
            raise checks.refuse(
                "width",
                f"be at least {min(self.shape)} for a Gaussian law",
                f"it is {self.width}",
                "use one of `starts`",
            )
        return standard(width=self.width, variance=self.variance)

    def facts(self) -> list[tuple[str, str]]:
        """Return the main numbers as label and text."""
        first = (
            [("variance σ² of each weight", f"{self.variance:.4g}  (Gaussian start, σ² = τ/w)")]
            if self.variance is not None
            else []
        )
        return [
            ("shape d_out × d_in, width", f"{self.shape[0]:,} × {self.shape[1]:,}, {self.width:,}"),
            ("threshold τ", f"{self.threshold:.4g}  (phase: {self.phase})"),
            *first,
            (
                "learning rate η",
                f"{self.learning_rate:.4g}  ({self.learning_rate / self.stability_bound:.0%} of the stability bound "
                f"{self.stability_bound:.4g})",
            ),
            ("stop at step", f"{self.steps:,}  (of at most {self.budget:,})"),
            ("expected test error (per entry)", f"{self.test_error:.4g}  (predicting zero: {self.zero_error:.4g})"),
            ("expected stable rank", f"{self.stable_rank:.3g}"),
            ("price of depth", f"{self.steps_per_decade:.3g} further steps for every factor of 10 in τ"),
        ]

    def __str__(self) -> str:
        """Facts, starts, modes, constraints, trade-off, assumptions."""
        lines = ["Advice", *(f"  {label:<32} {text}" for label, text in self.facts())]
        lines += ["starts", *(f"  {s.name}: {s.how}; {_settings(s)}; {s.accuracy}" for s in self.starts)]
        lines.append("modes: singular value of the signal, of the target, activity, steps to half and to 90 %")
        lines += [
            f"  {m.signal:>9.4g} {m.target:>9.4g} {m.activity:>6.3f} {_step(m.half_step):>8} {_step(m.learned_step):>8}"
            for m in self.modes
        ]
        lines += ["constraints", *(f"  {c.condition}: {c.status}; {c.remark}" for c in self.constraints)]
        lines.append("trade-off: τ/s_K, phase, test error, stable rank, steps (× recommended)")
        lines += [
            f"  {d.depth:>7g} {d.phase:<14} {d.test_error:>8.4f} {d.stable_rank:>6.2f} {d.steps:>8,} ({d.price:.2g})"
            + ("" if d.within_budget else "  over the budget")
            for d in self.trade_off
        ]
        lines += ["assumptions", *(f"  - {a}" for a in self.assumptions)]
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON; the curves of the trade-off are left out."""
        out = asdict(self)
        out["trade_off"] = [{k: v for k, v in row.items() if k != "curve"} for row in out["trade_off"]]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in out.items()}

    def plot(self) -> Figure:
        """Draw the trade-off: see `lindyn.plots.trade_off`."""
        from lindyn.plots import trade_off as draw

        return draw(self)


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
    curvature: float = 1.0,
    learning_rate: float | None = None,
    steps: int = 750,
) -> Advice:
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
        optimizer: "gd" or "sgd".
        momentum: heavy-ball momentum μ, counted as the rate η/(1 − μ).
        curvature: κ of the cost ½κ‖A − T‖_F²; for the mean of squared errors per entry it is 2/(d_out d_in).
        learning_rate: η to keep to; left out, a tenth of the stability bound.
        steps: largest number of steps.

    Returns:
        An `Advice`, which prints itself.

    Raises:
        InvalidArgument: arguments that cannot be used; an optimiser that the theory does not cover, by name; a signal
            that the noise hides, so that nothing can be learned; a learning rate that is unstable everywhere.

    References:
        theory (2.3)–(2.7), (3.2), (3.4), sections 4 and 5.

    Examples:
        >>> advice = advise(200, rank=5, noise=1.0)
        >>> advice.phase, advice.steps <= 750, round(advice.test_error, 2)
        ('active', True, 0.05)
        >>> [(c.condition, c.status) for c in advice.constraints][0]
        ('w ≥ rank', 'satisfied')
    """
    _refuse_optimizer(optimizer)
    mu = checks.number("momentum", momentum)
    if not 0 <= mu < 1:
        raise checks.refuse("momentum", "lie in [0, 1)", f"it is {mu:g}")
    kappa = checks.number("curvature", curvature, above=0)
    budget = checks.integer("steps", steps, at_least=1)
    spectrum, noise_is, notes = _spectrum(shape, rank, singular_values, target, gradient, noise, scale, kappa)
    w = None if width is None else checks.integer("width", width, at_least=1)
    narrow = w is not None and w < min(spectrum.shape)
    theory: AbstractTheory = NarrowTheory(spectrum, w) if w is not None and narrow else WideTheory(spectrum, w)
    if theory.modes.size == 0:
        raise checks.refuse(
            "target" if target is not None else "gradient" if gradient is not None else "noise",
            "leave a signal that shows above the noise",
            f"no singular value of the target stands out of the bulk, which ends at {spectrum.edge:.4g}",
            "no training beats predicting zero; average more observations, or look for a stronger signal",
        )
    unit = kappa / (1 - mu)  # flow time of a step of learning rate 1
    given = None if learning_rate is None else unit * checks.number("learning_rate", learning_rate, above=0)
    found = search(theory, given, budget)
    if found is None:
        raise checks.refuse(
            "learning_rate",
            f"be below the stability bound, at most {highest_stable_rate(theory) / unit:.4g}",
            f"it is {learning_rate:g}",
            "lower it, or leave it out",
        )
    return _advice(theory, found, given, budget, narrow, optimizer, mu, kappa, noise_is, notes)


def _refuse_optimizer(optimizer: str) -> None:
    name = str(optimizer).lower()
    if name in REFUSED:
        raise checks.refuse(
            "optimizer",
            "be plain gradient descent, 'gd' or 'sgd'",
            f"it is {optimizer!r}, which rescales the gradient and so breaks the conservation law that fixes the "
            "threshold",
            "measure the regime while training, with lindyn.torch.RegimeTracker",
        )
    checks.choice("optimizer", optimizer, PLAIN)


def _spectrum(
    shape: Any, rank: Any, singular_values: Any, target: Any, gradient: Any, noise: Any, scale: float, kappa: float
) -> tuple[SpikedSpectrum, str, list[str]]:
    """Return the spectrum of the target, where its noise is known from, and notes."""
    sources = {"rank": rank, "singular_values": singular_values, "target": target, "gradient": gradient}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise checks.refuse(
            given[0] if given else "rank",
            "be the only one of rank, singular_values, target and gradient",
            f"{', '.join(given) or 'none of them'} {'are' if len(given) > 1 else 'is'} given",
        )
    if target is None and gradient is None:
        if shape is None:
            raise checks.refuse("shape", "be given with a rank or singular values", "it is not")
        size = checks.matrix_shape("shape", shape)
        level = 1.0 if noise is None else checks.number("noise", noise, at_least=0)
        signal = singular_values if rank is None else mean_signal_spectrum(size, rank, scale=scale)
        spectrum = SpikedSpectrum(size, signal, level)
        if not spectrum.signal.any():
            raise checks.refuse("singular_values", "hold a positive value", "all are 0")
        hidden = int(np.sum(spectrum.overlaps == 0))
        hides = [f"{hidden} of {spectrum.signal.size} signal modes do not show above the noise: they cannot be learned"]
        return spectrum, "assumed: none was given" if noise is None else "given", hides if hidden else []
    matrix = checks.array("target", target, 2) if gradient is None else -checks.array("gradient", gradient, 2) / kappa
    if shape is not None and checks.matrix_shape("shape", shape) != matrix.shape:
        raise checks.refuse("shape", f"be that of the matrix, {matrix.shape}", f"it is {shape}", "leave it out")
    estimate = estimate_spectrum(matrix, noise)
    signal = estimate.signal if estimate.signal.size else np.zeros(1)
    how = "given" if noise is not None else "estimated from the median singular value"
    found = f"{estimate.signal.size} modes of the matrix stand out, above {estimate.limit:.4g}"
    return SpikedSpectrum(estimate.shape, signal, estimate.noise), how, [found]


def _advice(
    theory: AbstractTheory,
    found: Search,
    given: float | None,
    budget: int,
    narrow: bool,
    optimizer: str,
    mu: float,
    kappa: float,
    noise_is: str,
    notes: list[str],
) -> Advice:
    spectrum, best = theory.spectrum, found.recommended
    tau, unit = best.threshold, kappa / (1 - mu)
    width = theory.width_at(tau)
    rate, bound = best.rate / unit, (1 + mu) * theory.stability_bound(tau) / kappa
    rows = trade_off(theory, given, DEPTHS)
    if best.test_error > 0.9 * theory.signal_entry:
        notes = [*notes, f"the best error is {best.test_error / theory.signal_entry:.0%} of that of predicting zero"]
    lag = 0.5 * best.rate * math.hypot(float(theory.modes[0]), tau)
    return Advice(
        shape=spectrum.shape,
        width=width,
        narrow=narrow,
        noise=spectrum.noise,
        threshold=tau,
        phase=_phase(theory, tau),
        variance=None if narrow else tau / width,
        learning_rate=rate,
        stability_bound=bound,
        steps=best.step,
        budget=budget,
        test_error=best.test_error,
        zero_error=theory.signal_entry,
        stable_rank=best.stable_rank,
        smallest_error=found.smallest_error,
        steps_per_decade=math.log(10) / (2 * float(theory.modes[-1]) * best.rate),
        modes=_modes(theory, best),
        starts=_narrow_starts(spectrum, width, tau, rate) if narrow else _wide_starts(spectrum, width, tau, rate),
        constraints=_constraints(theory, found, narrow, rate / bound),
        trade_off=tuple(_depth(theory, p, best, budget, narrow, unit) for p in rows),
        assumptions=_assumptions(theory, narrow, mu, kappa, lag, noise_is),
        notes=tuple(notes),
        optimizer=optimizer,
        momentum=mu,
        curvature=kappa,
    )


def _phase(theory: AbstractTheory, tau: float) -> str:
    """Phase by the modes that show; σ⁴w is measured in entries of the signal."""
    start = theory.start_variance(tau) / theory.signal_entry
    return phase_of(tau, theory.modes, width=theory.width_at(tau), start_variance=start, rank=theory.modes.size)


def _modes(theory: AbstractTheory, best: Point) -> tuple[ModeAdvice, ...]:
    spectrum, times = theory.spectrum, theory.mode_times(best.threshold)
    steps = [t / best.rate for t in times]
    out = []
    for k, (s, x, overlap) in enumerate(zip(spectrum.signal, spectrum.outliers, spectrum.overlaps, strict=True)):
        at = [None if k >= t.size or math.isnan(t[k]) else float(t[k]) for t in steps]
        activity = float(x / math.hypot(x, best.threshold))
        out.append(ModeAdvice(float(s), float(x), float(overlap), activity, *at))
    return tuple(out)


def _depth(theory: AbstractTheory, p: Point, best: Point, budget: int, narrow: bool, unit: float) -> Depth:
    width = theory.width_at(p.threshold)
    return Depth(
        depth=p.threshold / float(theory.modes[-1]),
        threshold=p.threshold,
        phase=_phase(theory, p.threshold),
        width=width,
        variance=None if narrow else p.threshold / width,
        learning_rate=p.rate / unit,
        steps=p.step,
        price=p.step / max(best.step, 1),
        test_error=p.test_error,
        stable_rank=p.stable_rank,
        within_budget=p.step <= budget,
        curve=np.stack([p.steps, p.curve]),
    )


def _wide_starts(spectrum: SpikedSpectrum, width: int, tau: float, rate: float) -> tuple[Start, ...]:
    d_out, d_in = spectrum.shape
    error = math.sqrt(max(d_out, d_in) / width)
    gaussian = Start(
        "Gaussian",
        "W1 and W2 of iid N(0, σ²) entries, σ² = τ/w",
        {"variance": tau / width, "deviation": math.sqrt(tau / width)},
        rate,
        f"follows the formula to about √(d/w) = {error:.2g} (2.3)",
    )
    if width >= d_out + d_in:
        how = "W1 = √τ O1, W2 = √τ O2ᵀ, orthonormal and mutually orthogonal columns"
        side = {"side": "both"}
    elif width >= d_in:
        how, side = "W1 = √(2τ)·(orthonormal columns), W2 = 0", {"side": "in"}
    else:
        how, side = "W2 = √(2τ)·(orthonormal rows), W1 = 0", {"side": "out"}
    exact = Start("orthogonal", how, {"threshold": tau, **side}, rate, "follows the formula exactly as η → 0 (2.4)")
    return (gaussian, exact) if error <= WIDE_ERROR * (1 + 1e-9) else (exact, gaussian)


def _narrow_starts(spectrum: SpikedSpectrum, width: int, tau: float, rate: float) -> tuple[Start, ...]:
    """LoRA's starts by ΔW = s·BA, B = 0, τ = s d_in σ_A²/2, on the clock t = s η n (2.7)."""
    d_in, r = spectrum.shape[1], width
    default, gaussian = 6 * tau, 2 * r**2 * tau / d_in  # scales s: σ_A² = 1/(3 d_in), and 1/r²
    accuracy = f"statistical: W1W1ᵀ = 2τ I to about √(r/d_in) = {math.sqrt(r / d_in):.2g} (2.7)"

    def peft(name: str, how: str, init: Any, scale: float) -> Start:
        settings = {
            "init_lora_weights": init,
            "r": r,
            "lora_alpha": scale * r,
            "lora_alpha_rslora": scale * math.sqrt(r),
            "scale": scale,
        }
        return Start(name, how, settings, rate / scale, accuracy)

    return (
        peft("LoRA, default A", "B = 0, A Kaiming-uniform (PEFT's default): τ = s/6", True, default),
        peft("LoRA, Gaussian A", "B = 0, A of standard deviation 1/r: τ = s d_in/(2r²)", "gaussian", gaussian),
        Start(
            "LoRA, α = r",
            "B = 0, A of iid N(0, σ_A²) entries set by hand, σ_A² = 2τ/d_in",
            {"r": r, "lora_alpha": r, "deviation_A": math.sqrt(2 * tau / d_in), "scale": 1.0},
            rate,
            accuracy,
        ),
        Start(
            "λ-balanced",
            "W1 = √(2τ)·(orthonormal rows), W2 = 0: W1W1ᵀ − W2ᵀW2 = 2τ I",
            {"threshold": tau},
            rate,
            "follows (3.4) exactly as η → 0 (2.6); statistical in the directions",
        ),
    )


def _constraints(theory: AbstractTheory, found: Search, narrow: bool, share: float) -> tuple[Constraint, ...]:
    tau = found.recommended.threshold
    d, w, k = max(theory.spectrum.shape), theory.width_at(tau), theory.modes.size
    out = [
        Constraint(
            "w ≥ rank",
            "satisfied" if w >= k else "violated",
            f"w = {w:,}, {k} modes show" + ("" if w >= k else ": the smallest cannot be represented; widen"),
        )
    ]
    if narrow:
        out.append(
            Constraint("w ≪ d_in (2.7)", *_small(math.sqrt(w / theory.spectrum.shape[1]), 0.5, "√(w/d_in)", "LoRA's τ"))
        )
    else:
        n0 = theory.start_variance(tau) / theory.signal_entry
        out.append(Constraint("w ≫ d (2.3)", *_small(math.sqrt(d / w), WIDE_ERROR, "√(d/w)", "a Gaussian start")))
        out.append(Constraint("σ⁴w ≪ signal²", *_small(n0, SMALL_START, "σ⁴w over the signal's entries²", "A(0) ≈ 0")))
    gain = 1 - found.unlimited_error / found.smallest_error if found.smallest_error > 0 else 0.0
    out.append(
        Constraint(
            "steps",
            "binding" if gain > _UNNOTICED else "satisfied",
            f"smallest test error without a limit {found.unlimited_error:.4g}, within it {found.smallest_error:.4g}",
        )
    )
    fast = share > 2 * SHARE_OF_BOUND
    remark = f"η is {share:.0%} of the bound" + (": descent will depart from the flow predicted here" if fast else "")
    return (*out, Constraint("η below the stability bound", "binding" if fast else "satisfied", remark))


def _small(value: float, limit: float, name: str, what: str) -> tuple[str, str]:
    fine = value <= limit * (1 + 1e-9)
    text = f"{name} = {value:.2g}, wanted at most {limit:g}"
    return ("satisfied", text) if fine else ("binding", f"{text}: {what} holds only to that order")


def _assumptions(
    theory: AbstractTheory, narrow: bool, mu: float, kappa: float, lag: float, noise_is: str
) -> tuple[str, ...]:
    scatter = 1 / math.sqrt(theory.modes.size * max(theory.spectrum.shape))
    cost = "½‖A − T‖_F²" if kappa == 1 else f"½κ‖A − T‖_F² with κ = {kappa:.4g}"
    out = [
        f"the cost is {cost} on whitened inputs, T = A* + E with E of iid entries of standard deviation "
        f"{theory.spectrum.noise:.4g} ({noise_is})",
        f"d is large: the test error of a single draw deviates by about 1/√(K d) = {scatter:.1%} of itself",
        f"small steps: descent lags the flow by about {lag:.1%}, first order in η",
    ]
    if narrow:
        out.append("one factor starts at zero, the other random, w ≪ d (2.7); numbers are means over starts, (3.4)")
    else:
        out.append("the mixed formula (2.1) from A(0) ≈ 0: w ≫ d for a Gaussian start, or an orthogonal one (2.4)")
    if mu:
        out.append(f"momentum {mu:g} acts as the rate η/(1 − μ), after a delay of about {mu / (1 - mu):.0f} steps")
    out.append("no weight decay, dropout, mini-batch noise or adaptive step; full precision of the weights")
    out.append(f"{NEAR:.0%} of test error is given up where that saves steps")
    return tuple(out)


def _settings(start: Start) -> str:
    shown = (f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}" for k, v in start.settings.items())
    return ", ".join([*shown, f"η = {start.learning_rate:.4g}"])


def _step(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"
