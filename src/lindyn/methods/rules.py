"""Update rules: the ones lindyn writes itself, and the test that decides whether a rule needs the full width.

A rule that is equivariant under V ↦ VQ acts on the reduced factor as on the weights (theory 1.3). Rather than by a
list of names, equivariance is established by running the rule on a small network and on its embedding.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lindyn.support.linalg import haar_frame
from lindyn.support.precision import working_precision
from lindyn.support.randomness import stream


class Embedding(NamedTuple):
    """Largest deviation between a rule on 9 hidden units and on their reduced factor of 5, over five steps."""

    deviation: float
    equivariant: bool


def probe_equivariance(rule: optax.GradientTransformation) -> Embedding:
    """Run a rule on random gradients of a factor L and of LQ, QQᵀ = I, and compare.

    Gradients of three sizes are tried, since a rule may act on large or small ones only (clipping by element).

    Args:
        rule: an optax gradient transformation on {"w1": (w, d_in), "w2": (d_out, w)}.

    Returns:
        The relative deviation, and whether it is below 1e-9.

    References:
        theory (1.3).

    Examples:
        >>> import optax
        >>> probe_equivariance(optax.sgd(0.1, momentum=0.9)).equivariant
        True
        >>> probe_equivariance(optax.adam(0.1)).equivariant
        False
    """
    deviation = max(_deviation(rule, size) for size in (1e-6, 1.0, 1e6))
    return Embedding(deviation, deviation < 1e-9)


def _deviation(rule: optax.GradientTransformation, size: float) -> float:
    rng = stream("key", 0, "probe")
    r, w, d_in, d_out = 5, 9, 3, 2
    q = haar_frame(w, r, rng).T

    def draw(scale: float) -> dict[str, np.ndarray]:
        return {"w1": scale * rng.standard_normal((r, d_in)), "w2": scale * rng.standard_normal((d_out, r))}

    def embed(tree: Any) -> dict[str, Any]:
        return {"w1": q.T @ np.asarray(tree["w1"]), "w2": np.asarray(tree["w2"]) @ q}

    start, gradients = draw(1.0), [draw(size) for _ in range(5)]
    with working_precision(np.float64):

        def run(params: Any, grads: list[Any]) -> Any:
            params = jax.tree.map(jnp.asarray, params)
            state = rule.init(params)
            for gradient in grads:
                updates, state = rule.update(jax.tree.map(jnp.asarray, gradient), state, params)
                params = optax.apply_updates(params, updates)
            return params

        reduced = embed(run(start, gradients))
        full = run(embed(start), [embed(g) for g in gradients])
    return max(float(np.linalg.norm(reduced[k] - np.asarray(full[k])) / np.linalg.norm(reduced[k])) for k in reduced)


@cache
def momentum_rule(momentum: float, nesterov: bool, weight_decay: float, clip_norm: float | None) -> Any:
    """Return PyTorch's SGD direction, to be multiplied by −learning rate.

    In order: clipping by the global norm, weight decay added to the gradient, momentum b ← μb + g (or Nesterov's).
    """
    parts = []
    if clip_norm is not None:
        parts.append(optax.clip_by_global_norm(clip_norm))
    if weight_decay:
        parts.append(optax.add_decayed_weights(weight_decay))
    if momentum:
        parts.append(optax.trace(momentum, nesterov))
    return optax.chain(*parts) if parts else optax.identity()


MuonScale = Literal["original", "match_rms_adamw", "none"]


class MuonState(NamedTuple):
    """Momentum of both layers."""

    momentum: Any


@cache
def muon_rule(
    momentum: float,
    nesterov: bool,
    newton_schulz_steps: int,
    scale: MuonScale,
    layer_shapes: tuple[tuple[int, int], tuple[int, int]],
) -> optax.GradientTransformation:
    """Return Muon's direction, to be multiplied by −learning rate, as PyTorch defines it.

    Momentum m ← βm + (1 − β)g, its Nesterov form (1 − β)g + βm, orthogonalised by the quintic Newton–Schulz
    iteration. The iteration commutes with V ↦ VQ; the shape-dependent factor does not, and is therefore taken from
    the full `layer_shapes` of W1 and W2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315

    def orthogonalise(x: Any) -> Any:
        tall = x.shape[0] > x.shape[1]
        y = x.T if tall else x
        y = y / jnp.maximum(jnp.linalg.norm(y), 1e-7)
        for _ in range(newton_schulz_steps):
            gram = y @ y.T
            y = a * y + (b * gram + c * gram @ gram) @ y
        return y.T if tall else y

    factor = {
        name: {
            "original": max(1.0, rows / columns) ** 0.5,
            "match_rms_adamw": 0.2 * max(rows, columns) ** 0.5,
            "none": 1.0,
        }[scale]
        for name, (rows, columns) in zip(("w1", "w2"), layer_shapes, strict=True)
    }

    def init(params: Any) -> MuonState:
        return MuonState(jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Any, state: MuonState, params: Any = None) -> tuple[Any, MuonState]:
        del params
        m = jax.tree.map(lambda m, g: momentum * m + (1 - momentum) * g, state.momentum, gradients)
        ahead = jax.tree.map(lambda m, g: momentum * m + (1 - momentum) * g, m, gradients) if nesterov else m
        return {k: factor[k] * orthogonalise(ahead[k]) for k in ahead}, MuonState(m)

    return optax.GradientTransformation(init, update)
