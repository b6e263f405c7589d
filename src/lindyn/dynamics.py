"""Dynamics of the matrix itself: the mixed formula and its two limits (theory section 2)."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lindyn.networks.two_layer import TwoLayer
from lindyn.support import checks


def _halves(matrix: Any, tau: Any) -> tuple[Any, Any, Any, Any]:
    """U, Vᵀ and ψ − τ = s²/(ψ + τ) of the thin SVD, and τ: √(AAᵀ + τ²) = τ + U(ψ − τ)Uᵀ without cancellation."""
    u, s, vt = jnp.linalg.svd(matrix, full_matrices=False)
    total = jnp.hypot(s, tau) + tau
    excess = jnp.where(total > 0, s**2 / jnp.where(total > 0, total, 1), 0)
    return u, vt, excess, tau


@jax.custom_jvp
def mixing(matrix: Any, gradient: Any, tau: Any) -> Any:
    """Return √(AAᵀ + τ²) G + G √(AᵀA + τ²) (2.1); differentiable also where singular values coincide."""
    u, vt, excess, tau = _halves(matrix, tau)
    left = (u * excess) @ (u.T @ gradient)
    right = ((gradient @ vt.T) * excess) @ vt
    return left + right + 2 * tau * gradient


@mixing.defjvp
def _mixing_jvp(primals: Any, tangents: Any) -> Any:
    """Differentiate the roots: X = √(AAᵀ + τ²) has XẊ + ẊX = ȦAᵀ + AȦᵀ + 2ττ̇, diagonal in A's singular vectors."""
    matrix, gradient, tau = primals
    d_matrix, d_gradient, d_tau = tangents
    u, s, vt = jnp.linalg.svd(matrix, full_matrices=True)

    def root_tangent(vectors: Any, square_tangent: Any) -> Any:
        psi = jnp.hypot(jnp.zeros(vectors.shape[0], s.dtype).at[: s.size].set(s), tau)
        pairs = psi[:, None] + psi[None, :]
        inner = vectors.T @ (square_tangent + 2 * tau * d_tau * jnp.eye(psi.size, dtype=s.dtype)) @ vectors
        return vectors @ jnp.where(pairs > 0, inner / jnp.where(pairs > 0, pairs, 1), 0) @ vectors.T

    left = d_matrix @ matrix.T
    right = matrix.T @ d_matrix
    tangent = mixing(matrix, d_gradient, tau)
    tangent += root_tangent(u, left + left.T) @ gradient + gradient @ root_tangent(vt.T, right + right.T)
    return mixing(matrix, gradient, tau), tangent


@dataclass(frozen=True, eq=False)
class AbstractDynamics(abc.ABC):
    """Motion of the matrix alone: Ȧ = velocity(A, ∇C(A), t), from `start` (zero if None)."""

    start: Float[np.ndarray, "d_out d_in"] | None
    threshold: float
    weight_decay: float

    def __post_init__(self) -> None:
        if self.start is not None:
            object.__setattr__(self, "start", checks.array("start", self.start, 2))
        object.__setattr__(self, "threshold", checks.number("threshold", self.threshold, at_least=0))
        object.__setattr__(self, "weight_decay", checks.number("weight_decay", self.weight_decay, at_least=0))

    @property
    def name(self) -> str:
        """Name for print-outs."""
        return type(self).__name__.lower()

    def __repr__(self) -> str:
        """One line with the parameters."""
        start = "zero" if self.start is None else f"a {self.start.shape} matrix"
        decay = f", weight_decay={self.weight_decay:g}" if self.weight_decay else ""
        return f"{type(self).__name__}(threshold={self.threshold:.6g}, start={start}{decay})"

    @staticmethod
    @abc.abstractmethod
    def drive(matrix: Float[Array, "d_out d_in"], gradient: Float[Array, "d_out d_in"], tau: Any) -> Any:
        """Return the matrix by which the cost moves A, −C2 G − G C1, inside JAX."""

    @staticmethod
    @abc.abstractmethod
    def grams(matrix: Float[Array, "d_out d_in"], tau: Any) -> tuple[Any, Any]:
        """Return C1 (d_in, d_in) and C2 (d_out, d_out) as the dynamics has them, inside JAX."""

    @classmethod
    def velocity(cls, matrix: Any, gradient: Any, time: Any, tau: Any, decay: Any) -> Any:
        """Return Ȧ inside JAX, with weight decay μ: τ(t) = τe^{−2μt} and a term −2μA (2.8)."""
        return cls.drive(matrix, gradient, tau * jnp.exp(-2 * decay * time)) - 2 * decay * matrix


@dataclass(frozen=True, eq=False, repr=False)
class Mixed(AbstractDynamics):
    """The unifying formula: Ȧ = −√(AAᵀ + τ²) G − G √(AᵀA + τ²), for any cost; τ = σ²w.

    Lazy along singular values below τ, balanced along those above it. Exact for wide networks up to O(√(d/w)),
    and without error from an orthogonal start. With weight decay μ: τ(t) = τe^{−2μt} and a term −2μA.

    Args:
        threshold: τ ≥ 0.
        start: A(0), shape (d_out, d_in); zero if left out.
        weight_decay: μ ≥ 0 on both layers, per unit of flow time.

    Raises:
        InvalidArgument: τ or μ negative, or a start that is not a finite matrix.

    References:
        theory (2.1), (2.3), (2.8); Tu, Aranguri, Jacot (2024), equation 1.

    Examples:
        >>> Mixed(threshold=2.0)
        Mixed(threshold=2, start=zero)
    """

    def __init__(self, threshold: float, start: Any = None, *, weight_decay: float = 0.0):
        super().__init__(start, threshold, weight_decay)

    @classmethod
    def matching(cls, network: TwoLayer, *, weight_decay: float = 0.0) -> Self:
        """Return the formula that predicts this network: its threshold, started at its matrix.

        Examples:
            >>> net = TwoLayer.gaussian(4, width=10**8, variance=1e-8)
            >>> Mixed.matching(net).threshold
            1.0
        """
        return cls(network.threshold, network.matrix, weight_decay=weight_decay)

    @staticmethod
    def drive(matrix: Any, gradient: Any, tau: Any) -> Any:
        """Return −√(AAᵀ + τ²) G − G √(AᵀA + τ²)."""
        return -mixing(matrix, gradient, tau)

    @staticmethod
    def grams(matrix: Any, tau: Any) -> tuple[Any, Any]:
        """Return √(AᵀA + τ²) and √(AAᵀ + τ²)."""
        u, vt, excess, tau = _halves(matrix, tau)
        d_out, d_in = matrix.shape
        eye_in, eye_out = jnp.eye(d_in, dtype=u.dtype), jnp.eye(d_out, dtype=u.dtype)
        return (vt.T * excess) @ vt + tau * eye_in, (u * excess) @ u.T + tau * eye_out


@dataclass(frozen=True, eq=False, repr=False)
class Lazy(AbstractDynamics):
    """The kernel limit, τ much above every singular value: Ȧ = −2τ G.

    Args:
        threshold: τ > 0.
        start: A(0); zero if left out.
        weight_decay: μ ≥ 0.

    References:
        theory (2.1), lazy case; Jacot, Gabriel, Hongler (2018).

    Examples:
        >>> Lazy(threshold=2.0)
        Lazy(threshold=2, start=zero)
    """

    def __init__(self, threshold: float, start: Any = None, *, weight_decay: float = 0.0):
        super().__init__(start, threshold, weight_decay)
        checks.number("threshold", threshold, above=0, remedy="lazy dynamics at τ = 0 does not move")

    @classmethod
    def matching(cls, network: TwoLayer, *, weight_decay: float = 0.0) -> Self:
        """Return the lazy dynamics with this network's threshold, started at its matrix."""
        return cls(network.threshold, network.matrix, weight_decay=weight_decay)

    @staticmethod
    def drive(matrix: Any, gradient: Any, tau: Any) -> Any:
        """Return −2τG."""
        del matrix
        return -2 * tau * gradient

    @staticmethod
    def grams(matrix: Any, tau: Any) -> tuple[Any, Any]:
        """Return τ times the identities."""
        d_out, d_in = matrix.shape
        return tau * jnp.eye(d_in, dtype=matrix.dtype), tau * jnp.eye(d_out, dtype=matrix.dtype)


@dataclass(frozen=True, eq=False, repr=False)
class Balanced(AbstractDynamics):
    """The active limit, every singular value much above τ: Ȧ = −√(AAᵀ) G − G √(AᵀA).

    From a random start it may converge slowly or not at all; zero is a fixed point.

    Args:
        start: A(0), not zero.
        weight_decay: μ ≥ 0.

    Raises:
        InvalidArgument: a start of zero.

    References:
        theory (2.1), balanced case; Arora, Cohen, Hazan (2018).

    Examples:
        >>> import numpy as np
        >>> Balanced(np.eye(3))
        Balanced(threshold=0, start=a (3, 3) matrix)
    """

    def __init__(self, start: Any, *, weight_decay: float = 0.0):
        super().__init__(checks.array("start", start, 2), 0.0, weight_decay)
        if not np.any(self.start):
            raise checks.InvalidArgument(
                "start", "be non-zero", "it is zero, a fixed point of the balanced dynamics", "or use Mixed"
            )

    @classmethod
    def matching(cls, network: TwoLayer, *, weight_decay: float = 0.0) -> Self:
        """Return the balanced dynamics started at this network's matrix."""
        return cls(network.matrix, weight_decay=weight_decay)

    @staticmethod
    def drive(matrix: Any, gradient: Any, tau: Any) -> Any:
        """Return −√(AAᵀ) G − G √(AᵀA)."""
        return -mixing(matrix, gradient, jnp.zeros_like(tau))

    @staticmethod
    def grams(matrix: Any, tau: Any) -> tuple[Any, Any]:
        """Return √(AᵀA) and √(AAᵀ)."""
        return Mixed.grams(matrix, jnp.zeros_like(tau))
