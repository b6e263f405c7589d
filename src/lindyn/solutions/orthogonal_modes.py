"""Modes of a network whose layers start orthogonal (9.2), at any depth: their kernel, their time, their curve.

From A(0) = 0 with orthogonal images every mode of the target trains by itself, on the plane of one input and one output
direction. Its hidden layers stay balanced among themselves, with the singular values p ≥ 1 ≥ q in units of the start
(9.11). How far the mode has come fixes p and q, whatever the target: the tangent kernel is one function K of the
learned strength for each depth, tabulated here by one integration, and a time is a quadrature, t = ∫ dm/(K(m)(s − m)).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from lindyn.support import checks
from lindyn.support.bounds import DEEPEST_NETWORK, TO_THE_FOURTH
from lindyn.support.namespaces import quantities, within

# the table runs over asinh(m/τ): from m = 0 to 10¹³ τ, in steps that leave 10⁻⁹ of ln K between them
_LARGEST, _STEP = math.asinh(1e13), 0.01
_FIRST = 1e-6  # p − 1 where the integration begins, on its series p − 1 = δ + (L − ½)δ², which is off by δ³
_PANEL = 0.0125  # of a quadrature, in asinh(m/τ) and in −ln(1 − m/s); interpolation leaves its fourth power / 384
_SETTLED = 40.0  # −ln(1 − m/s) at which a mode is learned to rounding; from there on it decays at one rate
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


def _kernel_of(excess: Any, lack: Any, depth: int) -> tuple[Any, Any]:
    """K, and p² − q², from p − 1 and 1 − q: no difference of close numbers is formed."""
    p, q = 1 + excess, 1 - lack
    above, below = excess * (excess + 2), lack * (2 - lack)  # p² − 1 and 1 − q²
    gap = above + below
    # squared components of the first layer along the hidden singular vectors, by the secular equation of W1W1ᵀ + ee ᵀ
    first, second = p**2 * above / gap, q**2 * below / gap
    # ‖(forward product of j hidden layers) W1‖²; 1 at j = −1, which is the input itself
    grams = [p ** (2 * j) * first + q ** (2 * j) * second for j in range(-1, depth - 1)]
    return sum(x * y for x, y in zip(grams, reversed(grams), strict=True)), gap


@lru_cache
def _log_kernel(depth: int) -> CubicSpline:
    """ln K over asinh(m), in units of the start: τ = 1."""

    def motion(place: float, logs: np.ndarray) -> np.ndarray:
        excess, lack = np.exp(logs)
        kernel, gap = _kernel_of(excess, lack, depth)
        pace = math.cosh(place) / kernel / gap
        return np.array([(1 + excess) ** (depth - 1) * (2 + excess), (1 - lack) ** (depth - 1) * (2 - lack)]) * pace

    grid = np.arange(0.0, _LARGEST + _STEP, _STEP)
    bend = (depth - 0.5) * _FIRST
    start = math.log(_FIRST) + np.log1p([bend, -bend])
    run = solve_ivp(
        motion, (2 * depth * _FIRST, grid[-1]), start, t_eval=grid[1:], method="DOP853", rtol=1e-12, atol=1e-12,
        first_step=depth * _FIRST, max_step=0.2,  # longer trial steps would overflow in p^L
    )  # fmt: skip
    excess, lack = np.exp(run.y)
    kernel, _ = _kernel_of(excess, lack, depth)
    return CubicSpline(grid, np.log(np.concatenate([[depth], kernel])))


def orthogonal_kernel(learned: Any, threshold: float, depth: int) -> Float[np.ndarray, "..."]:
    """Return the tangent kernel of a mode that starts orthogonal, once it has the strength m.

        κ(m) = τ^{2−2/L} K_L(m/τ),

    which is 2√(m² + τ²) for two layers, Lτ^{2−2/L} at the start and Lm^{2−2/L} far above the threshold at any depth.

    Args:
        learned: m, 0 ≤ m ≤ 10¹³ τ, any shape.
        threshold: τ > 0; 1/γ for an output scale 1/γ and layers of gain 1.
        depth: L ≥ 2.

    Returns:
        κ(m), of the shape of `learned`, on the clock of flow time.

    Raises:
        InvalidArgument: an argument out of range.

    References:
        works (9.11), (9.4).

    Examples:
        >>> orthogonal_kernel([0.0, 3.0], 4.0, depth=2).round(9).tolist()
        [8.0, 10.0]
        >>> float(orthogonal_kernel(1.0, 1e-6, depth=5).round(3))
        5.0
    """
    depth, tau = _checked(depth, threshold)
    _, (found,) = quantities(learned=learned)
    within(learned=found)
    place = found / tau
    if not np.all((place >= 0) & (place <= math.sinh(_LARGEST))):
        raise checks.InvalidArgument("learned", "lie between 0 and 10¹³ τ", f"it holds {np.max(learned):.4g}")
    return np.asarray(tau ** (2 - 2 / depth) * np.exp(_log_kernel(depth)(np.arcsinh(place))))


def _checked(depth: Any, threshold: Any) -> tuple[int, float]:
    layers = checks.integer("depth", depth, at_least=2, at_most=DEEPEST_NETWORK)
    return layers, checks.number("threshold", threshold, above=0, at_most=TO_THE_FOURTH)


class _Path:
    """A mode in units of the start, τ = 1: places asinh(m) up to m = s/2, then −ln(1 − m/s), and their times."""

    def __init__(self, strength: float, depth: int):
        self.strength, self._log_kernel = strength, _log_kernel(depth)
        half = math.asinh(strength / 2)
        self.places = np.linspace(0.0, half, 64 + int(half / _PANEL))
        self.risen = np.arange(math.log(2), _SETTLED, _PANEL)
        self.early = _accumulated(lambda a: 1 / self.pace(a), self.places)
        self.late = self.early[-1] + _accumulated(lambda u: 1 / self.rate(u), self.risen)

    def pace(self, place: Any) -> Any:
        """d asinh(m)/dt."""
        return np.exp(self._log_kernel(place)) * (self.strength - np.sinh(place)) / np.cosh(place)

    def rate(self, risen: Any) -> Any:
        """K, the rate of −ln(1 − m/s)."""
        return np.exp(self._log_kernel(np.arcsinh(-self.strength * np.expm1(-risen))))

    def learned(self, time: Any) -> Any:
        """The share m/s that is learned."""
        early = CubicHermiteSpline(self.early, self.places, self.pace(self.places))(np.minimum(time, self.early[-1]))
        within = np.clip(time, self.late[0], self.late[-1])
        late = CubicHermiteSpline(self.late, self.risen, self.rate(self.risen))(within)
        late = late + self.rate(self.risen[-1]) * np.maximum(time - self.late[-1], 0.0)
        return np.where(time < self.early[-1], np.sinh(early) / self.strength, -np.expm1(-late))

    def time(self, level: Any) -> Any:
        """The time at which a share below one is learned."""
        place, risen = np.arcsinh(np.minimum(level, 0.5) * self.strength), -np.log1p(-np.maximum(level, 0.5))
        early = CubicHermiteSpline(self.places, self.early, 1 / self.pace(self.places))(place)
        late = CubicHermiteSpline(self.risen, self.late, 1 / self.rate(self.risen))(
            np.minimum(risen, self.risen[-1])
        ) + np.maximum(risen - self.risen[-1], 0.0) / self.rate(self.risen[-1])
        return np.where(level < 0.5, early, late)


def _accumulated(integrand: Any, ends: np.ndarray) -> np.ndarray:
    """Integral from the first of the ends to each, by Gauss's rule on every panel between them."""
    half, middle = np.diff(ends) / 2, (ends[1:] + ends[:-1]) / 2
    panels = integrand(middle[:, None] + half[:, None] * _NODES) @ _WEIGHTS * half
    return np.concatenate([[0.0], np.cumsum(panels)])


@lru_cache(maxsize=512)
def _path(strength: float, depth: int) -> _Path:
    if strength > math.sinh(_LARGEST):
        raise checks.InvalidArgument("singular_value", "be at most 10¹³ τ", f"it is {strength:.4g} τ")
    return _Path(strength, depth)


def orthogonal_mode_curve(singular_value: float, threshold: float, time: Any, depth: int) -> Float[np.ndarray, "..."]:
    """Return the learned strength m(t) of a mode under the flow, from orthogonal layers with A(0) = 0.

        ṁ = κ(m)(s − m),  m(0) = 0,

    κ the kernel of `orthogonal_kernel`; (3.2) for two layers. Wide Gaussian layers have `deep_mode_curve`.

    Args:
        singular_value: s > 0.
        threshold: τ > 0.
        time: flow time t ≥ 0, any shape; η·step times the network's clock.
        depth: L ≥ 2.

    Returns:
        m(t), of the shape of `time`; off by 10⁻⁹ s or less, the interpolation between nodes.

    Raises:
        InvalidArgument: an argument out of range.

    References:
        works (9.11).

    Examples:
        >>> from lindyn.solutions import mode_curve
        >>> bool(abs(orthogonal_mode_curve(3.0, 0.1, 0.5, depth=2) - mode_curve(3.0, 0.1, 0.5)) < 3e-9)
        True
    """
    depth, tau = _checked(depth, threshold)
    s = checks.number("singular_value", singular_value, above=0, at_most=TO_THE_FOURTH)
    _, (t,) = quantities(time=time)
    within(time=t)
    return np.asarray(s * _path(s / tau, depth).learned(t * tau ** (2 - 2 / depth)))


def orthogonal_mode_time(singular_value: float, threshold: float, level: Any, depth: int) -> Float[np.ndarray, "..."]:
    """Return the flow time at which a mode from orthogonal layers reaches a level: the inverse of its curve.

        t = ∫₀^level dm/(κ(m)(s − m)).

    Far above the threshold it is c_L/(τ^{1−2/L} s) at L ≥ 3, in steps of an output scale 1/γ: c_L γ/s (9.7).

    Args:
        singular_value: s > 0.
        threshold: τ > 0.
        level: m between 0 and s, s left out, any shape.
        depth: L ≥ 2.

    Raises:
        InvalidArgument: an argument out of range.

    References:
        works (9.7), (9.11).

    Examples:
        >>> gamma = 1e4  # t_half/γ at three layers, in steps of learning rate 1: the clock is γ^{−2/L}
        >>> round(float(orthogonal_mode_time(1.0, 1 / gamma, 0.5, depth=3)) * gamma ** (2 / 3) / gamma, 3)
        1.16
    """
    depth, tau = _checked(depth, threshold)
    s = checks.number("singular_value", singular_value, above=0, at_most=TO_THE_FOURTH)
    _, (found,) = quantities(level=level)
    share = found / s
    if not np.all((share >= 0) & (share < 1)):
        raise checks.InvalidArgument(
            "level", f"lie between 0 and s = {s:g}, s left out", f"it is {checks.shown(level)}"
        )
    return np.asarray(_path(s / tau, depth).time(share) / tau ** (2 - 2 / depth))
