"""A task behind a fixed linear front end: what an architecture does to its inputs before anything is learned."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lindyn.support import checks
from lindyn.tasks.task import AnyArray, LeastSquares, Quadratic, Task, evaluates


class Filtered(Task):
    """A task behind a fixed front end B, which stands for pooling, a low-pass or a mask: f(x) = A B x, C(A) = C₀(A B).

    What is learned is A, of shape (d_out, k); what the network computes of its inputs is the Jacobian J = A B. Every
    network, dynamics and method takes it as any other task, since ∇C(A) = ∇C₀(J)Bᵀ. The errors are those of J.

    Args:
        task: C₀, of matrices of shape (d_out, d_in).
        front_end: B, shape (k, d_in).

    Raises:
        InvalidArgument: a front end that is zero, not finite, or not of d_in columns.

    References:
        works (15.1)–(15.4): Movahedi, Orvieto, Moosavi-Dezfooli (2024), of whom J is the input geometry.

    Examples:
        A direction that the front end shrinks tenfold is learned a hundred times slower while lazy:

        >>> import numpy as np, lindyn as ld
        >>> task = Filtered(ld.SpikedMatrix(target=[[1.0, 1.0]]), front_end=np.diag([1.0, 0.1]))
        >>> run = ld.simulate(ld.Lazy(5.0), task, ld.Flow(), times=[0.0, 0.1], observables="matrix")
        >>> task.jacobian(run.final).round(3).tolist()
        [[0.632, 0.01]]
    """

    task: Task
    front_end: Float[AnyArray, "k d_in"]
    signal: Float[AnyArray, "d_out d_in"] | None

    def __init__(self, task: Task, *, front_end: Any):
        if not isinstance(task, Task):
            raise checks.InvalidArgument("task", "be a task", f"it is {checks.shown(task)}")
        matrix = checks.array("front_end", front_end, 2, dtype=task.dtype, shape=(None, task.shape[1]))
        self.task, self.front_end = task, checks.squarable("front_end", matrix)
        self.signal = None  # the truth is one of J, which may lie out of reach
        if not matrix.any():
            raise checks.InvalidArgument("front_end", "be non-zero", "it lets nothing through")

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, k)."""
        return self.task.shape[0], self.front_end.shape[0]

    @property
    def dtype(self) -> np.dtype:
        """Precision of the task."""
        return self.task.dtype

    @evaluates
    def jacobian(self, matrix: Float[AnyArray, "d_out k"]) -> Float[AnyArray, "d_out d_in"]:
        """Return J = A B."""
        return matrix @ self.front_end

    @evaluates
    def cost(self, matrix: Float[AnyArray, "d_out k"]) -> Float[AnyArray, ""]:
        """Return C₀(A B)."""
        return self.task.cost(matrix @ self.front_end)

    @evaluates
    def gradient(self, matrix: Float[AnyArray, "d_out k"]) -> Float[AnyArray, "d_out k"]:
        """Return ∇C₀(A B) Bᵀ."""
        return jnp.asarray(self.task.gradient(matrix @ self.front_end)) @ self.front_end.T

    @evaluates
    def train_error(self, matrix: Float[AnyArray, "d_out k"]) -> Float[AnyArray, ""]:
        """Return the train error of J."""
        return self.task.train_error(matrix @ self.front_end)

    @property
    def has_truth(self) -> bool:
        """Whether the task has a test error."""
        return self.task.has_truth

    @evaluates
    def test_error(self, matrix: Float[AnyArray, "d_out k"]) -> Float[AnyArray, ""]:
        """Return the test error of J."""
        return self.task.test_error(matrix @ self.front_end)

    @property
    def samples(self) -> int | None:
        """Number of training samples of the task."""
        return self.task.samples

    def sample_gradient(self, matrix: Float[AnyArray, "d_out k"], rows: Any, label_noise: Any) -> Any:
        """Return the task's gradient on these samples at J, times Bᵀ."""
        return self.task.sample_gradient(matrix @ self.front_end, rows, label_noise) @ self.front_end.T

    def quadratic(self) -> Quadratic | None:
        """Return the target where the task is quadratic and the rows of B orthogonal and of one length, BBᵀ = b²I."""
        found, gram = self.task.quadratic(), np.asarray(self.front_end @ self.front_end.T, np.float64)
        square = float(np.trace(gram)) / len(gram)
        spread = np.max(np.abs(gram - square * np.eye(len(gram))))
        if found is None or spread > 100 * np.finfo(self.dtype).eps * square:
            return None
        return Quadratic(np.asarray(found.target @ self.front_end.T / square), found.curvature * square)

    def least_squares(self) -> LeastSquares | None:
        """Return R Bᵀ and C where the task has the form ½‖R Jᵀ − C‖_F² + constant."""
        found = self.task.least_squares()
        return None if found is None else LeastSquares(found.root @ self.front_end.T, found.coefficients)

    def reference(self) -> Float[np.ndarray, "d_out k"]:
        """Return the A of smallest norm whose J comes nearest to the matrix to be learned."""
        return np.asarray(self.task.reference() @ np.linalg.pinv(self.front_end))

    def minimiser(self) -> Float[np.ndarray, "d_out k"]:
        """Return the least-squares solution of smallest norm, or `reference()` for a cost of another form."""
        found = self.least_squares()
        if found is None:
            return self.reference()
        solution: np.ndarray = np.linalg.lstsq(np.asarray(found.root), np.asarray(found.coefficients))[0].T
        return solution
