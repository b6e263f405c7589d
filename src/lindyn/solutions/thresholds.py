"""Thresholds as formulas: of a wide start, of a narrow one, and of a mode that is measured; for NumPy and JAX alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lindyn.support import checks
from lindyn.support.bounds import SQUARED, WIDEST
from lindyn.support.namespaces import quantities, within

if TYPE_CHECKING:
    from jaxtyping import Float


def wide_threshold(variance_in: Any, variance_out: Any, width: Any) -> Float[Any, "..."]:
    """Return τ = w(σ₁² + σ₂²)/2 of a start that is wider than d_in + d_out.

    Args:
        variance_in: σ₁² of an entry of W1.
        variance_out: σ₂² of an entry of W2.
        width: w.

    References:
        theory (2.1), (2.5).

    Examples:
        >>> float(wide_threshold(0.01, 0.03, 1000))
        20.0
    """
    _, (first, second, w) = quantities(variance_in=variance_in, variance_out=variance_out, width=width)
    within(variance_in=first, variance_out=second)
    within(WIDEST, width=w)
    return 0.5 * w * (first + second)


def start_variance(variances: Sequence[Any], widths: Sequence[Any]) -> Float[Any, "..."]:
    """Return n₀ = Π_l σ_l² Π_l w_l, the variance of an entry of A(0): σ⁴w for two layers of one variance.

    Args:
        variances: σ_l² of an entry of W_l, input side first; each a number or an array.
        widths: w_l, one fewer.

    References:
        theory section 4, (7.4).

    Examples:
        >>> float(start_variance([0.1, 0.1], [100])), round(float(start_variance([0.1, 0.1, 0.1], [10, 10])), 12)
        (1.0, 0.1)
    """
    each = checks.listed("variances", variances), checks.listed("widths", widths)
    if len(each[0]) != len(each[1]) + 1:
        raise checks.InvalidArgument(
            "widths", f"be {max(len(each[0]) - 1, 0)} hidden widths", f"they are {len(each[1])}"
        )
    named = {
        f"{name}[{k}]": v for name, vs in zip(("variances", "widths"), each, strict=True) for k, v in enumerate(vs)
    }
    _, (found, *rest) = quantities(**named)
    later, hidden = rest[: len(variances) - 1], rest[len(variances) - 1 :]
    for name, value in zip(named, (found, *rest), strict=True):
        within(WIDEST if name.startswith("widths") else SQUARED, **{name: value})
    for variance, width in zip(later, hidden, strict=True):
        found = (found * width) * variance  # in turn, so that the product of all widths is never formed
    return found


def narrow_threshold(variance_in: Any, variance_out: Any, d_in: Any, d_out: Any) -> Float[Any, "..."]:
    """Return τ = |σ₁²d_in − σ₂²d_out|/2 of a start that is narrower than both dimensions.

    Args:
        variance_in: σ₁² of an entry of W1 (LoRA: of √s·A).
        variance_out: σ₂² of an entry of W2 (LoRA: of √s·B).
        d_in: number of inputs.
        d_out: number of outputs.

    References:
        theory (2.7).

    Examples:
        >>> float(narrow_threshold(2.0 / (3 * 768), 0.0, 768, 512))  # LoRA of scale s = 2, default A: s/6
        0.3333333333333333
    """
    _, (first, second, inputs, outputs) = quantities(
        variance_in=variance_in, variance_out=variance_out, d_in=d_in, d_out=d_out
    )
    within(variance_in=first, variance_out=second, d_in=inputs, d_out=outputs)
    return 0.5 * abs(first * inputs - second * outputs)


def mode_threshold(strength: Any, kernel: Any) -> tuple[Float[Any, "..."], Float[Any, "..."]]:
    """Return threshold and activity of a mode of A, τ = ½√(g² − 4m²) and 2m/g.

    Args:
        strength: m, the singular value of A.
        kernel: g = ‖W1v‖² + ‖W2ᵀu‖² ≥ 2m in its singular vectors.

    References:
        theory (2.9).

    Examples:
        >>> tau, activity = mode_threshold(3.0, 10.0)
        >>> float(tau), float(activity)
        (4.0, 0.6)
    """
    xp, (m, g) = quantities(strength=strength, kernel=kernel)
    within(strength=m, kernel=g)
    square = (g - 2 * m) * (g + 2 * m)
    root = xp.where(square > 0, xp.sqrt(xp.where(square > 0, square, 1.0)), 0.0)
    return 0.5 * root, xp.where(g > 0, 2 * m / xp.where(g > 0, g, 1.0), 0.0)


def activity_of(strength: Any, threshold: Any) -> Float[Any, "..."]:
    """Return the activity s/√(s² + τ²) of a mode: 0 lazy, 1/√2 at the threshold, 1 active (0 where both vanish).

    Args:
        strength: s ≥ 0.
        threshold: τ ≥ 0.

    References:
        theory (2.9).

    Examples:
        >>> activity_of([3.0, 0.0], 4.0).tolist()
        [0.6, 0.0]
    """
    xp, (s, tau) = quantities(strength=strength, threshold=threshold)
    total = xp.hypot(s, tau)
    return xp.where(total != 0, s / xp.where(total != 0, total, 1.0), 0.0)
