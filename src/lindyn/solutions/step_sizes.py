"""Learning rates as formulas: the published rules and the stability bound, for NumPy and JAX alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lindyn.support import checks
from lindyn.support.bounds import SQUARED
from lindyn.support.namespaces import demand, quantities, within

if TYPE_CHECKING:
    from jaxtyping import Float


class StabilityWarning(UserWarning):
    """The learning rate exceeds the stability bound; the message carries both."""


def unstable_above(rate: Any, *, momentum: Any = 0.0, nesterov: bool = False) -> Float[Any, "..."]:
    """Return the learning rate above which descent is unstable on modes that decay at most at `rate` = λ.

    Plain: 2/λ. Heavy ball: 2(1 + μ)/λ. Nesterov's momentum: 2(1 + μ)/((1 + 2μ)λ). Infinite where nothing decays.

    Args:
        rate: λ ≥ 0, largest rate at which an error decays in flow time, times the factor from η·step to that time.
        momentum: μ in [0, 1).
        nesterov: whether the momentum is Nesterov's.

    References:
        theory (1.1), from which it *follows*: a step multiplies a mode by a root z of z² − (1 + μ − ηλ)z + μ (heavy
        ball) or z² − (1 + μ)(1 − ηλ)z + μ(1 − ηλ) (Nesterov), and z = −1 leaves the unit circle first.

    Examples:
        >>> [float(unstable_above(4.0, momentum=m, nesterov=n)) for m, n in ((0, False), (0.5, False), (0.5, True))]
        [0.5, 0.75, 0.375]
    """
    xp, (decay, mu) = quantities(rate=rate, momentum=momentum)
    demand("rate", decay, decay >= 0)
    _require_momentum(mu)
    checks.flag("nesterov", nesterov)
    top = 2 * (1 + mu) / (1 + 2 * mu) if nesterov else 2 * (1 + mu)
    moves = decay > 0
    return xp.where(moves, top / xp.where(moves, decay, 1.0), xp.inf)


def _require_momentum(mu: Any) -> None:
    demand("momentum", mu, (mu >= 0) & (mu < 1), "lie in [0, 1)")


def stability_limit(
    gram_in: Any, gram_out: Any, top: Any, threshold: Any, *, curvature: Any = 1.0, momentum: Any = 0.0
) -> Float[Any, "..."]:
    """Return the learning rate above which gradient descent is linearly unstable, from norms alone.

    η_max = 2(1 + μ)/(L κ), κ the larger of the tangent kernel's norm at the start, ‖C1‖ + ‖C2‖, and at the solution,
    2√(s₁² + τ²).

    Args:
        gram_in: ‖C1(0)‖ = ‖W1‖², W1 at the start.
        gram_out: ‖C2(0)‖ = ‖W2‖².
        top: s₁, largest singular value of the target.
        threshold: τ.
        curvature: L of the cost (times the network's clock).
        momentum: μ of heavy ball.

    References:
        theory (1.1), (2.1), from which it *follows*.

    Examples:
        >>> float(stability_limit(3.0, 3.0, 4.0, 3.0))  # 1/√(3² + 4²)
        0.2
    """
    xp, (c1, c2, s, tau, steep, mu) = quantities(
        gram_in=gram_in, gram_out=gram_out, top=top, threshold=threshold, curvature=curvature, momentum=momentum
    )
    within(gram_in=c1, gram_out=c2, top=s, threshold=tau, curvature=steep)
    return unstable_above(steep * xp.maximum(c1 + c2, 2 * xp.hypot(s, tau)), momentum=mu)


def gaussian_gram(variance: Any, width: Any, dim: Any) -> Float[Any, "..."]:
    """Return ‖W‖² = σ²(√w + √d)² of a Gaussian layer between w and d units, the edge of Marchenko–Pastur's law.

    Args:
        variance: σ² of an entry.
        width: w.
        dim: d.

    References:
        theory section 5.

    Examples:
        >>> float(gaussian_gram(0.01, 400, 100))
        9.0
    """
    xp, (square, w, d) = quantities(variance=variance, width=width, dim=dim)
    return square * (xp.sqrt(w) + xp.sqrt(d)) ** 2


def published_rate(
    rule: str, *, threshold: float, top: float, size: float, bound: float, unit: float = 1.0
) -> tuple[float, str]:
    """Return the paper's learning rate from scales alone.

    "auto" (Figure 2): η = 1/(50τ) if τ > ‖A*‖_F (which is σ²w > d for a signal of unit entries), else
    1/(50‖A*‖_op), capped at half the stability bound. "figure1": η = 1/(5‖A*‖_op).

    Args:
        rule: "auto" or "figure1".
        threshold: τ.
        top: ‖A*‖_op.
        size: ‖A*‖_F.
        bound: the stability bound.
        unit: flow time that passes in a step of learning rate 1, times the curvature of the cost.

    Raises:
        InvalidArgument: another rule, or a signal of zero.

    References:
        theory section 4, published settings.

    Examples:
        >>> published_rate("figure1", threshold=1.0, top=2.0, size=3.0, bound=1.0)[0]
        0.1
    """
    checks.choice("learning_rate", rule, ("auto", "figure1"))
    top, unit = checks.number("top", top, at_least=0, at_most=SQUARED), checks.number("unit", unit, above=0)
    if top == 0:
        raise checks.InvalidArgument(
            "learning_rate", "be a number for this task", f"it is {rule!r}, and the task's signal is zero"
        )
    if rule == "figure1":
        return 1 / (5 * top * unit), "1/(5‖A*‖_op), the published rate of Figure 1"
    rate = float(figure2_rate(threshold, top=top, size=size, bound=bound, unit=unit))
    if threshold > size:
        why = "1/(50τ), the published rate of Figure 2 where τ > ‖A*‖_F"
    else:
        why = "1/(50‖A*‖_op), the published rate of Figure 2 where τ ≤ ‖A*‖_F"
    return rate, why if rate < 0.5 * bound else f"half the stability bound, which {why} exceeds"


def figure2_rate(threshold: Any, *, top: Any, size: Any, bound: Any, unit: Any = 1.0) -> Float[Any, "..."]:
    """Return the published rate of Figure 2 for thresholds of any shape; arguments as in `published_rate`.

    Examples:
        >>> figure2_rate([1.0, 100.0], top=10.0, size=20.0, bound=[0.1, 0.01]).tolist()
        [0.002, 0.0002]
    """
    xp, (tau, s, norm, limit, clock) = quantities(threshold=threshold, top=top, size=size, bound=bound, unit=unit)
    demand("unit", clock, clock > 0, "be positive")
    demand("top", s, s > 0, "be positive")
    demand("bound", limit, limit > 0, "be positive")
    within(threshold=tau, size=norm)
    lazy = tau > norm
    rate = xp.where(lazy, 1 / (50 * xp.where(lazy, tau, 1.0)), 1 / (50 * s))
    return xp.minimum(rate / clock, 0.5 * limit)
