"""The base class of methods, and the problem that a method is handed.

A method is a frozen dataclass of settings that prepares its own engine. All it needs to know stands in the problem,
and what it cannot do it refuses there, by name.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from lindyn.dynamics import Dynamics, start_of
from lindyn.methods.engine import Engine, KernelTerms, LayersView, Snapshot, UnknownView, View
from lindyn.methods.layer_updates import Product
from lindyn.methods.recorded_steps import save_steps
from lindyn.networks.network import Network
from lindyn.solutions.solution import Reason, Solution
from lindyn.support import checks
from lindyn.support.precision import result_dtype
from lindyn.support.programs import on_device
from lindyn.support.provenance import Provenance
from lindyn.support.values import Value
from lindyn.tasks.task import Task

System = Network | Dynamics


class Method(Value, abc.ABC):
    """How a motion is computed: settings, and the engine made of them.

    A subclass is a frozen dataclass (with `eq=False`, so that arrays among its settings compare) that defines
    `prepare`. See docs: "Extending", for a method of one's own.

    References:
        theory (1.1), (1.2).
    """

    sources: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def prepare(self, problem: Problem) -> Engine:
        """Return an engine at the start of the problem, ready to go to its records.

        Called inside the problem's precision.

        Raises:
            InvalidArgument: the problem is none that this method can solve; the message names the remedy.
        """


@dataclass(frozen=True, eq=False)
class Problem:
    """A system on a task, with the records that are asked for, in one precision.

    Attributes:
        system: the network or the dynamics of the matrix.
        task: the task.
        times: flow times to record, or None.
        save_every: steps to record, for a motion with steps.
        chosen: why the method was chosen, as the start of a sentence.
    """

    system: System
    task: Task
    times: np.ndarray | None = None
    save_every: int | Sequence[int] = 1
    chosen: str = "as asked"

    @cached_property
    def dtype(self) -> np.dtype:
        """Working precision: float32 where the task and the start are, else float64."""
        own = self.system.dtype
        return result_dtype(*(np.empty(0, d) for d in (self.task.dtype, own) if d is not None))

    @cached_property
    def closed_form(self) -> Solution | Reason:
        """What the system answers when asked for its exact motion on the task."""
        return self.system.closed_form(self.task)

    @cached_property
    def device_task(self) -> Task:
        """The task as JAX arrays of the working precision."""
        return on_device(self.task, self.dtype)

    @property
    def network(self) -> Network | None:
        """The system, if it has layers."""
        return self.system if isinstance(self.system, Network) else None

    @property
    def dynamics(self) -> Dynamics | None:
        """The system, if it is a dynamics of the matrix."""
        return self.system if isinstance(self.system, Dynamics) else None

    def network_for(self, method: Method) -> Network:
        """Return the network, or refuse a dynamics of the matrix, which has no layers to update."""
        if self.network is None:
            raise checks.InvalidArgument(
                "method",
                "be GradientDescent, Flow or ClosedForm for a dynamics of the matrix",
                f"it is {type(method).__name__}, an update of layers",
                "simulate a network, such as TwoLayer",
            )
        return self.network

    def product_for(self, method: Method) -> Network:
        """Return the network if A is the product of its layers, or refuse it."""
        network = self.network_for(method)
        if network.chain() is not None:
            raise checks.InvalidArgument(
                "method",
                f"be Flow, GeometricFlow or NearlyLinear for {type(network).__name__}",
                f"it is {type(method).__name__}, which moves products of layers",
            )
        return network

    def chain_of(self, network: Network) -> Any:
        """Return how the layers of a network act together, on the device."""
        chain = network.chain()
        return Product() if chain is None else on_device(chain, self.dtype)

    def start_layers(self, network: Network) -> tuple[Any, ...]:
        """Return the layers of a network on the device, each in its own orientation."""
        return tuple(jnp.asarray(layer.astype(self.dtype)) for layer in network.layers)

    def start_matrix(self, dynamics: Dynamics) -> Any:
        """Return A(0) of a dynamics on the device."""
        return jnp.asarray(start_of(dynamics, self.task).astype(self.dtype))

    def layers_view(self, decay: float = 0.0) -> View:
        """Return the view of the network, whose threshold falls as e^{−2·decay·t}."""
        if self.network is not None and self.network.chain() is not None:
            return UnknownView()
        return LayersView(jnp.asarray(self.system.threshold, self.dtype), jnp.asarray(decay, self.dtype))

    def record_times(self, method: Method) -> np.ndarray:
        """Return the times to record, which a motion in time needs."""
        if self.times is None:
            raise checks.InvalidArgument(
                "times", f"be given for {type(method).__name__}", "it is not", "pass times=[0, …]"
            )
        return self.times

    def record_steps(self, method: Method, steps: int) -> np.ndarray:
        """Return the steps to record, for a motion that has steps."""
        if self.times is not None:
            raise checks.InvalidArgument(
                "times",
                f"be left out for {type(method).__name__}, which makes steps",
                f"it holds {self.times.size} times",
                "use save_every, or a Flow",
            )
        return save_steps(steps, self.save_every)

    def info(self, method: str, why: str, state_bytes: int, *, sources: Sequence[str] = (), **more: Any) -> Provenance:
        """Return the record of what is computed: the method's name, why it is exact or not, and its numbers."""
        return Provenance(
            dynamics=self.system.title,
            method=method,
            why=self.chosen + why,
            law=self.system.law,
            task=type(self.task).__name__,
            shape=tuple(self.task.shape),
            threshold=float(self.system.threshold),
            dtype=self.dtype.name,
            state_bytes=state_bytes,
            sources=("tu2024mixed", *sources),
            jax_version=jax.__version__,
            **more,
        )


class MatrixView(View):
    """The view of a dynamics of the matrix: its own threshold, and its kernel where it states C1 and C2."""

    dynamics: Dynamics

    def threshold_at(self, time: Any) -> Any:
        """Return the dynamics' τ(t)."""
        return self.dynamics.threshold_at(time)

    def kernel_terms(self, snapshot: Snapshot, time: Any) -> KernelTerms | None:
        """Return G ↦ C2 G + G C1, or None."""
        grams = self.dynamics.known_grams(snapshot.matrix, self.threshold_at(time))
        return None if grams is None else ((grams[1], None), (None, grams[0]))
