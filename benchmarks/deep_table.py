"""Write the table of deep mode curves, `src/lindyn/solutions/deep_modes.npz`, and measure its accuracy.

python -m benchmarks.deep_table            # about ten minutes
python -m benchmarks.deep_table --check    # one more generation and half-way points against the file
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import lindyn
from lindyn.solutions.scalar_nets import follow_modes, level_grid, sufficient_words
from lindyn.solutions.words import Words

TABLE = Path(lindyn.__file__).parent / "solutions" / "deep_modes.npz"
LEVELS = 128
LOG_RATIOS = np.linspace(-4, 6, 101) * np.log(10)  # ln(s/τ)
TOLERANCES = {3: 1e-11, 4: 2e-9, 5: 1e-6, 6: 3e-5}
TRIED = (0.1, 1.0, 10.0, 100.0)


def words_of(depth: int) -> Words:
    """Return the words behind a table."""
    one = (1.0,) * depth
    return sufficient_words(depth, one, one, TRIED, np.inf, TOLERANCES[depth])


def log_times(words: Words, log_ratios: np.ndarray) -> np.ndarray:
    """Return ln t at every level, shape (ratios, levels), a few ratios at a time."""
    one = np.ones(words.depth)
    parts = np.array_split(np.exp(log_ratios), max(1, len(log_ratios) // 10))
    return np.concatenate([np.log(follow_modes(words, one, one, s, level_grid(LEVELS)).times.T) for s in parts])


def write() -> None:
    """Compute every depth and write the file."""
    tables = {}
    for depth in TOLERANCES:
        began = time.perf_counter()
        words = words_of(depth)
        print(words, f"{time.perf_counter() - began:.0f} s", flush=True)
        tables[f"depth_{depth}"] = log_times(words, LOG_RATIOS)
        print(f"  table {time.perf_counter() - began:.0f} s", flush=True)
    np.savez_compressed(TABLE, log_ratios=LOG_RATIOS, levels=level_grid(LEVELS), **tables)


def check(depths: list[int]) -> None:
    """Print the largest |Δm|/s against one more generation, at ratios half-way between those of the table."""
    from lindyn.solutions.deep_modes import deep_mode_curve

    middle = 0.5 * (LOG_RATIOS[1:] + LOG_RATIOS[:-1])[4::10]
    for depth in depths:
        one = np.ones(depth)
        path = follow_modes(words_of(depth).grown(), one, one, np.exp(middle), level_grid(LEVELS))
        exact = -np.exp(middle) * np.expm1(-level_grid(LEVELS))[:, None]
        found = deep_mode_curve(np.exp(middle), 1.0, path.times, depth)
        print(depth, np.array2string(np.abs(found / exact.max(axis=0) - exact / exact.max(axis=0)).max(0), precision=1))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true")
    options.add_argument("--depths", type=int, nargs="+", default=list(TOLERANCES))
    chosen = options.parse_args()
    if chosen.check:
        check(chosen.depths)
    else:
        write()
