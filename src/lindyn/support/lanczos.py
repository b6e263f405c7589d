"""The largest eigenvalue of a symmetric map that is known by its products alone, inside JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Vector = tuple[jax.Array, ...]
# the error falls as e^{−4·steps·√gap}, with the gap to the next eigenvalue relative to the whole spectrum
_STEPS = 64


def largest_eigenvalue(times: Callable[[Vector], Vector], first: Vector) -> Any:
    """Return the largest eigenvalue, not that of largest size, by Lanczos' three-term recurrence.

    Where −λ is an eigenvalue too, as near a saddle, power iteration would mix both. Directions are not made orthogonal
    again: rounding repeats the outer eigenvalues and moves none.

    Args:
        times: the map, on vectors given as tuples of arrays.
        first: where to start: a random vector.

    References:
        Paige (1980), Accuracy and effectiveness of the Lanczos algorithm for the symmetric eigenproblem.

    Examples:
        >>> round(float(largest_eigenvalue(lambda v: (jnp.array([-3.0, 2.0]) * v[0],), (jnp.ones(2),))), 4)
        2.0
    """

    def dot(a: Vector, b: Vector) -> Any:
        return sum(jnp.sum(x * y) for x, y in zip(a, b, strict=True))

    def unit(vector: Vector, size: Any) -> Vector:
        return tuple(jnp.where(size > 0, x / jnp.where(size > 0, size, 1), 0) for x in vector)

    def step(k: Any, carry: tuple[Any, ...]) -> tuple[Any, ...]:
        before, now, beta, alphas, betas = carry
        image = times(now)
        alpha = dot(now, image)
        rest = tuple(h - alpha * x - beta * y for h, x, y in zip(image, now, before, strict=True))
        size = jnp.sqrt(dot(rest, rest))
        # once the space is used up, `now` is zero; the rest is filled by a quotient, at most the largest eigenvalue
        alphas = alphas.at[k].set(jnp.where(dot(now, now) == 0, alphas[0], alpha))
        return now, unit(rest, size), size, alphas, betas.at[k].set(size)

    first = unit(first, jnp.sqrt(dot(first, first)))
    nothing, zero = tuple(0 * x for x in first), jnp.zeros((), first[0].dtype)
    start = (nothing, first, zero, jnp.zeros(_STEPS, zero.dtype), jnp.zeros(_STEPS, zero.dtype))
    _, _, _, alphas, betas = jax.lax.fori_loop(0, _STEPS, step, start)
    return jnp.linalg.eigvalsh(jnp.diag(alphas) + jnp.diag(betas[:-1], 1) + jnp.diag(betas[:-1], -1))[-1]
