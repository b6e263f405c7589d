"""
Low-rank bias of completion
===========================

From 40 % of the entries of a rank-2 matrix: far below the threshold training finds the rest, in the lazy regime it
does not.
"""

import numpy as np

import lindyn as ld

task = ld.SpikedMatrix(dim=40, rank=2, noise=0.0, key=0).observe(0.4, key=1)
times = np.linspace(0, 3, 31)
method, seen = ld.Flow(rtol=1e-6), ["train_error", "test_error"]
runs = [ld.simulate(s, task, method, times=times, observables=seen) for s in (ld.Mixed(0.01), ld.Lazy(1.0))]
ax = ld.plots.errors(*runs, labels=["mixed", "lazy"], log=True)
figure = ax.figure
