"""How many modes of an update are worth keeping: by energy, and above what the number format has rounded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lindyn.inspection.pairs import Factors

ENERGY = 0.99
RULE = (
    "suggested rank: the fewest modes with 99 % of ‖ΔW‖_F², of those above the noise of the stored numbers "
    "(u/√3 of each entry, u the unit roundoff of their format)"
)
# unit roundoff u: half the distance from 1 to the next number
_ROUNDOFF = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}


def roundoff(matrix: Any) -> float:
    """Return u of the format that numbers are stored in, of double precision where it is not known."""
    return _ROUNDOFF.get(str(getattr(matrix, "dtype", "")), _ROUNDOFF["float64"])


def noise_floor(factors: Factors, roundoffs: tuple[float, float]) -> float:
    """Return the size that rounding of the stored factors gives a mode by itself.

    An entry is wrong by a relative u/√3 at most, in the mean square. Independent errors E_A, E_B have norms
    ‖E_B‖ = u/√3·rms(B)(√d_out + √r), and the product moves by |s|(‖E_B‖‖A‖ + ‖B‖‖E_A‖).

    Args:
        factors: W1, W2 and s, in double precision.
        roundoffs: u of the formats that W1 and W2 are stored in.

    Examples:
        >>> a, b = np.eye(4, 1024), np.eye(512, 4)
        >>> f"{noise_floor(Factors(a, b, 2.0), (2.0**-24, 2.0**-24)):.1e}"
        '1.5e-07'
    """
    first, second, scale = factors[:3]
    errors = []
    for matrix, u in zip((first, second), roundoffs, strict=True):
        gram = matrix @ matrix.T if len(matrix) == min(matrix.shape) else matrix.T @ matrix
        norm, whole = math.sqrt(max(0.0, float(np.linalg.eigvalsh(gram)[-1]))), math.sqrt(float(np.trace(gram)))
        spread = 1 / math.sqrt(matrix.shape[0]) + 1 / math.sqrt(matrix.shape[1])  # rms·(√d + √r) = ‖·‖_F·spread
        errors.append((u / math.sqrt(3) * whole * spread, norm))
    (error_a, norm_a), (error_b, norm_b) = errors
    return abs(scale) * (error_b * norm_a + norm_b * error_a)


def suggested_rank(singular_values: np.ndarray, floor: float) -> int | None:
    """Return the rank by `RULE`; None for an update of zero.

    Examples:
        >>> suggested_rank(np.array([10.0, 1.0, 0.9, 0.01]), floor=0.0)
        2
        >>> suggested_rank(np.array([10.0, 9.0, 0.9, 0.01]), floor=9.5)
        1
    """
    energy = np.cumsum(singular_values**2)
    if not energy[-1] > 0:
        return None
    enough = int(np.searchsorted(energy, ENERGY * energy[-1] * (1 - 1e-12))) + 1
    return max(1, min(enough, int(np.sum(singular_values > floor))))
