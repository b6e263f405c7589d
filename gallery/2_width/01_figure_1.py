"""
Descent and the formula, one above the other
============================================

Exact gradient descent of a network of width 40,000, on its 200 reduced units, and the formula.
"""

import lindyn as ld

task = ld.SpikedMatrix(dim=100, rank=3, key=0)
net = ld.TwoLayer.gaussian(100, width=40_000, variance=1e-4, key=1)
descent = ld.simulate(net, task, ld.GradientDescent(learning_rate="figure1", steps=100))
formula = ld.simulate(ld.Mixed.matching(net), task, times=descent)
figure = ld.plots.figure1(descent, formula, signal_modes=3)
