"""Kernels of (3.1) in JAX: the Riccati solution in the eigenbasis of the target.

It is evaluated in a form that stays accurate where the textbook one does not. With F = [[0, Tᵀ], [T, 0]],
Ω = √(F² + τ²) and Φ(t) = (1 − e^{−2Ωt})/2Ω, the matrix to be inverted, I + D₀Φ, equals KΦ with

    K(t) = M(0) + Ω coth(Ωt) − F,

a sum of two positive matrices, the second diagonal in the eigenbasis of F with entries free of cancellation
(ψ − f = τ²/(ψ + f)). M(0) = ZZᵀ has an explicit factor Z, so K = RᵀR with R from a QR decomposition of
[√(Ω coth Ωt − F); Zᵀ]: the condition number is that of R, not of K. A mode that must cross a saddle, where K is
nearly singular by τ², keeps ten digits at τ/‖T‖ = 10⁻⁸; the formula as usually written keeps three. Where
‖K‖/τ² is small enough for rounding not to matter, R comes from a Cholesky decomposition, three times as fast.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float


class TargetSpectrum(eqx.Module):
    """The problem in the eigenbasis of F: columns of P are (v; ±u)/√2 and the kernel."""

    basis_in: Float[Array, "d_in n"]
    basis_out: Float[Array, "d_out n"]
    eigenvalues: Float[Array, " n"]
    start_factor: Float[Array, "n n"]
    start_excess: Float[Array, "n n"]
    limit: Float[Array, "d_out d_in"]


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
def target_spectrum(target: Any, start: Any, tau: Any) -> TargetSpectrum:
    """Return what the formula needs of T, A(0) and τ."""
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
    return TargetSpectrum(basis_in, basis_out, f, factor, start_excess, limit)


@partial(jax.jit, static_argnames="well_conditioned")
def matrix_at(spectrum: TargetSpectrum, tau: Any, time: Any, *, well_conditioned: bool) -> Any:
    """Return A(t)."""
    f, z = spectrum.eigenvalues, spectrum.start_factor
    psi = jnp.hypot(f, tau)
    safe = jnp.where(psi > 0, psi, 1)
    fall = jnp.exp(-psi * time)
    # Φ = (1 − e^{−2ψt})/2ψ, → t at ψ = 0
    phi = jnp.where(psi > 0, -jnp.expm1(-2 * psi * time) / (2 * safe), time)
    # ψ coth ψt − f, without cancellation for either sign of f
    growing = (tau**2 / jnp.where(f > 0, psi + f, 1) + fall**2 * (psi + f)) / safe
    gap = jnp.where(f > 0, growing, 1 + fall**2 + 2 * jnp.abs(f) * phi) / (2 * phi)
    if well_conditioned:
        r = jnp.linalg.cholesky(jnp.diag(gap + tau) + spectrum.start_excess, upper=True)
    else:
        r = jnp.linalg.qr(jnp.concatenate([jnp.diag(jnp.sqrt(gap)), z.T]), mode="r")
    # M(t) = M∞ + e^{−Ωt} Φ⁻¹ K⁻¹ D₀ e^{−Ωt}, of which only the columns of the inputs are needed
    right = fall[:, None] * spectrum.basis_in.T
    d0_right = spectrum.start_excess @ right - (f + _excess(f, tau))[:, None] * right
    solved = solve_triangular(r, solve_triangular(r, d0_right, trans=1))
    return spectrum.limit + (spectrum.basis_out * (fall / phi)) @ solved
