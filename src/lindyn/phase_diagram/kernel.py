"""The inner loop of a simulated cell: exact gradient descent with the published stopping rules, compiled once a shape.

One cell is one start of one shape; every width fits, because narrower factors are padded with zero columns, which
stay zero (theory 1.4). Beside the network runs, if wanted, the same descent from the exact start of the mixed
dynamics (2.4) at the same A(0): the formula, with the same discretisation, so that the distance between the two is
that of the dynamics alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lindyn.engines import Carry, Descent, descent_step, init_rule
from lindyn.phase_diagram.stopping import FALLEN, RISES, STALL, TRAIN_GOAL
from lindyn.rules import momentum_rule

PUBLISHED_STEP = Descent(momentum_rule(0.0, False, 0.0, None), "sequential", False, None)


class Watch(NamedTuple):
    """What is followed along one descent: errors, their history as the stopping rules need it, and the best state."""

    first_train: Any
    last_train: Any
    last_test: Any
    rises: Any
    best_test: Any
    best_step: Any
    best_matrix: Any
    last_step: Any
    running: Any


class Outcome(NamedTuple):
    """Result of one descent."""

    min_test_error: Any
    steps_to_min: Any
    last_step: Any
    train_error: Any
    singular_values: Any


def _begin(task: Any, matrix: Any) -> Watch:
    train, test = task.train_error(matrix), task.test_error(matrix)
    zero = jnp.zeros((), jnp.int32)
    fine = jnp.isfinite(train) & (train >= TRAIN_GOAL)
    return Watch(train, train, test, zero, test, zero, matrix, zero, fine)


def _note(task: Any, matrix: Any, step: Any, watch: Watch) -> Watch:
    """Take note of the state after a step, unless this descent has stopped before."""
    train, test = task.train_error(matrix), task.test_error(matrix)
    rises = jnp.where(test > watch.last_test, watch.rises + 1, 0)
    better = test < watch.best_test
    stalled = (jnp.abs(watch.last_train - train) < STALL) & (watch.first_train - train > FALLEN)
    stop = (train < TRAIN_GOAL) | (rises >= RISES) | stalled | ~jnp.isfinite(train)
    now = Watch(
        watch.first_train,
        train,
        test,
        rises,
        jnp.where(better, test, watch.best_test),
        jnp.where(better, step, watch.best_step),
        jnp.where(better, matrix, watch.best_matrix),
        step,
        ~stop,
    )
    return jax.tree.map(lambda new, old: jnp.where(watch.running, new, old), now, watch)


class _Loop(NamedTuple):
    step: Any
    network: Carry
    formula: Carry | None
    watch: Watch
    formula_watch: Watch | None
    distance: Any


def _matrix(carry: Carry) -> Any:
    return carry.w2_t.T @ carry.w1


def _carry(w1: Any, w2_t: Any) -> Carry:
    return Carry(w1, w2_t, init_rule(PUBLISHED_STEP, w1, w2_t), jnp.zeros((), jnp.int32))


def run_cell(task: Any, network: Any, formula: Any, rate: Any, steps: Any) -> tuple[Outcome, Outcome | None, Any]:
    """Descend from one start until the stopping rules or `steps` end it, inside JAX.

    Args:
        task: the task, on the device.
        network: layers (w1, w2ᵀ) of the network, both (r, d).
        formula: layers of the exact start of the mixed dynamics at the same A(0), or None.
        rate: learning rate.
        steps: largest number of steps.

    Returns:
        Outcomes of network and formula (None without one), and the largest ‖A − A_formula‖_F²/(d_out d_in) while
        the network runs (NaN without one).
    """

    def go_on(loop: _Loop) -> Any:
        running = loop.watch.running
        if loop.formula_watch is not None:
            running |= loop.formula_watch.running
        return running & (loop.step < steps)

    def body(loop: _Loop) -> _Loop:
        step = loop.step + 1
        network = descent_step(task, loop.network, rate, None, None, PUBLISHED_STEP)
        matrix = _matrix(network)
        watch = _note(task, matrix, step, loop.watch)
        if loop.formula is None or loop.formula_watch is None:
            return _Loop(step, network, None, watch, None, loop.distance)
        twin = descent_step(task, loop.formula, rate, None, None, PUBLISHED_STEP)
        other = _matrix(twin)
        apart = jnp.where(loop.watch.running, jnp.mean((matrix - other) ** 2), 0)
        return _Loop(
            step,
            network,
            twin,
            watch,
            _note(task, other, step, loop.formula_watch),
            jnp.maximum(loop.distance, apart),
        )

    start = _carry(*network)
    twin = None if formula is None else _carry(*formula)
    first = _Loop(
        jnp.zeros((), jnp.int32),
        start,
        twin,
        _begin(task, _matrix(start)),
        None if twin is None else _begin(task, _matrix(twin)),
        jnp.zeros((), start.w1.dtype) if twin is not None else jnp.full((), jnp.nan, start.w1.dtype),
    )
    end = lax.while_loop(go_on, body, first)
    return _outcome(end.watch), None if end.formula_watch is None else _outcome(end.formula_watch), end.distance


def _outcome(watch: Watch) -> Outcome:
    values = jnp.linalg.svd(watch.best_matrix, compute_uv=False)
    return Outcome(watch.best_test, watch.best_step, watch.last_step, watch.last_train, values)


@jax.jit
def run_batch(task: Any, networks: Any, formulas: Any, rates: Any, steps: Any) -> Any:
    """Run cells of one shape, stacked along the first axis: each ends when it has stopped, and then costs nothing.

    On a CPU cells run one after the other, each product on all cores, which is as fast as a batched product there and
    lets every cell stop by itself.
    """
    return lax.map(lambda cell: run_cell(task, cell[0], cell[1], cell[2], steps), (networks, formulas, rates))
