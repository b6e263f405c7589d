"""Agreement with the errors that the paper's own run of its Figure 2 logged (d = 200, rank 5).

    python -m benchmarks.figure2_log LOG.csv [--cells 20] [--draws 3]

LOG.csv has the columns variance_exponent, width_exponent, step, train_error, test_error. Large-d theory is compared
on every row, exact simulation (published settings, mean signal spectrum, float32) on cells spread over the log.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from rich.console import Console
from rich.table import Table

import lindyn as ld
from lindyn.parametrizations import exponents
from lindyn.prediction import predict
from lindyn.spectra import mean_signal_spectrum

DIM, RANK = 200, 5


def main() -> None:
    """Print mean absolute differences, of train and test error, small and large start apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log")
    parser.add_argument("--cells", type=int, default=20, help="cells to simulate exactly")
    parser.add_argument("--draws", type=int, default=1, help="task draws of each")
    options = parser.parse_args()
    log = np.genfromtxt(options.log, delimiter=",", names=True)
    keys = np.stack([log["variance_exponent"], log["width_exponent"]], axis=1)
    cells = np.unique(keys, axis=0)
    table = Table("source", "cells", "rows", "σ⁴w", "test error", "test, relative", "train error", "seconds")

    def report(
        source: str, chosen: np.ndarray, curves: dict[tuple[float, float], ld.Trajectory], seconds: float
    ) -> None:
        for name, large in (("< 0.1", False), ("≥ 0.1", True)):
            test, relative, train, count = [], [], [], 0
            for cell in chosen:
                if (DIM ** (2 * cell[0] + cell[1]) >= 0.1) != large:
                    continue
                count += 1
                rows = log[(keys == cell).all(axis=1)]
                run = curves[tuple(cell)]
                at = np.searchsorted(run.step, rows["step"])
                gap = np.abs(run["test_error"][at] - rows["test_error"])
                test.extend(gap)
                relative.extend(gap / rows["test_error"])
                train.extend(np.abs(run["train_error"][at] - rows["train_error"]))
            if count:
                table.add_row(
                    source,
                    str(count),
                    str(len(test)),
                    name,
                    f"{np.mean(test):.4f}",
                    f"{np.mean(relative):.4f}",
                    f"{np.mean(train):.4f}",
                    f"{seconds:.1f}",
                )

    started = time.perf_counter()
    predicted = {
        tuple(c): predict(DIM, exponents(DIM, variance_exponent=c[0], width_exponent=c[1]), rank=RANK) for c in cells
    }
    report("theory", cells, predicted, time.perf_counter() - started)

    spread = cells[np.linspace(0, len(cells) - 1, min(options.cells, len(cells))).round().astype(int)]
    spectrum = mean_signal_spectrum(DIM, RANK)
    for draw in range(options.draws):
        started = time.perf_counter()
        task = ld.SpikedMatrix(dim=DIM, singular_values=spectrum, key=draw, dtype=np.float32)
        simulated = {}
        for number, cell in enumerate(spread):
            steps = log[(keys == cell).all(axis=1)]["step"].astype(int)
            net = ld.TwoLayer.exponents(DIM, *cell, key=1000 * draw + number, dtype=np.float32)
            method = ld.GradientDescent(steps=int(steps[-1]), order="sequential")
            simulated[tuple(cell)] = ld.simulate(
                net, task, method, save_every=list(steps), observables=["train_error", "test_error"]
            )
        report(f"exact, draw {draw}", spread, simulated, time.perf_counter() - started)
    table.caption = "mean absolute difference from the logged errors"
    Console().print(table)


if __name__ == "__main__":
    main()
