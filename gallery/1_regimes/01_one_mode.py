"""
One mode, from lazy to active
=============================

A singular value s far below the threshold τ rises as s(1 − exp(−2τt)), one far above it as a sigmoid; `mode_curve`
(theory 3.2) is both and everything between. Time is in units of the mode's own rate, 2√(s² + τ²).
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for ratio in (0.1, 1.0, 10.0, 100.0):
    unit = 1 / (2 * np.hypot(ratio, 1.0))  # with τ = 1
    times = np.linspace(0.0, 8.0, 200)
    ax.plot(times, ld.solutions.mode_curve(ratio, 1.0, times * unit) / ratio, label=f"s = {ratio:g} τ")
ax.set_xlabel("time × 2√(s² + τ²)")
ax.set_ylabel("learned share m(t)/s")
ax.legend(frameon=False)
