"""Simulated cells: exact gradient descent with the published stopping rules, in lanes of one compiled loop.

A lane is one start of one shape; widths share a shape when they are padded with zero columns, which stay zero (theory
1.4). Beside the network runs the same descent from an exact start of the mixed dynamics (2.4) at the same A(0): the
formula, with the same discretisation, so that the distance between the two is that of the dynamics alone. A lane that
has stopped is given the next cell, so that no cell costs more than its own steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lindyn.diagrams.stopping import Watch, begin, note
from lindyn.methods.layer_updates import Carry, UpdateInTurn, product

PUBLISHED_STEP = UpdateInTurn()  # plain descent, in the order of the published code
_SEGMENT = 50  # steps between two looks at which lanes have stopped, where there are several


class Cell(NamedTuple):
    """Start of one cell: learning rate, layers (w1, w2ᵀ) of the network and of the formula's start."""

    rate: Any
    network: tuple[Any, Any]
    twin: tuple[Any, Any]


class Outcome(NamedTuple):
    """Result of one cell: the last watch and the best matrix of the network, of its twin if followed, the distance."""

    watch: Watch
    best: np.ndarray
    twin_watch: Watch | None
    twin_best: np.ndarray | None
    distance: float


class _Run(NamedTuple):
    carry: Carry
    matrix: Any
    watch: Watch | None
    best: Any


class _Lane(NamedTuple):
    rate: Any
    step: Any
    network: _Run
    twin: _Run
    distance: Any

    @property
    def running(self) -> Any:
        """Whether the network has steps to make, or its twin if that is followed to its own end."""
        assert self.network.watch is not None
        running = self.network.watch.running
        return running if self.twin.watch is None else running | self.twin.watch.running


def _enter(task: Any, layers: tuple[Any, Any], followed: bool) -> _Run:
    matrix = product(layers)
    watch = begin(task.train_error(matrix), task.test_error(matrix)) if followed else None
    return _Run(PUBLISHED_STEP.begin(layers), matrix, watch, matrix if followed else None)


def _move(task: Any, run: _Run, step: Any, rate: Any) -> _Run:
    carry = PUBLISHED_STEP.apply(run.carry, task.gradient(run.matrix), rate)
    matrix = product(carry.layers)
    if run.watch is None:
        return _Run(carry, matrix, None, None)
    watch, better = note(run.watch, step, task.train_error(matrix), task.test_error(matrix))
    return _Run(carry, matrix, watch, jnp.where(better, matrix, run.best))


@partial(jax.jit, static_argnames="follow_twin")
def _start(task: Any, cell: Cell, follow_twin: bool) -> _Lane:
    network, twin = _enter(task, cell.network, True), _enter(task, cell.twin, follow_twin)
    return _Lane(cell.rate, jnp.zeros((), jnp.int32), network, twin, jnp.zeros((), network.matrix.dtype))


@jax.jit
def _advance(task: Any, lanes: _Lane, steps: Any, count: Any) -> tuple[_Lane, Any]:
    """Make up to `count` steps of every lane; return the lanes and which of them have to go on."""

    def one(lane: _Lane) -> tuple[_Lane, Any]:
        until = jnp.minimum(lane.step + count, steps)

        def body(lane: _Lane) -> _Lane:
            step = lane.step + 1
            network, twin = (_move(task, run, step, lane.rate) for run in (lane.network, lane.twin))
            assert lane.network.watch is not None
            apart = jnp.where(lane.network.watch.running, jnp.mean((network.matrix - twin.matrix) ** 2), 0)
            return _Lane(lane.rate, step, network, twin, jnp.maximum(lane.distance, apart))

        lane = lax.while_loop(lambda x: x.running & (x.step < until), body, lane)
        return lane, lane.running & (lane.step < steps)

    return jax.vmap(one)(lanes)


@jax.jit
def _replace(lanes: _Lane, number: Any, lane: _Lane) -> _Lane:
    return jax.tree.map(lambda many, new: many.at[number].set(new), lanes, lane)


def run_cells(
    task: Any, cells: Iterable[Cell], *, steps: int, lanes: int = 1, follow_twin: bool = False
) -> Iterator[tuple[int, Outcome]]:
    """Descend from every start until the stopping rules or `steps` end it.

    Args:
        task: the task, on the device.
        cells: starts of one shape and dtype, drawn when a lane is free.
        steps: largest number of steps of a cell.
        lanes: cells that run side by side.
        follow_twin: follow the formula to its own end too; else only while the network runs.

    Yields:
        Number and outcome of every cell, as they end; the distance is the largest ‖A − A_formula‖_F²/(d_out d_in)
        while the network runs.
    """
    waiting = enumerate(cells)
    count = jnp.asarray(_SEGMENT if lanes > 1 else steps, jnp.int32)
    limit = jnp.asarray(steps, jnp.int32)
    occupied: dict[int, int] = {}
    state: _Lane | None = None
    free = list(range(lanes))
    while True:
        for lane, (number, cell) in zip(list(free), waiting, strict=False):
            start = _start(task, jax.tree.map(jnp.asarray, cell), follow_twin)
            if state is None:
                state = jax.tree.map(lambda x: jnp.stack([x] * lanes), start)
            else:
                state = _replace(state, lane, start)
            occupied[lane] = number
            free.remove(lane)
        if state is None or not occupied:
            return
        state, goes_on = _advance(task, state, limit, count)
        ended = [lane for lane in occupied if not goes_on[lane]]
        for lane in ended:
            yield occupied.pop(lane), _outcome(state, lane)
            free.append(lane)


def _outcome(lanes: _Lane, number: int) -> Outcome:
    lane = jax.tree.map(lambda x: np.asarray(x[number]), (lanes.network[2:], lanes.twin[2:], lanes.distance))
    (watch, best), (twin_watch, twin_best), distance = lane
    return Outcome(watch, best, twin_watch, twin_best, float(distance))
