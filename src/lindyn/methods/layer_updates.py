"""Updates of layers: from the gradient of the matrix, G = ∇C(A), to the step of every layer, at any depth (7.1).

The gradient of layer l is (W_L ⋯ W_{l+1})ᵀ G (W_{l−1} ⋯ W_1)ᵀ. With P_l = W_l ⋯ W_1 and B_l = W_{l+1}ᵀ B_{l+1},
B_L = G, it is B_l P_{l−1}ᵀ: 3(L − 1) products a step, A among them; for two layers three, 12 d³ flops (section 6).

A product that sums over the rows of its left operand runs at less than half the rate of the others, in float64 on
processors. The first layer is therefore stored transposed, and the products are held as P_lᵀ and B_lᵀ: then only G and
the B_l of inner layers have to be turned, arrays with a side of d_in. A user's rule sees every layer in its own
orientation, as {"w1": (r_1, d_in), …, "wL": (d_out, r_{L−1})}.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int

Layers = tuple[Float[Array, "_ _"], ...]
Tree = dict[str, Float[Array, "_ _"]]


def turned(layers: Layers) -> Layers:
    """Go between the layers' own orientation and storage, whose first layer is transposed; its own inverse."""
    return (layers[0].T, *layers[1:])


def _turned_over(matrix: Any) -> Any:
    """Return the transpose, in float64 as an array of its own: XLA would fold it into the product that uses it."""
    return matrix.T if matrix.dtype == jnp.float32 else lax.optimization_barrier(matrix.T)


def _products_below(layers: Layers) -> list[Any]:
    """P_1ᵀ, …, P_{L−1}ᵀ."""
    below = [layers[0]]
    for layer in layers[1:-1]:
        below.append(below[-1] @ layer.T)
    return below


def product(layers: Layers) -> Float[Array, "d_out d_in"]:
    """Return A = W_L P_{L−1} from stored layers."""
    if len(layers) == 1:
        return layers[0].T
    return layers[-1] @ _products_below(layers)[-1].T


def _products_back(layers: Layers, gradient: Any) -> list[Any]:
    """B_1ᵀ, …, B_{L−1}ᵀ: what the gradient becomes on its way down; a single layer, stored transposed, has its own."""
    back = [_turned_over(gradient)]
    for layer in reversed(layers[1:]):
        back.append(back[-1] @ layer)
    return back[:0:-1] or back


def layer_gradients(layers: Layers, gradient: Float[Array, "d_out d_in"]) -> Layers:
    """Return the gradient of every stored layer from that of the matrix."""
    below, back = _products_below(layers), _products_back(layers, gradient)
    if len(layers) == 1:
        return (back[0],)
    inner = [_turned_over(b) @ p for b, p in zip(back[1:], below, strict=False)]
    return (back[0], *inner, gradient @ below[-1])


class Product(eqx.Module):
    """How the layers of a linear network act: by their product. Layers in their own orientation."""

    def outputs(self, layers: Layers) -> Float[Array, "d_out d_in"]:
        """Return A."""
        return product(turned(layers))

    def gradients(self, layers: Layers, gradient: Float[Array, "d_out d_in"]) -> Layers:
        """Return the gradient of every layer from that of A."""
        return turned(layer_gradients(turned(layers), gradient))

    def kernel_bound(self, layers: Layers) -> Float[Array, ""]:
        """Return Σ_l ‖W_L ⋯ W_{l+1}‖_F² ‖W_{l−1} ⋯ W_1‖_F², at least the norm of the tangent kernel."""
        below, above = [jnp.ones(())], [jnp.ones(())]
        prefix, suffix = layers[0], layers[-1]
        for layer in layers[1:]:
            below.append(jnp.sum(prefix**2))
            prefix = layer @ prefix
        for layer in reversed(layers[:-1]):
            above.append(jnp.sum(suffix**2))
            suffix = suffix @ layer
        return sum((a * b for a, b in zip(reversed(above), below, strict=True)), start=jnp.zeros(()))


class Rule(Protocol):
    """Moves a tree of stored layers by a tree of their gradients."""

    def init(self, params: Tree) -> Any:
        """Return the rule's first state."""

    def move(self, gradients: Tree, state: Any, params: Tree, rate: Any) -> tuple[Tree, Any]:
        """Return the layers after one step, and the rule's state."""


class Direction(eqx.Module):
    """A rule W ← W − η·direction: any optax transformation of the gradients, its parameters traced.

    PyTorch's SGD, in its order: clipping by the global norm, weight decay added to the gradient, momentum b ← μb + g
    (or Nesterov's g + μb). A part that is None is left out.
    """

    momentum: Any = None
    weight_decay: Any = None
    clip_norm: Any = None
    nesterov: bool = eqx.field(static=True, default=False)

    def _transformation(self) -> optax.GradientTransformation:
        parts = []
        if self.clip_norm is not None:
            parts.append(optax.clip_by_global_norm(self.clip_norm))
        if self.weight_decay is not None:
            parts.append(optax.add_decayed_weights(self.weight_decay))
        if self.momentum is not None:
            parts.append(optax.trace(self.momentum, self.nesterov))
        return optax.chain(*parts) if parts else optax.identity()

    def init(self, params: Tree) -> Any:
        """Return the state of optax."""
        return self._transformation().init(params)

    def move(self, gradients: Tree, state: Any, params: Tree, rate: Any) -> tuple[Tree, Any]:
        """Step against the direction."""
        direction, state = self._transformation().update(gradients, state, params)
        return {name: w - rate * direction[name] for name, w in params.items()}, state


class Carry(NamedTuple):
    """Stored layers, the rule's state and the step."""

    layers: Layers
    rule_state: Any
    step: Int[Array, ""]


def _tree(layers: Layers) -> Tree:
    return {f"w{number}": layer for number, layer in enumerate(layers, 1)}


def _layers(tree: Tree) -> Layers:
    # by name: a tree that has been through JAX comes back in the order of its sorted keys, "w10" before "w2"
    return tuple(tree[f"w{number}"] for number in range(1, len(tree) + 1))


def _after(arrays: Layers, rate: Any) -> Any:
    """Return the rate, as a number that waits for all arrays: 0·x is no constant in floating point.

    No layer is then moved while a gradient still needs it, and all are moved in place. Otherwise XLA copies every layer
    at each step, a tenth of the time at three layers.
    """
    return rate + 0 * sum(array[0, 0] for array in arrays)


class LayerUpdate(eqx.Module):
    """A step of all layers at once.

    Attributes:
        rule: see `Rule`.
        decoupled_decay: μ of W ← (1 − ημ)W before the step, or None.
    """

    rule: Any = Direction()
    decoupled_decay: Any = None

    def begin(self, layers: Layers) -> Carry:
        """Return the carry at step 0."""
        return Carry(layers, self.rule.init(_tree(layers)), jnp.zeros((), jnp.int32))

    def apply(self, carry: Carry, gradient: Float[Array, "d_out d_in"], rate: Any) -> Carry:
        """Move the layers by the gradient of the matrix."""
        layers = carry.layers
        if self.decoupled_decay is not None:
            layers = tuple(w * (1 - rate * self.decoupled_decay) for w in layers)
        return self._move(carry, gradient, layers, rate)

    def _move(self, carry: Carry, gradient: Any, layers: Layers, rate: Any) -> Carry:
        gradients = layer_gradients(carry.layers, gradient)
        moved, state = self.rule.move(_tree(gradients), carry.rule_state, _tree(layers), _after(gradients, rate))
        return Carry(_layers(moved), state, carry.step + 1)


class UpdateInTurn(LayerUpdate):
    """A step in which each layer sees the layers below it already moved, and G from before (1.2).

    The paper's published code trains so. The rule has a state for each layer.
    """

    def begin(self, layers: Layers) -> Carry:
        """Return the carry at step 0."""
        states = tuple(self.rule.init({name: w}) for name, w in _tree(layers).items())
        return Carry(layers, states, jnp.zeros((), jnp.int32))

    def _move(self, carry: Carry, gradient: Any, layers: Layers, rate: Any) -> Carry:
        back = _products_back(carry.layers, gradient)
        # of layer l: B_l P_{l−1}ᵀ with P_{l−1} of moved layers; the first one is stored transposed
        own, below = back[0], None
        moved, states = [], []
        for number, layer in enumerate(layers, 1):
            name = f"w{number}"
            if below is not None:
                own = (_turned_over(back[number - 1]) if number < len(layers) else gradient) @ below
            new, state = self.rule.move({name: own}, carry.rule_state[number - 1], {name: layer}, rate)
            moved.append(new[name])
            states.append(state)
            if number < len(layers):
                below = new[name] if below is None else below @ new[name].T
        return Carry(tuple(moved), tuple(states), carry.step + 1)
