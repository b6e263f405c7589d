"""Matrix completion: some entries are seen, the others are to be found."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from lindyn.support import checks
from lindyn.support.precision import evaluates, result_dtype
from lindyn.tasks.task import AnyArray, Quadratic, Task, optional_signal


class Completion(Task):
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
        self.signal = optional_signal(signal, raw.shape, raw.dtype)
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
