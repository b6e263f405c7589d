"""
How wide is wide
================

The formula's error falls as the square root of d/w for Gaussian weights (theory 2.3), at any width one likes.
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

task, times, widths = ld.SpikedMatrix(dim=20, rank=2, key=0), [0.0, 0.05], 10.0 ** np.arange(2, 13)
errors = []
for w in widths:
    net = ld.TwoLayer.gaussian(20, width=w, variance=1 / w, key=1)
    pair = [
        ld.simulate(s, task, times=times, observables="matrix")["matrix"][-1] for s in (net, ld.Mixed.matching(net))
    ]
    errors.append(np.linalg.norm(pair[0] - pair[1]) / np.linalg.norm(pair[1]))
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
ax.loglog(widths, errors, "o-", label="network against formula")
ax.loglog(widths, np.sqrt(20 / widths), "k:", label="√(d/w)")
ax.set(xlabel="width w", ylabel="relative distance")
ax.legend(frameon=False)
