"""Deterministic equivalent of T = A* + E: singular values of T and what each knows of A*, for any spectrum of A*.

With z = x + i0, α = z + ν²g₁, β = z + ν²g₂ and p = αβ, (5.1) is one equation in one unknown whose inverse is explicit:

    z² = ω(p) = p(1 + ν²F_out(p))(1 + ν²F_in(p)),  F_out = Σ_{i ≤ d_out} 1/(p − s_i²),  F_in = Σ_{j ≤ d_in} 1/(p − s_j²)

(s = 0 beyond the rank). So nothing is searched for blindly. The edges of the spectrum are the critical values of ω on
the real line: between two of them lies either a gap or a piece of the spectrum, the bulk or the island of a mode that
stands apart (whose mass is its multiplicity: this is the pole of (5.1), with its width). At a node x inside a piece, p
is found by continuation in Im z, from far above the axis, where a fixed point of p = z²/((1 + ν²F_out)(1 + ν²F_in))
attracts, down to the axis by Newton's method. Nodes follow the square roots at the edges, so that the midpoint rule
converges geometrically; they are doubled until the three sums known beforehand,

    Σ 1 = min(d_out, d_in),   Σ x² = ‖A*‖² + ν² d_out d_in,   Σ x ⟨u, A*v⟩ = ‖A*‖²,

come out to `TOLERANCE`, or `MOST_NODES` are reached: the worst of the three is kept as `accuracy`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lindyn.support.checks import InvalidArgument
from lindyn.support.namespaces import arrays

TOLERANCE = 1e-6
MOST_NODES = 256  # of a piece
_MOST_GROUPS = 48  # distinct singular values of A*; more are grouped, and lie closer together than islands are wide
KEPT = 192  # modes that are handed on: neighbouring nodes are joined, whose curves differ at second order only
UNUSABLE = 0.02  # accuracy beyond which no number is returned


class Equivalent(NamedTuple):
    """Singular values of T, how many modes each stands for, the sum of their ⟨u, A*v⟩, and the relative accuracy."""

    values: np.ndarray
    counts: np.ndarray
    projections: np.ndarray
    accuracy: float


def pole_of(p: Any, square: Any) -> tuple[Any, Any]:
    """Return 1/(p − s²) and its square, what a singular value adds to F_out and F_in and, negative, to their slopes."""
    pole = 1 / (p - square)
    return pole, pole * pole


def inverse_map(p: Any, small: Any, large: Any, small_slope: Any, large_slope: Any) -> tuple[Any, Any]:
    """Return ω(p) = p(1 + F_out)(1 + F_in) and its derivative, in units of ν√n.

    Args:
        p: αβ.
        small: F of the smaller side.
        large: F of the larger side.
        small_slope: −F' of the smaller side.
        large_slope: −F' of the larger side.

    References:
        theory (5.1).
    """
    first, second = 1 + small, 1 + large
    return p * first * second, first * second - p * (small_slope * second + large_slope * first)


def resolvent_of(x: Any, small: Any) -> Any:
    """Return g of the smaller side, whose imaginary part is π/2 times the density of singular values over n.

    Args:
        x: singular value.
        small: F of the smaller side at its p.

    References:
        theory (5.1).
    """
    return -x / (1 + small) * small


class _Problem(NamedTuple):
    """In units of ν√n, n the larger dimension: p-values of the signal (0 last), and their weights over n."""

    squares: np.ndarray
    small: np.ndarray  # multiplicities over n among the min(d_out, d_in) modes
    large: np.ndarray  # and among the max(d_out, d_in)
    energy: np.ndarray

    def map(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ω, its derivative and F of the smaller side."""
        pole, square = pole_of(p[..., None], self.squares)
        small = pole @ self.small
        return *inverse_map(p, small, pole @ self.large, square @ self.small, square @ self.large), small


def deterministic_equivalent(shape: tuple[int, int], signal: np.ndarray, noise: float) -> Equivalent:
    """Return the modes of T = A* + E as d grows, at any rank: values, multiplicities and projections on A*.

    Args:
        shape: (d_out, d_in).
        signal: singular values of A*, at most min(d_out, d_in) of them.
        noise: ν > 0, standard deviation of an entry of E.

    Raises:
        InvalidArgument: the sums known beforehand are missed by more than 2 %, so that no number can be trusted.

    References:
        theory (5.1); Dozier & Silverstein (2007).

    Examples:
        >>> modes = deterministic_equivalent((60, 60), np.full(30, 7.0), 1.0)  # 30 modes below detection, θ = 0.9
        >>> round(float(modes.counts.sum()), 6), modes.accuracy < 1e-6
        (60.0, True)
        >>> known = float(modes.projections.sum() / (30 * 7.0))  # and still the bulk knows of them
        >>> round(known, 2)
        0.63
    """
    unit = noise * math.sqrt(max(shape))
    problem = _problem(shape, signal, unit)
    pieces = _pieces(problem)
    sums = np.array([min(shape), float((signal**2).sum()) + noise**2 * shape[0] * shape[1], float((signal**2).sum())])
    # the bulk is wide and starts with more nodes than the island of a mode
    counts = [32 if high - low > 0.25 * high else 8 for low, high in pieces]
    while True:
        nodes = [_nodes(*piece, count) for piece, count in zip(pieces, counts, strict=True)]
        x, step = (np.concatenate(part) for part in zip(*nodes, strict=True))
        mass, known = _densities(problem, x)
        x, mass, known = unit * x, max(shape) * mass * step, known * step / unit
        found = np.array([mass.sum(), (x**2) @ mass, x @ known])
        accuracy = float(np.max(np.abs(found - sums) / np.where(sums > 0, sums, 1.0)))
        if accuracy < TOLERANCE or max(counts) >= MOST_NODES:
            break
        counts = [min(2 * count, MOST_NODES) for count in counts]
    if not accuracy < UNUSABLE:
        raise InvalidArgument(
            "singular_values", "form a spectrum that can be resolved", f"its sums are missed by {accuracy:.1%}",
            "leave out the smallest ones",
        )  # fmt: skip
    return Equivalent(*_joined(x, mass * sums[0] / found[0], known), accuracy)


def _problem(shape: tuple[int, int], signal: np.ndarray, unit: float) -> _Problem:
    values, counts = np.unique(np.round(signal[signal > 0] / unit, 12), return_counts=True)
    if values.size > _MOST_GROUPS:
        parts = np.array_split(np.arange(values.size), _MOST_GROUPS)
        values = np.array([math.sqrt(np.average(values[i] ** 2, weights=counts[i])) for i in parts])
        counts = np.array([counts[i].sum() for i in parts])
    n, rank = max(shape), counts.sum()
    squares = np.append(values**2, 0.0)
    return _Problem(
        squares,
        np.append(counts, min(shape) - rank) / n,
        np.append(counts, n - rank) / n,
        np.append(counts * (unit * values) ** 2, 0.0),
    )


def _pieces(problem: _Problem) -> list[tuple[float, float]]:
    """Return the intervals of x, in units of ν√n, that hold singular values."""
    poles = np.unique(problem.squares)
    near = np.geomspace(1e-12, 0.5, 120)
    scale = max(float(poles[-1]), 1.0)
    lines = [np.concatenate([a + (b - a) * near, (b - (b - a) * near)[::-1]]) for a, b in zip(poles, poles[1:])]  # noqa: B905, RUF007
    lines += [poles[-1] + scale * np.geomspace(1e-12, 1e4, 300), -scale * np.geomspace(1e4, 1e-12, 300)]
    critical = np.concatenate([_critical_values(problem, line) for line in lines])
    if critical.size == 0:
        raise InvalidArgument(
            "noise",
            "be within the reach of floats from the signal",
            f"it is {math.sqrt(problem.squares.max()):.3g} times smaller",
            "set it to 0",
        )
    # ω vanishes to second order at p < 0 for a square matrix, which is no edge
    edges = np.append(0.0, np.sqrt(np.sort(critical[critical > 1e-10 * critical.max()])))
    low, high = edges[:-1], edges[1:]
    dense = _densities(problem, 0.5 * (low + high))[0] > 1e-9
    return [(float(a), float(b)) for a, b in zip(low[dense], high[dense], strict=True)]


def _critical_values(problem: _Problem, line: np.ndarray) -> np.ndarray:
    """Return ω where its slope changes sign along a stretch of the real line without poles."""
    with np.errstate(divide="ignore", invalid="ignore"):  # a place that rounds to the pole itself
        slope = np.sign(problem.map(line)[1])
    k = np.flatnonzero(slope[:-1] * slope[1:] < 0)
    low, high, sign = line[k], line[k + 1], slope[k]
    for _ in range(60):  # bisection, to the last digit
        middle = 0.5 * (low + high)
        left = np.sign(problem.map(middle)[1]) == sign
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return problem.map(0.5 * (low + high))[0]


def _nodes(low: float, high: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes of an interval and their steps, which vanish at its ends as the square roots there ask."""
    phi = (np.arange(count) + 0.5) / count
    x, pace = node_from_zero(high, phi) if low == 0 else node_between(low, high, phi)
    return x, pace / count


def node_from_zero(high: Any, phi: Any) -> tuple[Any, Any]:
    """Return x and |dx/dφ| in a piece that starts at 0: the density is even in x, and only the upper end is an edge."""
    xp, (top, share) = arrays(high, phi)
    angle = 0.5 * math.pi * share
    return top * xp.sin(angle), top * xp.cos(angle) * 0.5 * math.pi


def node_between(low: Any, high: Any, phi: Any) -> tuple[Any, Any]:
    """Return x and |dx/dφ| in a piece with an edge at both ends."""
    xp, (bottom, top, share) = arrays(low, high, phi)
    angle, half = math.pi * share, 0.5 * (top**2 - bottom**2)
    x = xp.sqrt(0.5 * (top**2 + bottom**2) + half * xp.cos(angle))
    return x, half * xp.sin(angle) * math.pi / (2 * x)


def _densities(problem: _Problem, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the densities of singular values (over n) and of ⟨u, A*v⟩ (times the unit) at x > 0."""
    above = 2 * (math.sqrt(float(problem.squares.max())) + 2)  # beyond the spectrum by its own length
    z = x + 1j * above
    p = z * z
    for _ in range(60):
        p = 0.5 * (p + p * z * z / problem.map(p)[0])
    for height in [*(above * 0.6 ** np.arange(1, 60)), 0.0]:
        square = (x + 1j * height) ** 2
        for _ in range(50):
            value, slope, _ = problem.map(p)
            step = (value - square) / slope
            p = p - step
            if np.all(np.abs(step) <= 1e-13 * np.abs(p)):
                break
    resolvent = resolvent_of(x, problem.map(p)[2])
    known = -pole_of(p[..., None], problem.squares)[0] @ problem.energy
    return (2 / math.pi) * resolvent.imag, (2 / math.pi) * known.imag


def _joined(x: np.ndarray, counts: np.ndarray, projections: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join neighbouring nodes where there are more than needed; sums and means stay, largest value first."""
    order = np.argsort(-x)
    x, counts, projections = x[order], counts[order], projections[order]
    if x.size <= KEPT:
        return x, counts, projections
    # equal steps of a measure that sees both how far nodes lie apart and how many modes they hold
    measure = np.cumsum(counts) / counts.sum() + (x[0] - x) / (x[0] - x[-1])
    part = np.minimum((0.5 * KEPT * measure).astype(int), KEPT - 1)
    total, mean, known = (np.bincount(part, w, KEPT) for w in (counts, counts * x, projections))
    kept = total > 0
    return mean[kept] / total[kept], total[kept], known[kept]
