"""Data whose spectrum and target fall as powers: the task of the theory of scaling laws."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from lindyn.support import checks
from lindyn.tasks.diagonal_regression import DiagonalRegression

# modes beyond this one are merged
_SINGLE = 200

_STEEPEST = 10.0  # exponents: k^{−αβ} of 10¹⁸ modes is a number


class PowerLaw(DiagonalRegression):
    """Regression of one output on inputs of variances λ_k = k^{−α}, to learn w_k with λ_k w_k² = k^{−αβ−1}, k = 1 … M.

    The loss after the first K modes are learned is about K^{−αβ}/(αβ). For a source β < 1 the norm of w grows without
    bound in M ("hard"), for β > 1 it is finite ("easy"). Modes beyond 200 are merged, those of one
    bin of a logarithmic grid into one mode, whose variance is that in the geometric middle of the bin: 10¹⁴ modes are
    some 900, and at 60 bins a decade the loss moves by 0.15 %.

    Args:
        capacity: α > 1, which makes the sum of the variances finite.
        source: β > 0.
        modes: M, 1 to 10¹⁸.
        bins: bins a decade, at least 1.

    Raises:
        InvalidArgument: numbers out of these ranges.

    References:
        works (10.1), (10.3).

    Examples:
        >>> task = PowerLaw(capacity=2.0, source=0.5, modes=10**14)
        >>> task.shape
        (1, 902)
        >>> round(float(task.train_error(0 * task.signal)), 3)  # Σ k^{−2} = π²/6
        1.645
    """

    capacity: float
    source: float

    def __init__(self, capacity: float, source: float, modes: int = 1000, *, bins: int = 60):
        endless = "the sum of the variances would grow with the number of modes"
        checks.number("capacity", capacity, above=1, remedy=endless)
        self.capacity = checks.number("capacity", capacity, at_most=_STEEPEST)
        self.source = checks.number("source", source, above=0, at_most=_STEEPEST)
        count = checks.integer("modes", modes, at_least=1, at_most=10**18)
        places, energies, counts = _merged(count, self.capacity * self.source, checks.integer("bins", bins, at_least=1))
        variances = places**-self.capacity
        super().__init__(variances, np.sqrt(energies / variances), counts=counts)

    def floor_exponent(self) -> float:
        """Return α min(1, β), the power of N with which the mean floor of N random features falls.

        References:
            works (10.6).

        Examples:
            >>> PowerLaw(capacity=1.5, source=0.5).floor_exponent()
            0.75
        """
        return self.capacity * min(1.0, self.source)


def _merged(modes: int, decay: float, bins: int) -> tuple[Any, Any, Any]:
    """Return place k, energy Σ k^{−decay−1} and number of modes of each bin."""
    single = np.arange(1.0, min(modes, _SINGLE) + 1)
    if modes <= _SINGLE:
        return single, single ** (-decay - 1), np.ones(single.size)
    number = int(np.ceil(bins * np.log10(modes / _SINGLE))) + 1
    edges = np.unique(np.round(np.geomspace(_SINGLE + 1, modes + 1.0, number)))
    # the sum over a bin is the integral between half-integers, to a share of (decay + 1)²/24k²
    low, high = edges[:-1] - 0.5, edges[1:] - 0.5
    energies: Float[np.ndarray, " bins"] = (low**-decay - high**-decay) / decay
    places = np.r_[single, np.sqrt(low * high)]
    return places, np.r_[single ** (-decay - 1), energies], np.r_[np.ones(single.size), high - low]
