"""The published stopping rules (theory section 4), applied to error curves known at any step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

TRAIN_GOAL, FALLEN, STALL, RISES = 1e-3, 1e-2, 2e-4, 2
_CHUNK = 25


class StoppedCurves(NamedTuple):
    """Where each curve ended, and its best point before that."""

    best_test: np.ndarray
    best_step: np.ndarray
    last_step: np.ndarray
    last_train: np.ndarray


def follow(
    errors: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]], *, cells: int, steps: int
) -> StoppedCurves:
    """Follow curves step by step until each stops: the cells that have stopped are evaluated no further.

    A run stops when the train error is below 10⁻³, when the test error has risen twice in a row, or when the train
    error changes by less than 2·10⁻⁴ in a step after it has fallen by more than 10⁻² in all.

    Args:
        errors: from cell numbers (cells,) and steps (steps,) to train and test error, each (cells, steps).
        cells: number of cells.
        steps: largest number of steps.

    References:
        theory section 4, published settings.
    """
    running = np.arange(cells)
    first, test0 = (e[:, 0].copy() for e in errors(running, np.zeros(1)))
    end = StoppedCurves(test0.copy(), np.zeros(cells, int), np.zeros(cells, int), first.copy())
    last_train, last_test, rises = first.copy(), test0.copy(), np.zeros(cells, int)
    running = running[first >= TRAIN_GOAL]
    for begin in range(1, steps + 1, _CHUNK):
        if running.size == 0:
            break
        chunk = np.arange(begin, min(begin + _CHUNK, steps + 1))
        train, test = errors(running, chunk)
        alive = np.ones(running.size, bool)
        for k, step in enumerate(chunk):
            i = running[alive]
            now_train, now_test = train[alive, k], test[alive, k]
            rises[i] = np.where(now_test > last_test[i], rises[i] + 1, 0)
            better = now_test < end.best_test[i]
            end.best_test[i[better]] = now_test[better]
            end.best_step[i[better]] = step
            end.last_step[i], end.last_train[i] = step, now_train
            stalled = (np.abs(last_train[i] - now_train) < STALL) & (first[i] - now_train > FALLEN)
            stop = (now_train < TRAIN_GOAL) | (rises[i] >= RISES) | stalled
            last_train[i], last_test[i] = now_train, now_test
            alive[np.flatnonzero(alive)[stop]] = False
        running = running[alive]
    return end
