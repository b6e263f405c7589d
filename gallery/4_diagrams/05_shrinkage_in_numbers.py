"""
Denoising by stopping
=====================

Test error along the path at three thresholds, against the optimal singular value shrinker on the same draw.
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

d, task = 200, ld.SpikedMatrix(dim=200, rank=5, key=0)
u, y, vt = np.linalg.svd(np.asarray(task.target), full_matrices=False)
x = y / np.sqrt(d)
best = np.where(x > 2, np.sqrt(np.maximum((x**2 - 2) ** 2 - 4, 0)) / x, 0) * np.sqrt(d)
figure, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
for tau in (1000.0, 10.0, 0.1):
    times = np.linspace(0, 2 * ld.solutions.mode_time(100.0, tau, 99.0), 120)
    ax.plot(times / times[-1], ld.simulate(ld.Mixed(tau), task, times=times)["test_error"], label=f"τ = {tau:g}")
optimal = np.mean(((u * best) @ vt - np.asarray(task.signal)) ** 2)
ax.axhline(optimal, color="k", linestyle=":", label="optimal shrinker")
ax.set(xlabel="time over the time shown", ylabel="test error per entry", yscale="log")
ax.legend(frameon=False)
