"""Starts with a prescribed threshold: the weights of a pair of layers from which the theory is exact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from lindyn.networks.two_layer import TwoLayer
from lindyn.support import checks
from lindyn.support.bounds import SQUARED
from lindyn.support.linalg import haar_frame
from lindyn.support.memory import require_memory
from lindyn.support.randomness import Seed, stream

Form = Literal["auto", "two-sided", "one-sided", "narrow"]
Side = Literal["in", "out"]
FORMS = ("auto", "two-sided", "one-sided", "narrow")

_ANY_COST = (
    "the flow is the mixed formula (2.1) exactly, for any cost of the product; for ½‖A − T‖² it is the closed form "
    "(3.1), `lindyn.solutions.MixedSolution`"
)
_QUADRATIC = (
    "the flow on ½‖A − T‖² is the closed form (3.4) exactly, `lindyn.solutions.NarrowSolution`; (2.1) does not hold, "
    "since the first layer sees only as many input directions as there are hidden units"
)
_DISCRETE = (
    "gradient descent and SGD follow it to first order in the learning rate; Adam, dropout and large momentum steps "
    "do not conserve W1W1ᵀ − W2ᵀW2, so that the threshold describes the start only"
)


@dataclass(frozen=True)
class StartReport:
    """What an initialiser did, and how exact the theory is there.

    Attributes:
        form: "two-sided", "one-sided" or "narrow".
        side: the layer that is non-zero ("in": the first, "out": the second), or the larger one from a given start;
            "both" for the two-sided form.
        threshold: τ on the singular values of the product.
        shape: (d_out, d_in) of the product; d_in counts a bias of the hidden layer as one more input.
        width: hidden width w.
        exactness: one sentence: which equation the training follows, and how closely.
        notes: further sentences: bias, precision.
    """

    form: str
    side: str
    threshold: float
    shape: tuple[int, int]
    width: int
    exactness: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Form and threshold on the first line, then one sentence a line."""
        d_out, d_in = self.shape
        head = f"{self.form} start ({self.side}) of {d_out} × {d_in}, width {self.width}, threshold {self.threshold:g}"
        return "\n".join([head, *(f"  {line}" for line in (self.exactness, _DISCRETE, *self.notes))])


def mixed_weights(
    shape: int | tuple[int, int],
    width: int,
    *,
    threshold: float,
    form: Form = "auto",
    side: Side | None = None,
    start: Any = None,
    key: Seed = 0,
) -> tuple[Float[np.ndarray, "w d_in"], Float[np.ndarray, "d_out w"], StartReport]:
    """Return W1 and W2 that start training at a prescribed threshold τ, in the form that the shapes allow.

    | form | width | weights (from A₀ = 0) | exact for |
    |---|---|---|---|
    | "two-sided" | w ≥ d_in + d_out | W1 = √τ O1, W2 = √τ O2ᵀ, columns of O1, O2 all orthonormal | any cost (2.1) |
    | "one-sided" | w ≥ d_in or w ≥ d_out | W1 = √(2τ) O1, W2 = 0, or its mirror | any cost (2.1) |
    | "narrow" | w ≤ d_in or w ≤ d_out | W1 with rows √(2τ)·orthonormal, W2 = 0, or its mirror | ½‖A − T‖² (3.4) |

    From a start A₀ = U S Vᵀ, ψ = √(S² + τ²): two-sided, a factor of [[√(A₀ᵀA₀ + τ²), A₀ᵀ], [A₀, √(A₀A₀ᵀ + τ²)]];
    otherwise W1 = √(ψ + τ) Vᵀ, W2 = U√(ψ − τ) (λ-balanced, λ = 2τ), hidden units that A₀ does not need as above. The
    hidden units are turned by a uniformly random rotation.

    Args:
        shape: (d_out, d_in) of the product A = W2W1, or d.
        width: w.
        threshold: τ > 0, in units of singular values of A: those below it learn lazily, those above it actively.
        form: "auto" takes the first form of the table that the width allows.
        side: which layer is the larger, for the last two forms; "in" where the width allows it, if left out.
        start: A₀, zero if left out; narrow: of rank at most w.
        key: seed, or a numpy Generator.

    Returns:
        W1, W2 (float64) and the report.

    Raises:
        InvalidArgument: τ ≤ 0, an unknown form, a width that the form does not allow, or a start that does not fit.

    References:
        theory (2.4), (2.6), (3.1), (3.4).

    Examples:
        >>> w1, w2, report = mixed_weights((3, 4), width=2, threshold=0.5)
        >>> report.form, np.round(np.diag(w1 @ w1.T - w2.T @ w2), 12).tolist()
        ('narrow', [1.0, 1.0])
    """
    d_out, d_in = checks.matrix_shape("shape", shape)
    width = checks.integer("width", width, at_least=1)
    tau = checks.number("threshold", threshold, above=0, at_most=SQUARED, remedy="at τ = 0 a start of zero never moves")
    checks.choice("form", form, FORMS)
    if side is not None:
        checks.choice("side", side, ("in", "out"))
    rng = stream("key", key, "starts")
    if start is not None:
        start = checks.array("start", start, 2, dtype=np.float64, shape=(d_out, d_in))
    needed = 4 * 8 * max(width, d_in + d_out) * (d_in + d_out)
    require_memory("width", width, needed, "weights of that width", "use a smaller one")
    chosen, larger = _choose(form, side, d_out, d_in, width)
    if chosen == "two-sided":
        net = TwoLayer.orthogonal((d_out, d_in), threshold=tau, start=start)
    else:
        units = min(width, d_in if larger == "in" else d_out)
        net = TwoLayer.balanced((d_out, d_in), threshold=tau, width=units, side=larger, start=start, key=rng)
    frame = haar_frame(width, net.reduced_width, rng).T
    report = StartReport(
        form=chosen,
        side="both" if chosen == "two-sided" else larger,
        threshold=tau,
        shape=(d_out, d_in),
        width=width,
        exactness=_QUADRATIC if chosen == "narrow" else _ANY_COST,
    )
    return frame.T @ net.w1, net.w2 @ frame, report


def lora_weights(
    shape: int | tuple[int, int], rank: int, *, threshold: float, scale: float = 1.0, key: Seed = 0
) -> tuple[Float[np.ndarray, "r d_in"], Float[np.ndarray, "d_out r"], StartReport]:
    """Return A and B = 0 of a LoRA layer ΔW = s·BA with a prescribed threshold: A = √(2τ/s)·(r orthonormal rows).

    With √s A and √s B in place of W1 and W2 this is the narrow form of `mixed_weights`, so that ΔW under SGD on
    ½‖ΔW − T‖² follows (3.4) exactly, at flow time s·η·step.

    Args:
        shape: (d_out, d_in) of the adapted layer, or d.
        rank: LoRA rank r ≤ d_in.
        threshold: τ > 0, in units of singular values of ΔW.
        scale: s = α/r, or α/√r for rank-stabilised LoRA.
        key: seed, or a numpy Generator.

    Raises:
        InvalidArgument: τ ≤ 0, s ≤ 0, or a rank above d_in.

    References:
        theory (2.7), (3.4).

    Examples:
        >>> a, b, report = lora_weights((6, 8), rank=2, threshold=0.3, scale=4.0)
        >>> np.round(4.0 * np.diag(a @ a.T), 12).tolist(), float(abs(b).max())
        ([0.6, 0.6], 0.0)
    """
    s = checks.number("scale", scale, above=0)
    d_out, d_in = checks.matrix_shape("shape", shape)
    rank = checks.integer("rank", rank, at_least=1, at_most=d_in)
    a, b, report = mixed_weights((d_out, d_in), rank, threshold=threshold, form="narrow", side="in", key=key)
    return a / math.sqrt(s), b, report


def _choose(form: str, side: Side | None, d_out: int, d_in: int, width: int) -> tuple[str, Side]:
    """Form and larger side, or a refusal that says which widths the form allows."""
    if form == "auto":
        least = {"in": d_in, "out": d_out, None: min(d_in, d_out)}[side]
        if side is None and width >= d_in + d_out:
            return "two-sided", "in"
        form = "one-sided" if width >= least else "narrow"
    if form == "two-sided":
        if side is not None:
            raise checks.InvalidArgument("side", "be left out for the two-sided form", f"it is {checks.shown(side)}")
        checks.integer("width", width, at_least=d_in + d_out, remedy="or use another `form`")
        return form, "in"
    fits = (lambda d: width >= d) if form == "one-sided" else (lambda d: width <= d)
    allowed: list[Side] = [s for s, d in (("in", d_in), ("out", d_out)) if fits(d)]  # type: ignore[misc]
    if side in allowed or (side is None and allowed):
        return form, side or allowed[0]
    bound = "at least" if form == "one-sided" else "at most"
    sizes = {"in": f"d_in = {d_in}", "out": f"d_out = {d_out}", None: f"d_in = {d_in} or d_out = {d_out}"}[side]
    raise checks.InvalidArgument(
        "width", f"be {bound} {sizes} for the {form} form", f"it is {width}", "or use another `form`"
    )
