"""The published stopping rules (theory section 4), inside JAX: for one run or for arrays of runs, entry by entry."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

TRAIN_GOAL, FALLEN, STALL, RISES = 1e-3, 1e-2, 2e-4, 2


class Watch(NamedTuple):
    """What the rules need to know of a run, and its best point so far."""

    first_train: Any
    last_train: Any
    last_test: Any
    rises: Any
    best_test: Any
    best_step: Any
    last_step: Any
    running: Any


def begin(train: Any, test: Any) -> Watch:
    """Start to watch runs by their errors at step 0."""
    zero = jnp.zeros(jnp.shape(train), jnp.int32)
    return Watch(train, train, test, zero, test, zero, zero, jnp.isfinite(train) & (train >= TRAIN_GOAL))


def note(watch: Watch, step: Any, train: Any, test: Any) -> tuple[Watch, Any]:
    """Take note of the errors after a step, of the runs that have not stopped before.

    A run stops when the train error is below 10⁻³, when the test error has risen twice in a row, or when the train
    error changes by less than 2·10⁻⁴ in a step after it has fallen by more than 10⁻² in all. It also stops when it
    diverges.

    Returns:
        The new watch, and whether this step is the best so far.

    References:
        theory section 4, published settings.
    """
    rises = jnp.where(test > watch.last_test, watch.rises + 1, 0)
    better = watch.running & (test < watch.best_test)
    stalled = (jnp.abs(watch.last_train - train) < STALL) & (watch.first_train - train > FALLEN)
    stop = (train < TRAIN_GOAL) | (rises >= RISES) | stalled | ~jnp.isfinite(train)
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
