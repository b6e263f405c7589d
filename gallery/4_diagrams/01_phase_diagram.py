"""
A phase diagram in a second
===========================

Smallest test error, stable rank and time over variance and width, by the large-d theory.
"""

import numpy as np

import lindyn as ld

settings = ld.diagrams.DiagramSettings(
    variance_exponents=np.linspace(-3, 0, 24), width_exponents=np.linspace(0, 2.8, 24), shape=200, rank=5
)
figure = ld.plots.phase_panels(ld.phase_diagram(settings))
