"""
From a start of the wrong sign
==============================

Balanced dynamics keeps the sign of a mode and stalls at zero; mixed dynamics passes, after a delay of ln(1/τ).
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

times = np.linspace(0, 8, 400)
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for tau in (1e-1, 1e-2, 1e-4, 0.0):
    name = f"mixed, τ = {tau:g}" if tau else "balanced"
    ax.plot(times, ld.solutions.mode_curve(1.0, tau, times, start=-0.5), label=name)
ax.axhline(0, color="0.8", linewidth=1)
ax.set(xlabel="flow time t", ylabel="m(t), target 1")
ax.legend(frameon=False)
