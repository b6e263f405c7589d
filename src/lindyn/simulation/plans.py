"""Plans: which engine computes a motion, and why; here every combination is accepted or refused by name."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from lindyn.dynamics import AbstractDynamics, Lazy
from lindyn.methods.engines import (
    AdaptiveFlow,
    Descent,
    Engine,
    Exact,
    ExactLazy,
    MatrixEuler,
    NetworkDescent,
    Sampling,
    Tolerances,
    rule_bytes,
)
from lindyn.methods.method import ClosedForm, Flow, GradientDescent, Method, Muon, Optimizer
from lindyn.methods.rates import StabilityWarning, published_learning_rate, stability_bound
from lindyn.methods.rules import momentum_rule, muon_rule, probe_equivariance
from lindyn.networks.network import require_memory
from lindyn.networks.two_layer import TwoLayer
from lindyn.solutions.mixed import MixedSolution
from lindyn.support import checks
from lindyn.tasks.regression import Regression
from lindyn.tasks.task import Task

System = TwoLayer | AbstractDynamics


class Plan(NamedTuple):
    """An engine ready to start, and what to tell about it."""

    engine: Engine
    method: str
    why: str
    info: dict[str, Any]
    notes: list[str]
    sources: list[str]


def save_steps(steps: int, save_every: int | Sequence[int]) -> np.ndarray:
    """Return the steps to record, the last one among them."""
    if isinstance(save_every, int | np.integer):
        every = checks.integer("save_every", save_every, at_least=1)
        return np.unique(np.append(np.arange(0, steps + 1, every), steps))
    chosen = np.asarray(save_every)
    if chosen.ndim != 1 or chosen.size == 0 or not np.issubdtype(chosen.dtype, np.integer):
        raise checks.InvalidArgument("save_every", "be a whole number or a list of steps", f"it is {save_every!r}")
    if np.any(np.diff(chosen) <= 0) or chosen[0] < 0 or chosen[-1] > steps:
        raise checks.InvalidArgument(
            "save_every", f"list increasing steps from 0 to {steps}", f"it runs from {chosen[0]} to {chosen[-1]}"
        )
    return chosen


def _closed_form_obstacle(system: System, task: Task) -> tuple[str, str, str] | None:
    """What keeps the closed form from applying: (must, but, remedy), or None."""
    if task.quadratic() is None:
        return (
            "apply to the cost",
            f"{type(task).__name__} is no multiple of ½‖A − T‖_F², the only cost with a closed form",
            "use Flow()",
        )
    if isinstance(system, TwoLayer):
        limit = 1e-10 if system.dtype == np.float64 else 1e-5
        residual = system.mixed_residual()
        if residual > limit:
            return (
                "start from weights whose flow is the mixed formula (2.4)",
                f"this network's relative residual is {residual:.2g}",
                "use Mixed.matching(network) for the formula, Flow() for the network, or TwoLayer.orthogonal(…)",
            )
    elif system.weight_decay:
        return (
            "come without weight decay",
            f"weight_decay is {system.weight_decay:g}, which has no closed form here",
            "use Flow()",
        )
    return None


def choose(system: System, task: Task, method: Any, times: Any) -> tuple[Method, str]:
    """Return the method to use and why."""
    if isinstance(method, GradientDescent | Muon | Optimizer | Flow | ClosedForm):
        return method, "as asked"
    if method != "auto":
        raise checks.InvalidArgument(
            "method", "be 'auto', GradientDescent, Muon, Optimizer, Flow or ClosedForm", f"it is {method!r}"
        )
    if isinstance(system, TwoLayer):
        if times is None:
            return GradientDescent(), "chosen because a network is trained by steps unless times are given"
        return Flow(), "chosen because times are given"
    obstacle = _closed_form_obstacle(system, task)
    if obstacle is None:
        return ClosedForm(), "chosen because the cost is ½‖A − T‖_F²"
    return Flow(), f"chosen because the closed form must {obstacle[0]}, but {obstacle[1]}"


def _start_matrix(system: AbstractDynamics, task: Task, dtype: np.dtype) -> np.ndarray:
    return np.zeros(task.shape, dtype) if system.start is None else system.start.astype(dtype)


def plan_continuous(
    system: System, task: Task, on_device: Any, method: Flow | ClosedForm, times: np.ndarray, dtype: np.dtype
) -> Plan:
    """Prepare a flow or a closed form at given times."""
    is_network = isinstance(system, TwoLayer)
    if isinstance(method, ClosedForm):
        obstacle = _closed_form_obstacle(system, task)
        if obstacle is not None:
            must, but, remedy = obstacle
            raise checks.InvalidArgument("method", f"be another than ClosedForm, which must {must}", but, remedy)
        target, curvature = task.quadratic() or (None, 1.0)
        start = system.matrix if isinstance(system, TwoLayer) else _start_matrix(system, task, dtype)
        if isinstance(system, Lazy):
            engine: Engine = ExactLazy(target, start, system.threshold, curvature, times)
            return Plan(engine, "closed form", ": exponential approach, exact", {"state_bytes": start.nbytes}, [], [])
        solution = MixedSolution(target, system.threshold, start)
        needed = 3 * sum(task.shape) ** 2 * dtype.itemsize
        return Plan(
            Exact(solution, curvature, times),
            "closed form",
            ": the matrix Riccati solution (3.1), exact",
            {"state_bytes": needed},
            [],
            ["fukumizu1998effect", "braun2022exact", "domine2024lazy"],
        )
    decay = method.weight_decay
    if not isinstance(system, TwoLayer):
        if decay:
            raise checks.InvalidArgument(
                "weight_decay",
                "be given to the dynamics, not to the flow",
                f"Flow has {decay:g}",
                f"write {type(system).__name__}(…, weight_decay={decay:g})",
            )
        decay = system.weight_decay
    if is_network:
        assert isinstance(system, TwoLayer)
        state: Any = (system.w1.astype(dtype), np.ascontiguousarray(system.w2.T).astype(dtype))
    else:
        assert isinstance(system, AbstractDynamics)
        state = _start_matrix(system, task, dtype)
    size = sum(x.size for x in jax.tree.leaves(state))
    if method.solver == "kvaerno5":
        require_memory("solver", size, 4.0 * size**2 * dtype.itemsize, "the Jacobian of kvaerno5 (state size)")
    scale, tau = task.scale(), system.threshold
    rtol = method.rtol or (1e-10 if dtype == np.float64 else 1e-5)
    atol = method.atol or 0.1 * rtol * (min(tau, scale) if tau > 0 and scale > 0 else max(tau, scale, 1.0))
    tolerances = Tolerances(method.solver, rtol, max(atol, float(np.finfo(dtype).tiny)), method.max_steps)
    engine = AdaptiveFlow(
        on_device,
        state,
        times,
        tolerances,
        threshold=tau,
        weight_decay=decay,
        kind=None if is_network else type(system),  # type: ignore[arg-type]
    )
    what = "the layers, exactly (1.1)" if is_network else "the matrix (2.1)"
    return Plan(
        engine,
        f"flow by {method.solver}",
        f": adaptive integration of {what}, rtol {rtol:g}, atol {atol:.3g}",
        {"state_bytes": size * dtype.itemsize, "rtol": rtol, "atol": atol, "weight_decay": decay},
        [],
        ["kidger2021on"],
    )


def _rate_of(system: System, task: Task, method: GradientDescent) -> tuple[float, str, float]:
    if isinstance(method.learning_rate, str):
        rate, why = published_learning_rate(system, task, method.learning_rate)
    else:
        rate, why = float(method.learning_rate), "given"
    momentum = 0.0 if method.nesterov else method.momentum
    bound = stability_bound(system, task, momentum=momentum)
    if rate > bound:
        warnings.warn(
            f"Learning rate {rate:.4g} is above the bound of stability {bound:.4g}; the run may diverge. "
            f"Use a learning rate below {bound:.4g}.",
            StabilityWarning,
            stacklevel=5,
        )
    return rate, why, bound


def plan_discrete(system: System, task: Task, on_device: Any, method: Any, steps: np.ndarray, dtype: np.dtype) -> Plan:
    """Prepare an update rule, recorded at given steps."""
    if isinstance(system, AbstractDynamics):
        return _plan_euler(system, task, on_device, method, steps, dtype)
    if isinstance(method, Optimizer):
        return _plan_optimizer(system, on_device, method, steps, dtype)
    _refuse_clocked(system, method)
    w1, w2 = system.w1.astype(dtype), system.w2.astype(dtype)
    if isinstance(method, Muon):
        d_out, d_in = task.shape
        rule = muon_rule(
            method.momentum,
            method.nesterov,
            method.newton_schulz_steps,
            method.scale,
            ((system.width, d_in), (d_out, system.width)),
        )
        engine = NetworkDescent(
            on_device,
            w1,
            w2,
            steps,
            method.learning_rate,
            Descent(rule, "simultaneous", False, None),
            decoupled_decay=method.weight_decay,
        )
        info = {"state_bytes": 2 * (w1.nbytes + w2.nbytes), "learning_rate": method.learning_rate}
        return Plan(engine, "Muon", ", on the reduced factor (1.3)", info, [], ["jordan2024muon"])
    rate, rate_why, bound = _rate_of(system, task, method)
    sampling = _sampling(method, task)
    rule = momentum_rule(method.momentum, method.nesterov, method.weight_decay, method.clip_norm)
    engine = NetworkDescent(
        on_device,
        w1,
        w2,
        steps,
        rate * system.clock,
        Descent(rule, method.order, False, sampling),
        batches=method.batches,
    )
    options = [
        f"{name} {getattr(method, name):g}"
        for name in ("momentum", "weight_decay", "clip_norm", "batch_size", "label_noise")
        if getattr(method, name)
    ]
    name = f"{method.order} gradient descent" + (f" with {', '.join(options)}" if options else "")
    return Plan(
        engine,
        name,
        f", exact on the reduced factor (1.3) of {system.reduced_width} columns",
        {
            "state_bytes": (w1.nbytes + w2.nbytes) * (2 if method.momentum else 1),
            "learning_rate": rate,
            "stability_bound": bound,
            "clock": system.clock,
            "weight_decay": method.weight_decay,
        },
        [f"learning rate {rate:.6g}: {rate_why}; bound of stability {bound:.4g}"],
        [],
    )


def _refuse_clocked(system: TwoLayer, method: Any) -> None:
    """Options that do not commute with the change of units of a parametrised network are refused by name."""
    if system.units == (1.0, 1.0):
        return
    options = ("weight_decay", "clip_norm") if isinstance(method, GradientDescent) else ()
    used = [name for name in options if getattr(method, name)]
    if used or not isinstance(method, GradientDescent):
        raise checks.InvalidArgument(
            used[0] if used else "method",
            "be plain gradient descent or momentum on a parametrised network",
            f"its layers are held in units {system.units[0]:.3g} and {system.units[1]:.3g}",
            "train from_weights(*network.weights()) with your own parametrisation of the cost",
        )


def _changed(method: GradientDescent, *names: str) -> list[str]:
    """Names of the options that differ from their defaults (an array always does)."""
    defaults = GradientDescent()
    given = {name: getattr(method, name) for name in names}
    return [name for name, v in given.items() if np.ndim(v) > 0 or v != getattr(defaults, name)]


def _sampling(method: GradientDescent, task: Task) -> Sampling | None:
    wanted = _changed(method, "batch_size", "batches", "label_noise")
    if not wanted:
        return None
    if not isinstance(task, Regression):
        raise checks.InvalidArgument(
            wanted[0], "be left out for this task", f"{type(task).__name__} has no samples", "use a Regression task"
        )
    if method.batch_size is not None:
        checks.integer("batch_size", method.batch_size, at_most=task.samples)
    if method.batches is not None:
        rows = np.asarray(method.batches)
        if rows.min() < 0 or rows.max() >= task.samples:
            raise checks.InvalidArgument(
                "batches",
                f"hold sample numbers from 0 to {task.samples - 1}",
                f"they run from {rows.min()} to {rows.max()}",
            )
    return Sampling(method.batch_size, method.label_noise, method.key)


def _plan_euler(
    system: AbstractDynamics, task: Task, on_device: Any, method: Any, steps: np.ndarray, dtype: np.dtype
) -> Plan:
    if not isinstance(method, GradientDescent):
        raise checks.InvalidArgument(
            "method",
            "be GradientDescent, Flow or ClosedForm for a dynamics of the matrix",
            f"it is {type(method).__name__}, an update of layers",
            "simulate a TwoLayer network",
        )
    unused = ("order", "momentum", "nesterov", "weight_decay", "clip_norm", "batch_size", "batches", "label_noise")
    for name in _changed(method, *unused):
        own = f"write {type(system).__name__}(…, weight_decay=…)"
        raise checks.InvalidArgument(
            name,
            "be left out for a dynamics of the matrix, which takes Euler steps",
            "an array is given" if name == "batches" else f"it is {getattr(method, name)!r}",
            own if name == "weight_decay" else "simulate a TwoLayer network",
        )
    rate, rate_why, bound = _rate_of(system, task, method)
    start = _start_matrix(system, task, dtype)
    return Plan(
        MatrixEuler(on_device, start, system, steps, rate),
        "Euler steps",
        ", A ← A + η·velocity, first order in η",
        {
            "state_bytes": start.nbytes,
            "learning_rate": rate,
            "stability_bound": bound,
            "weight_decay": system.weight_decay,
        },
        [f"learning rate {rate:.6g}: {rate_why}; bound of stability {bound:.4g}"],
        [],
    )


def _plan_optimizer(system: TwoLayer, on_device: Any, method: Optimizer, steps: np.ndarray, dtype: np.dtype) -> Plan:
    _refuse_clocked(system, method)
    probe = probe_equivariance(method.rule)
    d_out, d_in = system.shape
    if not probe.equivariant:
        shapes = {"w1": (system.width, d_in), "w2": (d_out, system.width)}
        layers = sum(math.prod(s) for s in shapes.values()) * dtype.itemsize
        require_memory(
            "rule",
            system.width,
            4 * layers + 2 * rule_bytes(method.rule, shapes, dtype),
            "an update rule that does not commute with rotations of the hidden units, and so needs the full width,",
        )
        system = system.unreduced(method.key)
    w1, w2 = system.w1.astype(dtype), system.w2.astype(dtype)
    shapes = {"w1": w1.shape, "w2": w2.shape}
    engine = NetworkDescent(
        on_device, w1, w2, steps, method.learning_rate, Descent(method.rule, "simultaneous", True, None)
    )
    why = (
        f", on the reduced factor: the rule is equivariant (deviation {probe.deviation:.1g})"
        if probe.equivariant
        else f", on the full width: the rule is not equivariant (deviation {probe.deviation:.1g})"
    )
    state_bytes = w1.nbytes + w2.nbytes + rule_bytes(method.rule, shapes, dtype)
    return Plan(
        engine, "optax rule", why, {"state_bytes": state_bytes, "learning_rate": method.learning_rate}, [], ["optax"]
    )
