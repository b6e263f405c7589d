"""
A bottleneck, before and after training
=======================================

A 48 × 64 layer of width 24 learns three modes in noise by SGD: from a small threshold one after the other, with little
noise; from a large one all together. Lines: predicted before training.
"""

import numpy as np
from matplotlib import pyplot as plt

import lindyn as ld
import torch

modes, rng, best = np.array([4.0, 3.0, 2.5]), np.random.default_rng(0), {}
left, right = (np.linalg.qr(rng.standard_normal((d, 3)))[0] for d in (48, 64))
signal = (left * modes) @ right.T
target = signal + rng.standard_normal((48, 64)) / (np.sqrt(48) + np.sqrt(64))  # noise up to a singular value of 1
x = torch.tensor(np.linalg.qr(rng.standard_normal((200, 64)))[0] * np.sqrt(200))  # whitened inputs
figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.9), sharey=True, layout="constrained")
for ax, (threshold, rate, steps) in zip(axes, ((0.01, 0.002, 1200), (10.0, 0.0005, 800)), strict=True):
    net = torch.nn.Sequential(torch.nn.Linear(64, 24, bias=False), torch.nn.Linear(24, 48, bias=False)).double()
    ld.torch.mixed_init_(net, threshold=threshold, seed=0)
    pair = net[0].weight, net[1].weight
    run = ld.predict_factors(pair, target, learning_rate=rate, steps=steps, save_every=steps // 40)
    rule, path = torch.optim.SGD(net.parameters(), lr=rate), []
    for step in range(steps + 1):
        if step in run.step:
            path.append((pair[1] @ pair[0]).detach().numpy())
        rule.zero_grad()
        (0.5 * ((net(x) - x @ torch.tensor(target).T) ** 2).sum() / len(x)).backward()
        rule.step()
    trained, error = np.linalg.svd(path, compute_uv=False)[:, :24], np.sum((path - signal) ** 2, axis=(1, 2))
    k = error.argmin()
    gap = np.abs(trained - run["singular_values"]).max() / modes[0]
    best[threshold] = {"error": error[k] / np.sum(signal**2), "fourth": trained[k, 3], "gap": gap, "step": run.step[k]}
    ax.plot(run.step, run["singular_values"], color="0.6", linewidth=0.8)
    ax.plot(run.step, run["singular_values"][:, :3], linewidth=1.4)
    ax.plot(run.step, trained, "k.", markersize=2)
    ax.axvline(run.step[k], color="k", linewidth=0.9, linestyle=":")
    ax.set(title=f"threshold {threshold:g}; dots: SGD, dotted: smallest test error", xlabel="step of SGD")
axes[0].set(ylabel="singular value of $W_2 W_1$", ylim=(0, 4.5))
