"""A small two-layer ReLU network whose neurons start balanced by δ, for a paper's claims beyond linear networks.

Students have m neurons in pairs of equal w and opposite a, so that f = 0 at the start; teachers have three of norm 1.
Inputs lie on the unit sphere. Steps are those of full-batch gradient descent on the mean squared error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Change:
    """How far a student has come from its start.

    Attributes:
        kernel: 1 − ⟨K₀, K⟩/(‖K₀‖‖K‖) of its tangent kernels on the training inputs.
        hamming: expected number of neurons whose activation on a training input has changed.
        parameters: Euclidean distance of all weights.
    """

    kernel: float
    hamming: float
    parameters: float


def train(
    scale: float,
    balance: float,
    seed: int,
    steps: int,
    *,
    samples: int = 1000,
    inputs: int = 100,
    neurons: int = 50,
    rate: float = 5e-3,
) -> Change:
    """Train a student and measure its change.

    Args:
        scale: √(‖w‖·|a|) of each neuron.
        balance: δ = a² − ‖w‖².
        seed: of the teacher, the inputs and the student.
        steps: descent steps of learning rate `rate`/scale².
        samples: training inputs.
        inputs: their dimension.
        neurons: of the student, even.
        rate: learning rate at scale 1.
    """
    rng = np.random.default_rng(seed)

    def on_sphere(rows: int) -> np.ndarray:
        x = rng.standard_normal((rows, inputs))
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    teacher, signs, x, half = on_sphere(3), rng.choice([-1.0, 1.0], 3), on_sphere(samples), neurons // 2
    y = np.maximum(x @ teacher.T, 0) @ signs
    # a² − ‖w‖² = δ and |a|‖w‖ = scale²
    size = np.sqrt((balance + np.hypot(balance, 2 * scale**2)) / 2)
    w = np.tile(on_sphere(half) * scale**2 / size, (2, 1))
    a = np.concatenate([one := size * rng.choice([-1.0, 1.0], half), -one])
    first, pace = (w.copy(), a.copy()), rate / scale**2 / samples
    for _ in range(steps):
        hidden = x @ w.T
        active = np.maximum(hidden, 0)
        residual = 2 * (y - active @ a)
        w, a = w + pace * ((hidden >= 0) * np.outer(residual, a)).T @ x, a + pace * residual @ active
    return _change(x, first, (w, a))


def _change(x: np.ndarray, first: tuple[np.ndarray, np.ndarray], last: tuple[np.ndarray, np.ndarray]) -> Change:
    then, now = kernel(x, *first), kernel(x, *last)
    aligned = np.sum(then * now) / (np.linalg.norm(then) * np.linalg.norm(now))
    flipped = np.sign(x @ first[0].T) != np.sign(x @ last[0].T)
    moved = sum(np.sum((q - p) ** 2) for p, q in zip(first, last, strict=True))
    return Change(1 - float(aligned), float(flipped.mean(axis=0).sum()), float(np.sqrt(moved)))


def kernel(
    x: Float[np.ndarray, "n d"], w: Float[np.ndarray, "m d"], a: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "n n"]:
    """Return the tangent kernel of f(x) = Σ a·max(w·x, 0): φφᵀ + (xxᵀ) ∘ (ddᵀ), d = a·1[w·x ≥ 0].

    Examples:
        >>> kernel(np.eye(2), np.array([[1.0, -1.0]]), np.array([2.0])).tolist()
        [[5.0, 0.0], [0.0, 0.0]]
    """
    hidden = x @ w.T
    features, slopes = np.maximum(hidden, 0), (hidden >= 0) * a
    total: np.ndarray = features @ features.T + (x @ x.T) * (slopes @ slopes.T)
    return total
