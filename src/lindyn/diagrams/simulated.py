"""Simulated cells: exact gradient descent with the published stopping rules, in lanes of one compiled loop.

A lane is one start of one shape; widths share a shape when they are padded with zero columns, which stay zero (theory
1.4). Beside the network runs the same descent from an exact start of the mixed dynamics (2.4) at the same A(0): the
formula, with the same discretisation, so that the distance between the two is that of the dynamics alone. A lane that
has stopped is given the next cell, so that no cell costs more than its own steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lindyn.diagrams.stopping import Watch, begin, note
from lindyn.methods.layer_updates import Carry, UpdateInTurn, product

PUBLISHED_STEP = UpdateInTurn()  # plain descent, in the order of the published code
_SEGMENT = 50  # steps between two looks at which lanes have stopped, where there are several


class Cell(NamedTuple):
    """Start of one cell: learning rate, layers (w1ᵀ, w2) of the network and of the formula's start."""

    rate: Any
    network: tuple[Any, ...]
    twin: tuple[Any, ...]


class Outcome(NamedTuple):
    """Result of one cell: the last watch and the best matrix of the network, of its twin if followed, the distance."""

    watch: Watch
    best: np.ndarray
    twin_watch: Watch | None
    twin_best: np.ndarray | None
    distance: float


class Unwatched(NamedTuple):
    """A descent that goes on as long as another one beside it."""

    carry: Carry
    matrix: Any

    @classmethod
    def enter(cls, layers: tuple[Any, Any]) -> Self:
        """Begin at a start (w1ᵀ, w2)."""
        return cls(PUBLISHED_STEP.begin(layers), product(layers))

    def moved(self, task: Any, step: Any, rate: Any, unit: Any) -> Unwatched:
        """Make one step."""
        del step, unit
        carry = PUBLISHED_STEP.apply(self.carry, task.gradient(self.matrix), rate)
        return Unwatched(carry, product(carry.layers))

    @property
    def running(self) -> Any:
        """Whether this descent asks for another step."""
        return jnp.zeros((), bool)


class Watched(NamedTuple):
    """A descent that the published rules stop, and its best matrix so far."""

    descent: Unwatched
    watch: Watch
    best: Any

    @classmethod
    def enter(cls, task: Any, layers: tuple[Any, Any], unit: Any) -> Self:
        """Begin at a start (w1ᵀ, w2)."""
        descent = Unwatched.enter(layers)
        watch = begin(task.train_error(descent.matrix), task.test_error(descent.matrix), unit)
        return cls(descent, watch, descent.matrix)

    def moved(self, task: Any, step: Any, rate: Any, unit: Any) -> Watched:
        """Make one step, and watch it."""
        descent = self.descent.moved(task, step, rate, unit)
        matrix = descent.matrix
        watch, better = note(self.watch, step, task.train_error(matrix), task.test_error(matrix), unit)
        return Watched(descent, watch, jnp.where(better, matrix, self.best))

    @property
    def matrix(self) -> Any:
        """A."""
        return self.descent.matrix

    @property
    def running(self) -> Any:
        """Whether the rules let it go on."""
        return self.watch.running


class _Lane(NamedTuple):
    rate: Any
    step: Any
    network: Watched
    twin: Watched | Unwatched
    distance: Any

    @property
    def running(self) -> Any:
        """Whether the network has steps to make, or its twin if that is followed to its own end."""
        return self.network.running | self.twin.running


@partial(jax.jit, static_argnames="follow_twin")
def _start(task: Any, cell: Cell, unit: Any, follow_twin: bool) -> _Lane:
    network = Watched.enter(task, cell.network, unit)
    twin = Watched.enter(task, cell.twin, unit) if follow_twin else Unwatched.enter(cell.twin)
    return _Lane(cell.rate, jnp.zeros((), jnp.int32), network, twin, jnp.zeros((), network.matrix.dtype))


@jax.jit
def _advance(task: Any, lanes: _Lane, unit: Any, steps: Any, count: Any) -> tuple[_Lane, Any]:
    """Make up to `count` steps of every lane; return the lanes and which of them have to go on."""

    def one(lane: _Lane) -> tuple[_Lane, Any]:
        until = jnp.minimum(lane.step + count, steps)

        def body(lane: _Lane) -> _Lane:
            step = lane.step + 1
            network = lane.network.moved(task, step, lane.rate, unit)
            twin = lane.twin.moved(task, step, lane.rate, unit)
            apart = jnp.where(lane.network.running, jnp.mean((network.matrix - twin.matrix) ** 2), 0)
            return _Lane(lane.rate, step, network, twin, jnp.maximum(lane.distance, apart))

        lane = lax.while_loop(lambda x: x.running & (x.step < until), body, lane)
        return lane, lane.running & (lane.step < steps)

    if lanes.step.shape == (1,):  # a batch of one product is slower than the product
        alone = one(jax.tree.map(lambda x: x[0], lanes))
        out: tuple[_Lane, Any] = jax.tree.map(lambda x: x[None], alone)
        return out
    return jax.vmap(one)(lanes)


@partial(jax.jit, static_argnames="lanes")
def _filled(lane: _Lane, lanes: int) -> _Lane:
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (lanes, *x.shape)), lane)


@jax.jit
def _replace(lanes: _Lane, number: Any, lane: _Lane) -> _Lane:
    return jax.tree.map(lambda many, new: many.at[number].set(new), lanes, lane)


def run_cells(
    task: Any, cells: Iterable[Cell], *, steps: int, lanes: int = 1, follow_twin: bool = False, unit: float = 1.0
) -> Iterator[tuple[int, Outcome]]:
    """Descend from every start until the stopping rules or `steps` end it.

    Args:
        task: the task, on the device.
        cells: starts of one shape and dtype, drawn when a lane is free.
        steps: largest number of steps of a cell.
        lanes: cells that run side by side.
        follow_twin: follow the formula to its own end too; else only while the network runs.
        unit: square of the signal's scale, in which the thresholds of the stopping rules are measured.

    Yields:
        Number and outcome of every cell, as they end; the distance is the largest ‖A − A_formula‖_F²/(d_out d_in)
        while the network runs.
    """
    waiting = enumerate(cells)
    count = jnp.asarray(_SEGMENT if lanes > 1 else steps, jnp.int32)
    limit = jnp.asarray(steps, jnp.int32)
    size = jnp.asarray(unit, task.dtype)
    occupied: dict[int, int] = {}
    state: _Lane | None = None
    free = list(range(lanes))
    while True:
        for lane, (number, cell) in zip(list(free), waiting, strict=False):
            start = _start(task, jax.tree.map(jnp.asarray, cell), size, follow_twin)
            state = _filled(start, lanes) if state is None else _replace(state, lane, start)
            occupied[lane] = number
            free.remove(lane)
        if state is None or not occupied:
            return
        state, goes_on = _advance(task, state, size, limit, count)
        ended = [lane for lane in occupied if not goes_on[lane]]
        for lane in ended:
            yield occupied.pop(lane), _outcome(state, lane)
            free.append(lane)


@jax.jit
def _ended(lanes: _Lane, number: Any) -> Outcome:
    lane = jax.tree.map(lambda x: x[number], lanes)
    twin = lane.twin if isinstance(lane.twin, Watched) else None
    return Outcome(
        watch=lane.network.watch,
        best=lane.network.best,
        twin_watch=None if twin is None else twin.watch,
        twin_best=None if twin is None else twin.best,
        distance=lane.distance,
    )


def _outcome(lanes: _Lane, number: int) -> Outcome:
    here: Outcome = jax.tree.map(np.asarray, _ended(lanes, jnp.asarray(number)))
    return here._replace(distance=float(here.distance))
