"""Parametrisations of a two-layer linear network, brought to one form: two variances and a clock.

A network A = α W2 W1 with learning rates η₁, η₂ for its layers follows the same path as the plain network with
w1 = √α (η₂/η₁)^¼ W1, w2 = √α (η₁/η₂)^¼ W2 and learning rate α√(η₁η₂): substitute into (1.1). Its threshold is
therefore τ = (w/2)(σ₁'² + σ₂'²) with the variances of w1 and w2 (2.5), whatever the name of the parametrisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lindyn.networks.lora import kaiming_variance
from lindyn.solutions.thresholds import narrow_threshold, start_variance, wide_threshold
from lindyn.support import checks
from lindyn.support.bounds import SQUARED, WIDEST


@dataclass(frozen=True)
class Parametrization:
    """Law of the weights and learning rates of A = multiplier · W2 W1 at one width.

    Args:
        name: for print-outs.
        width: hidden width w.
        variance_in: σ₁², variance of an entry of W1, shape (w, d_in).
        variance_out: σ₂², variance of an entry of W2, shape (d_out, w).
        multiplier: α, factor of the product.
        rate_in: learning rate of W1 relative to the nominal one.
        rate_out: the same for W2.
        distribution: "normal" or "uniform".

    Raises:
        InvalidArgument: no hidden unit, a negative variance, a multiplier or rate that is not positive, another
            distribution, or numbers whose threshold is no longer finite.

    References:
        theory (2.5) and the change of variables in this module's docstring.

    Examples:
        >>> [round(ntk((100, 100), width=w).threshold, 6) for w in (10_000, 1_000_000)]  # grows: lazy
        [10.0, 100.0]
        >>> [round(mean_field((100, 100), width=w).threshold, 6) for w in (10_000, 1_000_000)]
        [0.1, 0.1]
    """

    name: str
    width: int
    variance_in: float
    variance_out: float
    multiplier: float = 1.0
    rate_in: float = 1.0
    rate_out: float = 1.0
    distribution: Literal["normal", "uniform"] = "normal"

    def __post_init__(self) -> None:
        """Refuse what no weights can be drawn from."""
        _width(self.width)
        for name in ("variance_in", "variance_out"):
            _variance(name, getattr(self, name))
        for name in ("multiplier", "rate_in", "rate_out"):
            checks.number(name, getattr(self, name), above=0, at_most=SQUARED)
        checks.choice("distribution", self.distribution, ("normal", "uniform"))
        with np.errstate(over="ignore"):  # said in words instead
            finite = math.isfinite(self.threshold)
        if not finite:
            raise checks.InvalidArgument(
                "width", "give a finite threshold τ = (w/2)(u₁²σ₁² + u₂²σ₂²)", f"it is {self.width:.3g}", "lower it"
            )

    @property
    def units(self) -> tuple[float, float]:
        """Factors (u₁, u₂) with w1 = u₁W1, w2 = u₂W2 in the plain form."""
        root, ratio = math.sqrt(self.multiplier), (self.rate_out / self.rate_in) ** 0.25
        return root * ratio, root / ratio

    @property
    def clock(self) -> float:
        """Flow time of the plain form that passes in one step of learning rate 1: α√(η₁η₂)."""
        return self.multiplier * math.sqrt(self.rate_in * self.rate_out)

    @property
    def plain_variances(self) -> tuple[float, float]:
        """Variances u₁²σ₁², u₂²σ₂² of the entries of w1 and w2 in the plain form."""
        u_in, u_out = self.units
        return u_in**2 * self.variance_in, u_out**2 * self.variance_out

    @property
    def threshold(self) -> float:
        """τ = (w/2)(u₁²σ₁² + u₂²σ₂²), the wide network's: singular values below it are lazy, above it active (2.5).

        This is the τ = σ²w of the paper's formula at any width. The flow of a narrow network has another threshold,
        `threshold_on`.
        """
        return float(wide_threshold(*self.plain_variances, float(self.width)))

    def threshold_on(self, shape: int | tuple[int, int]) -> float:
        """Return τ that the flow of a network of this law and a given shape has: narrow pairs have their own.

        (2.5) from w = d_in + d_out up, and |u₁²σ₁²d_in − u₂²σ₂²d_out|/2 below (2.7).

        Args:
            shape: (d_out, d_in), or d.

        References:
            theory (2.5), (2.7).

        Examples:
            >>> law = lora((512, 512), rank=8, scale=2.0)
            >>> round(law.threshold_on((512, 512)), 4)  # s/6
            0.3333
        """
        d_out, d_in = checks.matrix_shape("shape", shape)
        if self.width >= d_in + d_out:
            return self.threshold
        return float(narrow_threshold(*self.plain_variances, d_in, d_out))

    @property
    def start_variance(self) -> float:
        """n₀ = u₁²σ₁²·u₂²σ₂²·w, the variance of an entry of A(0): σ⁴w for one variance.

        Examples:
            >>> standard(width=100, variance=0.01).start_variance
            0.01
        """
        return float(start_variance(self.plain_variances, (float(self.width),)))

    def feature_learning(self, singular_value: float) -> float:
        """Return the strength s/√(s² + τ²) of feature learning on a mode of size s: 0 lazy, 1 active.

        Examples:
            >>> round(standard(width=100, variance=0.01).feature_learning(1.0), 4)
            0.7071
        """
        s = checks.number("singular_value", singular_value, at_least=0)
        return s / math.hypot(s, self.threshold) if s else 0.0


def standard(
    *, width: int, variance: float, variance_in: float | None = None, variance_out: float | None = None
) -> Parametrization:
    """Return iid N(0, σ²) weights, the paper's law: τ = σ²w; or one variance for each layer (2.5)."""
    both = _variance("variance", variance)
    return Parametrization(
        "standard",
        _width(width),
        both if variance_in is None else _variance("variance_in", variance_in),
        both if variance_out is None else _variance("variance_out", variance_out),
    )


def exponents(shape: int | tuple[int, int], *, variance_exponent: float, width_exponent: float) -> Parametrization:
    """Return the law σ² = d^γ_σ², w = d^γ_w (rounded, at least 1), with d = √(d_out d_in): theory section 4.

    Examples:
        >>> law = exponents(500, variance_exponent=-1.85, width_exponent=2.25)
        >>> law.width, round(law.threshold, 2)
        (1182177, 12.01)
    """
    d_out, d_in = checks.matrix_shape("shape", shape)
    log_dim = 0.5 * math.log(d_out * d_in)
    log_width = checks.number("width_exponent", width_exponent, at_least=0) * log_dim
    if log_width > 300:
        raise checks.InvalidArgument("width_exponent", "give a width below e^300", f"it is {width_exponent:g}")
    log_variance = checks.number("variance_exponent", variance_exponent) * log_dim
    if abs(log_variance) > 300:
        raise checks.InvalidArgument(
            "variance_exponent", "give a variance between e^-300 and e^300", f"it is {variance_exponent:g}"
        )
    variance = math.exp(log_variance)
    return standard(width=max(1, round(math.exp(log_width))), variance=variance)


def pytorch_default(shape: int | tuple[int, int], *, width: int) -> Parametrization:
    """Return `torch.nn.Linear`'s default: uniform weights of variance 1/(3·fan_in); τ = (w/d_in + 1)/6."""
    _, d_in = checks.matrix_shape("shape", shape)
    w = _width(width)
    return Parametrization("PyTorch default", w, kaiming_variance(d_in), kaiming_variance(w), distribution="uniform")


def ntk(shape: int | tuple[int, int], *, width: int) -> Parametrization:
    """Return A = W2W1/√(w d_in) with N(0, 1) weights (Jacot et al. 2018); τ = √(w/d_in): lazy when wide."""
    _, d_in = checks.matrix_shape("shape", shape)
    w = _width(width)
    return Parametrization("NTK", w, 1.0, 1.0, multiplier=1 / math.sqrt(w * d_in))


def mean_field(shape: int | tuple[int, int], *, width: int) -> Parametrization:
    """Return A = W2W1/(w√d_in), N(0, 1) weights, rates × w (Mei et al. 2018); τ = 1/√d_in at any width."""
    _, d_in = checks.matrix_shape("shape", shape)
    w = _width(width)
    return Parametrization("mean field", w, 1.0, 1.0, multiplier=1 / (w * math.sqrt(d_in)), rate_in=w, rate_out=w)


def mup(shape: int | tuple[int, int], *, width: int) -> Parametrization:
    """Return the maximal-update law for SGD (Yang & Hu 2021): σ₁² = 1/d_in, σ₂² = 1/w², rates (w, 1/w).

    τ = (1 + 1/d_in)/2 at any width.
    """
    _, d_in = checks.matrix_shape("shape", shape)
    w = _width(width)
    return Parametrization("maximal update", w, 1 / d_in, 1 / w**2, rate_in=w, rate_out=1 / w)


def lora(
    shape: int | tuple[int, int],
    rank: int,
    *,
    scale: float = 1.0,
    variance: float | None = None,
    rate_ratio: float = 1.0,
) -> Parametrization:
    """Return LoRA's law, ΔW = s·BA with B = 0: A uniform of variance 1/(3 d_in), the common default, or Gaussian.

    Its hidden layer is narrow: the threshold on singular values of ΔW is √(η_B/η_A)·s d_in σ_A²/2 (2.7), not the
    wide network's `Parametrization.threshold`.

    Args:
        shape: (d_out, d_in) of the adapted layer.
        rank: LoRA rank r.
        scale: s = α/r, or α/√r for rank-stabilised LoRA.
        variance: σ_A² of Gaussian entries; left out, Kaiming-uniform with a = √5.
        rate_ratio: η_B/η_A of LoRA+; the nominal learning rate is η_A.

    Raises:
        InvalidArgument: a rank, scale, variance or ratio that cannot be used.

    References:
        theory (2.7).

    Examples:
        >>> lora((64, 64), rank=8, scale=2.0).variance_in * 192
        1.0
    """
    d_out, d_in = checks.matrix_shape("shape", shape)
    return Parametrization(
        name="LoRA",
        width=checks.integer("rank", rank, at_least=1, at_most=min(d_out, d_in)),
        variance_in=kaiming_variance(d_in) if variance is None else _variance("variance", variance),
        variance_out=0.0,
        multiplier=checks.number("scale", scale, above=0),
        rate_out=checks.number("rate_ratio", rate_ratio, above=0),
        distribution="uniform" if variance is None else "normal",
    )


def _variance(name: str, value: float) -> float:
    return checks.number(name, value, at_least=0, at_most=SQUARED)


def _width(width: int) -> int:
    found = checks.integer("width", width, at_least=1, remedy="a network needs a hidden unit")
    if found > WIDEST:
        raise checks.InvalidArgument("width", f"be at most {WIDEST:.0e}", f"it is {checks.shown(width)}")
    return found
