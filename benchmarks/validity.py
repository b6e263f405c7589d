"""Validity of the large-d predictions: stated error against exact descent, over a designed table of settings.

    python -m benchmarks.validity [--settings 72] [--first 0] [--draws 3] [--depth 2] [--out build/validity.csv]

Shapes, ranks, signals θ (largest singular value over that at which the noise hides it, the others down to 0.8 of it),
widths from d/4 to 10⁶, σ⁴w from 10⁻⁶ to 30 and learning rates from 0.01 to 0.9 of the stability bound are combined by a
fixed rule, other than that by which the constants of `lindyn.prediction.validity` were fitted. Of each setting the
largest deviation along the run, root of the mean square over the draws, is compared with the largest stated error.

Beyond two layers the shapes are smaller, the widths at least 10 d and A(0) small, where the deep mode curve is claimed.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import lindyn as ld
from lindyn.prediction.validity import ValidityWarning
from lindyn.solutions import deep_mode_time

SHAPES = ((40, 40), (60, 60), (30, 90), (80, 40), (10, 10), (1, 100), (100, 100))
THETAS = (0.9, 1.2, 1.6, 2.5, 4.0, 7.0)
STARTS = (1e-6, 1e-4, 1e-2, 0.1, 1.0, 30.0)  # σ⁴w
SHARES = (0.01, 0.03, 0.1, 0.3, 0.6, 0.9)  # of the stability bound
RECORDS, MOST_STEPS = 40, 600
COLUMNS = ("shape", "rank", "theta", "width", "start_variance", "share", "zero_error", "stated", "simulated")


def setting(k: int) -> tuple[tuple[int, int], np.ndarray, float, int, float, float]:
    """Return shape, signal, θ, width, σ⁴w and the share of the stability bound of setting k."""
    shape = SHAPES[k % 7]
    low, high = min(shape), max(shape)
    rank = max(1, min(low, (2, 1, 4, low // 4, 3, low // 2)[(k // 7 + 2 * k) % 6]))
    widths = (high / 4, high, high / 2, 3 * high, 8 * high, 30 * high, 1e4, 200 * high, 1e6, 1e5)
    width = max(1, round(widths[(7 * k + k // 6) % 10]))
    theta = THETAS[(k + k // 5) % 6]
    signal = theta * np.sqrt(high) * np.linspace(1.0, 0.8, rank)
    return shape, signal, theta, width, STARTS[(5 * k + k // 3) % 6], SHARES[(7 * k + k // 4) % 6]


def deep_setting(k: int) -> tuple[tuple[int, int], np.ndarray, float, int, float, float]:
    """Return the same for more layers, which hold several times as many directions."""
    shape = ((20, 20), (30, 30), (15, 30))[k % 3]
    high, rank = max(shape), (2, 1, 4)[(k // 3 + k) % 3]
    width = (10 * high, 10**6, 40 * high, 10**4)[(k + k // 4) % 4]
    theta = (1.6, 2.5, 4.0, 7.0)[(k + k // 3) % 4]
    signal = theta * np.sqrt(high) * np.linspace(1.0, 0.8, rank)
    start = (1e-6, 1e-4, 1e-2)[(k // 2 + k // 6) % 3] * float(np.sum(signal**2)) / (shape[0] * shape[1])
    return shape, signal, theta, width, start, (0.03, 0.1, 0.3)[(2 * k + k // 9) % 3]


def measure(k: int, draws: int, depth: int) -> dict[str, object]:
    """Predict one setting, simulate it, and return both errors."""
    shape, signal, theta, width, n0, share = setting(k) if depth == 2 else deep_setting(k)
    tau = float(np.sqrt(n0 * width))  # σ^{2L}w^{L−1} = τ²/w
    law = ld.laws.standard(width=width, variance=tau ** (2 / depth) / width)
    known = {"depth": depth, "singular_values": signal}
    bound = ld.predict(shape, law, **known, learning_rate=1e-12, steps=1).info.stability_bound
    assert bound is not None
    rate, top = share * bound, float(signal[-1]) + max(shape) ** 0.5
    steps = int(np.clip(2 * float(deep_mode_time(top, tau, 0.99 * top, depth)) / rate, 5, MOST_STEPS))
    every = max(1, steps // RECORDS)
    run = ld.predict(shape, law, **known, learning_rate=rate, steps=steps, save_every=every)
    found = []
    for draw in range(draws):
        seed = 10_000 + 100 * k + draw
        task = ld.SpikedMatrix(shape=shape, singular_values=signal, noise=1.0, key=seed)
        net = _network(shape, law, depth, seed)
        method = ld.GradientDescent(learning_rate=rate, steps=steps)
        found.append(ld.simulate(net, task, method, save_every=every, observables="test_error")["test_error"])
    records = min(len(run), *(len(f) for f in found))
    gap = np.array([f[:records] for f in found]) - run["test_error"][:records]
    zero = float(np.sum(signal**2)) / (shape[0] * shape[1])
    values = (f"{shape[0]} x {shape[1]}", signal.size, theta, width, n0, share, zero,
              float(run["error_estimate"][:records].max()), float(np.sqrt(np.mean(gap**2, axis=0)).max()))  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _network(shape: tuple[int, int], law: ld.laws.Parametrization, depth: int, seed: int) -> ld.networks.Network:
    if depth == 2:
        return ld.TwoLayer.parametrized(shape, law, key=seed)
    # cut off far below the deviations that are measured
    return ld.DeepLinear.gaussian(
        shape, depth=depth, width=law.width, variance=law.variance_in, key=seed, tolerance=1e-3
    )


def main() -> None:
    """Measure, print the table and how often the stated error covers the simulated one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=72)
    parser.add_argument("--first", type=int, default=0, help="number of the first setting")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build/validity.csv"))
    options, started = parser.parse_args(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ValidityWarning)  # most settings are outside on purpose
        numbers = range(options.first, options.first + options.settings)
        rows = [measure(k, options.draws, options.depth) for k in track(numbers, "settings")]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    table = Table(*COLUMNS, "stated/simulated", title="Largest error of the test error along a run")
    for row in rows:
        shown = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()]
        table.add_row(*shown, f"{row['stated'] / row['simulated']:.2f}")  # type: ignore[operator]
    Console(width=130).print(table)
    ratio = np.array([row["stated"] / row["simulated"] for row in rows])  # type: ignore[operator]
    near = np.mean((ratio >= 1 / 3) & (ratio <= 3))
    print(f"{len(rows)} settings: covered in {np.mean(ratio >= 1):.0%}, within a factor of 3 in {near:.0%}, "
          f"smallest ratio {ratio.min():.2f}, median {np.median(ratio):.2f}, largest {ratio.max():.1f}; "
          f"{time.perf_counter() - started:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
