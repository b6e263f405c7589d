"""
All singular values through training
====================================

The signal's modes leave the bulk one after the other when they cross the threshold.
"""

import lindyn as ld

task = ld.SpikedMatrix(dim=120, rank=4, key=0)
net = ld.TwoLayer.gaussian(120, width=10**8, variance=1e-8, key=1)
run = ld.simulate(net, task, ld.GradientDescent(learning_rate=2e-4, steps=300), save_every=5)
figure = ld.plots.singular_values(run, signal_modes=4).figure
