"""
Saddle to saddle from 10⁻³⁰
===========================

Four layers of size α escape after a time ∝ α⁻²: 10⁶⁰ units from 10⁻³⁰. Steps of a fixed share of the layers' norm
(works 13.2) get there in two thousand, with the clock of flow time.
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

times, steps, modes = [], [], (2.0, 1.0, 0.5)
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for strength in modes:
    net = ld.DeepLinear.balanced([[1e-120]], depth=4)  # four layers of 1e-30
    task = ld.SpikedMatrix(target=[[strength]])
    run = ld.simulate(net, task, ld.methods.GeometricFlow(steps=2500), save_every=2, observables="singular_values")
    learned = run["singular_values"][:, 0]
    k = np.argmax(learned > strength / 2)
    times, steps = [*times, run.time[k]], [*steps, run.step[k]]
    shown = np.append(run.time / 1e60, 2.0), np.append(learned, learned[-1])
    ax.plot(*shown, label=f"s = {strength:g}, step {run.step[k]:.0f}")
ax.set(xlabel="flow time / 10⁶⁰", ylabel="mode", xlim=(0, 2))
ax.legend(frameon=False)
