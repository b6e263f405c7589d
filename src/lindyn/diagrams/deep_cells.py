"""Cells of a diagram at depth: predicted by the deep mode curve, and networks of three or more layers to descend from.

The published learning rate of Figure 2, 1/(50τ) where lazy and 1/(50‖A*‖) where active, is 1/(25κ) with κ = 2τ or
2‖A*‖, the tangent kernel at two layers. At L layers κ is Lτ^{2−2/L} or L‖A*‖^{2−2/L} (7.4), and the same rule is taken.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from lindyn.diagrams.stopping import Watch, begin, note
from lindyn.networks.deep_linear import DeepLinear
from lindyn.prediction.spectra import ModeSpectrum
from lindyn.solutions.deep_modes import deep_mode_curve
from lindyn.support.precision import working_precision

# cells whose curves are computed together: 16 × 751 steps × 40 modes take some 100 MB
_BLOCK = 16
# of a simulated cell, relative to the largest singular value: well below what a figure or a mean error of 0.01 shows
TOLERANCE = 1e-4


def deep_thresholds(variance: Any, width: Any, depth: int) -> Float[np.ndarray, " cells"]:
    """Return τ = (σ²w)^{L/2} of cells (7.4)."""
    return np.asarray((variance * width) ** (depth / 2))


def deep_start_variance(variance: Any, width: Any, depth: int) -> Float[np.ndarray, " cells"]:
    """Return n₀ = σ^{2L} w^{L−1}, the variance of an entry of A(0).

    Examples:
        >>> float(deep_start_variance(0.1, 10.0, 3))
        0.1
    """
    with np.errstate(over="ignore"):
        return np.round(variance**depth * width ** (depth - 1), 15)


def deep_stability_bound(
    tau: Any, width: Any, top: float, shape: tuple[int, int], depth: int
) -> Float[np.ndarray, " cells"]:
    """Return 2/κ with κ the larger tangent kernel of the start and of the learned target.

    That of the start is L τ^{2−2/L}, times (1 + √(d/w))² for each layer of the product: the edge of its spectrum.
    """
    edge = (1 + np.sqrt(max(shape) / np.asarray(width))) ** (2 * (depth - 1))
    start = depth * np.asarray(tau) ** (2 - 2 / depth) * edge
    return 2 / np.maximum(start, depth * np.hypot(top, tau) ** (2 - 2 / depth))


def deep_published_rate(tau: Any, *, top: float, size: float, bound: Any, depth: int) -> Float[np.ndarray, " cells"]:
    """Return 1/(25κ): κ = L τ^{2−2/L} where τ > ‖A*‖_F, else L‖A*‖_op^{2−2/L}; at most half the stability bound.

    Examples:
        >>> deep_published_rate([1.0, 100.0], top=10.0, size=20.0, bound=1.0, depth=2).tolist()  # that of Figure 2
        [0.002, 0.0002]
    """
    tau = np.asarray(tau, dtype=np.float64)
    kernel = depth * np.where(tau > size, tau, top) ** (2 - 2 / depth)
    return np.minimum(1 / (25 * kernel), 0.5 * np.asarray(bound))


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
            ends.append(_watch((jnp.asarray(errors[0].T), jnp.asarray(errors[1].T)), jnp.asarray(unit)))
    return Watch(*(np.concatenate([np.asarray(e) for e in fields]) for fields in zip(*ends, strict=True)))


def deep_errors(modes: ModeSpectrum, depth: int, tau: Any, times: Any, n0: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return train and test error per entry of modes that follow the deep mode curve, A(0) decaying lazily.

    Args:
        modes: the modes and how they project on the true matrix.
        depth: L.
        tau: τ > 0, broadcast with the others.
        times: flow times.
        n0: variance of an entry of A(0).
    """
    learned = deep_mode_curve(modes.values, np.asarray(tau)[..., None], np.asarray(times)[..., None], depth)
    with np.errstate(under="ignore", over="ignore"):
        residue = n0 * np.exp(-2 * depth * np.asarray(tau) ** (2 - 2 / depth) * times)
    entries = float(modes.shape[0]) * modes.shape[1]
    train = (modes.values - learned) ** 2 @ modes.counts / entries
    test = (modes.energy - 2 * learned @ modes.projections + learned**2 @ modes.counts) / entries
    return train + residue, test + residue


def deep_layers(net: DeepLinear, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Return the layers of a network as a compiled step stores them: the last one transposed, hidden units padded.

    Hidden units of weight zero stay zero; few different numbers of them mean few compilations.
    """
    sizes = (net.shape[1], *(padded_units(units) for units in net.reduced_widths), net.shape[0])
    layers = []
    for layer, below, above in zip(net.layers, sizes, sizes[1:], strict=False):
        held = np.zeros((above, below), dtype)
        held[: layer.shape[0], : layer.shape[1]] = layer
        layers.append(held)
    return (*layers[:-1], np.ascontiguousarray(layers[-1].T))


def padded_units(units: int) -> int:
    """Return hidden units rounded up to a power of two, or to a multiple of 64 above it.

    Examples:
        >>> [padded_units(n) for n in (3, 9, 100, 500)]
        [8, 16, 128, 512]
    """
    return max(8, 1 << (units - 1).bit_length()) if units <= 64 else 64 * math.ceil(units / 64)
