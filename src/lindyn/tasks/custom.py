"""Any differentiable cost of the matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lindyn.support import checks
from lindyn.support.precision import working_precision
from lindyn.tasks.task import AnyArray, Task, evaluates, optional_signal


class CustomCost(Task):
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
        self.signal = optional_signal(signal, self._shape, self._dtype)
        if not callable(function):
            raise checks.InvalidArgument("function", "be a function of a matrix", f"it is {checks.shown(function)}")
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
