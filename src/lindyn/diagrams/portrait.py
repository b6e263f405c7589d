"""The portrait: training over richness γ and learning rate η, of networks A = γ⁻¹W_L ⋯ W_1 with orthogonal layers.

From this start every mode of the target trains by itself, in a network of one input and one output with two hidden
units (9.1, 9.2), so that a cell costs microseconds at any width and depth, and a portrait of thousands a second. A
cell makes all of its steps: above the stability bound the cost may rise, and come back (catapult).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.optimize import brentq

from lindyn.diagrams.grid import Axis, Found, GridSettings
from lindyn.methods.layer_updates import LayerUpdate, layer_gradients, product, turned
from lindyn.networks.deep_linear import DeepLinear
from lindyn.solutions.orthogonal_modes import orthogonal_kernel, orthogonal_mode_curve, orthogonal_mode_time
from lindyn.solutions.step_sizes import unstable_above
from lindyn.support import checks
from lindyn.support.labels import OF_PORTRAITS, Label
from lindyn.support.precision import working_precision

if TYPE_CHECKING:
    import xarray

_BLOW_UP = 1e8  # a cost this many times that of the start has diverged, as in a simulated run
_STEPS_OF_A_UNIT = 400_000_000  # of one layer of one mode of one cell: some seconds
_PLAIN = LayerUpdate()


@dataclass(frozen=True, kw_only=True)
class PortraitSettings(GridSettings):
    """Settings of a portrait: training over richness γ and learning rate η; equal settings give equal data.

        A = γ⁻¹ W_L ⋯ W_1,    W_l ← W_l − η ∂C/∂W_l,    C = ½‖A − T‖_F²,

    from orthogonal layers with A(0) = 0, the network `DeepLinear.orthogonal(output_scale=1/γ)` of any width. Small γ is
    lazy, large γ rich; at two layers the threshold is τ = 1/γ.

    Args:
        richness: increasing γ > 0.
        learning_rates: increasing η > 0, of the layers W_l as parametrised.
        depth: L ≥ 2.
        singular_values: those of the target T, positive; nothing else of it matters.
        steps: number of steps T of every cell.
        goal: a cell is trained where its last cost is below this share of the first.
        sources: "descend" (exact gradient descent), "predict" (the flow of (9.11) to the time η·T, below the
            stability bound), or both.

    Raises:
        InvalidArgument: an axis that is not increasing, or another setting that cannot be used.

    References:
        works (9.2), (9.5), (9.11).

    Examples:
        >>> from lindyn.diagrams import PortraitSettings, phase_diagram
        >>> settings = PortraitSettings(richness=[0.01, 1.0, 100.0], learning_rates=[1e-4, 1e-2, 1.0], depth=3)
        >>> phase_diagram(settings)["status"].values[0, 0].tolist()  # 1 trained, 2 diverged, 3 out of steps
        [[1, 3, 3], [2, 1, 3], [2, 2, 1]]
    """

    kind: ClassVar[str] = "portrait"
    quantities: ClassVar[Mapping[str, Label]] = OF_PORTRAITS
    may_be_nan: ClassVar[tuple[str, ...]] = ("steps_to_goal",)

    richness: tuple[float, ...]
    learning_rates: tuple[float, ...]
    depth: int = 2
    singular_values: tuple[float, ...] = (1.0,)
    steps: int = 1000
    goal: float = 0.1
    sources: tuple[str, ...] = ("descend",)
    seeds: tuple[int, ...] = field(default=(0,), init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("richness", "learning_rates", "singular_values"):
            values = checks.array(name, getattr(self, name), 1, dtype=np.float64)
            if values.min() <= 0:
                raise checks.InvalidArgument(name, "be positive", f"the smallest is {values.min():g}")
            if name == "singular_values":
                values = np.sort(values)[::-1]
            elif np.any(np.diff(values) <= 0):
                raise checks.InvalidArgument(name, "be increasing", f"it is {values.tolist()!r:.60}")
            object.__setattr__(self, name, tuple(values.tolist()))
        object.__setattr__(self, "depth", checks.integer("depth", self.depth, at_least=2))
        object.__setattr__(self, "steps", checks.integer("steps", self.steps, at_least=1))
        if not 0 < checks.number("goal", self.goal) < 1:
            raise checks.InvalidArgument("goal", "lie between 0 and 1", f"it is {self.goal:g}")
        for source in checks.listed("sources", self.sources):
            checks.choice("sources", source, tuple(_SOURCES))
        object.__setattr__(self, "sources", tuple(self.sources))
        if not self.sources or len(set(self.sources)) < len(self.sources):
            must = "hold at least one entry, each once"
            raise checks.InvalidArgument("sources", must, f"it is {list(self.sources)}")

    @property
    def rows(self) -> Axis:
        """The learning rates."""
        return Axis("learning_rate", self.learning_rates)

    @property
    def columns(self) -> Axis:
        """The richness."""
        return Axis("richness", self.richness)

    @property
    def layer_steps(self) -> int:
        """Steps of one layer of one mode that a row takes, of which some hundred million take a second."""
        return len(self.richness) * len(self.singular_values) * self.depth * self.steps

    @property
    def rows_of_a_unit(self) -> int:
        """As many rows as take some seconds."""
        return min(len(self.learning_rates), max(1, _STEPS_OF_A_UNIT // self.layer_steps))

    @property
    def lane_bytes(self) -> int:
        """Two hidden units a layer, for each mode."""
        return 8 * 4 * self.depth * len(self.singular_values)

    def clock(self, richness: Any) -> np.ndarray:
        """Return γ^{−2/L}, the flow time that passes in a step of learning rate 1."""
        return np.asarray(richness, dtype=np.float64) ** (-2 / self.depth)

    def stability_bound(self, richness: Any) -> np.ndarray:
        """Return η above which descent is linearly unstable, 2/λ, λ = γ⁻²K(γs₁) once the largest mode is learned.

        The kernel of the start, L/γ², is smaller. γ ≪ 1/s₁: 2γ²/L. γ ≫ 1/s₁: 2γ^{2/L}/(L s₁^{2−2/L}).

        References:
            works (9.3), (9.4), (9.11).
        """
        gamma = np.asarray(richness, dtype=np.float64)
        kernel = orthogonal_kernel(gamma * self.singular_values[0], 1.0, self.depth)
        return np.asarray(unstable_above(kernel / gamma**2))

    def flow_time(self, richness: float) -> float:
        """Return η·step at which the flow reaches the goal; divided by the steps it is the smallest useful rate."""
        tau, modes = 1 / richness, self.singular_values
        levels = 1 - np.sqrt(self.goal)
        times = [float(orthogonal_mode_time(s, tau, levels * s, self.depth)) for s in modes]
        low, high = min(times), max(times)
        if low < high:  # where all modes have this level the goal is reached, where none has it is not
            low = float(brentq(lambda t: self._share(tau, t) - self.goal, low, high, rtol=1e-10))
        return low / float(self.clock(richness))

    def _share(self, tau: float, time: Any) -> np.ndarray:
        """The cost of the flow over that of the start."""
        left = [(s - orthogonal_mode_curve(s, tau, time, self.depth)) ** 2 for s in self.singular_values]
        return np.asarray(np.sum(left, axis=0) / np.sum(np.square(self.singular_values)))

    def described(self, dataset: xarray.Dataset) -> xarray.Dataset:
        """Add the stability bound and the time of the flow for every richness; depth, steps and goal."""
        bound, needed = self.stability_bound(self.richness), [self.flow_time(g) for g in self.richness]
        told = {"depth": self.depth, "steps": self.steps, "goal": self.goal}
        per_target = {"units": "1/target"}
        return dataset.assign_attrs(told | {"singular_values": list(self.singular_values)}).assign_coords(
            stability_bound=("richness", bound, {"long_name": "stability bound of the learning rate", **per_target}),
            flow_time=("richness", needed, {"long_name": "η·step at which the flow reaches the goal", **per_target}),
        )


def compute_portrait(settings: PortraitSettings, richness: Any, learning_rates: Any) -> Found:
    """Compute cells of a portrait by all sources of its settings, whatever their grid.

    Args:
        settings: depth, target, steps and sources.
        richness: γ of each cell.
        learning_rates: η of each cell.

    Returns:
        For each source the quantities of every cell, and "reason": why a cell diverged (its numbers are NaN), or "".

    Raises:
        InvalidArgument: axes of different lengths, or not positive.

    References:
        works (9.2), (9.5), (9.11).

    Examples:
        >>> settings = PortraitSettings(richness=[1.0], learning_rates=[1.0], sources=["predict"])
        >>> compute_portrait(settings, [0.1, 0.1], [0.005, 0.02])["predict"]["reason"].tolist()
        ['', 'diverges: learning rate 0.02, stability bound 0.00995']
    """
    checks.instance("settings", settings, PortraitSettings, "PortraitSettings")
    gamma = checks.array("richness", richness, 1, dtype=np.float64)
    rate = checks.array("learning_rates", learning_rates, 1, dtype=np.float64, shape=gamma.shape)
    for name, values in (("richness", gamma), ("learning_rates", rate)):
        if values.min() <= 0:
            raise checks.InvalidArgument(name, "be positive", f"the smallest is {values.min():g}")
    return {source: _SOURCES[source](settings, gamma, rate) for source in settings.sources}


def _predicted(settings: PortraitSettings, gamma: np.ndarray, rate: np.ndarray) -> dict[str, np.ndarray]:
    bound = settings.stability_bound(gamma)
    share, kernel, needed = np.empty(gamma.size), np.empty(gamma.size), np.empty(gamma.size)
    for g in np.unique(gamma):
        here = gamma == g
        time = rate[here] * settings.steps * settings.clock(g)
        top = orthogonal_mode_curve(settings.singular_values[0], 1 / g, time, settings.depth)
        share[here] = settings._share(1 / g, time)
        kernel[here] = orthogonal_kernel(g * top, 1.0, settings.depth) / g**2
        needed[here] = settings.flow_time(g)
    steps = np.ceil(needed / rate)
    late = ~(share < settings.goal)
    found = {
        "train_error": share,
        "peak_error": np.ones(gamma.size),
        "steps_to_goal": np.where(late, np.nan, steps),
        "sharpness": kernel,
        "unfinished": late.astype(float),
    }
    return _with_reasons(found, rate > bound, "diverges", rate, bound)


def _with_reasons(
    found: dict[str, np.ndarray], lost: np.ndarray, words: Any, rate: np.ndarray, bound: np.ndarray
) -> dict[str, np.ndarray]:
    """Put the reason in the place of numbers where a cell diverges."""
    words = np.broadcast_to(np.asarray(words, dtype=object), lost.shape)
    told = zip(words, rate, bound, strict=True)
    why = np.array([f"{w}: learning rate {r:.3g}, stability bound {b:.3g}" for w, r, b in told], dtype=object)
    numbers = {name: np.where(lost, np.nan, values) for name, values in found.items()}
    return {**numbers, "reason": np.where(lost, why, "")}


class _Descent(NamedTuple):
    """Layers of all modes of one cell, and what is remembered of its way."""

    carry: Any
    peak: Any
    above: Any
    diverged: Any


@partial(jax.jit, static_argnames="depth")
def _descend(singular_values: Any, rate: Any, unit: Any, steps: Any, goal: Any, depth: int) -> tuple[Any, ...]:
    """Make `steps` steps of every cell from layers of size `unit`; return share, peak, last step above, kernel, end."""
    start = turned(tuple(jnp.asarray(w) for w in DeepLinear.orthogonal(1, depth=depth).layers))
    target = singular_values[:, None, None]

    def one(rate: Any, unit: Any) -> tuple[Any, ...]:
        def share_of(layers: Any) -> tuple[Any, Any]:
            left = jax.vmap(product)(layers) - target
            return left, jnp.sum(left**2) / jnp.sum(target**2)

        def step(done: Any, now: _Descent) -> _Descent:
            left, _ = share_of(now.carry.layers)
            carry = jax.vmap(_PLAIN.apply, (0, 0, None))(now.carry, left, rate)
            _, share = share_of(carry.layers)
            above = jnp.where(share < goal, now.above, done + 1)
            breaks = (now.diverged == 0) & ~(share < _BLOW_UP)
            return _Descent(carry, jnp.fmax(now.peak, share), above, jnp.where(breaks, done + 1, now.diverged))

        layers = tuple(jnp.broadcast_to(unit * w, (target.shape[0], *w.shape)) for w in start)
        none = jnp.zeros((), jnp.int32)
        end = lax.fori_loop(0, steps, step, _Descent(jax.vmap(_PLAIN.begin)(layers), jnp.ones_like(rate), none, none))
        slopes = jax.vmap(lambda layers: layer_gradients(layers, jnp.ones((1, 1))))(end.carry.layers)
        kernel = sum(jnp.sum(g**2, axis=(1, 2)) for g in slopes)
        return share_of(end.carry.layers)[1], end.peak, end.above, jnp.max(kernel), end.diverged

    return jax.vmap(one)(rate, unit)


def _descended(settings: PortraitSettings, gamma: np.ndarray, rate: np.ndarray) -> dict[str, np.ndarray]:
    clock, bound = settings.clock(gamma), settings.stability_bound(gamma)
    with working_precision(np.float64):
        ends = _descend(
            jnp.asarray(settings.singular_values),
            jnp.asarray(rate * clock),
            jnp.asarray(gamma ** (-1 / settings.depth)),
            jnp.asarray(settings.steps, jnp.int32),
            jnp.asarray(settings.goal),
            settings.depth,
        )
        share, peak, above, kernel, diverged = (np.asarray(values) for values in ends)
    late = ~(share < settings.goal)
    found = {
        "train_error": share,
        "peak_error": peak,
        "steps_to_goal": np.where(late, np.nan, above + 1.0),
        "sharpness": kernel * clock,
        "unfinished": late.astype(float),
    }
    words = [f"diverged at step {step}" for step in diverged]
    return _with_reasons(found, diverged > 0, words, rate, bound)


_SOURCES = {"predict": _predicted, "descend": _descended}
