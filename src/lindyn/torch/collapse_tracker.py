"""A tracker of neural collapse and of balancedness, while a model is training."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn.support import checks
from lindyn.support.labels import OF_COLLAPSE
from lindyn.torch.collapse import Balancedness, NeuralCollapse, balancedness, neural_collapse
from lindyn.torch.tracker import TrackingWarning

if TYPE_CHECKING:
    import xarray

    from torch import nn

_OF_FEATURES = ("nc1", "nc2", "nc3", "certificate", "condition", "nc3_of_weights")


class CollapseTracker:
    """Records NC1, NC2, NC3, the certificate (11.4), and D of consecutive layers, while a model trains.

    One line in the loop, `tracker.step()` after each step of the optimiser; the trainers' callbacks are
    `CollapseCallback` of `lindyn.torch.huggingface` and of `lindyn.torch.lightning`. The start is the first record. A
    record changes neither the model nor any random state, and costs a forward pass over `data`.

    Args:
        model: as for `neural_collapse`. Layers whose D is recorded are those that `balancedness` finds; none is fine.
        data: as for `neural_collapse`; some hundred samples are enough, the same at every record.
        every: steps between records.

    Raises:
        InvalidArgument: as from `neural_collapse`, at once.

    Warns:
        TrackingWarning: weights have become NaN or infinite, and so the record is.

    References:
        works (11.1)–(11.6): Jacot, Súkeník, Wang, Mondelli 2024.

    Examples:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8, bias=False), torch.nn.Linear(8, 2, bias=False))
        >>> inputs, labels = torch.randn(20, 4), torch.arange(20) % 2
        >>> tracker = CollapseTracker(model, (inputs, labels), every=2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
        >>> for _ in range(4):
        ...     optimizer.zero_grad()
        ...     torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        ...     optimizer.step()
        ...     tracker.step()
        >>> tracker.dataset["nc1"].sizes["step"], tracker.dataset["pair"].values.tolist()
        (3, ['0 → 1'])
    """

    def __init__(self, model: nn.Module, data: Any, *, every: int = 50):
        self.every = checks.integer("every", every, at_least=1)
        self._model = model
        self._data = list(data) if isinstance(data, Iterator) else data
        self._steps: list[int] = []
        self._found: list[tuple[NeuralCollapse, list[Balancedness]]] = []
        self._warned = False
        self.count = 0
        self.seconds = 0.0
        self.record()

    def step(self, count: int | None = None) -> None:
        """Count a step of the optimiser, and record if it is time to.

        Args:
            count: number of steps made so far, if the caller counts them; the same number twice counts once.

        Raises:
            InvalidArgument: a count below the last one; see `seek`.
        """
        self.count = self.count + 1 if count is None else checks.integer(
            "count", count, at_least=self.count, remedy="call seek() to go back"
        )  # fmt: skip
        if self.count // self.every > self._steps[-1] // self.every:
            self.record()

    def record(self) -> None:
        """Record now, under the present count of steps; a second record of one step replaces the first."""
        begun = time.perf_counter()
        found = neural_collapse(self._model, self._data), _pairs(self._model)
        if self._steps and self._steps[-1] == self.count:
            self._steps.pop()
            self._found.pop()
        self._steps.append(self.count)
        self._found.append(found)
        self.seconds += time.perf_counter() - begun
        if np.isnan(found[0].nc1) and not self._warned:
            self._warned = True
            text = f"Weights or features at step {self.count} are not finite: the record is NaN"
            warnings.warn(text, TrackingWarning, stacklevel=3)

    def seek(self, step: int) -> None:
        """Go to a step, as when training goes on from a checkpoint: later records are dropped, the count is set.

        A tracker that has only its start records anew, under that step.

        Raises:
            InvalidArgument: a negative step, or one before the first record.
        """
        step = checks.integer("step", step, at_least=0)
        if len(self._steps) == 1 and step != self.count:
            self._steps, self._found, self.count = [], [], step
            self.record()
            return
        if step < self._steps[0]:
            first = self._steps[0]
            raise checks.InvalidArgument("step", f"be at least {first}, that of the first record", f"it is {step}")
        kept = sum(s <= step for s in self._steps)
        del self._steps[kept:], self._found[kept:]
        self.count = step

    @property
    def records(self) -> int:
        """Number of records made so far, the start included."""
        return len(self._steps)

    @property
    def seconds_per_record(self) -> float:
        """Mean seconds that a record has taken."""
        return self.seconds / len(self._steps)

    def summary(self) -> dict[str, float]:
        """Return the last record for a log: "lindyn/nc1", "lindyn/nc2", "lindyn/nc3", "lindyn/certificate", and
        "lindyn/balancedness", the largest ‖D‖_F/(‖W1W1ᵀ‖_F + ‖W2ᵀW2‖_F) of linear layers in a row, if there are any.
        """
        collapse, pairs = self._found[-1]
        out = {f"lindyn/{name}": getattr(collapse, name) for name in ("nc1", "nc2", "nc3", "certificate")}
        linear = [pair.relative for pair in pairs if pair.across == "linear"]
        return {**out, "lindyn/balancedness": max(linear)} if linear else out

    @property
    def dataset(self) -> xarray.Dataset:
        """All records, with dimensions step and pair: the fields of `NeuralCollapse` and of `Balancedness`."""
        import xarray as xr

        pairs = self._found[0][1]
        data: dict[str, Any] = {
            name: ("step", [getattr(found, name) for found, _ in self._found], OF_COLLAPSE[name].attributes)
            for name in _OF_FEATURES
        }
        table = np.array([[(p.size, p.relative) for p in seen] for _, seen in self._found], float)
        table = table.reshape(len(self._steps), len(pairs), 2)
        for k, name in enumerate(("imbalance", "balancedness")):
            data[name] = (("step", "pair"), table[..., k], OF_COLLAPSE[name].attributes)
        names = [f"{p.first} → {p.second}" for p in pairs]
        across = ("pair", [p.across for p in pairs], OF_COLLAPSE["across"].attributes)
        return xr.Dataset(data, {"step": self._steps, "pair": np.array(names, "U"), "across": across})


def _pairs(model: nn.Module) -> list[Balancedness]:
    """Balancedness of a model's consecutive layers; none where no `nn.Sequential` says which they are."""
    try:
        return balancedness(model)
    except checks.InvalidArgument as error:
        if error.name != "model":
            raise
        return []
