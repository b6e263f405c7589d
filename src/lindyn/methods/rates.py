"""Learning rates: the published rules and the bound of stability."""

from __future__ import annotations

import math

import numpy as np

from lindyn.dynamics import AbstractDynamics
from lindyn.networks.two_layer import TwoLayer
from lindyn.solutions.step_sizes import published_rate
from lindyn.tasks.task import Task


class StabilityWarning(UserWarning):
    """The learning rate exceeds the bound of stability; the message carries both."""


def _start_rate(system: TwoLayer | AbstractDynamics) -> float:
    """‖C1(0)‖ + ‖C2(0)‖, the norm of the tangent kernel at the start."""
    if isinstance(system, TwoLayer):
        return float(np.linalg.norm(system.w1, 2) ** 2 + np.linalg.norm(system.w2, 2) ** 2)
    top = 0.0 if system.start is None else float(np.linalg.norm(system.start, 2))
    return 2 * math.hypot(top, system.threshold)


def stability_bound(system: TwoLayer | AbstractDynamics, task: Task, *, momentum: float = 0.0) -> float:
    """Return the learning rate above which plain gradient descent is linearly unstable.

    η_max = 2(1 + μ)/(L κ), with L the curvature of the cost, κ the larger of the tangent kernel's norm at the start,
    ‖C1‖ + ‖C2‖, and at the solution, 2√(s₁² + τ²), s₁ = ‖T‖_op; μ the momentum (heavy ball). Below it a run can
    still diverge if the kernel grows beyond both on the way. *Follows* from (1.1), (2.1).

    Args:
        system: network or matrix dynamics.
        task: the task; s₁ is taken of its target where it is quadratic, else of `task.reference()`.
        momentum: μ in [0, 1).

    Examples:
        >>> import numpy as np
        >>> from lindyn.dynamics import Mixed
        >>> from lindyn.tasks.spiked import SpikedMatrix
        >>> stability_bound(Mixed(3.0), SpikedMatrix(target=4.0 * np.eye(2)))  # 1/√(3² + 4²)
        0.2
    """
    quadratic = task.quadratic()
    target = task.reference() if quadratic is None else quadratic.target
    end = 2 * math.hypot(float(np.linalg.norm(target, 2)), system.threshold)
    clock = system.clock if isinstance(system, TwoLayer) else 1.0
    kernel = max(_start_rate(system), end) * task.curvature() * clock
    return 2 * (1 + momentum) / kernel if kernel > 0 else math.inf


def published_learning_rate(system: TwoLayer | AbstractDynamics, task: Task, rule: str = "auto") -> tuple[float, str]:
    """Return the paper's learning rate for a network or a matrix dynamics, and a sentence on how it was found.

    See `published_rate`; the scales are those of `task.reference()`, divided by the curvature of the cost and by the
    network's clock, which are 1 in the paper.

    Raises:
        InvalidArgument: a task whose reference matrix is zero, so that no scale is known.

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
    reference = task.reference()
    unit = task.curvature() * (system.clock if isinstance(system, TwoLayer) else 1.0)
    return published_rate(
        rule,
        threshold=system.threshold,
        top=float(np.linalg.norm(reference, 2)),
        size=float(np.linalg.norm(reference)),
        bound=stability_bound(system, task),
        unit=unit,
    )
