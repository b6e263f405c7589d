"""The test that decides whether an update rule needs the full width.

A rule that is equivariant under V ↦ VQ acts on the reduced layers as on the weights (theory 1.3). Rather than by a
list of names, equivariance is established by running the rule on a small network and on its embedding, for as many
steps as the run will make: a rule may wait (`optax.MultiSteps`, a warm-up) before it shows what it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from lindyn.support import checks
from lindyn.support.linalg import haar_frame
from lindyn.support.precision import working_precision
from lindyn.support.programs import run_compiled
from lindyn.support.randomness import stream

# hidden units of the small network, and of the larger one that it is embedded in; sizes of the layers outside
_REDUCED, _FULL, _IN, _OUT = 5, 9, 3, 2
# sizes of gradients, since a rule may act on large or small ones only (clipping by element)
_SIZES = (1e-6, 1.0, 1e6)
# steps beyond which a rule is not followed any more; a step takes about a microsecond
_MOST_STEPS = 10_000
_LIMIT = 1e-9


class Embedding(NamedTuple):
    """How a rule treats 5 hidden units and their embedding in 9.

    Attributes:
        deviation: largest difference between the updates of the two, relative to the largest update until then.
        moved: whether the rule updated anything at all.
    """

    deviation: float
    moved: bool

    @property
    def equivariant(self) -> bool:
        """Whether the rule is seen to commute with the embedding, to rounding."""
        return self.moved and self.deviation < _LIMIT


def probe_equivariance(rule: optax.GradientTransformation, *, steps: int = 1000) -> Embedding:
    """Run a rule on varied gradients of a factor L and of LQ, QQᵀ = I, and compare their updates.

    Args:
        rule: an optax gradient transformation on {"w1": (w, d_in), "w2": (d_out, w)}.
        steps: steps for which the rule will be used; it is followed for at least 5 and at most 10,000 of them.

    Returns:
        The relative deviation, and whether anything moved.

    References:
        theory (1.3).

    Examples:
        >>> import optax
        >>> probe_equivariance(optax.sgd(0.1, momentum=0.9)).equivariant
        True
        >>> probe_equivariance(optax.adam(0.1)).equivariant
        False
        >>> probe_equivariance(optax.MultiSteps(optax.adam(0.1), 10)).equivariant
        False
    """
    checks.answering("rule", rule, "init", "an optax.GradientTransformation, for example optax.adam(1e-2)")
    checks.answering("rule", rule, "update", "an optax.GradientTransformation, for example optax.adam(1e-2)")
    count = min(max(checks.integer("steps", steps, at_least=0), 5), _MOST_STEPS)
    with working_precision(np.float64):
        found = run_compiled(_compare, rule, jnp.asarray(_SIZES), jnp.asarray(count, jnp.int32))
        deviation, largest = map(np.asarray, found)
    return Embedding(float(deviation.max()), bool(largest.max() > 0))


def _compare(rule: optax.GradientTransformation, sizes: Any, count: Any) -> tuple[Any, Any]:
    rng = stream("key", 0, "probe")
    q = jnp.asarray(haar_frame(_FULL, _REDUCED, rng).T)
    shapes = {"w1": (_REDUCED, _IN), "w2": (_OUT, _REDUCED)}
    start = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    phases = {name: rng.uniform(0, 2 * np.pi, shape) for name, shape in shapes.items()}

    def embed(tree: Any) -> dict[str, Any]:
        return {"w1": q.T @ tree["w1"], "w2": tree["w2"] @ q}

    def of_size(size: Any) -> tuple[Any, Any]:
        reduced = jax.tree.map(jnp.asarray, start)
        full = embed(reduced)

        def step(number: Any, carry: Any) -> Any:
            reduced, state, full, full_state, deviation, largest = carry
            # waves of random frequencies: as good as random draws here, and quick to compile
            gradient = jax.tree.map(lambda phase: size * jnp.sin(phase * (1.0 + number)), phases)
            update, state = rule.update(gradient, state, reduced)
            full_update, full_state = rule.update(embed(gradient), full_state, full)
            largest = jnp.maximum(largest, optax.tree.norm(full_update))
            apart = optax.tree.norm(jax.tree.map(jnp.subtract, embed(update), full_update))
            # before the first move there is nothing to compare: 0/1
            relative = apart / jnp.where(largest > 0, largest, 1)
            moved = optax.apply_updates(reduced, update), state, optax.apply_updates(full, full_update), full_state
            return *moved, jnp.maximum(deviation, relative), largest

        zero = jnp.zeros(())
        first = reduced, rule.init(reduced), full, rule.init(full), zero, zero
        return lax.fori_loop(0, count, step, first)[-2:]

    return jax.vmap(of_size)(sizes)
