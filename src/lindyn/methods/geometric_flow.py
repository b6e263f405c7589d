"""Gradient flow on a geometric clock: every step turns or scales the layers by the same share of their norm.

From layers of size α a network of L layers escapes from zero after a flow time ∝ α^{−(L−2)}, 10⁶⁰ at L = 4 and
α = 10⁻³⁰. But the flow of the cost's leading part from αθ₀ is α times the flow from θ₀ on another clock (works 13.2):
in steps of length h‖θ‖ the escape takes ln(1/α) of them. So the flow is followed in τ, dτ = dt ‖∇‖/‖θ‖,

    dθ/dτ = −(‖θ‖/‖∇‖) ∇C(θ),      dt/dτ = ‖θ‖/‖∇‖,

and t, the clock of every other method, is integrated with it. Near a minimum, where ∇ → 0, dt is capped by the inverse
of the tangent kernel, beyond which no explicit step is stable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lindyn.methods.engine import Engine, Snapshot, SteppedEngine, View
from lindyn.methods.method import Method, Problem
from lindyn.support import checks
from lindyn.support.programs import run_compiled
from lindyn.support.provenance import Provenance


@dataclass(frozen=True, kw_only=True, eq=False)
class GeometricFlow(Method):
    """Gradient flow in steps of a fixed share h of the layers' norm, by the classical Runge–Kutta rule of order 4.

    The way to run from tiny starts at depth: 10⁻³⁰ takes a few thousand steps. Records are at steps; their flow times
    stand in the trajectory's `time`, to compare with any other method.

    Args:
        step: h, length of a step relative to ‖θ‖ = (Σ_l ‖W_l‖²)^½; the error is of order h⁴.
        steps: number of steps.
        weight_decay: μ ≥ 0 on all layers.

    Raises:
        InvalidArgument: a step outside (0, 0.5], a negative number of steps or decay.

    References:
        works (13.1), (13.2).

    Examples:
        >>> GeometricFlow(steps=4000).step
        0.05
    """

    steps: int = 2000
    step: float = 0.05
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        checks.integer("steps", self.steps, at_least=0)
        if not 0 < checks.number("step", self.step) <= 0.5:
            raise checks.InvalidArgument("step", "lie in (0, 0.5]", f"it is {self.step:g}")
        checks.number("weight_decay", self.weight_decay, at_least=0)

    def prepare(self, problem: Problem) -> Engine:
        """Follow the layers of a network."""
        network = problem.network_for(self)
        if problem.dtype != np.float64:
            raise checks.InvalidArgument(
                "dtype",
                "be float64 for GeometricFlow",
                "it is float32, which ends at 10⁻³⁸",
                "make the network or the task in float64",
            )
        if not any(np.any(layer) for layer in network.layers):
            raise checks.InvalidArgument("system", "start from non-zero layers", "all are zero, and stay so")
        info = problem.info(
            f"geometric flow, h = {self.step:g}",
            ": steps of a fixed share of the layers' norm, order 4",
            4 * network.nbytes,
            weight_decay=self.weight_decay,
        )
        steps = problem.record_steps(self, self.steps)
        settings = _Settings(
            jnp.asarray(self.step),
            jnp.asarray(self.weight_decay),
            jnp.asarray(problem.task.curvature()),
            problem.chain_of(network),
        )
        layers = problem.start_layers(network)
        carry = _Carry(layers, jnp.zeros(()), jnp.zeros((), jnp.int32))
        return GeometricSteps(problem.device_task, carry, settings, steps, info, problem.layers_view(self.weight_decay))


class _Settings(NamedTuple):
    step: Any
    decay: Any
    curvature: Any
    chain: Any


class _Carry(NamedTuple):
    """Layers, flow time and step."""

    layers: Any
    time: Any
    step: Any


def _norm(tree: Any) -> Any:
    """Euclidean norm of all layers, without underflow: layers of 10⁻²⁰⁰ have squares of 0."""
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(w)) for w in tree]))
    unit = jnp.where(largest > 0, largest, 1)
    return largest * jnp.sqrt(sum(jnp.sum((w / unit) ** 2) for w in tree))


def _slope(task: Any, layers: Any, settings: _Settings) -> tuple[Any, Any]:
    """dθ/dτ and dt/dτ, both times h."""
    gradients = settings.chain.gradients(layers, task.gradient(settings.chain.outputs(layers)))
    push = tuple(g + settings.decay * w for g, w in zip(gradients, layers, strict=True))
    size = _norm(push)
    geometric = settings.step * _norm(layers) / jnp.where(size > 0, size, 1)
    # stable steps of order 4 reach 2.78 over the largest rate
    rate = settings.curvature * settings.chain.kernel_bound(layers) + 2 * settings.decay
    pace = jnp.where(size > 0, jnp.minimum(geometric, 1 / jnp.where(rate > 0, rate, jnp.inf)), geometric)
    return tuple(-pace * g for g in push), pace


def _move(task: Any, carry: _Carry, settings: _Settings, count: Any) -> tuple[_Carry, Any]:
    def shifted(layers: Any, slope: Any, share: float) -> Any:
        return tuple(w + share * k for w, k in zip(layers, slope, strict=True))

    def step(_: Any, c: _Carry) -> _Carry:
        k1, t1 = _slope(task, c.layers, settings)
        k2, t2 = _slope(task, shifted(c.layers, k1, 0.5), settings)
        k3, t3 = _slope(task, shifted(c.layers, k2, 0.5), settings)
        k4, t4 = _slope(task, shifted(c.layers, k3, 1.0), settings)
        mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, (k1, t1), (k2, t2), (k3, t3), (k4, t4))
        return _Carry(shifted(c.layers, mean[0], 1.0), c.time + mean[1], c.step + 1)

    carry = lax.fori_loop(0, count, step, carry)
    return carry, settings.chain.outputs(carry.layers)


class GeometricSteps(SteppedEngine):
    """Makes the steps; the flow time of a record is known when it is reached."""

    def __init__(self, task: Any, carry: _Carry, settings: _Settings, steps: np.ndarray, info: Provenance, view: View):
        super().__init__(carry, steps, 0.0, info, view)
        self.depth = len(carry.layers)
        self._task, self._settings = task, settings

    def run(self, carry: _Carry, count: int) -> tuple[_Carry, Snapshot]:
        """Make `count` steps in one compiled loop."""
        carry, matrix = run_compiled(_move, self._task, carry, self._settings, jnp.asarray(count, jnp.int32))
        return carry, Snapshot(matrix, carry.layers)

    def advance(self, k: int) -> Snapshot:
        """Make the steps from record k − 1 to record k, and note the flow time there."""
        snapshot = super().advance(k)
        self.times[k] = float(self._carry.time)
        return snapshot
