"""The direction in which training leaves the saddle at zero, and its speed.

Near zero a cost of L layers is C(0) + L₀, L₀(θ) = ⟨G, F(θ)⟩ with G = ∇C(0), homogeneous of degree L. On the sphere
‖θ‖ = √L a stationary direction ρ has ∇L₀(ρ) = −sρ, and along it u = ‖θ‖/√L grows as u̇ = s u^{L−1}; its speed is
s = −L₀(ρ).

For a linear network the fastest one is known. For ReLU units it is searched for. The optimum sits where units switch
(x ⟂ w), so that gradients do not vanish there and a line search jams far from it. So the search takes projected
subgradient steps of falling length from many starts, keeps the best point of each, and says how many starts agree with
the best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lindyn.networks.network import Network
from lindyn.support import checks
from lindyn.support.precision import working_precision
from lindyn.support.programs import run_compiled
from lindyn.support.randomness import Seed, stream
from lindyn.tasks.task import Task

_AGREE = 0.01  # starts within a hundredth of the best speed count as having found it
_FIRST_STEP, _LAST_STEP = 0.3, 1e-6  # of the search, relative to the sphere's radius


@dataclass(frozen=True, eq=False)
class EscapeDirection:
    """The fastest direction that was found.

    Attributes:
        speed: s of u̇ = s u^{L−1}, on the sphere ‖θ‖ = √L.
        layers: W_1, …, W_L of the direction, each of norm 1 in theory.
        speeds: what each start found, largest first; the one speed of a closed form.
        share: share of starts within 1 % of the best.
        why: where it comes from.
    """

    speed: float
    layers: tuple[Float[np.ndarray, "_ _"], ...]
    speeds: Float[np.ndarray, " starts"]
    share: float
    why: str

    @property
    def singular_values(self) -> tuple[Float[np.ndarray, " _"], ...]:
        """Singular values of every layer, largest first."""
        return tuple(np.linalg.svd(layer, compute_uv=False) for layer in self.layers)

    @property
    def tail_energy(self) -> Float[np.ndarray, " layers"]:
        """Σ_{i≥2} s_i²/Σ s_i² of every layer: 0 where it has rank one."""
        return np.array([float(np.sum(s[1:] ** 2) / np.sum(s**2)) for s in self.singular_values])

    def time(self, scale: float) -> float:
        """Return how long the flow takes to leave from αρ, up to O(1): α^{2−L}/((L−2)s), and ln(1/α)/s for two layers.

        Args:
            scale: α in (0, 1), the root mean square of ‖W_l‖_F.

        References:
            works (13.1).
        """
        alpha, excess = checks.number("scale", scale, above=0), len(self.layers) - 2
        if alpha >= 1:
            raise checks.InvalidArgument("scale", "be below 1", f"it is {alpha:g}", "the saddle is left already")
        return math.log(1 / alpha) / self.speed if excess == 0 else alpha**-excess / (excess * self.speed)

    def __repr__(self) -> str:
        """Speed, share, tails."""
        tails = ", ".join(f"{tail:.3g}" for tail in self.tail_energy)
        return f"EscapeDirection(speed {self.speed:.6g}, tail energies {tails}; {self.why})"


def escape_direction(
    network: Network, task: Task, *, starts: int = 64, steps: int = 4000, key: Seed = 0
) -> EscapeDirection:
    """Return the fastest direction ρ, ∇L₀(ρ) = −sρ, in which training leaves zero.

    Linear networks, exactly and at any depth: s = σ₁(−G Xᵀ), G = ∇C(0) (X = I for a cost of A), all layers of rank one
    along the top singular pair. ReLU units: the best of many starts, so s is a lower bound of the optimal speed, and
    `share` tells how many starts found it. Nothing says that training takes the fastest direction.

    Args:
        network: whose shape and units count, not its weights: `DeepReLU`, `DeepLinear` or `TwoLayer`.
        task: whose gradient at zero counts.
        starts: of the search.
        steps: of the search.
        key: seed of the starts, or a numpy Generator.

    Raises:
        InvalidArgument: shapes that differ, a single layer, or a task whose gradient at zero is zero.

    References:
        works (13.1), (13.3), (13.5); Bantzis, Simon, Jacot (2025).

    Examples:
        >>> import lindyn as ld
        >>> net = ld.DeepLinear.gaussian((2, 2), depth=4, width=8, variance=1e-9)
        >>> escape = escape_direction(net, ld.SpikedMatrix(target=[[3.0, 0.0], [0.0, 1.0]]))
        >>> round(escape.speed, 9), escape.tail_energy.round(9).tolist()
        (3.0, [0.0, 0.0, 0.0, 0.0])
        >>> round(escape.time(1e-3))  # 10⁶/(2·3)
        166667
    """
    checks.instance("network", network, Network, "a network, such as DeepReLU")
    checks.instance("task", task, Task, "a task, such as SpikedMatrix")
    if tuple(network.shape) != tuple(task.shape):
        raise checks.InvalidArgument("network", f"have the task's shape {task.shape}", f"its shape is {network.shape}")
    if network.depth == 1:
        raise checks.InvalidArgument("network", "have two layers at least", "it has one, for which zero is no saddle")
    drive = -np.asarray(task.gradient(np.zeros(task.shape, task.dtype)), np.float64)
    if not drive.any():
        raise checks.InvalidArgument("task", "have a gradient at zero", "it is zero")
    chain = network.chain()
    if chain is None:
        return _of_product(drive, network)
    if float(chain.slope) == 1:
        return _of_product(drive @ np.asarray(chain.inputs, np.float64).T, network)
    starts, steps = checks.integer("starts", starts, at_least=1), checks.integer("steps", steps, at_least=1)
    rng = stream("key", key, "starts")
    first = tuple(rng.standard_normal((starts, *layer.shape)) for layer in network.layers)
    with working_precision(np.float64):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, np.float64), chain)
        speeds, layers = run_compiled(_search, wide, first, drive, np.int32(steps))
    order = np.argsort(-np.asarray(speeds))
    ranked = np.asarray(speeds)[order]
    return EscapeDirection(
        float(ranked[0]),
        tuple(np.asarray(layer)[order[0]] for layer in layers),
        ranked,
        float(np.mean(ranked >= (1 - _AGREE) * ranked[0])),
        f"the best of {starts} starts of a search, a lower bound of the optimal speed",
    )


def _of_product(drive: np.ndarray, network: Network) -> EscapeDirection:
    """s ≤ ‖M‖ Π‖W_l‖, with equality where all layers are of rank one along its top pair (13.3)."""
    u, s, vt = np.linalg.svd(drive)
    sides = (drive.shape[1], *network.widths, drive.shape[0])
    layers = [np.zeros((out, into)) for into, out in pairwise(sides)]
    for layer in layers:
        layer[0, 0] = 1.0
    layers[0][0], layers[-1][:, 0] = vt[0], u[:, 0]
    return EscapeDirection(float(s[0]), tuple(layers), s[:1], 1.0, "exact, for products of layers (13.3)")


def _search(chain: Any, first: Any, drive: Any, steps: Any) -> tuple[Any, Any]:
    """Ascend ⟨drive, F⟩ on the sphere from each start, in steps that fall as (1 − k/steps)²; keep the best of each."""
    radius = math.sqrt(len(first))

    def on_sphere(layers: Any) -> Any:
        size = jnp.sqrt(sum(jnp.sum(w**2, axis=(1, 2)) for w in layers))
        return tuple(w * (radius / size)[:, None, None] for w in layers)

    speed_and_slope = jax.vmap(jax.value_and_grad(lambda layers: jnp.sum(drive * chain.outputs(layers))))

    def step(k: Any, carry: Any) -> Any:
        layers, best, kept = carry
        speed, slope = speed_and_slope(layers)
        better = speed > best
        kept = tuple(jnp.where(better[:, None, None], w, old) for w, old in zip(layers, kept, strict=True))
        size = jnp.sqrt(sum(jnp.sum(g**2, axis=(1, 2)) for g in slope))
        length = radius * (_FIRST_STEP * (1 - k / steps) ** 2 + _LAST_STEP) / jnp.where(size > 0, size, 1)
        moved = tuple(w + length[:, None, None] * g for w, g in zip(layers, slope, strict=True))
        return on_sphere(moved), jnp.where(better, speed, best), kept

    began = on_sphere(first)
    _, best, kept = jax.lax.fori_loop(0, steps, step, (began, jnp.full(began[0].shape[0], -jnp.inf), began))
    return best, kept
