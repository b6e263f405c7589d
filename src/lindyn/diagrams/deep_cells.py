"""Cells of a diagram at depth: predicted by the deep mode curve, and networks of three or more layers."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lindyn.diagrams.simulated import Cell
from lindyn.diagrams.stopping import Watch, begin, note
from lindyn.networks.deep_linear import DeepLinear
from lindyn.prediction.deep_spectra import deep_errors
from lindyn.prediction.spectra import ModeSpectrum
from lindyn.solutions.words import Words
from lindyn.support.precision import working_precision

# cells whose curves are computed together: 16 × 751 steps × 40 modes take some 100 MB
_BLOCK = 16
# of a simulated cell, relative to its largest singular value: far below what a mean error of 0.01 shows
_TOLERANCE = 1e-3


@jax.jit
def _watch(errors: Any, unit: Any) -> Watch:
    """Let the stopping rules go through (steps, cells) train and test errors."""

    def step(carry: tuple[Any, Watch], now: Any) -> tuple[tuple[Any, Watch], None]:
        number, watch = carry
        return (number + 1, note(watch, number, now[0], now[1], unit)[0]), None

    first = (jnp.ones((), jnp.int32), begin(errors[0][0], errors[1][0], unit))
    return lax.scan(step, first, (errors[0][1:], errors[1][1:]))[0][1]


def follow_deep_modes(
    modes: ModeSpectrum,
    depth: int,
    tau: np.ndarray,
    rate: np.ndarray,
    n0: np.ndarray,
    *,
    steps: int,
    unit: float = 1.0,
) -> Watch:
    """Follow deep mode curves at t = η·step until the published rules end them, for many cells.

    Args:
        modes: the modes and how they project on the true matrix.
        depth: L.
        tau: thresholds τ > 0, (cells,).
        rate: learning rates, (cells,).
        n0: variances of an entry of A(0), (cells,), which decay as the lazy kernel has it.
        steps: largest number of steps.
        unit: square of the signal's scale, in which the thresholds of the rules are measured.

    Returns:
        The last watch of every cell, as NumPy arrays.

    References:
        theory (7.3), (7.4), sections 4 and 5.
    """
    ends = []
    for first in range(0, tau.size, _BLOCK):
        block = slice(first, first + _BLOCK)
        times = rate[block, None] * np.arange(steps + 1)
        errors = deep_errors(modes, depth, tau[block, None], times, n0[block, None])
        with working_precision(np.float64):
            pair = jnp.asarray(errors.train_error.T), jnp.asarray(errors.test_error.T)
            ends.append(_watch(pair, jnp.asarray(unit)))
    return Watch(*(np.concatenate([np.asarray(e) for e in fields]) for fields in zip(*ends, strict=True)))


@lru_cache
def _words(depth: int) -> Words:
    """Words of a wide network of equal layers at the tolerance of diagrams, whatever its σ²w."""
    words = DeepLinear.gaussian(1, depth=depth, width=10**12, variance=1e-12, tolerance=_TOLERANCE).words
    assert words is not None  # beyond two layers
    return words


def deep_lane_width(shape: tuple[int, int], depth: int, width: float) -> int:
    """Return the hidden units that the layers of a cell are padded to: few sizes, since each is compiled.

    Examples:
        >>> deep_lane_width((10, 10), 3, 5.0), deep_lane_width((10, 10), 3, 1e9)
        (8, 40)
    """
    most = max(_words(depth).units(shape))
    held = int(min(width, most))
    return min(most, max(8, 1 << (held - 1).bit_length()))


def deep_cell(
    shape: tuple[int, int],
    depth: int,
    width: int,
    variance: float,
    rate: float,
    units: int,
    *,
    key: np.random.Generator,
    dtype: np.dtype,
) -> Cell:
    """Draw the start of a cell: its layers, hidden units of weight zero added, and no formula beside them.

    Hidden units of weight zero stay zero (1.4). In the formula's place stands a network of one hidden unit of weight
    zero, which costs nothing.
    """
    net = DeepLinear.gaussian(
        shape, depth=depth, width=width, variance=variance, key=key, generations=_words(depth).generations,
        tolerance=math.inf,
    )  # fmt: skip
    sizes = (shape[1], *(units,) * (depth - 1), shape[0])
    layers = []
    for layer, below, above in zip(net.layers, sizes, sizes[1:], strict=False):
        held = np.zeros((above, below), dtype)
        held[: layer.shape[0], : layer.shape[1]] = layer
        layers.append(held)
    nothing = np.zeros((shape[1], 1), dtype), np.zeros((shape[0], 1), dtype)
    return Cell(dtype.type(rate), (np.ascontiguousarray(layers[0].T), *layers[1:]), nothing)
