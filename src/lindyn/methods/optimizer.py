"""Any optax rule, on the reduced layers where it allows that, else on the full width."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax

from lindyn.methods.descent import refuse_units
from lindyn.methods.engine import Engine
from lindyn.methods.equivariance import Embedding, probe_equivariance
from lindyn.methods.layer_descent import LayerDescent
from lindyn.methods.layer_updates import LayerUpdate, Tree
from lindyn.methods.method import Method, Problem
from lindyn.networks.network import Network
from lindyn.support import checks
from lindyn.support.bounds import MOST_STEPS
from lindyn.support.memory import require_memory


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimizer(Method):
    """Any optax rule on {"w1": (w, d_in), "w2": (d_out, w)}, or as many layers as the network has.

    Before the run the rule is tried on a small network and its embedding: if it commutes with V ↦ VQ it runs on
    the reduced layers at any width, else (Adam, sign descent, a shape-dependent factor) on the full weights where
    they fit in memory, and is refused, with the memory it would need, where they do not.

    Args:
        rule: an `optax.GradientTransformation`, its learning rate included.
        steps: number of steps.
        learning_rate: nominal rate for the clock t = η·step; 1 if left out, when time counts steps.
        key: seed of the full weights, when a sampled network must be expanded.

    References:
        theory (1.3).

    Examples:
        >>> import optax
        >>> Optimizer(rule=optax.adam(1e-2), steps=10).steps
        10
    """

    rule: Any
    steps: int = 750
    learning_rate: float = 1.0
    key: int = 0

    def __post_init__(self) -> None:
        checks.integer("steps", self.steps, at_least=0, at_most=MOST_STEPS)
        if not (callable(getattr(self.rule, "init", None)) and callable(getattr(self.rule, "update", None))):
            raise checks.InvalidArgument(
                "rule",
                "be an optax.GradientTransformation",
                f"it is {checks.shown(self.rule)}",
                "for example optax.adam(1e-2)",
            )
        checks.number("learning_rate", self.learning_rate, above=0)
        checks.integer("key", self.key, at_least=0)

    def prepare(self, problem: Problem) -> Engine:
        """Try the rule, then step the layers it needs."""
        network = problem.product_for(self)
        refuse_units(network, ["method"])
        steps = problem.record_steps(self, self.steps)
        probe = probe_equivariance(self.rule, steps=self.steps)
        if not probe.equivariant:
            self._require_memory(network, problem.dtype)
            network = network.unreduced(self.key)
        layers = problem.start_layers(network)
        shapes = [layer.shape for layer in layers]
        info = problem.info(
            "optax rule",
            f", on the {'reduced factor' if probe.equivariant else 'full width'}: {_why(probe)}",
            network.nbytes + rule_bytes(self.rule, shapes, problem.dtype),
            learning_rate=self.learning_rate,
            sources=("optax",),
        )
        return LayerDescent(
            problem.device_task,
            layers,
            LayerUpdate(OptaxRule(self.rule)),
            steps,
            self.learning_rate,
            info=info,
            view=problem.layers_view(),
        )

    def _require_memory(self, network: Network, dtype: np.dtype) -> None:
        sizes = (network.shape[1], *network.widths, network.shape[0])
        shapes = list(zip(sizes[1:], sizes, strict=False))
        layers = sum(math.prod(shape) for shape in shapes) * dtype.itemsize
        require_memory(
            "rule",
            max(network.widths),
            4 * layers + 2 * rule_bytes(self.rule, shapes, dtype),
            "an update rule that does not commute with rotations of the hidden units, and so needs the full width,",
        )


def _why(probe: Embedding) -> str:
    if not probe.moved:
        return "the rule moved nothing when it was tried, so that nothing is known of it"
    return f"the rule is {'' if probe.equivariant else 'not '}equivariant (deviation {probe.deviation:.1g})"


class OptaxRule(eqx.Module):
    """A user's rule, which has its own learning rate and sees every layer in its own orientation."""

    rule: Any

    def init(self, params: Tree) -> Any:
        """Return the rule's state."""
        return self.rule.init(_natural(params))

    def move(self, gradients: Tree, state: Any, params: Tree, rate: Any) -> tuple[Tree, Any]:
        """Add the rule's updates."""
        del rate
        updates, state = self.rule.update(_natural(gradients), state, _natural(params))
        return {name: params[name] + u for name, u in _natural(updates).items()}, state


def _natural(tree: Tree) -> Tree:
    """Turn the first layer between storage and its own orientation."""
    return {name: leaf.T if name == "w1" else leaf for name, leaf in tree.items()}


def rule_bytes(rule: optax.GradientTransformation, shapes: list[tuple[int, int]], dtype: Any) -> int:
    """Return the bytes of a rule's state for layers of given shapes, without allocating it."""
    layers = {f"w{number}": jax.ShapeDtypeStruct(s, dtype) for number, s in enumerate(shapes, 1)}
    state = jax.eval_shape(rule.init, layers)
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
