"""
Mode curves at every depth
==========================

The same mode, 10 τ, in networks of two to five layers of infinite width: the deeper, the longer the plateau and the
sharper the rise.
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for depth in (2, 3, 4, 5):
    half = ld.solutions.deep_mode_time(10.0, 1.0, 5.0, depth=depth)
    times = np.linspace(0, 2.5, 300)
    ax.plot(times, ld.solutions.deep_mode_curve(10.0, 1.0, times * half, depth=depth) / 10, label=f"{depth} layers")
ax.set(xlabel="time over half time", ylabel="learned share m(t)/s")
ax.legend(frameon=False)
