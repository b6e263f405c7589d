"""The published setting of Figure 1, in NumPy alone, so that every contestant gets the same task."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

DIM, RANK = 500, 5
VARIANCE = DIM**-1.85
PUBLISHED_WIDTH = round(DIM**2.25)


class Setting(NamedTuple):
    """A task and the published learning rate."""

    signal: np.ndarray
    target: np.ndarray
    rate: float


def draw_setting(dim: int, dtype: Any, seed: int = 0) -> Setting:
    """Draw A* = CDᵀ of rank 5 with entries of variance 1, T = A* + E, and η = 1/(5‖A*‖_op)."""
    rng = np.random.default_rng(seed)
    rank = min(RANK, dim)
    left, right = (rng.standard_normal((dim, rank)) * rank**-0.25 for _ in range(2))
    signal = left @ right.T
    target = signal + rng.standard_normal((dim, dim))
    rate = 1 / (5 * float(np.linalg.norm(signal, 2)))
    return Setting(signal.astype(dtype), target.astype(dtype), rate)
