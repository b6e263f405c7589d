"""Closed forms of the mixed dynamics for the quadratic cost C(A) = ½‖A − T‖_F² (theory section 3).

Two solutions: the curve of one mode from a zero start (3.2), and the whole matrix from any start (3.1).

The second is evaluated in a form that stays accurate where the textbook one does not. With F = [[0, Tᵀ], [T, 0]],
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
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from lindyn.support import checks
from lindyn.support.precision import result_dtype, working_precision


def mode_curve(singular_value: Any, threshold: Any, time: Any) -> Float[np.ndarray, "..."]:
    """Learned strength of a mode of the target against time, from a zero start.

    Solves ṁ = 2√(m² + τ²)(s − m), m(0) = 0. With ψ = √(s² + τ²), E = e^{−2ψt}, a = s/ψ, b = τ/ψ:

        m(t) = s b(1 − E)[(1 + E) + b(1 − E)] / [2a²E + b²(1 + E²) + b(1 − E²)],

    in which nothing cancels. Limits: s(1 − e^{−2τt}) for τ ≫ s; s/(1 + (2s/τ)e^{−2st}) for τ ≪ s.

    Args:
        singular_value: s ≥ 0, singular values of the target; broadcast with the others.
        threshold: τ ≥ 0. At τ = 0 a zero start never moves, and m = 0.
        time: flow time t ≥ 0 (gradient descent: learning rate × step); infinity is allowed.

    Returns:
        m(t), float64, of the broadcast shape.

    Raises:
        InvalidArgument: an argument is negative or NaN.

    References:
        theory (3.2).

    Examples:
        >>> float(mode_curve(1.0, 1e-3, 3.0).round(4))
        0.168
        >>> mode_curve([0.5, 2.0], 100.0, [0.0, float("inf")]).tolist()  # t = 0 and t → ∞
        [0.0, 2.0]
    """
    s, tau, t = (np.asarray(v, dtype=np.float64) for v in (singular_value, threshold, time))
    for name, value in (("singular_value", s), ("threshold", tau), ("time", t)):
        if not np.all(value >= 0):
            raise checks.InvalidArgument(name, "be non-negative", f"its smallest entry is {np.min(value):g}")
    psi = np.hypot(s, tau)
    safe = np.where(psi > 0, psi, 1.0)
    a, b = s / safe, tau / safe
    rate_time = np.multiply(psi, t, out=np.zeros(np.broadcast(psi, t).shape), where=(psi > 0) & (t > 0))
    e, rise = np.exp(-2 * rate_time), -np.expm1(-2 * rate_time)
    return s * mode_fraction(a, b, e, rise)


def mode_fraction(a: Any, b: Any, e: Any, rise: Any) -> Any:
    """Return m/s of (3.2) from a = s/ψ, b = τ/ψ, E = e^{−2ψt} and 1 − E: arithmetic alone, for NumPy and JAX arrays.

    Where τ = 0 and E = 0 both vanish, and a zero start has not moved: the fraction is 0.

    Examples:
        >>> mode_fraction(0.6, 0.8, 0.0, 1.0)
        1.0
    """
    bottom = 2 * a**2 * e + b**2 * (1 + e**2) + b * rise * (1 + e)
    return b * rise * ((1 + e) + b * rise) / (bottom + (bottom == 0))


def mode_time(singular_value: Any, threshold: Any, level: Any) -> Float[np.ndarray, "..."]:
    """Flow time at which a mode of the target reaches a level, from a zero start: the inverse of `mode_curve`.

        t(m) = (1/2ψ) ln{ s(τ² + s m + ψ√(m² + τ²)) / [(s − m) τ (τ + ψ)] },

    evaluated as ln(1 + x) with x = mψ[ψ + τ + sm/(√(m² + τ²) + τ)] / [(s − m) τ (τ + ψ)], exact for small m too.

    Args:
        singular_value: s > 0.
        threshold: τ ≥ 0; at τ = 0 the time is infinite for every level above 0.
        level: m in [0, s); m = s takes infinite time.

    Returns:
        t, float64, of the broadcast shape, in units of flow time (steps: divide by the learning rate).

    Raises:
        InvalidArgument: a level lies outside [0, s], or a negative argument.

    References:
        theory (3.2).

    Examples:
        >>> t = mode_time(2.0, 0.1, 1.0)
        >>> bool(np.isclose(mode_curve(2.0, 0.1, t), 1.0))
        True
    """
    s, tau, m = (np.asarray(v, dtype=np.float64) for v in (singular_value, threshold, level))
    if not np.all(s > 0):
        raise checks.InvalidArgument("singular_value", "be positive", f"its smallest entry is {np.min(s):g}")
    if not np.all(tau >= 0):
        raise checks.InvalidArgument("threshold", "be non-negative", f"its smallest entry is {np.min(tau):g}")
    if not np.all((m >= 0) & (m <= s)):
        raise checks.InvalidArgument("level", "lie between 0 and the singular value", f"it is {m.tolist()}")
    psi, root = np.hypot(s, tau), np.hypot(m, tau)
    with np.errstate(divide="ignore", invalid="ignore"):  # τ = 0: infinite above m = 0
        # the argument of the logarithm, less 1, in which nothing cancels
        beyond = m * psi * (psi + tau + s * m / (root + tau)) / ((s - m) * tau * (tau + psi))
    return np.where(m == 0, 0.0, np.log1p(np.where(m == 0, 0.0, beyond)) / (2 * psi))


class _Spectrum(eqx.Module):
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
def _spectrum(target: Any, start: Any, tau: Any) -> _Spectrum:
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
    return _Spectrum(basis_in, basis_out, f, factor, start_excess, limit)


@partial(jax.jit, static_argnames="well_conditioned")
def _matrix_at(spectrum: _Spectrum, tau: Any, time: Any, *, well_conditioned: bool) -> Any:
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


class MixedSolution:
    """The mixed dynamics from any start at any time, exactly: A(t), lower-left block of

        M(t) = M∞ + e^{−Ωt}[I + D₀Φ(t)]⁻¹D₀e^{−Ωt},   D₀ = M(0) − M∞,   M∞ = F + Ω,

    the solution of Ȧ = −√(AAᵀ + τ²)(A − T) − (A − T)√(AᵀA + τ²). Also exact for a network's flow from an
    orthogonal start (2.4). One singular value decomposition when built; after that about 30 d³ flops a time, and
    2 d³ for a start of zero, whose modes decouple (3.2).

    Args:
        target: T, shape (d_out, d_in), any rectangle.
        threshold: τ ≥ 0; 0 is the balanced dynamics.
        start: A(0), same shape; zero if left out (then every mode follows `mode_curve`).

    Raises:
        InvalidArgument: shapes differ, entries are not finite, τ < 0, or a zero start at τ = 0, which never moves.

    References:
        theory (3.1); Riccati form as in Fukumizu (1998), Tarmoun et al. (2021), Braun et al. (2022).

    Examples:
        >>> import numpy as np
        >>> target = np.diag([3.0, 1.0])
        >>> solution = MixedSolution(target, threshold=0.1, start=[[0.0, 1.0], [0.2, 0.0]])
        >>> solution([0.0, 100.0]).round(6).tolist()
        [[[0.0, 1.0], [0.2, 0.0]], [[3.0, 0.0], [0.0, 1.0]]]
    """

    def __init__(self, target: Any, threshold: float, start: Any = None):
        target = checks.array("target", target, 2)
        self.threshold = checks.number("threshold", threshold, at_least=0)
        if start is not None:
            start = checks.array("start", start, 2, shape=target.shape)
            self.dtype = result_dtype(target, start)
            self.start = start.astype(self.dtype)
        else:
            self.dtype = target.dtype
            self.start = np.zeros_like(target)
        if self.threshold == 0 and not self.start.any():
            raise checks.InvalidArgument(
                "threshold",
                "be positive for a start of zero",
                "it is 0, and zero is a fixed point of the balanced dynamics",
                "give a start or a positive threshold",
            )
        self.target = target.astype(self.dtype)
        self._modes = None
        if not self.start.any():
            self._modes = np.linalg.svd(self.target, full_matrices=False)
            return
        with working_precision(self.dtype):
            self._tau = jnp.asarray(self.threshold, self.dtype)
            self._spectrum = _spectrum(jnp.asarray(self.target), jnp.asarray(self.start), self._tau)
            scale = float(jnp.max(self._spectrum.eigenvalues)) + float(np.linalg.norm(self.start))
        # K ≥ about τ²/2‖T‖ and ‖K‖ ≤ about 2(‖T‖ + ‖A(0)‖): their ratio times the rounding unit
        self._largest_rate = scale + self.threshold
        self._well_conditioned = scale**2 * np.finfo(self.dtype).eps < 1e-12 * self.threshold**2

    def __call__(self, time: Any) -> Float[np.ndarray, "*times d_out d_in"]:
        """Return A at one flow time, shape (d_out, d_in), or at sorted times, shape (times, d_out, d_in)."""
        sorted_times = checks.times("time", time)
        with working_precision(self.dtype):
            out = np.stack([self.at(t) for t in sorted_times])
        return out[0] if np.ndim(time) == 0 else out

    def at(self, time: float) -> Float[np.ndarray, "d_out d_in"]:
        """Return A at one time ≥ 0, unchecked, inside the caller's precision context."""
        if self._modes is not None:
            u, s, vt = self._modes
            return (u * mode_curve(s, self.threshold, time).astype(self.dtype)) @ vt
        if time < 1e-30 / self._largest_rate:  # nothing has moved, and 1/t would overflow
            return self.start
        return np.asarray(
            _matrix_at(
                self._spectrum,
                self._tau,
                jnp.asarray(time, self.dtype),
                well_conditioned=self._well_conditioned,
            )
        )
