"""
Three layers at width 10¹²
==========================

A Gaussian network of three layers moves within small reachable subspaces, which are drawn without the width.
"""

import lindyn as ld

task = ld.SpikedMatrix(dim=12, rank=2, key=0)
net = ld.DeepLinear.gaussian(12, depth=3, width=10**12, variance=1e-12, key=1)
print(net)
run = ld.simulate(net, task, ld.GradientDescent(learning_rate=1e-3, steps=400), save_every=10)
figure = ld.plots.singular_values(run, signal_modes=2).figure
