"""Han et al. (2025), label noise in feature learning: the signal first, flipped labels are memorised later."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.stats import ks_2samp

import lindyn as ld
from lindyn.networks import PatchReLU
from lindyn.papers.claims import Paper, claim
from lindyn.prediction import small_loss_split
from lindyn.tasks import SignalNoise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SEEN = ("test_error", "learned_signal", "memorisation", "accuracy_clean", "accuracy_flipped", "sample_losses")
_DENSE = 40  # every step up to this one is recorded: the first stage is about that long


def full_descent(mean: Any, patches: Any, truth: Any, labels: Any, weights: Any, rate: float, steps: int) -> np.ndarray:
    """Descend on the weights in all d dimensions, with plain NumPy."""
    w, m = weights.copy(), len(weights) // 2
    sign = np.repeat([1.0, -1.0], m)[:, None]
    for _ in range(steps):
        signal, noise = np.outer(w @ mean, truth), w @ patches.T
        f = np.sum(sign * (np.maximum(signal, 0) + np.maximum(noise, 0)), axis=0) / m
        pull = sign * labels / (1 + np.exp(labels * f)) / (len(labels) * m)
        w = w + rate * (((signal > 0) * pull * truth).sum(1)[:, None] * mean + ((noise > 0) * pull) @ patches)
    return w


def _draw(rng: Any, samples: int, dim: int, strength: float, flip: float, neurons: int) -> tuple[Any, ...]:
    """Draw μ, ξ, y, ỹ and the neurons themselves in d dimensions."""
    mean = np.zeros(dim)
    mean[0] = np.sqrt(strength * dim / samples)
    truth = np.where(np.arange(samples) % 2 == 0, 1.0, -1.0)
    labels = truth * np.where(rng.random(samples) < flip, -1, 1)
    weights = 0.01 / np.sqrt(dim) * rng.standard_normal((2 * neurons, dim))
    return mean, rng.standard_normal((samples, dim)), truth, labels, weights


@dataclass(frozen=True)
class Han2025(Paper):
    """Settings.

    Attributes:
        samples: n.
        dim: d.
        neurons: m of each class.
        strength: n·SNR².
        flip: p.
        pace: learning rate in units of nm/(σ²d).
        steps: of the long runs.
        early: step at which the rate of the signal is measured.
        shift: factor on the learning rate of the run that is compared with full descent.
        law_dim: dimension of the reduced draws whose law is compared with direct draws at d = 600.
        draws: of each, and of each cell of the scan.
        scan: (n, d, m) of the scan.
        weak: a strength of n·SNR²(1 − 2p) < 1.
        strong: strengths of at least 1.8.
        hard: (n, d, n·SNR²) of the run on early stopping.
    """

    key: ClassVar[str] = "han2025"
    title: ClassVar[str] = "On the role of label noise in the feature learning process"
    citation: ClassVar[str] = "han2025role"
    summary: ClassVar[str] = "Networks learn the signal first and memorise flipped labels later."
    seconds: ClassVar[float] = 15.0
    left_out: ClassVar[str] = (
        "the lower bound of Theorem 4.2 on the test error, which these runs reach only where d/n is below about 2: the "
        "curve is shown, no bound is claimed; the experiments on images"
    )

    samples: int = 100
    dim: int = 2000
    neurons: int = 10
    strength: float = 8.0
    flip: float = 0.2
    pace: float = 0.1
    steps: int = 3000
    early: int = 1
    shift: float = 1.0
    law_dim: int = 600
    draws: int = 60
    scan: tuple[int, int, int] = (200, 10**6, 50)
    weak: float = 1.0
    strong: tuple[float, ...] = (3.0, 6.0)
    hard: tuple[int, int, float] = (200, 400, 4.0)

    def _run(self, n: int, d: int, strength: float, flip: float, steps: int | None = None) -> tuple[Any, SignalNoise]:
        """Descend from a small Gaussian start; every step at first, then ever fewer, is recorded."""
        task = SignalNoise(n, d, np.sqrt(strength / n), flip, neurons=self.neurons, key=1)
        last = self.steps if steps is None else steps
        later = np.geomspace(_DENSE, last, 25).astype(int).tolist() if last > _DENSE else []
        method = ld.GradientDescent(learning_rate=self.pace * task.pace, steps=last)
        records = sorted({*range(min(_DENSE, last) + 1), *later})
        return ld.simulate(PatchReLU.gaussian(task, key=1), task, method, save_every=records, observables=_SEEN), task

    # the coordinates

    @claim(
        "C4.1-reduction", "Descent moves n + 1 coordinates of each neuron, whatever the dimension", place="the model",
        expected=1e-12, source="derived, works (14.1)", bound="below",
    )  # fmt: skip
    def error_of_reduction(self) -> float:
        """Largest relative distance of ⟨w, μ⟩ and ⟨w, ξ_i⟩ from descent in 300 dimensions, 400 steps."""
        mean, patches, truth, labels, weights = _draw(np.random.default_rng(0), 40, 300, 1.0, self.flip, 6)
        end = full_descent(mean, patches, truth, labels, weights, 0.5, 400)
        task, start = SignalNoise.from_arrays(mean, patches, labels, labels != truth, weights)
        method = ld.GradientDescent(learning_rate=0.5 * self.shift, steps=400)
        run = ld.simulate(PatchReLU.from_weights(start), task, method, save_every=400, observables="matrix")
        seen = run["matrix"][-1] @ np.column_stack([np.eye(task.shape[1])[0] * task.size, task.patches.T])
        full = end @ np.column_stack([mean, patches.T])
        return float(np.abs(seen - full).max() / np.abs(full).max())

    @claim(
        "C4.1-law", "Coordinates drawn without vectors have the law of drawn vectors: Kolmogorov–Smirnov, d = 600",
        place="the model", expected=0.01, source="derived, works (14.2)", bound="above",
    )  # fmt: skip
    def level_of_law(self) -> float:
        """Smallest of three levels: mean margin on clean and on flipped samples, mean |⟨w, μ⟩|, after 60 steps."""
        n, d, m, strength = 60, 600, 8, 4.0

        def measured(task: SignalNoise, start: Any) -> tuple[float, float, float]:
            method = ld.GradientDescent(learning_rate=0.05 * m * n / d, steps=60)
            run = ld.simulate(PatchReLU.from_weights(start), task, method, save_every=60, observables="matrix")
            margins, at = np.asarray(task.margins(run["matrix"][-1])), run["matrix"][-1, :, 0] * float(task.size)
            return float(margins[~task.flipped].mean()), float(margins[task.flipped].mean()), float(np.abs(at).mean())

        rng = np.random.default_rng(0)
        drawn, held = [], []
        for seed in range(self.draws):
            mean, patches, truth, labels, weights = _draw(rng, n, d, strength, self.flip, m)
            drawn.append(measured(*SignalNoise.from_arrays(mean, patches, labels, labels != truth, weights)))
            task = SignalNoise(n, self.law_dim, np.sqrt(strength / n), self.flip, neurons=m, key=seed)
            held.append(measured(task, task.start(key=seed)))
        return min(float(ks_2samp(a, b).pvalue) for a, b in zip(np.transpose(drawn), np.transpose(held), strict=True))

    # two stages

    @cached_property
    def flipped(self) -> tuple[Any, SignalNoise]:
        """The run with flipped labels."""
        return self._run(self.samples, self.dim, self.strength, self.flip)

    @cached_property
    def clean(self) -> tuple[Any, SignalNoise]:
        """The same without."""
        return self._run(self.samples, self.dim, self.strength, 0.0)

    @claim(
        "C4.1-rate", "The signal grows at η‖μ‖²(1 − 2p)/(4m) in every neuron", place="Theorem 4.1",
        expected=1.0, source="a result of this kind; derived, works (14.4)", tolerance=0.1,
    )  # fmt: skip
    def rate_of_signal(self) -> float:
        """Mean of γ over neurons after the first step, over the rate with the share of labels that were flipped."""
        run, task = self.flipped
        share = 1 - 2 * float(task.flipped.mean())
        step = self.pace * task.pace * float(task.size) ** 2 * share / (4 * self.neurons)
        return float(run["learned_signal"][self.early].mean() / (self.early * step))

    @claim(
        "C4.1-first", "First the signal: clean samples are right, flipped ones have their true label, at step 5",
        place="Theorem 4.1, figure", expected=1.0, source="the paper", tolerance=1e-9,
    )  # fmt: skip
    def difference_at_first(self) -> float:
        """Accuracy on clean minus accuracy on flipped samples, by the given labels."""
        run, _ = self.flipped
        return float(run["accuracy_clean"][5] - run["accuracy_flipped"][5])

    @claim(
        "C4.1-last", "Then the labels: all flipped samples are memorised at the end", place="Theorem 4.2, figure",
        expected=1.0, source="the paper", tolerance=1e-9,
    )  # fmt: skip
    def accuracy_at_last(self) -> float:
        """Accuracy on flipped samples by their given label."""
        return float(self.flipped[0]["accuracy_flipped"][-1])

    @claim(
        "C4.1-memory", "Flipped samples are memorised far more than clean ones", place="Theorem 4.2, figure",
        expected=2.0, source="derived, works (14.5)", bound="above",
    )  # fmt: skip
    def memory_of_flipped(self) -> float:
        """Mean of ρ over flipped samples over that of clean ones, at the end."""
        run, task = self.flipped
        return float(run["memorisation"][-1, task.flipped].mean() / run["memorisation"][-1, ~task.flipped].mean())

    @claim(
        "C4.1-clean", "Without flips the signal outgrows the noise", place="Theorem 4.4",
        expected=1.0, source="derived, works (14.5)", bound="below",
    )  # fmt: skip
    def memory_of_clean(self) -> float:
        """Mean of ρ over max γ at the end."""
        run, _ = self.clean
        return float(run["memorisation"][-1].mean() / run["learned_signal"][-1].max())

    def _split(self, dim: int, steps: int) -> float:
        """Number of the first steps at which the loss ln 2 divides clean from flipped samples exactly."""
        run, task = self._run(self.samples, dim, self.strength, self.flip, steps)
        return float(sum(np.array_equal(small_loss_split(x).small, ~task.flipped) for x in run["sample_losses"]))

    @claim(
        "C4.2", "In the first stage the loss ln 2 divides clean from flipped samples exactly, for ten steps and more",
        place="Proposition 4.3", expected=9.5, source="derived, works (14.5)", bound="above",
    )  # fmt: skip
    def steps_of_split(self) -> float:
        """Steps with an exact split, of 40."""
        return self._split(self.dim, _DENSE)

    @claim(
        "C4.2-dimension", "It does so in 10¹² dimensions", place="Proposition 4.3",
        expected=9.5, source="derived, works (14.2)", bound="above",
    )  # fmt: skip
    def steps_of_split_anywhere(self) -> float:
        """Steps with an exact split, of 40, at d = 10¹²."""
        return self._split(10**12, _DENSE)

    # the rule

    def smallest_accuracy(self, strength: float) -> float:
        """Smallest accuracy on flipped samples within ten steps, mean over draws."""
        n, d, m = self.scan
        found = []
        for seed in range(8):
            task = SignalNoise(n, d, np.sqrt(strength / n), self.flip, neurons=m, key=seed)
            method = ld.GradientDescent(learning_rate=0.05 * task.pace, steps=10)
            net = PatchReLU.gaussian(task, 1e-3 / np.sqrt(d), key=seed)
            run = ld.simulate(net, task, method, observables="accuracy_flipped")
            found.append(run["accuracy_flipped"][1:].min())
        return float(np.mean(found))

    @claim(
        "C4.3-memorised", "At n·SNR²(1 − 2p) = 0.6 flipped labels are never rejected: smallest accuracy on them",
        place="Theorem 4.1", expected=0.5, source="a result of this kind; derived, works (14.4)", bound="above",
    )  # fmt: skip
    def accuracy_where_weak(self) -> float:
        """Mean over draws."""
        return self.smallest_accuracy(self.weak)

    @claim(
        "C4.3-rejected", "From n·SNR²(1 − 2p) = 1.8 on they are: largest over strengths", place="Theorem 4.1",
        expected=0.05, source="a result of this kind; derived, works (14.4)", bound="below",
    )  # fmt: skip
    def accuracy_where_strong(self) -> float:
        """Mean over draws, largest over strengths."""
        return max(self.smallest_accuracy(strength) for strength in self.strong)

    # early stopping

    @cached_property
    def stopped(self) -> Any:
        """The run in few dimensions."""
        return self._run(*self.hard, self.flip)[0]

    @claim(
        "C4.4", "Early stopping helps: test error at the end over the smallest one, n = 200, d = 400",
        place="Proposition 4.3", expected=3.0, source="derived, works (14.6)", bound="above",
    )  # fmt: skip
    def gain_of_stopping(self) -> float:
        """Ratio of test errors on true labels."""
        error = self.stopped["test_error"]
        return float(error[-1] / max(error.min(), 1 / 40_000))  # one fresh sample of 40,000

    def figure(self) -> Figure:
        """Draw signal and memory, accuracies with the stage of the exact split, the scan, and the test errors."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(12, 6.4), layout="constrained")
        (top, middle), (scan, stop) = figure.subplots(2, 2)
        run, task = self.flipped
        memory = run["memorisation"]
        step = run.step + 1
        top.plot(step, run["learned_signal"].max(axis=1), label="signal γ, largest")
        top.plot(step, memory[:, ~task.flipped].mean(axis=1), label="memory ρ, clean samples")
        top.plot(step, memory[:, task.flipped].mean(axis=1), label="memory ρ, flipped samples")
        top.plot(step, self.clean[0]["learned_signal"].max(axis=1), "C0:", label="γ without flips")
        top.plot(step, self.clean[0]["memorisation"].mean(axis=1), "C1:", label="ρ without flips")
        top.set(
            xscale="log", xlabel="step + 1", title=f"n = {self.samples}, d = {self.dim}, n·SNR² = {self.strength:g}"
        )
        middle.plot(step, run["accuracy_clean"], "C1", label="clean samples")
        middle.plot(step, run["accuracy_flipped"], "C2", label="flipped samples, as given")
        exact = [k for k, x in enumerate(run["sample_losses"]) if (small_loss_split(x).small == ~task.flipped).all()]
        middle.axvspan(step[exact[0]], step[exact[-1]], alpha=0.15, label="loss ln 2 divides them exactly")
        middle.set(xscale="log", xlabel="step + 1", ylabel="accuracy", title="signal first, labels later")
        strengths = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0])
        scan.plot(strengths * (1 - 2 * self.flip), [self.smallest_accuracy(s) for s in strengths], "o-")
        scan.axvline(1.0, color="0.5", linestyle="--")
        scan.set(xlabel="n·SNR²(1 − 2p)", ylabel="smallest accuracy on flipped", title="flips are rejected beyond 1")
        few = self.stopped
        stop.plot(few.step + 1, few["test_error"], label=f"n, d = {self.hard[0]}, {self.hard[1]}")
        stop.plot(step, run["test_error"], label=f"n, d = {self.samples}, {self.dim}")
        stop.axhline(self.flip / 2, color="0.5", linestyle=":", label="p/2, not claimed as a bound")
        stop.set(xscale="log", xlabel="step + 1", ylabel="test error, true labels", title="early stopping helps")
        for ax in (top, middle, stop):
            ax.legend(frameon=False, fontsize=8)
        return figure


PAPER = Han2025
