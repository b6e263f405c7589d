"""Tasks: what is learned. Each is a differentiable cost C(A) of the learned matrix, with its errors.

All costs are written so that C(A) = ½‖A − T‖_F² in the whitened case: flow time then has one meaning everywhere
(theory section 0). Errors are per entry.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lindyn.support import checks
from lindyn.support.precision import evaluates, result_dtype, working_precision

AnyArray = Array | np.ndarray


class Quadratic(NamedTuple):
    """A cost of the form (curvature/2)‖A − target‖_F² + constant, for which closed forms exist."""

    target: Float[np.ndarray, "d_out d_in"]
    curvature: float


class AbstractTask(eqx.Module):
    """A cost of a matrix A of shape (d_out, d_in). Its methods take NumPy arrays and trace under JAX."""

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

    def quadratic(self) -> Quadratic | None:
        """Return the target if the cost is an isotropic quadratic, else None."""
        return None

    def curvature(self) -> float:
        """Return the largest eigenvalue of the Hessian of C (an estimate at A = 0 for a custom cost)."""
        zero = np.zeros(self.shape, self.dtype)
        with working_precision(self.dtype):
            return float(_largest_curvature(self, jnp.asarray(zero)))

    def reference(self) -> Float[np.ndarray, "d_out d_in"]:
        """Return the matrix to be learned: the signal where it is known, else −∇C(0)/curvature."""
        if self.signal is not None:
            return np.asarray(self.signal)
        return -np.asarray(self.gradient(np.zeros(self.shape, self.dtype))) / self.curvature()

    def scale(self) -> float:
        """Return the largest singular value of `reference()`: ‖A*‖_op where the signal is known."""
        return float(np.linalg.norm(self.reference(), 2))


@jax.jit
def _largest_curvature(task: Any, at: Any) -> Any:
    """Power iteration on the Hessian-vector product."""
    direction = jnp.asarray(np.random.default_rng(0).standard_normal(at.shape), at.dtype)

    def step(_: int, pair: tuple[Any, Any]) -> tuple[Any, Any]:
        v = pair[0] / jnp.maximum(jnp.linalg.norm(pair[0]), jnp.finfo(at.dtype).tiny)
        hv = jax.jvp(task.gradient, (at,), (v,))[1]
        return hv, jnp.vdot(v, hv)

    return jax.lax.fori_loop(0, 100, step, (direction, jnp.zeros((), at.dtype)))[1]


def _optional_signal(signal: Any, shape: tuple[int, int], dtype: Any) -> Any:
    return None if signal is None else checks.array("signal", signal, 2, dtype=dtype, shape=shape)


class SpikedMatrix(AbstractTask):
    """Approximate T = A* + E, a low-rank signal in noise: C(A) = ½‖A − T‖_F².

    Generated, from `dim` or `shape`: A* = scale·CDᵀ with C, D of iid N(0, rank^{-1/2}) entries (variance), so that
    A* has entries of variance scale² and singular values near scale·√(d_out d_in/rank); or A* with the given
    `singular_values` and uniformly random singular vectors. E has iid N(0, noise²) entries.
    From data: pass `target`, and `signal` where it is known.

    Args:
        dim: size d of a square matrix.
        shape: shape (d_out, d_in), instead of `dim`.
        rank: rank K of the signal.
        singular_values: the signal's singular values, instead of `rank`.
        noise: standard deviation of the noise entries, ≥ 0.
        scale: multiplies the generated signal.
        key: seed, or a numpy Generator.
        dtype: float64 or float32 of generated data; given arrays keep theirs.
        target: an observed matrix, instead of all the above.
        signal: the true matrix, of the target's shape; allows a test error.

    Raises:
        InvalidArgument: sizes, numbers or arrays that cannot be used, or generated and given data mixed.

    References:
        theory sections 0 and 4; Tu, Aranguri, Jacot (2024), section 4.

    Examples:
        >>> task = SpikedMatrix(dim=100, rank=3, key=0)
        >>> task.shape, bool(task.target.std() > 1)
        ((100, 100), True)
        >>> SpikedMatrix(target=[[1.0, 2.0], [3.0, 4.0]]).has_truth
        False
    """

    target: Float[AnyArray, "d_out d_in"]
    signal: Float[AnyArray, "d_out d_in"] | None

    def __init__(
        self,
        dim: int | None = None,
        *,
        shape: tuple[int, int] | None = None,
        rank: int | None = None,
        singular_values: Any = None,
        noise: float = 1.0,
        scale: float = 1.0,
        key: checks.Seed = 0,
        dtype: Any = np.float64,
        target: Any = None,
        signal: Any = None,
    ):
        if target is not None:
            if any(v is not None for v in (dim, shape, rank, singular_values)):
                raise checks.InvalidArgument(
                    "target", "be the only description of the task", "`dim`, `shape` or `rank` is given too"
                )
            self.target = checks.array("target", target, 2)
            self.signal = _optional_signal(signal, self.shape, self.target.dtype)
            return
        if signal is not None:
            raise checks.InvalidArgument("signal", "come with a `target`", "no target is given", "pass both")
        d_out, d_in = _one_shape(dim, shape)
        dtype = checks.precision("dtype", dtype)
        noise = checks.number("noise", noise, at_least=0)
        rng = checks.generator("key", key)
        truth = _draw_signal((d_out, d_in), rank, singular_values, scale, rng)
        self.signal = truth.astype(dtype)
        self.target = (truth + noise * rng.standard_normal((d_out, d_in))).astype(dtype)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in)."""
        d_out, d_in = self.target.shape
        return d_out, d_in

    @property
    def dtype(self) -> np.dtype:
        """Precision of the target."""
        return self.target.dtype

    @evaluates
    def cost(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return ½‖A − T‖_F²."""
        return 0.5 * jnp.sum((matrix - self.target) ** 2)

    @evaluates
    def gradient(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, "d_out d_in"]:
        """Return A − T."""
        return matrix - self.target

    @evaluates
    def train_error(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return ‖A − T‖_F² / (d_out d_in)."""
        return jnp.mean((matrix - self.target) ** 2)

    def quadratic(self) -> Quadratic:
        """Return the target, with curvature 1."""
        return Quadratic(np.asarray(self.target), 1.0)

    def curvature(self) -> float:
        """Return 1."""
        return 1.0

    def observe(self, fraction: float, key: checks.Seed = 0) -> Completion:
        """Return the task of completing this matrix from a random fraction of its entries.

        Examples:
            >>> SpikedMatrix(dim=20, rank=2).observe(0.3, key=1).observed.sum()
            np.int64(120)
        """
        fraction = checks.number("fraction", fraction, above=0)
        if fraction > 1:
            raise checks.InvalidArgument("fraction", "be at most 1", f"it is {fraction:g}")
        count = max(1, round(fraction * self.target.size))
        chosen = checks.generator("key", key).choice(self.target.size, count, replace=False)
        observed = np.zeros(self.target.size, bool)
        observed[chosen] = True
        return Completion(self.target, observed.reshape(self.shape), signal=self.signal)


def _one_shape(dim: int | None, shape: tuple[int, int] | None) -> tuple[int, int]:
    checks.exactly_one("dim", dim, "shape", shape, "pass dim=d or shape=(d_out, d_in)")
    return checks.matrix_shape("dim" if shape is None else "shape", dim if shape is None else shape)


def _draw_signal(
    shape: tuple[int, int], rank: int | None, singular_values: Any, scale: float, rng: np.random.Generator
) -> np.ndarray:
    scale = checks.number("scale", scale, above=0)
    checks.exactly_one("rank", rank, "singular_values", singular_values)
    if rank is not None:
        rank = checks.integer("rank", rank, at_least=1, at_most=min(shape))
        left, right = (rng.standard_normal((n, rank)) * rank**-0.25 for n in shape)
        return scale * left @ right.T
    s = checks.array("singular_values", singular_values, 1, dtype=np.float64)
    if np.any(s < 0):
        raise checks.InvalidArgument("singular_values", "be non-negative", f"the smallest is {s.min():g}")
    if s.size > min(shape):
        raise checks.InvalidArgument("singular_values", f"hold at most {min(shape)} values", f"it holds {s.size}")
    left, right = (np.linalg.qr(rng.standard_normal((n, s.size)))[0] for n in shape)
    return scale * (left * s) @ right.T


class Regression(AbstractTask):
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
        self.inputs, self.outputs = x.astype(dtype), y.astype(dtype)
        q, r = np.linalg.qr(self.inputs)
        norm = np.sqrt(len(x))
        projected = q.T @ self.outputs
        self.root, self.coefficients = r / norm, projected / norm
        self.residual = np.asarray(np.sum((self.outputs - q @ projected) ** 2) / len(x), dtype)
        self.signal = _optional_signal(signal, self.shape, dtype)
        self.held_out = None
        if held_out is not None:
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
        return (self.root @ matrix.T - self.coefficients).T @ self.root

    def sample_gradient(
        self, matrix: Float[AnyArray, "d_out d_in"], rows: Any, label_noise: Any
    ) -> Float[AnyArray, "d_out d_in"]:
        """Return the gradient on the samples `rows`, with `label_noise` (rows, d_out) added to their outputs."""
        x = self.inputs[rows]
        return (x @ matrix.T - self.outputs[rows] - label_noise).T @ x / x.shape[0]

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

    def curvature(self) -> float:
        """Return the largest eigenvalue of XᵀX/N."""
        return float(np.linalg.norm(self.root, 2)) ** 2


class Completion(AbstractTask):
    """Complete a matrix from observed entries: C(A) = ½ Σ_observed (A_ij − T_ij)².

    Args:
        target: T, shape (d_out, d_in); entries that are not observed may be NaN.
        observed: boolean mask of T's shape; left out, the entries of T that are not NaN.
        signal: the true matrix, for a test error over all entries.
        held_out: boolean mask of entries of T kept for the test error, instead of `signal`.

    Raises:
        InvalidArgument: nothing observed, an observed entry that is not finite, or shapes that differ.

    References:
        theory (1.1), (2.4): masked costs.

    Examples:
        >>> import numpy as np
        >>> task = Completion([[1.0, np.nan], [np.nan, 2.0]])
        >>> int(task.observed.sum()), float(task.train_error(np.zeros((2, 2))))
        (2, 2.5)
    """

    target: Float[AnyArray, "d_out d_in"]
    observed: Bool[AnyArray, "d_out d_in"]
    signal: Float[AnyArray, "d_out d_in"] | None
    held_out: Bool[AnyArray, "d_out d_in"] | None

    def __init__(self, target: Any, observed: Any = None, *, signal: Any = None, held_out: Any = None):
        raw = np.asarray(target)
        raw = raw.astype(result_dtype(raw))
        if raw.ndim != 2:
            raise checks.InvalidArgument("target", "be a matrix", f"its shape is {raw.shape}")
        if signal is not None and held_out is not None:
            raise checks.InvalidArgument(
                "held_out", "be given instead of `signal`", "both are given", "pass one of them"
            )
        if np.isinf(raw).any():
            raise checks.InvalidArgument(
                "target", "be finite or NaN", f"{np.isinf(raw).sum()} of its entries are infinite"
            )
        self.observed = ~np.isnan(raw) if observed is None else _mask("observed", observed, raw)
        self.held_out = None if held_out is None else _mask("held_out", held_out, raw)
        for name, mask in (("observed", self.observed), ("held_out", self.held_out)):
            if mask is not None and not mask.any():
                raise checks.InvalidArgument(name, "hold at least one entry", "it is empty")
        self.signal = _optional_signal(signal, raw.shape, raw.dtype)
        used = self.observed if self.held_out is None else self.observed | self.held_out
        self.target = np.where(used, raw, 0)

    @staticmethod
    def from_entries(rows: Any, columns: Any, values: Any, shape: tuple[int, int], *, signal: Any = None) -> Completion:
        """Return the task given by a list of entries T[rows[k], columns[k]] = values[k], as ratings come.

        Examples:
            >>> Completion.from_entries([0, 1], [2, 0], [5.0, 3.0], shape=(2, 3)).shape
            (2, 3)
        """
        d_out, d_in = checks.matrix_shape("shape", shape)
        i, j = np.asarray(rows, int), np.asarray(columns, int)
        v = checks.array("values", values, 1, shape=(i.size,))
        for name, index, size in (("rows", i, d_out), ("columns", j, d_in)):
            if index.shape != v.shape or index.min() < 0 or index.max() >= size:
                raise checks.InvalidArgument(
                    name, f"hold {v.size} indices from 0 to {size - 1}", f"it is {index.tolist()[:5]}…"
                )
        target = np.full((d_out, d_in), np.nan, v.dtype)
        target[i, j] = v
        return Completion(target, signal=signal)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in)."""
        d_out, d_in = self.target.shape
        return d_out, d_in

    @property
    def dtype(self) -> np.dtype:
        """Precision of the target."""
        return self.target.dtype

    @evaluates
    def cost(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return ½ Σ_observed (A_ij − T_ij)²."""
        return 0.5 * jnp.sum(self.gradient(matrix) ** 2)

    @evaluates
    def gradient(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, "d_out d_in"]:
        """Return A − T on the observed entries and 0 elsewhere."""
        return jnp.where(self.observed, matrix - self.target, 0)

    @evaluates
    def train_error(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return the mean squared error over observed entries."""
        return 2 * self.cost(matrix) / jnp.sum(self.observed)

    @property
    def has_truth(self) -> bool:
        """Whether a signal or held-out entries were given."""
        return self.signal is not None or self.held_out is not None

    @evaluates
    def test_error(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return the mean squared error over held-out entries, or against the signal, or NaN."""
        if self.held_out is None:
            return super().test_error(matrix)
        return jnp.sum(jnp.where(self.held_out, matrix - self.target, 0) ** 2) / jnp.sum(self.held_out)

    def quadratic(self) -> Quadratic | None:
        """Return the target if every entry is observed."""
        return Quadratic(np.asarray(self.target), 1.0) if np.all(self.observed) else None

    def curvature(self) -> float:
        """Return 1: the mask is a projection."""
        return 1.0


def _mask(name: str, value: Any, target: np.ndarray) -> np.ndarray:
    mask = np.asarray(value)
    if mask.dtype != bool or mask.shape != target.shape:
        raise checks.InvalidArgument(
            name, f"be a boolean array of shape {target.shape}", f"it is {mask.dtype} of shape {mask.shape}"
        )
    if not np.all(np.isfinite(target[mask])):
        raise checks.InvalidArgument(name, "cover finite entries of `target` only", "it covers a NaN or an infinity")
    return mask


class CustomCost(AbstractTask):
    """Any differentiable cost of the matrix; its gradient comes from automatic differentiation.

    Args:
        function: C, from a JAX array of shape (d_out, d_in) to a scalar, written with jax.numpy.
        shape: (d_out, d_in), or one integer for a square matrix.
        signal: the true matrix, for a test error.
        dtype: float64 or float32.

    The train error is C itself, since no error per entry is defined for it.

    Raises:
        InvalidArgument: the function does not return a real scalar for a matrix of that shape.

    References:
        theory (1.1), (2.1): the dynamics hold for any cost.

    Examples:
        >>> import jax.numpy as jnp, numpy as np
        >>> task = CustomCost(lambda a: jnp.sum(jnp.log(jnp.cosh(a - 1.0))), shape=3)
        >>> float(task.gradient(np.ones((3, 3))).max())
        0.0
    """

    function: Callable[[Any], Any] = eqx.field(static=True)
    signal: Float[AnyArray, "d_out d_in"] | None
    _shape: tuple[int, int] = eqx.field(static=True)
    _dtype: np.dtype = eqx.field(static=True)

    def __init__(
        self,
        function: Callable[[Any], Any],
        shape: int | tuple[int, int],
        *,
        signal: Any = None,
        dtype: Any = np.float64,
    ):
        self._shape = checks.matrix_shape("shape", shape)
        self._dtype = checks.precision("dtype", dtype)
        self.signal = _optional_signal(signal, self._shape, self._dtype)
        self.function = function
        with working_precision(self._dtype):
            try:
                out = jax.eval_shape(function, jax.ShapeDtypeStruct(self._shape, self._dtype))
            except Exception as error:
                raise checks.InvalidArgument(
                    "function",
                    f"accept a JAX array of shape {self._shape}",
                    f"it raised {type(error).__name__}: {checks.one_line(error)}",
                ) from error
        if getattr(out, "shape", None) != () or not jnp.issubdtype(out.dtype, jnp.floating):
            raise checks.InvalidArgument(
                "function", "return a real scalar", f"it returns {out}", "sum or average its terms"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in)."""
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """Precision in which the cost is evaluated."""
        return self._dtype

    @evaluates
    def cost(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return the user's C(A)."""
        return self.function(matrix)

    @evaluates
    def gradient(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, "d_out d_in"]:
        """Return ∇C(A) by automatic differentiation."""
        return jax.grad(self.function)(matrix)

    @evaluates
    def train_error(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return C(A)."""
        return self.function(matrix)
