"""A run: drives an engine from record to record, and loses nothing when it diverges, stops or is interrupted."""

from __future__ import annotations

import math
import time as clock
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from lindyn.methods.engine import Engine, Snapshot, StoppedError, View
from lindyn.methods.method import Problem
from lindyn.networks.network import Network
from lindyn.simulation.observables import Observable, State
from lindyn.simulation.trajectory import Trajectory, Variable
from lindyn.support import checks
from lindyn.support.memory import require_memory
from lindyn.support.programs import CompileTime, counting_compilation, run_compiled
from lindyn.support.progress import Progress

# a cost this many times its first value has left every basin: the run has diverged
_BLOW_UP = 1e8


def _observe(
    task: Any, view: View, snapshot: Snapshot, start: Snapshot, time: Any, aligned: dict[int, Any], functions: Any
) -> tuple[list[Any], Any]:
    """Evaluate the observables, and the cost, by which the run sees a divergence."""

    def state_of(shown: Snapshot, at: Any, first: State | None, reference: Any = None) -> State:
        kernel = view.kernel_terms(shown, at)
        return State(shown.matrix, shown.layers, kernel, at, view.threshold_at(at), task, first, reference)

    first = state_of(start, jnp.zeros_like(time), None)
    values = [_value(f, state_of(snapshot, time, first, aligned.get(number))) for number, f in enumerate(functions)]
    return values, task.cost(snapshot.matrix)


def _value(function: Any, state: State) -> Any:
    """Return what a function makes of the state; what is wrong with a user's own is said in a sentence."""
    try:
        return jnp.asarray(function(state))
    except checks.InvalidArgument:
        raise
    except Exception as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise checks.InvalidArgument(
            "observables",
            "be functions from a State to an array, written with jax.numpy",
            f"{checks.shown(name)} raises {type(error).__name__}: {checks.one_line(error)}",
        ) from error


def _cost(task: Any, matrix: Any) -> Any:
    return task.cost(matrix)


@dataclass(eq=False)
class Run:
    """The records of an engine, as they are made.

    Attributes:
        engine: what moves.
        problem: what was asked for.
        observables: what to record.
    """

    engine: Engine
    problem: Problem
    observables: tuple[Observable, ...]
    records: list[list[np.ndarray]] = field(default_factory=list)
    status: str = "completed"
    last: Snapshot | None = None

    def drive(self, progress: bool | None) -> Trajectory:
        """Go through all records; divergence, a failing solver or an interruption end the run, not the data."""
        started = clock.perf_counter()
        with counting_compilation() as compiled:
            start = self.last = self.engine.begin()
            limit = self._limit(start.matrix)
            count = len(self.engine.times)
            with Progress(self.engine.info.dynamics, count, progress) as bar:
                try:
                    for k in range(count):
                        if not self._record(k, start, limit):
                            break
                        bar.update(k + 1)
                except KeyboardInterrupt:
                    if not self.records:
                        raise
                    self.status = f"interrupted after record {len(self.records)} of {count}"
                except StoppedError as error:
                    self.status = f"stopped after record {len(self.records)} of {count}: {error}"
        return self._trajectory(compiled, clock.perf_counter() - started)

    def _record(self, k: int, start: Snapshot, limit: float) -> bool:
        """Go on to record k and keep it; False where the run has diverged."""
        snapshot = self.engine.advance(k)
        values, height = self._observed(snapshot, start, float(self.engine.times[k]))
        if not (math.isfinite(height) and height < limit):
            self.status = self._divergence(k, height, limit)
            return False
        if k == 0:
            per_record = sum(v.size * v.dtype.itemsize for v in values)
            needed = 2.0 * per_record * len(self.engine.times)
            require_memory("save_every", len(self.engine.times), needed, "that many records of the observables")
        self.records.append([np.asarray(v) for v in values])
        self.last = snapshot
        return True

    def _observed(self, snapshot: Snapshot, start: Snapshot, time: float) -> tuple[list[Any], float]:
        dtype = self.problem.dtype
        references = {k: o.align(time) for k, o in enumerate(self.observables) if o.align is not None}
        values, cost = run_compiled(
            _observe,
            self.problem.device_task,
            self.engine.view,
            snapshot,
            start,
            jnp.asarray(time, dtype),
            {k: jnp.asarray(reference, dtype) for k, reference in references.items()},
            tuple(o.function for o in self.observables),
        )
        return values, float(cost)

    def _cost_at(self, matrix: Any) -> float:
        return float(run_compiled(_cost, self.problem.device_task, matrix))

    def _limit(self, start: Any) -> float:
        """Cost beyond which a run has diverged, from the costs of its start and of zero."""
        first, zero = self._cost_at(start), self._cost_at(jnp.zeros_like(start))
        if not math.isfinite(first):
            raise checks.InvalidArgument("system", "start from a finite cost", f"the cost of its start is {first}")
        return _BLOW_UP * max(abs(first), abs(zero), float(np.finfo(start.dtype).tiny))

    def _divergence(self, k: int, height: float, limit: float) -> str:
        def is_bad(matrix: Any) -> bool:
            cost = self._cost_at(matrix)
            return not (math.isfinite(cost) and cost < limit)

        step = self.engine.first_bad_step(is_bad)
        where = f"before time {self.engine.times[k]:.6g}" if step is None else f"at step {step}"
        return f"diverged {where}: the cost reached {height:.3g}, over {limit:.3g}; lower the learning rate"

    def _trajectory(self, compiled: CompileTime, seconds: float) -> Trajectory:
        if not self.records:
            raise checks.InvalidArgument(
                "save_every" if "diverged" in self.status else "times",
                "ask for a record that is reached",
                f"the run ended before its first one: it {self.status}",
            )
        running = max(seconds - compiled.seconds, 0.0)
        info = replace(self.engine.info, status=self.status, seconds_compile=compiled.seconds, seconds_run=running)
        series = zip(self.observables, zip(*self.records, strict=True), strict=True)
        data = {o.name: np.stack(values) for o, values in series}
        variables = {o.name: Variable(_dims(o, data[o.name]), o.description, o.unit) for o in self.observables}
        kept = slice(len(self.records))
        return Trajectory(self.engine.times[kept], self.engine.steps[kept], data, variables, info, self._final())

    def _final(self) -> Network | np.ndarray:
        """The network after training, with all its layers, or the matrix."""
        assert self.last is not None
        if self.problem.network is None or self.last.layers is None:
            return np.asarray(self.last.matrix)
        return self.problem.network.trained(tuple(np.asarray(layer) for layer in self.last.layers))


def _dims(observable: Observable, values: np.ndarray) -> tuple[str, ...]:
    """The declared dimensions, or made-up names for a plain function that returns an array."""
    if values.ndim - 1 == len(observable.dims):
        return observable.dims
    return tuple(f"{observable.name}_{i}" for i in range(values.ndim - 1))
