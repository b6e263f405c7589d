"""Two layers of ReLU neurons that read pairs of patches, of which the first layer is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lindyn.networks.network import Network
from lindyn.solutions.solution import Reason
from lindyn.support import checks
from lindyn.support.randomness import Seed

if TYPE_CHECKING:
    from lindyn.tasks.signal_noise import SignalNoise


@dataclass(frozen=True, eq=False, repr=False)
class PatchReLU(Network):
    """Neurons of two classes with a fixed second layer of ±1/m: the network of `lindyn.tasks.SignalNoise`.

    Its one layer W holds the neurons in the task's coordinates, and its "matrix" is that layer. So every method moves
    it: `GradientDescent` by W ← W − η∇C(W), `Flow` by Ẇ = −∇C(W), where it may stop at a kink of a unit and say so.

    Attributes:
        dim: the dimension in which the neurons were drawn, to which their lengths belong; NaN for given weights.

    References:
        works (14.1).

    Examples:
        >>> import lindyn as ld
        >>> task = ld.tasks.SignalNoise(samples=40, dim=10**9, snr=0.5, flip=0.2, key=0)
        >>> net = PatchReLU.gaussian(task, key=1)
        >>> descent = ld.GradientDescent(learning_rate=0.1 * task.pace, steps=5)
        >>> run = ld.simulate(net, task, descent, observables=["accuracy_clean", "accuracy_flipped"])
        >>> float(run["accuracy_clean"][-1]), float(run["accuracy_flipped"][-1])  # n·SNR²(1 − 2p) = 6
        (1.0, 0.0)
    """

    dim: float = math.nan

    @classmethod
    def gaussian(cls, task: SignalNoise, deviation: float | None = None, *, key: Seed = 0) -> Self:
        """Draw iid N(0, s₀²) weights in the task's dimension, exactly in law.

        Args:
            task: whose coordinates hold the neurons.
            deviation: s₀ > 0; 0.01/√d if left out.
            key: seed, or a numpy Generator.
        """
        return replace(cls._of(task.start(deviation, key=key), "iid N(0, s₀²) neurons"), dim=float(task.dim))

    @classmethod
    def from_weights(cls, weights: Any) -> Self:
        """Take neurons in a task's coordinates, shape (2m, coordinates)."""
        return cls._of(checks.array("weights", weights, 2, dtype=np.float64), "given neurons")

    @classmethod
    def _of(cls, layer: np.ndarray, law: str) -> Self:
        return cls.holding((layer,), (), float("nan"), law)

    def unfit(self, task: Any) -> str | None:
        """Return why a task of another dimension is none that these neurons were drawn for."""
        theirs = float(getattr(task, "dim", math.nan))
        if math.isnan(self.dim) or math.isnan(theirs) or self.dim == theirs:
            return None
        return f"its neurons were drawn in {self.dim:g} dimensions, and the patches have {theirs:g}"

    def closed_form(self, task: Any) -> Reason:
        """Return the reason why there is none."""
        del task
        return Reason("no closed form is known for ReLU neurons", "use Flow() or GradientDescent()")

    @property
    def title(self) -> str:
        """What moves, for print-outs and legends."""
        return f"ReLU network of {self.layers[0].shape[0]} neurons"

    @property
    def held(self) -> str:
        """What is held in the place of the network, for print-outs."""
        return f"{self.layers[0].shape[1]} coordinates of each neuron (14.1)"

    def __repr__(self) -> str:
        """One line: neurons, coordinates, law."""
        neurons, coordinates = self.layers[0].shape
        return f"PatchReLU({neurons} neurons in {coordinates} coordinates, law={self.law!r})"
