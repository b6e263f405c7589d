"""Validity of the large-d predictions: stated error against exact descent, over a designed table of settings.

    python -m benchmarks.validity [--settings 72] [--first 0] [--draws 3] [--out build/validity.csv]

Shapes, ranks, signals θ (largest singular value over that at which the noise hides it, the others down to 0.8 of it),
widths from d/4 to 10⁶, σ⁴w from 10⁻⁶ to 30 and learning rates from 0.01 to 0.9 of the stability bound are combined by a
fixed rule, other than that by which the constants of `lindyn.prediction.validity` were fitted. Of each setting the
largest deviation along the run, root of the mean square over the draws, is compared with the largest stated error.
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
from lindyn.solutions import mode_time

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


def measure(k: int, draws: int) -> dict[str, object]:
    """Predict one setting, simulate it, and return both errors."""
    shape, signal, theta, width, n0, share = setting(k)
    tau = float(np.sqrt(n0 * width))
    law = ld.laws.standard(width=width, variance=tau / width)
    bound = ld.predict(shape, law, singular_values=signal, learning_rate=1e-12, steps=1).info.stability_bound
    assert bound is not None
    rate, top = share * bound, float(signal[-1]) + max(shape) ** 0.5
    steps = int(np.clip(2 * float(mode_time(top, tau, 0.99 * top)) / rate, 5, MOST_STEPS))
    every = max(1, steps // RECORDS)
    run = ld.predict(shape, law, singular_values=signal, learning_rate=rate, steps=steps, save_every=every)
    found = []
    for draw in range(draws):
        seed = 10_000 + 100 * k + draw
        task = ld.SpikedMatrix(shape=shape, singular_values=signal, noise=1.0, key=seed)
        net = ld.TwoLayer.parametrized(shape, law, key=seed)
        method = ld.GradientDescent(learning_rate=rate, steps=steps)
        found.append(ld.simulate(net, task, method, save_every=every, observables="test_error")["test_error"])
    records = min(len(run), *(len(f) for f in found))
    gap = np.array([f[:records] for f in found]) - run["test_error"][:records]
    zero = float(np.sum(signal**2)) / (shape[0] * shape[1])
    values = (f"{shape[0]} x {shape[1]}", signal.size, theta, width, n0, share, zero,
              float(run["error_estimate"][:records].max()), float(np.sqrt(np.mean(gap**2, axis=0)).max()))  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def main() -> None:
    """Measure, print the table and how often the stated error covers the simulated one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=72)
    parser.add_argument("--first", type=int, default=0, help="number of the first setting")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/validity.csv"))
    options, started = parser.parse_args(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ValidityWarning)  # most settings are outside on purpose
        rows = [
            measure(k, options.draws) for k in track(range(options.first, options.first + options.settings), "settings")
        ]
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
