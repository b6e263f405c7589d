"""Bantzis, Simon, Jacot (2025): deep ReLU networks leave the saddle at zero with deeper layers of rank one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

import lindyn as ld
from lindyn.methods import GeometricFlow
from lindyn.networks import DeepReLU
from lindyn.papers.claims import Paper, claim
from lindyn.papers.handwritten import digits
from lindyn.prediction import EscapeDirection, escape_direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KIND = "a result of this kind"
_EACH = 10  # images of each digit
_LINEAR = (2, 3, 4, 6)  # depths


class Escape(NamedTuple):
    """A flow from a small start, up to and beyond its escape.

    Attributes:
        steps: geometric steps of the records.
        cost: over that of the start.
        values: singular values of each layer, shape (records, layers, modes).
        record: the first beyond the escape; None where it did not escape.
        time: flow time of the escape, interpolated; NaN where it did not.
        nonlinearity: of each hidden layer at the escape.
    """

    steps: np.ndarray
    cost: np.ndarray
    values: np.ndarray
    record: int | None
    time: float
    nonlinearity: np.ndarray

    @property
    def ratios(self) -> np.ndarray:
        """s₁/s₂ of each layer at the escape."""
        at = self.values[self.record] if self.record is not None else np.full(self.values.shape[1:], np.nan)
        ratios: np.ndarray = at[:, 0] / at[:, 1]
        return ratios


@cache
def from_small(depth: int, scale: float, left: float, steps: int) -> Escape:
    """Follow a ReLU network of width 32 on digits; it has escaped where this share of the cost is left."""
    shown = digits(_EACH, norm=1.0)
    root = np.sqrt(len(shown.labels))
    inputs, outputs = shown.images.T / root, (shown.one_hot - shown.one_hot.mean(axis=0)).T / root
    net = DeepReLU.gaussian(inputs, 10, widths=(32,) * (depth - 1), scale=scale, key=0)
    layers = [f"w{number}" for number in range(1, depth + 1)]
    method, task = GeometricFlow(steps=steps), ld.SpikedMatrix(target=outputs)
    run = ld.simulate(net, task, method, save_every=2, observables=["cost", "layer_singular_values", *layers])
    cost = run["cost"] / run["cost"][0]
    gone = cost < left
    k = int(np.argmax(gone)) if gone.any() else None
    time, nonlinearity = float("nan"), np.full(depth - 1, np.nan)
    if k is not None:
        time = float(np.interp(-left, -cost[k - 1 : k + 1], run.time[k - 1 : k + 1]))
        nonlinearity = DeepReLU.from_weights([run[name][k] for name in layers], inputs).nonlinearity
    return Escape(run.step, cost, run["layer_singular_values"], k, time, nonlinearity)


@dataclass(frozen=True)
class Bantzis2025(Paper):
    """Settings.

    Attributes:
        narrow: width at which the best direction on the circle is of rank one.
        wide: width at which it is of rank two.
        wider: width at which more starts find that one.
        starts: of the search.
        search: its steps.
        tiny: scale α of the starts of linear networks.
        depth: of the network on digits.
        scale: α of its start.
        left: share of the cost at which a network has escaped.
        steps: geometric steps on digits.
        scales: α of the runs for escape times and for s₁/s₂.
    """

    key: ClassVar[str] = "bantzis2025"
    title: ClassVar[str] = "Saddle-to-saddle dynamics in deep ReLU networks: a low-rank bias in the first saddle escape"
    citation: ClassVar[str] = "bantzis2025saddle"
    summary: ClassVar[str] = "Deep networks leave zero along directions whose deeper layers have nearly rank one."
    seconds: ClassVar[float] = 16.0
    left_out: ClassVar[str] = (
        "the proof that the optimal direction has s₁/s₂ ≥ ℓ^¼, a floor which no run comes near: in training s₁/s₂ "
        "measures the scale of the start; the second escape; MNIST and CIFAR-10 at width 1000 (here digits, width 32)"
    )

    narrow: int = 3
    wide: int = 8
    wider: int = 40
    starts: int = 64
    search: int = 4000
    tiny: float = 1e-30
    depth: int = 6
    scale: float = 1e-2
    left: float = 0.95
    steps: int = 800
    scales: tuple[float, ...] = (0.03, 0.003)

    # eight points on a circle, whose gradients alternate in sign

    @cached_property
    def circle(self) -> dict[int, EscapeDirection]:
        """The best direction of three layers at each width."""
        angle = 2 * np.pi * np.arange(8) / 8
        inputs, task = np.array([np.cos(angle), np.sin(angle)]), ld.SpikedMatrix(target=[[1.0, -1.0] * 4])
        found = {}
        for width in {self.narrow, self.wide, self.wider}:
            net = DeepReLU.gaussian(inputs, 1, widths=(width, width), scale=1.0)
            found[width] = escape_direction(net, task, starts=self.starts, steps=self.search)
        return found

    @claim(
        "C3.1-narrow", "On the circle the best direction of rank one has speed √2 − 1, here at width 3",
        place="Example 1", expected=2**0.5 - 1, source="the paper", tolerance=1e-4,
    )  # fmt: skip
    def speed_where_narrow(self) -> float:
        """Largest speed over starts."""
        return self.circle[self.narrow].speed

    @claim(
        "C3.1-wide", "A first layer of rank two has speed ½, found from width 4 on, here at width 8",
        place="Example 1", expected=0.5, source="the paper", tolerance=1e-4,
    )  # fmt: skip
    def speed_where_wide(self) -> float:
        """Largest speed over starts."""
        return self.circle[self.wide].speed

    @claim(
        "C3.1-rank", "Its first layer has two equal singular values", place="Example 1",
        expected=1.0, source="derived, works (13.5)", tolerance=0.01, relative=True,
    )  # fmt: skip
    def second_value(self) -> float:
        """s₂/s₁ of layer 1."""
        values = self.circle[self.wide].singular_values[0]
        return float(values[1] / values[0])

    @claim(
        "C3.1-share", "The wider the network, the more starts find it: share at width 40 over share at width 8",
        place="Example 1", expected=1.5, source=f"{_KIND}; measured", bound="above",
    )  # fmt: skip
    def growth_of_share(self) -> float:
        """Ratio of the shares of starts within 1 % of the best."""
        return self.circle[self.wider].share / self.circle[self.wide].share

    # linear networks

    @cached_property
    def linear(self) -> list[tuple[float, float]]:
        """For each depth what the flow from a tiny start ends with: |speed/σ₁ − 1|, largest s₂/s₁ of a layer."""
        rng = np.random.default_rng(0)
        frames = [np.linalg.qr(rng.standard_normal((n, 3)))[0] for n in (4, 5)]
        target = frames[0] * [1.0, 0.5, 0.3] @ frames[1].T
        task, found = ld.SpikedMatrix(target=target), []
        for depth in _LINEAR:
            net = DeepReLU.gaussian(np.eye(5), 4, widths=(6,) * (depth - 1), scale=self.tiny, slope=1.0, key=0)
            names = [f"w{number}" for number in range(1, depth + 1)]
            run = ld.simulate(net, task, GeometricFlow(steps=1500), save_every=1500, observables=names)
            layers = [run[name][-1] / np.linalg.norm(run[name][-1]) for name in names]
            speed = float(np.sum(target * DeepReLU.from_weights(layers, np.eye(5), slope=1.0).matrix))
            values = [np.linalg.svd(layer, compute_uv=False) for layer in layers]
            exact = escape_direction(net, task).speed
            found.append((abs(speed / exact - 1), float(max(s[1] / s[0] for s in values))))
        return found

    @claim(
        "C3.2-speed", "Linear networks of 2 to 6 layers leave zero at the speed σ₁ of their gradient",
        place=_KIND, expected=1e-12, source="derived, works (13.3)", bound="below",
    )  # fmt: skip
    def error_of_speed(self) -> float:
        """Largest relative difference, flow from 10⁻³⁰ against closed form."""
        return max(speed for speed, _ in self.linear)

    @claim(
        "C3.2-rank", "All their layers have rank one then", place=_KIND,
        expected=1e-7, source="derived, works (13.3)", bound="below",
    )  # fmt: skip
    def rest_of_rank(self) -> float:
        """Largest s₂/s₁."""
        return max(rest for _, rest in self.linear)

    # ReLU networks on digits

    @property
    def deep(self) -> Escape:
        """The flow on digits at depth 6."""
        return from_small(self.depth, self.scale, self.left, self.steps)

    @claim(
        "C3.3-floor", "s₁/s₂ of layer ℓ is at least ℓ^¼: smallest quotient of the two over layers", place="Figure 1",
        expected=1.0, source="the paper, of the optimal direction", bound="above", needs="sklearn",
    )  # fmt: skip
    def quotient_of_floor(self) -> float:
        """Over all layers, at the escape."""
        return float(np.min(self.deep.ratios / np.arange(1, self.depth + 1) ** 0.25))

    @claim(
        "C3.3-deep", "Layers beyond the first are nearly of rank one: smallest s₁/s₂ of theirs", place="Figure 1",
        expected=50.0, source="derived, works (13.6)", bound="above", needs="sklearn",
    )  # fmt: skip
    def smallest_ratio(self) -> float:
        """Over layers from the second on, at the escape."""
        return float(np.min(self.deep.ratios[1:]))

    @claim(
        "C3.3-linear", "They act linearly: largest share ‖φ(Z) − Z‖²/‖Z‖² of theirs", place="Theorem 3.1",
        expected=1e-2, source="derived, works (13.6)", bound="below", needs="sklearn",
    )  # fmt: skip
    def largest_nonlinearity(self) -> float:
        """Over hidden layers from the second on, at the escape."""
        return float(np.max(self.deep.nonlinearity[1:]))

    @claim(
        "C3.3-plateau", "After the escape the cost nearly rests: its relative change in the last half of the steps",
        place="Figure 1", expected=0.02, source=f"{_KIND}; measured", bound="below", needs="sklearn",
    )  # fmt: skip
    def change_at_plateau(self) -> float:
        """From half of the geometric steps to their end."""
        cost = self.deep.cost
        return float(1 - cost[-1] / cost[len(cost) // 2])

    def _power(self, values: list[float]) -> float:
        """Slope of ln(value) against ln α between the first and the last scale."""
        return float(np.log(values[-1] / values[0]) / np.log(self.scales[-1] / self.scales[0]))

    @claim(
        "C3.3-scale", "s₁/s₂ measures the scale of the start, s₁/s₂ ∝ 1/α: power of α, four layers", place=_KIND,
        expected=-1.0, source="derived, works (13.4)", tolerance=0.05, needs="sklearn",
    )  # fmt: skip
    def power_of_ratio(self) -> float:
        """Of the median over layers beyond the first."""
        runs = [from_small(4, scale, self.left, 300) for scale in self.scales]
        return self._power([float(np.median(run.ratios[1:])) for run in runs])

    @claim(
        "C3.4-three", "Three layers escape after a time ∝ 1/α", place=_KIND,
        expected=-1.0, source="derived, works (13.2)", tolerance=0.01, relative=True, needs="sklearn",
    )  # fmt: skip
    def power_of_time_at_three(self) -> float:
        """Power of α in the escape time."""
        return self._power([from_small(3, scale, self.left, 300).time for scale in self.scales])

    @claim(
        "C3.4-four", "Four layers escape after a time ∝ 1/α²", place=_KIND,
        expected=-2.0, source="derived, works (13.2)", tolerance=0.01, relative=True, needs="sklearn",
    )  # fmt: skip
    def power_of_time_at_four(self) -> float:
        """Power of α in the escape time."""
        return self._power([from_small(4, scale, self.left, 300).time for scale in self.scales])

    def figure(self) -> Figure:
        """Draw cost and s₁/s₂ on digits, the directions on the circle, and s₁/s₂ against the scale of the start."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(12, 6.6), layout="constrained")
        (cost, layers), (circle, scales) = figure.subplots(2, 2)
        for width in sorted(self.circle):
            speeds = self.circle[width].speeds
            circle.plot(np.linspace(0, 1, len(speeds)), speeds, label=f"width {width}")
        for speed, name in ((0.5, "½"), (2**0.5 - 1, "√2 − 1")):
            circle.axhline(speed, color="0.5", linestyle=":")
            circle.annotate(name, (0.0, speed), (2, -11), textcoords="offset points")
        circle.set(xlabel="share of starts", ylabel="speed that was found", title="eight points on a circle, 3 layers")
        circle.legend(frameon=False, fontsize=8)
        if find_spec("sklearn") is None:
            for ax in (cost, layers, scales):
                ax.set(xticks=[], yticks=[])
                ax.text(0.5, 0.5, "not drawn: the digits need scikit-learn", ha="center")
        else:
            self._draw_digits(cost, layers, scales)
        return figure

    def _draw_digits(self, cost: Axes, layers: Axes, scales: Axes) -> None:
        for depth in (3, 4, 6):
            run = from_small(depth, self.scale, self.left, self.steps)
            cost.plot(run.steps, run.cost, label=f"{depth} layers, escape at t = {run.time:.2g}")
        cost.set(xlabel="geometric step", ylabel="cost over its start", title=f"digits, α = {self.scale:g}")
        number = np.arange(1, self.depth + 1)
        layers.semilogy(number, self.deep.ratios, "o-", label="$s_1/s_2$ at the escape")
        layers.semilogy(number, number**0.25, "k--", label="floor ℓ$^{1/4}$ of the optimal direction")
        layers.set(xlabel="layer ℓ", title=f"{self.depth} layers: far above the floor", ylim=(0.7, 2000))
        tried = np.array([0.25, 0.1, 0.03, 0.01, 0.003])
        for depth in (3, 4, 6):
            medians = [np.median(from_small(depth, s, self.left, 400).ratios[1:]) for s in tried]
            scales.loglog(tried, medians, "o-", label=f"{depth} layers")
        scales.loglog(tried, 1.9 / tried, "k:", label="∝ 1/α")
        scales.set(
            xlabel="scale α of the start", ylabel="median $s_1/s_2$, layers > 1", title="the scale sets the ratio"
        )
        for ax in (cost, layers, scales):
            ax.legend(frameon=False, fontsize=8)


PAPER = Bantzis2025
