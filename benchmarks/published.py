"""The published algorithm: descent on the explicit weights of the full-width network, in PyTorch."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from benchmarks.process import peak_bytes, resident_bytes, seconds_since_start
from benchmarks.setting import VARIANCE, draw_setting


def published_step(w1: torch.Tensor, w2: torch.Tensor, target: torch.Tensor, rate: float) -> None:
    """Make one step on ½‖W2W1 − T‖², in place: G from before, W1 first, then W2 with the new W1."""
    gradient = w2 @ w1 - target
    w1 -= rate * (w2.T @ gradient)
    w2 -= rate * (gradient @ w1.T)


def lean_step(w1: torch.Tensor, w2: torch.Tensor, target: torch.Tensor, rate: float) -> torch.Tensor:
    """Make the same step with each update folded into its product, and return G: the best PyTorch can do."""
    gradient = w2 @ w1 - target
    w1.addmm_(w2.T, gradient, alpha=-rate)
    w2.addmm_(gradient, w1.T, alpha=-rate)
    return gradient


def measure(dim: int, width: int, repeats: int) -> dict[str, Any]:
    """Draw the weights, make 1 + `repeats` steps and then a lean one; report times and memory."""
    imported, imported_bytes = seconds_since_start(), resident_bytes()
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(1)
    setting = draw_setting(dim, "float32")
    target = torch.from_numpy(setting.target)

    started = time.perf_counter()
    w1 = torch.empty(width, dim).normal_(0, VARIANCE**0.5)
    w2 = torch.empty(dim, width).normal_(0, VARIANCE**0.5)
    drawing = time.perf_counter() - started
    published_step(w1, w2, target, setting.rate)
    startup = seconds_since_start()

    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        published_step(w1, w2, target, setting.rate)
        seconds.append(time.perf_counter() - started)
    peak = peak_bytes()

    started = time.perf_counter()
    gradient = lean_step(w1, w2, target, setting.rate)
    lean = time.perf_counter() - started
    return {
        "seconds": seconds,
        "lean_seconds": lean,
        "seconds_imports": imported,
        "seconds_drawing": drawing,
        "seconds_startup": startup,
        "imported_bytes": imported_bytes,
        "peak_bytes": peak,
        "array_bytes": 4 * (w1.numel() + w2.numel()),
        "matrix_norm": float(torch.linalg.norm(gradient + target)),
    }
