"""Which steps of a run are recorded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lindyn.support import checks
from lindyn.support.memory import require_memory

_BYTES_PER_RECORD = 64  # step, time and a few numbers, twice


def save_steps(steps: int, save_every: int | Sequence[int]) -> np.ndarray:
    """Return the steps to record, the last one among them.

    Examples:
        >>> save_steps(5, 2).tolist(), save_steps(5, [1, 4]).tolist()
        ([0, 2, 4, 5], [1, 4])
    """
    if isinstance(save_every, int | np.integer):
        every = checks.integer("save_every", save_every, at_least=1)
        count = steps // every + 2
        told = f"the records of {count:,} steps"
        require_memory("steps", steps, _BYTES_PER_RECORD * float(count), told, "record fewer with `save_every`")
        return np.unique(np.append(np.arange(0, steps + 1, every), steps))
    chosen = checks.numbers("save_every", save_every)
    if chosen.ndim != 1 or chosen.size == 0 or not np.issubdtype(chosen.dtype, np.integer):
        raise checks.InvalidArgument(
            "save_every", "be a whole number or a list of steps", f"it is {checks.shown(save_every)}"
        )
    if np.any(np.diff(chosen) <= 0) or chosen[0] < 0 or chosen[-1] > steps:
        raise checks.InvalidArgument(
            "save_every", f"list increasing steps from 0 to {steps}", f"it runs from {chosen[0]} to {chosen[-1]}"
        )
    return chosen
