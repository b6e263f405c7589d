"""A linear bottleneck with a chosen rank: the threshold chosen at the start decides how many modes arrive before noise.

A 48 × 64 layer of width 24 learns three signal modes in noise by SGD in PyTorch, once from a threshold far below the
signal and once from one far above it, and is predicted before it is trained. `python
examples/bottleneck_with_a_chosen_rank.py FIGURE.png` draws the singular values.
"""

import sys
from pathlib import Path

import numpy as np

import lindyn as ld
import torch
from lindyn.simulation.trajectory import Trajectory
from lindyn.torch import mixed_init_

SIGNAL, WIDTH, RECORDS = np.array([4.0, 3.0, 2.5]), 24, 40
STARTS = {"active": (0.01, 0.002, 1200), "lazy": (10.0, 0.0005, 800)}  # threshold, learning rate, steps


def teacher(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a signal of rank 3 and what training sees of it: noise up to a singular value of about 1."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((d, 3)))[0] for d in (48, 64))
    signal = (left * SIGNAL) @ right.T
    return signal, signal + rng.standard_normal((48, 64)) / (np.sqrt(48) + np.sqrt(64))


def train(target: np.ndarray, threshold: float, rate: float, steps: int) -> tuple[np.ndarray, Trajectory]:
    """Train by SGD on whitened inputs; return the product at every record, and the prediction made before."""
    first, second = torch.nn.Linear(64, WIDTH, bias=False).double(), torch.nn.Linear(WIDTH, 48, bias=False).double()
    mixed_init_(first, second, threshold=threshold, generator=torch.Generator().manual_seed(0))
    every = steps // RECORDS
    run = ld.predict_factors((first.weight, second.weight), target, learning_rate=rate, steps=steps, save_every=every)
    inputs = np.linalg.qr(np.random.default_rng(1).standard_normal((200, 64)))[0] * np.sqrt(200)
    x, y = torch.tensor(inputs), torch.tensor(inputs @ target.T)
    optimizer = torch.optim.SGD([first.weight, second.weight], lr=rate)
    path = []
    for step in range(steps + 1):
        if step % every == 0:
            path.append((second.weight @ first.weight).detach().numpy())
        optimizer.zero_grad()
        (0.5 * ((second(first(x)) - y) ** 2).sum() / len(x)).backward()
        optimizer.step()
    return np.stack(path), run


def main(figure: str | None = None) -> dict[str, dict[str, float]]:
    """Train both; compare the smallest test error, the number of modes there, and prediction with training."""
    signal, target = teacher()
    results, runs = {}, {}
    print("start    threshold   best step   test error   stable rank   modes > 1   largest error of the prediction")
    for name, (threshold, rate, steps) in STARTS.items():
        path, run = train(target, threshold, rate, steps)
        values = np.linalg.svd(path, compute_uv=False)
        test = np.sum((path - signal) ** 2, axis=(1, 2)) / np.sum(signal**2)
        best = int(np.argmin(test))
        results[name] = r = {
            "threshold": threshold,
            "step": float(run.step[best]),
            "test_error": float(test[best]),
            "stable_rank": float(run["stable_rank"][best]),
            "modes": float(np.sum(values[best] > 1)),
            "fourth": float(values[best, 3]),
            "gap": float(np.max(np.abs(values[:, :WIDTH] - run["singular_values"])) / SIGNAL[0]),
        }
        runs[name] = (values, run, best)
        print(
            f"{name:8} {threshold:9g}   {r['step']:9.0f}   {r['test_error']:10.3f}   {r['stable_rank']:11.2f}   "
            f"{r['modes']:9.0f}   {r['gap']:.4f} s₁"
        )
    if figure is not None:
        draw(runs, Path(figure))
    return results


def draw(runs: dict[str, tuple[np.ndarray, Trajectory, int]], path: Path) -> None:
    """Draw training (dots) over prediction (lines): the signal's modes in colour, the others in grey."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(9.6, 3.9), layout="constrained")
    for ax, (name, (values, run, best)) in zip(figure.subplots(1, 2, sharey=True), runs.items(), strict=True):
        predicted, tau = run["singular_values"], run.info.threshold
        for k in range(WIDTH):
            colour = ["#0072B2", "#E69F00", "#009E73"][k] if k < 3 else "#9a9a9a"
            ax.plot(run.step, predicted[:, k], color=colour, linewidth=1.4 if k < 3 else 0.8)
            ax.plot(run.step, values[:, k], ".", color=colour, markersize=4 if k < 3 else 2)
        ax.axvline(run.step[best], color="black", linewidth=0.9, linestyle=":")
        ax.set_title(f"{name}: threshold {tau:g}")
        ax.set_xlabel("step of SGD")
        ax.set_xlim(0, run.step[-1])
    figure.axes[0].set_ylim(0, 4.5)
    figure.axes[0].set_ylabel("singular value of $W_2 W_1$")
    handles = [
        Line2D([], [], color="#0072B2", linewidth=1.4, label="signal modes, predicted"),
        Line2D([], [], color="#9a9a9a", linewidth=0.8, label="other modes, predicted"),
        Line2D([], [], color="black", linestyle="none", marker=".", label="SGD in PyTorch"),
        Line2D([], [], color="black", linewidth=0.9, linestyle=":", label="smallest test error"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:2])
