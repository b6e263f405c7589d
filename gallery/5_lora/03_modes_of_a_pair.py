"""
A threshold for every mode of any pair
======================================

`factor_modes` measures m_k, τ_k and the activity of two matrices, whatever they were trained by (theory 2.9).
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

rng = np.random.default_rng(1)
first, second = rng.standard_normal((16, 300)) / 30, 0.05 * rng.standard_normal((200, 16))
modes = ld.networks.factor_modes(first, second)
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
ax.semilogy(np.arange(1, 17), modes.singular_values, "o", label="singular value m_k")
ax.semilogy(np.arange(1, 17), modes.thresholds, "_", markersize=12, label="threshold τ_k")
ax.set(xlabel="mode", ylabel="units of W₂W₁")
ax.legend(frameon=False)
