"""
Thresholds of LoRA's common starts
==================================

τ of ΔW = s·BA with B = 0 (theory 2.7): the default has s/6 at every size, the Gaussian one s·d_in/(2r²).
"""

import numpy as np
from matplotlib import pyplot as plt

from lindyn.solutions.thresholds import narrow_threshold

d, ranks = 1024, np.array([1, 2, 4, 8, 16, 32, 64])
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
ax.loglog(ranks, narrow_threshold(1 / (3 * d) * np.ones(7), 0.0, d, d), "o-", label="default (Kaiming)")
ax.loglog(ranks, narrow_threshold(1 / ranks.astype(float) ** 2, 0.0, d, d), "o-", label="gaussian")
ax.set(xlabel="rank r", ylabel="τ/s")
ax.legend(frameon=False)
