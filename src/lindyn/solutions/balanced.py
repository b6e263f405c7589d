"""Closed form (3.4) of λ-balanced factors of any width, for the flow on C(A) = ½‖A − T‖_F².

`step` is the formula, for factors in the singular basis of T; `NarrowSolution` is the motion of two given factors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from lindyn.solutions.factor_motion import AbstractFactors, Rows
from lindyn.support import checks
from lindyn.support.bounds import SQUARED
from lindyn.support.namespaces import demand, quantities, within

# Largest exponent ψΔ of one part of a step. The triangle R of [I; Φ^{1/2}V] has a condition number of about e^{ψΔ}, so
# that a part loses a factor e^8 ≈ 3000 of the sixteen digits, and twelve remain, however long the step.
LONGEST_STEP = 8.0
_MOST_PARTS = 30_000  # of a motion: seconds for small factors


def step(
    rows_in: Float[np.ndarray, "*draws inputs w"],
    rows_out: Float[np.ndarray, "*draws outputs w"],
    values: Float[np.ndarray, " k"],
    threshold: float,
    span: float,
) -> tuple[Float[np.ndarray, "*draws inputs w"], Float[np.ndarray, "*draws outputs w"]]:
    """Return the rows of W1ᵀ and W2 after a time, up to a rotation of the hidden units.

        V(t + Δ) = e^{HΔ}V R⁻¹,   RᵀR = I + Vᵀ((e^{2HΔ} − I)/2H)V,   H = [[τ, s], [s, −τ]] for each mode,

    R from a QR decomposition of [I; Φ^{1/2}V] in the eigenvectors of H. Exact where VᵀJV = 2τI.

    Args:
        rows_in: rows of W1ᵀ in the right singular vectors of T, then those outside of them.
        rows_out: rows of W2 in the left singular vectors, then those outside.
        values: singular values s > 0 of T, which couple the first k rows of each.
        threshold: τ, of either sign.
        span: Δ ≥ 0; composed of parts of ψΔ ≤ `LONGEST_STEP`, ψ = √(s² + τ²).

    References:
        theory (3.4).

    Examples:
        >>> import numpy as np
        >>> q, p = np.array([[1.0]]), np.array([[0.0]])  # one hidden unit, τ = ½
        >>> q, p = step(q, p, np.array([3.0]), 0.5, 0.1)
        >>> float((p @ q.T).round(4)[0, 0])
        0.3008
    """
    k, inputs = values.size, rows_in.shape[-2]
    psi = np.hypot(values, threshold)
    c, e = (part[:, None] for part in _growing_direction(values, threshold, psi))
    q, p = rows_in[..., :k, :], rows_out[..., :k, :]
    outside = inputs - k, rows_out.shape[-2] - k
    state = np.concatenate([c * q + e * p, c * p - e * q, rows_in[..., k:, :], rows_out[..., k:, :]], axis=-2)
    exponents = np.concatenate([psi, -psi, np.full(outside[0], threshold), np.full(outside[1], -threshold)])
    state = _grown(state, exponents, span)
    up, down, rest_in, rest_out = np.split(state, np.cumsum([k, k, outside[0]]), axis=-2)
    return np.concatenate([c * up - e * down, rest_in], axis=-2), np.concatenate([e * up + c * down, rest_out], axis=-2)


def _growing_direction(values: np.ndarray, threshold: float, psi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvector (c, e) of [[τ, s], [s, −τ]] to +ψ, without cancellation for either sign of τ."""
    safe = np.where(psi > 0, psi, 1.0)
    large = np.where(psi > 0, np.sqrt(0.5 * (1 + abs(threshold) / safe)), 1.0)
    small = values / np.sqrt(2 * safe * (safe + abs(threshold)))
    return (large, small) if threshold >= 0 else (small, large)


def _grown(state: np.ndarray, exponents: np.ndarray, span: float) -> np.ndarray:
    """Apply (3.4) over a time to rows that grow by their own exponents, up to a rotation of the columns."""
    width = state.shape[-1]
    longest = float(np.max(np.abs(exponents), initial=0.0)) * float(span)
    parts = max(1, math.ceil(min(longest, SQUARED) / LONGEST_STEP))
    if parts > _MOST_PARTS:
        raise checks.InvalidArgument(
            "time",
            f"be reached in {_MOST_PARTS:,} steps",
            f"the fastest mode needs {parts:,} of √(s² + τ²)Δt = {LONGEST_STEP:g}",
            "ask for an earlier time",
        )
    part = span / parts
    x, phi = exponents * part, np.full_like(exponents, part)
    np.divide(np.expm1(2 * x), 2 * exponents, out=phi, where=np.abs(x) > 1e-300)  # → Δ where the exponent is 0
    root, growth = np.sqrt(phi)[:, None], np.exp(x)[:, None]
    identity = np.broadcast_to(np.eye(width), (*state.shape[:-2], width, width))
    for _ in range(parts):
        r: Any = np.linalg.qr(np.concatenate([identity, root * state], axis=-2), mode="r")
        # positive diagonal: no reflection of a hidden unit, so that a single one is followed with its sign
        r = r * np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)[..., None]
        turned = np.linalg.solve(np.swapaxes(r, -1, -2), np.swapaxes(growth * state, -1, -2))
        state = np.swapaxes(turned, -1, -2)
    return state


def adapter_mode(singular_value: Any, threshold: Any, overlap: Any, time: Any) -> tuple[Any, Any]:
    """Return what an adapter with B = 0 learns of one target mode s u vᵀ: along u vᵀ, and along u beside v.

    (3.4) for W2 = 0 and W1W1ᵀ = 2τI, in numbers. Only the direction a of row(W1) nearest to v takes part, with
    aᵀv = √overlap; outside of row(W1) nothing is learned at first, and A(t) = u(along·v + beside·v⊥)ᵀ turns towards v
    as W1 does.

    Args:
        singular_value: s > 0.
        threshold: τ > 0.
        overlap: squared overlap of v with the rows of W1, in (0, 1]; w/d_in of a random one.
        time: flow time t ≥ 0.

    Returns:
        The parts of A along v and along v⊥, the direction beside it, of the broadcast shape.

    References:
        theory (3.4), (2.7).

    Examples:
        >>> along, beside = adapter_mode(3.0, 0.5, 1.0, 0.1)
        >>> float(along.round(4)), float(beside)
        (0.3008, 0.0)
        >>> [float(part.round(3)) for part in adapter_mode(3.0, 0.5, 0.04, 100.0)]
        [3.0, 0.0]
    """
    xp, (s, tau, share, t) = quantities(singular_value=singular_value, threshold=threshold, overlap=overlap, time=time)
    demand("singular_value", s, s >= 0)
    demand("threshold", tau, tau > 0, "be positive")
    demand("overlap", share, (share >= 0) & (share <= 1), "lie between 0 and 1")
    within(threshold=tau, singular_value=s, time=t)
    psi = xp.hypot(s, tau)
    cosine, sine = xp.sqrt(0.5 * (1 + tau / psi)), s / xp.sqrt(2 * psi * (psi + tau))
    left, risen = xp.exp(-2 * psi * t), -xp.expm1(-2 * psi * t)
    inside, outside = xp.sqrt(2 * tau * share), xp.sqrt(2 * tau * (1 - share))
    up, down = cosine * inside, sine * inside
    # (e^{2τt} − 1)e^{−2ψt}/2τ, and the determinant e^{−2ψt}R², in which nothing overflows
    slow = (xp.exp(2 * (tau - psi) * t) - left) / (2 * tau)
    size = xp.sqrt(left + risen * (up**2 + left * down**2) / (2 * psi) + slow * outside**2)
    learned = cosine * sine * inside * risen / size
    along = inside * (cosine**2 + sine**2 * left) / size
    return learned * along, learned * outside * xp.exp((tau - psi) * t) / size


class NarrowSolution(AbstractFactors):
    """λ-balanced factors of any width at any time, exactly: A(t), lower-left block of

        M(t) = e^{Ht}V₀[I + V₀ᵀ((e^{2Ht} − I)/2H)V₀]⁻¹V₀ᵀe^{Ht},    H = F + τJ,  V₀ = [W1ᵀ; W2],

    the solution of (1.1) on ½‖A − T‖_F² where D = W1W1ᵀ − W2ᵀW2 = 2τI_w, of either sign and zero included. For a LoRA
    update ΔW = s·BA pass √s·A and √s·B; its flow time is s·η·step.

    *Assumed of the start:* D = 2τI. If it is not, as for a LoRA adapter drawn at random (B = 0, AAᵀ ≈ σ²d_in·I with
    deviations of relative size 2√(r/d_in)), the formula is evaluated with these very factors and the mean
    τ = tr(D)/2w, and `residual` = ‖D − 2τI‖/(‖W1‖² + ‖W2‖²) says how far it is from exact. Measured for Kaiming
    starts, d = 256 … 1024, r = 4 … 16: residual 0.12–0.25, singular values off by 0.001 s₁ (s₁ = 18 τ) to 0.03 s₁
    (s₁ near τ). `FactorFlow` has no such error.

    With E = e^{Ht}, Φ = (e^{2Ht} − I)/2H and the triangle R of a QR decomposition of [I; Φ^{1/2}V₀] it is V = EV₀R⁻¹,
    composed of steps of √(s₁² + τ²)Δt ≤ 8 so that it holds at any time. A step costs O((k + w)w²), k the rank of T.

    Args:
        target: T, shape (d_out, d_in), a pair (left, right) of factors with T = left·right, or its `target_modes`.
        first: W1(0), shape (w, d_in).
        second: W2(0), shape (d_out, w).
        threshold: signed τ to use instead of the mean tr(D)/2w.

    Attributes:
        threshold: |τ|.
        imbalance: D, shape (w, w).
        residual: 0 where the solution is exact.

    Raises:
        InvalidArgument: shapes that do not chain, entries that are not finite, or a start of zero.

    References:
        theory (3.4), (2.6), (2.7); Dominé et al. (2024) for w = min(d_in, d_out).

    Examples:
        >>> import numpy as np
        >>> first = np.array([[1.0, 0.0, 0.0]])  # one hidden unit, τ = ½
        >>> solution = NarrowSolution(np.diag([3.0, 2.0, 1.0]), first, np.zeros((3, 1)))
        >>> solution.singular_values([0.0, 0.1, 100.0]).round(4).tolist()
        [[0.0], [0.3008], [3.0]]
    """

    def __init__(self, target: Any, first: Any, second: Any, threshold: float | None = None):
        super().__init__(target, first, second)
        self._tau = self._mean if threshold is None else checks.number("threshold", threshold)
        self.threshold = abs(self._tau)

    def _states(self, times: np.ndarray) -> Iterator[Rows]:
        k, inputs = self._cuts[0], self._cuts[2] - self._cuts[1]
        inner, outer, rest_in, rest_out = self._split(self._start)
        q, p, now = np.concatenate([inner, rest_in]), np.concatenate([outer, rest_out]), 0.0
        for time in times:
            if time > now:
                q, p = step(q, p, self.target_values, self._tau, time - now)
            now = time
            yield np.concatenate([q[:k], p[:k], q[k : k + inputs], p[k:]])
