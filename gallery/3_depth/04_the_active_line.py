"""
The active line moves with depth
================================

The line between lazy and active is γ_σ² + γ_w = 2/L. Predicted smallest test errors along the width d³ rise at a
smaller σ²w the deeper the network is.
"""

import numpy as np
from matplotlib import pyplot as plt

from lindyn.diagrams import DiagramSettings, phase_diagram

exponents, places = np.linspace(-3.2, -1.6, 25), {}
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for depth, colour in ((2, "C0"), (3, "C1"), (4, "C2")):
    plane = {"variance_exponents": exponents, "width_exponents": (3.0,)}
    grid = DiagramSettings(**plane, shape=(100, 100), rank=5, depth=depth, steps=2000)
    errors = phase_diagram(grid)["min_test_error"].values.squeeze()
    last = np.flatnonzero(errors < 0.4)[-1]  # to the left the steps do not suffice to escape
    places[depth] = np.interp(0.4, errors[last : last + 2], exponents[last : last + 2] + 3)
    ax.plot(exponents + 3, errors, color=colour, label=f"{depth} layers")
    ax.axvline(2 / depth, color=colour, linestyle=":")
ax.set(xlabel="γ_σ² + γ_w, dotted: 2/L", ylabel="smallest test error")
ax.legend(frameon=False)
