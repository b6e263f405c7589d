"""Linear networks of any depth, held on the hidden directions that training reaches.

Two layers are reduced to d_in + d_out hidden units without error. From three layers on the reachable subspaces grow
without end (`lindyn.solutions.words`), but what lies g generations away comes in only with the g-th power of the
training time over g!, so that a few generations carry the whole trajectory to a given tolerance, at any width.
`lindyn.simulate` runs the network once more with one generation added, and states the difference; where it exceeds
the tolerance, it goes on adding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np

from lindyn.networks.deep_laws import (
    DeepParametrization,
    clock_of,
    deep_mean_field,
    deep_mup,
    deep_ntk,
    deep_pytorch_default,
    deep_standard,
    hidden_widths,
)
from lindyn.networks.network import Network
from lindyn.networks.reachable import GaussianWeights, GivenWeights, Reached, Recipe
from lindyn.networks.two_layer import Shape, TwoLayer
from lindyn.solutions.deep_modes import deep_threshold
from lindyn.solutions.orthogonal_modes import orthogonal_kernel
from lindyn.solutions.scalar_nets import sufficient_words
from lindyn.solutions.solution import Reason, Solution, not_quadratic, orthogonal
from lindyn.solutions.words import Words
from lindyn.support import checks
from lindyn.support.bounds import DEEPEST_NETWORK, LARGEST_LOGARITHM, SQUARED
from lindyn.support.linalg import numerical_rank
from lindyn.support.memory import require_memory
from lindyn.support.precision import result_dtype
from lindyn.support.randomness import Seed, stream

DEFAULT_TOLERANCE = 1e-6
# of orthogonal layers' Gram matrices, relative to their gain
_ROUNDING = {"float64": 1e-12, "float32": 1e-5}
# ratios s/τ at which the words of a network are tried: beyond both ends the error no longer grows
_TRIED = (0.3, 3.0, 30.0)


@dataclass(frozen=True, eq=False, repr=False)
class DeepLinear(Network):
    """A network A = W_L ⋯ W_1 of any depth and any hidden widths, held on its reachable directions.

    | constructor | weights | held units of a hidden layer |
    |---|---|---|
    | `gaussian` | iid N(0, σ_l²), any width (7.2) | as many generations as the tolerance needs |
    | `exponents` | σ² = d^γ_σ², w = d^γ_w | the same |
    | `parametrized` | PyTorch default, NTK, mean field, maximal update | the same |
    | `from_weights` | given arrays or tensors (7.1) | the same |
    | `orthogonal` | orthogonal hidden layers (7.5) | d_in + d_out, exact |
    | `balanced` | W_{l+1}ᵀW_{l+1} = W_lW_lᵀ (7.6) | the rank of A(0), exact |

    Attributes:
        layers: W_1 first, reduced.
        widths: hidden widths of the network itself.
        threshold: τ; singular values of A below it are lazy, above it active.
        words: which directions are held; None where all are that training reaches.
        recipe: where the layers come from; None where they are all there is.
        tolerance: error of A, relative to its largest singular value, for which the words were chosen; None where
            nothing is cut off, and after a run, from where the directions stay as they are.

    References:
        theory section 7.

    Examples:
        >>> net = DeepLinear.gaussian((3, 4), depth=3, width=10**12, variance=1e-12, key=0)
        >>> net.reduced_widths, round(net.threshold, 12)
        ((21, 21), 1.0)
    """

    words: Words | None = None
    recipe: Recipe | None = field(default=None, repr=False)
    tolerance: float | None = None

    def __repr__(self) -> str:
        """One line: shape, widths, law, threshold, what is held."""
        return super().__repr__().replace(" columns,", f" units{self._generations_held()},")

    def _generations_held(self) -> str:
        return f" ({self.words.generations} generations)" if self.words is not None and self.widths else ""

    @staticmethod
    def gaussian(
        shape: Shape,
        *,
        depth: int | None = None,
        width: int | tuple[int, ...] | None = None,
        variance: float | tuple[float, ...],
        key: Seed = 0,
        tolerance: float = DEFAULT_TOLERANCE,
        generations: int | None = None,
        longest: tuple[float, float] | None = None,
        dtype: Any = np.float64,
    ) -> DeepLinear:
        """Draw iid N(0, σ²) weights at any depth and any width, exactly in law on the directions that matter.

        Args:
            shape: (d_out, d_in), or d.
            depth: L ≥ 1; left out, one more than the widths listed.
            width: one width for all hidden layers, or (w_1, …, w_{L−1}); 10¹⁵ costs what 10⁴ costs.
            variance: σ² of every weight, or (σ_1², …, σ_L²).
            key: seed, or a numpy Generator.
            tolerance: error of A(t), relative to its largest singular value, that the cut-off may cause at any time.
                Infinity, with `generations`, leaves out the second run by which `simulate` measures it.
            generations: how many generations to hold, instead of those that the tolerance needs.
            longest: (s₁, t), largest singular value and end of the planned run: a short run needs fewer generations.
            dtype: float64 or float32.

        Raises:
            InvalidArgument: an argument out of range, or directions that do not fit in memory (the message says how
                many units they are).

        References:
            theory (7.1), (7.2).

        Examples:
            >>> net = DeepLinear.gaussian(5, width=(10**6, 2 * 10**6), variance=1e-6, generations=2)
            >>> net.reduced_widths, net.widths
            ((15, 15), (1000000, 2000000))
        """
        law = deep_standard(hidden_widths(depth, width), variance)
        return DeepLinear.parametrized(
            shape, law, key, tolerance=tolerance, generations=generations, longest=longest, dtype=dtype
        )

    @staticmethod
    def exponents(
        shape: Shape,
        depth: int,
        variance_exponent: float,
        width_exponent: float,
        key: Seed = 0,
        **options: Any,
    ) -> DeepLinear:
        """Draw a Gaussian network at a point of the phase diagram: σ² = d^γ_σ², w = d^γ_w, d = √(d_out d_in).

        Args:
            shape: (d_out, d_in), or d.
            depth: L.
            variance_exponent: γ_σ².
            width_exponent: γ_w ≥ 0.
            key: seed, or a numpy Generator.
            options: `tolerance`, `generations`, `longest`, `dtype` of `gaussian`.

        Examples:
            >>> net = DeepLinear.exponents(100, 3, variance_exponent=-2, width_exponent=2.5, generations=0)
            >>> net.widths, round(net.threshold, 6)  # (σ²w)^{3/2} = d^{3/4}
            ((100000, 100000), 31.622777)
        """
        d_out, d_in = checks.matrix_shape("shape", shape)
        log_dim = 0.5 * math.log(d_out * d_in)
        most = LARGEST_LOGARITHM / max(log_dim, math.ulp(1.0))
        exponent = checks.number("width_exponent", width_exponent, at_least=0, at_most=most)
        power = checks.number("variance_exponent", variance_exponent, at_least=-most, at_most=most)
        width = max(1, round(math.exp(exponent * log_dim)))
        return DeepLinear.gaussian(
            shape, depth=depth, width=width, variance=math.exp(power * log_dim), key=key, **options
        )

    @staticmethod
    def parametrized(
        shape: Shape,
        law: DeepParametrization,
        key: Seed = 0,
        *,
        tolerance: float = DEFAULT_TOLERANCE,
        generations: int | None = None,
        longest: tuple[float, float] | None = None,
        dtype: Any = np.float64,
    ) -> DeepLinear:
        """Draw the weights of a parametrisation (`lindyn.networks.deep_laws`), held in the units of the plain network.

        Gaussian weights come at any width; uniform ones are drawn in full and compressed, so they must fit in memory.

        Args:
            shape: (d_out, d_in), or d.
            law: variances, multiplier and rates at given widths.
            key: seed, or a numpy Generator.
            tolerance: as in `gaussian`.
            generations: as in `gaussian`.
            longest: as in `gaussian`.
            dtype: float64 or float32.

        Examples:
            >>> from lindyn.networks.deep_laws import deep_ntk
            >>> DeepLinear.parametrized(16, deep_ntk(16, widths=(400,))).threshold
            5.0
        """
        d_out, d_in = checks.matrix_shape("shape", shape)
        dtype = checks.precision("dtype", dtype)
        checks.instance("law", law, DeepParametrization, "a law of any depth, from lindyn.networks.deep_laws")
        tolerance = _tolerance(tolerance)
        if law.depth == 2:
            return _of_two_layers(TwoLayer.parametrized((d_out, d_in), law.two_layers(), key, dtype=dtype))
        rng = stream("key", key, "weights")
        sizes = (d_in, *law.widths, d_out)
        deviations = tuple(u * math.sqrt(v) for u, v in zip(law.units, law.variances, strict=True))
        if law.distribution == "normal":
            recipe: Recipe = GaussianWeights(sizes, deviations, int(rng.integers(2**63)))
        else:
            full = sum(a * b for a, b in pairwise(sizes))
            require_memory("width", max(sizes), 4 * 8 * full, "uniform weights")
            root = math.sqrt(3)
            recipe = GivenWeights(
                tuple(
                    (s * rng.uniform(-root, root, (above, below))).astype(dtype)
                    for s, below, above in zip(deviations, sizes, sizes[1:], strict=False)
                )
            )
        words = _words(sizes, deviations, tolerance, generations, longest)
        return replace(
            _reached(recipe, words, law.widths, tolerance, dtype),
            threshold=law.threshold,
            law=f"{law.name}, {law.distribution} weights",
            clock=law.clock,
            units=law.units,
        )

    @staticmethod
    def pytorch_default(
        shape: Shape, *, depth: int | None = None, width: Any = None, key: Seed = 0, **options: Any
    ) -> DeepLinear:
        """Draw the weights that `torch.nn.Linear` layers without bias start from.

        Examples:
            >>> round(DeepLinear.pytorch_default((10, 20), depth=2, width=100).threshold, 6)
            1.0
        """
        law = deep_pytorch_default(shape, widths=hidden_widths(depth, width))
        return DeepLinear.parametrized(shape, law, key, **options)

    @staticmethod
    def ntk(shape: Shape, *, depth: int | None = None, width: Any = None, key: Seed = 0, **options: Any) -> DeepLinear:
        """Draw a network in NTK parametrisation: lazy when wide.

        Examples:
            >>> round(DeepLinear.ntk(4, depth=3, width=10**6, generations=1).threshold, 3)
            500.0
        """
        return DeepLinear.parametrized(shape, deep_ntk(shape, widths=hidden_widths(depth, width)), key, **options)

    @staticmethod
    def mean_field(
        shape: Shape, *, depth: int | None = None, width: Any = None, key: Seed = 0, **options: Any
    ) -> DeepLinear:
        """Draw a network in mean-field parametrisation: a threshold that does not depend on the width.

        Examples:
            >>> nets = [DeepLinear.mean_field(4, depth=3, width=w, generations=1) for w in (10**4, 10**8)]
            >>> [round(net.threshold, 6) for net in nets]
            [0.5, 0.5]
        """
        return DeepLinear.parametrized(
            shape, deep_mean_field(shape, widths=hidden_widths(depth, width)), key, **options
        )

    @staticmethod
    def mup(shape: Shape, *, depth: int | None = None, width: Any = None, key: Seed = 0, **options: Any) -> DeepLinear:
        """Draw a network in maximal-update parametrisation, for SGD.

        Examples:
            >>> DeepLinear.mup(4, depth=3, width=10**6, generations=1).clock
            1.0
        """
        return DeepLinear.parametrized(shape, deep_mup(shape, widths=hidden_widths(depth, width)), key, **options)

    @staticmethod
    def from_weights(
        weights: Any,
        *,
        threshold: float | None = None,
        tolerance: float = DEFAULT_TOLERANCE,
        generations: int | None = None,
        longest: tuple[float, float] | None = None,
    ) -> DeepLinear:
        """Take given weights [W_1, …, W_L], compress them to their reachable directions, and give them back in full.

        Where the directions close by themselves (orthogonal, low-rank or narrow layers) nothing is cut off.

        Args:
            weights: W_1 of shape (w_1, d_in) first, as in `nn.Linear.weight`; NumPy, JAX or PyTorch.
            threshold: τ, if known from how they were drawn; measured from the tangent kernel otherwise.
            tolerance: as in `gaussian`.
            generations: as in `gaussian`.
            longest: as in `gaussian`.

        Raises:
            InvalidArgument: no layer, shapes that do not chain, or entries that are not finite.

        References:
            theory (7.1).

        Examples:
            >>> rng = np.random.default_rng(0)
            >>> weights = [rng.standard_normal(s) / 20 for s in ((300, 2), (300, 300), (2, 300))]
            >>> net = DeepLinear.from_weights(weights, generations=3)
            >>> net.reduced_widths, all(np.allclose(a, b) for a, b in zip(net.weights(), weights))
            ((8, 8), True)
        """
        given, tolerance = _chained(weights), _tolerance(tolerance)
        sizes = (given[0].shape[1], *(w.shape[0] for w in given))
        # the deviations of Gaussian layers of the same size, by which the words are chosen
        deviations = tuple(float(np.linalg.norm(w)) / math.sqrt(w.size) for w in given)
        words = _words(sizes, deviations, tolerance, generations, longest)
        if len(given) == 2:
            return _of_two_layers(TwoLayer.from_weights(*given, threshold=threshold))
        net = _reached(GivenWeights(given), words, sizes[1:-1], tolerance, given[0].dtype)
        tau = net.measured_threshold() if threshold is None else checks.number("threshold", threshold, at_least=0)
        return replace(net, threshold=tau)

    @staticmethod
    def orthogonal(
        shape: Shape,
        *,
        depth: int,
        width: int | None = None,
        gain: float = 1.0,
        output_scale: float = 1.0,
        end_variance: float | None = None,
        key: Seed = 0,
        dtype: Any = np.float64,
    ) -> DeepLinear:
        """Make a network with orthogonal hidden layers, W_l = √g·orthogonal: exact with d_in + d_out hidden units.

        A = γ⁻¹ W_L ⋯ W_1. The outer layers have orthonormal columns (rows) times √g, whose images in the hidden layers
        are orthogonal to each other, so that A(0) = 0; or iid N(0, end_variance) entries.

        Args:
            shape: (d_out, d_in), or d.
            depth: L ≥ 2.
            width: w ≥ d_in + d_out, of every hidden layer; the smallest if left out.
            gain: g > 0.
            output_scale: γ⁻¹ > 0; with it the threshold is γ⁻¹ g^{L/2}.
            end_variance: variance of Gaussian outer layers, instead of orthogonal ones.
            key: seed of these.
            dtype: float64 or float32.

        References:
            theory (7.5); works (9.1), (9.2).

        Examples:
            >>> net = DeepLinear.orthogonal((2, 3), depth=4, output_scale=0.01, width=10**6)
            >>> net.reduced_widths, round(net.threshold, 12), bool(np.any(net.matrix))
            ((5, 5, 5), 0.01, False)
        """
        d_out, d_in = checks.matrix_shape("shape", shape)
        depth = checks.integer("depth", depth, at_least=2)
        dtype = checks.precision("dtype", dtype)
        n = d_in + d_out
        width = checks.integer("width", n if width is None else width, at_least=n)
        gain = checks.number("gain", gain, above=0)
        alpha = checks.number("output_scale", output_scale, above=0)
        if end_variance is None:
            ends: tuple[np.ndarray, ...] = (math.sqrt(gain) * np.eye(n)[:, :d_in], math.sqrt(gain) * np.eye(n)[d_in:])
        else:
            ends = TwoLayer.gaussian((d_out, d_in), width, end_variance, key).layers
        variances = [gain if end_variance is None else width * end_variance] * 2
        unit, rate = alpha ** (1 / depth), clock_of((1.0,) * depth, alpha)
        layers = (ends[0], *[math.sqrt(gain) * np.eye(n)] * (depth - 2), ends[1])
        tau = deep_threshold(
            [unit**2 * v for v in (variances[0], *[gain] * (depth - 2), variances[1])], [1] * (depth - 1)
        )
        return DeepLinear.holding(
            tuple((unit * layer).astype(dtype) for layer in layers),
            (width,) * (depth - 1),
            tau,
            f"orthogonal hidden layers of gain {gain:g}",
            clock=rate,
            units=(unit,) * depth,
        )

    @staticmethod
    def balanced(start: Any, *, depth: int, width: int | None = None) -> DeepLinear:
        """Make a balanced start from A(0) = U S Vᵀ: W_1 = S^{1/L}Vᵀ, hidden layers S^{1/L}, W_L = U S^{1/L}.

        Its flow is Ȧ = −Σ_l (AAᵀ)^{(L−l)/L} G (AᵀA)^{(l−1)/L} exactly, for any cost (`lindyn.dynamics.DeepBalanced`).

        Args:
            start: A(0), not zero.
            depth: L ≥ 2.
            width: w, at least the rank of A(0), which it is if left out.

        Raises:
            InvalidArgument: a start of zero, or a width below its rank.

        References:
            theory (7.6); Arora, Cohen, Hazan (2018).

        Examples:
            >>> net = DeepLinear.balanced(np.diag([8.0, 1.0, 0.0]), depth=3)
            >>> [d.round(12).tolist() for d in net.imbalances()], net.reduced_widths
            ([[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]], (2, 2))
        """
        matrix = checks.array("start", start, 2)
        depth = checks.integer("depth", depth, at_least=2, at_most=DEEPEST_NETWORK)
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        rank = numerical_rank(s, matrix.shape)
        if rank == 0:
            raise checks.InvalidArgument(
                "start", "be non-zero", "it is zero, from which a balanced network never moves"
            )
        width = checks.integer("width", rank if width is None else width, at_least=rank)
        root = s[:rank] ** (1 / depth)
        layers = (root[:, None] * vt[:rank], *[np.diag(root)] * (depth - 2), u[:, :rank] * root)
        return DeepLinear.holding(
            tuple(layer.astype(matrix.dtype) for layer in layers), (width,) * (depth - 1), 0.0, "balanced"
        )

    def measured_threshold(self) -> float:
        """Return τ from the tangent kernel, L τ^{2−2/L} = its mean eigenvalue Σ_l tr(S_lS_lᵀ) tr(P_lᵀP_l)/(d_out d_in).

        It equals (σ²w)^{L/2} in a wide Gaussian network that has not learned anything; where A is not small it tells
        how fast the network learns now rather than where it started.

        Examples:
            >>> net = DeepLinear.gaussian(20, depth=3, width=10**10, variance=1e-10, generations=2)
            >>> round(net.measured_threshold(), 3)
            1.0
        """
        if self.depth == 1:
            return 0.0
        d_out, d_in = self.shape
        traces = [
            (1.0 if out is None else np.trace(out) / d_out) * (1.0 if inner is None else np.trace(inner) / d_in)
            for out, inner in self.kernel_terms()
        ]
        return float(sum(traces) / self.depth) ** (self.depth / (2 * self.depth - 2))

    @property
    def starts_orthogonal(self) -> bool:
        """Whether this is the start (9.2): layers of one gain, orthogonal up to rounding, and A = 0.

        Examples:
            >>> net = DeepLinear.orthogonal(2, depth=3)
            >>> net.starts_orthogonal, net.at_rates([1.0, 2.0, 1.0]).starts_orthogonal
            (True, False)
        """
        if self.depth < 2 or self.words is not None or self.threshold == 0:
            return False
        first, *hidden, last = (layer.astype(np.float64) for layer in self.layers)
        gain = self.threshold ** (2 / self.depth)
        allowed = _ROUNDING[self.dtype.name] * gain
        grams = (first.T @ first, *(layer.T @ layer for layer in hidden), last @ last.T)
        off = max(float(np.abs(gram - gain * np.eye(len(gram))).max()) for gram in grams)
        return off < allowed and float(np.abs(self.matrix).max()) < _ROUNDING[self.dtype.name] * self.threshold

    def learned_kernel_norm(self, top: float) -> float:
        """Return the norm of the tangent kernel once a mode s = `top` is learned: (9.11) from orthogonal layers.

        From others L(s² + τ²)^{1 − 1/L}, exact at two layers and in both limits.
        """
        if self.starts_orthogonal:
            return float(orthogonal_kernel(top, self.threshold, self.depth))
        return super().learned_kernel_norm(top)

    def closed_form(self, task: Any) -> Solution | Reason:
        """Return (9.11) where the layers start orthogonal and the cost is ½‖A − T‖_F²; else the reason why not."""
        quadratic = checks.answering("task", task, "quadratic", "a task, such as SpikedMatrix").quadratic()
        if not self.starts_orthogonal:
            return super().closed_form(task)
        if quadratic is None:
            return not_quadratic(task)
        target, curvature = quadratic
        return orthogonal(target, self.threshold, self.depth, curvature)

    def at_rates(self, rates: Any) -> Self:
        """Return this network with a learning rate for each layer, relative to the nominal one.

        Layers are rescaled to √(κ/η_l) W_l, κ = (η_1 ⋯ η_L)^{1/L}, on whose clock every rate is κ.

        Args:
            rates: η_1 … η_L > 0.

        Examples:
            >>> net = DeepLinear.gaussian(3, depth=2, width=100, variance=0.01).at_rates([1.0, 4.0])
            >>> net.clock, [round(u, 6) for u in net.units]
            (2.0, [1.414214, 0.707107])
        """
        own = tuple(checks.number("rates", rate, above=0, at_most=SQUARED) for rate in checks.listed("rates", rates))
        if len(own) != self.depth:
            raise checks.InvalidArgument("rates", f"be {self.depth} numbers, one a layer", f"there are {len(own)}")
        kappa = clock_of(own)
        factors = tuple(math.sqrt(kappa / rate) for rate in own)
        layers = tuple(w * w.dtype.type(f) for w, f in zip(self.layers, factors, strict=True))
        recipe = None if self.recipe is None else self.recipe.scaled(factors)
        units = tuple(u * f for u, f in zip(self.units, factors, strict=True))
        net = replace(self, layers=layers, recipe=recipe, units=units, clock=self.clock * kappa)
        change = net.measured_threshold() / self.measured_threshold() if self.threshold else 1.0
        return replace(net, threshold=self.threshold * change)

    @property
    def cut_off_tolerance(self) -> float:
        """Error of A, relative to its size, that a cut-off of reachable directions may cause."""
        return self.tolerance or 0.0

    def refined(self) -> Self | None:
        """Return the same network with one generation more, or None where nothing is cut off.

        Examples:
            >>> net = DeepLinear.gaussian(2, depth=3, width=100, variance=0.01, generations=1)
            >>> finer = net.refined()
            >>> finer.reduced_widths, bool(np.array_equal(finer.layers[1][:4, :4], net.layers[1]))
            ((6, 6), True)
        """
        if self.words is None or self.recipe is None or self.tolerance in (None, math.inf):
            return None
        words = self.words.grown()
        reached = self.recipe.reach(words)
        if all(a.shape == b.shape for a, b in zip(reached.layers, self.layers, strict=True)):
            return None
        layers = tuple(w.astype(self.dtype) for w in reached.layers)
        return replace(self, layers=layers, frames=reached.frames, words=words)

    def trained(self, layers: tuple[np.ndarray, ...]) -> Self:
        """Return this network with other layers, as a run leaves them."""
        return replace(super().trained(layers), tolerance=None)

    def weights(self, key: Seed | None = None) -> tuple[np.ndarray, ...]:
        """Return the full layers W_1, …, W_L, in the user's units, with what lies beyond the reached directions.

        Known for given weights. A sampled network is held reduced only: a `key` then draws uniformly random frames and
        the rest of the Gaussian weights.

        Raises:
            InvalidArgument: a sampled network without a key, or weights that do not fit in memory.
        """
        if self.recipe is None or self.words is None:
            return super().weights(key)
        frames = tuple(self._known_frames(key))
        spans = tuple(np.eye(r) if q is None else q for q, r in zip(frames, self.reduced_widths, strict=True))
        rng = stream("key", 0 if key is None else key, "rest")
        rest = self.recipe.beyond(self.words, self.recipe.reach(self.words), spans, rng)
        full = []
        for layer, below, above, more, unit in zip(
            self.layers, (None, *frames), (*frames, None), rest, self.units, strict=True
        ):
            inside = layer if above is None else above.T @ layer
            inside = inside if below is None else inside @ below
            full.append(((inside + more) / unit).astype(self.dtype))
        return tuple(full)


def _chained(weights: Any) -> tuple[np.ndarray, ...]:
    """Return layers as arrays of one precision whose shapes chain."""
    if not hasattr(weights, "__iter__") or getattr(weights, "ndim", 3) == 0:
        raise checks.InvalidArgument("weights", "be a list of layers", f"it is {checks.shown(weights)}")
    given = [checks.array(f"weights[{k}]", w, 2) for k, w in enumerate(weights)]
    if not given:
        raise checks.InvalidArgument("weights", "hold at least one layer", "it is empty")
    for k, (below, above) in enumerate(pairwise(given), start=1):
        if above.shape[1] != below.shape[0]:
            raise checks.InvalidArgument(
                f"weights[{k}]",
                f"have {below.shape[0]} columns, one a row of the layer below",
                f"its shape is {above.shape}",
            )
    dtype = result_dtype(*given)
    return tuple(w.astype(dtype) for w in given)


def _words(
    sizes: tuple[int, ...],
    deviations: tuple[float, ...],
    tolerance: float,
    generations: int | None,
    longest: tuple[float, float] | None,
) -> Words:
    """Choose the directions to hold: given generations, or as many words as a scalar network of the same law needs."""
    depth = len(deviations)
    if generations is not None:
        return _of_generations(depth, generations, sizes)
    if tolerance == math.inf:
        raise checks.InvalidArgument("tolerance", "be finite, or come with `generations`", "it is infinite")
    tau = deep_threshold([s**2 for s in deviations], sizes[1:-1])
    if depth <= 2 or tau == 0:  # all is reached at once, or nothing ever moves
        return Words.full(depth, max(depth - 2, 0))
    up = np.array([s * math.sqrt(w) for s, w in zip(deviations, sizes[1:], strict=True)])
    down = np.array([s * math.sqrt(w) for s, w in zip(deviations, sizes[:-1], strict=True)])
    unit = tau ** (1 / depth)  # τ = 1 in these units, so that equal laws find their words again
    up[-1] = down[0] = unit  # not used
    rates = (tuple(float(f"{value:.3g}") for value in side / unit) for side in (up, down))
    if longest is None:
        return sufficient_words(depth, *rates, _TRIED, math.inf, tolerance)
    both = checks.listed("longest", longest, "a pair (largest singular value, time)")
    if len(both) != 2:
        raise checks.InvalidArgument(
            "longest", "be a pair (largest singular value, time)", f"it is {checks.shown(longest)}"
        )
    top, end = checks.number("longest", both[0], above=0), checks.number("longest", both[1], at_least=0)
    return sufficient_words(depth, *rates, (top / tau,), end * tau ** (2 - 2 / depth), tolerance)


def _tolerance(value: Any) -> float:
    """Return a tolerance above 0; infinity, beside `generations`, waives the run that measures it."""
    if isinstance(value, float) and value == math.inf:
        return value
    return checks.number("tolerance", value, above=0)


def _of_generations(depth: int, generations: Any, sizes: tuple[int, ...]) -> Words:
    """Return all words of so many generations, grown until they fill every layer or no more fit in memory."""
    count = checks.integer("generations", generations, at_least=0)
    words = Words.full(depth, 0)
    for _ in range(count):
        units = words.units((sizes[-1], sizes[0]))
        if all(u >= w for u, w in zip(units, sizes[1:-1], strict=True)):  # nothing is left to reach
            break
        held = [min(u, w) for u, w in zip(units, sizes[1:-1], strict=True)]
        needed = 24.0 * sum(a * b for a, b in pairwise((sizes[0], *held, sizes[-1])))
        require_memory("generations", count, needed, f"{sum(held):,} hidden units", "hold fewer generations")
        before, words = words, words.grown()
        if words == before:
            break
    return words


def _reached(recipe: Recipe, words: Words, widths: tuple[int, ...], tolerance: float, dtype: Any) -> DeepLinear:
    """Hold a recipe's layers on the directions that words reach."""
    _require_room(words, recipe, widths, dtype, tolerance)
    reached: Reached = recipe.reach(words)
    net = DeepLinear.holding(
        tuple(w.astype(dtype) for w in reached.layers), widths, math.nan, "given weights", frames=reached.frames
    )
    return replace(net, words=words, recipe=recipe, tolerance=float(tolerance))


def _of_two_layers(net: TwoLayer) -> DeepLinear:
    """Two layers are held as `TwoLayer` holds them, without error."""
    return DeepLinear.holding(
        net.layers, net.widths, net.threshold, net.law, clock=net.clock, units=net.units, frames=net.frames
    )


def _require_room(words: Words, recipe: Recipe, widths: tuple[int, ...], dtype: Any, tolerance: float) -> None:
    """Refuse directions that do not fit in memory, with their number."""
    units = [min(w, u) for w, u in zip(widths, words.units(recipe.shape), strict=True)]
    sizes = (recipe.shape[1], *units, recipe.shape[0])
    needed = 3.0 * np.dtype(dtype).itemsize * sum(a * b for a, b in pairwise(sizes))
    if units:
        what = f"{sum(units):,} hidden units ({', '.join(f'{u:,}' for u in units)} a layer)"
        remedy = "raise it, hold fewer `generations`, or say how long the run is (`longest`)"
        require_memory("tolerance", f"{tolerance:g}", needed, what, remedy, enough="large")
