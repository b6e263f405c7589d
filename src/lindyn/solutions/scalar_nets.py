"""One singular mode learned by a network of infinite width: a scalar network whose hidden units are words.

With f_l = W_l ⋯ W_1 and b_l = (W_L ⋯ W_{l+1})ᵀ, vectors over the words of layer l, and m = W_L ⋯ W_1, the flow of
½(m − s)² is Ẇ_l = (s − m) b_l f_{l−1}ᵀ, hence ṁ = (s − m) κ with the tangent kernel κ = Σ_l |b_l|²|f_{l−1}|² > 0.
So p = −ln(1 − m/s) rises for ever, ṗ = κ, and it is the better clock:

    dt/dp = 1/κ,      dW_l/dp = s e^{−p} b_l f_{l−1}ᵀ/κ,

whose right-hand sides stay bounded while a mode waits at the saddle, escapes and settles; many s go side by side.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lindyn.solutions.words import Words, places, scalar_layers
from lindyn.support import checks

# substeps of the modified midpoint rule that are extrapolated to order 8 (Gragg, Bulirsch, Stoer)
_SUBSTEPS = (2, 4, 6, 8)

State = list[Float[np.ndarray, "batch rows columns"]]


class ScalarPath(NamedTuple):
    """Modes followed through given values of p.

    Attributes:
        times: flow time at which each mode reaches each p, shape (levels, modes).
        kernels: κ there, so that dp/dt = κ.
        weights: significance of each word, the largest share of |f|² and of |b|² on it, of any mode and level.
    """

    times: Float[np.ndarray, "levels modes"]
    kernels: Float[np.ndarray, "levels modes"]
    weights: Float[np.ndarray, " words"]


def follow_modes(
    words: Words,
    up: Float[np.ndarray, " depth"],
    down: Float[np.ndarray, " depth"],
    singular_values: Float[np.ndarray, " modes"],
    levels: Float[np.ndarray, " levels"],
    *,
    until: float = np.inf,
) -> ScalarPath:
    """Follow modes of given singular values through increasing values of p = −ln(1 − m/s), by steps of order 8.

    Args:
        words: hidden units of the scalar network.
        up: √(σ_l² w_l), l = 1 … L.
        down: √(σ_l² w_{l−1}), l = 1 … L.
        singular_values: s > 0.
        levels: 0 < p_1 < p_2 < …, close enough for a step of order 8 between neighbours.
        until: flow time after which words are no longer weighed.

    References:
        theory (7.3).

    Examples:
        >>> one = np.ones(2)  # two layers: the mode curve of (3.2), τ = 1
        >>> path = follow_modes(Words.full(2, 0), one, one, np.array([3.0]), np.linspace(0, np.log(2), 9)[1:])
        >>> from lindyn.solutions import mode_time
        >>> bool(abs(path.times[-1, 0] - mode_time(3.0, 1.0, 1.5)) < 1e-9)
        True
    """
    s = np.asarray(singular_values, np.float64)
    state: State = [np.repeat(w[None], s.size, axis=0) for w in scalar_layers(words, list(up), list(down))]
    times, kernels = np.zeros((len(levels), s.size)), np.zeros((len(levels), s.size))
    place, sizes = places(words)
    largest = [np.zeros(size) for size in sizes]
    here, clock = 0.0, np.zeros(s.size)
    for k, level in enumerate(np.asarray(levels, np.float64)):
        state, clock = _extrapolated(state, clock, s, here, level - here)
        here = level
        forward, backward = _signals(state)
        times[k], kernels[k] = clock, _kernel(forward, backward)
        counted = (clock <= until)[:, None]
        for seen, f, b in zip(largest, forward, backward, strict=True):
            np.maximum(seen, (counted * (_shares(f) + _shares(b))).max(axis=0), out=seen)
    if not np.isfinite(times).all():
        raise checks.InvalidArgument("singular_values", "keep the flow finite", f"the largest is {s.max():g}")
    weights = np.array([largest[end][where] for end, where in zip(words.layer, place, strict=True)])
    return ScalarPath(times, kernels, weights)


def _signals(state: State) -> tuple[State, State]:
    """f_0 … f_L and b_0 … b_L, as columns."""
    one = np.ones((state[0].shape[0], 1, 1))
    forward, backward = [one], [one]
    for w in state:
        forward.append(w @ forward[-1])
    for w in reversed(state):
        backward.append(np.swapaxes(w, 1, 2) @ backward[-1])
    return forward, backward[::-1]


def _squares(signal: np.ndarray) -> np.ndarray:
    return np.einsum("bio,bio->b", signal, signal)


def _shares(signal: np.ndarray) -> np.ndarray:
    total = _squares(signal)[:, None]
    return signal[:, :, 0] ** 2 / np.where(total > 0, total, 1.0)


def _kernel(forward: State, backward: State) -> Float[np.ndarray, " batch"]:
    return np.sum([_squares(b) * _squares(f) for f, b in zip(forward[:-1], backward[1:], strict=True)], axis=0)


def _slope(state: State, s: np.ndarray, p: float) -> tuple[State, np.ndarray]:
    """DW/dp and dt/dp."""
    forward, backward = _signals(state)
    kernel = _kernel(forward, backward)
    push = (s * np.exp(-p) / kernel)[:, None, None]
    moves = [(push * b) @ np.swapaxes(f, 1, 2) for f, b in zip(forward[:-1], backward[1:], strict=True)]
    return moves, 1 / kernel


def _midpoint(state: State, clock: np.ndarray, s: np.ndarray, p: float, h: float, n: int) -> tuple[State, np.ndarray]:
    """N substeps of the modified midpoint rule, whose error has even powers of h/n only."""
    h /= n
    moves, pace = _slope(state, s, p)
    old, old_clock = state, clock
    new, new_clock = [w + h * m for w, m in zip(state, moves, strict=True)], clock + h * pace
    for k in range(1, n):
        moves, pace = _slope(new, s, p + k * h)
        step = [w + 2 * h * m for w, m in zip(old, moves, strict=True)]
        old, new, old_clock, new_clock = new, step, new_clock, old_clock + 2 * h * pace
    moves, pace = _slope(new, s, p + n * h)
    ends = [0.5 * (a + b + h * m) for a, b, m in zip(old, new, moves, strict=True)]
    return ends, 0.5 * (old_clock + new_clock + h * pace)


def _extrapolated(state: State, clock: np.ndarray, s: np.ndarray, p: float, h: float) -> tuple[State, np.ndarray]:
    """Extrapolate the midpoint rule to vanishing substeps: Σ c_n result_n, c_n = Π_{m ≠ n} n²/(n² − m²)."""
    layers: State = [np.zeros_like(w) for w in state]
    time = np.zeros_like(clock)
    for n in _SUBSTEPS:
        share = float(np.prod([n**2 / (n**2 - m**2) for m in _SUBSTEPS if m != n]))
        ends, end_clock = _midpoint(state, clock, s, p, h, n)
        layers = [total + share * part for total, part in zip(layers, ends, strict=True)]
        time = time + share * end_clock
    return layers, time


def level_grid(count: int) -> Float[np.ndarray, " count"]:
    """Return values of p, evenly spaced in ln p, from where m = 10⁻⁸s to where 1 − m/s = 10⁻¹⁶."""
    return np.exp(np.linspace(np.log(1e-8), np.log(16 * np.log(10)), count))


@lru_cache(maxsize=32)
def sufficient_words(
    depth: int,
    up: tuple[float, ...],
    down: tuple[float, ...],
    singular_values: tuple[float, ...],
    until: float,
    tolerance: float,
    most: int = 2000,
) -> Words:
    """Return a small set of words for which every mode stays within tolerance·s of its whole tree, up to a time.

    Words are added a generation at a time, and those of a significance far below the tolerance are dropped again,
    until one more generation moves no mode by more than tolerance·s.

    Args:
        depth: L.
        up: √(σ_l² w_l), l = 1 … L.
        down: √(σ_l² w_{l−1}), l = 1 … L.
        singular_values: of the modes that are tried.
        until: flow time at which the run ends; infinity for a run that converges.
        tolerance: largest |m − m_whole|/s.
        most: words beyond which the search gives up.

    Raises:
        InvalidArgument: more than `most` words are needed; the message says how far they reach.

    References:
        theory (7.1), (7.3).

    Examples:
        >>> sufficient_words(3, (1.0,) * 3, (1.0,) * 3, (1.0, 10.0), np.inf, 1e-6)
        Words(depth=3, generations=5, words a hidden layer: 6, 6)
    """
    rates = np.asarray(up, np.float64), np.asarray(down, np.float64)
    s, levels = np.asarray(singular_values, np.float64), level_grid(48)
    words = Words.full(depth, max(depth - 2, 0))  # the shortest words that join inputs and outputs
    path = follow_modes(words, *rates, s, levels, until=until)
    cut = tolerance / 10
    while True:
        grown = words.grown()
        finer = follow_modes(grown, *rates, s, levels, until=until)
        error = _largest_difference(path, finer, levels, until)
        if error <= tolerance or grown == words:
            return words
        if sum(grown.counts) > most:
            raise checks.InvalidArgument(
                "tolerance",
                f"be within reach of {most} words",
                f"after {len(words.layer)} words one more generation still moves a mode by {error:.1e} of its size",
                "raise it, or pass `generations`",
            )
        kept = grown.keeping(np.flatnonzero(finer.weights > cut))
        while kept == words:  # all that is new lies below the cut, and yet their sum matters
            cut /= 10
            kept = grown.keeping(np.flatnonzero(finer.weights > cut))
        words = kept
        path = finer if kept == grown else follow_modes(words, *rates, s, levels, until=until)


def _largest_difference(path: ScalarPath, finer: ScalarPath, levels: np.ndarray, until: float) -> float:
    """Return the largest |Δm|/s = |Δt| ṗ e^{−p} at levels reached before a time."""
    moved = np.abs(path.times - finer.times) * finer.kernels * np.exp(-levels[:, None])
    return float(np.max(moved, where=finer.times <= until, initial=0.0))
