"""Matrix completion: some entries are seen, the others are to be found."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from lindyn.support import checks
from lindyn.support.memory import require_memory
from lindyn.support.precision import result_dtype
from lindyn.tasks.task import AnyArray, Quadratic, Task, evaluates, optional_signal


class Completion(Task):
    """Complete a matrix from observed entries: C(A) = ½ Σ_observed (A_ij − T_ij)².

    Args:
        target: T, shape (d_out, d_in); entries that are not observed may be NaN, or masked (`numpy.ma`).
        observed: boolean mask of T's shape; left out, the entries of T that are not NaN, masked or held out.
        signal: the true matrix, for a test error over all entries.
        held_out: boolean mask of entries of T kept for the test error, instead of `signal`; apart from `observed`.

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
        if signal is not None and held_out is not None:
            raise checks.InvalidArgument(
                "held_out", "be given instead of `signal`", "both are given", "pass one of them"
            )
        raw = checks.array("target", _unmasked(target), 2, finite=False)
        if np.isinf(raw).any():
            raise checks.InvalidArgument(
                "target", "be finite or NaN", f"{np.isinf(raw).sum()} of its entries are infinite"
            )
        self.held_out = None if held_out is None else _mask("held_out", held_out, raw)
        self.observed = ~np.isnan(raw) if observed is None else _mask("observed", observed, raw)
        if self.held_out is not None:
            self.observed = _apart(self.observed, self.held_out, given=observed is not None)
        if not self.observed.any():
            raise checks.InvalidArgument("observed", "hold at least one entry", "it is empty")
        self.signal = optional_signal(signal, (raw.shape[0], raw.shape[1]), raw.dtype)
        used = self.observed if self.held_out is None else self.observed | self.held_out
        self.target = checks.squarable("target", np.where(used, raw, 0))

    @staticmethod
    def from_entries(rows: Any, columns: Any, values: Any, shape: tuple[int, int], *, signal: Any = None) -> Completion:
        """Return the task given by a list of entries T[rows[k], columns[k]] = values[k], as ratings come.

        Args:
            rows: row of each entry, whole numbers from 0 to d_out − 1.
            columns: column of each entry, from 0 to d_in − 1; no place comes twice.
            values: T there.
            shape: (d_out, d_in).
            signal: the true matrix, for a test error over all entries.

        Raises:
            InvalidArgument: indices that are fractional, negative, too large or repeated, or lists of unequal length.

        Examples:
            >>> Completion.from_entries([0, 1], [2, 0], [5.0, 3.0], shape=(2, 3)).shape
            (2, 3)
        """
        d_out, d_in = checks.matrix_shape("shape", shape)
        require_memory("shape", d_out * d_in, 4 * 8 * d_out * d_in, "a matrix of that many entries", "use fewer")
        v = checks.array("values", values, 1)
        i = _indices("rows", rows, v.size, d_out)
        j = _indices("columns", columns, v.size, d_in)
        places, first = np.unique(i * d_in + j, return_index=True)
        if places.size < v.size:
            k = int(np.setdiff1d(np.arange(v.size), first)[0])
            raise checks.InvalidArgument(
                "rows",
                "name each entry once, with `columns`",
                f"({i[k]}, {j[k]}) comes more than once",
                "average its values, or keep one",
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
        return 0.5 * jnp.sum(jnp.where(self.observed, matrix - self.target, 0) ** 2)

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


def _unmasked(target: Any) -> Any:
    """Return the target with NaN where it is masked: a masked entry is one that is not observed."""
    if not np.ma.isMaskedArray(target) or target.dtype.kind not in "biuf":
        return target
    return np.ma.filled(target.astype(result_dtype(target.data)), np.nan)


def _apart(observed: np.ndarray, held_out: np.ndarray, *, given: bool) -> np.ndarray:
    """Return what is observed without what is held out; refuse masks that were both given and overlap."""
    both = int(np.count_nonzero(observed & held_out))
    if given and both:
        raise checks.InvalidArgument(
            "held_out",
            "be apart from `observed`",
            f"{both} entries are in both",
            "training would see what tests it",
        )
    return observed & ~held_out


def _indices(name: str, value: Any, count: int, size: int) -> np.ndarray:
    """Return row or column numbers as integers; those that came as floats must be whole."""
    found = checks.array(name, value, 1, dtype=np.float64, shape=(count,))
    if np.asarray(value).dtype == bool or np.any(found != np.floor(found)):
        odd = found[found != np.floor(found)]
        but = f"it holds {odd[0]:g}" if odd.size else "it is a mask"
        raise checks.InvalidArgument(name, "hold whole numbers", but)
    if found.min() < 0 or found.max() >= size:
        worst = found.min() if found.min() < 0 else found.max()
        raise checks.InvalidArgument(name, f"hold indices from 0 to {size - 1}", f"it holds {worst:g}")
    return found.astype(np.int64)


def _mask(name: str, value: Any, target: np.ndarray) -> np.ndarray:
    mask = (
        np.ma.filled(value, False)
        if np.ma.isMaskedArray(value) and value.dtype == bool
        else checks.numbers(name, value)
    )
    if mask.dtype != bool or mask.shape != target.shape:
        raise checks.InvalidArgument(
            name, f"be a boolean array of shape {target.shape}", f"it is {mask.dtype} of shape {mask.shape}"
        )
    if not np.all(np.isfinite(target[mask])):
        raise checks.InvalidArgument(name, "cover finite entries of `target` only", "it covers a NaN or an infinity")
    if not mask.any():
        raise checks.InvalidArgument(name, "hold at least one entry", "it is empty")
    return mask
