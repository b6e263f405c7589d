"""The recommendation and its parts as plain data, printed, drawn and made JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lindyn.advice.training_code import lora_code, pair_code
from lindyn.networks.laws import Parametrization, standard
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from lindyn.prediction.grokking import GrokkingDelay


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

    @classmethod
    def small(cls, condition: str, value: float, limit: float, *, name: str, what: str) -> Self:
        """Return the condition that a value is at most a limit, beyond which `what` holds only to its order."""
        text = f"{name} = {value:.2g}, should be at most {limit:g}"
        if value <= limit * (1 + 1e-9):
            return cls(condition, "satisfied", text)
        return cls(condition, "binding", f"{text}: {what} holds only to that order")


@dataclass(frozen=True)
class DecayAdvice:
    """What weight decay does to the recommended threshold; prints itself.

    Attributes:
        weight_decay: λ of the optimiser.
        fall: share by which it lowers τ until the recommended step.
        grokking: when the start finds unseen entries, where τ_c is known.
    """

    weight_decay: float
    fall: float
    grokking: GrokkingDelay | None

    def __str__(self) -> str:
        """How far τ falls, and when the start generalises."""
        text = f"{self.weight_decay:.4g} lowers τ by {self.fall:.1%} until that step; the predictions leave it out"
        return text if self.grokking is None else f"{text}. With unseen entries the start {self.grokking}"


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
        test_error_range: what single runs reach there: for a narrow pair the quantiles 10 and 90 % over starts, for a
            wide one the test error less and plus its stated error (`lindyn.prediction.validity`).
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
        decay: what weight decay does to the threshold; None if it was not asked for.
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
    test_error_range: tuple[float, float]
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
    decay: DecayAdvice | None = None

    @property
    def law(self) -> Parametrization:
        """The recommended Gaussian law, for `lindyn.TwoLayer.parametrized` and `lindyn.predict`.

        Raises:
            InvalidArgument: the pair is narrow; its starts are in `starts`.
        """
        if self.variance is None:
            raise checks.InvalidArgument(
                "width",
                f"be at least {min(self.shape)} for a Gaussian law",
                f"it is {self.width}",
                "use one of `starts`",
            )
        return standard(width=self.width, variance=self.variance)

    @property
    def code(self) -> str:
        """Lines of Python that set the start and the optimiser: `LoraConfig` and `lora_init_`, or `mixed_init_`."""
        plan = {"learning_rate": self.learning_rate, "momentum": self.momentum, "steps": self.steps}
        if self.narrow:
            return lora_code(self.width, self.threshold, **plan)  # type: ignore[arg-type]
        return pair_code(self.shape, self.width, self.threshold, **plan)  # type: ignore[arg-type]

    def _range(self) -> str:
        low, high = self.test_error_range
        return f"{low:.3g} … {high:.3g} for {'eight starts in ten' if self.narrow else 'single runs'}"

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
            (
                "expected test error (per entry)",
                f"{self.test_error:.4g}  ({self._range()}; predicting zero: {self.zero_error:.4g})",
            ),
            ("expected stable rank", f"{self.stable_rank:.3g}"),
            ("price of depth", f"{self.steps_per_decade:.3g} further steps for every factor of 10 in τ"),
            *([] if self.decay is None else [("weight decay", str(self.decay))]),
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
        lines += [f"note: {n}" for n in self.notes]
        return "\n".join([*lines, "code", *(f"  {line}".rstrip() for line in self.code.splitlines())])

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON; the curves of the trade-off are left out."""
        out = asdict(self)
        out["trade_off"] = [{k: v for k, v in row.items() if k != "curve"} for row in out["trade_off"]]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in out.items()} | {"code": self.code}

    def to_xarray(self) -> xarray.Dataset:
        """Return the trade-off over "depth" (τ/s_K), its curves padded with NaN, and the recommended point."""
        import xarray as xr

        rows = self.trade_off
        longest = max(row.curve[0].size for row in rows)
        curves = np.full((2, len(rows), longest), np.nan)
        for k, row in enumerate(rows):
            curves[:, k, : row.curve[0].size] = row.curve
        variables = {
            "curve_step": (("depth", "record"), curves[0], {"long_name": "step", "units": "1"}),
            "curve_error": (("depth", "record"), curves[1], {"long_name": "predicted test error", "units": "target²"}),
            "phase": ("depth", [row.phase for row in rows], {"long_name": "phase of training"}),
            "threshold": ("depth", [row.threshold for row in rows], {"long_name": "threshold τ", "units": "target"}),
            "steps": ("depth", [row.steps for row in rows], {"long_name": "steps to the smallest", "units": "1"}),
            "test_error": ("depth", [row.test_error for row in rows], {"long_name": "smallest", "units": "target²"}),
        }
        told = {
            "recommended_steps": self.steps,
            "recommended_test_error": self.test_error,
            "zero_error": self.zero_error,
            "budget": self.budget,
        }
        depths = ("depth", [row.depth for row in rows], {"long_name": "τ over the smallest signal mode", "units": "1"})
        return xr.Dataset(variables, coords={"depth": depths}, attrs=told)

    def plot(self) -> Figure:
        """Draw the trade-off: see `lindyn.plots.trade_off`."""
        from lindyn.plots import trade_off as draw

        return draw(self)


def _settings(start: Start) -> str:
    shown = (f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}" for k, v in start.settings.items())
    return ", ".join([*shown, f"η = {start.learning_rate:.4g}"])


def _step(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"
