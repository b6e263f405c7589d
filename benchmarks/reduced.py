"""lindyn's exact descent on the reduced factor, through its public interface."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import lindyn as ld
from benchmarks.process import peak_bytes, resident_bytes, seconds_since_start
from benchmarks.setting import VARIANCE, draw_setting

STEPS = 40


def measure(dim: int, width: int, dtype: str, repeats: int, check_step: int) -> dict[str, Any]:
    """Draw the reduced factor, make one step, then `repeats` runs of many; report times and memory.

    Also ‖A‖_F after `check_step` steps, where the published algorithm reports it.
    """
    imported, imported_bytes = seconds_since_start(), resident_bytes()
    signal, target, rate = draw_setting(dim, dtype)
    task = ld.SpikedMatrix(target=target, signal=signal)

    started = time.perf_counter()
    network = ld.TwoLayer.gaussian(dim, width, VARIANCE, key=1, dtype=dtype)
    drawing = time.perf_counter() - started

    def run(steps: int) -> ld.Trajectory:
        method = ld.GradientDescent(learning_rate=rate, order="sequential", steps=steps)
        return ld.simulate(network, task, method, save_every=steps, observables="train_error")

    run(1)
    startup = seconds_since_start()
    seconds = [run(STEPS).info.seconds_run / STEPS for _ in range(repeats)]
    peak = peak_bytes()
    norm = float(np.linalg.norm(run(check_step).final.matrix))
    return {
        "seconds": seconds,
        "seconds_imports": imported,
        "seconds_drawing": drawing,
        "seconds_startup": startup,
        "imported_bytes": imported_bytes,
        "peak_bytes": peak,
        "array_bytes": network.w1.nbytes + network.w2.nbytes,
        "matrix_norm": norm,
    }
