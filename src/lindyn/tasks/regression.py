"""Linear regression on inputs of any covariance."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lindyn.support import checks
from lindyn.support.bounds import SQUARED
from lindyn.support.precision import result_dtype
from lindyn.tasks.task import AnyArray, LeastSquares, Quadratic, Task, evaluates, optional_signal


class Regression(Task):
    """Linear regression on inputs of any covariance: C(A) = ‖X Aᵀ − Y‖_F² / (2N).

    Kept as given for mini-batches, and reduced exactly, by a QR decomposition of X, to min(N, d_in) rows for
    everything else: a step costs the same for any number of samples.

    Args:
        inputs: X, shape (N, d_in), one sample a row, as in scikit-learn and PyTorch.
        outputs: Y, shape (N, d_out).
        signal: the true matrix, shape (d_out, d_in), for a test error ‖A − A*‖_F²/(d_out d_in).
        held_out: a pair (X, Y) of held-out samples, for a test error per held-out output; instead of `signal`.

    Raises:
        InvalidArgument: shapes that do not match, entries that are not finite, or both kinds of truth.

    References:
        theory (1.1): any differentiable cost of the matrix.

    Examples:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).standard_normal((50, 4))
        >>> task = Regression(x, x @ np.ones((4, 2)))
        >>> task.shape, float(task.train_error(np.ones((2, 4)))) < 1e-20
        ((2, 4), True)
    """

    inputs: Float[AnyArray, "samples d_in"]
    outputs: Float[AnyArray, "samples d_out"]
    root: Float[AnyArray, "rows d_in"]
    coefficients: Float[AnyArray, "rows d_out"]
    residual: Float[AnyArray, ""]
    signal: Float[AnyArray, "d_out d_in"] | None
    held_out: tuple[Float[AnyArray, "held d_in"], Float[AnyArray, "held d_out"]] | None

    def __init__(self, inputs: Any, outputs: Any, *, signal: Any = None, held_out: Any = None):
        x, y = checks.array("inputs", inputs, 2), checks.array("outputs", outputs, 2)
        if len(x) != len(y):
            raise checks.InvalidArgument("outputs", f"have one row for each of the {len(x)} inputs", f"it has {len(y)}")
        if signal is not None and held_out is not None:
            raise checks.InvalidArgument(
                "held_out", "be given instead of `signal`", "both are given", "pass one of them"
            )
        if not x.any():
            raise checks.InvalidArgument(
                "inputs", "be non-zero", "every entry is zero", "there is nothing to learn from"
            )
        dtype = result_dtype(x, y)
        self.inputs, self.outputs = (
            checks.squarable("inputs", x.astype(dtype)),
            checks.squarable("outputs", y.astype(dtype)),
        )
        q, r = np.linalg.qr(self.inputs)
        norm = np.sqrt(len(x))
        projected = q.T @ self.outputs
        self.root, self.coefficients = r / norm, projected / norm
        self.residual = np.asarray(np.sum((self.outputs - q @ projected) ** 2) / len(x), dtype)
        self.signal = optional_signal(signal, self.shape, dtype)
        self.held_out = None
        if held_out is not None:
            if not isinstance(held_out, tuple | list) or len(held_out) != 2:
                raise checks.InvalidArgument("held_out", "be a pair (X, Y)", f"it is {type(held_out).__name__}")
            x_test = checks.array("held_out[0]", held_out[0], 2, dtype=dtype, shape=(None, self.shape[1]))
            y_test = checks.array("held_out[1]", held_out[1], 2, dtype=dtype, shape=(len(x_test), self.shape[0]))
            self.held_out = (x_test, y_test)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in)."""
        return self.outputs.shape[1], self.inputs.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Precision of the data."""
        return self.inputs.dtype

    @property
    def samples(self) -> int:
        """Number of training samples N."""
        return self.inputs.shape[0]

    @evaluates
    def cost(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return ‖X Aᵀ − Y‖_F² / (2N)."""
        return 0.5 * (jnp.sum((self.root @ matrix.T - self.coefficients) ** 2) + self.residual)

    @evaluates
    def gradient(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, "d_out d_in"]:
        """Return (X Aᵀ − Y)ᵀ X / N."""
        return (matrix @ self.root.T - self.coefficients.T) @ self.root

    def sample_gradient(
        self, matrix: Float[AnyArray, "d_out d_in"], rows: Any, label_noise: Any
    ) -> Float[AnyArray, "d_out d_in"]:
        """Return the gradient on the samples `rows`, with `label_noise` (rows, d_out) added to their outputs."""
        if isinstance(rows, jax.Array):  # inside a run
            return self._on_samples(matrix, rows, label_noise)
        chosen = checks.array("rows", rows, 1, dtype=np.float64)
        if np.any(chosen % 1) or chosen.min() < 0 or chosen.max() >= self.samples:
            raise checks.InvalidArgument(
                "rows", f"be whole numbers from 0 to {self.samples - 1}", f"they run from {chosen.min():g} to "
                f"{chosen.max():g}"
            )  # fmt: skip
        matrix = checks.array("matrix", matrix, 2, dtype=self.dtype, shape=self.shape, finite=False)
        noise = checks.numbers("label_noise", label_noise)
        if noise.ndim:
            noise = checks.array("label_noise", noise, 2, dtype=self.dtype, shape=(chosen.size, self.shape[0]))
        else:
            checks.number("label_noise", label_noise, at_least=-SQUARED, at_most=SQUARED)
        return self._on_samples(matrix, chosen.astype(int), noise)

    def _on_samples(self, matrix: Any, rows: Any, label_noise: Any) -> Any:
        x = self.inputs[rows]
        return (matrix @ x.T - (self.outputs[rows] + label_noise).T) @ x / x.shape[0]

    @evaluates
    def train_error(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return ‖X Aᵀ − Y‖_F² / (N d_out)."""
        return 2 * self.cost(matrix) / self.shape[0]

    @property
    def has_truth(self) -> bool:
        """Whether a signal or held-out samples were given."""
        return self.signal is not None or self.held_out is not None

    @evaluates
    def test_error(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return the error per held-out output, or against the signal, or NaN."""
        if self.held_out is None:
            return super().test_error(matrix)
        x, y = self.held_out
        return jnp.mean((x @ matrix.T - y) ** 2)

    def quadratic(self) -> Quadratic | None:
        """Return the least-squares solution if the inputs are whitened (XᵀX/N a multiple of the identity)."""
        covariance = np.asarray(self.root.T @ self.root, np.float64)
        curvature = float(np.trace(covariance)) / len(covariance)
        tolerance = 100 * np.finfo(self.dtype).eps * curvature
        if np.max(np.abs(covariance - curvature * np.eye(len(covariance)))) > tolerance:
            return None
        return Quadratic(np.asarray((self.coefficients.T @ self.root) / curvature), curvature)

    def least_squares(self) -> LeastSquares:
        """Return R and C of the cost ½‖R Aᵀ − C‖_F² + constant, from the QR decomposition of the inputs."""
        return LeastSquares(np.asarray(self.root), np.asarray(self.coefficients))

    def minimiser(self) -> Float[np.ndarray, "d_out d_in"]:
        """Return the least-squares solution, that of smallest norm where there are many."""
        solution: np.ndarray = np.linalg.lstsq(np.asarray(self.root), np.asarray(self.coefficients))[0].T
        return solution

    def curvature(self) -> float:
        """Return the largest eigenvalue of XᵀX/N."""
        return float(np.linalg.norm(self.root, 2)) ** 2
