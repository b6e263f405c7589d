"""One mode of a target against time, from any start: the scalar equation behind every curve of the library.

    ṁ = 2√(m² + τ²)(s − m),  m(0) = m₀.

A mode is a net of one hidden unit with layers (α, β), αβ = m, α² − β² = 2τ, for which (3.4) is a formula in numbers.
With ψ = √(s² + τ²), E = e^{−2ψt}, R = 1 − E, and everything in units of ψ (a = s/ψ, b = τ/ψ, n = m₀/ψ, p = √(n² + b²)):

    m/ψ = [2E(n + aRp) + aR²Q] / [2E(1 + Rp) + R²Q],      Q = p + an + b²,

in which nothing cancels where s and m₀ have one sign; where they have not, Q = b²(1 + n² + p − an)/(p − an).

Plain arithmetic for NumPy and JAX alike: NumPy in, NumPy out; under JAX it can be differentiated, vmapped and compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lindyn.support.namespaces import by_numpy, demand, or_nan, quantities, reachable, within

if TYPE_CHECKING:
    from jaxtyping import Float


def mode_fraction(a: Any, b: Any, e: Any, rise: Any) -> Any:
    """Return m/s of (3.2), from a zero start: a = s/ψ, b = τ/ψ, E = e^{−2ψt} and 1 − E.

    Where τ = 0 and E = 0 both vanish, and a zero start has not moved: the fraction is 0.

    Examples:
        >>> mode_fraction(0.6, 0.8, 0.0, 1.0)
        1.0
    """
    bottom = 2 * a**2 * e + b**2 * (1 + e**2) + b * rise * (1 + e)
    return b * rise * ((1 + e) + b * rise) / (bottom + (bottom == 0))


def _tangent_sum(xp: Any, a: Any, b: Any, n: Any, p: Any) -> Any:
    """Return Q = p + an + b², without cancellation for either sign of an."""
    opposite = a * n < 0
    gap = xp.where(opposite, p - a * n, 1.0)
    return xp.where(opposite, b**2 * (1 + n**2) / gap, p + a * n) + b**2


def _from_any_start(xp: Any, s: Any, tau: Any, psi: Any, start: Any, time: Any, e: Any, rise: Any) -> Any:
    """Return m(t) from m₀ (works 12.2), by the formula at the head of this file."""
    moving = psi > 0
    unit = xp.where(moving, psi, 1.0)
    a, b, n = s / unit, tau / unit, start / unit
    p = xp.hypot(n, b)
    q = _tangent_sum(xp, a, b, n, p)
    bottom = 2 * e * (1 + rise * p) + rise**2 * q
    found = unit * (2 * e * (n + a * rise * p) + a * rise**2 * q) / xp.where(bottom > 0, bottom, 1.0)
    # s = τ = 0: ṁ = −2|m|m
    alone = start / (1 + 2 * abs(start) * xp.where(moving, 0.0, time))
    return xp.where(moving, found, alone)


@by_numpy
def mode_curve(singular_value: Any, threshold: Any, time: Any, *, start: Any = None) -> Float[Any, "..."]:
    """Learned strength of a mode of the target against time.

    Solves ṁ = 2√(m² + τ²)(s − m), m(0) = m₀. From a zero start, with ψ = √(s² + τ²), E = e^{−2ψt}, a = s/ψ, b = τ/ψ:

        m(t) = s b(1 − E)[(1 + E) + b(1 − E)] / [2a²E + b²(1 + E²) + b(1 − E²)],

    in which nothing cancels. Limits: s(1 − e^{−2τt}) for τ ≫ s; s/(1 + (2s/τ)e^{−2st}) for τ ≪ s. From any other
    start, the formula at the head of `lindyn.solutions.modes`.

    Args:
        singular_value: s ≥ 0, singular values of the target (with a start, of either sign); broadcast with the others.
        threshold: τ ≥ 0. At τ = 0 a zero start never moves, and m = 0.
        time: flow time t ≥ 0 (gradient descent: learning rate × step); infinity is allowed.
        start: m₀, of either sign; zero if left out.

    Returns:
        m(t) of the broadcast shape: float64 from NumPy, or a JAX array where an argument is one (there an argument out
        of range gives NaN, since a traced value cannot be refused).

    Raises:
        InvalidArgument: an argument is negative or NaN.

    References:
        theory (3.2); from any start works (12.2).

    Examples:
        >>> float(mode_curve(1.0, 1e-3, 3.0).round(4))
        0.168
        >>> mode_curve([0.5, 2.0], 100.0, [0.0, float("inf")]).tolist()  # t = 0 and t → ∞
        [0.0, 2.0]
        >>> mode_curve(1.0, 0.1, [0.0, 1.0, float("inf")], start=-0.5).round(4).tolist()
        [-0.5, 0.0011, 1.0]
    """
    more = {} if start is None else {"start": start}
    xp, (s, tau, t, *m0) = quantities(singular_value=singular_value, threshold=threshold, time=time, **more)
    positive = s >= 0 if start is None else xp.isfinite(s)
    demand("singular_value", s, positive)
    demand("time", t, t >= 0)
    within(threshold=tau)
    reachable(singular_value=s)
    psi = xp.hypot(s, tau)
    safe = xp.where(psi > 0, psi, 1.0)
    rate_time = xp.where(psi > 0, safe * t, 0.0)  # 0·∞ is no motion
    e, rise = xp.exp(-2 * rate_time), -xp.expm1(-2 * rate_time)
    if start is not None:
        reachable(start=m0[0])
        found = _from_any_start(xp, s, tau, psi, m0[0], t, e, rise)
    else:
        found = s * mode_fraction(s / safe, tau / safe, e, rise)
    return or_nan(xp, positive & (tau >= 0) & (t >= 0), found)


@by_numpy
def mode_time(singular_value: Any, threshold: Any, level: Any, *, start: Any = None) -> Float[Any, "..."]:
    """Flow time at which a mode of the target reaches a level: the inverse of `mode_curve`.

    From a zero start

        t(m) = (1/2ψ) ln{ s(τ² + s m + ψ√(m² + τ²)) / [(s − m) τ (τ + ψ)] },

    and from any, in the units of ψ of `lindyn.solutions.modes`, k = m/ψ and r = √(k² + b²):

        t(m) = (1/2ψ) ln{ 1 + (k − n)/(a − k) · [1 + r + (a − k)(k + n)/(r + p)]/Q },

    exact for small m too, since the logarithm is taken of 1 + a sum in which nothing cancels.

    Args:
        singular_value: s > 0 (with a start, of either sign).
        threshold: τ ≥ 0; at τ = 0 the time is infinite for every level above a start of 0.
        level: m between the start and s; m = s takes infinite time.
        start: m₀; zero if left out.

    Returns:
        t of the broadcast shape, in units of flow time (steps: divide by the learning rate); float64 from NumPy, or a
        JAX array where an argument is one (there an argument out of range gives NaN).

    Raises:
        InvalidArgument: a level that is not between the start and s, or a negative argument.

    References:
        theory (3.2); from any start works (12.2).

    Examples:
        >>> import numpy as np
        >>> t = mode_time(2.0, 0.1, 1.0)
        >>> bool(np.isclose(mode_curve(2.0, 0.1, t), 1.0))
        True
        >>> t = mode_time(2.0, 0.1, 1.0, start=-3.0)
        >>> bool(np.isclose(mode_curve(2.0, 0.1, t, start=-3.0), 1.0))
        True
    """
    xp, (s, tau, m, m0) = quantities(
        singular_value=singular_value, threshold=threshold, level=level, start=0.0 if start is None else start
    )
    positive = s > 0 if start is None else xp.isfinite(s)
    demand("singular_value", s, positive, "be positive")
    within(threshold=tau)
    reachable(singular_value=s, start=m0)
    between = (m - m0) * (s - m) >= 0
    demand("level", m, between, "lie between 0 and the singular value" if start is None else "lie between start and s")
    psi = xp.hypot(s, tau)
    unit = xp.where(psi > 0, psi, 1.0)
    a, b, k, n = s / unit, tau / unit, m / unit, m0 / unit
    r, p = xp.hypot(k, b), b if start is None else xp.hypot(n, b)
    both = xp.where(r + p > 0, r + p, 1.0)
    q = _tangent_sum(xp, a, b, n, p)
    gone, to_go = k - n, a - k
    moved = gone != 0
    # the argument of the logarithm, less 1; a level that is the start is reached at once, even where nothing moves
    bottom = to_go * q
    bottom = xp.where(moved | (bottom != 0), bottom, 1.0)
    found = xp.log1p(gone * (1 + r + to_go * (k + n) / both) / bottom) / (2 * unit)
    return or_nan(xp, positive & (tau >= 0) & between, found)


@by_numpy
def mode_amplification(singular_value: Any, threshold: Any, *, start: Any = 0.0) -> Float[Any, "..."]:
    """How much of its features a mode grows by training: γ₊ = exp(asinh(s/τ) − asinh(m₀/τ)).

    In a net of scalar input and output with H units (a, b), m = aᵀb, it is ‖a + b‖² at the end over that at the start:
    near 1 where lazy, τ ≫ s, and about 2s/τ where active, τ ≪ s, from a start of zero.

    Args:
        singular_value: s of the target, of either sign; broadcast with the others.
        threshold: τ > 0, that is ½√((‖a‖² + ‖b‖²)² − 4m₀²) of the net.
        start: m₀, of either sign.

    Returns:
        γ₊ of the broadcast shape (below 1 where s is below m₀); under JAX NaN for a threshold out of range.

    Raises:
        InvalidArgument: a threshold that is not positive.

    References:
        works (12.5); Nam et al. (2025).

    Examples:
        >>> mode_amplification(1.0, [100.0, 1.0, 0.01]).round(2).tolist()
        [1.01, 2.41, 200.0]
    """
    xp, (s, tau, m0) = quantities(singular_value=singular_value, threshold=threshold, start=start)
    demand("threshold", tau, tau > 0, "be positive")
    reachable(singular_value=s, threshold=tau, start=m0)
    safe = xp.where(tau > 0, tau, 1.0)
    return or_nan(xp, tau > 0, xp.exp(xp.arcsinh(s / safe) - xp.arcsinh(m0 / safe)))


def descent_step(grown: Any, fallen: Any, singular_value: Any, rate: Any, decay: Any = 0.0) -> tuple[Any, Any]:
    """One step of gradient descent on a mode of an infinitely wide two-layer network, weight decay included.

        (c + m) ← (c + m)(1 − ημ + ηg)²,    (c − m) ← (c − m)(1 − ημ − ηg)²,    c = √(m² + τ²), g = s − m:

    the step V ← ((1 − ημ)I − ηS)V in the plane of the mode, in which VVᵀ has the eigenvalues c ± m. *Follows* from
    (1.2), (2.2); under decay c² − m² = τ² falls with V, as in (2.8).

    Args:
        grown: c + m before the step; τ at a zero start.
        fallen: c − m before the step; τ at a zero start.
        singular_value: s of the target.
        rate: η, flow time of the step.
        decay: μ of both layers.

    Returns:
        c + m and c − m after the step.

    References:
        theory (1.2), (2.2), (2.8).

    Examples:
        >>> grown, fallen = descent_step(2.0, 2.0, 5.0, 0.01)
        >>> round(0.5 * (grown - fallen), 9)  # 2ητs: lazy at first
        0.2
    """
    move, keep = rate * (singular_value - 0.5 * (grown - fallen)), 1 - rate * decay
    return grown * (keep + move) ** 2, fallen * (keep - move) ** 2


class ModeOfLayers(NamedTuple):
    """A mode of two layers by its three products, in its singular vectors: ‖W1v‖², ‖W2ᵀu‖² and m = uᵀW2W1v."""

    first: Any
    second: Any
    learned: Any


def step_at_once(mode: ModeOfLayers, singular_value: Any, rate: Any) -> ModeOfLayers:
    """One step of descent on a mode, both layers at once: `descent_step` in three products.

    Args:
        mode: before the step.
        singular_value: s of the target.
        rate: η, flow time of the step.

    References:
        theory (1.2), (2.2).

    Examples:
        >>> found = step_at_once(ModeOfLayers(2.0, 2.0, 0.0), 5.0, 0.01)
        >>> round(found.learned, 9), round(found.first, 9)  # 2ητs, τ(1 + (ηs)²)
        (0.2, 2.005)
    """
    a, b, m = mode
    move = rate * (singular_value - m)
    return ModeOfLayers(
        a + 2 * move * m + move**2 * b, b + 2 * move * m + move**2 * a, m + move * (a + b) + move**2 * m
    )


def step_in_turn(mode: ModeOfLayers, singular_value: Any, rate: Any) -> ModeOfLayers:
    """The same where the second layer's step uses the first one already updated, as in the published code.

    Args:
        mode: before the step.
        singular_value: s of the target.
        rate: η, flow time of the step.

    References:
        theory (1.2).

    Examples:
        >>> round(step_in_turn(ModeOfLayers(2.0, 2.0, 0.0), 5.0, 0.01).learned, 9)  # 2ητs + τ(ηs)³
        0.20025
    """
    a, b, m = mode
    move = rate * (singular_value - m)
    across = m + move * b  # of the new first layer with the old second
    above = a + 2 * move * m + move**2 * b
    return ModeOfLayers(above, b + 2 * move * across + move**2 * above, across + move * above)


class ModeTimes(NamedTuple):
    """Flow times at which each mode crosses τ, reaches half and 0.9 of its singular value (NaN: never).

    References:
        theory (3.2).
    """

    crossing: Any
    half: Any
    learned: Any


def mode_times(singular_values: Any, threshold: Any) -> ModeTimes:
    """Return when modes cross the threshold, are half learned and are learned to 0.9, from a zero start.

    Args:
        singular_values: s > 0.
        threshold: τ ≥ 0, broadcast with them.

    Raises:
        InvalidArgument: a singular value that is not positive, or τ < 0.

    References:
        theory (3.2).

    Examples:
        >>> times = mode_times([8.0, 1.0], 2.0)
        >>> times.crossing.round(3).tolist(), times.half.round(3).tolist()
        ([0.063, nan], [0.119, 0.171])
    """
    xp, (s, tau) = quantities(singular_values=singular_values, threshold=threshold)
    demand("singular_values", s, s > 0, "be positive")
    reachable(singular_values=s)
    active = s > tau
    crossing = xp.where(active, mode_time(s, tau, xp.where(active, tau, 0.0 * s)), xp.nan)
    return ModeTimes(crossing, mode_time(s, tau, 0.5 * s), mode_time(s, tau, 0.9 * s))
