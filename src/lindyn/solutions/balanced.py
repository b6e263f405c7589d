"""The flow of two given factors on C(A) = ½‖A − T‖_F², in the singular basis of T: narrow networks, LoRA included.

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
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from lindyn.support import checks
from lindyn.support.precision import result_dtype

Rows = Float[np.ndarray, "rows w"]

# largest exponent √(s² + τ²)Δt of one step of (3.4): a longer one is composed of steps, since rounding grows by e^8
LONGEST_STEP = 8.0


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
    kept = int(np.count_nonzero(s > s[0] * max(u.shape[0], v.shape[0]) * np.finfo(np.float64).eps)) if s[0] > 0 else 0
    return TargetModes(u[:, :kept], s[:kept], v[:, :kept])


def _outside(basis: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal basis of the part of `columns` outside span(basis), and its components there."""
    rest = columns - basis @ (basis.T @ columns)
    rest -= basis @ (basis.T @ rest)
    q, s, mix = np.linalg.svd(rest, full_matrices=False)
    kept = int(np.count_nonzero(s > np.linalg.norm(columns) * max(columns.shape) * np.finfo(np.float64).eps))
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
        s, tau = self.target_values, self.threshold
        psi = np.hypot(s, tau)
        large, small = np.sqrt(0.5 * (1 + tau / psi)), s / np.sqrt(2 * psi * (psi + tau))
        # eigenvector (c, e) of [[τ, s], [s, −τ]] to +ψ
        self._c, self._e = (large, small) if self._tau >= 0 else (small, large)
        outside_in = self._cuts[2] - self._cuts[1]
        outside_out = self._start.shape[0] - self._cuts[2]
        self._exponents = np.concatenate([psi, -psi, np.full(outside_in, self._tau), np.full(outside_out, -self._tau)])

    def _states(self, times: np.ndarray) -> Iterator[Rows]:
        state, now = self._rotate(self._start, 1.0), 0.0
        fastest = float(np.max(np.abs(self._exponents), initial=0.0))
        for time in times:
            parts = math.ceil(fastest * (time - now) / LONGEST_STEP)
            state = self._advance(state, time - now, parts) if time > now else state
            now = time
            yield self._rotate(state, -1.0)

    def _rotate(self, state: Rows, sign: float) -> Rows:
        """To the eigenvectors of H (sign 1), and back (sign −1)."""
        k = self._cuts[0]
        c, e = self._c[:, None], sign * self._e[:, None]
        x, y = state[:k], state[k : 2 * k]
        return np.concatenate([c * x + e * y, c * y - e * x, state[2 * k :]])

    def _advance(self, state: Rows, span: float, parts: int) -> Rows:
        """Apply (3.4) `parts` times over equal parts of `span`; each leaves V determined up to a rotation."""
        from scipy.linalg import solve_triangular

        h, part = self._exponents, span / max(1, parts)
        exponent, phi = h * part, np.full_like(h, part)
        np.divide(np.expm1(2 * exponent), 2 * h, out=phi, where=np.abs(exponent) > 1e-300)
        root, growth = np.sqrt(phi)[:, None], np.exp(exponent)[:, None]
        for _ in range(max(1, parts)):
            r = _triangle(np.eye(self.width), root * state)
            state = solve_triangular(r, (growth * state).T, trans="T", check_finite=False).T
        return state


class FactorFlow(AbstractFactors):
    """The flow of any two factors, integrated: V̇1 = −W2ᵀG − μ₁W1, V̇2 = −GW1ᵀ − μ₂W2, G = W2W1 − T.

    For starts that are not λ-balanced, where (3.4) is approximate, and for weight decay, under which D(t) =
    D(0)e^{−2μt} (2.8). Runge–Kutta of order 8 in the singular basis of T: O((k + w)w²) an evaluation, k the rank of
    T, and some 15 evaluations for each √(s₁² + τ²)Δt ≈ 1.

    Args:
        target: T, shape (d_out, d_in), a pair (left, right) of factors with T = left·right, or its `target_modes`.
        first: W1(0), shape (w, d_in).
        second: W2(0), shape (d_out, w).
        weight_decay: μ ≥ 0 on both layers, or a pair (μ₁, μ₂), per unit of flow time.
        rtol: relative tolerance of a step.

    Raises:
        InvalidArgument: shapes that do not chain, entries that are not finite, a start of zero, or μ < 0.

    References:
        theory (1.1), (2.8).

    Examples:
        >>> import numpy as np
        >>> first = np.array([[1.0, 0.0], [0.0, 2.0]])  # D = diag(1, 4): no closed form
        >>> flow = FactorFlow(np.diag([3.0, 2.0]), first, np.zeros((2, 2)))
        >>> flow.singular_values([0.1, 9.0]).round(4).tolist()
        [[0.6701, 0.3008], [3.0, 2.0]]
    """

    def __init__(
        self,
        target: Any,
        first: Any,
        second: Any,
        *,
        weight_decay: float | tuple[float, float] = 0.0,
        rtol: float = 1e-12,
    ):
        super().__init__(target, first, second)
        decays = weight_decay if isinstance(weight_decay, tuple) else (weight_decay, weight_decay)
        if len(decays) != 2:
            raise checks.InvalidArgument(
                "weight_decay", "be a number or a pair, one for each layer", f"it is {weight_decay!r}"
            )
        self._decays = [checks.number("weight_decay", mu, at_least=0) for mu in decays]
        self._rtol = checks.number("rtol", rtol, above=0)
        self.threshold = abs(self._mean)

    def _states(self, times: np.ndarray) -> Iterator[Rows]:
        from scipy.integrate import DOP853

        s, (mu_in, mu_out) = self.target_values[:, None], self._decays
        shape = self._start.shape

        def velocity(_: float, flat: np.ndarray) -> np.ndarray:
            inner, outer, rest_in, rest_out = self._split(flat.reshape(shape))
            gram_in = inner.T @ inner + rest_in.T @ rest_in + mu_out * np.eye(shape[1])
            gram_out = outer.T @ outer + rest_out.T @ rest_out + mu_in * np.eye(shape[1])
            return np.concatenate(
                [s * outer - inner @ gram_out, s * inner - outer @ gram_in, -rest_in @ gram_out, -rest_out @ gram_in]
            ).ravel()

        atol = 1e-3 * self._rtol * float(np.max(np.abs(self._start)))
        solver = DOP853(velocity, 0.0, self._start.ravel(), times[-1], rtol=self._rtol, atol=atol)
        between = None
        for time in times:
            while solver.t < time:
                solver.step()
                between = None
            if between is None and time > 0:
                between = solver.dense_output()
            yield self._start if between is None or time == 0 else between(time).reshape(shape)
