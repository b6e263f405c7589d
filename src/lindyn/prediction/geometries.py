"""The average input geometry JᵀJ of linear networks at their start, and how fast it begins to change.

Behind a front end B the network f(x) = W2 W1 B x is one without, on inputs Bx: every formula is that for B = I at the
covariance B S Bᵀ, between Bᵀ and B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from lindyn.networks.laws import Parametrization
from lindyn.networks.network import Network
from lindyn.support import checks
from lindyn.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Geometry:
    """G = JᵀJ and Δ = Ġ, of one network or on average over starts.

    Attributes:
        matrix: G, shape (d_in, d_in).
        velocity: Δ per unit of flow time, same shape.
    """

    matrix: Float[np.ndarray, "d_in d_in"]
    velocity: Float[np.ndarray, "d_in d_in"]


def start_geometry(network: Network, task: Task) -> Geometry:
    """Return G = JᵀJ of a network and its velocity on a task, exactly: Δ = J̇ᵀJ + JᵀJ̇, Ȧ = −Σ_l (S_lS_lᵀ)∇C(P_lᵀP_l).

    Args:
        network: of any depth.
        task: behind a front end (`Filtered`), J = A B.

    Raises:
        InvalidArgument: shapes that differ.

    References:
        works (15.1); theory (7.1).

    Examples:
        >>> import lindyn as ld
        >>> found = start_geometry(ld.TwoLayer.from_weights([[2.0]], [[3.0]]), ld.SpikedMatrix(target=[[0.0]]))
        >>> found.matrix.tolist(), found.velocity.tolist()  # d/dt (ab)² = −2(ab)²(a² + b²)
        ([[36.0]], [[-936.0]])
    """
    checks.instance("network", network, Network, "a network, such as TwoLayer")
    checks.instance("task", task, Task, "a task, such as SpikedMatrix")
    if network.shape != task.shape:
        raise checks.InvalidArgument("network", f"have the task's shape {task.shape}", f"its shape is {network.shape}")
    gradient = np.asarray(task.gradient(network.matrix))
    velocity = np.zeros_like(gradient)
    for out, into in network.kernel_terms():
        moved = gradient if out is None else out @ gradient
        velocity -= moved if into is None else moved @ into
    jacobian, change = (np.asarray(task.jacobian(a)) for a in (network.matrix, velocity))
    return Geometry(jacobian.T @ jacobian, change.T @ jacobian + jacobian.T @ change)


def average_start_geometry(law: Parametrization, covariance: Any, d_out: int, *, front_end: Any = None) -> Geometry:
    """Return E[G] and E[Δ] over Gaussian starts of two layers, on squared error with any labels, exactly at any width.

    With variances σ₁², σ₂², width w, and S → B S Bᵀ between Bᵀ and B behind a front end:

        G = wσ₁²σ₂²d_out I,
        Δ = −2σ₁²σ₂²d_out [wσ₂²(d_out + w + 1) S + σ₁²(w(w + 1) S + w tr(S) I)].

    In the wide limit Δ = −(4τ/g₀)·G S G with g₀ = wσ₁²σ₂²d_out: at first the geometry *shrinks* along the data, and the
    labels do not matter since W2 is as likely as −W2. The term in tr(S) leaks into directions without data, a share
    1/(w + 1).

    Args:
        law: of the start, of equal learning rates; such as `ld.laws.standard(width=100, variance=0.01)`.
        covariance: S of the inputs, shape (d_in, d_in), symmetric.
        d_out: outputs.
        front_end: B, shape (k, d_in); the identity if left out.

    Raises:
        InvalidArgument: a law that is not normal or of unequal rates, a covariance that is not symmetric.

    References:
        works (15.1)–(15.3); Movahedi, Orvieto, Moosavi-Dezfooli (2024) for Δ ∝ G S G.

    Examples:
        >>> import lindyn as ld
        >>> found = average_start_geometry(ld.laws.standard(width=1, variance=1.0), [[1.0]], 1)
        >>> found.matrix.tolist(), found.velocity.tolist()  # E[a²b²], −2E[a²b²(a² + b²)]
        ([[1.0]], [[-12.0]])
    """
    checks.instance("law", law, Parametrization, "a law of two layers, such as `lindyn.laws.standard(…)`")
    if law.distribution != "normal" or law.rate_in != law.rate_out:
        raise checks.InvalidArgument(
            "law",
            "be normal and of equal learning rates",
            f"it is {law.distribution}, {law.rate_in:g} and {law.rate_out:g}",
        )
    s = checks.array("covariance", covariance, 2, dtype=np.float64)
    if s.shape[0] != s.shape[1] or not np.allclose(s, s.T, rtol=1e-10, atol=1e-12 * np.abs(s).max()):
        raise checks.InvalidArgument("covariance", "be symmetric", f"it is not, of shape {s.shape}")
    k = checks.integer("d_out", d_out, at_least=1)
    b = np.eye(len(s)) if front_end is None else checks.array("front_end", front_end, 2, shape=(None, len(s)))
    s = b @ s @ b.T
    (first, second), w = law.plain_variances, law.width
    size = w * first * second * k
    below = (w + 1) * s + np.trace(s) * np.eye(len(s))
    velocity = -2 * size * (second * (k + w + 1) * s + first * below)
    return Geometry(size * b.T @ b, b.T @ velocity @ b)
