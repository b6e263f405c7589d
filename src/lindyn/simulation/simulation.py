"""The one verb: run a motion on a task by a method, and record what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from lindyn.dynamics import AbstractDynamics
from lindyn.methods.method import ClosedForm, Flow, Method
from lindyn.networks.two_layer import TwoLayer
from lindyn.simulation.observables import Wanted, resolve
from lindyn.simulation.plans import System, choose, plan_continuous, plan_discrete, save_steps
from lindyn.simulation.runner import run
from lindyn.simulation.trajectory import Trajectory
from lindyn.support import checks
from lindyn.support.precision import result_dtype, working_precision
from lindyn.support.provenance import Provenance
from lindyn.tasks.task import Task


def simulate(
    system: System,
    task: Task,
    method: Method | Literal["auto"] = "auto",
    *,
    times: Any = None,
    save_every: int | Sequence[int] = 1,
    observables: Sequence[Wanted] | Wanted | None = None,
    progress: bool | None = None,
) -> Trajectory:
    """Run a network or a dynamics of the matrix on a task, and return the recorded trajectory.

    | system | GradientDescent | Muon, Optimizer | Flow | ClosedForm |
    |---|---|---|---|---|
    | TwoLayer | exact, on the reduced factor | reduced if equivariant, else full | yes | from an exact start (2.4) |
    | Mixed, Lazy, Balanced | Euler steps | refused | yes | quadratic cost, no weight decay |

    "auto" takes gradient descent for a network (a flow if `times` is given), and the closed form for a dynamics of
    the matrix where there is one, else a flow; the trajectory says which and why.

    Args:
        system: what moves; its shape is the task's.
        task: what is learned.
        method: how to compute the motion.
        times: flow times to record, sorted, for Flow and ClosedForm (gradient descent: η·step, so `run.time` of a
            descent lines the two up). A Trajectory stands for its own times and steps.
        save_every: for the discrete methods, record every so many steps (the last one always), or at these steps.
        observables: names (see `lindyn.observables.BUILT_IN`), Observable objects, or named functions of the
            `State`; the errors and all singular values if left out.
        progress: show a progress bar; left out, only on a terminal and for runs of over a second.

    Returns:
        The trajectory. A run that diverges, cannot go on or is interrupted returns the records made until then,
        and says so in `status`.

    Raises:
        InvalidArgument: anything that does not fit together; the message names it and the remedy.

    Warns:
        StabilityWarning: the learning rate is above the bound of stability.

    References:
        theory sections 1–3.

    Examples:
        >>> import lindyn as ld
        >>> task = ld.SpikedMatrix(dim=30, rank=2, key=0)
        >>> net = ld.TwoLayer.gaussian(30, width=10**9, variance=1e-9, key=1)
        >>> gd = ld.simulate(net, task, ld.GradientDescent(steps=200), save_every=50)
        >>> mixed = ld.simulate(ld.Mixed.matching(net), task, times=gd.time)
        >>> float(abs(gd["test_error"] - mixed["test_error"]).max()) < 0.01
        True
    """
    if not isinstance(task, Task):
        raise checks.InvalidArgument("task", "be a task, such as SpikedMatrix", f"it is {type(task).__name__}")
    if not isinstance(system, TwoLayer | AbstractDynamics):
        raise checks.InvalidArgument(
            "system", "be a TwoLayer network or Mixed, Lazy, Balanced", f"it is {type(system).__name__}"
        )
    shape = system.shape if isinstance(system, TwoLayer) else (None if system.start is None else system.start.shape)
    if shape is not None and tuple(shape) != tuple(task.shape):
        raise checks.InvalidArgument("system", f"have the task's shape {task.shape}", f"its shape is {shape}")
    chosen, why = choose(system, task, method, times)
    layers_known = isinstance(system, TwoLayer) and not isinstance(chosen, ClosedForm)
    wanted = resolve(observables, has_truth=task.has_truth, is_network=layers_known)
    given_steps = None
    if isinstance(times, Trajectory):
        times, given_steps = times.time, times.step
    if times is not None:
        times = checks.times("times", times)

    dtype = _dtype(system, task)
    with working_precision(dtype):
        task_on_device = jax.tree.map(lambda x: _cast(x, dtype), task)
        if isinstance(chosen, Flow | ClosedForm):
            if times is None:
                raise checks.InvalidArgument(
                    "times", "be given for a flow or a closed form", "it is not", "pass times=[0, …]"
                )
            plan = plan_continuous(system, task, task_on_device, chosen, times, dtype)
        else:
            if times is not None:
                raise checks.InvalidArgument(
                    "times",
                    "be left out for a discrete method",
                    f"it holds {times.size} times",
                    "use save_every, or a Flow",
                )
            plan = plan_discrete(system, task, task_on_device, chosen, save_steps(chosen.steps, save_every), dtype)
        info = Provenance(
            dynamics=_name(system),
            method=plan.method,
            why=why + plan.why,
            law=system.law if isinstance(system, TwoLayer) else repr(system),
            task=type(task).__name__,
            shape=tuple(task.shape),
            threshold=float(system.threshold),
            dtype=dtype.name,
            **plan.info,
            notes=tuple(plan.notes),
            sources=("tu2024mixed", *plan.sources),
            jax_version=jax.__version__,
        )
        result = run(plan.engine, system, task_on_device, wanted, info, progress)
    return result if given_steps is None else replace(result, step=given_steps[: len(result)])


def _cast(leaf: Any, dtype: np.dtype) -> Any:
    array = jnp.asarray(leaf)
    return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array


def _dtype(system: System, task: Task) -> np.dtype:
    if isinstance(system, TwoLayer):
        return result_dtype(np.empty(0, task.dtype), system.w1)
    start = [] if system.start is None else [system.start]
    return result_dtype(np.empty(0, task.dtype), *start)


def _name(system: System) -> str:
    if isinstance(system, TwoLayer):
        return f"network of width {system.width:,}"
    decay = f" with weight decay {system.weight_decay:g}" if system.weight_decay else ""
    return f"{system.name} dynamics{decay}"
