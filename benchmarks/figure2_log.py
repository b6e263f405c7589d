"""Agreement with the errors that the paper's own run of its Figure 2 logged (d = 200, rank 5).

    python -m benchmarks.figure2_log LOG.csv [--cells 300] [--draws 10] [--out build/figure2_log.json]

LOG.csv has the columns variance_exponent, width_exponent, step, train_error, test_error; the last step of a cell is
where the published rules stopped its run. Theory, one SVD a draw with the closed form, and exact descent (published
settings, mean signal spectrum, float32) are compared on every row, and by the last step of each run, for several draws
of the task. The log itself comes from one draw.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import lindyn as ld
from lindyn.diagrams import compute, figure2
from lindyn.diagrams.stopping import FALLEN, RISES, STALL, TRAIN_GOAL
from lindyn.prediction.spectra import ModeSpectrum

DIM = 200
MARGIN = 1.5  # of the logged last step, up to which descent is followed, and 30 steps more
Curves = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # steps → train and test error


class Log:
    """The logged rows, cell by cell."""

    def __init__(self, path: str, most: int):
        rows = np.genfromtxt(path, delimiter=",", names=True)
        keys = np.stack([rows["variance_exponent"], rows["width_exponent"]], axis=1)
        cells = np.unique(keys, axis=0)
        self.cells = cells[np.linspace(0, len(cells) - 1, min(most, len(cells))).round().astype(int)]
        self.rows = [rows[(keys == cell).all(axis=1)] for cell in self.cells]
        self.last_step = np.array([r["step"].max() for r in self.rows])
        self.variance = DIM ** self.cells[:, 0]
        self.width = np.round(DIM ** self.cells[:, 1])
        self.start_variance = self.variance**2 * self.width


def summary(log: Log, errors: Iterable[tuple[np.ndarray, np.ndarray]], last_step: np.ndarray) -> dict[str, float]:
    """Return mean absolute (small start) and relative (large start) differences, and those of the last steps."""
    found: dict[str, list[float]] = {"test": [], "train": [], "test, relative": []}
    for n0, rows, (train, test) in zip(log.start_variance, log.rows, errors, strict=True):
        gap = np.abs(test - rows["test_error"])
        if n0 < 0.1:
            found["test"].extend(gap)
            found["train"].extend(np.abs(train - rows["train_error"]))
        else:
            found["test, relative"].extend(gap / rows["test_error"])
    off = np.abs(last_step - log.last_step) / log.last_step
    return {k: float(np.mean(v)) for k, v in found.items()} | {
        "last step, median": float(np.median(off)),
        "last step, 90 %": float(np.quantile(off, 0.9)),
    }


def published_stop(train: np.ndarray, test: np.ndarray) -> int:
    """Return the step at which the published rules end a run with these errors at each step."""
    rises = 0
    for n in range(1, len(train)):
        rises = rises + 1 if test[n] > test[n - 1] else 0
        stalled = abs(train[n] - train[n - 1]) < STALL and train[0] - train[n] > FALLEN
        if train[n] < TRAIN_GOAL or rises >= RISES or stalled:
            return n
    return len(train) - 1


def modes_summary(log: Log, source: str, modes: ModeSpectrum, seed: int) -> dict[str, float]:
    """Compare curves of independent modes."""
    cells = compute(figure2(sources=[source]), seed, *log.cells.T)[source]
    errors = []
    for k, rows in enumerate(log.rows):
        times = cells["learning_rate"][k] * rows["step"]
        tau = np.full(times.shape, log.variance[k] * log.width[k])
        out = modes.errors(tau, times, np.full(times.shape, log.start_variance[k]))
        errors.append((out["train_error"], out["test_error"]))
    return summary(log, errors, cells["last_step"])


def descent_summary(log: Log, draw: int) -> dict[str, float]:
    """Compare exact descent, every cell with weights of its own."""
    task = figure2().task(draw)
    errors, last = [], []
    for number, (cell, rows) in enumerate(zip(track(log.cells, f"descent, draw {draw}"), log.rows, strict=True)):
        net = ld.TwoLayer.exponents(DIM, *cell, key=1000 * draw + number, dtype=np.float32)
        steps = min(750, int(MARGIN * rows["step"].max()) + 30)
        method = ld.GradientDescent(steps=steps, order="sequential")
        run = ld.simulate(net, task, method, save_every=1, observables=["train_error", "test_error"])
        at = rows["step"].astype(int)
        errors.append((run["train_error"][at], run["test_error"][at]))
        last.append(published_stop(run["train_error"], run["test_error"]))
    return summary(log, errors, np.array(last))


def main() -> None:
    """Print the differences of every source, and their spread over the draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log")
    parser.add_argument("--cells", type=int, default=300, help="cells to compare")
    parser.add_argument("--draws", type=int, default=10, help="draws of the task for spectral and descend")
    parser.add_argument("--out", type=Path, default=Path("build/figure2_log.json"), help="file of the raw numbers")
    options = parser.parse_args()
    log, started = Log(options.log, options.cells), time.perf_counter()
    found = {"predict": [modes_summary(log, "predict", figure2().theory().modes, 0)]}
    tasks = [figure2().task(draw) for draw in range(options.draws)]
    found["spectral"] = [
        modes_summary(log, "spectral", ModeSpectrum.of(t.target, t.signal), draw) for draw, t in enumerate(tasks)
    ]
    found["descend"] = [descent_summary(log, draw) for draw in range(options.draws)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1))
    large = int((log.start_variance >= 0.1).sum())
    table = Table("source", "draws", *found["predict"][0], title=f"{len(log.cells)} cells, {large} with σ⁴w ≥ 0.1")
    for source, draws in found.items():
        shown = []
        for name in draws[0]:
            values = [d[name] for d in draws]
            spread = f" ({min(values):.4f} … {max(values):.4f})" if len(values) > 1 else ""
            shown.append(f"{np.mean(values):.4f}{spread}")
        table.add_row(source, str(len(draws)), *shown)
    table.caption = (
        "test, train: mean absolute difference where σ⁴w < 0.1; test, relative: where σ⁴w ≥ 0.1; last step: |ours − "
        "logged| over logged. In brackets the smallest and largest of the draws."
    )
    Console(width=150).print(table)
    print(f"{time.perf_counter() - started:.0f} s; raw numbers in {options.out}")


if __name__ == "__main__":
    main()
