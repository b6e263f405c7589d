"""A bound on the error of a nearly linear classifier, from the linear network and its distance from it.

With probability 1 − δ over n samples of whitened inputs in d dimensions, for every margin g of a grid of M,

    P(y f(x) ≤ 0) ≤ (1/n) Σ_i ramp(y_i f⁰(x_i)/g) + (2/g)‖A⁰‖√(d/n) + 3√(ln(2M/δ)/(2n)) + (1/g)‖f − f⁰‖_{L2},

with f⁰(x) = A⁰x linear and ramp(z) = 1 − z cut off to [0, 1]. The width of the network does not enter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from lindyn.support import checks

_GRID = np.geomspace(1e-2, 10.0, 60)


@dataclass(frozen=True)
class MarginBound:
    """The bound, and its four terms at the margin where it is least.

    Attributes:
        value: their sum; at or above 1 it says nothing.
        margin: g.
        ramp: mean ramp of the linear network's margins on the samples.
        complexity: (2/g)‖A⁰‖√(d/n).
        confidence: 3√(ln(2M/δ)/(2n)).
        deviation: (1/g)‖f − f⁰‖_{L2}.
    """

    value: float
    margin: float
    ramp: float
    complexity: float
    confidence: float
    deviation: float

    @property
    def vacuous(self) -> bool:
        """Whether it says nothing."""
        return self.value >= 1


def margin_bound(
    outputs: Float[Any, " n"],
    labels: Float[Any, " n"],
    *,
    dim: int,
    norm: float,
    deviation: float = 0.0,
    confidence: float = 0.05,
) -> MarginBound:
    """Bound the probability that a nearly linear classifier of whitened inputs is wrong: ramp, Rademacher, deviation.

    A bound of the kind of Golikov's, not his theorem. It is as sure as `deviation` is: with a deviation of first order
    in ε it holds up to O(ε²).

    Args:
        outputs: f⁰(x_i) of the linear network on the n training inputs, shape (n,).
        labels: y_i = ±1, shape (n,).
        dim: d of the inputs, which have mean square 1 in every direction.
        norm: ‖A⁰‖ of the linear network f⁰(x) = A⁰x.
        deviation: root mean square of f − f⁰ over inputs, ≥ 0.
        confidence: δ in (0, 1), probability that the bound fails.

    Raises:
        InvalidArgument: arrays of unequal length, labels other than ±1, numbers out of range.

    References:
        works (16.4).

    Examples:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).standard_normal(20_000)
        >>> found = margin_bound(x, np.sign(x), dim=1, norm=1.0)
        >>> 0 < found.value < 0.3, found.vacuous
        (True, False)
    """
    f = checks.array("outputs", outputs, 1, dtype=np.float64)
    y = checks.array("labels", labels, 1, dtype=np.float64, shape=f.shape)
    if not np.all(np.abs(y) == 1):
        raise checks.InvalidArgument("labels", "be +1 or −1", f"they are {np.unique(y)[:4].tolist()} …")
    d, size = checks.integer("dim", dim, at_least=1), checks.number("norm", norm, at_least=0)
    away, delta = checks.number("deviation", deviation, at_least=0), checks.number("confidence", confidence, above=0)
    if delta >= 1:
        raise checks.InvalidArgument("confidence", "lie in (0, 1)", f"it is {delta:g}", "it is the chance to fail")
    ramp = np.clip(1 - (y * f)[:, None] / _GRID, 0, 1).mean(axis=0)
    complexity, deviations = 2 * size * math.sqrt(d / f.size) / _GRID, away / _GRID
    sure = 3 * math.sqrt(math.log(2 * _GRID.size / delta) / (2 * f.size))
    total = ramp + complexity + sure + deviations
    k = int(np.argmin(total))
    terms = (total[k], _GRID[k], ramp[k], complexity[k], sure, deviations[k])
    return MarginBound(*(float(term) for term in terms))
