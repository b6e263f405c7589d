"""Depth, measured: laws of draws, cost of width, the limit of infinite width, escapes, speed, phase diagrams.

    python -m benchmarks.depth law|cost|infinite|… (all: one after the other)
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from lindyn.networks.deep_linear import DeepLinear
from lindyn.networks.reachable import draw
from lindyn.solutions.words import Words


def descend(layers: list[np.ndarray], target: np.ndarray, rate: float, steps: int, every: int = 1) -> np.ndarray:
    """Return A of ½‖A − T‖² at every so many steps, by the chain rule; a leading axis holds several networks."""
    path = []
    for step in range(steps + 1):
        below = [layers[0]]
        for w in layers[1:]:
            below.append(w @ below[-1])
        if step % every == 0:
            path.append(below[-1])
        if step == steps:
            break
        signal, moved = below[-1] - target, []
        for k in range(len(layers) - 1, -1, -1):
            gradient = signal @ np.swapaxes(below[k - 1], -1, -2) if k else signal
            signal = np.swapaxes(layers[k], -1, -2) @ signal
            moved.append(layers[k] - rate * gradient)
        layers = moved[::-1]
    return np.stack(path)


def law(draws: int = 600) -> None:
    """Kolmogorov–Smirnov of nine statistics between drawn and explicit networks, and against a wrong law."""
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(0)
    target, rate, steps = np.array([[2.0, 0.3], [0.0, 1.0]]), 0.05, 45

    def statistics(layers: list[np.ndarray]) -> np.ndarray:
        path = descend(layers, target, rate, steps, steps // 3)[1:]
        size = ((path - target) ** 2).sum(axis=(-2, -1))
        return np.concatenate([size, path[..., 0, 1], np.linalg.svd(path, compute_uv=False)[..., 0]])

    for depth, generations, near in ((3, 6, 16), (4, 6, 34), (5, 6, 44)):
        words = Words.full(depth, generations)
        for width in (near, 10 * near):
            sizes = (2, *(width,) * (depth - 1), 2)
            scales = np.sqrt([0.5 / width, *(1 / width,) * (depth - 2), 0.5 / width])

            def sample(make: Callable, scales: np.ndarray = scales) -> np.ndarray:
                return _in_blocks(make, scales, statistics, draws)

            exact = sample(lambda sizes=sizes: tuple(rng.standard_normal(s) for s in zip(sizes[1:], sizes, strict=False)))
            found = sample(lambda sizes=sizes, words=words: draw(words, sizes, int(rng.integers(2**62))).layers)
            other = (2, *(2 * width,) * (depth - 1), 2)
            wrong = sample(lambda sizes=other, words=words: draw(words, sizes, int(rng.integers(2**62))).layers)
            p = [ks_2samp(a, b).pvalue for a, b in zip(exact, found, strict=True)]
            caught = min(ks_2samp(a, b).pvalue for a, b in zip(exact, wrong, strict=True))
            print(
                f"L = {depth}, w = {width}, held {words.units((2, 2))}: p from {min(p):.3f} to {max(p):.3f} "
                f"({len(p)} statistics, {draws} draws); with the law of width {2 * width}: p = {caught:.1e}",
                flush=True,
            )


def _in_blocks(make: Callable, scales: np.ndarray, statistics: Callable, draws: int, block: int = 20) -> np.ndarray:
    parts = []
    for _ in range(0, draws, block):
        layers = [s * np.stack(w) for s, w in zip(scales, zip(*(make() for _ in range(block)), strict=True), strict=True)]
        parts.append(statistics(layers))
    return np.concatenate(parts, axis=-1)


def cost() -> None:
    """Seconds and peak memory of drawing and descending at w = 10⁴ and 10¹²."""
    target = np.random.default_rng(0).standard_normal((50, 50))
    DeepLinear.gaussian(2, depth=3, width=10**4, variance=1e-4)  # chooses the words once
    found = {}
    for width in (10**4, 10**12) * 12:
        tracemalloc.start()
        began = time.perf_counter()
        net = DeepLinear.gaussian(50, depth=3, width=width, variance=1 / width, key=0)
        descend(list(net.layers), target, 1e-3, 20)
        seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        best = min(seconds, found[width][0]) if width in found else seconds  # what others leave of the machine
        found[width] = best, peak
    for width, (seconds, peak) in found.items():
        print(f"w = {width:.0e}: {seconds:.4f} s, peak {peak / 2**20:.1f} MiB, held {net.reduced_widths}")
    ratios = np.divide(found[10**12], found[10**4])
    print(f"ratio of seconds {ratios[0]:.2f}, of memory {ratios[1]:.2f}")


def infinite() -> None:
    """Modes decouple at infinite width; the distance of width w to the limit falls as w^−½."""
    values = np.array([3.0, 1.0, 0.3, 0.1])
    target = np.diag(values)
    for depth, generations in ((3, 8), (4, 8)):
        words = Words.full(depth, generations)

        def run(width: int, d: int, goal: np.ndarray, seed: int, words: Words = words, depth: int = depth) -> np.ndarray:
            layers = draw(words, (d, *(width,) * (depth - 1), d), seed).layers
            return descend([w * np.sqrt(0.3 / width) for w in layers], goal, 0.03, 200, 10)

        limit = np.stack([run(10**26, 1, np.array([[s]]), 0)[:, 0, 0] for s in values], axis=-1)
        far = run(10**26, 4, target, 0)
        off = np.abs(far - np.einsum("ti,ij->tij", np.einsum("tii->ti", far), np.eye(4))).max()
        print(f"L = {depth}, w = 1e26: modes against their scalar networks {np.abs(np.einsum('tii->ti', far) - limit).max():.1e}, off-diagonal {off:.1e}")
        widths = 10 ** np.arange(3, 11)
        gaps = [
            np.mean([np.abs(run(int(w), 4, target, seed) - np.einsum("ti,ij->tij", limit, np.eye(4))).max() for seed in range(12)])
            for w in widths
        ]
        slope = np.polyfit(np.log(widths), np.log(gaps), 1)[0]
        print(f"L = {depth}: distance to the limit {', '.join(f'{g:.1e}' for g in gaps)} at w = 1e3 … 1e10: slope {slope:.3f}")


PARTS = {"law": law, "cost": cost, "infinite": infinite}

if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        for part in PARTS if name == "all" else [name]:
            PARTS[part]()
