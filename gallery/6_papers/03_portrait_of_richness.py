"""
Which learning rates train
==========================

Descent of orthogonal layers over richness and learning rate: between its edges a run learns in a thousand steps.
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld

figure, axes = plt.subplots(1, 2, figsize=(10.6, 4.6), layout="constrained")
for depth, ax in zip((2, 4), axes, strict=True):
    settings = ld.diagrams.PortraitSettings(
        richness=np.logspace(-3, 5, 60), learning_rates=np.logspace(-8, 6, 150), depth=depth, steps=1000
    )
    ld.plots.richness_portrait(ld.phase_diagram(settings), ax=ax)
