"""Two-layer linear networks, held as their reduced factor.

Training multiplies the stacked factor V = [W1ᵀ; W2] from the left only, so V(0) = LQ with orthonormal rows of Q
stays V(t) = L(t)Q, and L, of at most n = d_in + d_out columns, carries the whole trajectory of A at any width
(theory 1.3). For iid Gaussian weights L is drawn directly, as the Bartlett factor of a Wishart matrix, without
the weights ever existing (1.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from lindyn.networks.laws import Parametrization, exponents, lora, pytorch_default, standard
from lindyn.networks.network import Network
from lindyn.networks.pair_modes import pair_threshold
from lindyn.solutions.solution import Reason, Solution, narrow, not_quadratic, riccati
from lindyn.support import checks, linalg
from lindyn.support.bounds import SQUARED
from lindyn.support.memory import require_memory
from lindyn.support.precision import result_dtype
from lindyn.support.randomness import Seed, stream

Shape = int | tuple[int, int]


@dataclass(frozen=True, eq=False, repr=False)
class TwoLayer(Network):
    """A network A = W2 W1 of hidden width w, held as w1 (r, d_in) and w2 (d_out, r) with r = min(w, d_in + d_out).

    Made by one of the laws of initialisation below, not by hand:

    | constructor | weights | threshold τ |
    |---|---|---|
    | `gaussian` | iid N(0, σ²), any width | σ²w (2.5: the mean over layers) |
    | `exponents` | σ² = d^γ_σ², w = d^γ_w | σ²w |
    | `parametrized` | PyTorch default, NTK, mean field, maximal update | see `lindyn.laws` |
    | `orthogonal` | exact mixed dynamics for any cost (2.4) | given |
    | `balanced` | λ-balanced, λ = 2τ (2.6) | given |
    | `lora` | B = 0, A random: ΔW = s·BA (2.7) | s d_in σ_A²/2 |
    | `from_weights` | given arrays or tensors | measured |

    Attributes:
        layers: (w1, w2), reduced: shapes (r, d_in) and (d_out, r).
        widths: (w,), the width of the network itself.
        threshold: τ; singular values of A below it are lazy, above it active.
        law: how the weights were made, for print-outs.
        clock: flow time that passes in one step of learning rate 1 (1 unless parametrised otherwise).
        units: factors (u₁, u₂) between the user's weights and these: w1 = u₁W1, w2 = u₂W2.
        frames: (Q,), shape (r, w), where the full weights are known, else (None,).

    References:
        theory (1.3), (1.4), (2.3)–(2.7).

    Examples:
        >>> net = TwoLayer.gaussian((3, 4), width=10**12, variance=1e-12, key=0)
        >>> net.w1.shape, net.w2.shape, net.threshold
        ((7, 4), (3, 7), 1.0)
    """

    @property
    def w1(self) -> Float[np.ndarray, "r d_in"]:
        """The reduced first layer."""
        return self.layers[0]

    @property
    def w2(self) -> Float[np.ndarray, "d_out r"]:
        """The reduced second layer."""
        return self.layers[1]

    @property
    def width(self) -> int:
        """The width w of the network itself."""
        return self.widths[0]

    @property
    def frame(self) -> Float[np.ndarray, "r w"] | None:
        """Q, with W1 = Qᵀw1 and W2 = w2Q, where the full weights are known."""
        return self.frames[0]

    @property
    def reduced_width(self) -> int:
        """Columns r of the reduced factor."""
        return self.reduced_widths[0]

    @property
    def factor(self) -> Float[np.ndarray, "n r"]:
        """V = [W1ᵀ; W2], reduced."""
        return np.concatenate([self.w1.T, self.w2])

    @staticmethod
    def gaussian(
        shape: Shape,
        width: int,
        variance: float | None = None,
        key: Seed = 0,
        *,
        variance_in: float | None = None,
        variance_out: float | None = None,
        dtype: Any = np.float64,
    ) -> TwoLayer:
        """Draw iid N(0, σ²) weights at any width from 1 up, exactly in law.

        For w > n the reduced factor is the Bartlett factor of a Wishart matrix: σ times a lower triangle of
        N(0, 1) entries with diagonal √χ²(w − i), i = 0 … n − 1. For w ≤ n the weights themselves are drawn.

        Args:
            shape: (d_out, d_in), or d.
            width: w ≥ 1; 10¹⁵ costs what d_in + d_out costs.
            variance: σ² of every weight, or one for each layer by `variance_in` (W1) and `variance_out` (W2).
            key: seed, or a numpy Generator.
            variance_in: σ₁².
            variance_out: σ₂².
            dtype: float64 or float32.

        Raises:
            InvalidArgument: width 0, a negative variance, or none given.

        References:
            theory (1.4), (2.5).

        Examples:
            >>> TwoLayer.gaussian(5, width=100, variance_in=0.02, variance_out=0.0).threshold
            1.0
        """
        if variance is None and (variance_in is None or variance_out is None):
            raise checks.InvalidArgument(
                "variance", "be given", "it is not", "or give both `variance_in` and `variance_out`"
            )
        if not (variance is None or variance_in is None or variance_out is None):
            raise checks.InvalidArgument(
                "variance", "be left out beside `variance_in` and `variance_out`", f"it is {checks.shown(variance)}"
            )
        law = standard(
            width=width,
            variance=0.0 if variance is None else variance,
            variance_in=variance_in,
            variance_out=variance_out,
        )
        return TwoLayer.parametrized(shape, law, key, dtype=dtype)

    @staticmethod
    def exponents(
        shape: Shape,
        variance_exponent: float,
        width_exponent: float,
        key: Seed = 0,
        *,
        dtype: Any = np.float64,
    ) -> TwoLayer:
        """Draw a Gaussian network at a point of the phase diagram: σ² = d^γ_σ², w = d^γ_w, d = √(d_out d_in).

        Examples:
            >>> net = TwoLayer.exponents(500, variance_exponent=-1.85, width_exponent=2.25)
            >>> net.width
            1182177
        """
        law = exponents(shape, variance_exponent=variance_exponent, width_exponent=width_exponent)
        return TwoLayer.parametrized(shape, law, key, dtype=dtype)

    @staticmethod
    def parametrized(shape: Shape, law: Parametrization, key: Seed = 0, *, dtype: Any = np.float64) -> TwoLayer:
        """Draw the weights of a parametrisation (see `lindyn.laws`).

        Gaussian weights come at any width; uniform ones are drawn in full and reduced, so they must fit in memory.

        Examples:
            >>> from lindyn.networks.laws import ntk
            >>> TwoLayer.parametrized(16, ntk(16, width=400)).threshold
            5.0
        """
        d_out, d_in = checks.matrix_shape("shape", shape)
        dtype = checks.precision("dtype", dtype)
        if not isinstance(law, Parametrization):
            raise checks.InvalidArgument("law", "be a Parametrization", f"it is {checks.shown(law)}")
        _require_layers((d_out, d_in), law.width)
        rng = stream("key", key, "weights")
        u_in, u_out = law.units
        deviations = u_in * math.sqrt(law.variance_in), u_out * math.sqrt(law.variance_out)
        if law.distribution == "normal":
            rows = _bartlett(d_in, d_out, law.width, rng)
        else:
            require_memory("width", law.width, 3 * 8 * law.width * (d_in + d_out), "uniform weights")
            rows = rng.uniform(-math.sqrt(3), math.sqrt(3), (d_in + d_out, law.width))
        rows = (rows * np.repeat(deviations, (d_in, d_out))[:, None]).astype(dtype)
        return replace(
            TwoLayer.from_weights(rows[:d_in].T, rows[d_in:], threshold=law.threshold),
            widths=(law.width,),
            law=f"{law.name}, {law.distribution} weights",
            clock=law.clock,
            units=law.units,
        )

    @staticmethod
    def pytorch_default(shape: Shape, width: int, key: Seed = 0, *, dtype: Any = np.float64) -> TwoLayer:
        """Draw the weights that two `torch.nn.Linear` layers without bias start from.

        Examples:
            >>> round(TwoLayer.pytorch_default((10, 20), width=100).threshold, 6)
            1.0
        """
        return TwoLayer.parametrized(shape, pytorch_default(shape, width=width), key, dtype=dtype)

    @staticmethod
    def orthogonal(
        shape: Shape | None = None,
        *,
        threshold: float,
        width: int | None = None,
        side: Literal["both", "in", "out"] = "both",
        start: Any = None,
        dtype: Any = np.float64,
    ) -> TwoLayer:
        """Make the start from which the network's flow obeys the mixed formula exactly, for any cost.

        "both": W1 = √τ O1, W2 = √τ O2ᵀ with orthonormal, mutually orthogonal columns (w ≥ d_in + d_out).
        "in": W1 = √(2τ)·orthonormal columns, W2 = 0 (w ≥ d_in); "out": its mirror (w ≥ d_out).
        With `start` A₀ (side "both"): a factor of M(0) = [[√(A₀ᵀA₀ + τ²), A₀ᵀ], [A₀, √(A₀A₀ᵀ + τ²)]].

        Args:
            shape: (d_out, d_in), or d; taken from `start` if that is given.
            threshold: τ ≥ 0.
            width: w; left out, the smallest that the side allows.
            side: where the weights sit.
            start: A₀, zero if left out.
            dtype: float64 or float32 (of `start` if that is given).

        Raises:
            InvalidArgument: a width too small for the side, τ < 0, or a start with side "in" or "out".

        References:
            theory (2.4), (2.2).

        Examples:
            >>> import numpy as np
            >>> net = TwoLayer.orthogonal((2, 3), threshold=0.5, start=np.ones((2, 3)))
            >>> net.matrix.round(12).tolist()
            [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
        """
        checks.choice("side", side, ("both", "in", "out"))
        tau = checks.number("threshold", threshold, at_least=0, at_most=SQUARED)
        d_out, d_in, start = _shape_and_start(shape, start)
        if start is not None and side != "both":
            raise checks.InvalidArgument("side", "be 'both' when a start is given", f"it is {checks.shown(side)}")
        dtype = checks.precision("dtype", dtype) if start is None else start.dtype
        least = {"both": d_in + d_out, "in": d_in, "out": d_out}[side]
        width = checks.integer("width", least if width is None else width, at_least=least)
        _require_layers((d_out, d_in), d_in + d_out)
        if start is not None:
            rows = _mixed_factor(start, tau)
        elif side == "both":
            rows = math.sqrt(tau) * np.eye(d_in + d_out)
        else:
            rows = np.zeros((d_in + d_out, least))
            rows[slice(None, d_in) if side == "in" else slice(d_in, None)] = math.sqrt(2 * tau) * np.eye(least)
        return _from_rows(rows.astype(dtype), d_in, width, tau, f"orthogonal, side {side!r}")

    @staticmethod
    def balanced(
        shape: Shape | None = None,
        *,
        width: int,
        threshold: float | None = None,
        side: Literal["in", "out"] = "in",
        imbalance: float | None = None,
        start: Any = None,
        key: Seed = 0,
        dtype: Any = np.float64,
    ) -> TwoLayer:
        """Make a λ-balanced start, W2ᵀW2 − W1W1ᵀ = λI_w, of any width up to the size of the larger layer's side.

        λ = −2τ where the larger layer is the first (side "in"), +2τ where it is the second (side "out").

        From A₀ = U S Vᵀ of rank ≤ w: layers √(ψ ± τ) on each mode, ψ = √(s² + τ²); hidden units that A₀ does not
        need get √(2τ) times a random orthonormal direction on the given side.

        Args:
            shape: (d_out, d_in), or d; taken from `start` if that is given.
            width: w, at most d_in (side "in", λ < 0) or d_out (side "out", λ > 0).
            threshold: τ = |λ|/2 ≥ 0.
            side: the larger layer.
            imbalance: signed λ in place of `threshold` and `side`; the matrix `net.imbalance()` is then −λI.
            start: A₀ of rank at most w; zero if left out.
            key: seed of the free directions.
            dtype: float64 or float32 (of `start` if that is given).

        Raises:
            InvalidArgument: too wide for the side, or A₀ has more than w non-zero singular values.

        References:
            theory (2.6); works (17.1); Dominé et al. (2024).

        Examples:
            >>> import numpy as np
            >>> net = TwoLayer.balanced((4, 5), threshold=0.5, width=3)
            >>> bool(np.allclose(net.w1 @ net.w1.T - net.w2.T @ net.w2, np.eye(3)))
            True
            >>> net = TwoLayer.balanced((4, 5), imbalance=3.0, width=2)
            >>> bool(np.allclose(net.w2.T @ net.w2 - net.w1 @ net.w1.T, 3 * np.eye(2)))
            True
        """
        if imbalance is not None:
            threshold, side = _size_and_side(imbalance, threshold, shape, start, width)
        elif threshold is None:
            raise checks.InvalidArgument("threshold", "be given", "it is not", "or give the signed `imbalance`")
        checks.choice("side", side, ("in", "out"))
        tau = checks.number("threshold", threshold, at_least=0, at_most=SQUARED)
        d_out, d_in, start = _shape_and_start(shape, start)
        if side == "out":  # the mirror image: transpose, build, transpose back
            mirror = TwoLayer.balanced(
                (d_in, d_out),
                threshold=tau,
                width=width,
                start=None if start is None else start.T,
                key=key,
                dtype=dtype,
            )
            return replace(mirror, layers=(mirror.w2.T.copy(), mirror.w1.T.copy()), law="λ-balanced, side 'out'")
        dtype = checks.precision("dtype", dtype) if start is None else start.dtype
        width = checks.integer("width", width, at_least=1, at_most=d_in, remedy="or use `orthogonal`, which is wide")
        if start is None or not start.any():
            u, s, vt, rank = np.zeros((d_out, 0)), np.zeros(0), np.zeros((0, d_in)), 0
        else:
            u, s, vt = np.linalg.svd(start, full_matrices=False)
            rank = linalg.numerical_rank(s, start.shape)
        if rank > width:
            raise checks.InvalidArgument("width", f"be at least the rank {rank} of `start`", f"it is {width}")
        psi = np.hypot(s[:rank], tau)
        w1, w2 = np.zeros((width, d_in)), np.zeros((d_out, width))
        w1[:rank] = np.sqrt(psi + tau)[:, None] * vt[:rank]
        w2[:, :rank] = u[:, :rank] * (s[:rank] / np.sqrt(psi + tau))
        free = linalg.haar_frame(d_in, width - rank, stream("key", key, "directions"), beside=vt[:rank].T)
        w1[rank:] = math.sqrt(2 * tau) * free.T
        return TwoLayer.holding((w1.astype(dtype), w2.astype(dtype)), (width,), tau, "λ-balanced, side 'in'")

    @staticmethod
    def lora(
        shape: Shape,
        rank: int,
        *,
        scale: float = 1.0,
        variance: float | None = None,
        rate_ratio: float = 1.0,
        key: Seed = 0,
        dtype: Any = np.float64,
    ) -> TwoLayer:
        """Draw a LoRA start ΔW = s·BA with B = 0; A is uniform of variance 1/(3 d_in), the default, or Gaussian.

        Held in the units of the plain network, w1 = √s A and w2 = √s B, whose clock runs s times as fast. Its
        threshold applies to the singular values of ΔW: τ = √(η_B/η_A)·s d_in σ_A²/2.

        Args:
            shape: (d_out, d_in) of the adapted layer.
            rank: LoRA rank r.
            scale: s = α/r, or α/√r for rank-stabilised LoRA.
            variance: σ_A² of Gaussian entries; left out, Kaiming-uniform with a = √5.
            rate_ratio: η_B/η_A of LoRA+; the learning rate passed to a method is then η_A.
            key: seed, or a numpy Generator.
            dtype: float64 or float32.

        Raises:
            InvalidArgument: a rank, scale, variance or ratio that cannot be used.

        References:
            theory (2.7).

        Examples:
            >>> round(TwoLayer.lora((64, 64), rank=8, scale=2.0).threshold, 6)  # s/6
            0.333333
        """
        law = lora(shape, rank, scale=scale, variance=variance, rate_ratio=rate_ratio)
        net = TwoLayer.parametrized(shape, law, key, dtype=dtype)
        return replace(net, threshold=law.threshold_on(net.shape))

    @staticmethod
    def from_weights(w1: Any, w2: Any, *, threshold: float | None = None) -> TwoLayer:
        """Take given weights W1 (w, d_in) and W2 (d_out, w): NumPy, JAX or PyTorch.

        Wider than d_in + d_out they are reduced by a QR decomposition, whose frame Q is kept so that `weights()`
        returns arrays of the original shape after training.

        Args:
            w1: first layer, shape (w, d_in), as in `nn.Linear.weight`.
            w2: second layer, shape (d_out, w).
            threshold: τ, if known from how they were drawn; measured by `measured_threshold` otherwise.

        Raises:
            InvalidArgument: shapes that do not chain, or entries that are not finite.

        References:
            theory (1.3).

        Examples:
            >>> import numpy as np
            >>> rng = np.random.default_rng(0)
            >>> w1, w2 = rng.standard_normal((50, 3)), rng.standard_normal((2, 50))
            >>> net = TwoLayer.from_weights(w1, w2)
            >>> net.reduced_width, bool(np.allclose(net.weights()[0], w1))
            (5, True)
        """
        first, second = checks.array("w1", w1, 2), checks.array("w2", w2, 2)
        width, d_in = first.shape
        if second.shape[1] != width:
            raise checks.InvalidArgument(
                "w2", f"have {width} columns, one for each row of `w1`", f"its shape is {second.shape}"
            )
        dtype = result_dtype(first, second)
        first, second = first.astype(dtype), second.astype(dtype)
        frame = None
        if width > d_in + second.shape[0]:
            q, r = np.linalg.qr(np.concatenate([first, second.T], axis=1))
            frame = q.T
            first, second = r[:, :d_in], r[:, d_in:].T
        layers = first.copy(), second.copy()
        net = TwoLayer.holding(layers, (width,), math.nan, "given weights", frames=(frame,))
        tau = (
            net.measured_threshold()
            if threshold is None
            else checks.number("threshold", threshold, at_least=0, at_most=SQUARED)
        )
        return replace(net, threshold=tau)

    def with_learning_rates(self, first: float, second: float) -> TwoLayer:
        """Return the same network whose layers learn at rates η₁ and η₂ times the learning rate of a method.

            w1 = c·W1,  w2 = W2/c,  c = (η₂/η₁)^{1/4}:  the flow at equal rates, on a clock √(η₁η₂) times as fast,

        since Ẇ1 = −η₁W2ᵀG is ẇ1 = −√(η₁η₂)·w2ᵀG, and likewise for W2. A, its target and every formula for equal rates
        stay; `weights()` returns W1 and W2. Exact for steps too. The flow conserves W1W1ᵀ/η₁ − W2ᵀW2/η₂, so that the
        threshold is measured anew.

        Args:
            first: η₁ > 0, of the first layer.
            second: η₂ > 0, of the second layer.

        References:
            works (8.2); theory (2.7) for LoRA+.

        Examples:
            >>> import numpy as np
            >>> net = TwoLayer.from_weights(np.eye(2), np.eye(2)).with_learning_rates(1.0, 16.0)
            >>> net.units, net.clock, net.weights()[0].tolist()
            ((2.0, 0.5), 4.0, [[1.0, 0.0], [0.0, 1.0]])
        """
        eta_1, eta_2 = checks.number("first", first, above=0), checks.number("second", second, above=0)
        c = (eta_2 / eta_1) ** 0.25
        factors = self.dtype.type(c), self.dtype.type(1 / c)
        net = replace(
            self,
            layers=(factors[0] * self.w1, factors[1] * self.w2),
            units=(c * self.units[0], self.units[1] / c),
            clock=self.clock * math.sqrt(eta_1 * eta_2),
        )
        return net if eta_1 == eta_2 else replace(net, threshold=net.measured_threshold())

    def imbalance(self) -> Float[np.ndarray, "r r"]:
        """Return D = W1W1ᵀ − W2ᵀW2 in the reduced frame; the flow conserves it (1.5)."""
        return self.imbalances()[0]

    def _imbalance_spectrum(self) -> tuple[np.ndarray, float]:
        """Eigenvalues of the imbalance, and the rounding below which they are zero."""
        eigenvalues = np.linalg.eigvalsh(self.imbalance().astype(np.float64))
        floor = linalg.rounding_floor(np.max(np.abs(self.factor)) ** 2, self.factor.shape, self.dtype)
        return eigenvalues, float(floor)

    def _imbalance_means(self) -> tuple[float, float]:
        """Mean positive and mean |negative| non-zero eigenvalue of the imbalance: τ + b and τ − b (2.5)."""
        eigenvalues, floor = self._imbalance_spectrum()
        up, down = eigenvalues[eigenvalues > floor], -eigenvalues[eigenvalues < -floor]
        return float(up.mean()) if up.size else 0.0, float(down.mean()) if down.size else 0.0

    def measured_threshold(self) -> float:
        """Return τ of the layers as a pair, from the eigenvalues λ of the imbalance D: `pair_modes.pair_threshold`.

        It equals (w/2)(σ₁² + σ₂²) in a wide Gaussian network (2.5), |λ|/2 in a balanced one (2.6), |σ₁²d_in −
        σ₂²d_out|/2 in a narrow one (2.7), and the flow does not change it (1.5). *Follows* from those.

        Examples:
            >>> round(TwoLayer.gaussian(20, width=10**10, variance=1e-10).measured_threshold(), 3)
            1.0
        """
        eigenvalues, floor = self._imbalance_spectrum()
        eigenvalues = np.where(np.abs(eigenvalues) > floor, eigenvalues, 0.0)
        return pair_threshold(0.5 * eigenvalues, min(*self.shape, self.width))

    def closed_form(self, task: Any) -> Solution | Reason:
        """Return (3.4) of λ-balanced layers, (3.1) where the flow is the mixed formula; else the reason why not.

        Both hold where λ-balanced layers fill the larger side; (3.4) knows the layers too, and keeps the rank of a
        bottleneck, which rounding takes from the matrix equation at τ = 0 (works 8.9).
        """
        quadratic = checks.answering("task", task, "quadratic", "a task, such as SpikedMatrix").quadratic()
        if quadratic is None:
            return not_quadratic(task)
        target, curvature = quadratic
        balanced = narrow(target, (self.w1, self.w2), curvature)
        if balanced is not None:
            return balanced
        residual = self.mixed_residual()
        if residual > (1e-10 if self.dtype == np.float64 else 1e-5):
            return Reason(
                "it must start from weights whose flow is the mixed formula (2.4), or from λ-balanced ones (2.6), and "
                f"this network's relative residual is {residual:.2g}",
                "use Mixed.matching(network) for the formula, Flow() for the network, or TwoLayer.orthogonal(…)",
            )
        return riccati(target, self.threshold, self.matrix, curvature)

    def mixed_residual(self) -> float:
        """Return how far the start is from one whose flow obeys the mixed formula exactly: 0 if it does.

        The largest of two deviations. With M' = M − bJ, b half the difference of the layers' thresholds (2.5):
        ‖M'JM' − τ²J‖_F relative to ‖M‖_F² + τ²√n, and infinity where a diagonal block of M' is not positive, so that
        it is no square root (a narrow network). And the eigenvalues of the imbalance, which are τ + b and b − τ:
        their deviation relative to τ, beyond rounding, which tells a wrong τ beside a start of any size.

        Examples:
            >>> TwoLayer.orthogonal((2, 3), threshold=0.5, side="in").mixed_residual() < 1e-12
            True
        """
        d_in = self.shape[1]
        j = np.repeat((1.0, -1.0), (d_in, self.shape[0]))
        up, down = self._imbalance_means()
        factor = self.factor.astype(np.float64)
        m = factor @ factor.T - 0.5 * (up - down) * np.diag(j)
        tau2 = self.threshold**2
        size = float(np.linalg.norm(m) ** 2 + tau2 * math.sqrt(j.size) + np.finfo(float).tiny)
        lowest = min(np.linalg.eigvalsh(block)[0] for block in (m[:d_in, :d_in], m[d_in:, d_in:]))
        if lowest < -1e-6 * math.sqrt(size):
            return math.inf
        return max(float(np.linalg.norm((m * j) @ m - tau2 * np.diag(j))) / size, self._threshold_deviation())

    def _threshold_deviation(self) -> float:
        """Relative deviation of τ from the imbalance's eigenvalues, and of these from each other, beyond rounding."""
        eigenvalues, floor = self._imbalance_spectrum()
        sides = eigenvalues[eigenvalues > floor], -eigenvalues[eigenvalues < -floor]
        spread = max(float(np.ptp(side)) if side.size else 0.0 for side in sides)
        apart = max(abs(self.measured_threshold() - self.threshold), spread)
        # eigenvalues are known to the floor; twice that is the difference of two
        return max(apart - 2 * floor, 0.0) / (self.measured_threshold() + self.threshold + np.finfo(float).tiny)

    def weights(self, key: Seed | None = None) -> tuple[np.ndarray, ...]:
        """Return the full W1 (w, d_in) and W2 (d_out, w), in the user's units.

        Known for given weights and for w ≤ d_in + d_out. A wider sampled network has a reduced factor only: a
        `key` then draws the uniformly random frame that completes it to iid weights.

        Raises:
            InvalidArgument: the frame is not known and no key is given, or the weights do not fit in memory.

        Examples:
            >>> w1, w2 = TwoLayer.gaussian((2, 3), width=1000, variance=1.0).weights(key=1)
            >>> w1.shape, w2.shape
            ((1000, 3), (2, 1000))
        """
        return super().weights(key)


def _require_layers(shape: tuple[int, int], width: int) -> None:
    """Refuse a shape whose reduced layers do not fit in memory, a few times over."""
    n = sum(shape)
    require_memory("shape", n, 4 * 8 * n * min(width, n), "the reduced layers (d_in + d_out)", "use a smaller shape")


def _bartlett(d_in: int, d_out: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of V for iid N(0, 1) weights: the weights themselves if w ≤ n, else a Bartlett factor (1.4)."""
    n = d_in + d_out
    return rng.standard_normal((n, width)) if width <= n else linalg.bartlett(n, width, rng)


def _shape_and_start(shape: Shape | None, start: Any) -> tuple[int, int, Any]:
    if start is None:
        if shape is None:
            raise checks.InvalidArgument("shape", "be given", "neither `shape` nor `start` is")
        return (*checks.matrix_shape("shape", shape), None)
    a = checks.array("start", start, 2)
    if shape is not None and checks.matrix_shape("shape", shape) != a.shape:
        raise checks.InvalidArgument("start", f"have the shape {shape}", f"its shape is {a.shape}")
    return a.shape[0], a.shape[1], a


def _size_and_side(
    imbalance: float, threshold: float | None, shape: Shape | None, start: Any, width: int
) -> tuple[float, Literal["in", "out"]]:
    """Return τ = |λ|/2 and the larger layer of a signed λ, or say why no such layers exist (works 17.1)."""
    value = checks.number("imbalance", imbalance, at_least=-SQUARED, at_most=SQUARED)
    if threshold is not None:
        raise checks.InvalidArgument("imbalance", "be given instead of `threshold`", "both are given")
    d_out, d_in, _ = _shape_and_start(shape, start)
    side: Literal["in", "out"] = "out" if value > 0 or (value == 0 and d_out > d_in) else "in"
    size, layer, name = (d_out, "W2", "d_out") if side == "out" else (d_in, "W1", "d_in")
    units = checks.integer("width", width, at_least=1)
    if value and units > size:
        raise checks.InvalidArgument(
            "imbalance",
            f"be {'at most' if value > 0 else 'at least'} 0 at a width over {name} = {size}",
            f"it is {value:g} at width {units}: {layer} would need {units} independent directions of {name}",
            f"use width ≤ {size}, or the other sign",
        )
    return abs(value) / 2, side


def _mixed_factor(start: np.ndarray, tau: float) -> np.ndarray:
    """A square factor of M(0) = [[√(A₀ᵀA₀ + τ²), A₀ᵀ], [A₀, √(A₀A₀ᵀ + τ²)]], the square root of (2.2)."""
    d_out, d_in = start.shape
    zero = np.zeros
    f0 = np.block([[zero((d_in, d_in)), start.T], [start, zero((d_out, d_out))]])
    f, q = np.linalg.eigh(f0)
    psi = np.hypot(f, tau)
    below = np.divide(tau**2, psi - f, out=np.zeros_like(psi), where=psi - f > 0)
    return q * np.sqrt(np.where(f < 0, below, psi + f))


def _from_rows(rows: np.ndarray, d_in: int, width: int, tau: float, law: str) -> TwoLayer:
    layers = np.ascontiguousarray(rows[:d_in].T), np.ascontiguousarray(rows[d_in:])
    return TwoLayer.holding(layers, (width,), tau, law)
