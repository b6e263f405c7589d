"""Gradient descent: of the layers of a network, with PyTorch's options for SGD, or in Euler steps of the matrix."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lindyn.dynamics import Dynamics
from lindyn.methods.engine import Engine, Snapshot, SteppedEngine, View
from lindyn.methods.layer_descent import LayerDescent, Sampling
from lindyn.methods.layer_updates import Direction, LayerUpdate, UpdateInTurn
from lindyn.methods.method import MatrixView, Method, Problem
from lindyn.methods.rates import LearningRate, Rate, check_rate, rate_of
from lindyn.networks.network import Network
from lindyn.support import checks
from lindyn.support.bounds import MOST_STEPS
from lindyn.support.programs import on_device, run_compiled
from lindyn.support.provenance import Provenance


@dataclass(frozen=True, kw_only=True, eq=False)
class GradientDescent(Method):
    """Gradient descent W_l ← W_l − η ∂C/∂W_l, exactly, on the reduced layers; with PyTorch's options for SGD.

    On a dynamics of the matrix (Mixed, Lazy, Balanced, your own) it is the Euler step A ← A + η·velocity.

    Args:
        learning_rate: η; "auto" is the published rule of Figure 2, η = 1/(50τ) if τ > ‖A*‖_F, else 1/(50‖A*‖_op)
            (capped at half the stability bound), each divided by the network's clock. At L layers it is 1/(25κ),
            κ = Lτ^{2−2/L} or L‖A*‖_op^{2−2/L}, the kernel at the start or at the end: for an output scale 1/γ that
            is ∝ γ² where lazy and ∝ γ^{2/L} where rich. A task whose signal is zero is refused, since it has no scale.
            "figure1" is 1/(5‖A*‖_op).
        steps: number of steps.
        order: "simultaneous", or "sequential" as in the paper's published code: a layer's step uses the layers below
            it as they have just been made.
        momentum: μ of b ← μb + g, W ← W − ηb.
        nesterov: use g + μb instead.
        weight_decay: added to the gradient of each layer, as μW.
        clip_norm: largest global norm of the gradient of all layers, exactly (PyTorch divides by norm + 10⁻⁶).
        batch_size: samples a step, without replacement (Regression only).
        batches: explicit sample numbers, shape (steps, batch size), instead of `batch_size`.
        label_noise: standard deviation of fresh Gaussian noise on the outputs at every step (Regression only).
        key: seed of batches and label noise.

    Raises:
        InvalidArgument: an option that cannot be used, alone or with the others.

    References:
        theory (1.2), (1.3), section 4.

    Examples:
        >>> GradientDescent(learning_rate=0.1, steps=10).order
        'simultaneous'
    """

    steps: int = 750
    learning_rate: LearningRate = "auto"
    order: Literal["simultaneous", "sequential"] = "simultaneous"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float | None = None
    batch_size: int | None = None
    batches: Any = None
    label_noise: float = 0.0
    key: int = 0

    def __post_init__(self) -> None:
        checks.integer("steps", self.steps, at_least=0, at_most=MOST_STEPS)
        checks.flag("nesterov", self.nesterov)
        check_rate(self.learning_rate)
        checks.choice("order", self.order, ("simultaneous", "sequential"))
        if not 0 <= checks.number("momentum", self.momentum) < 1:
            raise checks.InvalidArgument("momentum", "lie in [0, 1)", f"it is {self.momentum:g}")
        checks.number("weight_decay", self.weight_decay, at_least=0)
        checks.number("label_noise", self.label_noise, at_least=0)
        checks.integer("key", self.key, at_least=0)
        if self.nesterov and not self.momentum:
            raise checks.InvalidArgument("nesterov", "come with momentum", "momentum is 0", "set momentum=0.9, say")
        if self.clip_norm is not None:
            checks.number("clip_norm", self.clip_norm, above=0)
            if self.order == "sequential":
                raise checks.InvalidArgument(
                    "clip_norm",
                    "come with simultaneous steps",
                    "order is 'sequential'",
                    "the norm is of all layers",
                )
        if self.batch_size is not None:
            checks.integer("batch_size", self.batch_size, at_least=1)
        if self.batches is not None:
            self._check_batches()

    def _check_batches(self) -> None:
        if self.batch_size is not None:
            raise checks.InvalidArgument("batches", "be given instead of `batch_size`", "both are given")
        rows = checks.numbers("batches", self.batches)
        if rows.ndim != 2 or len(rows) != self.steps or not np.issubdtype(rows.dtype, np.integer):
            raise checks.InvalidArgument(
                "batches",
                f"be integers of shape (steps = {self.steps}, batch size)",
                f"it is {rows.dtype} of shape {rows.shape}",
            )

    def prepare(self, problem: Problem) -> Engine:
        """Step the layers of a network, or the matrix of a dynamics."""
        steps = problem.record_steps(self, self.steps)
        if problem.dynamics is not None:
            return self._euler(problem, problem.dynamics, steps)
        return self._descent(problem, problem.product_for(self), steps)

    def _rate(self, problem: Problem) -> Rate:
        return rate_of(problem.system, problem.task, self.learning_rate, momentum=self.momentum, nesterov=self.nesterov)

    def _descent(self, problem: Problem, network: Network, steps: np.ndarray) -> Engine:
        refuse_units(network, self.changed("weight_decay", "clip_norm"))
        sampling = self._sampling(problem)
        rate = self._rate(problem)
        options = self.changed("momentum", "weight_decay", "clip_norm", "batch_size", "label_noise")
        with_options = ", ".join(f"{name} {getattr(self, name):g}" for name in options)
        info = problem.info(
            f"{self.order} gradient descent" + (f" with {with_options}" if options else ""),
            f", exact on {network.held}",
            network.nbytes * (2 if self.momentum else 1),
            learning_rate=rate.value,
            stability_bound=rate.bound,
            clock=network.clock,
            weight_decay=self.weight_decay,
            notes=(rate.note,),
        )
        # momentum β makes 1/(1 − β) steps of one, also of the decay: τ falls as e^{−2μηn/(1 − β)}
        view = problem.layers_view(self.weight_decay / (1 - self.momentum) / network.clock)
        return LayerDescent(
            problem.device_task,
            problem.start_layers(network),
            self._update(),
            steps,
            rate.value * network.clock,
            info=info,
            view=view,
            sampling=sampling,
        )

    def _update(self) -> LayerUpdate:
        rule = Direction(
            momentum=self.momentum or None,
            weight_decay=self.weight_decay or None,
            clip_norm=self.clip_norm,
            nesterov=bool(self.nesterov),
        )
        return UpdateInTurn(rule) if self.order == "sequential" else LayerUpdate(rule)

    def changed(self, *names: str) -> list[str]:
        """Return which of these options differ from their defaults (an array always does)."""
        defaults = {field.name: field.default for field in fields(self)}
        given = {name: getattr(self, name) for name in names}
        return [name for name, v in given.items() if np.ndim(v) > 0 or v != defaults[name]]

    def _sampling(self, problem: Problem) -> Sampling | None:
        wanted = self.changed("batch_size", "batches", "label_noise")
        if not wanted:
            return None
        task, samples = problem.task, problem.task.samples
        if samples is None:
            raise checks.InvalidArgument(
                wanted[0], "be left out for this task", f"{type(task).__name__} has no samples", "use a Regression task"
            )
        if self.batch_size is not None:
            checks.integer("batch_size", self.batch_size, at_most=samples)
        rows = None if self.batches is None else np.asarray(self.batches)
        if rows is not None and (rows.min() < 0 or rows.max() >= samples):
            raise checks.InvalidArgument(
                "batches",
                f"hold sample numbers from 0 to {samples - 1}",
                f"they run from {rows.min()} to {rows.max()}",
            )
        noise = jnp.asarray(self.label_noise, problem.dtype)
        return Sampling(jax.random.key(self.key), noise, self.batch_size, None if rows is None else jnp.asarray(rows))

    def _euler(self, problem: Problem, dynamics: Dynamics, steps: np.ndarray) -> Engine:
        unused = ("order", "momentum", "nesterov", "weight_decay", "clip_norm", "batch_size", "batches", "label_noise")
        for name in self.changed(*unused):
            own = f"write {type(dynamics).__name__}(…, weight_decay=…)"
            raise checks.InvalidArgument(
                name,
                "be left out for a dynamics of the matrix, which takes Euler steps",
                "an array is given" if name == "batches" else f"it is {checks.shown(getattr(self, name))}",
                own if name == "weight_decay" else "simulate a network, such as TwoLayer",
            )
        rate = self._rate(problem)
        start = problem.start_matrix(dynamics)
        info = problem.info(
            "Euler steps",
            ", A ← A + η·velocity, first order in η",
            start.nbytes,
            learning_rate=rate.value,
            stability_bound=rate.bound,
            weight_decay=dynamics.weight_decay,
            notes=(rate.note,),
        )
        moved = on_device(dynamics, problem.dtype)
        return EulerSteps(problem.device_task, start, moved, steps, rate.value, info, MatrixView(moved))


def refuse_units(network: Network, options: list[str]) -> None:
    """Refuse by name what does not commute with the change of units of a parametrised network."""
    if options and any(unit != 1 for unit in network.units):
        raise checks.InvalidArgument(
            options[0],
            "be plain gradient descent or momentum on a parametrised network",
            f"its layers are held in units {' and '.join(f'{u:.3g}' for u in network.units)}",
            "train from_weights(*network.weights()) with your own parametrisation of the cost",
        )


class _Euler(NamedTuple):
    matrix: Any
    step: Any


def _step_by_euler(task: Any, carry: _Euler, rate: Any, dynamics: Dynamics, count: Any) -> _Euler:
    def step(_: Any, c: _Euler) -> _Euler:
        velocity = dynamics.velocity(c.matrix, task.gradient(c.matrix), c.step * rate)
        return _Euler(c.matrix + rate * velocity, c.step + 1)

    return lax.fori_loop(0, count, step, carry)


class EulerSteps(SteppedEngine):
    """Euler steps of a dynamics of the matrix, A ← A + η·velocity: the formula as the paper's figures compute it."""

    def __init__(
        self,
        task: Any,
        start: Any,
        dynamics: Dynamics,
        steps: np.ndarray,
        rate: float,
        info: Provenance,
        view: View,
    ):
        super().__init__(_Euler(start, jnp.zeros((), jnp.int32)), steps, rate, info, view)
        self._task, self._dynamics, self._rate = task, dynamics, jnp.asarray(rate, start.dtype)

    def run(self, carry: _Euler, count: int) -> tuple[_Euler, Snapshot]:
        """Make `count` steps in one compiled loop."""
        carry = run_compiled(
            _step_by_euler, self._task, carry, self._rate, self._dynamics, jnp.asarray(count, jnp.int32)
        )
        return carry, Snapshot(carry.matrix)
