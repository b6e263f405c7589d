"""Atanasov et al. (2024): sharpness, learning rates and dynamics over the richness γ of A = γ⁻¹W_L ⋯ W_1."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import lindyn as ld
from lindyn.papers.claims import Paper, claim

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KIND = "a result of this kind"
_ABSTRACT = "abstract, of the best rate; a result of this kind"
_MODES = (1.0, 0.5, 0.25)


def _slope(x: Any, y: Any) -> float:
    return float(np.polyfit(np.log10(x), np.log10(y), 1)[0])


def _one_mode() -> ld.SpikedMatrix:
    return ld.SpikedMatrix(target=np.ones((1, 1)))


def _net(gamma: float, depth: int, size: int = 1) -> ld.DeepLinear:
    return ld.DeepLinear.orthogonal(size, depth=depth, output_scale=1 / gamma)


@dataclass(frozen=True)
class Atanasov2024(Paper):
    """Settings.

    Attributes:
        depths: L of the experiments on the sharpness; the first is compared with the formula of two layers.
        lazy: two values of γ between which a slope of the sharpness is taken.
        rich: two more.
        settled: share of the mode that is learned where the sharpness is read.
        portrait_depths: L of the portraits.
        lazy_side: first and last γ over which slopes of a portrait's edges are fitted.
        rich_side: the same, for large γ.
        per_decade: learning rates in a factor of ten; an edge is known to one step.
        steps: T of a portrait.
        factors: learning rates of the catapults, in 2/λ(0).
        below: a learning rate that should not rise, in 2/λ(0).
        collapse: two values of γ of the plateau at three layers.
        staircase: γ of the staircase of three modes at three layers.
        gaussian: γ of the staircase in a network of 64 Gaussian units a layer.
        silent: γ at which the kernel should align before the cost falls.
        fixed: γ at which it should not move.
    """

    key: ClassVar[str] = "atanasov2024"
    title: ClassVar[str] = "The Optimization Landscape of SGD Across the Feature Learning Strength"
    citation: ClassVar[str] = "atanasov2025optimization"
    summary: ClassVar[str] = "Richness γ sets the sharpness, the learning rates that train, and how training goes."
    seconds: ClassVar[float] = 40.0
    left_out: ClassVar[str] = (
        "vision and language models, online SGD, momentum and Adam: full-batch descent and flow only"
    )

    depths: tuple[int, ...] = (2, 3, 4, 5)
    lazy: tuple[float, float] = (1e-3, 1e-2)
    rich: tuple[float, float] = (1e5, 1e6)
    settled: float = 1 - 1e-10
    portrait_depths: tuple[int, ...] = (2, 3, 4)
    lazy_side: tuple[float, float] = (1e-3, 0.1)
    rich_side: tuple[float, float] = (1e2, 1e5)
    per_decade: int = 50
    steps: int = 1000
    factors: tuple[float, ...] = (1.2, 1.6, 1.9)
    below: float = 0.9
    collapse: tuple[float, float] = (1e3, 1e5)
    staircase: float = 1e4
    gaussian: float = 1e3
    silent: float = 1e4
    fixed: float = 0.1

    # sharpness

    @cached_property
    def sharpness(self) -> dict[int, dict[float, float]]:
        """For each depth: λ for steps of learning rate 1 once a mode of strength 1 is learned, over γ."""
        found: dict[int, dict[float, float]] = {}
        for depth in self.depths:
            found[depth] = {}
            for gamma in sorted({*self.lazy, 0.1, 1.0, 10.0, 100.0, *self.rich}):
                net = _net(gamma, depth)
                time = float(ld.solutions.orthogonal_mode_time(1.0, 1 / gamma, self.settled, depth))
                run = ld.simulate(net, _one_mode(), ld.Flow(), times=[0.0, time], observables="sharpness")
                found[depth][gamma] = float(run["sharpness"][-1]) * net.clock
        return found

    def _off_slope(self, gammas: tuple[float, float], power: Any) -> float:
        slopes = {d: _slope(gammas, [values[g] for g in gammas]) for d, values in self.sharpness.items()}
        return max(abs(slope - power(d)) for d, slope in slopes.items())

    @claim(
        "R8-1-lazy", "The sharpness is ∝ γ⁻² where lazy: largest error of the power, L = 2 … 5", place=_KIND,
        expected=0.01, source="derived, works (9.4)", bound="below",
    )  # fmt: skip
    def sharpness_lazy(self) -> float:
        """Largest difference from −2 over the depths."""
        return self._off_slope(self.lazy, lambda depth: -2)

    @claim(
        "R8-1-rich", "It is ∝ γ^{−2/L} where rich: largest error of the power, L = 2 … 5", place=_KIND,
        expected=0.01, source="derived, works (9.4)", bound="below",
    )  # fmt: skip
    def sharpness_rich(self) -> float:
        """Largest difference from −2/L over the depths."""
        return self._off_slope(self.rich, lambda depth: -2 / depth)

    @claim(
        "R8-1-exact", "At two layers it is 2√(s² + γ⁻²)/γ: largest relative difference", place="ours",
        expected=1e-6, source="derived, works (9.3)", bound="below",
    )  # fmt: skip
    def sharpness_exact(self) -> float:
        """Largest relative difference of the first depth from the formula of two layers."""
        values = self.sharpness[self.depths[0]]
        return max(abs(v / (2 * np.hypot(1, 1 / g) / g) - 1) for g, v in values.items())

    # portrait

    @cached_property
    def portraits(self) -> dict[int, Any]:
        """For each depth the portrait over γ = 10⁻³ … 10⁵ and η = 10⁻¹⁰ … 10⁶."""
        grids = np.logspace(-3, 5, 33), np.logspace(-10, 6, 16 * self.per_decade + 1)
        richness, rates = (tuple(grid.tolist()) for grid in grids)
        settings = {
            depth: ld.diagrams.PortraitSettings(richness=richness, learning_rates=rates, depth=depth, steps=self.steps)
            for depth in self.portrait_depths
        }
        return {depth: ld.diagrams.phase_diagram(own, progress=False) for depth, own in settings.items()}

    def _edges(self, depth: int, side: tuple[float, float]) -> tuple[np.ndarray, ...]:
        """γ on one side, the smallest and the largest η that trains, the stability bound and η by the flow."""
        diagram = self.portraits[depth].isel(seed=0, source=0).sel(richness=slice(0.99 * side[0], 1.01 * side[1]))
        trained = diagram["learning_rate"].where(diagram["status"] == 1)
        low, high = trained.min("learning_rate"), trained.max("learning_rate")
        flow = diagram["flow_time"] / self.steps
        return tuple(v.values for v in (diagram["richness"], low, high, diagram["stability_bound"], flow))

    def _off_edge(self, side: tuple[float, float], edge: int, power: Any, depths: tuple[int, ...]) -> float:
        """Largest error of the power of γ in one edge (1 the lower, 2 the upper)."""
        edges = {depth: self._edges(depth, side) for depth in depths}
        return max(abs(_slope(found[0], found[edge]) - power(depth)) for depth, found in edges.items())

    @claim(
        "R8-2-upper-lazy", "The largest rate that trains is ∝ γ² where lazy: largest error of the power, L = 2, 3, 4",
        place=_ABSTRACT, expected=0.05, source="derived, works (9.5)", bound="below",
    )  # fmt: skip
    def upper_lazy(self) -> float:
        """Largest difference from 2."""
        return self._off_edge(self.lazy_side, 2, lambda depth: 2, self.portrait_depths)

    @claim(
        "R8-2-upper-rich", "It is ∝ γ^{2/L} where rich: largest error of the power, L = 2, 3, 4",
        place=_ABSTRACT, expected=0.05, source="derived, works (9.5)", bound="below",
    )  # fmt: skip
    def upper_rich(self) -> float:
        """Largest difference from 2/L."""
        return self._off_edge(self.rich_side, 2, lambda depth: 2 / depth, self.portrait_depths)

    @claim(
        "R8-2-lower", "The smallest rate is ∝ γ where rich, which closes the window: error of the power, L = 3, 4",
        place=f"{_KIND}: the η–γ portrait", expected=0.05, source="derived, works (9.5)", bound="below",
    )  # fmt: skip
    def lower_rich(self) -> float:
        """Largest difference from 1; at two layers there is a logarithm."""
        return self._off_edge(self.rich_side, 1, lambda depth: 1, self.portrait_depths[1:])

    @claim(
        "R8-2-flow", "It is the flow's time over the steps, at every γ and L: largest log₁₀ of the ratio", place="ours",
        expected=0.05, source="derived, works (9.11)", bound="below",
    )  # fmt: skip
    def lower_by_flow(self) -> float:
        """Largest distance of the lower edge from theory, in decades."""
        edges = [self._edges(depth, (1e-3, 1e5)) for depth in self.portrait_depths]
        return max(float(abs(np.log10(low / flow)).max()) for _, low, _, _, flow in edges)

    @claim(
        "R8-2-factor", "At two layers and small γ rates up to twice the stability bound train", place=_KIND,
        expected=2.0, source="derived, works (9.6); known as 4/λ(0)", tolerance=0.05, relative=True,
    )  # fmt: skip
    def upper_factor(self) -> float:
        """The largest rate that trains over the stability bound, at the smallest γ and the first depth."""
        _, _, high, bound, _ = self._edges(self.portrait_depths[0], self.lazy_side)
        return float(high[0] / bound[0])

    # catapult

    def catapult(self, factor: float) -> Any:
        """A lazy network, γ = 1/20, at a rate of 2/λ(0) times a factor: its run."""
        net = _net(0.05, 2)
        rate = factor * 2 / (net.kernel_norm() * net.clock)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ld.StabilityWarning)  # that is the experiment
            method = ld.GradientDescent(learning_rate=rate, steps=300)
            return ld.simulate(net, _one_mode(), method, observables=["cost", "sharpness"])

    @cached_property
    def catapults(self) -> list[Any]:
        """What became of the runs above the bound."""
        return [ld.simulation.catapult(self.catapult(factor)) for factor in self.factors]

    @claim(
        "R8-3-rise", "Between 2/λ(0) and 4/λ(0) the cost of a lazy network first rises: smallest peak, over the start",
        place=f"{_KIND}: catapult", expected=10.0, source="derived, works (9.6)", bound="above",
    )  # fmt: skip
    def catapult_rises(self) -> float:
        """The smallest peak of the cost."""
        return min(found.peak for found in self.catapults)

    @claim(
        "R8-3-return", "It comes back, to where descent is stable: largest ηλ/2 at the end",
        place=f"{_KIND}: catapult", expected=1.0, source="derived, works (9.6)", bound="below",
    )  # fmt: skip
    def catapult_returns(self) -> float:
        """The largest ηλ/2 at the end, of runs that were caught; NaN if one was not."""
        return max(found.end for found in self.catapults) if all(f.caught for f in self.catapults) else float("nan")

    @claim(
        "R8-3-below", "Below 2/λ(0) the cost never rises: its peak, over the start", place=_KIND,
        expected=1.0, source="derived, works (9.6)",
    )  # fmt: skip
    def catapult_below(self) -> float:
        """The peak of a run below the bound."""
        return float(ld.simulation.catapult(self.catapult(self.below)).peak)

    # plateau, staircase, silent alignment

    def staircase_of(self, gamma: float, net: Any = None) -> Any:
        """Flow on modes 1, 1/2, 1/4 and two of zero at three layers: records over η·step/γ."""
        net = _net(gamma, 3, 5) if net is None else net
        end = float(ld.solutions.orthogonal_mode_time(_MODES[-1], 1 / gamma, 0.99 * _MODES[-1], 3))
        task = ld.SpikedMatrix(target=np.diag([*_MODES, 0.0, 0.0]))
        seen = ["matrix", "cost", "kernel_alignment"]
        run = ld.simulate(net, task, ld.Flow(rtol=1e-7), times=np.linspace(0, end, 1500), observables=seen)
        return run.time / net.clock / gamma, run

    def _levels(self, found: Any, *shares: float) -> np.ndarray:
        """Times over γ at which each mode has learned shares of itself; shape (modes, shares)."""
        time, run = found
        modes = np.diagonal(run["matrix"], axis1=1, axis2=2)[:, : len(_MODES)].T
        return np.array([np.interp(shares, mode / s, time) for mode, s in zip(modes, _MODES, strict=True)])

    @claim(
        "R8-4-plateau", "Over t/γ the drop sharpens as γ^{−(1−2/L)}: power of its width at three layers",
        place=f"abstract: plateau and drop; {_KIND}",
        expected=-1 / 3, source="derived, works (9.7)", tolerance=0.02,
    )  # fmt: skip
    def drop_width(self) -> float:
        """Power of γ in the time from 10 % to 90 % of the first mode, over γ."""
        levels = [self._levels(self.staircase_of(g), 0.1, 0.9)[0] for g in self.collapse]
        return _slope(self.collapse, [late - early for early, late in levels])

    @claim(
        "R8-4-staircase", "Modes 1, 1/2, 1/4 are learned at times 1 : 2 : 4: the ratio farther from 2",
        place=f"abstract: staircase steps; {_KIND}",
        expected=2.0, source="derived, works (9.8)", tolerance=0.05, relative=True,
    )  # fmt: skip
    def staircase_ratio(self) -> float:
        """Of the two ratios of neighbouring times at half of a mode, the one farther from 2."""
        times = self._levels(self.steps_of_modes, 0.5)[:, 0]
        return float(max(times[1:] / times[:-1], key=lambda ratio: abs(ratio - 2)))

    @cached_property
    def steps_of_modes(self) -> Any:
        """The staircase of the orthogonal network."""
        return self.staircase_of(self.staircase)

    @claim(
        "R8-4-gaussian", "Gaussian layers have the staircase too: square root of the third time over the first",
        place=_KIND, expected=2.0, source="derived, works (9.8)", tolerance=0.05, relative=True,
    )  # fmt: skip
    def staircase_gaussian(self) -> float:
        """Mean ratio of the times at half of a mode, in 64 Gaussian units a layer."""
        rng, size = np.random.default_rng(0), self.gaussian ** (-1 / 3) / 8
        net = ld.DeepLinear.from_weights([size * rng.standard_normal(s) for s in ((64, 5), (64, 64), (5, 64))])
        times = self._levels(self.staircase_of(self.gaussian, net), 0.5)[:, 0]
        return float(np.sqrt(times[2] / times[0]))

    @claim(
        "R8-5-silent", "The kernel aligns with the target before a tenth of the cost is gone: alignment, from 0.2",
        place=_KIND, expected=0.5, source="derived, works (9.9)", bound="above",
    )  # fmt: skip
    def silent_alignment(self) -> float:
        """Kernel–target alignment at the first record with less than 90 % of the cost."""
        _, run = self.staircase_of(self.silent)
        return float(run["kernel_alignment"][int(np.argmax(run["cost"] < 0.9 * run["cost"][0]))])

    @claim(
        "R8-5-lazy", "A lazy kernel does not move: change of its alignment over all of training", place=_KIND,
        expected=0.01, source="derived, works (9.9)", bound="below",
    )  # fmt: skip
    def alignment_lazy(self) -> float:
        """Largest change of the alignment."""
        _, run = self.staircase_of(self.fixed)
        return float(abs(run["kernel_alignment"] - run["kernel_alignment"][0]).max())

    def figure(self) -> Figure:
        """Draw the sharpness, a portrait, catapults and the staircase."""
        import matplotlib.pyplot as plt

        figure, ((left, right), (low_left, low_right)) = plt.subplots(2, 2, figsize=(11.5, 9), layout="constrained")
        gammas = np.logspace(-3, 6, 200)
        for depth, values in self.sharpness.items():
            exact = ld.solutions.orthogonal_kernel(gammas, 1.0, depth) / gammas**2
            (line,) = left.plot(gammas, exact, label=f"L = {depth}, (9.11)")
            left.plot(list(values), list(values.values()), "o", color=line.get_color())
        left.set(
            xscale="log", yscale="log", xlabel="richness γ", ylabel="sharpness λ(∞)", title="Sharpness, flow (dots)"
        )
        left.legend(fontsize=8)
        ld.plots.richness_portrait(self.portraits[3 if 3 in self.portraits else self.portrait_depths[0]], ax=right)
        for factor in (self.below, *self.factors):
            run = self.catapult(factor)
            low_left.plot(run.step, run["cost"] / run["cost"][0], label=f"η = {factor:g} · 2/λ(0)")
        low_left.set(yscale="log", xlim=(0, 60), ylim=(1e-8, None), xlabel="step", ylabel="cost over start")
        low_left.set_title("Catapult, L = 2, γ = 1/20")
        low_left.legend(fontsize=8)
        for gamma in (1e2, self.staircase):
            time, run = self.staircase_of(gamma)
            (line,) = low_right.plot(time, run["cost"] / run["cost"][0], label=f"cost, γ = {gamma:g}")
            low_right.plot(time, run["kernel_alignment"], ":", color=line.get_color(), label="alignment of the kernel")
        low_right.axhline(self.staircase_of(self.fixed)[1]["kernel_alignment"][-1], ls="--", color="0.5", lw=1)
        low_right.annotate(f"alignment, γ = {self.fixed:g}, at all times", (3.2, 0.21), fontsize=8)
        low_right.set(xlabel="η · step / γ", xlim=(0, 6), title="Staircase and silent alignment, L = 3")
        low_right.legend(fontsize=8)
        return figure


PAPER = Atanasov2024
