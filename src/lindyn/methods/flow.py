"""Gradient flow by an adaptive solver, of the layers of a network or of a dynamics of the matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from lindyn.dynamics import Dynamics
from lindyn.methods.engine import Engine, Snapshot, StoppedError, TimedEngine, View
from lindyn.methods.method import MatrixView, Method, Problem
from lindyn.networks.network import Network
from lindyn.support import checks
from lindyn.support.memory import require_memory
from lindyn.support.programs import on_device, run_compiled
from lindyn.support.provenance import Provenance

_SOLVERS = {"dopri8": "Dopri8", "tsit5": "Tsit5", "kvaerno5": "Kvaerno5"}  # names in diffrax


@dataclass(frozen=True, kw_only=True, eq=False)
class Flow(Method):
    """Gradient flow by an adaptive solver of diffrax, on the network's layers or on the matrix dynamics.

    Args:
        solver: "dopri8" (order 8), "tsit5" (order 5), or "kvaerno5" (implicit, order 5, for stiff problems: its
            Newton steps form a Jacobian of order d_out·d_in, so it is for small matrices).
        rtol: relative tolerance of a step; 1e-10 in float64 and 1e-5 in float32 if left out.
        atol: absolute tolerance; rtol·min(τ, ‖A*‖)/10 if left out, so that modes of size τ are resolved.
        weight_decay: μ ≥ 0 on all layers of a network (a dynamics of the matrix carries its own).
        max_steps: solver steps allowed between two saved times.

    References:
        theory (1.1), (2.1); Kidger (2021) for diffrax.

    Examples:
        >>> Flow(rtol=1e-6).solver
        'dopri8'
    """

    solver: Literal["dopri8", "tsit5", "kvaerno5"] = "dopri8"
    rtol: float | None = None
    atol: float | None = None
    weight_decay: float = 0.0
    max_steps: int = 100_000
    name: ClassVar[str] = "flow"

    def __post_init__(self) -> None:
        checks.choice("solver", self.solver, ("dopri8", "tsit5", "kvaerno5"))
        for name in ("rtol", "atol"):
            if getattr(self, name) is not None:
                checks.number(name, getattr(self, name), above=0)
        checks.number("weight_decay", self.weight_decay, at_least=0)
        checks.integer("max_steps", self.max_steps, at_least=1)

    def prepare(self, problem: Problem) -> Engine:
        """Integrate the layers of a network (1.1), or the matrix under its own velocity."""
        times = problem.record_times(self)
        if problem.dynamics is not None:
            motion = self._motion_of_matrix(problem, problem.dynamics)
        else:
            motion = self._motion_of_layers(problem, problem.network_for(self))
        size = sum(x.size for x in jax.tree.leaves(motion.state))
        if self.solver == "kvaerno5":
            needed = 4.0 * size**2 * problem.dtype.itemsize
            require_memory("solver", size, needed, "the Jacobian of kvaerno5 (state size)")
        tolerances = self._tolerances(problem)
        info = problem.info(
            f"{self.name} by {self.solver}",
            f": adaptive integration of {motion.what}, rtol {tolerances.rtol:g}, atol {tolerances.atol:.3g}",
            size * problem.dtype.itemsize,
            rtol=tolerances.rtol,
            atol=tolerances.atol,
            weight_decay=motion.decay,
            sources=("kidger2021on",),
        )
        return Integration(motion, tolerances, times, info)

    def _motion_of_layers(self, problem: Problem, network: Network) -> Motion:
        layers, chain = problem.start_layers(network), problem.chain_of(network)
        arguments = problem.device_task, chain, jnp.asarray(self.weight_decay, problem.dtype)
        view = problem.layers_view(self.weight_decay)
        return Motion(
            _velocity_of_layers,
            layers,
            arguments,
            lambda state: _show_layers(chain, state),
            view,
            "the layers, exactly (1.1)",
            self.weight_decay,
            network.depth,
        )

    def _motion_of_matrix(self, problem: Problem, dynamics: Dynamics) -> Motion:
        if self.weight_decay:
            raise checks.InvalidArgument(
                "weight_decay",
                "be given to the dynamics, not to the flow",
                f"Flow has {self.weight_decay:g}",
                f"write {type(dynamics).__name__}(…, weight_decay={self.weight_decay:g})",
            )
        moved = on_device(dynamics, problem.dtype)
        return Motion(
            _velocity_of_matrix,
            problem.start_matrix(dynamics),
            (problem.device_task, moved),
            Snapshot,
            MatrixView(moved),
            f"the matrix under {dynamics.title}",
            dynamics.weight_decay,
            None,
        )

    def _tolerances(self, problem: Problem) -> Tolerances:
        scale, tau = problem.task.scale(), float(np.nan_to_num(problem.system.threshold))  # no threshold: as none
        rtol = self.rtol or (1e-10 if problem.dtype == np.float64 else 1e-5)
        atol = self.atol or 0.1 * rtol * (min(tau, scale) if tau > 0 and scale > 0 else max(tau, scale, 1.0))
        return Tolerances(self.solver, rtol, max(atol, float(np.finfo(problem.dtype).tiny)), self.max_steps)


@dataclass(frozen=True)
class Tolerances:
    """Settings of the adaptive solver."""

    solver: str
    rtol: float
    atol: float
    max_steps: int


@dataclass(frozen=True, eq=False)
class Motion:
    """What is integrated: the velocity field(time, state, arguments) of a state, and how it shows."""

    field: Callable[[Any, Any, Any], Any]
    state: Any
    arguments: Any
    show: Callable[[Any], Snapshot]
    view: View
    what: str
    decay: float
    depth: int | None


def _velocity_of_layers(time: Any, layers: Any, arguments: Any) -> Any:
    """Ẇ_l = −∂C/∂W_l − μW_l (1.1)."""
    del time
    task, chain, decay = arguments
    gradients = chain.gradients(layers, task.gradient(chain.outputs(layers)))
    return tuple(-g - decay * w for g, w in zip(gradients, layers, strict=True))


def _velocity_of_matrix(time: Any, matrix: Any, arguments: Any) -> Any:
    task, dynamics = arguments
    return dynamics.velocity(matrix, task.gradient(matrix), time)


def _outputs(chain: Any, layers: Any) -> Any:
    return chain.outputs(layers)


def _show_layers(chain: Any, layers: Any) -> Snapshot:
    return Snapshot(run_compiled(_outputs, chain, layers), layers)


def _integrate(
    field: Any, state: Any, arguments: Any, t0: Any, t1: Any, rtol: Any, atol: Any, solver: str, max_steps: int
) -> tuple[Any, Any]:
    import diffrax  # a quarter of a second, for nothing where another method runs

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        getattr(diffrax, _SOLVERS[solver])(),
        t0,
        t1,
        None,
        state,
        arguments,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        saveat=diffrax.SaveAt(t1=True),
        max_steps=max_steps,
        throw=False,
    )
    end = jax.tree.map(lambda x: x[0], solution.ys)
    return end, solution.result == diffrax.RESULTS.successful


class Integration(TimedEngine):
    """Integrates from record to record."""

    def __init__(self, motion: Motion, tolerances: Tolerances, times: np.ndarray, info: Provenance):
        super().__init__(times, info, motion.view)
        self.depth = motion.depth
        self._motion, self._state, self._now = motion, motion.state, 0.0
        self._tolerances, self._dtype = tolerances, np.dtype(info.dtype)

    def begin(self) -> Snapshot:
        """Return the present state, at first the start."""
        return self._motion.show(self._state)

    def advance(self, k: int) -> Snapshot:
        """Integrate from the present to record k."""
        end, t = float(self.times[k]), self._tolerances
        t0, t1, rtol, atol = (jnp.asarray(x, self._dtype) for x in (self._now, end, t.rtol, t.atol))
        motion = self._motion
        state, fine = run_compiled(
            _integrate, motion.field, self._state, motion.arguments, t0, t1, rtol, atol, t.solver, t.max_steps
        )
        if not bool(fine):
            raise StoppedError(
                f"the {t.solver} solver needs more than {t.max_steps:,} steps, or "
                f"loses accuracy, between time {self._now:.6g} and {end:.6g}; raise max_steps, loosen rtol, or use "
                "solver='kvaerno5' for a stiff problem"
            )
        self._state, self._now = state, end
        return self.begin()
