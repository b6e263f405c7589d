"""Dynamics of the matrix itself: the base class for one's own, the mixed formula and its two limits (theory section 2).

A dynamics says how A moves under a cost. Whatever else it says (C1 and C2, a closed form) belongs to that motion: a
subclass that changes the motion inherits none of it. `Dynamics` sees to that by asking which class a method is from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lindyn.networks.network import Network
from lindyn.solutions.solution import Reason, Solution, not_quadratic, riccati
from lindyn.support import checks
from lindyn.support.bounds import DEEPEST_NETWORK
from lindyn.support.precision import working_precision
from lindyn.support.programs import on_device, run_compiled
from lindyn.support.randomness import stream
from lindyn.support.values import Value
from lindyn.tasks.task import Diagonal, Quadratic, Task

__all__ = ["Balanced", "DeepBalanced", "Dynamics", "Lazy", "Mixed", "NoisyLabels"]

Matrix = Float[Array, "d_out d_in"]
# what a motion is made of: with one of these changed, nothing that was said of the motion before holds
_MOTION = ("drive", "velocity", "threshold_at")


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


def _number(name: str) -> Any:
    def convert(value: Any) -> float:
        return checks.number(name, value, at_least=0)

    return convert


def _matrix(value: Any) -> Any:
    return None if value is None else checks.array("start", value, 2)


class Dynamics(Value, eqx.Module):
    """A motion of the matrix alone, Ȧ = velocity(A, ∇C(A), t) from A(0) = `start`: the base class for your own.

    A subclass defines `drive`, the motion under the cost at a threshold, or `velocity`, all of it, with jax.numpy.
    Its own parameters are annotated fields, as in a dataclass. That is enough for "auto", `Flow`, `GradientDescent`
    (Euler steps), `compare` and every observable of the matrix. What it can say beyond that is optional: `grams` for
    the observables of the tangent kernel, `solution` for `ClosedForm`.

    Numbers and arrays among the fields are traced: changing them compiles nothing anew. Whole numbers, words and
    functions are compiled in, each value anew. Values that `drive` takes from outside (globals, closures) are read
    when it is compiled, so make them fields.

    Args:
        threshold: τ ≥ 0, for a motion that has one; 0 if left out.
        start: A(0), shape (d_out, d_in); zero if left out.
        weight_decay: μ ≥ 0 on both layers, per unit of flow time: τ(t) = τe^{−2μt} and a term −2μA (2.8).

    Raises:
        InvalidArgument: a negative τ or μ, a start that is not a finite matrix, or neither `drive` nor `velocity`.

    References:
        theory (2.1), (2.8).

    Examples:
        A rival of the mixed formula that leaves τ out of one root (docs: "Test your own formula"):

        >>> import jax.numpy as jnp, numpy as np, lindyn as ld
        >>> class Halved(ld.Dynamics):
        ...     speed: float = 0.5
        ...
        ...     def drive(self, matrix, gradient, threshold):
        ...         return -self.speed * 2 * threshold * gradient
        >>> task = ld.SpikedMatrix(target=np.eye(2))
        >>> run = ld.simulate(Halved(threshold=1.0), task, times=[0.0, 1.0])
        >>> print(run.info.method, float(run.final[0, 0].round(6)))  # 1 − e^{−1}
        flow by dopri8 0.632121
    """

    threshold: float = eqx.field(converter=_number("threshold"), default=0.0)
    start: Float[np.ndarray, "d_out d_in"] | None = eqx.field(converter=_matrix, default=None)
    weight_decay: float = eqx.field(converter=_number("weight_decay"), default=0.0, kw_only=True)

    def __check_init__(self) -> None:
        if all(self._origin(name) is Dynamics for name in ("drive", "velocity")):
            raise checks.InvalidArgument(
                "system",
                "say how its matrix moves",
                f"{type(self).__name__} defines neither `drive` nor `velocity`",
                "define drive(self, matrix, gradient, threshold)",
            )

    # What a subclass defines.

    def drive(self, matrix: Matrix, gradient: Matrix, threshold: Float[Array, ""]) -> Matrix:
        """Return the motion under the cost, such as −C2 G − G C1, inside JAX.

        Args:
            matrix: A, shape (d_out, d_in).
            gradient: G = ∇C(A), same shape.
            threshold: τ(t) at the present time.
        """
        raise NotImplementedError(f"{type(self).__name__} has no drive")

    def velocity(self, matrix: Matrix, gradient: Matrix, time: Float[Array, ""]) -> Matrix:
        """Return Ȧ inside JAX: the drive at τ(t), and −2μA under weight decay (2.8)."""
        return self.drive(matrix, gradient, self.threshold_at(time)) - 2 * self.weight_decay * matrix

    def threshold_at(self, time: Float[Array, ""]) -> Float[Array, ""]:
        """Return τ(t) = τe^{−2μt} inside JAX."""
        return self.threshold * jnp.exp(-2 * self.weight_decay * time)

    def grams(self, matrix: Matrix, threshold: Float[Array, ""]) -> tuple[Array, Array] | None:
        """Return C1 (d_in, d_in) and C2 (d_out, d_out) with drive = −C2 G − G C1, inside JAX; None if not known."""
        del matrix, threshold
        return None

    def row_rates(self, norm: float) -> tuple[float, float] | None:
        """Return c and d with drive = −(c + d aᵀa) G for a matrix of one row a of length `norm`; None if not known."""
        del norm
        return None

    def solution(self, task: Task) -> Solution | Reason:
        """Return the exact motion on a task, or the reason why there is none. Asked through `closed_form`."""
        del task
        return Reason(f"{type(self).__name__} has no closed form")

    def tangent_norm(self, matrix: Float[np.ndarray, "d_out d_in"]) -> float:
        """Return the norm of the linear map G ↦ drive at a matrix, by power iteration."""
        with working_precision(np.float64):
            moved = on_device(self, np.dtype(np.float64))
            return float(run_compiled(_tangent_norm, moved, jnp.asarray(matrix, np.float64)))

    # What others ask.

    def closed_form(self, task: Task) -> Solution | Reason:
        """Return the exact motion on a task, or the reason why there is none.

        A solution that is inherited counts only where the motion is inherited with it.
        """
        checks.instance("task", task, Task, "a task, such as SpikedMatrix")
        changed = self._changed_since("solution")
        return Reason(f"{changed}, and the closed form is that of another motion") if changed else self.solution(task)

    def known_grams(self, matrix: Matrix, threshold: Any) -> tuple[Array, Array] | None:
        """Return `grams` if they belong to this motion, else None."""
        return None if self._changed_since("grams") else self.grams(matrix, threshold)

    def known_row_rates(self) -> Callable[[float], tuple[float, float]] | None:
        """Return `row_rates` if they belong to this motion, else None."""
        if self._changed_since("row_rates") or self.row_rates(1.0) is None:
            return None
        return self.row_rates  # type: ignore[return-value]  # known at one length, known at all

    def kernel_norms(self, target: Float[np.ndarray, "d_out d_in"]) -> tuple[float, float]:
        """Return the norm of the tangent kernel at the start and at a target, for the stability bound."""
        start = np.zeros(target.shape) if self.start is None else self.start
        inherited = self._changed_since("tangent_norm") is None
        norms = [self.tangent_norm(a) if inherited else Dynamics.tangent_norm(self, a) for a in (start, target)]
        return norms[0], norms[1]

    def _quadratic_of(self, task: Task) -> Quadratic | Reason:
        """Return the quadratic cost for which there are closed forms, or why there is none."""
        if self.weight_decay:
            return Reason(f"weight_decay is {self.weight_decay:g}, which has no closed form here")
        return task.quadratic() or not_quadratic(task)

    def _diagonal_of(self, task: Task) -> Diagonal | Reason:
        """Return the cost of uncorrelated inputs for which there is an exponential approach, or why there is none."""
        if self.weight_decay:
            return Reason(f"weight_decay is {self.weight_decay:g}, which has no closed form here")
        missing = (
            f"{type(task).__name__} is not a quadratic cost of uncorrelated inputs, the only one with a closed form"
        )
        return task.diagonal() or Reason(missing)

    def _origin(self, name: str) -> type:
        return next(kind for kind in type(self).__mro__ if name in vars(kind))

    def _changed_since(self, name: str) -> str | None:
        """Say which part of the motion was changed by a class below the one that `name` is from, if any."""
        order = type(self).__mro__
        source = self._origin(name)
        if source is Dynamics:  # what the base class says holds of any motion
            return None
        for part in _MOTION:
            changer = self._origin(part)
            if order.index(changer) < order.index(source):
                return f"{changer.__name__} has its own `{part}`"
        return None

    @property
    def shape(self) -> tuple[int, int] | None:
        """Shape (d_out, d_in) of the start; None for a start of zero, which has the task's."""
        return None if self.start is None else (self.start.shape[0], self.start.shape[1])

    @property
    def dtype(self) -> np.dtype | None:
        """Precision of the start, or None."""
        return None if self.start is None else self.start.dtype

    @property
    def clock(self) -> float:
        """Flow time that passes in one step of learning rate 1."""
        return 1.0

    @property
    def law(self) -> str:
        """How the motion starts, for print-outs."""
        return repr(self)

    @property
    def name(self) -> str:
        """Name for print-outs."""
        return type(self).__name__.lower()

    @property
    def title(self) -> str:
        """What moves, for print-outs and legends."""
        return f"{self.name} dynamics" + (f" with weight decay {self.weight_decay:g}" if self.weight_decay else "")

    def __repr__(self) -> str:
        """One line with the parameters."""
        start = "zero" if self.start is None else f"a {self.start.shape} matrix"
        own = [f.name for f in fields(self) if f.name not in ("threshold", "start", "weight_decay")]
        parts = [f"threshold={self.threshold:.6g}", f"start={start}"]
        parts += [f"{name}={_short(getattr(self, name))}" for name in own]
        parts += [f"weight_decay={self.weight_decay:g}"] if self.weight_decay else []
        return f"{type(self).__name__}({', '.join(parts)})"


def _short(value: Any) -> str:
    if hasattr(value, "shape") and getattr(value, "size", 1) > 1:
        return f"a {value.shape} array"
    return f"{value:.6g}" if isinstance(value, float) else getattr(value, "__name__", None) or repr(value)


def _tangent_norm(dynamics: Dynamics, matrix: Any) -> Any:
    """Largest factor by which G ↦ velocity(A, G, 0) stretches, by power iteration on the map linearised once."""
    zero = jnp.zeros_like(matrix)
    _, push = jax.linearize(lambda g: dynamics.velocity(matrix, g, jnp.zeros((), matrix.dtype)), zero)
    first = jnp.asarray(stream("key", 0, "curvature").standard_normal(matrix.shape), matrix.dtype)
    tiny = jnp.finfo(matrix.dtype).tiny

    def stretch(_: Any, pair: tuple[Any, Any]) -> tuple[Any, Any]:
        moved = push(pair[0] / jnp.maximum(jnp.linalg.norm(pair[0]), tiny))
        return moved, jnp.linalg.norm(moved)

    return jax.lax.fori_loop(0, 100, stretch, (first, jnp.zeros((), matrix.dtype)))[1]


def _known(network: Any) -> Network:
    """Return a network, or refuse what is none."""
    found: Network = checks.instance("network", network, Network, "a network, such as TwoLayer")
    return found


class Mixed(Dynamics):
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
        >>> Mixed(threshold=2.0), Mixed(1.0) == Mixed(1.0)
        (Mixed(threshold=2, start=zero), True)
    """

    threshold: float = eqx.field(converter=_number("threshold"))

    @classmethod
    def matching(cls, network: Network, *, weight_decay: float = 0.0) -> Self:
        """Return the formula that predicts this network: its threshold, started at its matrix.

        Examples:
            >>> from lindyn.networks.two_layer import TwoLayer
            >>> net = TwoLayer.gaussian(4, width=10**8, variance=1e-8)
            >>> Mixed.matching(net).threshold
            1.0
        """
        return cls(_known(network).threshold, _known(network).matrix, weight_decay=weight_decay)

    def drive(self, matrix: Any, gradient: Any, threshold: Any) -> Any:
        """Return −√(AAᵀ + τ²) G − G √(AᵀA + τ²)."""
        return -mixing(matrix, gradient, threshold)

    def grams(self, matrix: Any, threshold: Any) -> tuple[Any, Any]:
        """Return √(AᵀA + τ²) and √(AAᵀ + τ²)."""
        u, vt, excess, tau = _halves(matrix, threshold)
        d_out, d_in = matrix.shape
        eye_in, eye_out = jnp.eye(d_in, dtype=u.dtype), jnp.eye(d_out, dtype=u.dtype)
        return (vt.T * excess) @ vt + tau * eye_in, (u * excess) @ u.T + tau * eye_out

    def row_rates(self, norm: float) -> tuple[float, float]:
        """Return r + τ and 1/(r + τ), r = √(‖a‖² + τ²): for a row the root is explicit (works 10.2)."""
        total = math.hypot(norm, self.threshold) + self.threshold
        return total, 1 / total if total > 0 else 0.0

    def solution(self, task: Task) -> Solution | Reason:
        """Return (3.1) on a quadratic cost without weight decay."""
        quadratic = self._quadratic_of(task)
        if isinstance(quadratic, Reason):
            return quadratic
        target, curvature = quadratic
        return riccati(target, self.threshold, start_of(self, task), curvature)

    def tangent_norm(self, matrix: Any) -> float:
        """Return 2√(s₁² + τ²)."""
        return 2 * math.hypot(float(np.linalg.norm(matrix, 2)), self.threshold)


class NoisyLabels(Mixed):
    """The mixed formula under fresh noise on the target at every step: τ(t) = τe^{−(2μ + ρ)t}, ρ = ην²d.

    Noise of variance ν² on every entry adds η²ν²d of W2ᵀW2 to W1W1ᵀ and the reverse, so that their difference decays
    as under weight decay, E[D] ← (1 − η²ν²d)E[D], while A stays about its minimum: a lazy start becomes active. What
    the noise does to A itself is left out: E‖A − T‖_F² = ρ Σ_k √(s_k² + τ²) about the minimum of ½‖A − T‖_F², over
    all d singular values of T, and a share of ρ of order ητ.

    Args:
        threshold: τ ≥ 0.
        start: A(0), a square matrix; zero if left out.
        noise_rate: ρ ≥ 0, per unit of flow time.
        weight_decay: μ ≥ 0 on both layers.

    Raises:
        InvalidArgument: τ, μ or ρ negative, or a start that is not square: there the noise moves both Grams unequally.

    References:
        works (11.8).

    Examples:
        >>> NoisyLabels(2.0, noise_rate=0.1)
        NoisyLabels(threshold=2, start=zero, noise_rate=0.1)
    """

    noise_rate: float = eqx.field(converter=_number("noise_rate"), default=0.0, kw_only=True)

    def __check_init__(self) -> None:
        if self.start is not None and self.start.shape[0] != self.start.shape[1]:
            raise checks.InvalidArgument("start", "be square", f"its shape is {self.start.shape}")

    @classmethod
    def under_noise(
        cls, network: Network, *, learning_rate: float, deviation: float, weight_decay: float = 0.0
    ) -> Self:
        """Return the formula for a square network that is trained under noise, started at its matrix.

        Args:
            network: of two layers.
            learning_rate: η.
            deviation: ν, of the noise on each entry of the target; with white inputs that of `label_noise` over √B for
                batches of B samples.
            weight_decay: μ ≥ 0 on both layers.

        Examples:
            >>> from lindyn.networks.two_layer import TwoLayer
            >>> net = TwoLayer.orthogonal(10, threshold=2.0)
            >>> NoisyLabels.under_noise(net, learning_rate=0.01, deviation=1.0).noise_rate
            0.1
        """
        rate = checks.number("learning_rate", learning_rate, above=0)
        variance = checks.number("deviation", deviation, at_least=0) ** 2
        decay = rate * variance * network.shape[1]
        return cls(network.threshold, network.matrix, noise_rate=decay, weight_decay=weight_decay)

    def threshold_at(self, time: Any) -> Any:
        """Return τ(t) = τe^{−(2μ + ρ)t}."""
        return self.threshold * jnp.exp(-(2 * self.weight_decay + self.noise_rate) * time)

    def grams(self, matrix: Any, threshold: Any) -> tuple[Any, Any]:
        """Return √(AᵀA + τ²) and √(AAᵀ + τ²), at the threshold of the present time."""
        return super().grams(matrix, threshold)


class Lazy(Dynamics):
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

    threshold: float = eqx.field(converter=_number("threshold"))

    def __check_init__(self) -> None:
        checks.number("threshold", self.threshold, above=0, remedy="lazy dynamics at τ = 0 does not move")

    @classmethod
    def matching(cls, network: Network, *, weight_decay: float = 0.0) -> Self:
        """Return the lazy dynamics with this network's threshold, started at its matrix."""
        return cls(_known(network).threshold, _known(network).matrix, weight_decay=weight_decay)

    def drive(self, matrix: Any, gradient: Any, threshold: Any) -> Any:
        """Return −2τG."""
        del matrix
        return -2 * threshold * gradient

    def grams(self, matrix: Any, threshold: Any) -> tuple[Any, Any]:
        """Return τ times the identities."""
        d_out, d_in = matrix.shape
        return threshold * jnp.eye(d_in, dtype=matrix.dtype), threshold * jnp.eye(d_out, dtype=matrix.dtype)

    def row_rates(self, norm: float) -> tuple[float, float]:
        """Return 2τ and 0."""
        del norm
        return 2 * self.threshold, 0.0

    def solution(self, task: Task) -> Solution | Reason:
        """Return A_ik(t) = T_ik + e^{−2τλ_k t}(A_ik(0) − T_ik), on ½ Σ_k λ_k Σ_i (A_ik − T_ik)²."""
        quadratic = self._diagonal_of(task)
        if isinstance(quadratic, Reason):
            return quadratic
        target, curvatures = quadratic
        gap, rate = start_of(self, task) - target, 2 * self.threshold * curvatures
        return Solution(
            target + gap,
            lambda time: target + np.exp(-rate * time).astype(gap.dtype) * gap,
            "exponential approach",
            state_bytes=gap.nbytes,
        )

    def tangent_norm(self, matrix: Any) -> float:
        """Return 2τ."""
        del matrix
        return 2 * self.threshold


class Balanced(Dynamics):
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
        self.threshold, self.start, self.weight_decay = 0.0, checks.array("start", start, 2), weight_decay
        if not np.any(self.start):
            raise checks.InvalidArgument(
                "start", "be non-zero", "it is zero, a fixed point of the balanced dynamics", "or use Mixed"
            )

    @classmethod
    def matching(cls, network: Network, *, weight_decay: float = 0.0) -> Self:
        """Return the balanced dynamics started at this network's matrix."""
        return cls(_known(network).matrix, weight_decay=weight_decay)

    def drive(self, matrix: Any, gradient: Any, threshold: Any) -> Any:
        """Return −√(AAᵀ) G − G √(AᵀA)."""
        return -mixing(matrix, gradient, jnp.zeros_like(threshold))

    def grams(self, matrix: Any, threshold: Any) -> tuple[Any, Any]:
        """Return √(AᵀA) and √(AAᵀ)."""
        u, vt, excess, _ = _halves(matrix, jnp.zeros_like(threshold))
        return (vt.T * excess) @ vt, (u * excess) @ u.T

    def row_rates(self, norm: float) -> tuple[float, float]:
        """Return ‖a‖ and 1/‖a‖."""
        return norm, 1 / norm if norm > 0 else 0.0

    def solution(self, task: Task) -> Solution | Reason:
        """Return (3.1) at τ = 0."""
        quadratic = self._quadratic_of(task)
        if isinstance(quadratic, Reason):
            return quadratic
        target, curvature = quadratic
        return riccati(target, 0.0, start_of(self, task), curvature)

    def tangent_norm(self, matrix: Any) -> float:
        """Return 2s₁."""
        return 2 * float(np.linalg.norm(matrix, 2))


def start_of(dynamics: Dynamics, task: Task) -> Float[np.ndarray, "d_out d_in"]:
    """Return A(0), which is zero in the task's shape and precision if it was left out."""
    return np.zeros(task.shape, task.dtype) if dynamics.start is None else dynamics.start


class DeepBalanced(Dynamics):
    """The balanced flow of L layers: Ȧ = −Σ_l (AAᵀ)^{(L−l)/L} G (AᵀA)^{(l−1)/L}.

    Exact for a network that starts balanced, W_{l+1}ᵀW_{l+1} = W_lW_lᵀ (`DeepLinear.balanced`), for any cost. A mode
    aligned with the target has ṁ = L m^{2−2/L}(s − m). With weight decay μ on every layer a term −LμA.

    Args:
        start: A(0), not zero.
        depth: L ≥ 1; at 2 it is `Balanced`, at 1 gradient flow of A itself.
        weight_decay: μ ≥ 0 on every layer.

    Raises:
        InvalidArgument: a start of zero (L ≥ 2), or a depth below 1.

    References:
        theory (7.6); Arora, Cohen, Hazan (2018).

    Examples:
        >>> import numpy as np
        >>> DeepBalanced(np.eye(3), depth=4)
        DeepBalanced(threshold=0, start=a (3, 3) matrix, depth=4)
    """

    depth: int = eqx.field(default=2)

    def __init__(self, start: Any, depth: int, *, weight_decay: float = 0.0):
        self.threshold, self.start, self.weight_decay = 0.0, checks.array("start", start, 2), weight_decay
        self.depth = checks.integer("depth", depth, at_least=1, at_most=DEEPEST_NETWORK)
        if self.depth > 1 and not np.any(self.start):
            raise checks.InvalidArgument("start", "be non-zero", "it is zero, a fixed point of the balanced dynamics")

    @classmethod
    def matching(cls, network: Network, *, weight_decay: float = 0.0) -> Self:
        """Return the balanced dynamics of a network's depth, started at its matrix."""
        return cls(_known(network).matrix, _known(network).depth, weight_decay=weight_decay)

    def drive(self, matrix: Any, gradient: Any, threshold: Any) -> Any:
        """Return −Σ_l (AAᵀ)^{(L−l)/L} G (AᵀA)^{(l−1)/L}, in the singular vectors of A."""
        del threshold
        if self.depth == 1:
            return -gradient
        u, s, vt = jnp.linalg.svd(matrix, full_matrices=False)
        power = s ** (2 / self.depth)
        left, right = u.T @ gradient, gradient @ vt.T
        inner = left @ vt.T
        # l = 1 and l = L have an identity on one side, which reaches outside the singular vectors
        last = power ** (self.depth - 1)
        moved = (u * last) @ left + (right * last) @ vt
        between = sum(
            power[:, None] ** (self.depth - layer) * power[None, :] ** (layer - 1) for layer in range(2, self.depth)
        )
        return -moved - u @ (between * inner) @ vt

    @property
    def name(self) -> str:
        """Name for print-outs."""
        return f"balanced, {self.depth} layers,"

    def solution(self, task: Task) -> Solution | Reason:
        """Return the reason why there is none beyond two layers, where it is that of `Balanced`."""
        if self.depth == 2:
            return Balanced(self.start, weight_decay=self.weight_decay).solution(task)
        return Reason(f"the balanced flow of {self.depth} layers has no closed form")

    def velocity(self, matrix: Any, gradient: Any, time: Any) -> Any:
        """Return Ȧ: the drive, and −LμA under weight decay."""
        return self.drive(matrix, gradient, self.threshold_at(time)) - self.depth * self.weight_decay * matrix

    def tangent_norm(self, matrix: Any) -> float:
        """Return L s₁^{2−2/L}."""
        return self.depth * float(np.linalg.norm(matrix, 2)) ** (2 - 2 / self.depth)
