"""Both algorithms from the same weights: they must compute the same matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

import lindyn as ld
import torch
from benchmarks.published import published_step
from benchmarks.setting import VARIANCE, draw_setting


def measure(dim: int, width: int, steps: int) -> dict[str, Any]:
    """Return ‖A_lindyn − A_published‖_F/‖A_published‖_F after some steps, by precision."""
    return {dtype: _difference(dim, width, steps, dtype) for dtype in ("float32", "float64")}


def _difference(dim: int, width: int, steps: int, dtype: str) -> float:
    rng = np.random.default_rng(2)
    w1, w2 = ((rng.standard_normal(shape) * VARIANCE**0.5).astype(dtype) for shape in ((width, dim), (dim, width)))
    signal, target, rate = draw_setting(dim, dtype)
    run = ld.simulate(
        ld.TwoLayer.from_weights(w1, w2),
        ld.SpikedMatrix(target=target, signal=signal),
        ld.GradientDescent(learning_rate=rate, order="sequential", steps=steps),
        observables="train_error",
    )
    layers = torch.from_numpy(w1), torch.from_numpy(w2)
    for _ in range(steps):
        published_step(*layers, torch.from_numpy(target), rate)
    theirs = (layers[1] @ layers[0]).numpy()
    return float(np.linalg.norm(run.final.matrix - theirs) / np.linalg.norm(theirs))
