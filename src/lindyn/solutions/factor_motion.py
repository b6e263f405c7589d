"""Two given factors that move on C(A) = ½‖A − T‖_F², held in the singular basis of T: narrow networks, LoRA included.

With V = [W1ᵀ; W2], J = diag(I, −I) and F = [[0, Tᵀ], [T, 0]] the flow (1.1) is

    V̇ = FV + ½JVD − ½V(VᵀV),      D = VᵀJV = W1W1ᵀ − W2ᵀW2, conserved.

Where D = 2τI_w this is V̇ = HV − ½VVᵀV, H = F + τJ, whose solution is (3.4): `NarrowSolution`. The right-hand side
then commutes with V ↦ VC for every w × w matrix C, which is what makes it a Riccati equation; for any other D it does
not, and we know no closed form: `FactorFlow` integrates.

F couples the k-th right singular vector of T with the k-th left one and nothing else. So V is held by its components
in the singular basis, 2k rows, and what lies outside it, at most 2w rows more: no n × n matrix is formed, and a T of
rank k costs k, whatever d.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from lindyn.support import checks
from lindyn.support.linalg import numerical_rank, rounding_floor
from lindyn.support.precision import result_dtype

Rows = Float[np.ndarray, "rows w"]


class TargetModes(NamedTuple):
    """T = left diag(values) rightᵀ, k positive singular values, largest first."""

    left: Float[np.ndarray, "d_out k"]
    values: Float[np.ndarray, " k"]
    right: Float[np.ndarray, "d_in k"]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in) of T."""
        return self.left.shape[0], self.right.shape[0]


def target_modes(target: Any) -> TargetModes:
    """Return the thin singular value decomposition of T, without singular values that are rounding.

    Args:
        target: T, or a pair (left, right) of factors (d_out, k) and (k, d_in) with T = left·right, which is never
            multiplied out.

    Raises:
        InvalidArgument: factors that do not chain, or entries that are not finite.

    Examples:
        >>> u, s, v = target_modes(([[3.0], [4.0]], [[0.0, 2.0]]))
        >>> s.tolist(), ((u * s) @ v.T).round(12).tolist()
        ([10.0], [[0.0, 6.0], [0.0, 8.0]])
    """
    if isinstance(target, tuple):
        if len(target) != 2:
            raise checks.InvalidArgument("target", "be a matrix or a pair (left, right)", f"it has {len(target)} parts")
        left = checks.array("target[0]", target[0], 2, dtype=np.float64)
        right = checks.array("target[1]", target[1], 2, dtype=np.float64, shape=(left.shape[1], None))
        (basis_out, r_out), (basis_in, r_in) = np.linalg.qr(left), np.linalg.qr(right.T)
        u, s, vt = np.linalg.svd(r_out @ r_in.T, full_matrices=False)
        u, v = basis_out @ u, basis_in @ vt.T
    else:
        u, s, vt = np.linalg.svd(checks.array("target", target, 2, dtype=np.float64), full_matrices=False)
        v = vt.T
    kept = numerical_rank(s, (u.shape[0], v.shape[0]))
    return TargetModes(u[:, :kept], s[:kept], v[:, :kept])


def _outside(basis: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal basis of the part of `columns` outside span(basis), and its components there."""
    rest = columns - basis @ (basis.T @ columns)
    rest -= basis @ (basis.T @ rest)
    q, s, mix = np.linalg.svd(rest, full_matrices=False)
    kept = int(np.count_nonzero(s > rounding_floor(float(np.linalg.norm(columns)), columns.shape)))
    return q[:, :kept], s[:kept, None] * mix[:kept]


def _triangle(*blocks: np.ndarray) -> np.ndarray:
    """R of a QR decomposition of stacked blocks: RᵀR is the sum of their Gram matrices."""
    r: Any = np.linalg.qr(np.concatenate(blocks), mode="r")
    return r


class AbstractFactors(abc.ABC):
    """Two factors that move on C(A) = ½‖A − T‖_F² from a given start; computed in float64."""

    def __init__(self, target: Any, first: Any, second: Any):
        w1, w2 = checks.array("first", first, 2), checks.array("second", second, 2)
        self.width = w1.shape[0]
        if w2.shape[1] != self.width:
            raise checks.InvalidArgument(
                "second", f"have {self.width} columns, one for each row of `first`", f"its shape is {w2.shape}"
            )
        self.dtype = result_dtype(w1, w2)
        self.shape = (w2.shape[0], w1.shape[1])
        modes = target if isinstance(target, TargetModes) else target_modes(target)
        self._left, self.target_values, self._right = modes
        if modes.shape != self.shape:
            raise checks.InvalidArgument(
                "target", f"have the shape {self.shape} of the product", f"its shape is {modes.shape}"
            )
        w1, w2 = w1.astype(np.float64), w2.astype(np.float64)
        if not (w1.any() or w2.any()):
            raise checks.InvalidArgument(
                "first", "be non-zero where `second` is zero", "both are zero, from where nothing moves"
            )
        self.imbalance = w1 @ w1.T - w2.T @ w2
        self._mean = 0.5 * float(np.trace(self.imbalance)) / self.width
        spread = np.linalg.norm(self.imbalance - 2 * self._mean * np.eye(self.width), 2)
        self.residual = float(spread / (np.linalg.norm(w1, 2) ** 2 + np.linalg.norm(w2, 2) ** 2))
        self._rest_in, outside_in = _outside(self._right, w1.T)
        self._rest_out, outside_out = _outside(self._left, w2)
        self._start = np.concatenate([self._right.T @ w1.T, self._left.T @ w2, outside_in, outside_out])
        k, p = self.target_values.size, outside_in.shape[0]
        self._cuts = (k, 2 * k, 2 * k + p)

    @abc.abstractmethod
    def _states(self, times: np.ndarray) -> Iterator[Rows]:
        """Yield the state at sorted times."""

    def _split(self, state: Rows) -> list[Rows]:
        """Components of W1ᵀ and of W2 in the singular basis of T, and of both outside it."""
        return np.split(state, self._cuts)

    def factors(self, time: float) -> tuple[Float[np.ndarray, "w d_in"], Float[np.ndarray, "d_out w"]]:
        """Return W1 and W2 at one flow time, up to a rotation of the hidden units (W1, W2) → (OW1, W2Oᵀ)."""
        (state,) = self._states(checks.times("time", checks.number("time", time, at_least=0)))
        inner, outer, rest_in, rest_out = self._split(state)
        w1 = self._right @ inner + self._rest_in @ rest_in
        w2 = self._left @ outer + self._rest_out @ rest_out
        return w1.T.astype(self.dtype), w2.astype(self.dtype)

    def __call__(self, time: Any) -> Float[np.ndarray, "*times d_out d_in"]:
        """Return A = W2W1 at one flow time, shape (d_out, d_in), or at sorted times, shape (times, d_out, d_in)."""
        out = []
        for state in self._states(checks.times("time", time)):
            inner, outer, rest_in, rest_out = self._split(state)
            w2 = self._left @ outer + self._rest_out @ rest_out
            out.append((w2 @ (self._right @ inner + self._rest_in @ rest_in).T).astype(self.dtype))
        return out[0] if np.ndim(time) == 0 else np.stack(out)

    def singular_values(self, time: Any) -> Float[np.ndarray, "*times modes"]:
        """Return the min(w, d_out, d_in) singular values of A, largest first, without forming A."""
        out = np.stack([record[0] for record in self.records(checks.times("time", time))])
        return out[0] if np.ndim(time) == 0 else out

    def records(self, times: np.ndarray) -> Iterator[tuple[np.ndarray, float, float]]:
        """Yield at sorted times the singular values of A, ‖A − T‖_F² and the mean of (W1W1ᵀ − W2ᵀW2)/2."""
        modes = min(self.width, *self.shape)
        size = float(np.sum(self.target_values**2))
        for state in self._states(times):
            inner, outer, rest_in, rest_out = self._split(state)
            r_in, r_out = _triangle(inner, rest_in), _triangle(outer, rest_out)
            s = np.linalg.svd(r_out @ r_in.T, compute_uv=False)
            s = np.pad(s, (0, max(0, modes - s.size)))[:modes]
            overlap = float(self.target_values @ np.sum(inner * outer, axis=1))
            mean = 0.5 * (float(np.sum(r_in**2)) - float(np.sum(r_out**2))) / self.width
            yield s.astype(self.dtype), max(0.0, float(np.sum(s**2)) - 2 * overlap + size), mean
