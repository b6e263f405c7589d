"""What a system answers when it is asked for its closed form: a motion known exactly, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lindyn.solutions.balanced import NarrowSolution
from lindyn.solutions.mixed import MixedSolution
from lindyn.solutions.orthogonal_modes import orthogonal_mode_curve


@dataclass(frozen=True)
class Reason:
    """Why there is no answer, as a clause, and what to do instead.

    Examples:
        >>> print(Reason("this dynamics has no closed form"))
        this dynamics has no closed form
    """

    why: str
    remedy: str = "use Flow()"

    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, eq=False)
class Solution:
    """A motion of the matrix that is known exactly at every time.

    Args:
        start: A(0), shape (d_out, d_in).
        at: from one flow time t ≥ 0 to A(t).
        what: what is evaluated, for print-outs: "the matrix Riccati solution (3.1)".
        threshold: τ where the motion obeys the mixed formula (2.1), so that C1 and C2 are known by (2.2); else None.
        state_bytes: bytes that the solution holds; those of A if left out.
        layers: from one flow time to layers (W1, W2) of product A, where they are known up to a rotation of the hidden
            units, which moves neither A nor its tangent kernel; else None.
        sources: keys of `lindyn.cite`.

    Examples:
        >>> import numpy as np
        >>> halving = Solution(np.eye(2), lambda t: np.exp(-t) * np.eye(2), "exponential decay")
        >>> float(halving.at(np.log(2.0))[0, 0])
        0.5
    """

    start: Float[np.ndarray, "d_out d_in"]
    at: Callable[[float], Float[np.ndarray, "d_out d_in"]]
    what: str
    threshold: float | None = None
    state_bytes: int | None = None
    layers: Callable[[float], tuple[np.ndarray, ...]] | None = None
    sources: tuple[str, ...] = ()


def riccati(
    target: Float[np.ndarray, "d_out d_in"],
    threshold: float,
    start: Float[np.ndarray, "d_out d_in"],
    curvature: float,
) -> Solution:
    """Return the mixed dynamics on (κ/2)‖A − T‖_F² as a solution: (3.1) at the time κt.

    Examples:
        >>> import numpy as np
        >>> solution = riccati(np.eye(2), 1.0, np.zeros((2, 2)), curvature=2.0)
        >>> bool(np.allclose(solution.at(0.5), MixedSolution(np.eye(2), 1.0)(1.0)))
        True
    """
    exact = MixedSolution(target, threshold, start)
    return Solution(
        exact.start,
        lambda time: exact.at(curvature * time),
        "the matrix Riccati solution (3.1)",
        threshold=exact.threshold,
        state_bytes=exact.nbytes,
        sources=("fukumizu1998effect", "braun2022exact", "domine2024lazy"),
    )


def narrow(
    target: Float[np.ndarray, "d_out d_in"],
    layers: tuple[Float[np.ndarray, "w d_in"], Float[np.ndarray, "d_out w"]],
    curvature: float,
) -> Solution | None:
    """Return the flow of λ-balanced layers on (κ/2)‖A − T‖_F², (3.4) at the time κt, or None if they are not balanced.

    Examples:
        >>> import numpy as np
        >>> solution = narrow(np.diag([3.0, 2.0]), (np.array([[1.0, 0.0]]), np.zeros((2, 1))), curvature=1.0)
        >>> solution.at(100.0).round(6).tolist()
        [[3.0, 0.0], [0.0, 0.0]]
    """
    if not any(layer.any() for layer in layers):
        return None
    exact = NarrowSolution(target, *layers)
    if exact.residual > (1e-12 if exact.dtype == np.float64 else 1e-6):
        return None
    return Solution(
        layers[1] @ layers[0],
        lambda time: exact(curvature * time),
        "the solution (3.4) of λ-balanced layers, hidden units up to a rotation",
        state_bytes=sum(layer.nbytes for layer in layers),
        layers=lambda time: exact.factors(curvature * time),
        sources=("braun2022exact", "domine2024lazy"),
    )


def orthogonal(target: Float[np.ndarray, "d_out d_in"], threshold: float, depth: int, curvature: float) -> Solution:
    """Return the flow of `depth` orthogonal layers from A(0) = 0 on (κ/2)‖A − T‖_F², (9.11) at the time κt.

    Examples:
        >>> import numpy as np
        >>> solution = orthogonal(np.diag([3.0, 0.0]), 0.1, depth=3, curvature=2.0)
        >>> solution.at(20.0).round(6).tolist()
        [[3.0, 0.0], [0.0, 0.0]]
    """
    u, s, vt = np.linalg.svd(target, full_matrices=False)
    moving = s > np.finfo(s.dtype).eps * s[:1]

    def at(time: float) -> Float[np.ndarray, "d_out d_in"]:
        curve = [float(orthogonal_mode_curve(float(v), threshold, curvature * time, depth)) for v in s[moving]]
        return np.asarray((u[:, moving] * np.array(curve, dtype=u.dtype)) @ vt[moving])

    return Solution(
        np.zeros_like(target), at, "the modes of orthogonal layers (9.11), tabulated to 10⁻⁹", state_bytes=target.nbytes
    )


def not_quadratic(task: object) -> Reason:
    """Return the reason why no closed form serves a task whose cost is not ½‖A − T‖_F²."""
    return Reason(f"{type(task).__name__} is not a multiple of ½‖A − T‖_F², the only cost with a closed form")
