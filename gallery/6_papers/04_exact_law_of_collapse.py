"""
Neural collapse is the end of laziness
======================================

Variance of the features within classes over that between them, under the mixed formula with weight decay μ: lazy
starts do not collapse, active ones do to a distance of order τ, and decay closes what is left (works 11.5).
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

labels = np.repeat(np.arange(4), 6)
task, times = ld.SpikedMatrix(target=np.eye(4)[:, labels]), np.linspace(0, 30, 121)
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for tau, decay in [(3.0, 0.0), (3.0, 0.05), (0.1, 0.0), (0.1, 0.05)]:
    seen = [ld.observables.collapse(labels)]
    run = ld.simulate(ld.Mixed(tau, weight_decay=decay), task, ld.Flow(), times=times, observables=seen)
    ax.semilogy(times, run["nc1"], label=f"τ = {tau:g}, μ = {decay:g}")
ax.set(xlabel="flow time t", ylabel="NC1")
ax.legend(frameon=False)
