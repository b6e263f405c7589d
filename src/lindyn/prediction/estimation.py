"""What a measured matrix T = A* + E says about its signal and its noise: the large-d spectra, read backwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn.support import checks
from lindyn.support.linalg import marchenko_pastur_median, rounding_floor

if TYPE_CHECKING:
    from jaxtyping import Float

_TRACY_WIDOM_99 = 2.02345  # 99 % quantile of the Tracy–Widom law of real matrices
_median = lru_cache(maxsize=64)(marchenko_pastur_median)


@dataclass(frozen=True, eq=False)
class SpectrumEstimate:
    """Signal and noise of a measured matrix.

    Attributes:
        shape: (d_out, d_in).
        observed: singular values of T, largest first.
        noise: standard deviation of a noise entry.
        signal: singular values of A* behind those of T that stand out of the noise, largest first; may be empty.
        limit: singular value of T above which a mode stands out: noise alone stays below in 99 of 100 matrices.

    References:
        theory section 5.
    """

    shape: tuple[int, int]
    observed: Float[np.ndarray, " modes"]
    noise: float
    signal: Float[np.ndarray, " rank"]
    limit: float


def estimate_spectrum(target: Any, noise: float | None = None) -> SpectrumEstimate:
    """Estimate the noise level and the signal's singular values from T = A* + E, E of iid N(0, noise²) entries.

    The noise is the median of the singular values that do not stand out, over that of the Marchenko–Pastur law of
    their shape; a mode stands out above the edge noise(√d_out + √d_in) widened by the 99 % quantile of the largest
    singular value's own fluctuation (Tracy–Widom). Behind an outlier x = y·noise·√n stands the signal
    s = θ·noise·√n with

        θ² = [y² − 1 − c + √((y² − 1 − c)² − 4c)]/2,

    n the larger dimension, c·n the smaller: the inverse of `lindyn.prediction.SpikedSpectrum.outliers`.

    Args:
        target: T, shape (d_out, d_in).
        noise: the standard deviation of a noise entry, if it is known.

    Raises:
        InvalidArgument: a target that is not a finite matrix, or a negative noise.

    References:
        theory section 5; Gavish & Donoho (2014), section III.E; Johnstone (2001) for the fluctuation of the edge.

    Examples:
        >>> import lindyn as ld
        >>> task = ld.SpikedMatrix(shape=(150, 250), singular_values=[90.0, 60.0], noise=2.0, key=0)
        >>> found = estimate_spectrum(task.target)
        >>> round(found.noise, 2), found.signal.round(0).tolist()
        (2.0, [92.0, 61.0])
    """
    t = checks.squarable("target", checks.array("target", target, 2, dtype=np.float64))
    shape = (t.shape[0], t.shape[1])
    observed = np.linalg.svd(t, compute_uv=False)
    rounding = rounding_floor(observed[0], shape)
    if noise is not None:
        level = checks.number("noise", noise, at_least=0)
        return _estimate(shape, observed, level, max(_limit(shape, level), rounding))
    outside = 0
    while True:
        rest = observed[outside:]
        level = float(np.median(rest)) / _median((shape[0] - outside, shape[1] - outside))
        limit = max(_limit(shape, level), rounding)
        found = int(np.sum(observed > limit))
        if found <= outside or found >= observed.size:
            return _estimate(shape, observed, level if limit > rounding else 0.0, limit)
        outside = found


def _estimate(shape: tuple[int, int], observed: np.ndarray, noise: float, limit: float) -> SpectrumEstimate:
    outliers = observed[observed > limit]
    return SpectrumEstimate(shape, observed, noise, _behind(outliers, shape, noise), limit)


def _limit(shape: tuple[int, int], noise: float) -> float:
    """Largest singular value of a noise matrix at its 99 % quantile."""
    roots = [math.sqrt(d) for d in shape]
    spread = sum(roots) * sum(1 / r for r in roots) ** (1 / 3)
    return noise * math.sqrt(sum(roots) ** 2 + _TRACY_WIDOM_99 * spread)


def _behind(outliers: np.ndarray, shape: tuple[int, int], noise: float) -> np.ndarray:
    if noise == 0:
        return outliers.copy()
    n, c = max(shape), min(shape) / max(shape)
    excess = (outliers / (noise * math.sqrt(n))) ** 2 - 1 - c
    return noise * math.sqrt(n) * np.sqrt((excess + np.sqrt(np.maximum(excess**2 - 4 * c, 0))) / 2)
