"""Signal and noise patches with flipped labels for ReLU neurons, in coordinates that forget the dimension.

A sample is a pair of patches, x = (yμ, ξ), ξ ~ N(0, σ²I_d); its label ỹ is y, flipped with some probability. Neurons
of the two classes read both patches,

    f = F₊ − F₋,   F_j = (1/m) Σ_r [max(⟨w_jr, yμ⟩, 0) + max(⟨w_jr, ξ⟩, 0)],   C = (1/n) Σ_i ln(1 + e^{−ỹ_i f_i}).

Descent moves the neurons within the span of μ and the ξ_i only. So a neuron is held as its n + 1 coordinates there, and
the 2m neurons' parts outside it, which do not move, as the lower-triangular factor of their Gram matrix. Both are drawn
exactly in law at any d: nothing of size d is ever formed.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from lindyn.support import checks
from lindyn.support.bounds import LARGEST_SIDE, TO_THE_FOURTH
from lindyn.support.linalg import bartlett
from lindyn.support.memory import require_memory
from lindyn.support.randomness import Seed, stream
from lindyn.tasks.task import AnyArray, Measure, Task, evaluates

_FRESH = 20_000  # noise patches by which the test error is measured: a standard error of ½/√(2·20,000) at most


class SignalNoise(Task):
    """Classify pairs of a signal and a noise patch by ReLU neurons, from labels of which some are flipped.

        C(W) = (1/n) Σ_i ln(1 + exp(−ỹ_i f(x_i))),   f = F₊ − F₋,   F_j = (1/m) Σ_r [σ(⟨w_jr, y_iμ⟩) + σ(⟨w_jr, ξ_i⟩)].

    The learned matrix W has the 2m neurons as rows, those of class + first, and as columns their coordinates in an
    orthonormal basis whose first vector is along μ: n + 1 that descent moves, and 2m that it does not. Its network is
    `lindyn.networks.PatchReLU`. The signal is learned faster than flipped labels are memorised, so that flipped samples
    are at first classified by their true label, iff n·SNR²(1 − 2p) > 1 (`rejection`).

    Observables of its own: "learned_signal" γ of each neuron, "memorisation" ρ of each sample, "accuracy_clean",
    "accuracy_flipped" (both by the given label), "sample_losses". The errors are shares of samples.

    Args:
        samples: n; labels y alternate in sign.
        dim: d ≥ 2 of a patch; any size.
        snr: SNR = ‖μ‖/(σ√d) > 0.
        flip: probability p in [0, ½) that a label is flipped.
        neurons: m of each class.
        noise: σ > 0.
        key: seed, or a numpy Generator.

    Raises:
        InvalidArgument: numbers out of range.

    References:
        works (14.1), (14.2), (14.3); Han et al. (2025) for the model.

    Examples:
        >>> task = SignalNoise(samples=100, dim=10**12, snr=0.1, flip=0.2, key=0)
        >>> task.shape, round(task.rejection, 9)
        ((20, 121), 0.6)
    """

    patches: Float[AnyArray, "n coordinates"]
    size: Float[AnyArray, ""]
    labels: Float[AnyArray, " n"]
    flipped: Bool[AnyArray, " n"]
    noise: Float[AnyArray, ""]
    flip: Float[AnyArray, ""]
    dim: Float[AnyArray, ""]
    neurons: int = eqx.field(static=True)
    signal: Float[AnyArray, "neurons coordinates"] | None

    def __init__(
        self,
        samples: int,
        dim: int,
        snr: float,
        flip: float = 0.0,
        *,
        neurons: int = 10,
        noise: float = 1.0,
        key: Seed = 0,
    ):
        self.signal = None
        n, d = (
            checks.integer("samples", samples, at_least=2),
            checks.integer("dim", dim, at_least=2, at_most=LARGEST_SIDE),
        )
        p, sigma = (
            checks.number("flip", flip, at_least=0),
            checks.number("noise", noise, above=0, at_most=TO_THE_FOURTH),
        )
        if p >= 0.5:
            raise checks.InvalidArgument("flip", "be below ½", f"it is {p:g}", "swap the names of the classes")
        self.neurons = checks.integer("neurons", neurons, at_least=1)
        self.noise, self.flip, self.dim = np.asarray(sigma), np.asarray(p), np.asarray(float(d))
        self.size = np.asarray(checks.number("snr", snr, above=0, at_most=TO_THE_FOURTH) * sigma * math.sqrt(d))
        require_memory("samples", n, 4 * 8 * n * (n + 1 + 2 * neurons), "that many coordinates", "use fewer samples")
        rng = stream("key", key, "noise")
        self.patches = sigma * _patches(n, d, 2 * self.neurons, rng)
        self.flipped = rng.random(n) < p
        self.labels = np.where(np.arange(n) % 2 == 0, 1.0, -1.0) * np.where(self.flipped, -1, 1)

    @classmethod
    def from_arrays(
        cls, mean: Any, patches: Any, labels: Any, flipped: Any, weights: Any, *, noise: float = 1.0
    ) -> tuple[Self, Float[np.ndarray, "neurons coordinates"]]:
        """Reduce given samples and neurons: return the task, and the neurons in its coordinates. Exact.

        Args:
            mean: μ, shape (d,).
            patches: ξ_i, shape (n, d), d ≥ n + 1 + 2m.
            labels: ỹ_i = ±1, flips included, shape (n,).
            flipped: whether ỹ_i is not the label y_i of the signal patch, shape (n,).
            weights: the neurons, shape (2m, d), those of class + first.
            noise: σ, of fresh patches in the test error.

        Raises:
            InvalidArgument: arrays that do not fit together, or too few dimensions.
        """
        xi = checks.array("patches", patches, 2, dtype=np.float64)
        n, d = xi.shape
        mu = checks.array("mean", mean, 1, dtype=np.float64, shape=(d,))
        w = checks.array("weights", weights, 2, dtype=np.float64, shape=(None, d))
        given = checks.array("labels", labels, 1, dtype=np.float64, shape=(n,))
        swapped = checks.array("flipped", flipped, 1, dtype=np.float64, shape=(n,)) > 0
        if not np.all(np.abs(given) == 1):
            raise checks.InvalidArgument("labels", "be +1 or −1", f"they are {np.unique(given)[:4].tolist()} …")
        if len(w) % 2 or d < n + 1 + len(w) or not mu.any():
            fault = f"there are {len(w)} of them in {d} dimensions, and ‖μ‖ is {np.linalg.norm(mu):g}"
            raise checks.InvalidArgument("weights", f"be 2m neurons in at least {n + 1} + 2m dimensions, μ ≠ 0", fault)
        frame, upper = np.linalg.qr(np.column_stack([mu, xi.T]))
        frame = frame * np.where(np.diag(upper) < 0, -1, 1)
        inside = w @ frame
        outside = np.transpose(np.linalg.qr((w - inside @ frame.T).T, mode="r"))
        coordinates = np.concatenate([xi @ frame, np.zeros((n, len(w)))], axis=1)
        task = cls(n, d, 1.0, float(swapped.mean()), neurons=len(w) // 2, noise=noise)
        fields = (coordinates, np.asarray(np.linalg.norm(mu)), given, swapped)
        task = eqx.tree_at(lambda t: (t.patches, t.size, t.labels, t.flipped), task, fields)
        return task, np.concatenate([inside, outside], axis=1)

    @property
    def samples(self) -> int:
        """Number of samples n."""
        return int(self.labels.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (2m, coordinates): n + 1 + 2m coordinates, or d where that is fewer."""
        return 2 * self.neurons, int(self.patches.shape[1])

    @property
    def dtype(self) -> np.dtype:
        """Precision, float64."""
        return self.patches.dtype

    @property
    def has_truth(self) -> bool:
        """True: fresh samples are drawn in the coordinates of the neurons."""
        return True

    @property
    def rejection(self) -> float:
        """n·SNR²(1 − 2p): flipped samples are at first classified by their true label iff it exceeds 1 (14.4)."""
        snr = float(self.size) / (float(self.noise) * math.sqrt(float(self.dim)))
        return self.samples * snr**2 * (1 - 2 * float(self.flip))

    @property
    def pace(self) -> float:
        """nm/(σ²d): the learning rate at which the first stage takes O(1) steps; a tenth of it shows the stage."""
        return self.samples * self.neurons / (float(self.noise) ** 2 * float(self.dim))

    def _outputs(self, signal: Any, noise: Any) -> Any:
        """F₊ − F₋ from ⟨w_r, yμ⟩ and ⟨w_r, ξ⟩, shape (2m, samples)."""
        neurons = jax.nn.relu(signal) + jax.nn.relu(noise)
        return jnp.mean(neurons[: self.neurons], axis=0) - jnp.mean(neurons[self.neurons :], axis=0)

    def _margins(self, matrix: Any) -> Any:
        """ỹ_i f(x_i)."""
        truth = jnp.where(self.flipped, -self.labels, self.labels)
        signal = self.size * matrix[:, :1] * truth
        return self.labels * self._outputs(signal, matrix @ self.patches.T)

    def _losses(self, matrix: Any) -> Any:
        return jnp.logaddexp(0.0, -self._margins(matrix))

    @evaluates
    def cost(self, matrix: Float[AnyArray, "neurons coordinates"]) -> Float[AnyArray, ""]:
        """Return the mean logistic loss on the given labels."""
        return jnp.mean(self._losses(matrix))

    @evaluates
    def gradient(self, matrix: Float[AnyArray, "neurons coordinates"]) -> Float[AnyArray, "neurons coordinates"]:
        """Return its gradient, with σ'(0) = 0."""
        return jax.grad(lambda w: jnp.mean(self._losses(w)))(matrix)

    @evaluates
    def margins(self, matrix: Float[AnyArray, "neurons coordinates"]) -> Float[AnyArray, " n"]:
        """Return ỹ_i f(x_i) of every sample."""
        return self._margins(matrix)

    @evaluates
    def train_error(self, matrix: Float[AnyArray, "neurons coordinates"]) -> Float[AnyArray, ""]:
        """Return the share of samples that are not classified by their given label."""
        return jnp.mean(self._margins(matrix) <= 0, dtype=matrix.dtype)

    @evaluates
    def test_error(self, matrix: Float[AnyArray, "neurons coordinates"]) -> Float[AnyArray, ""]:
        """Return the share of fresh samples that are not classified by their true label.

        The neurons read a fresh patch as N(0, σ²WWᵀ), a vector of 2m numbers; 20,000 of them are drawn, the same for
        every W, and read with either label: the standard error is √(e(1 − e)/40,000) or less.

        References:
            works (14.3).
        """
        values, vectors = jnp.linalg.eigh(matrix @ matrix.T)
        root = self.noise * vectors * jnp.sqrt(jnp.maximum(values, 0))
        draws = jax.random.normal(jax.random.key(0), (2 * self.neurons, _FRESH), matrix.dtype)
        fresh = root @ draws
        at = self.size * matrix[:, :1]
        wrong = [jnp.mean(sign * self._outputs(sign * at, fresh) <= 0) for sign in (1, -1)]
        return 0.5 * (wrong[0] + wrong[1]).astype(matrix.dtype)

    def curvature(self) -> float:
        """Return a bound on the curvature: ‖(y_iμ + ξ_i)_i‖²/(2mn), as if every neuron read every patch.

        The loss has second derivative ¼ at most, ∂f/∂w_r is 1/m times a sum of patches, and there are 2m neurons.
        """
        span = np.asarray(self.patches, np.float64)
        both = np.linalg.norm(span, 2) + float(self.size) * math.sqrt(self.samples)
        return float(both**2 / (2 * self.neurons * self.samples))

    def reference(self) -> Float[np.ndarray, "neurons coordinates"]:
        """Return neurons along ±μ whose output on the signal is ±1: no matrix is to be learned."""
        at = np.zeros(self.shape)
        at[: self.neurons, 0], at[self.neurons :, 0] = 1 / float(self.size), -1 / float(self.size)
        return at

    def start(self, deviation: float | None = None, *, key: Seed = 0) -> Float[np.ndarray, "neurons coordinates"]:
        """Draw neurons with iid N(0, s₀²) weights in d dimensions, exactly in law.

        Args:
            deviation: s₀ > 0; 0.01/√d if left out, small enough for the signal not to be a matter of chance.
            key: seed, or a numpy Generator.

        References:
            works (14.2).
        """
        chosen = (
            0.01 / math.sqrt(float(self.dim)) if deviation is None else checks.number("deviation", deviation, above=0)
        )
        rng, (rows, columns) = stream("key", key, "weights"), self.shape
        span = self.samples + 1
        inside = rng.standard_normal((rows, min(span, columns)))
        if columns < span + rows:  # all d directions are held
            return chosen * np.concatenate([inside, rng.standard_normal((rows, columns - inside.shape[1]))], axis=1)
        return chosen * np.concatenate([inside, bartlett(rows, float(self.dim) - span, rng)], axis=1)

    def _coefficients(self, matrix: Any, start: Any) -> Any:
        """Solve W − W(0) = Σ c·(μ, ξ_1, …, ξ_n) for the coefficients, shape (2m, n + 1)."""
        span = self.samples + 1
        if matrix.shape[1] < span:
            raise checks.InvalidArgument(
                "observables",
                "not ask for 'learned_signal' or 'memorisation' on this task",
                f"{span} vectors in {matrix.shape[1]} dimensions have no unique coefficients",
                f"use a `dim` of at least {span}",
            )
        vectors = jnp.zeros((span, span), matrix.dtype).at[0, 0].set(self.size).at[1:].set(self.patches[:, :span])
        return jnp.linalg.solve(vectors.T, (matrix - start)[:, :span].T).T

    def _learned_signal(self, matrix: Any, start: Any) -> Any:
        """γ_jr of w = w(0) + jγμ/‖μ‖² + …."""
        sign = jnp.where(jnp.arange(2 * self.neurons) < self.neurons, 1, -1)
        return sign * self._coefficients(matrix, start)[:, 0] * self.size**2

    def _memorisation(self, matrix: Any, start: Any) -> Any:
        """max_r ρ_jri of w = w(0) + … + Σ ρ_i ξ_i/‖ξ_i‖², for the class j that a sample is labelled as."""
        own = self._coefficients(matrix, start)[:, 1:] * jnp.sum(self.patches**2, axis=1)
        plus, minus = jnp.max(own[: self.neurons], axis=0), jnp.max(own[self.neurons :], axis=0)
        return jnp.where(self.labels > 0, plus, minus)

    def _accuracy(self, matrix: Any, among: Any) -> Any:
        """Share of some samples that are classified by their given label; NaN where there are none."""
        return jnp.mean(self._margins(matrix) > 0, where=among, dtype=matrix.dtype)

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("learned_signal", _learned_signal, ("neuron",), "γ of each neuron: what it has learned of the signal"),
        Measure("memorisation", _memorisation, ("sample",), "ρ of each sample: the largest over neurons of its class"),
        Measure(
            "accuracy_clean",
            lambda t, w, _: t._accuracy(w, ~t.flipped),
            (),
            "accuracy on samples with their true label",
        ),
        Measure(
            "accuracy_flipped", lambda t, w, _: t._accuracy(w, t.flipped), (), "accuracy on flipped labels, as given"
        ),
        Measure("sample_losses", lambda t, w, _: t._losses(w), ("sample",), "loss of each sample"),
    )


def _patches(samples: int, dim: int, rest: int, rng: np.random.Generator) -> Float[np.ndarray, "n coordinates"]:
    """ξ_i of σ = 1: one coordinate along μ, n in which they are lower triangular, and `rest` zeros."""
    columns = samples + 1 + rest
    if dim < columns:
        return rng.standard_normal((samples, dim))
    out = np.zeros((samples, columns))
    out[:, 0] = rng.standard_normal(samples)
    out[:, 1 : samples + 1] = bartlett(samples, dim - 1, rng)
    return out
