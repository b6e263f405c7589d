"""The published stopping rules (theory section 4), inside JAX: for one run or for arrays of runs, entry by entry.

The published thresholds are errors per entry of a task whose signal has the scale 1. They are measured in `unit`, the
square of the signal's scale, so that a task in other units stops at the same steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

TRAIN_GOAL, FALLEN, STALL, RISES = 1e-3, 1e-2, 2e-4, 2


class Watch(NamedTuple):
    """What the rules need to know of a run, and its best point so far; `running` at the end: the steps ran out."""

    first_train: Any
    last_train: Any
    last_test: Any
    rises: Any
    best_test: Any
    best_step: Any
    last_step: Any
    running: Any


def begin(train: Any, test: Any, unit: Any) -> Watch:
    """Start to watch runs by their errors at step 0."""
    zero = jnp.zeros(jnp.shape(train), jnp.int32)
    return Watch(train, train, test, zero, test, zero, zero, jnp.isfinite(train) & (train >= TRAIN_GOAL * unit))


def note(watch: Watch, step: Any, train: Any, test: Any, unit: Any) -> tuple[Watch, Any]:
    """Update the watch with the errors after one step. Runs that have stopped are left unchanged.

    A run stops when the train error is below 10⁻³u, when the test error has risen twice in a row, or when the train
    error changes by less than 2·10⁻⁴u in a step after it has fallen by more than 10⁻²u in all; u is the unit. It also
    stops when it diverges.

    Returns:
        The new watch, and whether this step is the best so far.

    References:
        theory section 4, published settings.
    """
    rises = jnp.where(test > watch.last_test, watch.rises + 1, 0)
    better = watch.running & (test < watch.best_test)
    stalled = (jnp.abs(watch.last_train - train) < STALL * unit) & (watch.first_train - train > FALLEN * unit)
    stop = (train < TRAIN_GOAL * unit) | (rises >= RISES) | stalled | ~jnp.isfinite(train)
    now = Watch(
        watch.first_train,
        train,
        test,
        rises,
        jnp.where(better, test, watch.best_test),
        jnp.where(better, step, watch.best_step),
        jnp.broadcast_to(step, jnp.shape(train)),
        ~stop,
    )
    return jax.tree.map(lambda new, old: jnp.where(watch.running, new, old), now, watch), better
