"""
What an architecture does not pass is not learned
=================================================

Behind a front end B = diag(b) a direction is learned at a rate ∝ b² while lazy (dashed, works 15.4), earlier once it
becomes active, and never where b = 0.
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

strengths, times = np.array([1.0, 0.5, 0.2, 0.0]), np.append(0, np.geomspace(1e-3, 10, 80))
task = ld.tasks.Filtered(ld.SpikedMatrix(target=np.ones((1, 4))), front_end=np.diag(strengths))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for ax, tau in zip(axes, (20.0, 0.5), strict=True):
    run = ld.simulate(ld.Mixed(tau), task, ld.Flow(), times=times, observables="matrix")
    ax.semilogx(times[1:], run["matrix"][1:, 0] * strengths, label=[f"b = {b:g}" for b in strengths])
    ax.semilogx(times[1:], 1 - np.exp(-2 * tau * strengths**2 * times[1:, None]), "k--", lw=0.7)
    ax.set(xlabel="flow time t", title=f"threshold {tau:g}")
axes[0].set(ylabel="share learned")
axes[0].legend(frameon=False)
