"""What can be advised for Adam: no threshold and no times, but its clock, and starts that set it (2.10)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lindyn.prediction.adam import LAZY_UNTIL, OPTIMIZERS, TURNED_FROM, AdamClock, adam_clock
from lindyn.support import checks


@dataclass(frozen=True, eq=False)
class AdamStart:
    """One start of a LoRA pair and its clock.

    Attributes:
        name: what it is called.
        config: how PEFT is told, as arguments of `LoraConfig`.
        threshold: of `lora_init_`, at s = 1; None where PEFT draws the start itself.
        clock: Adam's clock from there.
    """

    name: str
    config: str
    threshold: float | None
    clock: AdamClock


@dataclass(frozen=True, eq=False)
class AdamAdvice:
    """Until when LoRA's A must stay where it started under Adam, start by start; prints itself, becomes plain data.

    Attributes:
        shape: (d_out, d_in).
        rank: r.
        optimizer: "adam" or "adamw".
        steps: number of steps of training.
        starts: PEFT's two common starts, and two whose clock ends at x = 0.2 and x = 1.
        notes: what the numbers are, and what they are not.
    """

    shape: tuple[int, int]
    rank: int
    optimizer: str
    steps: int
    starts: tuple[AdamStart, ...]
    notes: tuple[str, ...]

    def rows(self) -> list[list[str]]:
        """Return a row for each start: name, σ_A, last lazy step, first step it can have turned, x at the end."""
        return [
            [
                start.name,
                f"{start.clock.deviation:.4g}",
                _step(start.clock.lazy_until, "all steps"),
                _step(start.clock.turned_from, "not within them"),
                f"{start.clock.at(self.steps):.3g}",
            ]
            for start in self.starts
        ]

    @property
    def code(self) -> str:
        """Lines of Python for each start."""
        out = ["from peft import LoraConfig, get_peft_model", "from lindyn.torch import lora_init_"]
        for start in self.starts:
            out += ["", f"# {start.name}", f"model = get_peft_model(model, LoraConfig({start.config}))"]
            if start.threshold is not None:
                out.append(f"lora_init_(model, threshold={start.threshold:.6g}, seed=0)")
        return "\n".join(out)

    def __str__(self) -> str:
        """The table, the code and the notes."""
        head = f"Adam's clock of a {self.shape[0]} × {self.shape[1]} layer, rank {self.rank}, {self.steps:,} steps"
        lines = ["start: σ_A, still lazy until step, can have turned from step, x at the end"]
        lines += [": ".join((row[0], ", ".join(row[1:]))) for row in self.rows()]
        return "\n".join([head, *(f"  {line}" for line in lines), *(f"note: {n}" for n in self.notes), "", self.code])

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return {
            "shape": list(self.shape),
            "rank": self.rank,
            "optimizer": self.optimizer,
            "steps": self.steps,
            "starts": [
                {
                    "name": start.name,
                    "config": start.config,
                    "threshold": start.threshold,
                    "deviation": start.clock.deviation,
                    "lazy_until": start.clock.lazy_until,
                    "turned_from": start.clock.turned_from,
                    "clock_at_the_end": start.clock.at(self.steps),
                }
                for start in self.starts
            ],
            "code": self.code,
            "notes": list(self.notes),
        }


def _step(value: int | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:,}"


def adam_advice(
    shape: tuple[int, int],
    rank: int,
    *,
    optimizer: str,
    learning_rate: float | Sequence[float] | None,
    steps: int,
    ignored: Sequence[str] = (),
) -> AdamAdvice:
    """Return what is known of a LoRA pair under Adam: the clock x = Σ η/σ_A of common starts and of two chosen ones.

    Args:
        shape: (d_out, d_in).
        rank: r, below both.
        optimizer: "adam" or "adamw".
        learning_rate: η, or one for each step.
        steps: number of steps, of a constant rate.
        ignored: arguments that describe the task and that Adam's clock does not depend on.

    Raises:
        InvalidArgument: a rank that is not below both dimensions; no learning rate.

    References:
        theory (2.10).

    Examples:
        >>> advice = adam_advice((4096, 4096), 16, optimizer="adamw", learning_rate=2e-4, steps=300)
        >>> for row in advice.rows():
        ...     print(*row, sep=" | ")
        default (Kaiming) | 0.009021 | 9 | 45 | 6.65
        gaussian | 0.0625 | 62 | not within them | 0.96
        lazy throughout | 0.3 | 300 | not within them | 0.2
        can turn by the last step | 0.06 | 60 | 300 | 1
    """
    if rank >= min(shape):
        raise checks.InvalidArgument(
            "width",
            f"be LoRA's rank, below {min(shape)}, with {optimizer}",
            f"it is {rank}",
            "Adam conserves no imbalance, so that no threshold predicts it; all that is known is a clock of narrow "
            "pairs (2.10); measure while training, with lindyn.torch.RegimeTracker",
        )
    if learning_rate is None:
        raise checks.InvalidArgument(
            "learning_rate", f"be given with {optimizer}", "it is not, and Adam's clock is x = ηn/σ_A (2.10)"
        )
    constant = not isinstance(learning_rate, Sequence)
    schedule = adam_clock(1.0, learning_rate, steps if constant else None)
    total = schedule.at(schedule.steps or steps)
    plain = f"r={rank}, lora_alpha={rank}"

    def start(name: str, config: str, deviation: float, *, prescribed: bool = False) -> AdamStart:
        tau = 0.5 * shape[1] * deviation**2 if prescribed else None  # of entries of deviation σ_A, at s = 1 (2.7)
        return AdamStart(name, config, tau, AdamClock(deviation, schedule.rates))

    return AdamAdvice(
        shape=shape,
        rank=rank,
        optimizer=optimizer,
        steps=schedule.steps or steps,
        starts=(
            start("default (Kaiming)", plain, 1 / math.sqrt(3 * shape[1])),
            start("gaussian", f'{plain}, init_lora_weights="gaussian"', 1 / rank),
            start("lazy throughout", plain, total / LAZY_UNTIL, prescribed=True),
            start("can turn by the last step", plain, total / TURNED_FROM, prescribed=True),
        ),
        notes=(
            f"a bound, no prediction of times: an entry moves by about η a step at most, so that A has hardly turned "
            f"before x = {LAZY_UNTIL:g} and can have turned wholly from x = {TURNED_FROM:g} on (2.10)",
            "α does not enter: Adam's steps do not feel the scale of the loss or of the update",
            *([f"{', '.join(ignored)}: the clock does not depend on the task"] if ignored else []),
        ),
    )


def is_adam(optimizer: Any) -> bool:
    """Whether an optimiser's name is one whose clock is known."""
    return str(optimizer).lower() in OPTIMIZERS
