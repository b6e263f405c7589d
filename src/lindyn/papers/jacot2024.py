"""Jacot, Súkeník, Wang, Mondelli (2024): wide networks trained with weight decay end in neural collapse.

Digits through a ReLU network with a head of linear layers. Weight decay balances the head, and a balanced head that
interpolates has collapsed features; every number comes from `lindyn.torch`, as it would for a model of one's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

import lindyn as ld
from lindyn.papers.claims import Paper, claim
from lindyn.papers.handwritten import digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KIND = "a result of this kind"
_LAWS = ((0.01, 0.0), (0.3, 0.0), (3.0, 0.02), (3.0, 0.1))  # τ, μ
_CLASSES, _EACH = 4, 6  # K and N/K of the exact law
_TIMES = np.linspace(0, 8, 33)
_RECORDS = 16  # of one training, beside the start


class Training(NamedTuple):
    """Steps that were recorded, `NeuralCollapse` and `Balancedness` there, and what is known at the end alone.

    That is κ(Π)^{1/L₂} of the head, and NC1 of the images that the bound is held against.
    """

    steps: list[int]
    collapse: list[Any]
    pairs: list[list[Any]]
    product: float
    held: float

    def decays(self, across: str) -> np.ndarray:
        """|D(t)|/|D(0)| of the pairs across nothing ("linear") or a ReLU, shape (records, pairs)."""
        sizes = np.array([[p.size for p in pairs if p.across == across] for pairs in self.pairs])
        return sizes / sizes[0]


@dataclass(frozen=True)
class Jacot2024(Paper):
    """Settings.

    Attributes:
        heads: numbers of linear layers at the end.
        steps: full-batch descent steps.
        rate: η.
        decay: μ.
        decays: μ of the experiment on scaling, each trained for one time μt.
        optimizer: of torch.optim.
        each: images of each digit.
        unseen: further images of each digit, whose NC1 the bound is held against at the end; of the same ones if 0.
        short: steps of the experiment on the recursion.
        power: of e^{−μt} in τ(t) of the exact law, 2 by (2.8).
        noise_rate: η of the experiment with label noise.
    """

    key: ClassVar[str] = "jacot2024"
    title: ClassVar[str] = "Wide Neural Networks Trained with Weight Decay Provably Exhibit Neural Collapse"
    citation: ClassVar[str] = "jacot2024wide"
    summary: ClassVar[str] = "Weight decay balances linear layers, and balanced layers that interpolate collapse."
    seconds: ClassVar[float] = 60.0
    left_out: ClassVar[str] = (
        "ResNet20 on CIFAR10 and MLPs on MNIST (here 200 digits); that gradient descent gets there"
    )

    heads: tuple[int, ...] = (1, 2, 3, 5)
    steps: int = 8000
    rate: float = 0.2
    decay: float = 2e-3
    decays: tuple[float, ...] = (2e-3, 4e-3, 8e-3)
    optimizer: str = "SGD"
    each: int = 20
    unseen: int = 0
    short: int = 300
    power: float = 2.0
    noise_rate: float = 0.0025

    @classmethod
    def published(cls) -> Jacot2024:
        """Return the experiments with a smaller decay in the scaling: half as long again."""
        return cls(decays=(1e-3, 2e-3, 4e-3, 8e-3))

    # digits

    def _model(self, head: int) -> Any:
        """64 – 48 – 48 with ReLU, then `head` linear layers over 24 units, and the optimiser; no biases."""
        import torch
        from torch import nn

        widths = [64, 48, 48, *[24] * (head - 1), 10]
        layers: list[Any] = []
        generator = torch.Generator().manual_seed(0)
        for k, (below, above) in enumerate(pairwise(widths)):
            layers.append(nn.Linear(below, above, bias=False, dtype=torch.float64))
            nn.init.normal_(layers[-1].weight, std=((2 if k < 2 else 1) / below) ** 0.5, generator=generator)
            layers += [nn.ReLU()] if k < 2 else []
        model = nn.Sequential(*layers)
        settings = {"lr": self.rate if self.optimizer == "SGD" else 1e-3, "weight_decay": self.decay}
        return model, getattr(torch.optim, self.optimizer)(model.parameters(), **settings)

    @staticmethod
    def _tensors(found: Any) -> tuple[Any, Any]:
        import torch

        return torch.tensor(found.images), torch.tensor(found.labels)

    @cached_property
    def data(self) -> Any:
        """Images, digits and one-hot targets as tensors."""
        import torch

        inputs, labels = self._tensors(digits(self.each))
        return inputs, labels, torch.nn.functional.one_hot(labels).double()

    def _train(self, head: int) -> Training:
        model, optimizer = self._model(head)
        inputs, labels, targets = self.data
        records = Training([], [], [], 0.0, 0.0)
        for step in range(self.steps + 1):
            if step % max(1, self.steps // _RECORDS) == 0:
                records.steps.append(step)
                records.collapse.append(ld.torch.neural_collapse(model, (inputs, labels)))
                records.pairs.append(ld.torch.balancedness(model))
            optimizer.zero_grad()
            (0.5 * (model(inputs) - targets).square().sum() / len(labels)).backward()
            optimizer.step()
        weights = [layer.weight.detach().numpy() for layer in model[4:]]
        s = np.linalg.svd(weights[0] if head == 1 else np.linalg.multi_dot(weights[::-1]), compute_uv=False)
        held = ld.torch.neural_collapse(model, self._tensors(digits(self.each + self.unseen))).nc1
        return records._replace(product=float(s[0] / s[9]) ** (1 / head), held=held)

    @cached_property
    def trainings(self) -> dict[int, Training]:
        """One for each head."""
        return {head: self._train(head) for head in self.heads}

    @property
    def _deep(self) -> list[Training]:
        return [run for head, run in self.trainings.items() if head > 1]

    def _distance_from_decay(self, across: str) -> float:
        """Largest relative difference between |D(t)|/|D(0)| and e^{−2μt}."""
        worst = 0.0
        for run in self._deep:
            law = np.exp(-2 * self.decay * self.rate * np.array(run.steps))[:, None]
            worst = max(worst, float(abs(run.decays(across) / law - 1).max()))
        return worst

    @claim(
        "C7.1", "Weight decay balances consecutive linear layers, |D(t)| = e^{−2μt}|D(0)|", place="Figures 1, 4",
        expected=0.05, source="derived, works (11.1)", bound="below",
    )  # fmt: skip
    def imbalance_of_linear_pairs(self) -> float:
        """Largest relative distance from the law, over every linear pair and record."""
        return self._distance_from_decay("linear")

    @claim(
        "C7.1-relu", "Across a ReLU only the diagonal of D obeys that law", place="Figures 1, 4",
        expected=0.05, source="derived, works (11.3)", bound="below",
    )  # fmt: skip
    def imbalance_of_relu_pairs(self) -> float:
        """Largest relative distance of the diagonal from the law."""
        return self._distance_from_decay("ReLU")

    @claim(
        "C7.1-descent", "Descent: D ← (1 − ημ)²D + η²(∇ᵀ∇ above − ∇∇ᵀ below), exactly, for any loss", place=_KIND,
        expected=1e-12, source="derived, works (11.2)", bound="below",
    )  # fmt: skip
    def error_of_recursion(self) -> float:
        """Largest ‖D − D of the recursion‖_F/‖D(0)‖_F in two runs of a head of three layers."""
        from torch.nn import functional

        worst = 0.0
        inputs, labels, targets = self.data
        for loss in (functional.cross_entropy, lambda out, _: (out - targets).square().mean()):
            model, optimizer = self._model(3)
            pairs = [(model[4].weight, model[5].weight), (model[5].weight, model[6].weight)]
            start = expected = [(b.T @ b - a @ a.T).detach() for a, b in pairs]
            for _ in range(self.short):
                optimizer.zero_grad()
                loss(model(inputs), labels).backward()
                drift = [b.grad.T @ b.grad - a.grad @ a.grad.T for a, b in pairs]
                shrink = (1 - self.rate * self.decay) ** 2
                expected = [shrink * d + self.rate**2 * e for d, e in zip(expected, drift, strict=True)]
                optimizer.step()
            errors = [(b.T @ b - a @ a.T - d).detach().norm() for (a, b), d in zip(pairs, expected, strict=True)]
            worst = max(worst, *(float(e / d.norm()) for e, d in zip(errors, start, strict=True)))
        return worst

    @claim(
        "C7.2", "The class means are the better conditioned the more linear layers: NC2 of a head over the next",
        place="Figure 2", expected=1.0, source="the paper, as its reviews tell", bound="above",
    )  # fmt: skip
    def fall_of_nc2(self) -> float:
        """Smallest ratio of NC2 between heads that follow one another."""
        found = [run.collapse[-1].nc2 for run in self.trainings.values()]
        return min(a / b for a, b in pairwise(found))

    @claim(
        "C7.2-weights", "At interpolation NC2 is the condition number of the last layer", place="Theorem 5.2",
        expected=0.04, source="derived, works (11.6)", bound="below",
    )  # fmt: skip
    def nc2_against_weights(self) -> float:
        """Largest |NC2/κ(W_L) − 1| over the heads."""
        return max(abs(run.collapse[-1].nc2 / run.collapse[-1].condition - 1) for run in self.trainings.values())

    @claim(
        "C7.2-product", "κ(W_L) is the L₂-th root of the condition number of the head's product", place="Theorem 5.2",
        expected=0.01, source="derived, works (11.6)", bound="below",
    )  # fmt: skip
    def condition_against_product(self) -> float:
        """Largest relative difference over the heads of two layers and more."""
        return max(abs(run.collapse[-1].condition / run.product - 1) for run in self._deep)

    @claim(
        "C7.2-collapse", "Two linear layers or more: NC1 falls to a hundredth", place="Figure 2",
        expected=1e-2, source="the paper, as its reviews tell", bound="below",
    )  # fmt: skip
    def final_nc1(self) -> float:
        """Largest NC1 at the end, over the heads of two layers and more."""
        return max(run.collapse[-1].nc1 for run in self._deep)

    @claim(
        "C7.3", "Balancedness and training error bound NC1 at every step: the bound over NC1", place="Theorem 3.1",
        expected=1.0, source="derived, works (11.4)", bound="above",
    )  # fmt: skip
    def certificate_along(self) -> float:
        """Smallest certificate/NC1 over heads and records."""
        along = min(found.certificate / found.nc1 for run in self._deep for found in run.collapse)
        return min(along, *(run.collapse[-1].certificate / run.held for run in self._deep))

    @claim(
        "C7.3-end", "The bound comes near: over NC1 at the end", place="Theorem 3.1",
        expected=5.0, source="derived, works (11.4)", bound="below",
    )  # fmt: skip
    def certificate_at_the_end(self) -> float:
        """Largest certificate/NC1 at the end."""
        return max(run.collapse[-1].certificate / run.collapse[-1].nc1 for run in self._deep)

    @claim(
        "C7.3-nc3", "Class means turn to the rows of the last layer as its weights say: NC3",
        place="not in the figures", expected=0.01, source="derived, works (11.6)", bound="below",
    )  # fmt: skip
    def nc3_against_weights(self) -> float:
        """Largest |NC3/(that of the weights) − 1|, heads of two layers and more."""
        return max(abs(run.collapse[-1].nc3 / run.collapse[-1].nc3_of_weights - 1) for run in self._deep)

    # exact laws of the mixed regime

    def _law(self, threshold: float, decay: float) -> tuple[np.ndarray, np.ndarray]:
        """NC1(t) of a network's flow with decay, and of (11.5) with the mode of √(N/K)."""
        labels = np.repeat(np.arange(_CLASSES), _EACH)
        task, mode = ld.SpikedMatrix(target=np.eye(_CLASSES)[:, labels]), ld.SpikedMatrix(target=[[_EACH**0.5]])
        net = ld.TwoLayer.orthogonal(task.shape, threshold=threshold)
        seen = [ld.observables.collapse(labels)]
        run = ld.simulate(net, task, ld.Flow(weight_decay=decay), times=_TIMES, observables=seen)
        formula = ld.Mixed(threshold, weight_decay=decay)
        m = ld.simulate(formula, mode, ld.Flow(), times=_TIMES, observables="matrix")["matrix"][:, 0, 0]
        tau = threshold * np.exp(-self.power * decay * _TIMES)
        return np.asarray(run["nc1"]), tau * (labels.size - _CLASSES) / ((_CLASSES - 1) * np.hypot(m, tau))

    @cached_property
    def laws(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """NC1 of the flow and of the law, for each τ and μ."""
        return [self._law(*setting) for setting in _LAWS]

    @claim(
        "C7.4", "In the mixed regime NC1(t) = τ(t)(N − K)/((K − 1)√(m² + τ²)): lazy networks do not collapse",
        place=_KIND, expected=0.01, source="derived, works (11.5)", bound="below",
    )  # fmt: skip
    def distance_from_law(self) -> float:
        """Largest relative difference, four pairs (τ, μ)."""
        return max(float(abs(found / law - 1).max()) for found, law in self.laws)

    @claim(
        "C7.4-noise", "Label noise acts on the imbalance as weight decay does: its rate over ην²d", place=_KIND,
        expected=1.0, source="derived, works (11.8)", tolerance=0.03, relative=True,
    )  # fmt: skip
    def rate_of_noise(self) -> float:
        """Fitted rate of ⟨D, D(0)⟩ in one run of a square network at its minimum, over the formula's."""
        d, variance = 16, 16.0
        target = np.diag(np.linspace(2, 1, d))
        net = ld.TwoLayer.orthogonal(threshold=4.0, start=target)
        task = ld.Regression(d**0.5 * np.eye(d), d**0.5 * target)
        formula = ld.dynamics.NoisyLabels.under_noise(net, learning_rate=self.noise_rate, deviation=variance**0.5)
        steps = int(1.5 / (self.noise_rate * formula.noise_rate))
        method = ld.GradientDescent(learning_rate=self.noise_rate, steps=steps, label_noise=(variance * d) ** 0.5)
        run = ld.simulate(net, task, method, save_every=max(1, steps // 20), observables=["w1", "w2"])
        imbalances = [a @ a.T - b.T @ b for a, b in zip(run["w1"], run["w2"], strict=True)]
        left = np.log([np.sum(each * imbalances[0]) / np.sum(imbalances[0] ** 2) for each in imbalances])
        return -float(left @ run.time / (run.time @ run.time)) / formula.noise_rate

    @cached_property
    def scaling(self) -> list[Any]:
        """`NeuralCollapse` of a head of three layers at the end of training at each decay, for one time μt."""
        ends = []
        for decay in self.decays:
            if decay == self.decay and 3 in self.heads:
                ends.append(self.trainings[3].collapse[-1])
                continue
            other = replace(self, decay=decay, steps=round(self.steps * self.decay / decay))
            ends.append(other._train(3).collapse[-1])
        return ends

    @claim(
        "C7.5", "NC1 at the end is of the order of the decay: NC1 ∝ μ^p", place="not tested there",
        expected=1.2, source="a result of this kind; measured, 1 to 1.4", tolerance=0.2,
    )  # fmt: skip
    def power_of_decay(self) -> float:
        """Fitted power."""
        return float(np.polyfit(np.log(self.decays), np.log([found.nc1 for found in self.scaling]), 1)[0])

    def figure(self) -> Figure:
        """Draw the decay of D, the collapse with its bound, NC2 against the head's depth, and the exact law."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10.5, 7), layout="constrained")
        (decays, bounds), (depths, laws) = figure.subplots(2, 2)
        head = max(self.heads)
        run = self.trainings[head]
        time = self.rate * np.array(run.steps)
        decays.plot(time, run.decays("linear"), "o", ms=4, color="C0")
        decays.plot(time, run.decays("ReLU"), "x", color="C1")
        decays.plot(time, np.exp(-2 * self.decay * time), "k-", lw=1, label="$e^{-2\\mu t}$")
        decays.plot([], "o", color="C0", label="linear pairs")
        decays.plot([], "x", color="C1", label="across ReLU, diagonal")
        decays.set(yscale="log", xlabel="time ηn", ylabel="‖D(t)‖ / ‖D(0)‖", title=f"Imbalance, head of {head}")
        for k, (head, run) in enumerate(self.trainings.items()):
            bounds.plot(run.steps, [found.nc1 for found in run.collapse], color=f"C{k}", label=f"head of {head}")
            bound = [found.certificate if math.isfinite(found.certificate) else np.nan for found in run.collapse]
            bounds.plot(run.steps, bound, "--", color=f"C{k}")
        bounds.set(yscale="log", xlabel="step", ylabel="NC1", title="Collapse (solid) and its bound (dashed)")
        ends = [run.collapse[-1] for run in self.trainings.values()]
        depths.plot(self.heads, [found.nc2 for found in ends], "o-", label="NC2")
        depths.plot(self.heads, [found.condition for found in ends], "s--", label="$\\kappa(W_L)$")
        depths.set(
            xticks=self.heads,
            xlabel="linear layers",
            ylabel="condition number",
            title="Conditioning of the class means",
        )
        for k, ((tau, mu), (found, law)) in enumerate(zip(_LAWS, self.laws, strict=True)):
            laws.plot(_TIMES, found, "o", ms=4, color=f"C{k}", label=f"τ = {tau:g}, μ = {mu:g}")
            laws.plot(_TIMES, law, color="k", lw=1)
        laws.set(yscale="log", xlabel="flow time", ylabel="NC1", title="Law (11.5) (lines) and flow of the layers")
        for ax in (decays, bounds, depths):
            ax.legend(frameon=False, fontsize=8)
        laws.legend(frameon=False, fontsize=8, loc="center right", bbox_to_anchor=(1, 0.35))
        return figure


PAPER = Jacot2024
