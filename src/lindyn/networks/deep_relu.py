"""Networks with leaky ReLU units between their layers, seen on fixed inputs.

A linear network is its matrix; a network of ReLU units is not. What a cost of it can see is its outputs on the inputs,

    F = W_L φ(W_{L−1} ⋯ φ(W_1 X)),   φ(z) = max(z, s·z),

a matrix of one column for each sample. So F stands where A = W_L ⋯ W_1 stands elsewhere: a task is a cost of F, the
flow is that of the layers, and what is known of products of matrices only (thresholds, kernels from Gram matrices,
closed forms, reduction of the width) is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lindyn.networks.network import Network
from lindyn.solutions.solution import Reason
from lindyn.support import checks
from lindyn.support.precision import result_dtype
from lindyn.support.randomness import Seed, stream

Layers = tuple[Any, ...]


class ReLUChain(eqx.Module):
    """How layers with leaky ReLU units between them act, inside JAX; `lindyn.methods` asks a network for it.

    Attributes:
        inputs: X, shape (d_in, n).
        slope: s of φ(z) = max(z, s·z).
    """

    inputs: Float[Array | np.ndarray, "d_in n"]
    slope: Float[Array | np.ndarray, ""]

    def outputs(self, layers: Layers) -> Float[Array, "d_out n"]:
        """Return F from layers in their own orientation."""
        hidden = self.inputs
        for layer in layers[:-1]:
            read = layer @ hidden
            hidden = jnp.where(read > 0, read, self.slope * read)
        return layers[-1] @ hidden

    def gradients(self, layers: Layers, gradient: Float[Array, "d_out n"]) -> Layers:
        """Return the gradient of every layer from that of F, with φ'(0) = s."""
        pulled: Layers = jax.vjp(self.outputs, layers)[1](gradient)[0]
        return pulled

    def kernel_bound(self, layers: Layers) -> Float[Array, ""]:
        """Return Σ_l Π_{k≠l} ‖W_k‖_F² ‖X‖_F², at least the norm of the tangent kernel where |s| ≤ 1."""
        squares = [jnp.sum(layer**2) for layer in layers]
        others = [
            jnp.prod(jnp.stack([jnp.sum(self.inputs**2), *squares[:k], *squares[k + 1 :]])) for k in range(len(squares))
        ]
        return sum(others, start=jnp.zeros(()))


@dataclass(frozen=True, eq=False, repr=False)
class DeepReLU(Network):
    """A network of leaky ReLU units without biases on fixed inputs; its "matrix" is its outputs F, shape (d_out, n).

    `Flow`, `GeometricFlow` and `NearlyLinear` move it. Tasks are costs of F, such as SpikedMatrix(target=Y) for
    ½‖Y − F‖². Inputs and targets over √n make that the mean squared error of n samples. Where the flow holds a unit at
    its kink, an adaptive solver of tight tolerance stops there and says so: loosen `rtol`, or use `GeometricFlow`.

    Attributes:
        layers: W_1 first; layer l has shape (w_l, w_{l−1}).
        inputs: X, shape (d_in, n).
        slope: s of φ(z) = max(z, s·z); 0 is ReLU, 1 a linear network.

    References:
        works (13.1), (16.1).

    Examples:
        >>> net = DeepReLU.from_weights([[[1.0], [-1.0]], [[1.0, 1.0]]], inputs=[[3.0, -2.0]])
        >>> net.matrix.tolist()  # |x|
        [[3.0, 2.0]]
        >>> net.with_slope(1.0).matrix.tolist()
        [[0.0, 0.0]]
    """

    inputs: Float[np.ndarray, "d_in n"] = field(default_factory=lambda: np.zeros((1, 1)), repr=False)
    slope: float = 0.0

    @classmethod
    def from_weights(cls, weights: Any, inputs: Any, *, slope: float = 0.0) -> Self:
        """Take layers W_1, …, W_L and inputs X, shape (d_in, n).

        Raises:
            InvalidArgument: shapes that do not chain, or a slope outside [0, 1].
        """
        dtype = result_dtype(*weights, inputs)
        given = [checks.array(f"weights[{k}]", w, 2, dtype=dtype) for k, w in enumerate(weights)]
        x = checks.array("inputs", inputs, 2, dtype=dtype)
        if not given:
            raise checks.InvalidArgument("weights", "hold a layer at least", "it is empty")
        sides = [x.shape[0], *(w.shape[0] for w in given)]
        for k, w in enumerate(given):
            if w.shape[1] != sides[k]:
                raise checks.InvalidArgument(f"weights[{k}]", f"have {sides[k]} columns", f"its shape is {w.shape}")
        s = checks.number("slope", slope, at_least=0)
        if s > 1:
            raise checks.InvalidArgument("slope", "lie in [0, 1]", f"it is {s:g}")
        held = cls.holding(tuple(given), tuple(w.shape[0] for w in given[:-1]), float("nan"), "given weights")
        return replace(held, inputs=x, slope=s)

    @classmethod
    def gaussian(
        cls, inputs: Any, outputs: int, *, widths: tuple[int, ...], scale: float, slope: float = 0.0, key: Seed = 0
    ) -> Self:
        """Draw layers of iid N(0, 2/fan-in) weights, all multiplied so that the root mean square of ‖W_l‖_F is `scale`.

        Args:
            inputs: X, shape (d_in, n).
            outputs: d_out.
            widths: of the hidden layers; () for one layer.
            scale: α > 0 of (13.2).
            slope: of the units.
            key: seed, or a numpy Generator.
        """
        x, alpha = checks.array("inputs", inputs, 2), checks.number("scale", scale, above=0)
        ends = [checks.integer("widths", w, at_least=1) for w in (*widths, checks.integer("outputs", outputs))]
        rng = stream("key", key, "weights")
        drawn = [
            rng.standard_normal((out, into)) * np.sqrt(2 / into)
            for out, into in zip(ends, [len(x), *ends[:-1]], strict=True)
        ]
        # direction first: layers of 10⁻³⁰ have no squares
        size = np.sqrt(sum(np.sum(w**2) for w in drawn) / len(drawn))
        net = cls.from_weights([w / size * alpha for w in drawn], x, slope=slope)
        return replace(net, law=f"iid Gaussian weights, layers of norm {alpha:.3g}")

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, n) of F."""
        return self.layers[-1].shape[0], self.inputs.shape[1]

    @property
    def matrix(self) -> Float[np.ndarray, "d_out n"]:
        """Outputs F on the inputs."""
        return self._read()[-1]

    @property
    def nonlinearity(self) -> Float[np.ndarray, " hidden"]:
        """‖φ(Z_l) − Z_l‖_F²/‖Z_l‖_F² of every hidden layer, Z_l what its units read: 0 where φ changes nothing."""
        read = self._read()[:-1]
        return np.array([np.sum(((1 - self.slope) * np.minimum(z, 0)) ** 2) / np.sum(z**2) for z in read])

    def _read(self) -> list[np.ndarray]:
        """W_1X, W_2φ(W_1X), …, F."""
        read = [self.layers[0] @ self.inputs]
        for layer in self.layers[1:]:
            read.append(layer @ np.maximum(read[-1], self.slope * read[-1]))
        return read

    def with_slope(self, slope: float) -> Self:
        """Return the same layers with other units; 1 makes them linear."""
        return replace(self.from_weights(self.layers, self.inputs, slope=slope), law=self.law)

    def chain(self) -> ReLUChain:
        """Return how the layers act, for a method."""
        return ReLUChain(self.inputs, np.asarray(self.slope, self.dtype))

    def kernel_terms(self) -> Any:
        """Refuse: the tangent kernel of ReLU units depends on the samples, and is no sum of products of two matrices.

        Raises:
            InvalidArgument: always; a stability bound asks for it, for instance.
        """
        raise checks.InvalidArgument(
            "system", "be a product of layers for its tangent kernel", "it has ReLU units", "use Flow or GeometricFlow"
        )

    def closed_form(self, task: Any) -> Reason:
        """Return the reason why there is none."""
        del task
        return Reason("no closed form is known for ReLU units", "use Flow()")

    @property
    def title(self) -> str:
        """What moves, for print-outs and legends."""
        kind = "ReLU" if self.slope == 0 else f"leaky ReLU of slope {self.slope:g},"
        return f"{self.depth} layers of {kind} units"

    @property
    def held(self) -> str:
        """What is held, for print-outs."""
        return "all weights"

    def __repr__(self) -> str:
        """One line: widths, slope, samples, law."""
        widths = "–".join(str(n) for n in (len(self.inputs), *self.widths, self.shape[0]))
        return f"DeepReLU({widths}, slope={self.slope:g}, {self.shape[1]} inputs, law={self.law!r})"
