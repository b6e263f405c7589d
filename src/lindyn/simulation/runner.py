"""The runner: drives an engine from record to record, and loses nothing when it diverges, stops or is interrupted."""

from __future__ import annotations

import math
import time as clock
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lindyn.dynamics import AbstractDynamics, Mixed
from lindyn.methods.engines import Engine, Snapshot, StoppedError
from lindyn.networks.network import require_memory
from lindyn.networks.two_layer import TwoLayer
from lindyn.simulation.observables import Observable, State
from lindyn.simulation.trajectory import Trajectory, Variable
from lindyn.support import checks
from lindyn.support.progress import Progress
from lindyn.support.provenance import Provenance


@eqx.filter_jit
def _observe(
    task: Any,
    snapshot: Snapshot,
    start: Snapshot,
    time: Any,
    tau: Any,
    decay: Any,
    aligned: dict[str, Any],
    observables: tuple[Observable, ...],
    kind: type[AbstractDynamics] | None,
) -> tuple[dict[str, Any], Any]:
    """Evaluate the observables, and the cost, by which the runner sees a divergence."""

    def state_of(arrays: Snapshot, at: Any, first: State | None, reference: Any = None) -> State:
        tau_then = tau * jnp.exp(-2 * decay * at)
        if kind is None:
            grams = arrays.w1.T @ arrays.w1, arrays.w2 @ arrays.w2.T
        else:
            grams = kind.grams(arrays.matrix, tau_then)
        return State(*arrays, *grams, at, tau_then, task, first, reference)

    first = state_of(start, jnp.zeros_like(time), None)
    values = {o.name: o.function(state_of(snapshot, time, first, aligned.get(o.name))) for o in observables}
    return jax.tree.map(jnp.asarray, values), task.cost(snapshot.matrix)


@eqx.filter_jit
def _cost(task: Any, matrix: Any) -> Any:
    return task.cost(matrix)


# a cost this many times its first value has left every basin: the run has diverged
_BLOW_UP = 1e8

_compile_seconds = [0.0]


def _count_compilation(event: str, duration_secs: float, **_: str | int) -> None:
    if event.startswith("/jax/core/compile"):
        _compile_seconds[0] += duration_secs


jax.monitoring.register_event_duration_secs_listener(_count_compilation)


def run(
    engine: Engine,
    system: TwoLayer | AbstractDynamics,
    task: Any,
    observables: tuple[Observable, ...],
    info: Provenance,
    progress: bool | None,
) -> Trajectory:
    """Drive `engine` through its records; divergence, a failing solver or an interruption end the run, not the data."""
    dtype = np.dtype(info.dtype)
    kind = None if engine.has_layers else Mixed if isinstance(system, TwoLayer) else type(system)
    tau, decay = (jnp.asarray(v, dtype) for v in (system.threshold, info.weight_decay))
    count = len(engine.times)
    records: list[dict[str, np.ndarray]] = []
    status = "completed"
    started, compiled = clock.perf_counter(), _compile_seconds[0]
    start = good = engine.begin()
    limit = _limit(task, start.matrix)
    with Progress(info.dynamics, count, progress) as bar:
        try:
            for k in range(count):
                snapshot = engine.advance(k)
                time = float(engine.times[k])
                aligned = {o.name: jnp.asarray(o.align(time), dtype) for o in observables if o.align is not None}
                values, cost = _observe(
                    task, snapshot, start, jnp.asarray(time, dtype), tau, decay, aligned, observables, kind
                )
                height = float(cost)
                if not (math.isfinite(height) and height < limit):
                    status = _divergence(engine, task, time, height, limit)
                    break
                if k == 0:
                    _check_memory(values, count)
                records.append({name: np.asarray(v) for name, v in values.items()})
                good = snapshot
                bar.update(k + 1)
        except KeyboardInterrupt:
            if not records:
                raise
            status = f"interrupted after record {len(records)} of {count}"
        except StoppedError as error:
            status = f"stopped after record {len(records)} of {count}: {error}"
    seconds, compiled = clock.perf_counter() - started, _compile_seconds[0] - compiled
    if not records:
        raise checks.InvalidArgument(
            "save_every" if "diverged" in status else "times",
            "ask for a record that is reached",
            f"the run ended before its first one: it {status}",
        )
    info = replace(info, status=status, seconds_compile=compiled, seconds_run=max(seconds - compiled, 0.0))
    data = {o.name: np.stack([r[o.name] for r in records]) for o in observables}
    variables = {o.name: Variable(_dims(o, data[o.name]), o.description, o.unit) for o in observables}
    kept = slice(len(records))
    return Trajectory(engine.times[kept], engine.steps[kept], data, variables, info, _final(system, good))


def _limit(task: Any, start: Any) -> float:
    """Cost beyond which a run has diverged, from the costs of its start and of zero."""
    costs = [float(_cost(task, matrix)) for matrix in (start, jnp.zeros_like(start))]
    if not math.isfinite(costs[0]):
        raise checks.InvalidArgument("system", "start from a finite cost", f"the cost of its start is {costs[0]}")
    return _BLOW_UP * max(abs(costs[0]), abs(costs[1]), float(np.finfo(start.dtype).tiny))


def _divergence(engine: Engine, task: Any, time: float, height: float, limit: float) -> str:
    def is_bad(matrix: Any) -> bool:
        cost = float(_cost(task, matrix))
        return not (math.isfinite(cost) and cost < limit)

    step = engine.first_bad_step(is_bad)
    where = f"before time {time:.6g}" if step is None else f"at step {step}"
    return f"diverged {where}: the cost reached {height:.3g}, over {limit:.3g}; lower the learning rate"


def _dims(observable: Observable, values: np.ndarray) -> tuple[str, ...]:
    """The declared dimensions, or made-up names for a plain function that returns an array."""
    if values.ndim - 1 == len(observable.dims):
        return observable.dims
    return tuple(f"{observable.name}_{i}" for i in range(values.ndim - 1))


def _final(system: TwoLayer | AbstractDynamics, state: Snapshot) -> TwoLayer | np.ndarray:
    if not isinstance(system, TwoLayer) or state.w1 is None:
        return np.asarray(state.matrix)
    return system.trained((np.asarray(state.w1), np.asarray(state.w2)))


def _check_memory(values: dict[str, Any], count: int) -> None:
    per_record = sum(v.size * v.dtype.itemsize for v in values.values())
    require_memory("save_every", count, 2.0 * per_record * count, "that many records of the observables")
