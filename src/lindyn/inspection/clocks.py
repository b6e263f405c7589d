"""Adam's clock of inspected pairs: σ_A from the start itself, or from the law that a config names (2.10)."""

from __future__ import annotations

import math

import numpy as np

from lindyn.inspection.recognition import GAUSSIAN, KAIMING, RANDOM
from lindyn.networks.live_layers import entry_deviation


def law_deviation(law: str | None, shape: tuple[int, int], rank: int) -> float | None:
    """Return σ_A of a fresh start by a law; None where the law sets it by the weights, or is not known.

    Examples:
        >>> law_deviation("gaussian", (512, 512), 16), law_deviation("pissa", (512, 512), 16)
        (0.0625, None)
    """
    if law in (KAIMING, RANDOM):
        return 1 / math.sqrt(3 * shape[1])
    return 1 / rank if law == GAUSSIAN else None


def start_deviation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return the root mean square of the entries of the factor that starts larger; None if both are zero."""
    larger = max((first, second), key=np.linalg.norm)
    return entry_deviation(larger) or None
