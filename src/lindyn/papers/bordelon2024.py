"""Bordelon, Atanasov, Pehlevan (2024): how feature learning changes the exponents of neural scaling laws."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import lindyn as ld
from lindyn.papers.claims import Paper, claim

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIGURE_1 = "a result of this kind, Figure 1"
_KIND = "a result of this kind"
_STEPS = 60  # a decade: an error of 1.5e-4


def _norm(state: Any) -> Any:
    """Length of the row."""
    return (state.matrix**2).sum() ** 0.5


def _rich_power(source: float) -> float:
    """2β/(1 + β) of a hard task, β of an easy one."""
    return 2 * source / (1 + source) if source < 1 else source


@dataclass(frozen=True)
class Bordelon2024(Paper):
    """Settings.

    Attributes:
        modes: M of the infinite model; at α = 1.5, β = ¼ it still moves an exponent by 0.015.
        capacities: α.
        sources: β; with each α one task.
        border: β at the border of hard and easy, where the power has a logarithm.
        easy: β of the experiment on easy tasks.
        lazy: a threshold that no ‖β‖ reaches.
        rich: a threshold that ‖β‖ passes at once.
        crossing: a threshold that ‖β‖ passes half-way, at α = 2 and β = ½.
        clock: rate of the clock T, over r + τ; by (10.5) it is one.
        rate: learning rate of descent on the layers.
        inputs: M of the experiments on floors and frontiers.
        draws: of random features for each floor.
        formula_size: size at which the formula of the floor is evaluated, over that of the draws.
        cap: c of the power α·min(c, β) of the floor; by (10.6) it is one.
        sizes: numbers of features on the frontier.
        frontier_source: β there; α = 1.5.
    """

    key: ClassVar[str] = "bordelon2024"
    title: ClassVar[str] = "How Feature Learning Can Improve Neural Scaling Laws"
    citation: ClassVar[str] = "bordelon2024feature"
    summary: ClassVar[str] = (
        "On hard tasks feature learning turns t^−β into t^−2β/(1+β); on easy ones it changes nothing."
    )
    seconds: ClassVar[float] = 25.0
    left_out: ClassVar[str] = (
        "noise of mini-batches, finite data, the mean-field equations, and nonlinear networks; the body of the paper "
        "was not at hand"
    )

    modes: int = 10**14
    capacities: tuple[float, ...] = (1.5, 2.0)
    sources: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5)
    border: float = 1.0
    easy: float = 1.5
    lazy: float = 1e8
    rich: float = 1e-2
    crossing: float = 100.0
    clock: float = 1.0
    rate: float = 0.025
    inputs: int = 6000
    draws: int = 8
    formula_size: float = 1.0
    cap: float = 1.0
    sizes: tuple[int, ...] = (64, 128, 256, 512, 1024)
    frontier_source: float = 0.5

    # exponents

    @staticmethod
    def _train(task: Any, threshold: float, times: np.ndarray) -> Any:
        """Follow the formula: loss and length of the row."""
        method = ld.methods.RowFlow(steps_per_decade=_STEPS)
        return ld.simulate(ld.Mixed(threshold), task, method, times=times, observables=["loss", _norm])

    def _pair(self, capacity: float, source: float) -> tuple[Any, Any]:
        """A lazy and a rich run; a lazy one has the clock 2τt."""
        task = ld.PowerLaw(capacity, source, self.modes)
        lazy = self._train(task, self.lazy, np.geomspace(1e2, 1e8, 61) / (2 * self.lazy))
        return lazy, self._train(task, self.rich, np.geomspace(1, 1e10, 101))

    @cached_property
    def runs(self) -> dict[tuple[float, float], tuple[Any, Any]]:
        """The pair of runs of each task."""
        return {(a, b): self._pair(a, b) for a in self.capacities for b in self.sources}

    def _at(self, capacity: float, source: float) -> tuple[Any, Any]:
        """The pair of one task, from the ten if it is among them."""
        held = vars(self).get("runs", {})  # the experiment on all ten is not started for one
        return held.get((capacity, source)) or self._pair(capacity, source)

    def _powers(self) -> list[tuple[float, float, float]]:
        """β, the lazy and the rich exponent of each task."""
        power = ld.simulation.scaling_exponent
        return [(b, power(lazy).exponent, power(rich).exponent) for (_, b), (lazy, rich) in self.runs.items()]

    @claim(
        "R9-1-lazy", "Lazy training has the power β, for ten (α, β): largest deviation", place=_FIGURE_1,
        expected=0.02, source="derived, works (10.4)", bound="below",
    )  # fmt: skip
    def deviation_of_lazy(self) -> float:
        """Largest |χ − β|."""
        return max(abs(lazy - b) for b, lazy, _ in self._powers())

    @claim(
        "R9-1-rich", "Feature learning has 2β/(1+β) on hard tasks, β on easy ones: largest deviation", place=_FIGURE_1,
        expected=0.02, source="the abstract; derived, works (10.5)", bound="below",
    )  # fmt: skip
    def deviation_of_rich(self) -> float:
        """Largest deviation where β is not 1."""
        return max(abs(rich - _rich_power(b)) for b, _, rich in self._powers() if b != 1)

    @claim(
        "R9-1-border", "At the border β = 1 both powers are 1, up to a logarithm: largest deviation", place=_FIGURE_1,
        expected=0.03, source="derived, works (10.4)", bound="below",
    )  # fmt: skip
    def deviation_at_border(self) -> float:
        """Largest |χ − 1|, lazy or rich, over α."""
        runs = [run for a in self.capacities for run in self._at(a, self.border)]
        return max(abs(ld.simulation.scaling_exponent(run).exponent - 1) for run in runs)

    @claim(
        "R9-5", "On an easy task feature learning changes no exponent: both are 1.500", place="the abstract",
        expected=0.01, source="derived, works (10.4)", bound="below",
    )  # fmt: skip
    def deviation_of_easy(self) -> float:
        """Larger |χ − 1.5| of the lazy and of the rich run at α = 2."""
        runs = self._at(2.0, self.easy)
        return max(abs(ld.simulation.scaling_exponent(run).exponent - 1.5) for run in runs)

    # from lazy to rich

    @cached_property
    def crossover(self) -> tuple[Any, np.ndarray]:
        """A run that passes its threshold, and its clock T, dT = (r + τ)dt."""
        task = ld.PowerLaw(2.0, 0.5, self.modes)
        run = self._train(task, self.crossing, np.geomspace(1e-2, 1e10, 241))
        pace = self.clock * (np.hypot(run["_norm"], self.crossing) + self.crossing)
        steps = 0.5 * (pace[1:] + pace[:-1]) * np.diff(run.time)
        return run, np.r_[0.0, np.cumsum(steps)] + pace[0] * run.time[0]

    @claim(
        "R9-2-before", "While ‖β‖ < τ training has the lazy power", place=_KIND,
        expected=0.5, source="derived, works (10.5)", tolerance=0.02,
    )  # fmt: skip
    def power_before(self) -> float:
        """Power between flow times 1 and 100, far before the crossing."""
        return ld.simulation.scaling_exponent(self.crossover[0], window=(1.0, 100.0)).exponent

    @claim(
        "R9-2-after", "When ‖β‖ has passed τ it has the rich power", place=_KIND,
        expected=2 / 3, source="derived, works (10.5)", tolerance=0.02,
    )  # fmt: skip
    def power_after(self) -> float:
        """Power in the last decade."""
        return ld.simulation.scaling_exponent(self.crossover[0], window=(1e9, 1e10)).exponent

    @claim(
        "R9-2-clock", "Rich training is lazy training on the clock dT = (r + τ)dt: the loss within 35 %", place=_KIND,
        expected=0.35, source="derived, works (10.5)", bound="below",
    )  # fmt: skip
    def distance_of_clocks(self) -> float:
        """Largest relative difference over twelve decades."""
        run, clock = self.crossover
        task = ld.PowerLaw(2.0, 0.5, self.modes)
        lazy = ld.simulate(ld.Lazy(0.5), task, times=clock, observables="loss")
        return float(np.abs(run["loss"] / lazy["loss"] - 1).max())

    # finitely many features

    @claim(
        "R9-3-layers", "Descent on w and G over fixed features is the formula with τ = ½, at flow time 10", place=_KIND,
        expected=1e-3, source="derived, works (10.2): first order in the learning rate", bound="below",
    )  # fmt: skip
    def distance_of_layers(self) -> float:
        """Relative difference of the row at flow time 10, 12 features."""
        task = ld.PowerLaw(1.5, 0.5, 60).random_features(12)
        net = ld.TwoLayer.from_weights(np.eye(12), np.zeros((1, 12)), threshold=0.5)
        method = ld.GradientDescent(learning_rate=self.rate, steps=round(10 / self.rate))
        found = ld.simulate(net, task, method, save_every=method.steps, observables="matrix")["matrix"][-1]
        formula = ld.simulate(ld.Mixed(0.5), task, ld.methods.RowFlow(), times=[10.0], observables="matrix")["matrix"][
            0
        ]
        return float(np.abs(found - formula).max() / np.abs(formula).max())

    @cached_property
    def floors(self) -> list[tuple[float, float, int, float, float, float]]:
        """α, β, N, mean of drawn floors, its standard error, the formula."""
        found = []
        for a, b in ((1.5, 0.5), (1.25, 1.5)):
            task = ld.PowerLaw(a, b, self.inputs)
            for n in (32, 128):
                drawn = [float(task.random_features(n, key=key).floor) for key in range(self.draws)]
                formula = task.expected_floor(round(self.formula_size * n))
                found.append((a, b, n, float(np.mean(drawn)), float(np.std(drawn) / self.draws**0.5), formula))
        return found

    @claim(
        "R9-3-floor", "N features leave the loss κ Σ λw²/(λ + κ): deviation over 3 standard errors + 10 %", place=_KIND,
        expected=1.0, source="derived, works (10.6)", bound="below",
    )  # fmt: skip
    def deviation_of_floors(self) -> float:
        """Largest of four settings."""
        return max(abs(mean - formula) / (3 * error + 0.1 * formula) for *_, mean, error, formula in self.floors)

    @claim(
        "R9-3-power", "The floor falls as N^−α·min(1, β), and not with min(2, β): largest deviation", place=_KIND,
        expected=0.02, source="derived, works (10.6); draws agree with the formula", bound="below",
    )  # fmt: skip
    def deviation_of_power(self) -> float:
        """Largest deviation of the formula's power between N = 10⁵ and 10⁶, over four (α, β)."""
        worst = 0.0
        for a, b in ((1.5, 0.5), (1.25, 1.5), (1.25, 2.5), (2.0, 1.5)):
            task = ld.PowerLaw(a, b, 10**14)
            power = np.log10(task.expected_floor(10**5) / task.expected_floor(10**6))
            worst = max(worst, abs(power - a * min(self.cap, b)))
        return float(worst)

    # compute

    @cached_property
    def frontiers(self) -> tuple[Any, Any]:
        """Lazy and rich: the best loss for compute C = N·t."""
        task, times = ld.PowerLaw(1.5, self.frontier_source, 32_768), np.geomspace(0.1, 1e6, 141)
        counts = [max(1, min(4, 1024 // n)) for n in self.sizes]  # the draws of large ones differ less
        models = [[task.random_features(n, key=k) for k in range(c)] for n, c in zip(self.sizes, counts, strict=True)]

        def frontier(dynamics: Any, method: Any) -> Any:
            runs = [
                [ld.simulate(dynamics, one, method, times=times, observables="loss") for one in draws]
                for draws in models
            ]
            return ld.simulation.compute_frontier(runs, self.sizes)

        rich = ld.methods.RowFlow(steps_per_decade=_STEPS)
        return frontier(ld.Lazy(0.5), "auto"), frontier(ld.Mixed(self.rich), rich)

    @staticmethod
    def _power_of(frontier: Any) -> float:
        return float("nan") if frontier.exponent is None else float(frontier.exponent.exponent)

    @claim(
        "R9-4-lazy", "Lazy, the best loss falls with compute as C^−αβχ/(αβ+χ), χ = β", place=f"{_FIGURE_1}, 4",
        expected=0.3, source="derived, works (10.7)", tolerance=0.05,
    )  # fmt: skip
    def power_of_lazy_compute(self) -> float:
        """Power where neither the smallest nor the largest size is best."""
        return self._power_of(self.frontiers[0])

    @claim(
        "R9-4-rich", "With feature learning χ = 2β/(1+β) there", place=f"{_FIGURE_1}, 4",
        expected=6 / 17, source="derived, works (10.7)", tolerance=0.05,
    )  # fmt: skip
    def power_of_rich_compute(self) -> float:
        """Power where neither the smallest nor the largest size is best."""
        return self._power_of(self.frontiers[1])

    def figure(self) -> Figure:
        """Draw losses and powers, a crossover, floors, and the two frontiers."""
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(2, 2, figsize=(9.5, 7.2), layout="constrained")
        self._draw_powers(axes[0, 0])
        self._draw_crossover(axes[0, 1])
        self._draw_floors(axes[1, 0])
        self._draw_frontiers(axes[1, 1])
        return figure

    def _draw_powers(self, ax: Any) -> None:
        powers, grid = np.array(self._powers()).T, np.linspace(0.1, 1.6, 151)
        ax.plot(grid, grid, "C0-", lw=1, label="β")
        ax.plot(grid, [_rich_power(b) for b in grid], "C1-", lw=1, label="2β/(1+β), then β")
        ax.plot(powers[0], powers[1], "C0o", label="lazy, found")
        ax.plot(powers[0], powers[2], "C1s", mfc="none", label="rich, found")
        ax.set(xlabel="source β", ylabel="power χ of the loss, t^−χ", title="Ten tasks, α = 1.5 and 2")
        ax.legend(fontsize=8)

    def _draw_crossover(self, ax: Any) -> None:
        run, _ = self.crossover
        passed = run.time[int(np.argmax(run["_norm"] > self.crossing))]
        power = -np.gradient(np.log(run["loss"]), np.log(run.time))
        ax.semilogx(run.time, power, "C1-")
        for level, name in ((0.5, "β"), (2 / 3, "2β/(1+β)")):
            ax.axhline(level, color="black", ls="--", lw=1)
            ax.annotate(name, (1e-2, level), va="bottom", fontsize=8)
        ax.axvline(passed, color="C0", ls=":", label="‖β‖ passes τ")
        ax.set(xlabel="flow time t", ylabel="local power of the loss", ylim=(0, 0.8))
        ax.set_title(f"From lazy to rich, τ = {self.crossing:g}, α = 2, β = ½")
        ax.legend(fontsize=8)

    def _draw_floors(self, ax: Any) -> None:
        for color, (a, b) in zip(("C2", "C3"), ((1.5, 0.5), (1.25, 1.5)), strict=True):
            rows = [row for row in self.floors if row[:2] == (a, b)]
            ax.errorbar(*zip(*[row[2:4] for row in rows], strict=True), [3 * row[4] for row in rows], fmt=f"{color}o")
            task, sizes = ld.PowerLaw(a, b, self.inputs), np.geomspace(8, 1000, 12).astype(int)
            expected = [task.expected_floor(int(n)) for n in sizes]
            ax.plot(sizes, expected, f"{color}-", label=f"α = {a:g}, β = {b:g}: κ Σ λw²/(λ+κ)")
            for ls, cap in (("--", 1), (":", 2)):
                if cap == 1 or b > 1:
                    line = expected[0] * (sizes / sizes[0]) ** -(a * min(cap, b))
                    ax.plot(sizes, line, f"{color}{ls}", lw=1, label=f"power α·min({cap}, β)")
        ax.set(xscale="log", yscale="log", xlabel="random features N", ylabel="loss that is left", ylim=(2e-4, 2))
        ax.set_title("Floors: draws ± 3 standard errors, formula, powers")
        ax.legend(fontsize=7)

    def _draw_frontiers(self, ax: Any) -> None:
        for color, name, best in zip(("C0", "C1"), ("lazy", "rich"), self.frontiers, strict=True):
            ld.plots.loss_frontier(best, label=f"{name}: C^−{self._power_of(best):.3f}", color=color, ax=ax)
        ax.set(xlim=(100, 1e7), ylim=(0.02, 3), title=f"Frontiers of N = {self.sizes[0]} … {self.sizes[-1]} features")


PAPER = Bordelon2024
