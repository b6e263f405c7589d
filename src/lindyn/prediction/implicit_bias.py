"""Where training ends, without training: the interpolant that one linear neuron a·wᵀ reaches, for any inputs.

The gradient lies in the span of the inputs, so that the part w⊥ of w outside it never moves; with the conserved
δ = a² − ‖w‖² it fixes the end (works 8.7). A network of one output reduces to a neuron where its hidden units are
multiples of one another: at width 1, or where it is balanced, W1W1ᵀ = W2ᵀW2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from lindyn.networks.two_layer import TwoLayer
from lindyn.support import checks
from lindyn.support.linalg import numerical_rank

# singular values of the hidden units, relative to the first, below which they are one neuron
_ONE = 1e-10


class _Neuron(NamedTuple):
    """β = a w; w in the span of the inputs, w outside it, and the least-squares solution β⁺ of smallest norm."""

    a: float
    inside: np.ndarray
    outside: np.ndarray
    solution: np.ndarray
    curvature: float | None

    @property
    def balance(self) -> float:
        """δ + ‖w⊥‖² = a² − ‖w∥‖², which the flow conserves too."""
        return self.a**2 - float(self.inside @ self.inside)


def limit(net: TwoLayer, task: Any, *, sign: int | None = None) -> Float[np.ndarray, "1 d_in"]:
    """Return the interpolant that the flow of a linear neuron f = a·wᵀx reaches, without training it.

        β(∞) = β⁺ + a∞ w⊥,   a∞² = h + √(h² + ‖β⁺‖²),   h = (δ + ‖w⊥‖²)/2,   δ = a² − ‖w‖²,

    β⁺ = X⁺y, w⊥ the part of w(0) outside the span of the inputs. δ → +∞ gives the solution closest to the start (lazy),
    δ → −∞ the start scaled onto the solutions, and δ = 0 from a small start that of smallest norm. Inputs may be of any
    rank and covariance; where y has no interpolant, β⁺ is the least-squares solution.

    Args:
        net: one output, width 1 or balanced; learning rates of its own (`with_learning_rates`) are respected.
        task: a `Regression`, or any task of one output with a quadratic cost.
        sign: of a∞, where `output_sign` cannot tell it.

    Returns:
        β(∞), shape (1, d_in).

    Raises:
        InvalidArgument: several outputs, hidden units that are not multiples of one another, a cost that is not
            quadratic, or a sign that is not known without training.

    References:
        works (8.6), (8.7); Kunin et al. (2024).

    Examples:
        >>> from lindyn.tasks import Regression
        >>> net = TwoLayer.from_weights([[1.0, 0.0]], [[1.0]])
        >>> limit(net, Regression([[0.5, 1.0]], [[1.0]])).round(4).tolist()
        [[1.3397, 0.3301]]
    """
    neuron = _neuron(net, task)
    if sign is not None and abs(checks.integer("sign", sign)) != 1:
        raise checks.InvalidArgument("sign", "be 1 or -1", f"it is {checks.shown(sign)}")
    if not neuron.outside.any():  # one solution only, reached with either sign
        return neuron.solution[None, :].astype(net.dtype)
    chosen = output_sign(net, task) if sign is None else sign
    h = neuron.balance / 2
    square = float(neuron.solution @ neuron.solution)
    # for h < 0 the sum cancels: h + √(h² + q) = q/(√(h² + q) − h)
    root = float(np.hypot(h, np.sqrt(square)))
    a = np.sqrt(h + root if h >= 0 else square / (root - h))
    end: np.ndarray = (neuron.solution + chosen * a * neuron.outside)[None, :].astype(net.dtype)
    return end


def output_sign(net: TwoLayer, task: Any) -> int:
    """Return the sign of a at the end of the flow of a linear neuron f = a·wᵀx.

        sign( wᵀβ⁺ + a(δ/2 + ψ) ),   ψ = √(‖β⁺‖² + δ²/4),   at time 0,

    for inputs that are white in their span, with δ and w taken there. For others it is known where a cannot change
    sign: if δ ≥ 0, since a² ≥ δ, or if the cost at the start is below that of β = 0, which a change of sign must pass
    (*follows*). A start that lies on the separating surface ends at the saddle β = 0.

    Args:
        net: as for `limit`.
        task: as for `limit`.

    Raises:
        InvalidArgument: as for `limit`, and where the sign is not known without training.

    References:
        works (8.4); Kunin et al. (2024).

    Examples:
        >>> from lindyn.tasks import SpikedMatrix
        >>> net = TwoLayer.from_weights([[1.0, -2.0]], [[0.5]])  # starts on the wrong side, and downstream
        >>> output_sign(net, SpikedMatrix(target=[[0.0, 1.0]]))
        -1
    """
    neuron = _neuron(net, task)
    a, inside, solution, curvature = neuron.a, neuron.inside, neuron.solution, neuron.curvature
    delta = neuron.balance
    if curvature is not None:
        psi = np.hypot(np.linalg.norm(solution), delta / 2)
        # δ/2 + ψ = ‖β⁺‖²/(ψ − δ/2) for δ < 0, without cancellation
        rise = delta / 2 + psi if delta >= 0 else float(solution @ solution) / (psi - delta / 2)
        value = float(inside @ solution + a * rise)
        if value == 0:
            raise checks.InvalidArgument("net", "start off the separating surface", "it lies on it and ends at β = 0")
        return 1 if value > 0 else -1
    cost_now, cost_of_zero = float(task.cost(net.matrix)), float(task.cost(np.zeros(net.shape)))
    if a and (delta >= 0 or cost_now < cost_of_zero):
        return 1 if a > 0 else -1
    raise checks.InvalidArgument(
        "net",
        "start with a² ≥ ‖w‖² in the span of the inputs, or below the cost of β = 0, where the inputs are not white",
        f"a² − ‖w‖² is {delta:.3g} and the cost {cost_now:.3g} against {cost_of_zero:.3g}, so that a may change sign",
        "give `sign`, or train it with Flow()",
    )


def _neuron(net: Any, task: Any) -> _Neuron:
    checks.answering("task", task, "quadratic", "a task, such as Regression")
    if not isinstance(net, TwoLayer) or net.shape[0] != 1 or tuple(task.shape) != net.shape:
        raise checks.InvalidArgument(
            "net",
            f"be a TwoLayer network of one output and of the task's shape {tuple(task.shape)}",
            f"it is {checks.shown(net)}",
        )
    w1, row = net.w1.astype(np.float64), net.w2[0].astype(np.float64)
    u, s, _ = np.linalg.svd(np.concatenate([w1, row[:, None]], axis=1), full_matrices=False)
    if not s[0] or (s[1:] > _ONE * s[0]).any():
        raise checks.InvalidArgument(
            "net",
            "have hidden units that are multiples of one another (width 1, or balanced), not all zero",
            f"their second singular value is {s[1] / s[0]:.2g} of the first" if s[0] else "all are zero",
            "train it with Flow()",
        )
    unit = u[:, 0] * np.sign(u[np.argmax(abs(u[:, 0])), 0])  # +1 at width 1
    solution, inputs, curvature = _data(task)
    w = unit @ w1
    inside = w if inputs.shape[0] == inputs.shape[1] else inputs @ (inputs.T @ w)
    return _Neuron(float(unit @ row), inside, w - inside, solution, curvature)


def _data(task: Any) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Return β⁺, an orthonormal basis of the inputs' span, and the curvature there if it is the same on all of it."""
    problem = task.least_squares()
    if problem is None:
        raise checks.InvalidArgument(
            "task", "have a cost of least squares, as Regression and SpikedMatrix have", f"it is {type(task).__name__}"
        )
    root, coefficients = (np.asarray(x, np.float64) for x in problem)
    u, s, vt = np.linalg.svd(root, full_matrices=False)
    rank = numerical_rank(s, root.shape)
    u, s, basis = u[:, :rank], s[:rank], vt[:rank].T
    is_white = s[0] - s[-1] <= 1e-12 * s[0]
    return basis @ ((u.T @ coefficients[:, 0]) / s), basis, float(s[0] ** 2) if is_white else None
