"""Muon: descent along orthogonalised momentum."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from lindyn.methods.descent import refuse_units
from lindyn.methods.engine import Engine
from lindyn.methods.layer_descent import LayerDescent
from lindyn.methods.layer_updates import LayerUpdate, Tree
from lindyn.methods.method import Method, Problem
from lindyn.networks.network import Network
from lindyn.support import checks
from lindyn.support.bounds import MOST_STEPS

MuonScale = Literal["original", "match_rms_adamw", "none"]

# coefficients of the quintic Newton–Schulz iteration, as published by Jordan et al. (2024)
_QUINTIC = (3.4445, -4.7750, 2.0315)


@dataclass(frozen=True, kw_only=True, eq=False)
class Muon(Method):
    """Muon: descent along orthogonalised momentum, on the reduced layers, as PyTorch's `torch.optim.Muon`.

    Args:
        learning_rate: η.
        steps: number of steps.
        momentum: β of m ← βm + (1 − β)g.
        nesterov: orthogonalise (1 − β)g + βm instead of m.
        weight_decay: decoupled, W ← (1 − ημ)W.
        newton_schulz_steps: iterations of the quintic.
        scale: "original" multiplies by √max(1, rows/columns), "match_rms_adamw" by 0.2√max(rows, columns), of the
            full layers; "none" by 1.

    References:
        theory (1.3); Jordan et al. (2024).

    Examples:
        >>> Muon(learning_rate=0.02, steps=5).scale
        'original'
    """

    steps: int = 750
    learning_rate: float = 0.02
    momentum: float = 0.95
    nesterov: bool = True
    weight_decay: float = 0.0
    newton_schulz_steps: int = 5
    scale: MuonScale = "original"

    def __post_init__(self) -> None:
        checks.integer("steps", self.steps, at_least=0, at_most=MOST_STEPS)
        checks.number("learning_rate", self.learning_rate, above=0)
        if not 0 <= checks.number("momentum", self.momentum) < 1:
            raise checks.InvalidArgument("momentum", "lie in [0, 1)", f"it is {self.momentum:g}")
        checks.number("weight_decay", self.weight_decay, at_least=0)
        checks.integer("newton_schulz_steps", self.newton_schulz_steps, at_least=1)
        checks.flag("nesterov", self.nesterov)
        checks.choice("scale", self.scale, ("original", "match_rms_adamw", "none"))

    def prepare(self, problem: Problem) -> Engine:
        """Step the reduced layers: the iteration commutes with V ↦ VQ (1.3)."""
        network = problem.product_for(self)
        refuse_units(network, ["method"])
        info = problem.info(
            "Muon",
            ", on the reduced factor (1.3)",
            2 * network.nbytes,
            learning_rate=self.learning_rate,
            sources=("jordan2024muon",),
        )
        rule = Orthogonalised(
            self.momentum, self._factors(network), steps=self.newton_schulz_steps, nesterov=bool(self.nesterov)
        )
        return LayerDescent(
            problem.device_task,
            problem.start_layers(network),
            LayerUpdate(rule, self.weight_decay or None),
            problem.record_steps(self, self.steps),
            self.learning_rate,
            info=info,
            view=problem.layers_view(),
        )

    def _factors(self, network: Network) -> tuple[float, ...]:
        """The shape-dependent factor of each layer; it does not commute with V ↦ VQ, so it is that of full layers."""
        sizes = (network.shape[1], *network.widths, network.shape[0])
        choices = {
            "original": lambda rows, columns: max(1.0, rows / columns) ** 0.5,
            "match_rms_adamw": lambda rows, columns: 0.2 * max(rows, columns) ** 0.5,
            "none": lambda rows, columns: 1.0,
        }
        return tuple(choices[self.scale](rows, columns) for columns, rows in pairwise(sizes))


class Orthogonalised(eqx.Module):
    """The rule m ← βm + (1 − β)g, W ← W − η·factor·orthogonalised (1 − β)g + βm (Nesterov), or m."""

    momentum: Any
    factors: tuple[Any, ...]
    steps: int = eqx.field(static=True)
    nesterov: bool = eqx.field(static=True)

    def init(self, params: Tree) -> Tree:
        """Return a momentum of zero."""
        return jax.tree.map(jnp.zeros_like, params)

    def move(self, gradients: Tree, state: Tree, params: Tree, rate: Any) -> tuple[Tree, Tree]:
        """Step against the orthogonalised momentum."""
        beta = self.momentum
        m = {k: beta * state[k] + (1 - beta) * g for k, g in gradients.items()}
        ahead = {k: beta * m[k] + (1 - beta) * g for k, g in gradients.items()} if self.nesterov else m
        moved = {
            f"w{number}": params[f"w{number}"] - rate * (factor * _orthogonalise(ahead[f"w{number}"], self.steps))
            for number, factor in enumerate(self.factors, 1)
        }
        return moved, m


def _orthogonalise(x: Any, steps: int) -> Any:
    """Quintic Newton–Schulz iteration towards the orthogonal polar factor."""
    a, b, c = _QUINTIC
    tall = x.shape[0] > x.shape[1]
    y = x.T if tall else x
    y = y / jnp.maximum(jnp.linalg.norm(y), 1e-7)  # as PyTorch guards a gradient of zero
    for _ in range(steps):
        gram = y @ y.T
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y.T if tall else y
