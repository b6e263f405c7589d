"""Linear algebra that several rooms share: what counts as zero, random frames, Wishart factors, the bulk's law."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lindyn.support.namespaces import arrays

if TYPE_CHECKING:
    from jaxtyping import Float


def rounding_floor(largest: float, shape: tuple[int, ...], dtype: np.dtype | type = np.float64) -> float:
    """Return the size below which a singular value is rounding: s₁·max(shape)·ε, as in `numpy.linalg.matrix_rank`.

    Examples:
        >>> rounding_floor(2.0, (3, 512)) == 2.0**-42
        True
    """
    return float(largest) * max(shape) * float(np.finfo(dtype).eps)


def numerical_rank(singular_values: Float[np.ndarray, " k"], shape: tuple[int, ...]) -> int:
    """Return how many singular values, largest first, are above rounding; ε is that of their dtype.

    Args:
        singular_values: s₁ ≥ s₂ ≥ …, of a matrix of the given shape; may be empty.
        shape: of that matrix.

    Examples:
        >>> numerical_rank(np.array([3.0, 1.0, 1e-17]), (3, 4)), numerical_rank(np.zeros(2), (2, 2))
        (2, 0)
    """
    if singular_values.size == 0:
        return 0
    floor = rounding_floor(float(singular_values[0]), shape, singular_values.dtype)
    return int(np.count_nonzero(singular_values > floor))


def haar_frame(
    rows: int, columns: int, rng: np.random.Generator, *, beside: Float[np.ndarray, "rows k"] | None = None
) -> Float[np.ndarray, "rows columns"]:
    """Return uniformly random orthonormal columns, uniform in the complement of given ones.

    A QR decomposition alone is not uniform: it fixes the sign of an entry of each column. Q·sign(diag R) is the
    decomposition whose R has a positive diagonal, which is unique, so that Q inherits the invariance of its Gaussian.

    Args:
        rows: n ≥ columns (+ those of `beside`).
        columns: how many.
        rng: source of randomness.
        beside: orthonormal columns that the new ones must be orthogonal to.

    References:
        Mezzadri (2007), How to generate random matrices from the classical compact groups.

    Examples:
        >>> q = haar_frame(5, 2, np.random.default_rng(0), beside=np.eye(5)[:, :1])
        >>> bool(np.allclose(q.T @ q, np.eye(2))), bool(np.allclose(q[0], 0))
        (True, True)
    """
    gaussian = rng.standard_normal((rows, columns))
    if beside is not None and beside.shape[1]:
        gaussian = np.concatenate([beside, gaussian], axis=1)
    q, r = np.linalg.qr(gaussian)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return q[:, q.shape[1] - columns :]


def bartlett(
    size: int, freedom: float, rng: np.random.Generator, batch: tuple[int, ...] = ()
) -> Float[np.ndarray, "*batch size size"]:
    """Return L, lower triangular, for which LLᵀ has the law of GGᵀ, G of shape (size, freedom) and iid N(0, 1) entries.

        L_ij ~ N(0, 1) below the diagonal, L_ii = √χ²(freedom − i), i = 0 … size − 1.

    Args:
        size: n.
        freedom: number of columns of G, at least n; any size, since G is never formed.
        rng: source of randomness.
        batch: leading axes of independent draws.

    References:
        theory (1.4); Bartlett (1933).

    Examples:
        >>> draws = bartlett(2, 1e15, np.random.default_rng(0), batch=(3,))
        >>> draws.shape, bool(np.allclose(draws[:, 0, 0], 1e15**0.5))
        ((3, 2, 2), True)
    """
    lower = np.tril(rng.standard_normal((*batch, size, size)), -1)
    diagonal = np.arange(size)
    lower[..., diagonal, diagonal] = np.sqrt(rng.chisquare(freedom - diagonal.astype(np.float64), (*batch, size)))
    return lower


def energy_rank(energy: Any, top: Any) -> Any:
    """Return the stable rank ‖A‖_F²/‖A‖_op², 0 for a matrix of zero, for NumPy and JAX alike.

    Args:
        energy: ‖A‖_F² = Σs².
        top: ‖A‖_op = s₁, of the same shape.

    Examples:
        >>> energy_rank([9.0, 0.0], [2.0, 0.0]).tolist()
        [2.25, 0.0]
    """
    xp, (power, s) = arrays(energy, top)
    safe = xp.where(s > 0, s, 1.0)
    return xp.where(s > 0, power / safe / safe, 0.0)


def stable_rank(singular_values: Any) -> Any:
    """Return Σs²/s₁² over the last axis, 0 where all vanish, for NumPy and JAX alike.

    Args:
        singular_values: s ≥ 0 in any order, (..., k), k ≥ 1.

    Examples:
        >>> stable_rank([[2.0, 2.0, 1.0], [0.0, 0.0, 0.0]]).tolist()
        [2.25, 0.0]
    """
    xp, (s,) = arrays(singular_values)
    top = xp.max(s, axis=-1)
    shares = s / xp.where(top > 0, top, 1.0)[..., None]  # their squares neither overflow nor vanish
    return xp.sum(shares**2, axis=-1)


def effective_rank(singular_values: Any) -> Any:
    """Return exp H, H the entropy of s_k/Σs over the last axis, 0 where all vanish, for NumPy and JAX alike.

    Args:
        singular_values: s ≥ 0 in any order, (..., k), k ≥ 1.

    References:
        Roy & Vetterli (2007), The effective rank.

    Examples:
        >>> effective_rank([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]).tolist()
        [2.0, 0.0]
    """
    xp, (s,) = arrays(singular_values)
    total = xp.sum(s, axis=-1)
    p = s / xp.where(total > 0, total, 1.0)[..., None]
    entropy = -xp.sum(p * xp.log(xp.where(p > 0, p, 1.0)), axis=-1)
    return xp.where(total > 0, xp.exp(entropy), 0.0)


class Bulk(NamedTuple):
    """A quadrature of the Marchenko–Pastur law, from the upper edge down."""

    values: Float[np.ndarray, " nodes"]
    shares: Float[np.ndarray, " nodes"]


def marchenko_pastur(shape: tuple[int, int], nodes: int) -> Bulk:
    """Return singular values of a matrix of iid entries of variance 1, and the share of them at each.

    With n the larger dimension and c·n the smaller, a squared singular value is n·λ, λ = 1 + c + 2√c cos φ, and φ has
    the smooth density (2/π) sin²φ/λ on (0, π), for which the midpoint rule converges geometrically.

    Args:
        shape: of the matrix, both at least 1.
        nodes: of the midpoint rule; more are needed as c nears 1.

    References:
        theory section 5; Marchenko & Pastur (1967).

    Examples:
        >>> bulk = marchenko_pastur((100, 400), nodes=64)
        >>> round(float(bulk.shares @ bulk.values**2), 9)  # the mean square is the larger dimension
        400.0
    """
    small, large = sorted(shape)
    values, weights = marchenko_pastur_node((np.arange(nodes) + 0.5) * math.pi / nodes, small, large)
    return Bulk(values, weights / weights.sum())


def marchenko_pastur_node(angle: Any, small: Any, large: Any) -> tuple[Any, Any]:
    """Return the singular value at one node of that quadrature, √n·√(1 + c + 2√c cos φ), and its weight sin²φ/λ.

    Args:
        angle: φ in (0, π).
        small: the smaller dimension, c·n.
        large: the larger one, n.

    References:
        theory section 5; Marchenko & Pastur (1967).

    Examples:
        >>> value, weight = marchenko_pastur_node(0.5 * math.pi, 100.0, 100.0)
        >>> round(float(value), 4), float(weight)
        (14.1421, 0.5)
    """
    xp, (phi, few, many) = arrays(angle, small, large)
    c = few / many
    square = 1 + c + 2 * xp.sqrt(c) * xp.cos(phi)
    return xp.sqrt(many) * xp.sqrt(square), xp.sin(phi) ** 2 / square


def marchenko_pastur_median(shape: tuple[int, int], nodes: int = 20_000) -> float:
    """Return the median singular value of a matrix of iid entries of variance 1, as its dimensions grow.

    Examples:
        >>> round(marchenko_pastur_median((10**6, 10**6)) / 1000, 4)  # (2.858 of Gavish & Donoho)⁻¹ · 4/√3
        0.808
    """
    bulk = marchenko_pastur(shape, nodes)
    square = bulk.values**2  # interpolated linearly in the square
    return math.sqrt(float(np.interp(0.5, np.cumsum(bulk.shares), square)))
