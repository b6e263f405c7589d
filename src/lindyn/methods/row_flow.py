"""The flow of a matrix of one row on uncorrelated inputs, for times and variances that span many decades."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from lindyn.dynamics import start_of
from lindyn.methods.engine import Engine, Snapshot, StoppedError, TimedEngine, View
from lindyn.methods.method import MatrixView, Method, Problem
from lindyn.solutions.row_motion import NotConvergedError, Rates, RowMotion
from lindyn.solutions.solution import Reason
from lindyn.support import checks
from lindyn.support.programs import on_device
from lindyn.support.provenance import Provenance
from lindyn.tasks.task import Diagonal


@dataclass(frozen=True, kw_only=True, eq=False)
class RowFlow(Method):
    """The flow of one row, β̇ = (c + d ββᵀ) Λ(w − β), by implicit steps on a logarithmic grid of times.

    For `PowerLaw` and other regressions of one output on uncorrelated inputs, where `Flow` would need steps as short as
    the largest variance demands: a step costs O(n), and ten decades of time take a second. The dynamics states
    c and d as functions of ‖β‖ (`Dynamics.row_rates`); `Mixed`, `Lazy` and `Balanced` do. "auto" takes this method
    where it serves and there is no closed form.

    Args:
        steps_per_decade: steps for each factor of ten in time, at least 10. The error is of order 2: relative to β
            some 5e-5 at 100, a quarter of it at 200.

    Raises:
        InvalidArgument: fewer than 10 steps a decade.

    References:
        works (10.2), (10.3).

    Examples:
        >>> import lindyn as ld
        >>> task = ld.PowerLaw(capacity=2.0, source=0.5, modes=10**14)
        >>> run = ld.simulate(ld.Mixed(threshold=0.01), task, times=[1.0, 1e8], observables="loss")
        >>> run.info.method
        'row flow, 100 steps a decade'
    """

    steps_per_decade: int = 100

    def __post_init__(self) -> None:
        checks.integer("steps_per_decade", self.steps_per_decade, at_least=10)

    def prepare(self, problem: Problem) -> Engine:
        """Ask the dynamics for its rates and the task for its variances; a reason is the refusal."""
        times, answer = problem.record_times(self), parts_of(problem)
        if isinstance(answer, Reason):
            raise checks.InvalidArgument(
                "method", "be one that applies", f"RowFlow does not: {answer.why}", answer.remedy
            )
        (target, variances), rates, start = answer
        info = problem.info(
            f"row flow, {self.steps_per_decade} steps a decade",
            ": implicit steps of order 2 on a logarithmic grid of times",
            6 * variances.nbytes,
            sources=("bordelon2024feature",),
        )
        motion = RowMotion(variances, target[0], start, rates, self.steps_per_decade)
        return RowSteps(motion, start, times, info, MatrixView(on_device(problem.dynamics, problem.dtype)))


def parts_of(problem: Problem) -> tuple[Diagonal, Rates, np.ndarray] | Reason:
    """Return target and variances, the rates of the motion and its start, or the reason why RowFlow does not serve."""
    dynamics, task = problem.dynamics, problem.task
    if dynamics is None:
        return Reason("a network moves by its layers", "simulate lindyn.Mixed.matching(network), or use Flow()")
    if task.shape[0] != 1:
        return Reason(f"the matrix has {task.shape[0]} rows, not one")
    if dynamics.weight_decay:
        return Reason(f"weight_decay is {dynamics.weight_decay:g}")
    if problem.dtype != np.float64:
        return Reason("the precision is float32, and this method needs float64")
    quadratic = task.diagonal()
    if quadratic is None:
        return Reason(f"{type(task).__name__} is not a regression on uncorrelated inputs")
    rates = dynamics.known_row_rates()
    if rates is None:
        return Reason(f"{type(dynamics).__name__} does not state c and d of its kernel c + d ββᵀ (`row_rates`)")
    return quadratic, rates, start_of(dynamics, task)[0].astype(np.float64)


class RowSteps(TimedEngine):
    """Goes from record to record."""

    def __init__(self, motion: RowMotion, start: np.ndarray, times: np.ndarray, info: Provenance, view: View):
        super().__init__(times, info, view)
        self._motion, self._start = motion, start

    def begin(self) -> Snapshot:
        """Return the start."""
        return Snapshot(jnp.asarray(self._start[None]))

    def advance(self, k: int) -> Snapshot:
        """Go on to record k."""
        try:
            row = self._motion.go_to(float(self.times[k]))
        except NotConvergedError as error:
            raise StoppedError(f"{error}; raise steps_per_decade, or use Flow()") from error
        return Snapshot(jnp.asarray(row[None]))
