"""What a pair of factors says about its own training: lazy and active modes, thresholds, what the flow conserves.

A pair is A = s W2 W1 (LoRA: ΔW = s·BA, W1 = A, W2 = B). It is measured in the units of the plain network, √s W1 and
√s W2, from thin QR decompositions: the cost is O((d_in + d_out) r²), and no d_out × d_in matrix is ever formed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from lindyn.support import checks
from lindyn.support.bounds import SCALE, TO_THE_FOURTH
from lindyn.support.linalg import effective_rank, stable_rank
from lindyn.support.values import Value


@dataclass(frozen=True, eq=False)
class FactorModes(Value):
    """The modes of A = s W2 W1 and their thresholds, k = min(r, d_in, d_out) of them; made by `factor_modes`.

    Attributes:
        shape: (d_out, d_in).
        width: r, the hidden width (LoRA: the rank).
        scale: s.
        singular_values: m_k of A, largest first, shape (k,).
        thresholds: τ_k of each mode; those of modes that are zero come from the imbalance, see `factor_modes`.
        activities: a_k = m_k/√(m_k² + τ_k²): 0 lazy, 1/√2 at the threshold, 1 active.
        imbalance: eigenvalues of (W1W1ᵀ − W2ᵀW2)·s/2, largest first: min(r, d_in + d_out) of them, any others are zero.
        left: left singular vectors u_k in columns, shape (d_out, k); arbitrary for modes that are zero.
        right: right singular vectors v_k in columns, shape (d_in, k); likewise.

    References:
        theory (2.7), (2.9).
    """

    shape: tuple[int, int]
    width: int
    scale: float
    singular_values: Float[np.ndarray, " k"]
    thresholds: Float[np.ndarray, " k"]
    activities: Float[np.ndarray, " k"]
    imbalance: Float[np.ndarray, " r"]
    left: Float[np.ndarray, "d_out k"] = field(repr=False)
    right: Float[np.ndarray, "d_in k"] = field(repr=False)

    @property
    def nominal_threshold(self) -> float:
        """τ of the pair as a whole, from the imbalance, which the flow conserves: `pair_threshold`."""
        return pair_threshold(self.imbalance, len(self.singular_values))

    @property
    def active_modes(self) -> int:
        """Number of modes above their own threshold, m_k > τ_k."""
        return int(np.sum(self.singular_values > self.thresholds))

    @property
    def stable_rank(self) -> float:
        """‖A‖_F²/‖A‖_op², 0 for A = 0."""
        return float(stable_rank(self.singular_values))

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of m_k/Σm, 0 for A = 0."""
        return float(effective_rank(self.singular_values))


def pair_threshold(imbalance: Float[np.ndarray, " r"], modes: int) -> float:
    """Return τ of a pair as a whole: what its `modes` learn at, each from its share of the imbalance.

        τ = (n₊·mean λ₊ + n₋·mean |λ₋|)/k,

    with the positive and negative eigenvalues λ₊, λ₋ of (W1W1ᵀ − W2ᵀW2)/2, n₊ and n₋ their numbers, each at most k: the
    mean |λ| in a narrow pair, where a mode has one eigenvalue (2.7); mean λ₊ + mean |λ₋| = σ²w in a wide Gaussian one,
    where it has one of either sign (2.5). Between the two, where some modes have two and some one, it is near the mean
    of the thresholds that the modes themselves have (2.9): 20 × 30, width 25, variance 0.01, mean of six draws: 0.178
    against 0.191, where the sum of the two means is 0.279.

    Args:
        imbalance: eigenvalues λ.
        modes: k = min(r, d_in, d_out).

    References:
        theory (2.5), (2.7), (2.9).

    Examples:
        >>> pair_threshold(np.array([0.5, 0.5]), modes=2), pair_threshold(np.array([0.5, 0.5, -0.3, -0.3]), modes=2)
        (0.5, 0.8)
    """
    total = 0.0
    for side in (imbalance[imbalance > 0], -imbalance[imbalance < 0]):
        if side.size:
            total += min(modes, side.size) * float(side.mean())
    return total / modes


def factor_modes(first: Any, second: Any, scale: float = 1.0) -> FactorModes:
    """Measure the modes of A = s W2 W1 and the threshold of each, from the factors alone.

    For the k-th singular triple (u, m, v) of A, p = √s W1v and q = √s W2ᵀu (so that m = p·q), g = ‖p‖² + ‖q‖²:

        τ_k = ½√(g² − 4m²) = ½‖p − q‖‖p + q‖,      a_k = 2m/g.

    Modes that are zero to rounding have arbitrary singular vectors. What is left of the imbalance without the other
    modes, (W1W1ᵀ − W2ᵀW2)s − Σ(ppᵀ − qqᵀ), stands in for them: each eigenvalue gives a mode of τ = ½|λ| (2.7). Where
    there are more eigenvalues than modes, as in a wide pair, the largest of either sign share one: ½(λ₊ + |λ₋|) (2.5).

    Args:
        first: W1, shape (r, d_in), as in `nn.Linear.weight` (LoRA's A); NumPy, JAX or PyTorch, any float type.
        second: W2, shape (d_out, r) (LoRA's B).
        scale: s > 0 (LoRA: α/r, or α/√r when rank-stabilised).

    Returns:
        `FactorModes`, computed in float64.

    Raises:
        InvalidArgument: shapes that do not chain, entries that are not finite, or a scale that is not positive.

    References:
        theory (2.9); at zero modes (2.7). Meaningful for factors trained from a known kind of start; a pretrained
        model's attention products read "active" even with their entries shuffled.

    Examples:
        >>> import numpy as np
        >>> a = np.random.default_rng(0).uniform(-1, 1, (8, 1024)) / np.sqrt(1024)  # variance 1/(3 d_in)
        >>> start = factor_modes(a, np.zeros((512, 8)), scale=2.0)
        >>> round(start.nominal_threshold, 2), start.active_modes  # s/6
        (0.33, 0)
        >>> balanced = factor_modes([[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 2.0]])
        >>> balanced.singular_values.tolist(), balanced.thresholds.tolist(), balanced.active_modes
        ([4.0, 1.0], [0.0, 0.0], 2)
    """
    w1, w2 = _layers("first", first, "second", second)
    s = checks.number("scale", scale, above=0, at_most=SCALE)
    w1, w2 = math.sqrt(s) * w1, math.sqrt(s) * w2
    d_out, d_in, width = w2.shape[0], w1.shape[1], w1.shape[0]
    k = min(d_out, d_in, width)

    basis_in, r1 = np.linalg.qr(w1.T)
    basis_out, r2 = np.linalg.qr(w2)
    u, m, vt = np.linalg.svd(r2 @ r1.T, full_matrices=False)
    u, m, v = u[:, :k], m[:k], vt[:k].T
    p, q = r1.T @ v, r2.T @ u
    learned = m > _rounding(w1, w2) * np.linalg.norm(r1) * np.linalg.norm(r2)
    m = np.where(learned, m, 0.0)

    thresholds = 0.5 * np.linalg.norm(p - q, axis=0) * np.linalg.norm(p + q, axis=0)
    if not learned.all():
        count = int(learned.sum())
        rows = np.concatenate([w1.T, p[:, learned].T, w2, q[:, learned].T])
        signs = np.repeat([1.0, -1.0, -1.0, 1.0], [d_in, count, d_out, count])
        thresholds[~learned] = _folded(_signed_spectrum(rows, signs), k - count)
    size = np.hypot(m, thresholds)
    return FactorModes(
        shape=(d_out, d_in),
        width=width,
        scale=s,
        singular_values=m,
        thresholds=thresholds,
        activities=np.divide(m, size, out=np.zeros(k), where=size > 0),
        imbalance=0.5 * _imbalance(w1, w2, r1, r2),
        left=basis_out @ u,
        right=basis_in @ v,
    )


def share_outside_rows(factors: tuple[Any, Any], start_first: Any, start_second: Any = None) -> float:
    """Return the share of the update's energy outside the row space of the first factor at the start.

    ‖ΔW(1 − P)‖_F²/‖ΔW‖_F² with ΔW = W2W1 − W2(0)W1(0) and P the projector on the rows of W1(0): 0 while only W2 has
    moved, as in a lazy LoRA run; large once the first factor has learned new directions.

    Args:
        factors: (W1, W2) now, shapes (r, d_in) and (d_out, r).
        start_first: W1(0), shape (r₀, d_in).
        start_second: W2(0), shape (d_out, r₀); zero if left out, as in LoRA.

    Returns:
        A number in [0, 1]; NaN if nothing has been learned yet (ΔW = 0).

    Raises:
        InvalidArgument: shapes that do not fit, or entries that are not finite.

    References:
        theory (2.7).

    Examples:
        >>> import numpy as np
        >>> share = share_outside_rows(([[1.0, 1.0]], [[2.0]]), [[1.0, 0.0]])
        >>> round(share, 12)  # half of the row's energy lies along (0, 1)
        0.5
    """
    w1, w2 = _pair("factors", factors)
    before = _sized(
        "start_first", checks.array("start_first", start_first, 2, dtype=np.float64, shape=(None, w1.shape[1]))
    )
    first, second = w1, w2
    if start_second is not None:
        shape = w2.shape[0], before.shape[0]
        start = _sized("start_second", checks.array("start_second", start_second, 2, dtype=np.float64, shape=shape))
        first, second = np.concatenate([w1, before]), np.concatenate([w2, -start], axis=1)
    basis, upper = np.linalg.qr(before.T)
    turn, size, _ = np.linalg.svd(upper, full_matrices=False)
    basis = basis @ turn[:, size > _rounding(before) * size[0]]  # rows of the start may be dependent
    outside = w1 - (w1 @ basis) @ basis.T
    total = _product_norm(first, second)
    if total <= _rounding(first, second) * np.linalg.norm(first) * np.linalg.norm(second):
        return math.nan
    return min(1.0, (_product_norm(outside, w2) / total) ** 2)


def imbalance_drift(now: tuple[Any, Any], start: tuple[Any, Any]) -> float:
    """Return how far the conserved imbalance D = W1W1ᵀ − W2ᵀW2 has moved.

        ‖D − D(0)‖_F / (‖W1W1ᵀ‖_F + ‖W2ᵀW2‖_F at the start).

    The gradient flow conserves D; gradient descent does to first order in the learning rate. At a LoRA start the
    denominator is ‖D(0)‖_F. Adam, dropout noise and large momentum steps move D. The observable "imbalance_drift" of
    a simulated run is this number.

    Args:
        now: (W1, W2), shapes (r, d_in) and (d_out, r).
        start: (W1, W2) at the start, of the same shapes.

    Raises:
        InvalidArgument: shapes that differ, entries that are not finite, or a start of zero.

    References:
        theory (1.5), (2.7).

    Examples:
        >>> imbalance_drift(([[1.0, 0.0]], [[0.1], [0.0]]), ([[1.0, 0.0]], [[0.0], [0.0]]))
        0.01...
    """
    (w1, w2), (b1, b2) = _pair("now", now), _pair("start", start)
    if (w1.shape, w2.shape) != (b1.shape, b2.shape):
        shapes = f"the shapes are {b1.shape}, {b2.shape} and {w1.shape}, {w2.shape}"
        raise checks.InvalidArgument("start", "have the shapes of `now`", shapes)
    size = float(np.linalg.norm(_small_gram(b1)) + np.linalg.norm(_small_gram(b2.T)))
    if size == 0:
        raise checks.InvalidArgument("start", "be non-zero", "both factors are zero")
    rows = np.concatenate([w1.T, w2, b1.T, b2])
    signs = np.repeat([1.0, -1.0, -1.0, 1.0], [w1.shape[1], w2.shape[0]] * 2)
    return float(np.linalg.norm(_signed_spectrum(rows, signs))) / size


def _pair(name: str, value: Any) -> tuple[np.ndarray, np.ndarray]:
    """The two factors of a pair."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise checks.InvalidArgument(name, "be a pair (W1, W2)", f"it is {checks.shown(value)}")
    return _layers(f"{name}[0]", value[0], f"{name}[1]", value[1])


def _layers(first_name: str, first: Any, second_name: str, second: Any) -> tuple[np.ndarray, np.ndarray]:
    w1 = checks.array(first_name, first, 2, dtype=np.float64)
    w2 = checks.array(second_name, second, 2, dtype=np.float64)
    if w2.shape[1] != w1.shape[0]:
        raise checks.InvalidArgument(
            second_name,
            f"have {w1.shape[0]} columns, one for each row of `{first_name}`",
            f"its shape is {w2.shape}",
            "the first factor is (r, d_in) and the second (d_out, r)",
        )
    return _sized(first_name, w1), _sized(second_name, w2)


def _sized(name: str, factor: np.ndarray) -> np.ndarray:
    """Return a factor whose fourth powers are numbers, or refuse it."""
    if (largest := float(np.abs(factor).max())) > TO_THE_FOURTH:
        raise checks.InvalidArgument(
            name, f"have entries up to {TO_THE_FOURTH:g}", f"its largest is {largest:.3g}", "use other units"
        )
    return factor


def _signed_spectrum(rows: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Eigenvalues, largest first, of rowsᵀ diag(signs) rows: all r of them, or n in the frame of a wide pair."""
    small = np.asarray(np.linalg.qr(rows.T, mode="r")) if rows.shape[1] > rows.shape[0] else rows.T
    eigenvalues = np.linalg.eigvalsh((small * signs) @ small.T)[::-1]
    return np.where(np.abs(eigenvalues) > _rounding(rows) * np.linalg.norm(rows) ** 2, eigenvalues, 0.0)


def _imbalance(w1: np.ndarray, w2: np.ndarray, r1: np.ndarray, r2: np.ndarray) -> np.ndarray:
    """Eigenvalues, largest first, of W1W1ᵀ − W2ᵀW2 = R1ᵀR1 − R2ᵀR2, with the triangles of W1ᵀ and W2."""
    if len(w1) > w1.shape[1] + len(w2):  # wide: the others are zero
        return _signed_spectrum(np.concatenate([w1.T, w2]), np.repeat([1.0, -1.0], [w1.shape[1], len(w2)]))
    eigenvalues = np.linalg.eigvalsh(r1.T @ r1 - r2.T @ r2)[::-1]
    size = float(np.sum(r1**2) + np.sum(r2**2))
    return np.where(np.abs(eigenvalues) > _rounding(w1, w2) * size, eigenvalues, 0.0)


def _folded(eigenvalues: np.ndarray, count: int) -> np.ndarray:
    """Thresholds of `count` modes, largest first: half of each |eigenvalue|, in signed pairs where too many."""
    up, down = np.sort(eigenvalues[eigenvalues > 0])[::-1], np.sort(-eigenvalues[eigenvalues < 0])[::-1]
    pairs = min(max(up.size + down.size - count, 0), up.size, down.size)
    both = np.concatenate([up[:pairs] + down[:pairs], up[pairs:], down[pairs:], np.zeros(count)])
    return 0.5 * np.sort(both)[::-1][:count]


def _small_gram(matrix: np.ndarray) -> np.ndarray:
    """M Mᵀ or MᵀM, whichever is smaller: the same Frobenius norm."""
    return matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix


def _product_norm(first: np.ndarray, second: np.ndarray) -> float:
    """‖W2W1‖_F from the triangular factors."""
    left, right = (np.asarray(np.linalg.qr(m, mode="r")) for m in (second, first.T))
    return float(np.linalg.norm(left @ right.T))


def _rounding(*matrices: np.ndarray) -> float:
    """Relative size below which a result from these matrices is rounding."""
    return float(sum(sum(m.shape) for m in matrices) * np.finfo(np.float64).eps)
