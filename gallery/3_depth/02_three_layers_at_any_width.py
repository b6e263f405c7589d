"""
Three layers at width 10¹²
==========================

A Gaussian network of three layers moves within small reachable subspaces, which are drawn without the width. Its
modes follow the deep mode curve (theory 7.3).
"""

import numpy as np

import lindyn as ld

task = ld.SpikedMatrix(dim=30, rank=3, key=0)
net = ld.DeepLinear.gaussian(30, depth=3, width=10**12, variance=4e-12, key=1, tolerance=1e-4)
run = ld.simulate(net, task, ld.GradientDescent(learning_rate=2e-5, steps=600), save_every=20)
modes = np.linalg.svd(task.target, compute_uv=False)
curve = np.sort(ld.solutions.deep_mode_curve(modes, net.threshold, run.time[:, None], depth=3))[:, ::-1]
gap = np.abs(run["singular_values"] - curve).max() / modes[0]
print(net, f"largest distance from the curve: {gap:.4f} of the largest mode", sep="\n")
print(f"one generation more changes A by {run.info.reduction_error:.1e}")
ax = ld.plots.singular_values(run, signal_modes=3)
ax.plot(run.step, curve[:, :3], "k--", linewidth=1)
figure = ax.figure
