"""The base class of tasks: what is learned is a differentiable cost C(A) of the learned matrix, with its errors.

All costs are written so that C(A) = ½‖A − T‖_F² in the whitened case: flow time then has one meaning everywhere
(theory section 0). Errors are per entry.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lindyn.support import checks
from lindyn.support.lanczos import largest_eigenvalue
from lindyn.support.precision import working_precision
from lindyn.support.programs import on_device, run_compiled
from lindyn.support.randomness import stream
from lindyn.support.values import Value

AnyArray = Array | np.ndarray


def evaluates(method: Callable[[Any, AnyArray], AnyArray]) -> Callable[[Any, AnyArray], AnyArray]:
    """Let a method of a task be called from outside JAX in the task's precision, and be traced inside JAX.

    Called with a concrete matrix it returns NumPy arrays of the task's dtype; called with a tracer it traces. A matrix
    of another shape than the task's is refused: it would be broadcast. Entries may be anything, so that the errors of
    a run that diverged are NaN.
    """

    @wraps(method)
    def evaluate(self: Task, matrix: AnyArray) -> AnyArray:
        if isinstance(matrix, jax.core.Tracer):
            if matrix.shape != self.shape:
                raise checks.InvalidArgument("matrix", f"have shape {self.shape}", f"its shape is {matrix.shape}")
            return method(self, matrix)
        fine = checks.array("matrix", matrix, 2, dtype=self.dtype, shape=self.shape, finite=False)
        with working_precision(self.dtype):
            return np.asarray(method(self, jnp.asarray(fine)))

    return evaluate


class Quadratic(NamedTuple):
    """A cost of the form (curvature/2)‖A − target‖_F² + constant, for which closed forms exist."""

    target: Float[np.ndarray, "d_out d_in"]
    curvature: float


class LeastSquares(NamedTuple):
    """A cost of the form ½‖R Aᵀ − C‖_F² + constant: least squares of outputs that are linear in the inputs."""

    root: Float[np.ndarray, "k d_in"]
    coefficients: Float[np.ndarray, "k d_out"]


@dataclass(frozen=True)
class Measure:
    """A quantity that a task alone can tell of a state; `simulate` records it by its name.

    Attributes:
        name: for `observables=[…]`.
        function: from (task, matrix, matrix at time 0) to an array of fixed shape, inside JAX.
        dims: names of that array's dimensions.
        description: one line.
        unit: "1" if dimensionless.
    """

    name: str
    function: Callable[[Any, Any, Any], Any]
    dims: tuple[str, ...] = ()
    description: str = ""
    unit: str = "1"


class Diagonal(NamedTuple):
    """A cost of the form ½ Σ_k λ_k Σ_i (A_ik − T_ik)² + constant: uncorrelated inputs, λ_k = curvatures."""

    target: Float[np.ndarray, "d_out d_in"]
    curvatures: Float[np.ndarray, " d_in"]


class Task(Value, eqx.Module):
    """A cost of a matrix A of shape (d_out, d_in). Its methods take NumPy arrays and trace under JAX.

    Tasks are values: equal where their data are. `measures` are observables of its own, beside the errors.
    """

    measures: ClassVar[tuple[Measure, ...]] = ()
    signal: eqx.AbstractVar[Float[AnyArray, "d_out d_in"] | None]

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in) of the learned matrix."""

    @property
    @abc.abstractmethod
    def dtype(self) -> np.dtype:
        """Precision in which the task computes."""

    @abc.abstractmethod
    def cost(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return C(A), the quantity whose gradient is followed."""

    @abc.abstractmethod
    def gradient(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, "d_out d_in"]:
        """Return G = ∇C(A)."""

    @abc.abstractmethod
    def train_error(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return the error on what training sees, per entry."""

    @property
    def has_truth(self) -> bool:
        """Whether a test error is defined."""
        return self.signal is not None

    @evaluates
    def test_error(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return ‖A − A*‖_F² / (d_out d_in), or NaN where no truth is known."""
        if self.signal is None:
            return jnp.full((), jnp.nan, matrix.dtype)
        return jnp.mean((matrix - self.signal) ** 2)

    @evaluates
    def jacobian(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, "d_out inputs"]:
        """Return J of the function x ↦ Jx that is learned: A itself, unless something stands before it."""
        return jnp.asarray(matrix)

    def quadratic(self) -> Quadratic | None:
        """Return the target if the cost is an isotropic quadratic, else None."""
        return None

    def diagonal(self) -> Diagonal | None:
        """Return the target and a curvature a column if the cost is a quadratic of uncorrelated inputs, else None."""
        quadratic = self.quadratic()
        if quadratic is None:
            return None
        target, curvature = quadratic
        return Diagonal(target, np.full(target.shape[1], curvature, target.dtype))

    def least_squares(self) -> LeastSquares | None:
        """Return R and C of the cost ½‖R Aᵀ − C‖_F² + constant, None for a cost of another form.

        Examples:
            >>> from lindyn.tasks.spiked import SpikedMatrix
            >>> SpikedMatrix(target=[[3.0, 4.0]]).least_squares().coefficients.tolist()
            [[3.0], [4.0]]
        """
        found = self.diagonal()
        if found is None:
            return None
        target, curvatures = found
        root = np.sqrt(curvatures)
        return LeastSquares(np.diag(root), root[:, None] * np.asarray(target).T)

    @property
    def samples(self) -> int | None:
        """Number of training samples N, None for a cost that is no mean over samples."""
        return None

    def sample_gradient(
        self, matrix: Float[AnyArray, "d_out d_in"], rows: Any, label_noise: Any
    ) -> Float[AnyArray, "d_out d_in"]:
        """Return the gradient on the samples `rows`, with `label_noise` (rows, d_out) added to their outputs.

        Mini-batches and label noise ask for it where `samples` is a number; called inside JAX.
        """
        raise NotImplementedError(f"{type(self).__name__} states {self.samples} samples and no gradient of them")

    def curvature(self) -> float:
        """Return the largest eigenvalue of the Hessian of C (an estimate at A = 0 for a custom cost)."""
        zero = np.zeros(self.shape, self.dtype)
        with working_precision(self.dtype):
            return float(run_compiled(_largest_curvature, on_device(self, np.dtype(self.dtype)), jnp.asarray(zero)))

    def reference(self) -> Float[np.ndarray, "d_out d_in"]:
        """Return the matrix to be learned: the signal where it is known, else −∇C(0)/curvature."""
        if self.signal is not None:
            return np.asarray(self.signal)
        return -np.asarray(self.gradient(np.zeros(self.shape, self.dtype))) / self.curvature()

    def minimiser(self) -> Float[np.ndarray, "d_out d_in"]:
        """Return the matrix at which training ends: the target of a quadratic cost, else `reference()`."""
        quadratic = self.quadratic()
        return self.reference() if quadratic is None else quadratic.target

    def scale(self) -> float:
        """Return the largest singular value of `reference()`: ‖A*‖_op where the signal is known."""
        return float(np.linalg.norm(self.reference(), 2))


def _largest_curvature(task: Any, at: Any) -> Any:
    """Largest eigenvalue of the Hessian, from products with it."""
    direction = jnp.asarray(stream("key", 0, "curvature").standard_normal(at.shape), at.dtype)
    return largest_eigenvalue(lambda v: (jax.jvp(task.gradient, (at,), v)[1],), (direction,))


def optional_signal(signal: Any, shape: tuple[int, int], dtype: np.dtype) -> Float[np.ndarray, "d_out d_in"] | None:
    """Return the true matrix as an array of the task's shape and precision, or None where it is not known."""
    if signal is None:
        return None
    return checks.squarable("signal", checks.array("signal", signal, 2, dtype=dtype, shape=shape))
