"""Learning rates: the published rules and the stability bound."""

from __future__ import annotations

import inspect
import warnings
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from lindyn.solutions.deep_modes import deep_published_rate
from lindyn.solutions.step_sizes import StabilityWarning, published_rate, unstable_above
from lindyn.support import checks

__all__ = ["LearningRate", "StabilityWarning", "published_learning_rate", "stability_bound"]

LearningRate = float | Literal["auto", "figure1"]


class Moving(Protocol):
    """What a learning rate depends on: a network or a dynamics of the matrix."""

    @property
    def shape(self) -> tuple[int, int] | None:
        """Shape (d_out, d_in), or None for any."""

    @property
    def threshold(self) -> float:
        """τ."""

    @property
    def clock(self) -> float:
        """Flow time that passes in one step of learning rate 1."""

    def kernel_norms(self, target: np.ndarray) -> tuple[float, float]:
        """Norm of the tangent kernel at the start, and once the target is learned."""


class Learned(Protocol):
    """What is learned, as far as a learning rate depends on it: a task."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in)."""

    def curvature(self) -> float:
        """Largest curvature of the cost."""

    def reference(self) -> np.ndarray:
        """The matrix to be learned."""

    def minimiser(self) -> np.ndarray:
        """The matrix at which training ends."""


def stability_bound(system: Moving, task: Learned, *, momentum: float = 0.0, nesterov: bool = False) -> float:
    """Return the learning rate above which gradient descent is linearly unstable.

    η_max = 2(1 + μ)/λ with heavy-ball momentum μ, 2(1 + μ)/((1 + 2μ)λ) with Nesterov's, where λ = L κ: L is the
    curvature of the cost, κ the larger of the tangent kernel's norm at the start, ‖C1‖ + ‖C2‖, and at the solution,
    2√(s₁² + τ²), s₁ = ‖T‖_op. Below it a run can still diverge if the kernel grows beyond both on the way.
    *Follows* from (1.1), (2.1); for a dynamics of one's own κ is measured by power iteration on its drive.

    Args:
        system: network or matrix dynamics.
        task: the task; s₁ is taken of the matrix at which training ends, `task.minimiser()`.
        momentum: μ in [0, 1).
        nesterov: whether the momentum is Nesterov's.

    Raises:
        InvalidArgument: shapes that differ, or a momentum outside [0, 1).

    Examples:
        >>> import numpy as np
        >>> from lindyn.dynamics import Mixed
        >>> from lindyn.tasks.spiked import SpikedMatrix
        >>> stability_bound(Mixed(3.0), SpikedMatrix(target=4.0 * np.eye(2)))  # 1/√(3² + 4²)
        0.2
    """
    _check_pair(system, task)
    if not 0 <= checks.number("momentum", momentum) < 1:
        raise checks.InvalidArgument("momentum", "lie in [0, 1)", f"it is {momentum:g}")
    rate = max(system.kernel_norms(task.minimiser())) * task.curvature() * system.clock
    return float(unstable_above(rate, momentum=momentum, nesterov=nesterov))


def _check_pair(system: Any, task: Any) -> None:
    for name, value, method, kind in (
        ("system", system, "kernel_norms", "a network or a dynamics of the matrix, such as Mixed"),
        ("task", task, "minimiser", "a task, such as SpikedMatrix"),
    ):
        if not hasattr(value, method):
            raise checks.InvalidArgument(name, f"be {kind}", f"it is {type(value).__name__}")
    if system.shape is not None and tuple(system.shape) != tuple(task.shape):
        raise checks.InvalidArgument("system", f"have the task's shape {task.shape}", f"its shape is {system.shape}")


class Rate(NamedTuple):
    """A learning rate, how it was found, and its stability bound."""

    value: float
    why: str
    bound: float

    @property
    def note(self) -> str:
        """One sentence on all three."""
        return f"learning rate {self.value:.6g}: {self.why}; stability bound {self.bound:.4g}"


def check_rate(learning_rate: LearningRate) -> None:
    """Refuse what is neither a positive number nor the name of a published rule."""
    if isinstance(learning_rate, str):
        checks.choice("learning_rate", learning_rate, ("auto", "figure1"))
    else:
        checks.number("learning_rate", learning_rate, above=0)


def _levels_to_the_caller() -> int:
    """How far up the calls the code stands that called the library, for a warning that points there."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "lindyn":
        level, frame = level + 1, frame.f_back
    return level


def rate_of(
    system: Moving, task: Learned, learning_rate: LearningRate, *, momentum: float = 0.0, nesterov: bool = False
) -> Rate:
    """Return the learning rate of a run, with a warning where it is above the stability bound.

    Warns:
        StabilityWarning: it is.
    """
    if isinstance(learning_rate, str):
        rate, why = published_learning_rate(system, task, learning_rate)
    else:
        rate, why = float(learning_rate), "given"
    bound = stability_bound(system, task, momentum=momentum, nesterov=nesterov)
    if rate > bound:
        warnings.warn(
            f"Learning rate {rate:.4g} is above the stability bound {bound:.4g}; the run may diverge. "
            f"Use a learning rate below {bound:.4g}.",
            StabilityWarning,
            stacklevel=_levels_to_the_caller(),
        )
    return Rate(rate, why, bound)


def published_learning_rate(system: Moving, task: Learned, rule: str = "auto") -> tuple[float, str]:
    """Return the paper's learning rate for a network or a matrix dynamics, and a sentence on how it was found.

    See `published_rate`; the scales are those of `task.reference()`, divided by the curvature of the cost and by the
    network's clock, which are 1 in the paper.

    Raises:
        InvalidArgument: shapes that differ, or a task whose reference matrix is zero, so that no scale is known.

    References:
        theory section 4, published settings.

    Examples:
        >>> import numpy as np
        >>> from lindyn.dynamics import Mixed
        >>> from lindyn.tasks.spiked import SpikedMatrix
        >>> task = SpikedMatrix(target=np.eye(2))
        >>> published_learning_rate(Mixed(threshold=4.0), task)[0]
        0.005
    """
    _check_pair(system, task)
    reference = task.reference()
    unit = task.curvature() * system.clock
    top, size = float(np.linalg.norm(reference, 2)), float(np.linalg.norm(reference))
    bound = stability_bound(system, task)
    depth = getattr(system, "depth", 2)  # a dynamics of one's own states none: it is in the place of two layers
    if depth != 2 and rule in ("auto", "figure1"):
        if top == 0:
            raise checks.InvalidArgument(
                "learning_rate", "be a number for this task", f"it is {rule!r}, and the task's signal is zero"
            )
        if rule == "figure1":
            return 1 / (2.5 * depth * top ** (2 - 2 / depth) * unit), "1/(2.5κ), κ the kernel of the learned signal"
        rate = deep_published_rate(system.threshold, top=top, size=size, bound=bound * unit, depth=depth)
        return float(rate) / unit, f"1/(25κ), the published rate of Figure 2 at {depth} layers, or half the bound"
    return published_rate(rule, threshold=system.threshold, top=top, size=size, bound=bound, unit=unit)
