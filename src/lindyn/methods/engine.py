"""Engines: the compiled inner loops behind the methods, all with one interface.

An engine holds its state on the device, advances it to the k-th record, and shows it. What to record, progress,
divergence and interruption are the run's business (`lindyn.simulate`).
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lindyn.support.provenance import Provenance

Matrix = Float[Array, "d_out d_in"]
# the tangent kernel as G ↦ Σ out·G·in, one pair (out, in) for each term; None is the identity
KernelTerms = tuple[tuple[Any, Any], ...]


class StoppedError(RuntimeError):
    """The engine cannot go on; the message says why, as the end of a sentence."""


class Snapshot(NamedTuple):
    """The state on the device: the matrix, and the layers W_1, …, W_L where the motion has layers."""

    matrix: Matrix
    layers: tuple[Float[Array, "_ _"], ...] | None = None


class View(eqx.Module):
    """What is known of a motion at a state, inside JAX: its threshold at that time, and its tangent kernel."""

    @abc.abstractmethod
    def threshold_at(self, time: Any) -> Any:
        """Return τ(t)."""

    @abc.abstractmethod
    def kernel_terms(self, snapshot: Snapshot, time: Any) -> KernelTerms | None:
        """Return the tangent kernel, or None where the motion does not say."""


class LayersView(View):
    """The view of a network: τ(t) = τe^{−2μt} under weight decay μ (2.8), the kernel from the layers."""

    threshold: Any
    decay: Any

    def threshold_at(self, time: Any) -> Any:
        """Return τe^{−2μt}."""
        return self.threshold * jnp.exp(-2 * self.decay * time)

    def kernel_terms(self, snapshot: Snapshot, time: Any) -> KernelTerms | None:
        """Return the pairs (S_lS_lᵀ, P_lᵀP_l) of what stands above and below each layer."""
        del time
        assert snapshot.layers is not None
        below: list[Any] = [None]
        above: list[Any] = [None]
        for layer in snapshot.layers[:-1]:
            below.append(layer if below[-1] is None else layer @ below[-1])
        for layer in reversed(snapshot.layers[1:]):
            above.append(layer if above[-1] is None else above[-1] @ layer)
        return tuple(
            (None if s is None else s @ s.T, None if p is None else p.T @ p)
            for s, p in zip(reversed(above), below, strict=True)
        )


class UnknownView(View):
    """The view of layers of which A is not the product: no threshold, and no kernel of small matrices."""

    def threshold_at(self, time: Any) -> Any:
        """Return NaN."""
        return jnp.full_like(time, jnp.nan)

    def kernel_terms(self, snapshot: Snapshot, time: Any) -> KernelTerms | None:
        """Return None."""
        del snapshot, time
        return None


class Engine(abc.ABC):
    """Advances a motion through the records given by `steps` and `times`.

    Attributes:
        times: flow time of each record.
        steps: step of each record, NaN where the motion has no steps.
        info: what is computed and how.
        view: threshold and kernel of the motion.
        depth: number of layers that its snapshots show, None for a matrix alone.
    """

    times: np.ndarray
    steps: np.ndarray
    info: Provenance
    view: View
    depth: int | None = None

    @abc.abstractmethod
    def begin(self) -> Snapshot:
        """Return the state at time 0, to measure drifts from."""

    @abc.abstractmethod
    def advance(self, k: int) -> Snapshot:
        """Go on to record k (from record k − 1, or to 0 at the start) and return the state there.

        Raises:
            StoppedError: the motion cannot be followed to that record.
        """

    def first_bad_step(self, is_bad: Callable[[Matrix], bool]) -> int | None:
        """Return the step at which the last advance went bad, or None for a motion without steps."""
        del is_bad
        return None


class TimedEngine(Engine):
    """An engine of a motion in time."""

    def __init__(self, times: np.ndarray, info: Provenance, view: View):
        self.times, self.steps = times, np.full(len(times), np.nan)
        self.info, self.view = info, view


class SteppedEngine(Engine):
    """An engine that makes steps of one size, t = rate·step; a subclass says how in `run`."""

    def __init__(self, carry: Any, steps: np.ndarray, rate: float, info: Provenance, view: View):
        self.steps, self.times = steps.astype(float), steps * rate
        self.info, self.view = info, view
        self._carry = self._before = carry

    @abc.abstractmethod
    def run(self, carry: Any, count: int) -> tuple[Any, Snapshot]:
        """Return the carry after `count` more steps, its field `step` counting them all, and the state there."""

    def begin(self) -> Snapshot:
        """Return the start: no step at all, by the same compiled code."""
        return self.run(self._carry, 0)[1]

    def advance(self, k: int) -> Snapshot:
        """Make the steps from record k − 1 to record k."""
        self._before = self._carry
        self._carry, snapshot = self.run(self._carry, int(self.steps[k] - (self.steps[k - 1] if k else 0)))
        return snapshot

    def first_bad_step(self, is_bad: Callable[[Matrix], bool]) -> int | None:
        """Repeat the last advance step by step to find where it went bad."""
        carry = self._before
        for _ in range(int(self._carry.step) - int(self._before.step)):
            carry, snapshot = self.run(carry, 1)
            if is_bad(snapshot.matrix):
                break
        return int(carry.step)
