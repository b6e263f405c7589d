"""Cost of the closed forms: the matrix at a time against one exact step, and the curve of single modes."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

import lindyn as ld
from benchmarks.setting import PUBLISHED_WIDTH, VARIANCE, draw_setting

STEPS, TIMES = 20, 5
MODES, MODE_TIMES = 500, 2_000


def _seconds(function: Any) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def measure(dim: int, rounds: int) -> dict[str, Any]:
    """Return median seconds of the closed form (set-up, and each time), of a step, and of `mode_curve`, in float64."""
    signal, target, rate = draw_setting(dim, "float64")
    task = ld.SpikedMatrix(target=target, signal=signal)
    network = ld.TwoLayer.gaussian(dim, PUBLISHED_WIDTH, VARIANCE, key=1)
    method = ld.GradientDescent(learning_rate=rate, steps=STEPS)
    solution = ld.solutions.MixedSolution(target, network.threshold, network.matrix)
    times = rate * np.linspace(1, 100, TIMES)
    modes = np.linspace(1, 300, MODES)[:, None]
    mode_times = rate * np.linspace(0, 100, MODE_TIMES)

    measured: dict[str, list[float]] = {"setup": [], "time": [], "step": [], "mode": []}
    for turn in range(rounds + 1):
        run = ld.simulate(network, task, method, save_every=STEPS, observables="train_error")
        now = {
            "step": run.info.seconds_run / STEPS,
            "setup": _seconds(lambda: ld.solutions.MixedSolution(target, network.threshold, network.matrix)),
            "time": _seconds(lambda: solution(times)) / TIMES,
            "mode": _seconds(lambda: ld.solutions.mode_curve(modes, network.threshold, mode_times))
            / (MODES * MODE_TIMES),
        }
        if turn:  # the first round compiles
            for name, value in now.items():
                measured[name].append(value)
    return {f"seconds_{name}": statistics.median(values) for name, values in measured.items()}
