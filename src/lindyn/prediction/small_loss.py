"""Which samples to trust while labels may be wrong: those of small loss, early in training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from lindyn.support import checks


@dataclass(frozen=True, eq=False)
class SmallLossSplit:
    """Samples of small and of large loss.

    Attributes:
        small: whether a sample's loss is below the level.
        gap: smallest loss above the level minus the largest below it; NaN where all are on one side.
    """

    small: Bool[np.ndarray, " samples"]
    gap: float


def small_loss_split(losses: Float[Any, " samples"], level: float = math.log(2)) -> SmallLossSplit:
    """Split samples by their loss at a level: ln 2, the logistic loss of an undecided classifier, if left out.

    Where the signal is learned before labels are memorised, flipped samples are those of large loss. That ends when
    they are memorised: split early, and look at the gap. For K classes and cross-entropy the level is ln K.

    Args:
        losses: one for each sample, at one time.
        level: the loss that divides them, above 0.

    Raises:
        InvalidArgument: losses that are negative or not finite, or a level that is not positive.

    References:
        works (14.4), (14.5); Han et al. (2025).

    Examples:
        >>> split = small_loss_split([0.2, 0.9, 0.3])
        >>> split.small.tolist(), round(split.gap, 9)
        ([True, False, True], 0.6)
    """
    values, level = checks.array("losses", losses, 1), checks.number("level", level, above=0)
    if values.min() < 0:
        raise checks.InvalidArgument("losses", "be at least 0", f"the smallest is {values.min():g}")
    small = values < level
    both = small.any() and not small.all()
    return SmallLossSplit(small, float(values[~small].min() - values[small].max()) if both else float("nan"))
