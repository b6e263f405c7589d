"""What a system answers when it is asked for its closed form: a motion known exactly, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from lindyn.solutions.mixed import MixedSolution


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
        state_bytes=3 * sum(exact.start.shape) ** 2 * exact.start.dtype.itemsize,
        sources=("fukumizu1998effect", "braun2022exact", "domine2024lazy"),
    )


def not_quadratic(task: object) -> Reason:
    """Return the reason why no closed form serves a task whose cost is not ½‖A − T‖_F²."""
    return Reason(f"{type(task).__name__} is not a multiple of ½‖A − T‖_F², the only cost with a closed form")
