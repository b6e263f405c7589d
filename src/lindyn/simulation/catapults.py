"""Catapults: runs above the stability bound of their start whose cost rises, and comes back where descent is stable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lindyn.simulation.trajectory import Trajectory
from lindyn.support import checks


@dataclass(frozen=True)
class Catapult:
    """How a run of gradient descent stood to its stability bound; prints as a sentence.

    Attributes:
        start: ηλ(0)/2, λ the sharpness for steps of learning rate 1: above 1 the start is unstable.
        end: ηλ/2 at the last record: below 1 the run is stable there.
        peak: largest recorded cost over that of the start.
        peak_step: step at which it was recorded.
        left: last recorded cost over that of the start.
        status: how the run ended, "completed" or a sentence.
    """

    start: float
    end: float
    peak: float
    peak_step: int
    left: float
    status: str

    @property
    def caught(self) -> bool:
        """Whether the run rose above its start and has come back below it, to where descent is stable."""
        return self.peak > 1 and self.left < 1 and self.end < 1 and self.status == "completed"

    def __str__(self) -> str:
        """One sentence: what happened, with numbers."""
        rose = f"the cost rose to {self.peak:.4g} times that of the start (step {self.peak_step:,})"
        bound = f"ηλ/2 went from {self.start:.4g} to {self.end:.4g}"
        if self.status != "completed":
            return f"No return: {self.status}; ηλ/2 was {self.start:.4g} at the start."
        if self.peak <= 1:
            return f"No catapult: the cost never rose above that of the start; {bound}."
        if self.caught:
            return f"Catapult: {rose} and came back to {self.left:.4g}; {bound}."
        return f"No return so far: {rose} and is {self.left:.4g} times it at the last record; {bound}."


def catapult(run: Trajectory) -> Catapult:
    """Tell whether a run above the stability bound of its start has come back.

        ηλ/2 > 1 at the start, cost above that of the start on the way, ηλ/2 < 1 at the end,

    with λ the recorded sharpness. Between records a peak goes unseen: record every step where it matters.

    Args:
        run: from `simulate` with plain `GradientDescent`, observables "cost" and "sharpness" recorded.

    Raises:
        InvalidArgument: a run of another method, of momentum or weight decay (their bound is another), or without these
            records.

    References:
        works (9.6).

    Examples:
        >>> import warnings, numpy as np, lindyn as ld
        >>> net = ld.DeepLinear.orthogonal(1, depth=2, output_scale=20.0)
        >>> task = ld.SpikedMatrix(target=np.ones((1, 1)))
        >>> method = ld.GradientDescent(learning_rate=0.004, steps=100)  # the bound is 0.0025
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", ld.StabilityWarning)
        ...     run = ld.simulate(net, task, method, observables=["cost", "sharpness"])
        >>> ld.simulation.catapult(run).caught
        True
    """
    checks.instance("run", run, Trajectory, "a Trajectory, from `simulate`")
    plain = run.info.method.endswith("gradient descent")  # momentum, decay and batches stand behind these words
    if run.info.learning_rate is None or np.isnan(run.step).any() or not plain:
        raise checks.InvalidArgument(
            "run", "be of plain gradient descent, whose bound is 2/λ", f"its method is {run.info.method}"
        )
    for name in ("cost", "sharpness"):
        if name not in run:
            raise checks.InvalidArgument(
                "run", f"hold {name!r}", f"it holds {', '.join(run)}", "record it: observables=['cost', 'sharpness']"
            )
    first = float(run["cost"][0])
    if first <= 0:
        raise checks.InvalidArgument("run", "start at a positive cost", f"its first cost is {first:g}")
    share, half = run["cost"] / first, run.info.learning_rate * run.info.clock / 2
    top = int(np.argmax(share))
    return Catapult(
        start=half * float(run["sharpness"][0]),
        end=half * float(run["sharpness"][-1]),
        peak=float(share[top]),
        peak_step=int(run.step[top]),
        left=float(share[-1]),
        status=run.status,
    )
