"""
Grokking: generalisation long after the fit
===========================================

A matrix of which 70 % is seen, under weight decay: a lazy start fits the seen entries (dotted) at once and finds the
unseen ones (solid) when τ(t) has fallen to τ_c. One measuring run tells τ_c, and with it the times of all starts
(vertical lines; works 12.6).
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

decay, truth = 0.02, ld.SpikedMatrix(dim=16, singular_values=[1.0], noise=0.0, key=0)
seen = truth.observe(0.7, key=1).observed
task = ld.Completion(truth.target, seen, held_out=~seen)
critical = ld.prediction.critical_threshold(task, decay)
times = np.r_[0.0, np.geomspace(0.01, 200.0, 240)]
figure, ax = plt.subplots(figsize=(6.2, 3.8), layout="constrained")
for color, tau in zip(("C0", "C1", "C2"), (10.0, 1.0, 0.01), strict=True):
    dynamics = ld.Mixed(tau, weight_decay=decay)
    run = ld.simulate(dynamics, task, ld.Flow(rtol=1e-7), times=times, observables=["train_error", "test_error"])
    ax.loglog(times[1:], run["test_error"][1:] / run["test_error"][0], color=color, label=f"τ₀ = {tau:g}")
    ax.loglog(times[1:], run["train_error"][1:] / run["train_error"][0], ":", color=color)
    delay = ld.prediction.grokking_delay(tau, decay, critical)
    if delay.delayed:
        ax.axvline(delay.test_time, color=color, lw=0.8)
ax.axhline(0.2, color="k", lw=0.5)
ax.set(xlabel="flow time t", ylabel="error over start", ylim=(1e-3, 2), title=f"weight decay {decay:g}")
ax.legend(frameon=False)
