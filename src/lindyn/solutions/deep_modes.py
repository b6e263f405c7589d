"""The deep mode curve: one singular mode of the target against time, for a network of L layers of infinite width.

From A(0) = 0 the modes of T decouple at any depth, and each follows a scalar network over the tree of words (7.3). With
equal σ²w in every layer its curve is one function of two numbers (7.4),

    m(t)/s = φ_L(s/τ, t τ^{2−2/L}),      τ = (σ²w)^{L/2},

lazy for s ≪ τ, where m = s(1 − e^{−Lτ^{2−2/L}t}), active for s ≫ τ, where after the escape ṁ = L m^{2−2/L}(s − m). One
layer has ṁ = s − m and two have (3.2); from three on φ_L is tabulated. The table holds the inverse: ln t at which
p = −ln(1 − m/s) reaches each of 128 levels, since at a given p the time is smooth in ln(s/τ), while at a given time an
escape is as sharp as one likes. Between its points polynomials of degree 7 are laid in both directions.

`ACCURACY` is the largest error of m/s, against one more generation of words and half-way between the points of the
table (`python -m benchmarks.deep_table --check`). Below s/τ = 10⁻⁴ the lazy limit holds to 10⁻⁸; above 10⁶ the
escape is scaled (its time is ∝ 1/s) and the rest follows the balanced limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lindyn.solutions.modes import mode_curve, mode_time
from lindyn.support import checks
from lindyn.support.bounds import DEEPEST_NETWORK, SQUARED
from lindyn.support.namespaces import arrays, by_numpy, demand, or_nan, quantities, reachable, within

if TYPE_CHECKING:
    from jaxtyping import Float

DEEPEST = 6
# largest error of m/s for s/τ ≤ 100 and for s/τ ≤ 10⁶, where an escape takes 10⁻³ … 10⁻⁴ of the time before it
ACCURACY = {1: (0.0, 0.0), 2: (0.0, 0.0), 3: (2e-7, 2e-7), 4: (2e-7, 2e-7), 5: (1e-6, 1e-4), 6: (5e-5, 5e-3)}
_POINTS = 8  # of each local polynomial


class _Table(NamedTuple):
    """ln t over ln(s/τ) and the levels ln p, both evenly spaced, τ = 1."""

    log_times: Float[np.ndarray, "ratios levels"]
    log_ratios: Float[np.ndarray, " ratios"]
    log_levels: Float[np.ndarray, " levels"]


@lru_cache
def _table(depth: int) -> _Table:
    from importlib.resources import files  # loads more than the rest of this file

    with files("lindyn.solutions").joinpath("deep_modes.npz").open("rb") as file, np.load(file) as stored:
        return _Table(stored[f"depth_{depth}"], stored["log_ratios"], np.log(stored["levels"]))


_CENTRE = (_POINTS - 1) / 2


@lru_cache
def _monomials() -> Float[np.ndarray, "8 8"]:
    """Matrix from values at −3.5, −2.5, …, 3.5 to the coefficients of their polynomial."""
    return np.linalg.inv(np.vander(np.arange(float(_POINTS)) - _CENTRE, increasing=True))


def checked_depth(depth: Any) -> int:
    """Return a depth for which there is a mode curve."""
    return checks.integer(
        "depth", depth, at_least=1, at_most=DEEPEST, remedy="deeper networks can be simulated, as DeepLinear"
    )


def deep_threshold(variances: Any, widths: Any) -> float:
    """Return τ of a wide network of L layers with weights of variance σ_l² and hidden widths w_1 … w_{L−1}.

        τ^{2−2/L} = w_1 ⋯ w_{L−1} · (1/L) Σ_l Π_{k≠l} σ_k²,

    the singular value whose balanced rate L τ^{2−2/L} is the rate of the start; (σ²w)^{L/2} for equal layers, the mean
    (2.5) for two. A single layer has none: 0.

    Args:
        variances: σ_1² … σ_L², none negative.
        widths: w_1 … w_{L−1}.

    References:
        theory (7.4), (2.5).

    Examples:
        >>> [round(deep_threshold(v, w), 12) for v, w in (([0.04, 0.02], [100]), ([0.04] * 3, [100, 100]))]
        [3.0, 8.0]
    """
    own = [checks.number("variances", value, at_least=0) for value in checks.listed("variances", variances)]
    wide = [checks.number("widths", value, above=0) for value in checks.listed("widths", widths)]
    depth = len(own)
    if depth != len(wide) + 1:
        raise checks.InvalidArgument("widths", f"be {max(depth - 1, 0)} hidden widths", f"they are {len(wide)}")
    if depth == 1:
        return 0.0
    # logarithms: at depth the products leave the range of numbers long before τ does
    pieces = [own[:k] + own[k + 1 :] for k in range(depth)]
    logs = [sum(math.log(v) for v in piece) if all(piece) else -math.inf for piece in pieces]
    top = max(logs)
    if top == -math.inf:
        return 0.0
    rate = top + math.log(sum(math.exp(value - top) for value in logs) / depth) + sum(math.log(w) for w in wide)
    logarithm = rate * depth / (2 * depth - 2)
    if logarithm > math.log(SQUARED):
        raise checks.InvalidArgument(
            "variances", f"give a threshold τ of at most {SQUARED:g}", f"ln τ is {logarithm:.4g}", "lower them"
        )
    return math.exp(logarithm)


@by_numpy
def deep_mode_curve(singular_value: Any, threshold: Any, time: Any, depth: int) -> Float[Any, "..."]:
    """Learned strength of a mode of the target against time in a network of `depth` layers, from a zero start.

        m(t) = s φ_L(s/τ, t τ^{2−2/L}),

    which is s(1 − e^{−t}) for one layer, (3.2) for two, tabulated for three and more.

    Args:
        singular_value: s ≥ 0, broadcast with the others.
        threshold: τ = (σ²w)^{L/2} ≥ 0. At τ = 0 a zero start never moves, and m = 0 (L ≥ 2).
        time: flow time t ≥ 0; infinity is allowed.
        depth: L, 1 to 6.

    Returns:
        m(t) of the broadcast shape: float64 from NumPy, or a JAX array where an argument is one (there an argument out
        of range gives NaN).

    Raises:
        InvalidArgument: an argument is negative or NaN, or a depth without a table.

    References:
        theory (7.3), (7.4).

    Examples:
        >>> deep_mode_curve([0.01, 1.0, 100.0], 1.0, [0.25, 0.25, 0.025], depth=3).round(3).tolist()
        [0.005, 0.562, 100.0]
        >>> float(deep_mode_curve(3.0, 0.1, 0.5, depth=2) - mode_curve(3.0, 0.1, 0.5))
        0.0
    """
    depth = checked_depth(depth)
    if depth == 2:
        return mode_curve(singular_value, threshold, time)
    xp, (s, tau, t) = quantities(singular_value=singular_value, threshold=threshold, time=time)
    fine = (s >= 0) & (tau >= 0) & (t >= 0)
    within(singular_value=s, threshold=tau)
    demand("time", t, t >= 0)
    if depth == 1:
        return or_nan(xp, fine, -s * xp.expm1(-t))
    moving = (s > 0) & (tau > 0)
    ratio = xp.where(moving, s / xp.where(moving, tau, 1.0), 1.0)
    log_time = scaled_log_time(xp.where(moving, tau, 1.0), t, depth)
    risen = _levels_at(xp, _table(depth), _knots(xp, depth, xp.log(ratio)), log_time)
    return or_nan(xp, fine, xp.where(moving, -s * xp.expm1(-risen), 0.0))


def scaled_log_time(threshold: Any, time: Any, depth: Any) -> Float[Any, "..."]:
    """Return ln(t τ^{2−2/L}), the time of the table.

    Args:
        threshold: τ > 0.
        time: t.
        depth: L.

    References:
        theory (7.4).
    """
    xp, (tau, t, layers) = arrays(threshold, time, depth)
    return xp.log(t) + (2 - 2 / layers) * xp.log(tau)


@by_numpy
def deep_mode_time(singular_value: Any, threshold: Any, level: Any, depth: int) -> Float[Any, "..."]:
    """Flow time at which a mode reaches a level in a network of `depth` layers: the inverse of `deep_mode_curve`.

    Args:
        singular_value: s > 0.
        threshold: τ ≥ 0; at τ = 0 the time is infinite for every level above 0 (L ≥ 2).
        level: m in [0, s]; m = s takes infinite time.
        depth: L, 1 to 6.

    Returns:
        t of the broadcast shape, in units of flow time (steps: divide by the learning rate).

    Raises:
        InvalidArgument: a level outside [0, s], a negative argument, or a depth without a table.

    References:
        theory (7.3), (7.4).

    Examples:
        >>> t = deep_mode_time(2.0, 0.1, 1.0, depth=4)
        >>> bool(np.isclose(deep_mode_curve(2.0, 0.1, t, depth=4), 1.0, rtol=1e-9))
        True
    """
    depth = checked_depth(depth)
    if depth == 2:
        return mode_time(singular_value, threshold, level)
    xp, (s, tau, m) = quantities(singular_value=singular_value, threshold=threshold, level=level)
    demand("singular_value", s, s > 0, "be positive")
    reachable(singular_value=s)
    within(threshold=tau)
    between = (m >= 0) & (m <= s)
    demand("level", m, between, "lie between 0 and the singular value")
    fine = (s > 0) & (tau >= 0) & between
    risen = -xp.log1p(-m / s)
    if depth == 1:
        return or_nan(xp, fine, risen)
    moving = tau > 0
    unit = xp.where(moving, tau, 1.0)
    table = _table(depth)
    scaled = xp.exp(_log_times_at(xp, table, _knots(xp, depth, xp.log(s / unit)), risen))
    late = _late_times(xp, table, _knots(xp, depth, xp.log(s / unit)), risen)
    found = xp.where(risen > math.exp(table.log_levels[-1]), late, scaled) * unit ** (2 / depth - 2)
    return or_nan(xp, fine, xp.where(m == 0, 0.0, xp.where(moving, found, xp.inf)))


def equal_layers(variance: Any, width: Any, depth: Any) -> tuple[Any, Any]:
    """Return τ = (σ²w)^{L/2} and the variance σ^{2L}w^{L−1} of an entry of A(0), for L layers of equal σ² and w.

    Args:
        variance: σ².
        width: w.
        depth: L.

    References:
        theory (7.4).

    Examples:
        >>> tau, start = equal_layers(0.04, 100.0, 3)
        >>> round(float(tau), 12), round(float(start), 12)
        (8.0, 0.64)
    """
    _, (square, w, layers) = arrays(variance, width, depth)
    return (square * w) ** (layers / 2), square**layers * w ** (layers - 1)


def deep_published_rate(tau: Any, *, top: Any, size: Any, bound: Any, depth: Any) -> Float[Any, "..."]:
    """Return 1/(25κ), κ = L τ^{2−2/L} where τ > ‖A*‖_F, else L‖A*‖_op^{2−2/L}; at most half the stability bound.

    The published rate of Figure 2, 1/(50τ) or 1/(50‖A*‖_op), is that with the tangent kernel κ of two layers.

    Examples:
        >>> deep_published_rate([1.0, 100.0], top=10.0, size=20.0, bound=1.0, depth=2).tolist()
        [0.002, 0.0002]
    """
    xp, (tau, top, size, bound, depth) = arrays(tau, top, size, bound, depth)
    kernel = depth * xp.where(tau > size, tau, top) ** (2 - 2 / depth)
    return xp.minimum(1 / (25 * kernel), 0.5 * bound)


def deep_mode_rate(singular_value: Any, threshold: Any, depth: int) -> Float[np.ndarray, "..."]:
    """Rate of the final approach of a mode: 1 − m/s ∝ e^{−rate·t}; L τ^{2−2/L} where lazy, L s^{2−2/L} where active.

    Args:
        singular_value: s > 0.
        threshold: τ > 0.
        depth: L, 1 to 6.

    References:
        theory (7.4).

    Examples:
        >>> deep_mode_rate([1e-3, 1.0, 1e3], 1.0, depth=3).round(2).tolist()
        [3.0, 5.17, 30004.2]
        >>> float(deep_mode_rate(3.0, 4.0, depth=2))
        10.0
    """
    _, (s, tau) = quantities(singular_value=singular_value, threshold=threshold)
    demand("singular_value", s, s > 0, "be positive")
    demand("threshold", tau, tau > 0, "be positive")
    reachable(singular_value=s, threshold=tau)
    depth = checked_depth(depth)
    if depth <= 2:
        return 2 * np.hypot(s, tau) if depth == 2 else np.ones(np.broadcast_shapes(s.shape, tau.shape))
    _, pace = _last_pace(np, _table(depth), _knots(np, depth, np.log(s / tau)))
    return tau ** (2 - 2 / depth) / pace


def deep_balanced_time(singular_value: Any, start: Any, level: Any, depth: int) -> Float[np.ndarray, "..."]:
    """Flow time of a balanced, aligned mode from one level to another: of ṁ = L m^{2−2/L}(s − m), L ≥ 3.

        t = s^{2/L−2} [Y((m/s)^{1/L}) − Y((m₀/s)^{1/L})],   Y(y) = −y^{2−L}/(L−2) + ½y² ₂F₁(1, 2/L; 1 + 2/L; y^L).

    So the escape from a small start takes m₀^{2/L−1}/((L − 2)s): with layers of size α, m₀ = α^L, ∝ α^{−(L−2)}.

    Args:
        singular_value: s > 0.
        start: m₀ in (0, s).
        level: m in (0, s).
        depth: L ≥ 3.

    Raises:
        InvalidArgument: a value outside these ranges.

    References:
        theory (7.6); works (13.1).

    Examples:
        >>> small = deep_balanced_time(2.0, [1e-9, 1e-12], 1.0, depth=3)
        >>> (small * np.array([1e-3, 1e-4]) * 2.0).round(2).tolist()  # t m₀^{1/3} s → 1/(L − 2)
        [1.0, 1.0]
    """
    _, (s, m0, m) = quantities(singular_value=singular_value, start=start, level=level)
    depth = checks.integer("depth", depth, at_least=3, at_most=DEEPEST_NETWORK)
    demand("singular_value", s, s > 0, "be positive")
    reachable(singular_value=s)
    for name, value in (("start", m0), ("level", m)):
        demand(name, value, (value > 0) & (value < s), "lie between 0 and the singular value")
    return s ** (2 / depth - 2) * (_escape_integral(m / s, depth) - _escape_integral(m0 / s, depth))


def _escape_integral(fraction: np.ndarray, depth: int) -> np.ndarray:
    """∫ dy y^{1−L}/(1 − y^L) up to y = fraction^{1/L}."""
    from scipy.special import hyp2f1

    y = fraction ** (1 / depth)
    return -(y ** (2 - depth)) / (depth - 2) + 0.5 * y**2 * hyp2f1(1, 2 / depth, 1 + 2 / depth, fraction)


def _escape_to_levels(risen: np.ndarray, depth: int) -> np.ndarray:
    """The same at p = −ln(1 − fraction): linear to e^{−12} from p = 12 on, where 1 − fraction loses its digits."""
    near = np.minimum(risen, 12.0)
    return _escape_integral(-np.expm1(-near), depth) + (risen - near) / depth


def _window(xp: Any, place: Any, count: int) -> tuple[Any, Any]:
    """First of the eight points around a place on an even grid, and the place counted from their centre."""
    first = xp.clip(xp.floor(place) - (_POINTS // 2 - 1), 0, count - _POINTS)
    return xp.astype(first, xp.int32) if hasattr(xp, "astype") else first.astype(np.int32), place - first - _CENTRE


def _knots(xp: Any, depth: int, log_ratio: Any) -> Float[Any, "... levels"]:
    """ln t at every level of the table, for one ratio s/τ or many."""
    table = _table(depth)
    lowest, highest = table.log_ratios[0], table.log_ratios[-1]
    spacing = table.log_ratios[1] - table.log_ratios[0]
    place = (xp.clip(log_ratio, lowest, highest) - lowest) / spacing
    first, offset = _window(xp, place, table.log_ratios.size)
    values = xp.asarray(table.log_times, dtype=log_ratio.dtype)
    shares = xp.stack(polynomial_shares(offset), axis=-1)
    inside = sum(shares[..., k, None] * xp.take(values, first + k, axis=0) for k in range(_POINTS))
    log_levels = xp.asarray(table.log_levels, dtype=log_ratio.dtype)
    x = log_ratio[..., None]
    inside = xp.where(x < lowest, lazy_log_time(log_levels, depth), inside)
    return xp.where(x > highest, _scaled_escape(xp, depth, xp.clip(x, highest, None)), inside)


@lru_cache
def _delays(depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Integral Y at the levels, and how much longer than the balanced mode the table's largest ratio takes to them."""
    table = _table(depth)
    x = math.exp(table.log_ratios[-1])
    balanced = _escape_to_levels(np.exp(table.log_levels), depth)
    escape = np.exp(table.log_times[-1]) - x ** (2 / depth - 2) * (balanced - _escape_integral(np.array(1 / x), depth))
    return balanced, escape


def _scaled_escape(xp: Any, depth: int, log_ratio: Any) -> Any:
    """ln t beyond the table: the delay of the escape at the same m/τ, scaled by 1/s, and the balanced mode after it."""
    table, (balanced, escape) = _table(depth), _delays(depth)
    dtype = log_ratio.dtype
    beyond = log_ratio - table.log_ratios[-1]
    levels = xp.asarray(table.log_levels, dtype=dtype)
    same = same_escape(levels, beyond)
    delay = _polynomial(xp, xp.asarray(escape, dtype=dtype), (same - table.log_levels[0]), table)
    return delayed_log_time(log_ratio, beyond, delay, xp.asarray(balanced, dtype=dtype), depth)


def lazy_log_time(log_level: Any, depth: Any) -> Any:
    """Return ln t at which p reaches a level far below the threshold, where p = Lt, τ = 1.

    Args:
        log_level: ln p.
        depth: L.
    """
    xp, (level, layers) = arrays(log_level, depth)
    return level - xp.log(layers)


def same_escape(log_level: Any, beyond: Any) -> Any:
    """Return the level ln p of the table's largest ratio at which m/τ is that of a level beyond the table.

    Args:
        log_level: ln p.
        beyond: logarithm of s/τ over the table's largest.
    """
    xp, (level, over) = arrays(log_level, beyond)
    grown = level + over  # until m is of the size of s
    return xp.where(grown < 0, grown, xp.where(level > 0, level, 0.0))


def delayed_log_time(log_ratio: Any, beyond: Any, delay: Any, balanced: Any, depth: Any) -> Any:
    """Return ln t beyond the table, τ = 1: the delay of the escape, scaled by 1/s, and the balanced mode after it.

    Args:
        log_ratio: ln(s/τ).
        beyond: its distance from the end of the table.
        delay: how much longer than the balanced mode the table's largest ratio takes.
        balanced: the integral Y of (7.6) at the level.
        depth: L ≥ 3.
    """
    xp, (x, over, late, integral, layers) = arrays(log_ratio, beyond, delay, balanced, depth)
    y_one = xp.exp(-x / layers)  # m = τ
    from_one = -(y_one ** (2 - layers)) / (layers - 2) + 0.5 * y_one**2
    total = late * xp.exp(-over) + xp.exp((2 / layers - 2) * x) * (integral - from_one)
    return xp.log(xp.where(total > 1e-300, total, 1e-300))


def _polynomial(xp: Any, values: Any, above_first: Any, table: _Table) -> Any:
    """Values over the levels at other levels."""
    spacing = table.log_levels[1] - table.log_levels[0]
    first, offset = _window(xp, above_first / spacing, table.log_levels.size)
    return sum(share * xp.take(values, first + k, axis=0) for k, share in enumerate(polynomial_shares(offset)))


def polynomial_coefficients(values: Sequence[Any]) -> list[Any]:
    """Polynomial through eight values on an even grid, in the place counted from their centre, lowest power first."""
    return [sum(float(w) * value for w, value in zip(row, values, strict=True)) for row in _monomials()]


def polynomial_shares(offset: Any) -> list[Any]:
    """What each of eight values on an even grid adds to their polynomial, at a place counted from their centre."""
    powers = [1.0 if k == 0 else offset**k for k in range(_POINTS)]
    return [sum(float(row[k]) * power for row, power in zip(_monomials(), powers, strict=True)) for k in range(_POINTS)]


def _along(xp: Any, rows: Any, index: Any) -> Any:
    return xp.take_along_axis(rows, index[..., None], axis=-1)[..., 0]


def _coefficients(xp: Any, rows: Any, first: Any) -> list[Any]:
    """Polynomial through the eight knots from `first` on, lowest power first."""
    values = xp.take_along_axis(rows, first[..., None] + xp.arange(_POINTS), axis=-1)
    product = values @ xp.asarray(_monomials().T, dtype=rows.dtype)
    return [product[..., k] for k in range(_POINTS)]


def _horner(coefficients: list[Any], x: Any) -> tuple[Any, Any]:
    """Value and slope."""
    value, slope = coefficients[-1], 0.0
    for coefficient in coefficients[-2::-1]:
        value, slope = value * x + coefficient, slope * x + value
    return value, slope


def _log_times_at(xp: Any, table: _Table, knots: Any, risen: Any) -> Any:
    """ln t at which p is `risen`; below the first level t ∝ p."""
    log_level = xp.log(xp.where(risen > 0, risen, 1.0))
    lowest, highest = table.log_levels[0], table.log_levels[-1]
    spacing = table.log_levels[1] - table.log_levels[0]
    place = (xp.clip(log_level, lowest, highest) - lowest) / spacing
    first, offset = _window(xp, place, table.log_levels.size)
    shape = xp.broadcast_shapes(first.shape, knots.shape[:-1])
    rows = xp.broadcast_to(knots, (*shape, knots.shape[-1]))
    value, _ = _horner(_coefficients(xp, rows, xp.broadcast_to(first, shape)), offset)
    return value + xp.where(log_level < lowest, log_level - lowest, 0.0)


def _last_pace(xp: Any, table: _Table, knots: Any) -> tuple[Any, Any]:
    """Last knot of time, and dt/dp beyond it, where p rises at a constant rate."""
    last, before = xp.exp(knots[..., -1]), xp.exp(knots[..., -2])
    return last, (last - before) / (math.exp(table.log_levels[-1]) - math.exp(table.log_levels[-2]))


def late_level(log_time: Any, last: Any, before: Any, level: Any, level_before: Any) -> Any:
    """Return p after the last knot of time, where it rises at a constant rate.

    Args:
        log_time: ln t.
        last: ln t of the last knot.
        before: ln t of the knot before.
        level: ln p of the last knot.
        level_before: ln p of the knot before.
    """
    xp, (t, last, before, top, below) = arrays(log_time, last, before, level, level_before)
    pace = (xp.exp(last) - xp.exp(before)) / (xp.exp(top) - xp.exp(below))
    return xp.exp(top) + (xp.exp(t) - xp.exp(last)) / pace


def _late_times(xp: Any, table: _Table, knots: Any, risen: Any) -> Any:
    last, pace = _last_pace(xp, table, knots)
    return last + (risen - math.exp(table.log_levels[-1])) * pace


def place_within(xp: Any, coefficients: list[Any], left: Any, ends: tuple[Any, Any], sought: Any) -> Any:
    """Where a local polynomial takes a value, between a knot at `left` and the next."""
    bottom, top = ends
    place = left + (sought - bottom) / (top - bottom)
    for _ in range(6):  # from a chord, on a monotone polynomial: quadratic convergence to rounding
        value, slope = _horner(coefficients, place)
        place = xp.clip(place - (value - sought) / slope, left, left + 1)
    return place


def _levels_at(xp: Any, table: _Table, knots: Any, log_time: Any) -> Any:
    """P at given ln t: the cell by bisection, the place within it by Newton's method on the local polynomial."""
    shape = xp.broadcast_shapes(log_time.shape, knots.shape[:-1])
    rows = xp.broadcast_to(knots, (*shape, knots.shape[-1]))
    sought = xp.clip(xp.broadcast_to(log_time, shape), knots[..., 0], knots[..., -1])
    low = xp.zeros(shape, dtype=xp.int32)
    high = low + (table.log_levels.size - 1)
    for _ in range(math.ceil(math.log2(table.log_levels.size))):
        middle = (low + high) // 2
        above = _along(xp, rows, middle) <= sought
        low, high = xp.where(above, middle, low), xp.where(above, high, middle)
    low = xp.clip(low, 0, table.log_levels.size - 2)
    first = xp.clip(low - (_POINTS // 2 - 1), 0, table.log_levels.size - _POINTS)
    coefficients = _coefficients(xp, rows, first)
    left = xp.asarray(low - first, dtype=sought.dtype) - _CENTRE
    bottom, top = _along(xp, rows, low), _along(xp, rows, low + 1)
    place = place_within(xp, coefficients, left, (bottom, top), sought)
    spacing = table.log_levels[1] - table.log_levels[0]
    inside = xp.exp(table.log_levels[0] + spacing * (xp.asarray(first, dtype=sought.dtype) + _CENTRE + place))
    early = xp.exp(table.log_levels[0] + log_time - knots[..., 0])
    late = late_level(log_time, knots[..., -1], knots[..., -2], table.log_levels[-1], table.log_levels[-2])
    inside = xp.where(log_time < knots[..., 0], early, inside)
    return xp.where(log_time > knots[..., -1], late, inside)
