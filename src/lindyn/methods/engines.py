"""Engines: the compiled inner loops behind each method, all with one interface.

An engine holds its state on the device, advances it to the k-th record, and shows it. What to record, progress,
divergence and interruption are the runner's business (`lindyn.simulate`).
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from lindyn.dynamics import AbstractDynamics
from lindyn.solutions.mixed import MixedSolution


class StoppedError(RuntimeError):
    """The engine cannot go on; the message says why, as the end of a sentence."""


class Snapshot(NamedTuple):
    """State as arrays on the device: the matrix, and the layers if there are any."""

    matrix: Any
    w1: Any = None
    w2: Any = None


class Engine(abc.ABC):
    """Advances a motion through the records given by `steps` and `times`."""

    steps: np.ndarray
    times: np.ndarray
    has_layers = False

    @abc.abstractmethod
    def begin(self) -> Snapshot:
        """Return the state at time 0."""

    @abc.abstractmethod
    def advance(self, k: int) -> Snapshot:
        """Go on to record k (from record k − 1, or to 0 at the start) and return the state there."""

    def first_bad_step(self, is_bad: Any) -> int | None:
        """Return the step at which the last advance went bad, if the motion has steps."""
        del is_bad
        return None


class Sampling(NamedTuple):
    """How mini-batches and label noise are drawn (static)."""

    batch_size: int | None = None
    label_noise: float = 0.0
    key: int = 0


class Descent(NamedTuple):
    """Everything about a step that is fixed at compilation."""

    rule: Any
    order: str
    includes_rate: bool
    sampling: Sampling | None


class Carry(NamedTuple):
    """Layers, both with the hidden index first (the products are fastest so), the rule's state and the step."""

    w1: Any
    w2_t: Any
    rule_state: Any
    step: Any


def _gradient(task: Any, matrix: Any, step: Any, batches: Any, sampling: Sampling | None) -> Any:
    if sampling is None:
        return task.gradient(matrix)
    order_key, noise_key = jax.random.split(jax.random.fold_in(jax.random.key(sampling.key), step))
    if batches is not None:
        rows = batches[step]
    elif sampling.batch_size is not None:
        rows = jax.random.choice(order_key, task.inputs.shape[0], (sampling.batch_size,), replace=False)
    else:
        rows = jnp.arange(task.inputs.shape[0])
    noise = sampling.label_noise * jax.random.normal(noise_key, (rows.shape[0], matrix.shape[0]), matrix.dtype)
    return task.sample_gradient(matrix, rows, noise)


def _natural(tree: dict[str, Any]) -> dict[str, Any]:
    """Between hidden-first storage and the layers' own orientation, in which a user's rule sees them."""
    return {name: leaf.T if name == "w2" else leaf for name, leaf in tree.items()}


def _apply(descent: Descent, gradients: dict[str, Any], state: Any, params: dict[str, Any], rate: Any) -> Any:
    if descent.includes_rate:
        updates, state = descent.rule.update(_natural(gradients), state, _natural(params))
        return {k: params[k] + u for k, u in _natural(updates).items()}, state
    direction, state = descent.rule.update(gradients, state, params)
    return {k: params[k] - rate * direction[k] for k in params}, state


def init_rule(descent: Descent, w1: Any, w2_t: Any) -> Any:
    """Return the rule's state for both layers, or one for each where they step in turn."""
    params = {"w1": w1, "w2": w2_t}
    if descent.order == "sequential":
        return tuple(descent.rule.init({k: v}) for k, v in params.items())
    return descent.rule.init(_natural(params) if descent.includes_rate else params)


def apply_gradient(carry: Carry, gradient: Any, rate: Any, decoupled: Any, descent: Descent) -> Carry:
    """Move both layers by the gradient of the matrix, on the reduced factor (1.2), (1.3)."""
    params = {"w1": carry.w1, "w2": carry.w2_t}
    if decoupled is not None:
        params = {k: v * (1 - rate * decoupled) for k, v in params.items()}
    if descent.order == "sequential":
        first, state1 = _apply(descent, {"w1": carry.w2_t @ gradient}, carry.rule_state[0], {"w1": params["w1"]}, rate)
        second, state2 = _apply(
            descent, {"w2": first["w1"] @ gradient.T}, carry.rule_state[1], {"w2": params["w2"]}, rate
        )
        return Carry(first["w1"], second["w2"], (state1, state2), carry.step + 1)
    gradients = {"w1": carry.w2_t @ gradient, "w2": carry.w1 @ gradient.T}
    params, state = _apply(descent, gradients, carry.rule_state, params, rate)
    return Carry(params["w1"], params["w2"], state, carry.step + 1)


def descent_step(task: Any, carry: Carry, rate: Any, decoupled: Any, batches: Any, descent: Descent) -> Carry:
    """Make one exact step of the whole network on its reduced factor: three products, 12 d³ flops."""
    gradient = _gradient(task, carry.w2_t.T @ carry.w1, carry.step, batches, descent.sampling)
    return apply_gradient(carry, gradient, rate, decoupled, descent)


@eqx.filter_jit
def _descend(
    task: Any, carry: Carry, rate: Any, decoupled: Any, batches: Any, count: Any, descent: Descent
) -> tuple[Carry, Any]:
    carry = lax.fori_loop(0, count, lambda _, c: descent_step(task, c, rate, decoupled, batches, descent), carry)
    return carry, carry.w2_t.T @ carry.w1


class NetworkDescent(Engine):
    """A discrete update rule on the layers of a network."""

    has_layers = True

    def __init__(
        self,
        task: Any,
        w1: Any,
        w2: Any,
        steps: np.ndarray,
        rate: float,
        descent: Descent,
        *,
        decoupled_decay: float = 0.0,
        batches: Any = None,
    ):
        self.steps, self.times = steps.astype(float), steps * rate
        self._task, self._descent = task, descent
        self._rate = jnp.asarray(rate, w1.dtype)
        self._decoupled = jnp.asarray(decoupled_decay, w1.dtype) if decoupled_decay else None
        self._batches = None if batches is None else jnp.asarray(batches)
        w1, w2_t = jnp.asarray(w1), jnp.asarray(np.ascontiguousarray(w2.T))
        self._carry = Carry(w1, w2_t, init_rule(descent, w1, w2_t), jnp.zeros((), jnp.int32))
        self._before = self._carry

    def begin(self) -> Snapshot:
        """Return the start: no step at all, by the same compiled code."""
        carry, matrix = self._run(self._carry, 0)
        return Snapshot(matrix, carry.w1, carry.w2_t.T)

    def _run(self, carry: Carry, count: int) -> tuple[Carry, Any]:
        return _descend(
            self._task, carry, self._rate, self._decoupled, self._batches, jnp.asarray(count, jnp.int32), self._descent
        )

    def advance(self, k: int) -> Snapshot:
        """Make the steps from record k − 1 to record k."""
        count = int(self.steps[k] - (self.steps[k - 1] if k else 0))
        self._before = self._carry
        self._carry, matrix = self._run(self._carry, count)
        return Snapshot(matrix, self._carry.w1, self._carry.w2_t.T)

    def first_bad_step(self, is_bad: Any) -> int | None:
        """Repeat the last advance step by step to find where it went bad."""
        carry = self._before
        for _ in range(int(self._carry.step) - int(self._before.step)):
            carry, matrix = self._run(carry, 1)
            if is_bad(matrix):
                break
        return int(carry.step)


class _EulerCarry(NamedTuple):
    matrix: Any
    step: Any


@eqx.filter_jit
def _euler(
    task: Any, carry: _EulerCarry, rate: Any, tau: Any, decay: Any, count: Any, kind: type[AbstractDynamics]
) -> _EulerCarry:
    def body(_: Any, c: _EulerCarry) -> _EulerCarry:
        velocity = kind.velocity(c.matrix, task.gradient(c.matrix), c.step * rate, tau, decay)
        return _EulerCarry(c.matrix + rate * velocity, c.step + 1)

    return lax.fori_loop(0, count, body, carry)


class MatrixEuler(Engine):
    """Euler steps of a dynamics of the matrix, A ← A + η·velocity: the formula as the paper's figures compute it."""

    def __init__(self, task: Any, start: Any, dynamics: AbstractDynamics, steps: np.ndarray, rate: float):
        self.steps, self.times = steps.astype(float), steps * rate
        self._task, self._kind = task, type(dynamics)
        scalars = (rate, dynamics.threshold, dynamics.weight_decay)
        self._rate, self._tau, self._decay = (jnp.asarray(v, start.dtype) for v in scalars)
        self._carry = self._before = _EulerCarry(jnp.asarray(start), jnp.zeros((), jnp.int32))

    def begin(self) -> Snapshot:
        """Return the start."""
        return Snapshot(self._carry.matrix)

    def _run(self, carry: _EulerCarry, count: int) -> _EulerCarry:
        count_now = jnp.asarray(count, jnp.int32)
        return _euler(self._task, carry, self._rate, self._tau, self._decay, count_now, self._kind)

    def advance(self, k: int) -> Snapshot:
        """Make the steps from record k − 1 to record k."""
        self._before = self._carry
        self._carry = self._run(self._carry, int(self.steps[k] - (self.steps[k - 1] if k else 0)))
        return Snapshot(self._carry.matrix)

    def first_bad_step(self, is_bad: Any) -> int | None:
        """Repeat the last advance step by step to find where it went bad."""
        carry = self._before
        for _ in range(int(self._carry.step) - int(self._before.step)):
            carry = self._run(carry, 1)
            if is_bad(carry.matrix):
                break
        return int(carry.step)


@dataclass(frozen=True)
class Tolerances:
    """Settings of the adaptive solver (static)."""

    solver: str
    rtol: float
    atol: float
    max_steps: int


def _network_field(time: Any, state: Any, args: Any) -> Any:
    """Ẇ1 = −W2ᵀG − μW1, Ẇ2 = −GW1ᵀ − μW2 (1.1), hidden index first."""
    del time
    w1, w2_t = state
    task, _, decay = args
    gradient = task.gradient(w2_t.T @ w1)
    return -(w2_t @ gradient) - decay * w1, -(w1 @ gradient.T) - decay * w2_t


def _matrix_field(time: Any, state: Any, args: Any, *, kind: type[AbstractDynamics]) -> Any:
    task, tau, decay = args
    return kind.velocity(state, task.gradient(state), time, tau, decay)


_SOLVERS = {"dopri8": diffrax.Dopri8, "tsit5": diffrax.Tsit5, "kvaerno5": diffrax.Kvaerno5}


@eqx.filter_jit
def _integrate(field: Any, state: Any, args: Any, t0: Any, t1: Any, tolerances: Tolerances) -> tuple[Any, Any]:
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        _SOLVERS[tolerances.solver](),
        t0,
        t1,
        None,
        state,
        args,
        stepsize_controller=diffrax.PIDController(rtol=tolerances.rtol, atol=tolerances.atol),
        saveat=diffrax.SaveAt(t1=True),
        max_steps=tolerances.max_steps,
        throw=False,
    )
    end = jax.tree.map(lambda x: x[0], solution.ys)
    return end, solution.result == diffrax.RESULTS.successful


# one object for each kind, so that compiled code is found again
_MATRIX_FIELDS = {kind: partial(_matrix_field, kind=kind) for kind in AbstractDynamics.__subclasses__()}


class AdaptiveFlow(Engine):
    """Gradient flow of a network's factor or of the matrix, by diffrax, from record to record."""

    def __init__(
        self,
        task: Any,
        state: Any,
        times: np.ndarray,
        tolerances: Tolerances,
        *,
        threshold: float,
        weight_decay: float,
        kind: type[AbstractDynamics] | None,
    ):
        self.times, self.steps = times, np.full(len(times), np.nan)
        self._field: Any = _network_field if kind is None else _MATRIX_FIELDS[kind]
        self.has_layers = kind is None
        self._state = jax.tree.map(jnp.asarray, state)
        dtype = jax.tree.leaves(self._state)[0].dtype
        self._args = (task, jnp.asarray(threshold, dtype), jnp.asarray(weight_decay, dtype))
        self._tolerances, self._dtype, self._now = tolerances, dtype, 0.0

    def begin(self) -> Snapshot:
        """Return the present state, at first the start."""
        if not self.has_layers:
            return Snapshot(self._state)
        w1, w2_t = self._state
        return Snapshot(w2_t.T @ w1, w1, w2_t.T)

    def advance(self, k: int) -> Snapshot:
        """Integrate from the present to record k."""
        end = float(self.times[k])
        t0, t1 = (jnp.asarray(t, self._dtype) for t in (self._now, end))
        state, fine = _integrate(self._field, self._state, self._args, t0, t1, self._tolerances)
        if not bool(fine):
            raise StoppedError(
                f"the {self._tolerances.solver} solver needs more than {self._tolerances.max_steps:,} steps, or "
                f"loses accuracy, between time {self._now:.6g} and {end:.6g}; raise max_steps, loosen rtol, or use "
                "solver='kvaerno5' for a stiff problem"
            )
        self._state, self._now = state, end
        return self.begin()


class Exact(Engine):
    """The closed form of the mixed or balanced dynamics (3.1)."""

    def __init__(self, solution: MixedSolution, curvature: float, times: np.ndarray):
        self.times, self.steps = times, np.full(len(times), np.nan)
        self._solution, self._curvature = solution, curvature

    def begin(self) -> Snapshot:
        """Return the start."""
        return Snapshot(jnp.asarray(self._solution.start))

    def advance(self, k: int) -> Snapshot:
        """Evaluate A at record k."""
        return Snapshot(jnp.asarray(self._solution.at(self._curvature * self.times[k])))


class ExactLazy(Engine):
    """A(t) = T + e^{−2τct}(A(0) − T), the lazy dynamics on (c/2)‖A − T‖_F²."""

    def __init__(self, target: Any, start: Any, threshold: float, curvature: float, times: np.ndarray):
        self.times, self.steps = times, np.full(len(times), np.nan)
        self._target, self._gap = target, start - target
        self._rate = 2 * threshold * curvature

    def begin(self) -> Snapshot:
        """Return the start."""
        return Snapshot(jnp.asarray(self._target + self._gap))

    def advance(self, k: int) -> Snapshot:
        """Evaluate A at record k."""
        decay = np.exp(-self._rate * self.times[k]).astype(self._gap.dtype)
        return Snapshot(jnp.asarray(self._target + decay * self._gap))


def rule_bytes(rule: optax.GradientTransformation, shapes: dict[str, tuple[int, int]], dtype: Any) -> int:
    """Return the bytes of a rule's state for layers of given shapes, without allocating it."""
    layers = {k: jax.ShapeDtypeStruct(s, dtype) for k, s in shapes.items()}
    state = jax.eval_shape(rule.init, layers)
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
