"""
Weight decay lowers the threshold
=================================

With decay μ on both layers τ(t) = τ exp(−2μt): modes that were lazy become active (theory 2.8).
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

task = ld.SpikedMatrix(target=np.diag([4.0, 1.0]))
dynamics = ld.Mixed(threshold=8.0, weight_decay=0.05)
run = ld.simulate(dynamics, task, ld.Flow(), times=np.linspace(0, 60, 200), observables=["singular_values", "activity"])
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
ax.plot(run.time, run["activity"], label=["mode 1", "mode 2"])
ax.axhline(2**-0.5, color="k", linestyle=":", label="at the threshold")
ax.set(xlabel="flow time t", ylabel="activity s/√(s² + τ²)")
ax.legend(frameon=False)
