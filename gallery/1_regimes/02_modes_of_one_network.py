"""
Several modes of one network
============================

Five modes from 100 τ down to τ/100, each on its own clock: the larger ones are sigmoids, the smaller exponentials.
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

tau, modes = 1.0, np.array([100.0, 10.0, 1.0, 0.1, 0.01])
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for s in modes:
    ax.semilogx(t := np.geomspace(1e-3, 10, 300), ld.solutions.mode_curve(s, tau, t) / s, label=f"s = {s:g} τ")
    ax.plot(ld.solutions.mode_time(s, tau, s / 2), 0.5, "k.")
ax.set(xlabel="flow time t", ylabel="learned share m(t)/s")
ax.legend(frameon=False)
