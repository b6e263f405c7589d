"""
Training of a LoRA adapter, predicted
=====================================

Every singular value of ΔW against step under SGD, from the adapter's own random factor.
"""

import numpy as np

import lindyn as ld

rng = np.random.default_rng(0)
target = (rng.standard_normal((256, 3)) * [6.0, 4.0, 2.0]) @ rng.standard_normal((3, 256)) / 256
start = ld.laws.lora((256, 256), 8, scale=2.0)
run = ld.predict_factors(start, target, learning_rate=0.02, steps=800)
figure = ld.plots.singular_values(run, signal_modes=3).figure
