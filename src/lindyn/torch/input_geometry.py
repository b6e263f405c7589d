"""The average input geometry of an architecture: in which directions of the input its networks change, before training.

Directions in which they do not are learned late or never, whatever the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from lindyn.networks.live_layers import numbers
from lindyn.support import checks
from lindyn.support.linalg import effective_rank

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("lindyn.torch needs PyTorch; install it with: pip install 'lindyn[torch]'.") from error


@dataclass(frozen=True, eq=False)
class AverageGeometry:
    """G = E[∇f ∇fᵀ] over starts and inputs; made by `average_geometry`.

    Attributes:
        matrix: G, shape (d, d), d numbers an input.
        eigenvalues: of G, largest first.
        directions: its eigenvectors, a column each.
        error: standard error of G over the draws, ‖·‖_F relative to ‖G‖_F; NaN for one draw.
        draws: models that were made.
    """

    matrix: Float[np.ndarray, "d d"]
    eigenvalues: Float[np.ndarray, " d"]
    directions: Float[np.ndarray, "d d"]
    error: float
    draws: int

    @property
    def effective_rank(self) -> float:
        """exp H, H the entropy of the eigenvalues over their sum: d for an isotropic architecture."""
        return float(effective_rank(self.eigenvalues))

    def alignment(self, covariance: Any) -> float:
        """Return tr(GS)/(‖G‖_F‖S‖_F) of a covariance S or of any other geometry: 1 where they are proportional.

        Args:
            covariance: S, shape (d, d).
        """
        s = self._like("covariance", covariance)
        return float(np.sum(self.matrix * s) / np.linalg.norm(self.matrix) / np.linalg.norm(s))

    def share_out_of_reach(self, covariance: Any, *, slower: float = 100.0) -> float:
        """Return the share of tr S in directions that this architecture learns later than its first, by a factor.

        While lazy a direction of eigenvalue g is learned at a rate ∝ g (works 15.4).

        Args:
            covariance: S of the data, shape (d, d).
            slower: that factor, above 1.
        """
        s = self._like("covariance", covariance)
        weak = self.eigenvalues * checks.number("slower", slower, above=1) < self.eigenvalues[0]
        along = np.einsum("ik,ij,jk->k", self.directions, s, self.directions)
        return float(along[weak].sum() / np.trace(s))

    def _like(self, name: str, matrix: Any) -> np.ndarray:
        found = checks.array(name, matrix, 2, dtype=np.float64, shape=self.matrix.shape)
        if not found.any():
            raise checks.InvalidArgument(name, "be non-zero", "it is zero")
        return found

    def __repr__(self) -> str:
        """One line."""
        d, top = len(self.eigenvalues), self.eigenvalues[0]
        return (
            f"AverageGeometry({d} directions, effective rank {self.effective_rank:.1f}, eigenvalues from {top:.3g} to "
            f"{self.eigenvalues[-1]:.3g}, {self.draws} draws, error {self.error:.1%})"
        )


def average_geometry(
    factory: Callable[[], nn.Module], inputs: Any, *, draws: int = 100, seed: int = 0
) -> AverageGeometry:
    """Measure G = E[Σ_c ∇f_c(x) ∇f_c(x)ᵀ] over freshly made models and over inputs.

    A single network's G has as many directions as outputs, or as its inputs bend it: only the average is the
    architecture's. Sampling spreads the eigenvalues of an isotropic one too (a ratio of 1.5 between the largest and
    the smallest at d = 32, 300 draws and 32 inputs): compare `error`.

    Args:
        factory: makes a model at random, from inputs (n, …) to outputs (n, …); run in evaluation mode. For a trained
            model: ``lambda: model`` and one draw.
        inputs: shape (n, …), floating; flattened to d numbers each.
        draws: models to make.
        seed: of the first draw; the others follow. The random state outside is left as it is.

    Raises:
        InvalidArgument: inputs that are not floating numbers in a batch, models whose outputs do not fit them, do not
            depend on them, or are not finite.

    References:
        works (15.1), (15.2): Movahedi, Orvieto, Moosavi-Dezfooli (2024).

    Examples:
        >>> blind = lambda: torch.nn.Sequential(torch.nn.AvgPool1d(2), torch.nn.Linear(2, 1))  # sees sums of neighbours
        >>> found = average_geometry(blind, torch.randn(8, 4), draws=200)
        >>> (found.eigenvalues > 1e-9 * found.eigenvalues[0]).tolist()
        [True, True, False, False]
        >>> round(found.share_out_of_reach(np.eye(4)), 6)
        0.5
    """
    if not isinstance(inputs, torch.Tensor) or not inputs.is_floating_point() or inputs.ndim < 2 or not len(inputs):
        raise checks.InvalidArgument("inputs", "be a tensor of floating numbers, a row each", f"it is {_shown(inputs)}")
    draws, seed = checks.integer("draws", draws, at_least=1), checks.integer("seed", seed, at_least=0)
    d = inputs[0].numel()
    total, square = np.zeros((d, d)), 0.0
    with torch.random.fork_rng(devices=[]):
        for draw in range(draws):
            torch.manual_seed(seed + draw)
            model = factory()
            if not isinstance(model, nn.Module):
                raise checks.InvalidArgument("factory", "make an nn.Module", f"it makes {type(model).__name__}")
            one = _geometry(model, inputs)
            total += one
            square += float(np.sum(one**2))
    matrix = total / draws
    size = float(np.linalg.norm(matrix))
    if not math.isfinite(size) or not size:
        raise checks.InvalidArgument(
            "factory", "make models that depend on their inputs, in finite numbers", f"the average of G is {size:g}"
        )
    values, vectors = np.linalg.eigh(matrix)
    spread = max(square / draws - size**2, 0.0)
    error = math.sqrt(spread / (draws - 1)) / size if draws > 1 else math.nan
    return AverageGeometry(matrix, np.maximum(values[::-1], 0.0), vectors[:, ::-1], error, draws)


def _geometry(model: nn.Module, inputs: Any) -> np.ndarray:
    """JᵀJ of one model, on average over the inputs."""
    training = {m: m.training for m in model.modules()}
    try:
        model.eval()
        x = inputs.detach().clone().requires_grad_()
        with torch.enable_grad():
            out = model(x)
            if not isinstance(out, torch.Tensor) or out.ndim < 1 or len(out) != len(x):
                raise checks.InvalidArgument(
                    "factory", f"make models that give a tensor of {len(x)} rows", f"one gives {_shown(out)}"
                )
            columns = out.reshape(len(x), -1).sum(0)
            if not columns.requires_grad:
                return np.zeros((x[0].numel(),) * 2)
            grads = [torch.autograd.grad(c, x, retain_graph=True, materialize_grads=True)[0] for c in columns]
    finally:
        for module, mode in training.items():
            module.training = mode
    rows = numbers(torch.cat([g.reshape(len(x), -1) for g in grads]), "gradients").astype(np.float64)
    found: np.ndarray = rows.T @ rows / len(x)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"of type {value.dtype} and shape {tuple(value.shape)}"
    return type(value).__name__
