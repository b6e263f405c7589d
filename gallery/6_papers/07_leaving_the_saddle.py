"""
Leaving the saddle at zero
==========================

Four layers of ReLU units from starts of 10⁻² to 10⁻³⁰: one escape, on clocks 10⁵⁶ apart (`GeometricFlow`).
"""

import numpy as np

import lindyn as ld
from lindyn.networks import DeepReLU

rng = np.random.default_rng(0)
inputs, target = rng.standard_normal((5, 30)) / 30**0.5, rng.standard_normal((2, 30)) / 30**0.5
task, runs = ld.SpikedMatrix(target=target), {}
for scale in (1e-2, 1e-8, 1e-30):
    net = DeepReLU.gaussian(inputs, 2, widths=(16, 16, 16), scale=scale, key=1)
    flow = ld.methods.GeometricFlow(steps=2400)
    runs[scale] = ld.simulate(net, task, flow, save_every=10, observables=["cost", "layer_singular_values"])

from matplotlib import pyplot as plt  # noqa: E402

figure, (steps, ranks) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
for scale, run in runs.items():
    steps.plot(run.step, run["cost"] / run["cost"][0], label=f"α = {scale:g}, to t = {run.time[-1]:.1g}")
    values = run["layer_singular_values"][:, 2]
    ranks.semilogy(run.step, values[:, 0] / values[:, 1])
steps.set(xlabel="geometric step", ylabel="cost over its start")
steps.legend(fontsize=8)
ranks.set(xlabel="geometric step", ylabel="$s_1/s_2$ of the third layer", title="the smaller, the nearer to rank one")
