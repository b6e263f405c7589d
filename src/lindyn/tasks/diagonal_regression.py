"""Regression of one output on uncorrelated inputs, by the variance of each: the population, not a sample of it."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lindyn.support import checks
from lindyn.support.linalg import bartlett
from lindyn.support.memory import require_memory
from lindyn.support.randomness import Seed, stream
from lindyn.tasks.task import AnyArray, Diagonal, Quadratic, Task, evaluates

# columns of the feature matrix that are drawn at a time
_CHUNK = 4096


class DiagonalRegression(Task):
    """Linear regression of one output on uncorrelated inputs of variances λ_k: C(β) = ½ Σ_k λ_k (β_k − w_k)² + ½ floor.

    The matrix is one row, A = β. Training sees the whole population, so train and test error are the same expected
    squared error, 2C. Inputs of one variance may be merged into one, of weight (Σ w²)^½: for every motion that treats
    them alike from a start of zero that is exact.

    Args:
        variances: λ_k > 0, shape (n,).
        weights: w_k, the coefficients to be learned, shape (n,).
        counts: how many inputs of that variance each stands for, shape (n,); ones if left out.
        floor: expected squared error that no β removes, ≥ 0.

    Raises:
        InvalidArgument: arrays of unequal length, variances that are not positive, counts below 1, a negative floor.

    References:
        works (10.1); Bordelon, Atanasov, Pehlevan (2024).

    Examples:
        >>> task = DiagonalRegression([1.0, 0.5], [2.0, 1.0])
        >>> task.shape, float(task.train_error([[0.0, 0.0]]))
        ((1, 2), 4.5)
    """

    variances: Float[AnyArray, " n"]
    weights: Float[AnyArray, " n"]
    counts: Float[AnyArray, " n"]
    floor: Float[AnyArray, ""]
    signal: Float[AnyArray, "1 n"]

    def __init__(self, variances: Any, weights: Any, *, counts: Any = None, floor: float = 0.0):
        self.variances = checks.array("variances", variances, 1, dtype=np.float64)
        n = self.variances.size
        self.weights = checks.squarable("weights", checks.array("weights", weights, 1, dtype=np.float64, shape=(n,)))
        held = np.ones(n) if counts is None else counts
        self.counts = checks.array("counts", held, 1, dtype=np.float64, shape=(n,))
        if self.variances.min() <= 0:
            raise checks.InvalidArgument("variances", "be positive", f"the smallest is {self.variances.min():g}")
        if self.counts.min() < 1:
            raise checks.InvalidArgument("counts", "be at least 1", f"the smallest is {self.counts.min():g}")
        self.floor = np.asarray(checks.number("floor", floor, at_least=0))
        self.signal = self.weights[None]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (1, n)."""
        return 1, self.variances.shape[0]

    @property
    def dtype(self) -> np.dtype:
        """Precision, float64: the errors span many decades."""
        return self.variances.dtype

    @evaluates
    def cost(self, matrix: Float[AnyArray, "1 n"]) -> Float[AnyArray, ""]:
        """Return ½ Σ_k λ_k (β_k − w_k)² + ½ floor."""
        return 0.5 * (jnp.sum(self.variances * (matrix - self.weights) ** 2) + self.floor)

    @evaluates
    def gradient(self, matrix: Float[AnyArray, "1 n"]) -> Float[AnyArray, "1 n"]:
        """Return λ_k (β_k − w_k)."""
        return self.variances * (matrix - self.weights)

    @evaluates
    def train_error(self, matrix: Float[AnyArray, "1 n"]) -> Float[AnyArray, ""]:
        """Return the expected squared error of a prediction, Σ_k λ_k (β_k − w_k)² + floor."""
        return 2 * self.cost(matrix)

    @evaluates
    def test_error(self, matrix: Float[AnyArray, "1 n"]) -> Float[AnyArray, ""]:
        """Return the same: training sees the population."""
        return 2 * self.cost(matrix)

    def quadratic(self) -> Quadratic | None:
        """Return the target where all variances are the same."""
        first = float(self.variances[0])
        return Quadratic(np.asarray(self.signal), first) if np.all(self.variances == first) else None

    def diagonal(self) -> Diagonal:
        """Return the weights and the variances."""
        return Diagonal(np.asarray(self.signal), np.asarray(self.variances))

    def minimiser(self) -> Float[np.ndarray, "1 n"]:
        """Return the weights."""
        return np.asarray(self.signal)

    def curvature(self) -> float:
        """Return the largest variance."""
        return float(self.variances.max())

    def random_features(self, features: int, *, key: Seed = 0) -> DiagonalRegression:
        """Return the regression on N fixed random features φ = A₀ψ/√N of the inputs ψ, A₀ of iid N(0, 1) entries.

        In the eigenvectors of their covariance A₀ΛA₀ᵀ/N features are uncorrelated inputs too, and what they cannot
        express is the floor. Merged inputs are drawn in law: the one along their weights, and the others as a Wishart
        matrix, whatever their number.

        Args:
            features: N ≥ 1, at most the number of inputs.
            key: seed, or a numpy Generator.

        Raises:
            InvalidArgument: more features than inputs, or than fit in memory.

        References:
            works (10.2), (10.6).

        Examples:
            >>> from lindyn.tasks import PowerLaw
            >>> task = PowerLaw(capacity=1.5, source=0.5, modes=10**6)
            >>> few, many = (float(task.random_features(n).floor) for n in (16, 64))
            >>> 0 < many < few
            True
        """
        n = self._checked(features)
        require_memory("features", n, 8.0 * (3 * n * n + n * _CHUNK), "their covariance", "use fewer features")
        rng = stream("key", key, "weights")
        gram, toward = np.zeros((n, n)), np.zeros(n)
        for at in range(0, self.variances.size, _CHUNK):
            root = np.sqrt(self.variances[at : at + _CHUNK])
            drawn = rng.standard_normal((n, root.size)) * root
            gram += drawn @ drawn.T
            toward += drawn @ (root * self.weights[at : at + _CHUNK])
        for variance, others in zip(self.variances, self.counts - 1, strict=True):
            if others >= 1:
                rest = bartlett(n, others, rng) if others >= n else rng.standard_normal((n, round(others)))
                gram += variance * (rest @ rest.T)
        variances, vectors = np.linalg.eigh(gram / n)
        explained = vectors.T @ (toward / math.sqrt(n))
        total = float(self.variances @ self.weights**2 + self.floor)
        floor = max(total - float(np.sum(explained**2 / variances)), 0.0)
        return DiagonalRegression(variances[::-1], (explained / variances)[::-1], floor=floor)

    def expected_floor(self, features: int) -> float:
        """Return the mean floor of N random features, as N grows: κ Σ_k λ_k w_k²/(λ_k + κ), Σ_k λ_k/(λ_k + κ) = N.

        Args:
            features: N ≥ 1, below the number of inputs.

        References:
            works (10.6).

        Examples:
            >>> from lindyn.tasks import PowerLaw
            >>> task = PowerLaw(capacity=1.5, source=0.5, modes=6000)
            >>> [round(task.expected_floor(n), 3) for n in (32, 128)]
            [0.272, 0.096]
        """
        from scipy.optimize import brentq

        n, variances = self._checked(features), np.asarray(self.variances)
        if n == round(float(self.counts.sum())):
            return float(self.floor)

        def surplus(log_kappa: float) -> float:
            return float(np.sum(self.counts * variances / (variances + math.exp(log_kappa)))) - n

        # at κ = Σλ/N the sum is below N; far below the smallest variance it is the number of inputs
        most = math.log(float(self.counts @ variances) / n)
        kappa = math.exp(brentq(surplus, math.log(variances.min()) - 40, most, xtol=1e-12))
        return float(self.floor) + kappa * float(np.sum(variances * self.weights**2 / (variances + kappa)))

    def _checked(self, features: int) -> int:
        number = checks.integer("features", features, at_least=1)
        if number > round(float(self.counts.sum())):
            raise checks.InvalidArgument(
                "features",
                "not exceed the number of inputs",
                f"{number:,} features of {self.counts.sum():,.0f} inputs are asked for",
                "use fewer features, or a task of more inputs",
            )
        return number
