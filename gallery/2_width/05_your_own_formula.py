"""
Your own formula, put to the test
=================================

Balanced plus lazy has both limits of the mixed formula. As the width grows descent approaches the mixed one, down to
the error of the step, and keeps its distance from the rival.
"""

import jax.numpy as jnp
import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld


class SumOfParts(ld.Dynamics):
    def drive(self, matrix, gradient, threshold):
        u, s, vt = jnp.linalg.svd(matrix, full_matrices=False)
        return -2 * threshold * gradient - (u * s) @ (u.T @ gradient) - ((gradient @ vt.T) * s) @ vt


task, steps = ld.SpikedMatrix(dim=20, rank=3, noise=0.3, key=0), ld.GradientDescent(learning_rate=2e-4, steps=2000)
widths, distances, options = [10**k for k in (2, 3, 4, 5, 6, 8)], [], {"save_every": 100, "observables": "matrix"}
for w in widths:
    net = ld.TwoLayer.gaussian(20, width=w, variance=3 / w, key=1)
    descent = ld.simulate(net, task, steps, **options)
    runs = [ld.simulate(f(net.threshold, net.matrix), task, steps, **options) for f in (ld.Mixed, SumOfParts)]
    distances.append([20 * ld.compare(descent, run).distance.max() ** 0.5 for run in runs])
figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
ax.loglog(widths, distances / np.linalg.norm(task.signal), "o-", label=["mixed", "rival: balanced + lazy"])
ax.set(xlabel="hidden width w (σ²w = 3 held)", ylabel="largest ‖A − formula‖ / ‖A*‖")
ax.legend(frameon=False)
