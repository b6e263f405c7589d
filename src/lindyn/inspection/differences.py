"""The difference of two products ΔW = s·BA and ΔW' = s'·B'A', from their thin factors alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from lindyn.inspection.pairs import Factors
from lindyn.support import checks


@dataclass(frozen=True, eq=False)
class Difference:
    """ΔW − ΔW' of one pair in two sources.

    Attributes:
        singular_values: of the difference, largest first, at most r + r' of them.
        relative: ‖ΔW − ΔW'‖_F/‖ΔW'‖_F; None where ΔW' = 0.
        cosine: ⟨ΔW, ΔW'⟩/(‖ΔW‖_F‖ΔW'‖_F), 1 for the same direction; None where either is 0.
    """

    singular_values: Float[np.ndarray, " k"]
    relative: float | None
    cosine: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, fit for JSON."""
        return {**vars(self), "singular_values": self.singular_values.tolist()}


def difference(now: Factors, other: Factors) -> Difference:
    """Compare two products of one shape; their hidden widths may differ.

    Both are written in one orthonormal basis of columns and one of rows, from QR of [A; A'] and [B, B'], so that only
    matrices of r + r' rows are decomposed.

    Raises:
        InvalidArgument: products of two shapes, entries that are not finite.

    Examples:
        >>> one = Factors(np.array([[1.0, 0.0]]), np.array([[2.0], [0.0]]), 1.0)
        >>> two = Factors(np.array([[0.0, 1.0]]), np.array([[2.0], [0.0]]), 0.5)
        >>> found = difference(one, two)
        >>> found.singular_values.round(3).tolist(), found.relative, found.cosine
        ([2.236, 0.0], 2.23606797749979, 0.0)
    """
    a, b = (checks.array(n, m, 2, dtype=np.float64) for n, m in zip(("first", "second"), now[:2], strict=True))
    c, d = (checks.array(n, m, 2, dtype=np.float64) for n, m in zip(("first", "second"), other[:2], strict=True))
    if (a.shape[1], b.shape[0]) != (c.shape[1], d.shape[0]):
        shapes = [f"{two.shape[0]} × {one.shape[1]}" for one, two in ((a, b), (c, d))]
        raise checks.InvalidArgument(
            "first", f"belong to a product of shape {shapes[0]}, as here", f"it is {shapes[1]}"
        )
    rows = np.asarray(np.linalg.qr(np.concatenate([a, c]).T, mode="r"))
    columns = np.asarray(np.linalg.qr(np.concatenate([b, d], axis=1), mode="r"))
    one = now.scale * columns[:, : b.shape[1]] @ rows[:, : len(a)].T
    two = other.scale * columns[:, b.shape[1] :] @ rows[:, len(a) :].T
    sizes = float(np.linalg.norm(one)), float(np.linalg.norm(two))
    values = np.linalg.svd(one - two, compute_uv=False)[: min(len(a) + len(c), a.shape[1], b.shape[0])]
    together = sizes[0] * sizes[1]
    return Difference(
        singular_values=np.where(values > 1e-14 * math.hypot(*sizes), values, 0.0),
        relative=float(np.linalg.norm(one - two)) / sizes[1] if sizes[1] else None,
        cosine=float(np.clip(np.sum(one * two) / together, -1, 1)) if together else None,
    )
