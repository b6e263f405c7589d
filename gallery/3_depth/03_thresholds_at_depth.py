"""
The threshold at depth
======================

Half times of modes against their size, in units of the start's rate: lazy below (σ²w)^(L/2), faster and faster above.
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

modes = np.geomspace(1e-2, 1e3, 40)
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for depth in (2, 3, 4):
    ax.loglog(modes, depth * ld.solutions.deep_mode_time(modes, 1.0, modes / 2, depth=depth), label=f"{depth} layers")
ax.axvline(1.0, color="k", linestyle=":")
ax.set(xlabel="s/τ", ylabel="half time × rate at the start")
ax.legend(frameon=False)
