"""Kernels of (3.1) in JAX: the matrix Riccati equation in the eigenbasis of the target, in two forms.

**Of order d**, where ‖T‖/τ is moderate. M = A-blocks beside √(AᵀA + τ²) and √(AAᵀ + τ²) is a Cayley transform,
M = τ(I + Ẑ)(I − Ẑ)⁻¹ with Ẑ = [[0, Zᵀ], [Z, 0]], which turns a Riccati equation into one: that of
Z = tanh(½ asinh(A/τ)), a function of the singular values, is

    Ż = T − 2τZ − ZTᵀZ,      A = 2τ(I − ZZᵀ)⁻¹Z,      Z∞ = tanh(½ asinh(T/τ)),
    Z(t) = Z∞ + e^{−Ψt}[I + Δ₀Φ(t)]⁻¹Δ₀e^{−Ψt},      Δ₀ = Z(0) − Z∞,

in the bases of T's singular vectors, where Ψ = √(s² + τ²) and Φ = s(1 − e^{−2ψt})/2ψ are diagonal. ‖Z‖ < 1, and no
singular value of I + Δ₀Φ falls below about τ/2ψ: an LU decomposition is stable. Rounding costs ‖T‖/τ units.

**Of order d_in + d_out**, for any ratio, zero included. With F = [[0, Tᵀ], [T, 0]], Ω = √(F² + τ²) and
Φ(t) = (1 − e^{−2Ωt})/2Ω, the matrix of (3.1) to be inverted, I + D₀Φ, equals KΦ with

    K(t) = M(0) + Ω coth(Ωt) − F,

a sum of two positive matrices, the second diagonal in the eigenbasis of F with entries free of cancellation
(ψ − f = τ²/(ψ + f)). M(0) = ZZᵀ has an explicit factor Z, so K = RᵀR with R from a QR decomposition of
[√(Ω coth Ωt − F); Zᵀ]: the condition number is that of R, not of K. A mode that must cross a saddle, where K is
nearly singular by τ², keeps ten digits at τ/‖T‖ = 10⁻⁸; the formula as usually written keeps three.
"""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float


class Spectrum(eqx.Module):
    """The problem in the singular bases of the target."""

    @abc.abstractmethod
    def at(self, time: Any) -> Float[Array, "d_out d_in"]:
        """Return A(t)."""


@jax.jit
def matrix_at(spectrum: Spectrum, time: Any) -> Float[Array, "d_out d_in"]:
    """Return A(t), compiled once for each form and shape."""
    return spectrum.at(time)


class HalfAngle(Spectrum):
    """The form of order d: singular vectors of T, and Z(0) − Z∞ between them."""

    left: Float[Array, "d_out d_out"]
    singular_values: Float[Array, " k"]
    right: Float[Array, "d_in d_in"]
    start_gap: Float[Array, "d_out d_in"]
    threshold: Any

    def at(self, time: Any) -> Float[Array, "d_out d_in"]:
        """Return A(t)."""
        tau, s, gap = self.threshold, self.singular_values, self.start_gap
        k, (d_out, d_in) = s.size, gap.shape
        psi = jnp.hypot(s, tau)
        phi = -s * jnp.expm1(-2 * psi * time) / (2 * psi)
        fall, slowest = jnp.exp(-psi * time), jnp.exp(-tau * time)  # beyond the k modes ψ = τ
        fall_out, fall_in = (jnp.concatenate([fall, jnp.full(d - k, slowest)]) for d in (d_out, d_in))
        system = jnp.eye(d_out, dtype=gap.dtype).at[:, :k].add(gap[:, :k] * phi)
        z = fall_out[:, None] * jnp.linalg.solve(system, gap) * fall_in
        z = z.at[jnp.arange(k), jnp.arange(k)].add(_half_angle(s, tau))
        root = jnp.linalg.cholesky(jnp.eye(d_out, dtype=z.dtype) - z @ z.T)
        solved = solve_triangular(root, solve_triangular(root, z, lower=True), lower=True, trans=1)
        return (self.left * (2 * tau)) @ solved @ self.right


def _half_angle(s: Any, tau: Any) -> Any:
    """tanh(½ asinh(s/τ)) = s/(τ + √(s² + τ²))."""
    return s / (tau + jnp.hypot(s, tau))


@jax.jit
def half_angle(target: Any, start: Any, tau: Any) -> HalfAngle:
    """Return what the form of order d needs of T, A(0) and τ > 0."""
    u, s, vt = jnp.linalg.svd(target, full_matrices=True)
    u0, s0, vt0 = jnp.linalg.svd(start, full_matrices=False)
    gap = (u.T @ (u0 * _half_angle(s0, tau))) @ (vt0 @ vt.T)
    modes = jnp.arange(s.size)
    return HalfAngle(u, s, vt, gap.at[modes, modes].add(-_half_angle(s, tau)), tau)


class Hermitised(Spectrum):
    """The form of order d_in + d_out in the eigenbasis of F: columns of P are (v; ±u)/√2 and the kernel."""

    basis_in: Float[Array, "d_in n"]
    basis_out: Float[Array, "d_out n"]
    eigenvalues: Float[Array, " n"]
    start_factor: Float[Array, "n n"]
    start_excess: Float[Array, "n n"]
    limit: Float[Array, "d_out d_in"]
    threshold: Any

    def at(self, time: Any) -> Float[Array, "d_out d_in"]:
        """Return A(t)."""
        f, tau = self.eigenvalues, self.threshold
        psi = jnp.hypot(f, tau)
        safe = jnp.where(psi > 0, psi, 1)
        fall = jnp.exp(-psi * time)
        # Φ = (1 − e^{−2ψt})/2ψ, → t at ψ = 0
        phi = jnp.where(psi > 0, -jnp.expm1(-2 * psi * time) / (2 * safe), time)
        # ψ coth ψt − f, without cancellation for either sign of f
        growing = (tau**2 / jnp.where(f > 0, psi + f, 1) + fall**2 * (psi + f)) / safe
        gap = jnp.where(f > 0, growing, 1 + fall**2 + 2 * jnp.abs(f) * phi) / (2 * phi)
        r = jnp.linalg.qr(jnp.concatenate([jnp.diag(jnp.sqrt(gap)), self.start_factor.T]), mode="r")
        # M(t) = M∞ + e^{−Ωt} Φ⁻¹ K⁻¹ D₀ e^{−Ωt}, of which only the columns of the inputs are needed
        right = fall[:, None] * self.basis_in.T
        d0_right = self.start_excess @ right - (f + _excess(f, tau))[:, None] * right
        solved = solve_triangular(r, solve_triangular(r, d0_right, trans=1))
        return self.limit + (self.basis_out * (fall / phi)) @ solved


def _paired_basis(matrix: Any) -> tuple[Any, Any, Any]:
    """Eigenvectors, split into input and output rows, and eigenvalues of [[0, Aᵀ], [A, 0]] from the SVD of A."""
    d_out, d_in = matrix.shape
    k, extra_in, extra_out = min(d_out, d_in), max(d_in - d_out, 0), max(d_out - d_in, 0)
    u, s, vt = jnp.linalg.svd(matrix, full_matrices=True)
    half = jnp.sqrt(jnp.asarray(0.5, matrix.dtype))
    v = vt.T
    basis_in = jnp.concatenate(
        [half * v[:, :k], half * v[:, :k], v[:, k:], jnp.zeros((d_in, extra_out), matrix.dtype)], axis=1
    )
    basis_out = jnp.concatenate(
        [half * u[:, :k], -half * u[:, :k], jnp.zeros((d_out, extra_in), matrix.dtype), u[:, k:]], axis=1
    )
    kernel = jnp.zeros(extra_in + extra_out, matrix.dtype)
    return basis_in, basis_out, jnp.concatenate([s, -s, kernel])


def _excess(f: Any, tau: Any) -> Any:
    """√(f² + τ²) − τ without cancellation: what is left of M and Ω when τ ≫ s, where A is a small part of both."""
    total = jnp.hypot(f, tau) + tau
    return jnp.where(total > 0, f**2 / jnp.where(total > 0, total, 1), 0)


@jax.jit
def hermitised(target: Any, start: Any, tau: Any) -> Hermitised:
    """Return what the form of order d_in + d_out needs of T, A(0) and τ."""
    basis_in, basis_out, f = _paired_basis(target)
    in0, out0, f0 = _paired_basis(start)
    # M(0) = F₀ + √(F₀² + τ²): its eigenvalues ψ₀ + f₀, with ψ₀ − s₀ = τ²/(ψ₀ + s₀) for the lower ones
    psi0 = jnp.hypot(f0, tau)
    upper = psi0 + jnp.abs(f0)
    lower = jnp.where(upper > 0, tau**2 / jnp.where(upper > 0, upper, 1), 0)
    root = jnp.sqrt(jnp.where(f0 >= 0, upper, lower))
    factor = basis_in.T @ (in0 * root) + basis_out.T @ (out0 * root)
    # M(0) − τ and M∞ − τ: a multiple of the identity is no part of A, and cancels in D₀
    turn = basis_in.T @ in0 + basis_out.T @ out0
    start_excess = (turn * (f0 + _excess(f0, tau))) @ turn.T
    limit = (basis_out * (f + _excess(f, tau))) @ basis_in.T
    return Hermitised(basis_in, basis_out, f, factor, start_excess, limit, tau)
