"""Nam et al. (2025): layerwise linear models, that is modes with clocks of their own; emergence, laziness, grokking."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.integrate import solve_ivp

import lindyn as ld
from lindyn.papers.claims import Paper, claim
from lindyn.papers.tanh_digits import RATE, Learned, learn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KIND = "a result of this kind"
_FIGURE_8 = "a result of this kind, Figure 8"


@dataclass(frozen=True)
class Nam2025(Paper):
    """Settings.

    Attributes:
        share: τ of one mode as a share of its conserved |a² − b²|; by (12.1) it is one half.
        draws: random pairs of weights, and random wide scalar nets.
        sigmoid_threshold: τ of the mode that is compared with the sigmoid.
        exponent: α of the skills' frequencies k^{−(α+1)} in the experiment on emergence.
        scaling_exponent: α in the experiment on the loss against time.
        depth: L of the balanced mode.
        dim: size of the matrix that is completed, of rank 2 from half of its entries.
        decay: μ.
        lazy: the two thresholds τ₀ above the signal's singular values 1 and 0.8.
        rich: a threshold far below them.
        control_decay: weight decay of the run that must never generalise.
        scales: c of the tanh networks that must grok: their weights start c times as large as usual.
        small: c of one that must not.
        digits_decay: AdamW's weight decay.
        digits_control: decay of the run at c = 3 that must never generalise.
    """

    key: ClassVar[str] = "nam2025"
    title: ClassVar[str] = "Position: Solve Layerwise Linear Models First to Understand Neural Dynamical Phenomena"
    citation: ClassVar[str] = "nam2025position"
    summary: ClassVar[str] = "Layerwise linear models are modes with a threshold and a clock each."
    seconds: ClassVar[float] = 50.0
    left_out: ClassVar[str] = (
        "sparse parity with a ReLU network; a thousand images of MNIST, of which ours are digits of 8 × 8"
    )

    share: float = 0.5
    draws: int = 40
    sigmoid_threshold: float = 1e-10
    exponent: float = 0.6
    scaling_exponent: float = 1.0
    depth: int = 3
    dim: int = 30
    decay: float = 0.01
    lazy: tuple[float, float] = (3.0, 30.0)
    rich: float = 0.003
    control_decay: float = 0.0
    scales: tuple[float, ...] = (2.0, 3.0, 4.0, 6.0)
    small: float = 1.0
    digits_decay: float = 1.0
    digits_control: float = 0.0

    # one mode

    @claim(
        "C5.1-curve", "A product of two weights follows the mode curve with τ = |a² − b²|/2 on the clock E·t",
        place=f"{_KIND}, Figure 3", expected=1e-8, source="derived, works (12.2)", bound="below",
    )  # fmt: skip
    def distance_from_layers(self) -> float:
        """Largest relative difference between the curve and integration of the two weights by SciPy."""
        rng, worst, times = np.random.default_rng(0), 0.0, np.linspace(0, 5, 20)
        for _ in range(self.draws):
            s, rate = rng.uniform(-2, 2), rng.uniform(0.1, 2)
            a, b = rng.standard_normal(2) * 10 ** rng.uniform(-3, 1)

            def motion(_: float, w: np.ndarray, s: float = s, rate: float = rate) -> np.ndarray:
                return -rate * (w[0] * w[1] - s) * w[::-1]

            tight = {"rtol": 1e-12, "atol": 1e-14, "method": "DOP853"}
            product = np.prod(solve_ivp(motion, (0, 5), [a, b], t_eval=times, **tight).y, axis=0)
            curve = ld.solutions.mode_curve(s, self.share * abs(a * a - b * b), rate * times, start=a * b)
            worst = max(worst, np.abs(curve - product).max() / max(abs(s), np.abs(product).max()))
        return float(worst)

    @claim(
        "C5.1-sigmoid", "Equal weights make it a sigmoid, S/(1 + (S/m₀ − 1)e^{−2SEt})", place=f"{_KIND}, Figure 3",
        expected=1e-6, source="derived, works (12.2)", bound="below",
    )  # fmt: skip
    def distance_from_sigmoid(self) -> float:
        """Largest difference for five variances, over S = 1."""
        start, clocks = 1e-3, np.linspace(0, 20, 101)[:, None] * np.array([1.0, 0.8, 0.6, 0.4, 0.2])
        curve = ld.solutions.mode_curve(1.0, self.sigmoid_threshold, clocks, start=start)
        return float(np.abs(curve - 1 / (1 + (1 / start - 1) * np.exp(-2 * clocks))).max())

    @claim(
        "C5.1-depth", "Deeper is closer to a step: (t₉₀ − t₁₀)/t₅₀ at three layers, 0.636 at two, 3.17 at one",
        place=_KIND, expected=0.220, source="derived, works (12.4)", tolerance=0.002,
    )  # fmt: skip
    def width_of_the_step(self) -> float:
        """(t₉₀ − t₁₀)/t₅₀ of a balanced mode that starts at a thousandth."""
        times = np.r_[0.0, np.geomspace(0.1, 60.0, 800)]
        system, task = ld.dynamics.DeepBalanced([[1e-3]], self.depth), ld.SpikedMatrix(target=[[1.0]])
        run = ld.simulate(system, task, ld.Flow(rtol=1e-9), times=times, observables="matrix")
        first, middle, last = np.interp([0.1, 0.5, 0.9], run["matrix"][:, 0, 0], times)
        return float((last - first) / middle)

    # emergence

    @cached_property
    def emergence(self) -> Any:
        """Descent on five skills from a small balanced start: trajectory of the matrix."""
        task, start = ld.tasks.Skills.power_law(5, exponent=self.exponent, strength=5.0), 0.1 * np.eye(5)
        method = ld.GradientDescent(learning_rate=0.01, steps=6000)
        return ld.simulate(ld.TwoLayer.from_weights(start, start), task, method, save_every=5, observables="matrix")

    @claim(
        "C5.2-times", "Skill k of frequency k^{−1.6} emerges at a time k^{1.6} as long", place=f"{_KIND}, Figure 4",
        expected=1.6, source="derived, works (12.3)", tolerance=0.02, relative=True,
    )  # fmt: skip
    def power_of_times(self) -> float:
        """Fitted power of k in the times at which descent has learned half of a skill."""
        curves = np.diagonal(self.emergence["matrix"], axis1=1, axis2=2)
        halves = [float(np.interp(2.5, curve, self.emergence.time)) for curve in curves.T]
        return float(np.polyfit(np.log(np.arange(1, 6)), np.log(halves), 1)[0])

    @claim(
        "C5.2-loss", "The loss falls with time as t^{−α/(α+1)}, here at α = 1", place=f"{_KIND}, Figure 4",
        expected=-0.5, source="derived, works (12.3)", tolerance=0.01,
    )  # fmt: skip
    def power_of_loss(self) -> float:
        """Slope of ln L against ln t in the middle of the range, 200,000 skills."""
        frequencies = np.arange(1, 200001.0) ** -(self.scaling_exponent + 1)
        frequencies /= frequencies.sum()
        times = np.geomspace(1e3, 1e6, 4)
        missing = np.array([1 - ld.solutions.mode_curve(1.0, 0.0, t * frequencies, start=1e-3) for t in times])
        return float(np.polyfit(np.log(times), np.log(missing**2 @ frequencies), 1)[0])

    # lazy and rich

    @claim(
        "C5.3-amplification", "Features grow by γ₊ = exp(asinh(S/τ) − asinh(S₀/τ)) in a scalar net of any width",
        place=f"{_KIND}, Figures 6, 7", expected=1e-6, source="derived, works (12.5)", bound="below",
    )  # fmt: skip
    def distance_of_amplification(self) -> float:
        """Largest relative difference from ‖a + b‖² at the end over that at the start, of integrated nets."""
        rng, worst = np.random.default_rng(0), 0.0
        for _ in range(self.draws):
            units, target = rng.integers(1, 50), rng.uniform(0.1, 4) * rng.choice([-1, 1])
            weights = rng.standard_normal((2, units)) * 10 ** rng.uniform(-1, 0.5) / np.sqrt(units)
            size, product = np.sum(weights**2) / 2, float(weights[0] @ weights[1])
            tau = 2 * self.share * np.sqrt(size**2 - product**2)

            def motion(_: float, w: np.ndarray, target: float = target) -> np.ndarray:
                pair = w.reshape(2, -1)
                return float(target - pair[0] @ pair[1]) * pair[::-1].ravel()

            end = solve_ivp(motion, (0, 25 / np.hypot(target, tau)), weights.ravel(), rtol=1e-10, atol=1e-13).y[:, -1]
            grown = np.sum(end.reshape(2, -1).sum(0) ** 2) / np.sum(weights.sum(0) ** 2)
            worst = max(worst, abs(grown / float(ld.solutions.mode_amplification(target, tau, start=product)) - 1))
        return float(worst)

    # grokking, works (12.6): train and unseen error, each over its start

    def _complete(self, threshold: float, decay: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Complete the matrix: times, error on seen and on unseen entries."""
        truth = ld.SpikedMatrix(dim=self.dim, singular_values=[1.0, 0.8], noise=0.0, key=0)
        seen = truth.observe(0.5, key=1).observed
        task = ld.Completion(truth.target, seen, held_out=~seen)
        times = np.r_[0.0, np.geomspace(1e-3, 10.0, 150), np.linspace(12.0, 450.0, 220)]
        errors = ["train_error", "test_error"]
        run = ld.simulate(ld.Mixed(threshold, weight_decay=decay), task, ld.Flow(), times=times, observables=errors)
        train, test = (np.asarray(run[name] / run[name][0]) for name in errors)
        return times, train, test

    @cached_property
    def from_lazy(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The curves of the two lazy starts."""
        return [self._complete(threshold, self.decay) for threshold in self.lazy]

    @cached_property
    def from_rich(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The curves of the rich start."""
        return self._complete(self.rich, self.decay)

    @cached_property
    def control(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The curves of the less lazy start without decay."""
        return self._complete(self.lazy[0], self.control_decay)

    @staticmethod
    def _delay(curves: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[float, float]:
        """t_train and t_test: 5 % of the seen and 20 % of the unseen error is left."""
        times, train, test = curves
        return ld.prediction.time_below(times, train, 0.05), ld.prediction.time_below(times, test, 0.2)

    @claim(
        "C5.4-delay", "A lazy start with weight decay generalises long after it fits: t_test/t_train", place=_KIND,
        expected=100.0, source="derived, works (12.6)", bound="above",
    )  # fmt: skip
    def delay_of_lazy(self) -> float:
        """The smaller ratio of the two lazy starts."""
        return min(test / train for train, test in map(self._delay, self.from_lazy))

    @claim(
        "C5.4-law", "t_test = ln(τ₀/τ_c)/(2μ): slope against ln τ₀, times 2μ", place=_KIND,
        expected=1.0, source="derived, works (12.6)", tolerance=0.05, relative=True,
    )  # fmt: skip
    def slope_of_delay(self) -> float:
        """Slope between the two lazy starts, in units of 1/(2μ)."""
        (_, early), (_, late) = map(self._delay, self.from_lazy)
        return 2 * self.decay * (late - early) / float(np.log(self.lazy[1] / self.lazy[0]))

    @claim(
        "C5.4-rich", "A rich start generalises as it fits: t_test/t_train", place=f"{_KIND}, Figure 8",
        expected=3.0, source="derived, works (12.6)", bound="below",
    )  # fmt: skip
    def delay_of_rich(self) -> float:
        """The ratio of the rich start."""
        train, test = self._delay(self.from_rich)
        return test / train

    @claim(
        "C5.4-decay", "Without weight decay a lazy start never generalises: unseen error that is left", place=_KIND,
        expected=0.9, source="derived, works (12.6)", bound="above",
    )  # fmt: skip
    def left_without_decay(self) -> float:
        """Smallest unseen error of the lazy start without decay, over that of predicting zero."""
        return float(self.control[2].min())

    # the same in a tanh network on real images

    @cached_property
    def digits(self) -> dict[float, Learned]:
        """For each c the training of a tanh network on 200 digits."""
        return {c: learn(c, self.digits_decay, 2500) for c in (*self.scales, self.small)}

    @claim(
        "C5.4-digits", "A tanh net on digits obeys t_test = ln(c/c*)/μ: deviation of c* from its mean", place=_FIGURE_8,
        expected=0.03, source="derived, works (12.6); measured", bound="below", needs="sklearn",
    )  # fmt: skip
    def spread_of_scales(self) -> float:
        """Largest |c*/mean − 1|, c* = c·exp(−RATE·decay·t_test), over c."""
        found = np.array([c * np.exp(-RATE * self.digits_decay * self.digits[c].test_step) for c in self.scales])
        return float(np.abs(found / found.mean() - 1).max())

    @claim(
        "C5.4-digits-delay", "From large weights it knows other digits long after its own: t_test/t_train",
        place=_FIGURE_8, expected=4.0, source="a result of this kind; measured", bound="above", needs="sklearn",
    )  # fmt: skip
    def delay_of_digits(self) -> float:
        """The smallest ratio over c; NaN where one of the two is never reached."""
        ratios = [self.digits[c].test_step / self.digits[c].train_step for c in self.scales]
        return float(np.min(ratios))

    @claim(
        "C5.4-digits-small", "From usual weights it does not: t_test/t_train", place=_FIGURE_8,
        expected=2.5, source="a result of this kind; measured", bound="below", needs="sklearn",
    )  # fmt: skip
    def delay_of_small(self) -> float:
        """The ratio of the small start."""
        return self.digits[self.small].test_step / self.digits[self.small].train_step

    @claim(
        "C5.4-digits-decay", "Without decay it never does: accuracy on other digits after 1,500 steps", place=_FIGURE_8,
        expected=0.5, source="a result of this kind; measured", bound="below", needs="sklearn",
    )  # fmt: skip
    def digits_without_decay(self) -> float:
        """Test accuracy at the end; chance is 0.1."""
        return float(learn(3.0, self.digits_control, 1500).test_accuracy[-1])

    def figure(self) -> Figure:
        """Draw emergence by descent and by the curve, the errors of the four completions, and digits."""
        import matplotlib.pyplot as plt

        with_digits = all(claim.available for claim in self.claims())
        figure, axes = plt.subplots(1, 2 + with_digits, figsize=(10 + 4.5 * with_digits, 3.8), layout="constrained")
        left, right = axes[:2]
        if with_digits:
            self._draw_digits(axes[2])
        task, time = ld.tasks.Skills.power_law(5, exponent=self.exponent, strength=5.0), self.emergence.time[1:]
        curves = np.diagonal(self.emergence["matrix"], axis1=1, axis2=2)[1:]
        for k, exact in enumerate(task.curves(0.0, time, start=0.01).T):
            left.plot(time, curves[:, k] / 5, label=f"skill {k + 1}")
            left.plot(time, exact / 5, "--", color="black", lw=1, label="curve (12.2)" if k == 4 else None)
        left.set(
            xscale="log",
            xlim=(0.2, 60),
            xlabel="flow time",
            ylabel="share learned",
            title="Emergence, descent and curve",
        )
        left.legend(fontsize=8)
        names = [f"τ₀ = {tau:g}, decay {self.decay:g}" for tau in (*self.lazy, self.rich)]
        names.append(f"τ₀ = {self.lazy[0]:g}, decay {self.control_decay:g}")
        for name, (times, train, test) in zip(names, [*self.from_lazy, self.from_rich, self.control], strict=True):
            (line,) = right.plot(times[1:], test[1:], label=name)
            right.plot(times[1:], np.maximum(train[1:], 1e-4), ":", color=line.get_color())
        right.set(xscale="log", yscale="log", ylim=(3e-4, 2), xlabel="flow time", ylabel="error over start")
        right.set_title("Completion: unseen entries (solid), seen (dotted)")
        right.legend(fontsize=8)
        return figure

    def _draw_digits(self, ax: Any) -> None:
        for k, (c, run) in enumerate(sorted(self.digits.items())):
            ax.plot(run.steps + 25, run.test_accuracy, color=f"C{k}", label=f"c = {c:g}")
            ax.plot(run.steps + 25, run.train_accuracy, ":", color=f"C{k}")
        ax.set(xscale="log", xlabel="step (+ 25)", ylabel="accuracy", ylim=(0, 1.2))
        ax.set_title("Digits: others (solid), its own (dotted)")
        ax.legend(fontsize=8, ncols=5, loc="upper center", columnspacing=1.0, handlelength=1.0)


PAPER = Nam2025
