"""One task after another: continual learning, reversal and transfer are the same verb.

What the layers have learned from one task they bring to the next; what the method itself remembers (momentum) begins
anew. The cost of every task is recorded all along, and from the end of its own training what has been forgotten of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from lindyn.dynamics import Dynamics
from lindyn.networks.network import Network
from lindyn.simulation.observables import Observable
from lindyn.simulation.trajectory import Trajectory, Variable
from lindyn.support import checks
from lindyn.tasks.task import Task

COSTS, FORGOTTEN, NUMBER = "task_costs", "forgetting", "task"
_THRESHOLD = "threshold at the time"


def in_turn(
    system: Any, tasks: Sequence[Task], run: Callable[[Any, Task, tuple[Observable, ...]], Trajectory]
) -> Trajectory:
    """Train on one task after another, and join the records.

    Args:
        system: a network or a dynamics of the matrix.
        tasks: in their order, all of one shape.
        run: trains a system on a task, with more observables.

    Returns:
        One trajectory, whose time and step count on; "task" numbers the task of each record, "task_costs" has the cost
        of every task, "forgetting" its rise since the end of that task's training (NaN before).

    Raises:
        InvalidArgument: no task, or tasks of different shapes.

    References:
        works (17.7), (17.8), (17.10).
    """
    _check(tasks)
    extra = (_costs(tasks), Observable(_THRESHOLD, lambda s: jnp.asarray(s.threshold)))
    parts: list[Trajectory] = []
    for task in tasks:
        part = run(system, task, extra)
        parts.append(part)
        if not part.completed or part.final is None:
            break
        system = _continued(system, part)
    return _joined(parts, tasks)


def _check(tasks: Sequence[Task]) -> None:
    if not tasks:
        raise checks.InvalidArgument("task", "hold at least one task", "the list is empty")
    for task in tasks:
        if not isinstance(task, Task):
            raise checks.InvalidArgument("task", "hold tasks, such as SpikedMatrix", f"it holds {type(task).__name__}")
        if tuple(task.shape) != tuple(tasks[0].shape):
            raise checks.InvalidArgument(
                "task", "hold tasks of one shape", f"it holds {tuple(tasks[0].shape)} and {tuple(task.shape)}"
            )


def _costs(tasks: Sequence[Task]) -> Observable:
    held = list(tasks)
    return Observable(
        COSTS,
        lambda s: jnp.stack([task.cost(s.matrix) for task in held]),
        ("task_number",),
        "cost of every task of the sequence",
        "target²",
    )


def _continued(system: Any, part: Trajectory) -> Any:
    """The system as the last task left it, its threshold with it."""
    tau = float(part[_THRESHOLD][-1])
    if isinstance(part.final, Network):
        return replace(part.final, threshold=tau)
    if isinstance(system, Dynamics):
        now = np.asarray(part.final), tau
        return eqx.tree_at(lambda d: (d.start, d.threshold), system, now, is_leaf=lambda leaf: leaf is None)
    raise checks.InvalidArgument(
        "method", "keep the layers, to go on to the next task", "it follows the matrix only", "use Flow()"
    )


def _joined(parts: list[Trajectory], tasks: Sequence[Task]) -> Trajectory:
    lengths = [len(part) for part in parts]
    starts = np.concatenate([[0.0], np.cumsum([part.time[-1] for part in parts])])
    steps = np.concatenate([[0.0], np.cumsum([part.step[-1] for part in parts])])
    names = [name for name in parts[0].data if name != _THRESHOLD]
    data = {name: np.concatenate([part.data[name] for part in parts]) for name in names}
    variables = {name: parts[0].variables[name] for name in names}
    number = np.repeat(np.arange(1, len(parts) + 1), lengths)
    data[NUMBER], variables[NUMBER] = number, Variable((), "number of the task in training", "1")
    forgotten = np.full(data[COSTS].shape, np.nan)
    for k, end in enumerate(np.cumsum(lengths)):
        forgotten[end - 1 :, k] = data[COSTS][end - 1 :, k] - data[COSTS][end - 1, k]
    label = "rise of each task's cost since the end of its training"
    data[FORGOTTEN], variables[FORGOTTEN] = forgotten, Variable(("task_number",), label, "target²")
    info = replace(
        parts[-1].info,
        task=", then ".join(type(task).__name__ for task in tasks),
        law=parts[0].info.law,
        threshold=parts[0].info.threshold,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.info.notes)),
        seconds_compile=sum(part.info.seconds_compile for part in parts),
        seconds_run=sum(part.info.seconds_run for part in parts),
        status=_status(parts, len(tasks)),
    )
    return Trajectory(
        np.concatenate([part.time + t for part, t in zip(parts, starts, strict=False)]),
        np.concatenate([part.step + n for part, n in zip(parts, steps, strict=False)]),
        data,
        variables,
        info,
        parts[-1].final,
    )


def _status(parts: list[Trajectory], count: int) -> str:
    last = parts[-1].status
    return last if last == "completed" else f"{last}, on task {len(parts)} of {count}"
