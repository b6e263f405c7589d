"""Skills that occur with different frequencies: modes of a target, each with a clock of its own."""

from __future__ import annotations

from typing import Any, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lindyn.solutions.modes import mode_curve, mode_time
from lindyn.support import checks
from lindyn.support.bounds import LARGEST_SIDE, SQUARED
from lindyn.support.memory import require_memory
from lindyn.tasks.task import AnyArray, Diagonal, Quadratic, Task, evaluates


class Skills(Task):
    """Learn n skills of frequencies E_k and strengths S_k: C(A) = ½ Σ_k E_k Σ_i (A_ik − δ_ik S_k)².

    Linear regression on uncorrelated inputs of variances E_k, of which each has one output. From a diagonal start the
    skills never mix, and under the formula each follows the mode curve on its own clock:
    ṁ_k = 2E_k √(m_k² + τ²) (S_k − m_k).

    Args:
        frequencies: E_k > 0, shape (n,).
        strength: S_k > 0, one number or shape (n,).

    Raises:
        InvalidArgument: frequencies or strengths that are not positive, or of unequal number.

    References:
        works (12.1), (12.3): skills of frequencies k^{−(α+1)}.

    Examples:
        >>> task = Skills.power_law(4, exponent=1.0)
        >>> (task.emergence_times(0.001) / task.emergence_times(0.001)[0]).round(9).tolist()
        [1.0, 4.0, 9.0, 16.0]
    """

    frequencies: Float[AnyArray, " n"]
    strength: Float[AnyArray, " n"]
    signal: Float[AnyArray, "n n"]

    def __init__(self, frequencies: Any, strength: Any = 1.0):
        self.frequencies = checks.array("frequencies", frequencies, 1, dtype=np.float64)
        n = self.frequencies.size
        strengths = checks.numbers("strength", strength)
        strengths = np.full(n, strengths, np.float64) if strengths.ndim == 0 else strengths
        self.strength = checks.array("strength", strengths, 1, dtype=np.float64, shape=(n,))
        for name, values in (("frequencies", self.frequencies), ("strength", self.strength)):
            if values.min() <= 0:
                raise checks.InvalidArgument(name, "be positive", f"the smallest is {values.min():g}")
        require_memory("frequencies", n * n, 3 * 8 * n * n, "a square matrix of that many entries", "use mode_curve")
        self.signal = checks.squarable("strength", np.diag(self.strength))

    @classmethod
    def power_law(cls, count: int, *, exponent: float, strength: float = 1.0) -> Self:
        """Return skills of frequencies proportional to k^{−(α+1)}, which sum to 1.

        Args:
            count: n ≥ 1.
            exponent: α > −1.
            strength: S of every skill.
        """
        count = checks.integer("count", count, at_least=1, at_most=LARGEST_SIDE)
        require_memory("count", count, 3 * 8.0 * count * count, "a square matrix of that side", "use mode_curve")
        weights = np.arange(1.0, count + 1) ** -(checks.number("exponent", exponent, above=-1) + 1)
        return cls(weights / weights.sum(), strength)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (n, n)."""
        n = self.frequencies.shape[0]
        return n, n

    @property
    def dtype(self) -> np.dtype:
        """Precision, float64."""
        return self.frequencies.dtype

    @evaluates
    def cost(self, matrix: Float[AnyArray, "n n"]) -> Float[AnyArray, ""]:
        """Return ½ Σ_k E_k Σ_i (A_ik − δ_ik S_k)²."""
        return 0.5 * jnp.sum(self.frequencies * (matrix - self.signal) ** 2)

    @evaluates
    def gradient(self, matrix: Float[AnyArray, "n n"]) -> Float[AnyArray, "n n"]:
        """Return (A − diag S) diag E."""
        return self.frequencies * (matrix - self.signal)

    @evaluates
    def train_error(self, matrix: Float[AnyArray, "n n"]) -> Float[AnyArray, ""]:
        """Return Σ_k E_k Σ_i (A_ik − δ_ik S_k)² / n."""
        return 2 * self.cost(matrix) / self.shape[0]

    def quadratic(self) -> Quadratic | None:
        """Return the target where all frequencies are the same."""
        first = float(self.frequencies[0])
        return Quadratic(np.asarray(self.signal), first) if np.all(self.frequencies == first) else None

    def diagonal(self) -> Diagonal:
        """Return the target and the frequencies."""
        return Diagonal(np.asarray(self.signal), np.asarray(self.frequencies))

    def curvature(self) -> float:
        """Return the largest frequency."""
        return float(self.frequencies.max())

    def _of_skills(self, start: Any) -> Float[np.ndarray, "..."]:
        """Return m_k(0), one number or one for each skill."""
        values = checks.numbers("start", start)
        return (
            checks.array("start", values, 1, dtype=np.float64, shape=self.frequencies.shape) if values.ndim else values
        )

    def curves(self, threshold: float, times: Any, *, start: Any = 0.0) -> Float[np.ndarray, "times n"]:
        """Return m_k(t): how far each skill is learned, under the formula.

        Args:
            threshold: τ ≥ 0.
            times: flow times, shape (times,).
            start: m_k(0), one number or shape (n,).

        References:
            works (12.2).
        """
        threshold, start = checks.number("threshold", threshold, at_least=0, at_most=SQUARED), self._of_skills(start)
        clocks = checks.times("times", times)[:, None] * np.asarray(self.frequencies)
        return np.asarray(mode_curve(self.strength, threshold, clocks, start=start))

    def emergence_times(self, threshold: float, *, start: Any = 0.0, share: float = 0.5) -> Float[np.ndarray, " n"]:
        """Return when each skill reaches a share of its strength: t(share·S_k)/E_k, by (12.2).

        Args:
            threshold: τ ≥ 0; 0 needs a start above 0.
            start: m_k(0), one number or shape (n,).
            share: above 0 and below 1.
        """
        threshold, start = checks.number("threshold", threshold, at_least=0, at_most=SQUARED), self._of_skills(start)
        share = checks.number("share", share, above=0)
        if share >= 1:
            raise checks.InvalidArgument(
                "share", "be below 1", f"it is {share:g}", "the strength itself takes for ever"
            )
        return np.asarray(mode_time(self.strength, threshold, share * self.strength, start=start) / self.frequencies)
