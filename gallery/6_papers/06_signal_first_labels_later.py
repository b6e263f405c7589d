"""
Signal first, labels later
==========================

Neurons reject flipped labels, then memorise them, in 10⁹ dimensions: `lindyn.tasks.SignalNoise`.
"""

import lindyn as ld

task = ld.tasks.SignalNoise(samples=100, dim=10**9, snr=0.25, flip=0.2, key=0)
net = ld.networks.PatchReLU.gaussian(task, key=1)
descent = ld.GradientDescent(learning_rate=0.1 * task.pace, steps=200)
run = ld.simulate(net, task, descent, observables=["accuracy_clean", "accuracy_flipped", "sample_losses"])

from matplotlib import pyplot as plt  # noqa: E402

figure, (ax, losses) = plt.subplots(1, 2, figsize=(8.4, 3.4), layout="constrained")
ax.plot(run.step + 1, run["accuracy_clean"], label="clean samples")
ax.plot(run.step + 1, run["accuracy_flipped"], label="flipped samples, as given")
ax.set(xscale="log", xlabel="step + 1", ylabel="accuracy")
ax.legend()
losses.plot(run.step + 1, run["sample_losses"][:, ~task.flipped], "C0", lw=0.5)
losses.plot(run.step + 1, run["sample_losses"][:, task.flipped], "C1", lw=0.8)
losses.axhline(0.6931, color="0.3", linestyle="--")
losses.set(xscale="log", xlabel="step + 1", ylabel="loss of each sample", title="ln 2 divides them, early")
