"""
Scaling laws, with and without feature learning
===============================================

A hard task (β = ½) of 10¹⁴ modes: lazy training has the power β, feature learning 2β/(1 + β), and a threshold that is
passed on the way has first the one and then the other (works 10.5).
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

task, times = ld.PowerLaw(capacity=2.0, source=0.5, modes=10**14), np.geomspace(1, 1e10, 101)
figure, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
for tau in (100.0, 1.0, 0.01):
    run = ld.simulate(ld.Mixed(tau), task, times=times, observables="loss")
    power = ld.simulation.scaling_exponent(run)
    ax.loglog(run.time, run["loss"], label=f"τ = {tau:g}: power {power.exponent:.3f} ± {power.uncertainty:.1g}")
ax.set(xlabel="flow time t", ylabel="loss")
ax.legend(frameon=False)
