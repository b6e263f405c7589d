"""The engine behind every update rule of layers: compiled steps of a network of any depth."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lindyn.methods.engine import Snapshot, SteppedEngine, View
from lindyn.methods.layer_updates import Carry, LayerUpdate, product, turned
from lindyn.support.programs import on_device, run_compiled
from lindyn.support.provenance import Provenance


class Sampling(NamedTuple):
    """How mini-batches and label noise are drawn.

    Attributes:
        key: JAX key, from which each step takes its own.
        label_noise: standard deviation of fresh noise on the outputs.
        batch_size: samples a step, drawn without replacement; None for all samples, or those of `batches`.
        batches: sample numbers of every step, shape (steps, batch size), or None.
    """

    key: Any
    label_noise: Any
    batch_size: int | None
    batches: Any


def _gradient(task: Any, matrix: Any, step: Any, sampling: Sampling | None) -> Any:
    if sampling is None:
        return task.gradient(matrix)
    order_key, noise_key = jax.random.split(jax.random.fold_in(sampling.key, step))
    if sampling.batches is not None:
        rows = sampling.batches[step]
    elif sampling.batch_size is not None:
        rows = jax.random.choice(order_key, task.samples, (sampling.batch_size,), replace=False)
    else:
        rows = jnp.arange(task.inputs.shape[0])
    noise = sampling.label_noise * jax.random.normal(noise_key, (rows.shape[0], matrix.shape[0]), matrix.dtype)
    return task.sample_gradient(matrix, rows, noise)


def _descend(
    task: Any, carry: Carry, rate: Any, count: Any, update: LayerUpdate, sampling: Sampling | None
) -> tuple[Carry, Any]:
    def step(_: Any, carry: Carry) -> Carry:
        gradient = _gradient(task, product(carry.layers), carry.step, sampling)
        return update.apply(carry, gradient, rate)

    carry = lax.fori_loop(0, count, step, carry)
    return carry, product(carry.layers)


class LayerDescent(SteppedEngine):
    """Steps of an update of layers, from layers in their own orientation, in flow time rate·step."""

    def __init__(
        self,
        task: Any,
        layers: tuple[Any, ...],
        update: LayerUpdate,
        steps: np.ndarray,
        rate: float,
        *,
        info: Provenance,
        view: View,
        sampling: Sampling | None = None,
    ):
        dtype = np.dtype(info.dtype)
        self._task, self._update, self._sampling = task, on_device(update, dtype), sampling
        self._rate = jnp.asarray(rate, dtype)
        self.depth = len(layers)
        super().__init__(update.begin(turned(layers)), steps, rate, info, view)

    def run(self, carry: Carry, count: int) -> tuple[Carry, Snapshot]:
        """Make `count` steps in one compiled loop."""
        count_now = jnp.asarray(count, jnp.int32)
        carry, matrix = run_compiled(_descend, self._task, carry, self._rate, count_now, self._update, self._sampling)
        return carry, Snapshot(matrix, turned(carry.layers))
