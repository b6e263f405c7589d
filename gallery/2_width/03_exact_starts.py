"""
A start without width error
===========================

From orthogonal layers the network obeys the formula exactly, for any cost (theory 2.4): the difference is the
solver's.
"""

import lindyn as ld

task = ld.SpikedMatrix(dim=30, rank=2, key=0).observe(0.5, key=1)
net = ld.TwoLayer.orthogonal(30, threshold=1.0)
times = [0.0, 0.05, 0.1, 0.2, 0.4]
runs = [ld.simulate(s, task, ld.Flow(), times=times) for s in (net, ld.Mixed.matching(net))]
print(ld.compare(*runs))
figure = ld.plots.errors(*runs).figure
