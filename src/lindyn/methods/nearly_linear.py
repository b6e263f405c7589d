"""Nearly linear networks: the flow at slope 1 and its first correction in ε = 1 − s, nothing else being trained.

The flow of a network of leaky ReLU units is θ̇ = v(θ, ε), v the negative gradient. In ε, θ^ε = θ⁰ + εθ¹ + O(ε²) with

    θ̇⁰ = v(θ⁰, 0),      θ̇¹ = ∂_θ v(θ⁰, 0) θ¹ + ∂_ε v(θ⁰, 0),      F^ε = F⁰ + εF¹ + O(ε²),

the linear network and the tangent equation along it. One directional derivative of v gives both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from lindyn.dynamics import Dynamics
from lindyn.methods.engine import Snapshot
from lindyn.methods.flow import Flow, Motion
from lindyn.methods.method import Problem
from lindyn.networks.network import Network
from lindyn.support import checks
from lindyn.support.programs import run_compiled


@dataclass(frozen=True, kw_only=True, eq=False)
class NearlyLinear(Flow):
    """Predict the flow of a leaky network (`DeepReLU`) to first order in ε = 1 − s from the linear one.

    The recorded outputs are F⁰ + εF¹ and the recorded layers W⁰ + εW¹. The error is O(ε²) as long as few units cross
    their kink, and grows with time: at ε = 0.05 one twentieth of the deviation from the linear network and less, up to
    t = 12 (works 16.2). The linear network alone is the same at slope 1.

    Args:
        solver: as for `Flow`; of a low order, since the right side jumps where a linear unit changes sign.
        rtol: relative tolerance of a step, moderate for the same reason.

    Others as for `Flow`; no weight decay.

    References:
        works (16.1), (16.2); Golikov (2024) for networks as perturbations of linear ones.

    Examples:
        >>> import numpy as np, lindyn as ld
        >>> rng = np.random.default_rng(0)
        >>> net = ld.networks.DeepReLU.gaussian(rng.standard_normal((3, 8)), 1, widths=(5,), scale=0.5, slope=0.98)
        >>> task, flow = ld.SpikedMatrix(target=rng.standard_normal((1, 8))), ld.Flow(solver="tsit5", rtol=1e-6)
        >>> runs = [ld.simulate(n, task, method, times=[0.0, 0.3], observables="matrix")["matrix"][-1]
        ...         for n, method in ((net, flow), (net, NearlyLinear()), (net.with_slope(1.0), flow))]
        >>> trained, predicted, linear = runs
        >>> bool(abs(predicted - trained).max() < 0.05 * abs(linear - trained).max())
        True
    """

    solver: Literal["dopri8", "tsit5", "kvaerno5"] = "tsit5"
    rtol: float | None = 1e-7
    name: ClassVar[str] = "first order in 1 − s, flow"

    def _motion_of_matrix(self, problem: Problem, dynamics: Dynamics) -> Motion:
        del dynamics
        problem.network_for(self)  # refuses it
        raise AssertionError

    def _motion_of_layers(self, problem: Problem, network: Network) -> Motion:
        chain = problem.chain_of(network)
        if network.chain() is None:
            raise checks.InvalidArgument(
                "method", "be Flow for a linear network", "it is NearlyLinear, the correction of which is zero"
            )
        if self.weight_decay:
            raise checks.InvalidArgument("weight_decay", "be 0 for NearlyLinear", f"it is {self.weight_decay:g}")
        layers = problem.start_layers(network)
        state = layers, tuple(jnp.zeros_like(layer) for layer in layers)
        return Motion(
            _velocity,
            state,
            (problem.device_task, chain),
            lambda now: run_compiled(_shown, chain, now),
            problem.layers_view(),
            "the linear network and its tangent equation (16.2), an error O((1 − s)²)",
            0.0,
            network.depth,
        )


def _at(chain: Any, epsilon: Any) -> Any:
    """The chain with units of slope 1 − ε."""
    return eqx.tree_at(lambda c: c.slope, chain, 1 - epsilon)


def _velocity(time: Any, state: Any, arguments: Any) -> Any:
    """Return (θ̇⁰, θ̇¹)."""
    del time
    task, chain = arguments

    def flow(layers: Any, epsilon: Any) -> Any:
        now = _at(chain, epsilon)
        return tuple(-g for g in now.gradients(layers, task.gradient(now.outputs(layers))))

    unit = jnp.ones_like(chain.slope)
    moved: Any = jax.jvp(flow, (state[0], 0 * unit), (state[1], unit))
    return moved


def _shown(chain: Any, state: Any) -> Snapshot:
    """Return F⁰ + εF¹ and W⁰ + εW¹."""
    epsilon = 1 - chain.slope

    def outputs(layers: Any, small: Any) -> Any:
        return _at(chain, small).outputs(layers)

    unit = jnp.ones_like(epsilon)
    linear, tangent = jax.jvp(outputs, (state[0], 0 * unit), (state[1], unit))
    layers = tuple(w + epsilon * t for w, t in zip(*state, strict=True))
    return Snapshot(linear + epsilon * tangent, layers)
