"""Large-d curves of a narrow factor pair (LoRA): errors and learned modes without a d × d matrix, averaged over starts.

A = 0 but W1 = A₀ of iid entries, W2 = 0, w ≪ d: W1W1ᵀ ≈ 2τ I_w, a λ-balanced start (2.7), whose flow (3.4) solves in
w × w systems. In the singular basis of the target each mode is a row of w numbers, and A₀ stays Gaussian there. Bulk
modes of nearly equal singular value move alike and enter through their Gram matrix alone, so that a group of any size
is w rows, drawn by Bartlett's decomposition: the cost does not depend on d.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lindyn.prediction.spectra import SpikedSpectrum
from lindyn.solutions.balanced import step
from lindyn.support.linalg import bartlett, energy_rank
from lindyn.support.randomness import stream

_GROUPS, _GROUP_ROWS = 24, 400  # of the bulk: at most so many groups, and about so many rows in all


class _Rows(NamedTuple):
    """Modes of the target, or groups of them, each standing for rows of the factor."""

    values: np.ndarray  # singular value of each row
    projections: np.ndarray  # ⟨u, A* v⟩ of each row
    start: np.ndarray  # rows of W1ᵀ, of variance 1: (draws, rows, width)
    singles: int  # rows that stand for one mode


class NarrowCurves(NamedTuple):
    """Means over starts, and what a single start deviates from them."""

    train_error: np.ndarray
    test_error: np.ndarray
    stable_rank: np.ndarray
    signal_modes: np.ndarray  # (times, detected modes)
    low: np.ndarray  # of ten starts one has a smaller test error
    high: np.ndarray  # and one a larger


def narrow_curves(
    spectrum: SpikedSpectrum, width: int, threshold: float, times: np.ndarray, *, draws: int = 64, seed: int = 0
) -> NarrowCurves:
    """Return errors and learned modes of a pair of width w ≪ d from W2 = 0, W1 iid of variance 2τ/d_in.

    In the basis of the modes, H is [[τ, s], [s, −τ]] for each, and an interval Δ turns the rows q of W1ᵀ and p of W2 by

        e^{HΔ} [q; p] R⁻¹,   RᵀR = I + Σ [q; p]ᵀ ((e^{2HΔ} − I)/2H) [q; p].

    Exact for the flow of the drawn start on a target with these singular values; statistical in the start and in the
    target's noise.

    Args:
        spectrum: of the target.
        width: w, hidden width or LoRA rank.
        threshold: τ > 0.
        times: flow times ≥ 0, increasing.
        draws: starts to average over.
        seed: of the starts.

    References:
        theory (2.7), (3.4), (1.4), section 5.

    Examples:
        >>> spectrum = SpikedSpectrum(10**6, [4000.0], noise=1.0)
        >>> curves = narrow_curves(spectrum, width=8, threshold=1.0, times=np.array([0.0, 0.01]))
        >>> bool(curves.signal_modes[1, 0] > 0.99 * spectrum.outliers[0])
        True
    """
    rows = _draw(spectrum, width, stream("seed", seed, "starts"), draws)
    d_out, d_in = spectrum.shape
    q = math.sqrt(2 * threshold / d_in) * rows.start
    p = np.zeros_like(q)
    x = rows.values
    detected, modes = rows.singles, spectrum.modes
    entries, energy = float(d_out) * d_in, modes.energy
    x2 = float(modes.values**2 @ modes.counts)
    found, now = [], 0.0
    for time in times:
        if time > now:
            q, p = step(q, p, x, threshold, time - now)
        now = time
        gram_p, gram_q = np.swapaxes(p, 1, 2) @ p, np.swapaxes(q, 1, 2) @ q
        product = gram_p @ gram_q
        power = np.trace(product, axis1=1, axis2=2)
        top = _largest_eigenvalue(product, power)
        learned = np.sum(p * q, axis=2)
        test = (energy - 2 * learned @ rows.projections + power) / entries
        train = (x2 - 2 * learned @ x + power) / entries
        stable = energy_rank(power, np.sqrt(top))
        found.append(
            (train.mean(), test.mean(), stable.mean(), learned[:, :detected].mean(0), *np.quantile(test, (0.1, 0.9)))
        )
    return NarrowCurves(*(np.array(part) for part in zip(*found, strict=True)))


def _largest_eigenvalue(product: np.ndarray, trace: np.ndarray) -> np.ndarray:
    """Largest of the non-negative eigenvalues λ of each matrix: Σλ⁶⁵/Σλ⁶⁴, by products alone."""
    scale = np.where(trace > 0, trace, 1.0)[:, None, None]
    high = product / scale
    unit = high
    for _ in range(6):
        high = high @ high
        size = np.trace(high, axis1=1, axis2=2)
        high = high / np.where(size > 0, size, 1.0)[:, None, None]
    return scale[:, 0, 0] * np.trace(high @ unit, axis1=1, axis2=2)


def _draw(spectrum: SpikedSpectrum, width: int, rng: np.random.Generator, draws: int) -> _Rows:
    d_out, d_in = spectrum.shape
    small, modes = min(d_out, d_in), spectrum.modes
    singles = max(1, int(np.sum(spectrum.overlaps > 0)))
    # the modes that show stand alone, the others in groups of nearly equal singular value
    groups = min(small - singles, max(8, min(_GROUPS, _GROUP_ROWS // width)))
    edges = np.unique(np.append(np.arange(singles), np.linspace(singles, small, groups + 1).round())).astype(int)
    held = np.append(0.0, np.cumsum(modes.counts)) * small / modes.counts.sum()  # modes above each node's lower end
    sums = (np.append(0.0, np.cumsum(part)) for part in (modes.counts * modes.values, modes.projections))
    mean, known = (np.diff(np.interp(edges, held, part)) / np.diff(edges) for part in sums)
    starts, values, projections = [], [], []
    for size, x, projection in zip(np.diff(edges).tolist(), mean, known, strict=True):
        starts.append(_group(size, width, rng, draws))
        values.append(np.full(starts[-1].shape[1], x))
        projections.append(np.full(starts[-1].shape[1], projection))
    if d_in > d_out:  # directions of the input that the target does not have
        starts.append(_group(d_in - d_out, width, rng, draws))
        values.append(np.zeros(starts[-1].shape[1]))
        projections.append(np.zeros(starts[-1].shape[1]))
    return _Rows(np.concatenate(values), np.concatenate(projections), np.concatenate(starts, axis=1), singles)


def _group(count: int, width: int, rng: np.random.Generator, draws: int) -> np.ndarray:
    """Rows with the Gram matrix of `count` rows of N(0, 1) entries: those rows, or Bartlett's triangle (1.4)."""
    if count <= width:
        return rng.standard_normal((draws, count, width))
    return np.swapaxes(bartlett(width, count, rng, (draws,)), 1, 2)
