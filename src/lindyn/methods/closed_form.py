"""The exact solution, where the system knows one."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from lindyn.dynamics import Mixed
from lindyn.methods.engine import Engine, KernelTerms, LayersView, Snapshot, TimedEngine, View
from lindyn.methods.method import MatrixView, Method, Problem
from lindyn.solutions.solution import Reason, Solution
from lindyn.support import checks
from lindyn.support.programs import on_device
from lindyn.support.provenance import Provenance


@dataclass(frozen=True, eq=False)
class ClosedForm(Method):
    """The exact solution, where there is one: the cost ½‖A − T‖² (for Lazy also with a curvature a column), no weight
    decay, and Mixed, Lazy, Balanced or a network whose flow is the mixed formula (such as `TwoLayer.orthogonal`), that
    is λ-balanced (`TwoLayer.balanced`), or whose layers, of any number, start orthogonal (`DeepLinear.orthogonal`).

    The system is asked for it (`system.closed_form(task)`), and what it answers is evaluated.

    References:
        theory (3.1), (3.4), (2.4); works (9.11).

    Examples:
        >>> ClosedForm() == ClosedForm()
        True
    """

    def prepare(self, problem: Problem) -> Engine:
        """Evaluate what the system answers; its reason is the refusal."""
        answer = problem.closed_form
        if isinstance(answer, Reason):
            raise checks.InvalidArgument(
                "method", "be one that applies", f"ClosedForm does not: {answer.why}", answer.remedy
            )
        info = problem.info(
            "closed form",
            f": {answer.what}, exact",
            answer.start.nbytes if answer.state_bytes is None else answer.state_bytes,
            sources=answer.sources,
        )
        return Evaluation(answer, problem.record_times(self), info, _view(problem, answer))


class UnknownKernel(LayersView):
    """A motion of which the matrix is known and nothing else."""

    def kernel_terms(self, snapshot: Snapshot, time: float) -> KernelTerms | None:
        """Return None."""
        return None


def _view(problem: Problem, solution: Solution) -> View:
    if problem.dynamics is not None:
        return MatrixView(on_device(problem.dynamics, problem.dtype))
    if solution.layers is not None:
        return problem.layers_view(0.0)
    if solution.threshold is not None:  # C1 and C2 are those of the mixed formula (2.2)
        return MatrixView(on_device(Mixed(solution.threshold), problem.dtype))
    return UnknownKernel(jnp.asarray(problem.system.threshold, problem.dtype), jnp.zeros((), problem.dtype))


class Evaluation(TimedEngine):
    """Evaluates a solution at each record."""

    def __init__(self, solution: Solution, times: np.ndarray, info: Provenance, view: View):
        super().__init__(times, info, view)
        self._solution = solution

    def begin(self) -> Snapshot:
        """Return the start."""
        return self._at(0.0)

    def advance(self, k: int) -> Snapshot:
        """Evaluate A, and the layers where they are known, at record k."""
        return self._at(float(self.times[k]))

    def _at(self, time: float) -> Snapshot:
        if self._solution.layers is None:
            return Snapshot(jnp.asarray(self._solution.at(time) if time else self._solution.start))
        first, second = self._solution.layers(time)
        return Snapshot(jnp.asarray(second @ first), (jnp.asarray(first), jnp.asarray(second)))
