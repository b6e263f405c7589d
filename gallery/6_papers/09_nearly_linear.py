"""
Nearly linear
=============

How far a leaky network's training comes from the linear one, and how much of it first order tells (`NearlyLinear`).
"""

import numpy as np

import lindyn as ld
from lindyn.methods import NearlyLinear
from lindyn.networks import DeepReLU

rng = np.random.default_rng(0)
inputs, target = rng.standard_normal((4, 60)) / 60**0.5, rng.standard_normal((1, 60)) / 60**0.5
task, times = ld.SpikedMatrix(target=target), np.linspace(0, 6, 31)
net, flow = DeepReLU.gaussian(inputs, 1, widths=(12,), scale=0.4, key=1), ld.Flow(solver="tsit5", rtol=1e-7)


def follow(slope, method):
    return ld.simulate(net.with_slope(slope), task, method, times=times, observables="matrix")["matrix"]


slopes, linear = (0.8, 0.95, 0.99), follow(1.0, flow)
trained = {s: follow(s, flow) for s in slopes}
predicted = {s: follow(s, NearlyLinear()) for s in slopes}

from matplotlib import pyplot as plt  # noqa: E402

figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for k, s in enumerate(slopes):
    ax.semilogy(
        times[1:], np.linalg.norm(trained[s] - linear, axis=(1, 2))[1:], f"C{k}", label=f"slope {s}, from linear"
    )
    ax.semilogy(
        times[1:], np.linalg.norm(trained[s] - predicted[s], axis=(1, 2))[1:], f"C{k}--", label="from first order"
    )
ax.set(xlabel="flow time", ylabel="distance of the outputs")
ax.legend(fontsize=7, ncol=2)
