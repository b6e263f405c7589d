"""The one verb: run a motion on a task by a method, and record what is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from lindyn.dynamics import Dynamics
from lindyn.methods.closed_form import ClosedForm
from lindyn.methods.descent import GradientDescent
from lindyn.methods.flow import Flow
from lindyn.methods.method import Method, Problem, System
from lindyn.methods.rates import StabilityWarning
from lindyn.methods.row_flow import RowFlow, parts_of
from lindyn.networks.network import Network
from lindyn.simulation.cut_off import without_cut_off
from lindyn.simulation.observables import Observable, Wanted, resolve
from lindyn.simulation.recording import Run
from lindyn.simulation.sequences import in_turn
from lindyn.simulation.trajectory import Origin, Trajectory
from lindyn.solutions.solution import Reason
from lindyn.support import checks
from lindyn.support.precision import working_precision
from lindyn.tasks.task import Task


def simulate(
    system: System,
    task: Task | Sequence[Task],
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
    | TwoLayer | exact, on the reduced factor | reduced or full width | yes | exact (2.4), λ-balanced (2.6) |
    | Mixed, Lazy, Balanced | Euler steps | refused | yes | quadratic cost, no weight decay |

    "auto" takes gradient descent for a network (a flow if `times` is given), and the closed form for a dynamics of
    the matrix where there is one, else a flow (for one row of uncorrelated inputs a `RowFlow`); the trajectory says
    which and why.

    Args:
        system: what moves; its shape is the task's.
        task: what is learned; a list of tasks is learned one after the other, each as long as the method says, and the
            trajectory adds the cost of each ("task_costs") and what was forgotten of it ("forgetting").
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
        StabilityWarning: the learning rate is above the stability bound.

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
    times, steps_of_times = _convert(times)

    def run(system: System, task: Task, extra: tuple[Observable, ...]) -> Trajectory:
        problem = _check(system, task, times, save_every)
        chosen, problem = _choose(problem, method)
        with working_precision(problem.dtype):
            engine = chosen.prepare(problem)
            wanted = resolve(observables, has_truth=task.has_truth, depth=engine.depth, measures=type(task).measures)
            result = Run(engine, problem, (*wanted, *extra)).drive(progress)
        result = replace(result, origin=Origin(system, task, chosen, problem.times is not None))
        return result if steps_of_times is None else replace(result, step=steps_of_times[: len(result)])

    def run_all(system: System, extra: tuple[Observable, ...]) -> Trajectory:
        if isinstance(task, Sequence):
            return in_turn(system, task, lambda now, one, more: run(now, one, (*extra, *more)))
        return run(system, task, extra)

    return without_cut_off(system, run_all)


def _convert(times: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return flow times, and the steps that they stand for if they are those of a trajectory."""
    if times is None:
        return None, None
    if isinstance(times, Trajectory):
        return checks.times("times", times.time), times.step
    return checks.times("times", times), None


def _check(system: Any, task: Any, times: np.ndarray | None, save_every: int | Sequence[int]) -> Problem:
    """Return the problem, if the system and the task are what they should be and fit together."""
    if not isinstance(task, Task):
        raise checks.InvalidArgument("task", "be a task, such as SpikedMatrix", f"it is {type(task).__name__}")
    if not isinstance(system, Network | Dynamics):
        raise checks.InvalidArgument(
            "system",
            "be a network, such as TwoLayer, or a dynamics, such as Mixed",
            f"it is {type(system).__name__}",
        )
    if system.shape is not None and tuple(system.shape) != tuple(task.shape):
        raise checks.InvalidArgument("system", f"have the task's shape {task.shape}", f"its shape is {system.shape}")
    if isinstance(system, Network) and (why := system.unfit(task)) is not None:
        raise checks.InvalidArgument("system", "be drawn for this task", why, "draw it from the task that it meets")
    return Problem(system, task, times, save_every)


def _choose(problem: Problem, method: Any) -> tuple[Method, Problem]:
    """Return the method, and the problem with the reason why this method."""
    if isinstance(method, Method):
        return method, problem
    if not (isinstance(method, str) and method == "auto"):
        raise checks.InvalidArgument(
            "method",
            "be 'auto' or a method: GradientDescent, Muon, Optimizer, Flow, ClosedForm or your own",
            f"it is {checks.shown(method)}",
        )
    if problem.network is not None:
        if problem.times is None:
            why = "chosen because a network is trained by steps unless times are given"
            return GradientDescent(), replace(problem, chosen=why)
        return Flow(), replace(problem, chosen="chosen because times are given")
    answer = problem.closed_form
    if isinstance(answer, Reason):
        why = f"chosen because there is no closed form ({answer})"
        if not isinstance(parts_of(problem), Reason):
            return RowFlow(), replace(problem, chosen=f"{why} and the matrix is one row of uncorrelated inputs")
        return Flow(), replace(problem, chosen=why)
    why = "chosen because the cost is ½‖A − T‖_F², for which this dynamics has a closed form"
    return ClosedForm(), replace(problem, chosen=why)


def replay(
    run: Trajectory, record: int, observables: Sequence[Wanted] | Wanted, *, progress: bool | None = False
) -> Trajectory:
    """Repeat a run up to one of its records, to see there what was not recorded the first time.

    Some observables cost more than the training at every step (the stable rank needs all singular values); once the
    record of interest is known they can be had there.

    Args:
        run: a trajectory of `simulate`, in memory (one that was loaded does not know its system).
        record: number of the record, from 0; negative counts from the end.
        observables: as for `simulate`.
        progress: as for `simulate`.

    Returns:
        A trajectory of that one record.

    Raises:
        InvalidArgument: a record that was not made, or a run without its origin.

    Examples:
        >>> import lindyn as ld
        >>> task = ld.SpikedMatrix(dim=20, rank=2, key=0)
        >>> run = ld.simulate(ld.Mixed(1.0), task, times=[0.0, 0.1, 1.0])
        >>> best = int(run["test_error"].argmin())
        >>> ld.simulation.replay(run, best, "stable_rank")["stable_rank"].shape
        (1,)
    """
    if not isinstance(run, Trajectory) or run.origin is None:
        raise checks.InvalidArgument(
            "run", "come from `simulate` in this session", "it does not know its system", "simulate it again"
        )
    number = checks.integer("record", record, at_least=-len(run), at_most=len(run) - 1)
    at_time = run.origin.timed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StabilityWarning)  # the first run has warned
        return simulate(
            run.origin.system,
            run.origin.task,
            run.origin.method,
            times=[run.time[number]] if at_time else None,
            save_every=1 if at_time else [int(run.step[number])],
            observables=observables,
            progress=progress,
        )
