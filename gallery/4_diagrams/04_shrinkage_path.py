"""
Training is a shrinkage path
============================

The path from zero shrinks the singular values of T (theory 3.3): like a ridge when lazy, like a threshold when
active. Beside it the optimal shrinker of Gavish and Donoho for the Frobenius norm.
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

y = np.linspace(0, 5, 400)  # singular values of T over √d, noise 1; the bulk ends at 2
figure, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
for tau, name in ((50.0, "lazy"), (0.5, "mixed"), (1e-3, "active")):
    half = ld.solutions.mode_time(3.0, tau, 1.5)  # stopped when the mode 3 is half learned
    ax.plot(y, ld.solutions.mode_curve(y, tau, 1.4 * half), label=f"{name}, τ = {tau:g}")
ax.plot(y, np.where(y > 2, np.sqrt(np.maximum((y**2 - 2) ** 2 - 4, 0)) / np.maximum(y, 1), 0), "k:", label="optimal")
ax.set(xlabel="singular value of T/√d", ylabel="shrunk value")
ax.legend(frameon=False)
