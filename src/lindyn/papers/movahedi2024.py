"""Movahedi, Orvieto, Moosavi-Dezfooli (2024): an architecture's average input geometry, and what it lets be learned.

A fixed linear front end B stands for the architecture, so that its average geometry is BᵀB and everything is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

import lindyn as ld
from lindyn.papers.claims import Paper, claim

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KIND = "a result of this kind"
_INPUTS = 32
# pairs of frequencies that span the plane of the circles: both within reach, one, none
_PLANES = {"both within reach": (1, 2), "one out of reach": (1, 12), "both out of reach": (11, 12)}
_FILTER = np.array([1.0, 0.7, 0.4, 0.1, 0.0, 0.0])
_STRENGTHS = np.array([1.0, 0.5, 0.1, 0.0])


class Learner(NamedTuple):
    """One trained classifier: its accuracies, and the share of the change of its geometry that fell on ker B."""

    train: float
    test: float
    leak: float


def waves(count: int) -> np.ndarray:
    """Return the orthonormal real Fourier basis, a row for each frequency 0, 1, …, and their sines after them."""
    k, j = np.mgrid[:count, :count]
    rows = np.where(k <= count // 2, np.cos(2 * np.pi * k * j / count), np.sin(2 * np.pi * (count - k) * j / count))
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def low_pass(cut: float, order: float) -> np.ndarray:
    """Return B that weakens frequency f by 1/(1 + (f/cut)^order); the order infinity removes what is above the cut."""
    basis, frequencies = waves(_INPUTS), np.minimum(np.arange(_INPUTS), _INPUTS - np.arange(_INPUTS))
    strengths = (frequencies <= cut) * 1.0 if np.isinf(order) else 1 / (1 + (frequencies / cut) ** order)
    return (basis.T * strengths) @ basis


@dataclass(frozen=True)
class Movahedi2024(Paper):
    """Settings.

    Attributes:
        width: w of the networks whose geometry starts to change.
        draws: starts to average over.
        narrow: w of the experiment at finite width.
        narrow_draws: starts to average over there.
        threshold: τ of the learning curves.
        lazy: τ of the experiment on delays.
        order: of the soft low-pass before the classifiers.
        cut: its frequency.
        frozen: whether the front end is held fixed, as an architecture is.
        steps: of Adam.
        seeds: classifiers in each plane.
    """

    key: ClassVar[str] = "movahedi2024"
    title: ClassVar[str] = "Geometric Inductive Biases of Deep Networks: The Role of Data and Architecture"
    citation: ClassVar[str] = "movahedi2024geometric"
    summary: ClassVar[str] = "A network learns along the directions in which its architecture changes at all."
    seconds: ClassVar[float] = 35.0
    left_out: ClassVar[str] = (
        "image ResNets on CIFAR, out of reach here; small one-dimensional convolutional networks have a geometry of "
        "full rank and generalise in every plane, so that the effect is shown behind a front end only"
    )

    width: int = 800
    draws: int = 800
    narrow: int = 20
    narrow_draws: int = 5000
    threshold: float = 5.0
    lazy: float = 300.0
    order: float = 4.0
    cut: float = 4.0
    frozen: bool = True
    steps: int = 300
    seeds: int = 3

    # the start

    def _start(self, width: int, draws: int, front_end: np.ndarray) -> tuple[Any, Any, np.ndarray]:
        """Average of G and Δ over starts, the same by the formula, and S, on a regression with random labels."""
        d, outputs, rng = len(front_end), 3, np.random.default_rng(0)
        inputs = rng.standard_normal((40, d)) * np.sqrt(1 + 0.3 * np.arange(d))
        s = inputs.T @ inputs / len(inputs)
        task = ld.tasks.Filtered(ld.Regression(inputs, rng.standard_normal((40, outputs))), front_end=front_end)
        law = ld.networks.Parametrization("Gaussian", width, variance_in=1.0, variance_out=1 / width)
        pairs = [
            ld.prediction.start_geometry(ld.TwoLayer.parametrized(task.shape, law, key=k), task) for k in range(draws)
        ]
        mean = ld.prediction.Geometry(
            np.mean([p.matrix for p in pairs], axis=0), np.mean([p.velocity for p in pairs], axis=0)
        )
        return mean, ld.prediction.average_start_geometry(law, s, outputs, front_end=front_end), s

    @claim(
        "C6.1", "At the start the geometry shrinks along the data that it passes: cosine of Δ and −GSG, w = 800",
        place="theorem on the start", expected=0.999, source="the paper up to the sign; derived, works (15.2)",
        bound="above",
    )  # fmt: skip
    def cosine_of_change(self) -> float:
        """Cosine between the average velocity and −GSG, behind a front end of rank 4 in 6 dimensions."""
        turn = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
        mean, exact, s = self._start(self.width, self.draws, (turn * _FILTER) @ turn.T)
        goal = -exact.matrix @ s @ exact.matrix
        return float(np.sum(mean.velocity * goal) / np.linalg.norm(mean.velocity) / np.linalg.norm(goal))

    @claim(
        "C6.1-width", "At any width there is a term in tr(S) beside it: relative distance of the average over starts",
        place=_KIND, expected=0.05, source="derived, works (15.3)", bound="below",
    )  # fmt: skip
    def distance_at_finite_width(self) -> float:
        """‖Δ − formula‖_F/‖formula‖_F at w = 20 without a front end."""
        mean, exact, _ = self._start(self.narrow, self.narrow_draws, np.eye(6))
        return float(np.linalg.norm(mean.velocity - exact.velocity) / np.linalg.norm(exact.velocity))

    # learning curves behind diag(1, ½, 1/10, 0)

    def _learn(self, threshold: float, times: np.ndarray) -> np.ndarray:
        """J_i(t) of a target of ones, shape (times, directions)."""
        d = len(_STRENGTHS)
        goal = ld.SpikedMatrix(target=np.ones((1, d)))
        task = ld.tasks.Filtered(goal, front_end=np.diag(_STRENGTHS))
        net = ld.TwoLayer.orthogonal(task.shape, threshold=threshold)
        return ld.simulate(net, task, ld.Flow(), times=times, observables="matrix")["matrix"][:, 0] * _STRENGTHS

    @claim(
        "C6.3-curve", "While lazy, direction i is learned as 1 − e^{−2τb_i²t}, and not at all where b_i = 0",
        place=_KIND, expected=0.01, source="derived, works (15.4)", bound="below",
    )  # fmt: skip
    def distance_from_curves(self) -> float:
        """Largest difference at 2τt = 1."""
        found = self._learn(self.threshold, np.array([0.0, 0.5 / self.threshold]))[-1]
        return float(abs(found - (1 - np.exp(-(_STRENGTHS**2)))).max())

    @claim(
        "C6.3-delay", "A direction that the architecture weakens tenfold is learned a hundred times later", place=_KIND,
        expected=100.0, source="derived, works (15.4)", tolerance=0.02, relative=True,
    )  # fmt: skip
    def delay(self) -> float:
        """Ratio of the times at which half of the directions b = 1/10 and b = 1 is learned, deep in the lazy regime."""
        times = np.append(0.0, np.geomspace(0.1, 100, 300) / (2 * self.lazy))
        curves = self._learn(self.lazy, times)
        first, last = (float(np.interp(0.5, curves[:, k], times)) for k in (0, 2))
        return last / first

    # two circles

    def _circles(self, plane: tuple[int, int], count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Circles of radius 1 and 2 in a plane of waves, and noise of deviation 0.3 across it; labels ±1."""
        pair, label = waves(_INPUTS)[list(plane)], rng.integers(0, 2, count)
        angle, noise = rng.uniform(0, 2 * np.pi, count), 0.3 * rng.standard_normal((count, _INPUTS))
        across = noise - noise @ pair.T @ pair
        return across + ((1 + label) * np.array([np.cos(angle), np.sin(angle)])).T @ pair, 2 * label - 1

    def _network(self, front_end: np.ndarray | None) -> Any:
        """Three layers of ReLU units, behind a front end or not."""
        import torch
        from torch import nn

        sizes = [_INPUTS, 128, 128, 1]
        layers = [nn.Linear(a, b, dtype=torch.float64) for a, b in pairwise(sizes)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        parts: list[Any] = [layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]]
        if front_end is not None:
            parts.insert(0, nn.Linear(_INPUTS, _INPUTS, bias=False, dtype=torch.float64))
            parts[0].weight = nn.Parameter(torch.tensor(front_end), requires_grad=not self.frozen)
        return nn.Sequential(*parts)

    def _train(self, front_end: np.ndarray | None, plane: tuple[int, int], seed: int) -> Learner:
        """Train one classifier with Adam on 400 samples, and test it on 2000."""
        import torch

        rng = np.random.default_rng(seed)
        (x, y), (x_test, y_test) = (
            tuple(torch.tensor(part, dtype=torch.float64) for part in self._circles(plane, n, rng)) for n in (400, 2000)
        )
        torch.manual_seed(seed)
        model = self._network(front_end)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
        start = ld.torch.average_geometry(lambda: model, x[:200], draws=1).matrix
        for _ in range(self.steps):
            optimizer.zero_grad()
            torch.nn.functional.softplus(-y * model(x)[:, 0]).mean().backward()
            optimizer.step()
        change = ld.torch.average_geometry(lambda: model, x[:200], draws=1).matrix - start
        with torch.no_grad():
            train, test = (float((b * model(a)[:, 0] > 0).double().mean()) for a, b in ((x, y), (x_test, y_test)))
        blind = np.eye(_INPUTS) if front_end is None else np.eye(_INPUTS) - np.linalg.pinv(front_end) @ front_end
        return Learner(train, test, float(np.linalg.norm(change @ blind) / np.linalg.norm(change)))

    @cached_property
    def plain(self) -> dict[str, list[Learner]]:
        """Classifiers without a front end, in each plane."""
        return {name: [self._train(None, p, k) for k in range(self.seeds)] for name, p in _PLANES.items()}

    @cached_property
    def filtered(self) -> dict[str, list[Learner]]:
        """Classifiers behind the soft low-pass, in each plane."""
        front = low_pass(self.cut, self.order)
        return {name: [self._train(front, p, k) for k in range(self.seeds)] for name, p in _PLANES.items()}

    @staticmethod
    def _accuracy(runs: list[Learner]) -> float:
        return float(np.mean([run.test for run in runs]))

    @claim(
        "C6.2-plain", "Fully connected networks tell two circles apart in every plane: test accuracy", place="Figure 1",
        expected=0.98, source=_KIND, bound="above",
    )  # fmt: skip
    def accuracy_of_plain(self) -> float:
        """Smallest mean accuracy over the planes."""
        return min(map(self._accuracy, self.plain.values()))

    @claim(
        "C6.2-inside", "Behind a low-pass they do so in the plane of two low waves", place="Figure 1",
        expected=0.98, source=_KIND, bound="above",
    )  # fmt: skip
    def accuracy_inside(self) -> float:
        """Mean accuracy in that plane."""
        return self._accuracy(self.filtered["both within reach"])

    @claim(
        "C6.2-half", "They do so badly where one of the two is out of reach", place="Figure 1",
        expected=0.8, source=_KIND, bound="below",
    )  # fmt: skip
    def accuracy_in_part(self) -> float:
        """Mean accuracy in that plane."""
        return self._accuracy(self.filtered["one out of reach"])

    @claim(
        "C6.2-outside", "They guess where both are", place="Figure 1", expected=0.5, source=_KIND, tolerance=0.03,
    )  # fmt: skip
    def accuracy_outside(self) -> float:
        """Mean accuracy in that plane."""
        return self._accuracy(self.filtered["both out of reach"])

    @claim(
        "C6.2-train", "All of them have learned their training data", place="Figure 1",
        expected=0.995, source=_KIND, bound="above",
    )  # fmt: skip
    def train_accuracy(self) -> float:
        """Smallest training accuracy."""
        runs = [*self.plain.values(), *self.filtered.values()]
        return min(run.train for each in runs for run in each)

    @claim(
        "C6.3", "The geometry never changes along directions out of reach: share of the change that falls on ker B",
        place="the invariance hypothesis", expected=1e-10, source="derived, works (15.4)", bound="below",
    )  # fmt: skip
    def leak(self) -> float:
        """Largest share over two classifiers behind a sharp low-pass."""
        front = low_pass(self.cut, np.inf)
        return max(self._train(front, _PLANES[name], 0).leak for name in ("both within reach", "one out of reach"))

    @cached_property
    def geometry(self) -> Any:
        """Average geometry of networks behind the soft low-pass, at the start."""
        import torch

        inputs = torch.randn(32, _INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        front = low_pass(self.cut, self.order)
        return ld.torch.average_geometry(lambda: self._network(front), inputs, draws=100)

    @claim(
        "C6.4", "The average geometry of a ReLU network behind B is BᵀB: cosine of the two", place=_KIND,
        expected=0.99, source="derived, works (15.1); measured, (15.5)", bound="above",
    )  # fmt: skip
    def alignment_with_front_end(self) -> float:
        """Alignment of the measured average with BᵀB for the cut at frequency 4."""
        front = low_pass(4.0, 4.0)
        return float(self.geometry.alignment(front.T @ front))

    def figure(self) -> Figure:
        """Draw the accuracies, the learning curves behind a front end, and the measured average geometry."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(11, 3.6), layout="constrained")
        accuracy, curves, spectrum = figure.subplots(1, 3)
        for shift, (label, found) in zip(
            (-0.2, 0.2), (("plain", self.plain), ("low-pass", self.filtered)), strict=True
        ):
            places = np.arange(len(found)) + shift
            accuracy.bar(places, [self._accuracy(runs) for runs in found.values()], 0.4, label=label)
        accuracy.axhline(0.5, color="k", linewidth=0.8, linestyle=":")
        accuracy.set_xticks(range(len(_PLANES)), ["both\nwithin", "one\noutside", "both\noutside"])
        accuracy.set(ylabel="test accuracy", ylim=(0, 1.25), title="Two circles: waves of the plane")
        accuracy.legend(frameon=False, fontsize=8, ncols=2)
        times = np.append(0.0, np.geomspace(3e-3, 30, 60))
        learned = self._learn(self.threshold, times)
        for k, b in enumerate(_STRENGTHS):
            curves.plot(times[1:], learned[1:, k], color=f"C{k}", label=f"b = {b:g}")
            curves.plot(times[1:], 1 - np.exp(-2 * self.threshold * b**2 * times[1:]), "k--", linewidth=0.8)
        curves.plot([], "k--", linewidth=0.8, label="lazy law (15.4)")
        curves.set(
            xscale="log",
            xlabel="flow time",
            ylabel="share learned",
            title=f"Directions behind B, τ = {self.threshold:g}",
        )
        curves.legend(frameon=False, fontsize=7, handlelength=1.2)
        values = np.linalg.eigvalsh(low_pass(self.cut, self.order))[::-1] ** 2
        spectrum.semilogy(self.geometry.eigenvalues / self.geometry.eigenvalues.sum(), "o", ms=4, label="ReLU networks")
        spectrum.semilogy(values / values.sum(), "k-", lw=1, label="$B^T B$")
        spectrum.set(xlabel="direction", ylabel="eigenvalue, as a share", title="Average geometry at the start")
        spectrum.legend(frameon=False, fontsize=8)
        return figure


PAPER = Movahedi2024
