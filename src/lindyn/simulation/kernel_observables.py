"""Observables of layers and of the tangent kernel, at any depth, from small products only.

The tangent kernel is K: G ↦ Σ_l out_l · G · in_l, so that inner products of kernels are those of their factors,
⟨a ⊗ b, c ⊗ d⟩ = ⟨a, c⟩⟨b, d⟩ (works 17.4): no matrix of order d_out d_in is formed.
"""

from __future__ import annotations

import itertools
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from lindyn.methods.engine import KernelTerms
from lindyn.support import checks
from lindyn.support.lanczos import largest_eigenvalue


class Seen(Protocol):
    """What these observables read of a `State`."""

    matrix: Any
    task: Any
    start: Any

    @property
    def known_layers(self) -> tuple[Any, ...]:
        """The layers W_1, …, W_L."""

    @property
    def kernel(self) -> KernelTerms:
        """The tangent kernel."""


def kernel_inner(first: KernelTerms, second: KernelTerms, shape: tuple[int, int]) -> Any:
    """Return ⟨K, K'⟩ of two tangent kernels, as matrices of order d_out d_in.

    Args:
        first: pairs (out, in) of K; None stands for the identity.
        second: those of K'.
        shape: (d_out, d_in).

    References:
        works (17.4).
    """

    def inner(a: Any, b: Any, size: int) -> Any:
        if a is None:
            return float(size) if b is None else jnp.trace(b)
        return jnp.trace(a) if b is None else jnp.sum(a * b)

    return sum(inner(a, c, shape[0]) * inner(b, d, shape[1]) for a, b in first for c, d in second)


def layer_singular_values(s: Seen) -> Any:
    """Return the singular values of every layer, as many as the smallest layer has, shape (layers, modes)."""
    count = min(min(layer.shape) for layer in s.known_layers)
    return jnp.stack([jnp.linalg.svd(layer, compute_uv=False)[:count] for layer in s.known_layers])


def require_pairs(count: int) -> None:
    """Refuse what compares neighbouring layers where there is one layer."""
    if not count:
        raise checks.InvalidArgument(
            "observables", "not compare neighbouring layers", "this network has a single layer", "leave them out"
        )


def imbalance(s: Seen) -> Any:
    """Return ‖W_lW_lᵀ − W_{l+1}ᵀW_{l+1}‖_F of each pair of neighbouring layers."""
    layers = s.known_layers
    require_pairs(len(layers) - 1)
    pairs = itertools.pairwise(layers)
    return jnp.stack([jnp.linalg.norm(below @ below.T - above.T @ above) for below, above in pairs])


def geometry(s: Seen) -> Any:
    """Return JᵀJ of the function x ↦ Jx that is learned, whose gradients it averages over directions (works 15.1)."""
    jacobian = s.task.jacobian(s.matrix)
    return jacobian.T @ jacobian


def sharpness(s: Seen) -> Any:
    """Return the largest eigenvalue of the Hessian of the cost over all layers, by the method of Lanczos.

    The largest one also where a negative one is as large, as near the saddle at zero, which power iteration mixes up.
    """

    # layers of which A is not the product state no kernel, and are refused with it
    assert s.kernel

    def cost(layers: tuple[Any, ...]) -> Any:
        matrix = layers[0]
        for layer in layers[1:]:
            matrix = layer @ matrix
        return s.task.cost(matrix)

    gradient = jax.grad(cost)

    def times_hessian(v: Any) -> Any:
        return jax.jvp(gradient, (s.known_layers,), (v,))[1]

    keys = jax.random.split(jax.random.key(0), len(s.known_layers))
    first = tuple(jax.random.normal(k, w.shape, w.dtype) for k, w in zip(keys, s.known_layers, strict=True))
    return largest_eigenvalue(times_hessian, first)


def ntk_distance(s: Seen) -> Any:
    """Return 1 − ⟨K(t), K(0)⟩/(‖K(t)‖‖K(0)‖): how far the tangent kernel has turned."""
    start = s.start if s.start is not None else s
    now, then = s.kernel, start.kernel
    d = s.matrix.shape
    tiny = jnp.finfo(s.matrix.dtype).tiny
    a, b = (jnp.sqrt(jnp.maximum(kernel_inner(k, k, d), tiny)) for k in (now, then))
    # 1 − cos = ½‖K/‖K‖ − K₀/‖K₀‖‖², a sum of small terms that loses no digits
    change: list[tuple[Any, Any]] = []
    for (out, into), (out0, into0) in zip(now, then, strict=True):
        if out is None and into is None:  # one layer: the kernel is the identity for ever
            return jnp.zeros((), s.matrix.dtype)
        if out is None:  # the identity on this side: only the other turns
            change.append((None, into / a - into0 / b))
        elif into is None:
            change.append((out / a - out0 / b, None))
        else:
            change += [(out / a - out0 / b, into), (out0 / b, into - into0)]
    return 0.5 * jnp.maximum(kernel_inner(tuple(change), tuple(change), d), 0)


def kernel_alignment(s: Seen) -> Any:
    """Return ⟨G₀, K G₀⟩/(‖K‖ ‖G₀‖²), G₀ = ∇C(0): how much of the kernel points at what is to be learned."""
    goal = s.task.gradient(jnp.zeros_like(s.matrix))
    moved = sum(_times(out, into, goal) for out, into in s.kernel)
    size = jnp.sqrt(jnp.maximum(kernel_inner(s.kernel, s.kernel, s.matrix.shape), 0))
    bottom = size * jnp.sum(goal**2)
    return jnp.sum(goal * moved) / jnp.where(bottom > 0, bottom, 1)


def _times(out: Any, into: Any, matrix: Any) -> Any:
    moved = matrix if out is None else out @ matrix
    return moved if into is None else moved @ into
