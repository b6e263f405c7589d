"""Dominé et al. (2024), "From lazy to rich": λ-balanced networks, W2ᵀW2 − W1W1ᵀ = λI, and what λ does to learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import lindyn as ld
from lindyn.papers.claims import Paper, claim

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# (d_in, width, d_out); the settings of the checks that prepared this file
_SHAPES = ((4, 4, 4), (6, 3, 3), (3, 3, 6), (6, 6, 3), (3, 6, 6), (5, 2, 4), (6, 4, 3), (3, 4, 6))
_IMBALANCES = (-10.0, -2.0, 0.0, 2.0, 10.0)
_MAP = (-10.0, -5.0, -2.0, 0.0, 2.0, 5.0, 10.0)
_REVERSED = np.array([2.0, 1.5, 1.0, 0.5])
_BRANCHES = (8, 4, 2, 1)


def flow(net: ld.TwoLayer, target: np.ndarray, times: Sequence[float], rtol: float) -> list[tuple[np.ndarray, ...]]:
    """Return W1, W2 under Ẇ1 = −W2ᵀG, Ẇ2 = −GW1ᵀ, by SciPy."""
    cut, shapes = net.w1.size, (net.w1.shape, net.w2.shape)

    def layers(v: np.ndarray) -> tuple[np.ndarray, ...]:
        return v[:cut].reshape(shapes[0]), v[cut:].reshape(shapes[1])

    def velocity(_: float, v: np.ndarray) -> np.ndarray:
        first, second = layers(v)
        gradient = second @ first - target
        return -np.concatenate([(second.T @ gradient).ravel(), (gradient @ first.T).ravel()])

    start = np.concatenate([net.w1.ravel(), net.w2.ravel()])
    states = solve_ivp(velocity, (0, times[-1]), start, "DOP853", times, rtol=rtol, atol=0.01 * rtol).y
    return [layers(v) for v in states.T]


def start(shape: tuple[int, int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Return an A(0) that the width allows."""
    d_in, width, d_out = shape
    matrix: np.ndarray = scale * rng.normal(size=(d_out, width)) @ rng.normal(size=(width, d_in)) / d_in
    return matrix


def hierarchy() -> np.ndarray:
    """Return properties (15) of items (8): shared by all, by halves, by pairs, and by one item each."""
    return np.concatenate([np.kron(np.eye(8 // size), np.ones((1, size))) for size in _BRANCHES])


@dataclass(frozen=True)
class Domine2024(Paper):
    """Settings.

    Attributes:
        rtol: relative tolerance of the independent integrations.
        rate: learning rate of descent, halved once.
        strong: |λ| of a strongly unbalanced start.
        sides: d_in of the funnel and d_out of the inverted funnel, beside 4.
        draws: starts and targets of each cell of the map.
        delayed: λ of the delayed networks.
        learned: share of the first task that is learned when reversal and transfer begin.
        stuck: λ of the reversal that stops.
        span: flow time of each task of the sequence.
        samples: of noise.
    """

    key: ClassVar[str] = "domine2024"
    title: ClassVar[str] = "From Lazy to Rich: Exact Learning Dynamics in Deep Linear Networks"
    citation: ClassVar[str] = "domine2024lazy"
    summary: ClassVar[str] = "The relative size of the layers, λ, sets the regime, and with it what is kept and reused."
    seconds: ClassVar[float] = 9.0
    left_out: ClassVar[str] = "the speed of fine-tuning (appendix D.4), whose setting was not found"

    rtol: float = 1e-12
    rate: float = 0.002
    strong: float = 10.0
    sides: tuple[int, int] = (8, 8)
    draws: int = 3
    delayed: tuple[float, ...] = (-20.0, -80.0)
    learned: float = 1.0
    stuck: float = 0.0
    span: float = 30.0
    samples: int = 20_000

    # the solution

    @claim(
        "R1-1", "λ-balanced networks of any shape have a closed form, features and kernel too", place="Figures 1 to 3",
        expected=1e-8, source="a result of this kind; derived, works (17.2)", bound="below",
    )  # fmt: skip
    def error_of_solution(self) -> float:
        """Largest distance of A, C1 and C2 from SciPy's, over eight shapes and five λ, relative to the largest."""
        worst, times = 0.0, [0.5, 2.0, 6.0]
        for shape in _SHAPES:
            (d_in, width, d_out), rng = shape, np.random.default_rng(sum(shape))
            for value in _IMBALANCES:
                if width > (d_out if value > 0 else d_in if value < 0 else min(d_in, d_out)):
                    continue  # such a network does not exist (17.1)
                net = ld.TwoLayer.balanced(width=width, imbalance=value, start=start(shape, 0.3, rng))
                target = rng.normal(size=(d_out, d_in))
                exact = ld.solutions.NarrowSolution(target, net.w1, net.w2)
                for time, (first, second) in zip(times, flow(net, target, times, self.rtol), strict=True):
                    stacked, own = np.vstack([first.T, second]), exact.factors(time)
                    mine = np.vstack([own[0].T, own[1]])
                    blocks = stacked @ stacked.T
                    worst = max(worst, float(abs(mine @ mine.T - blocks).max() / abs(blocks).max()))
        return worst

    @claim(
        "R1-1-descent", "Descent follows it with an error that halves with the learning rate", place="Figures 1 to 3",
        expected=2.0, source="derived, theory (1.2)", tolerance=0.1,
    )  # fmt: skip
    def order_of_descent(self) -> float:
        """Error of A at time 1 at one learning rate over that at half of it."""
        rng = np.random.default_rng(0)
        net = ld.TwoLayer.balanced(width=4, imbalance=-2.0, start=start((4, 4, 4), 0.3, rng))
        task, errors = ld.SpikedMatrix(target=rng.normal(size=(4, 4))), []
        exact = ld.solutions.NarrowSolution(task.target, net.w1, net.w2)(1.0)
        for rate in (self.rate, self.rate / 2):
            method = ld.GradientDescent(learning_rate=rate, steps=round(1 / rate))
            run = ld.simulate(net, task, method, save_every=method.steps, observables="matrix")
            errors.append(abs(run["matrix"][-1] - exact).max())
        return float(errors[0] / errors[1])

    # architecture and sign

    @cached_property
    def turns(self) -> dict[str, np.ndarray]:
        """Final kernel distance of three architectures, each of shape (λ, draws)."""
        shapes = {"square": (4, 4, 4), "funnel": (self.sides[0], 4, 4), "inverted": (4, 4, self.sides[1])}
        return {name: np.array([self._turns(shape, value) for value in self.map]) for name, shape in shapes.items()}

    @property
    def map(self) -> list[float]:
        """λ of the map: `_MAP` with ±`strong` at its ends."""
        return [np.sign(value) * self.strong if abs(value) == 10 else value for value in _MAP]

    def _turns(self, shape: tuple[int, int, int], imbalance: float) -> list[float]:
        d_in, width, d_out = shape
        long, found = max(d_in, d_out), []
        for draw in range(self.draws):
            rng = np.random.default_rng(draw)
            # one problem for both funnels: the inverted one is its mirror image
            out, into = np.linalg.qr(rng.normal(size=(4, 4)))[0], np.linalg.qr(rng.normal(size=(long, 4)))[0]
            target, first = (out * np.linspace(2, 1, 4)) @ into.T, 0.1 * rng.normal(size=(4, long)) / 2
            if d_out > d_in:
                target, first = target.T, first.T
            net = ld.TwoLayer.balanced(width=width, imbalance=imbalance, start=first)
            until = 20 * max(1.0, abs(imbalance))
            run = ld.simulate(
                net, ld.SpikedMatrix(target=target), ld.ClosedForm(), times=[0, until], observables="ntk_distance"
            )
            found.append(float(run["ntk_distance"][-1]))
        return found

    @claim(
        "R1-2-square", "Square networks are lazy for large λ of either sign", place="Figure 5, theorem C.6",
        expected=1e-3, source="a result of this kind; derived, works (17.5)", bound="below",
    )  # fmt: skip
    def square_is_lazy(self) -> float:
        """Largest kernel distance at ±`strong`."""
        return float(self.turns["square"][[0, -1]].max())

    @claim(
        "R1-2-lazy", "Funnels are lazy for λ → ∞, inverted funnels for λ → −∞", place="Figure 5, theorem C.6",
        expected=1e-3, source="a result of this kind; derived, works (17.5)", bound="below",
    )  # fmt: skip
    def lazy_side(self) -> float:
        """Largest kernel distance on the lazy sides."""
        return float(max(self.turns["funnel"][-1].max(), self.turns["inverted"][0].max()))

    @claim(
        "R1-2-delayed", "On their other side they are rich in the end", place="Figure 5, theorem C.6",
        expected=0.2, source="a result of this kind; derived, works (17.5)", bound="above",
    )  # fmt: skip
    def delayed_side(self) -> float:
        """Smallest kernel distance on the delayed sides."""
        return float(min(self.turns["funnel"][0].min(), self.turns["inverted"][-1].min()))

    @claim(
        "R1-2-mirror", "The two funnels are mirror images", place="Figure 5, theorem C.6",
        expected=0.0, source="a result of this kind; derived, works (17.5)", tolerance=1e-6,
    )  # fmt: skip
    def asymmetry(self) -> float:
        """Largest difference between a funnel at λ and its mirror image at −λ."""
        return float(abs(self.turns["funnel"] - self.turns["inverted"][::-1]).max())

    @claim(
        "R1-3", "Delayed networks align at (|λ|/2s²) ln(1/c₀² − 1)", place="Figure 5",
        expected=1.0, source="a result of this kind; derived, works (17.6)", tolerance=0.02,
    )  # fmt: skip
    def time_of_alignment(self) -> float:
        """Time at which cos² = ½ over the formula, of the λ where it is farthest from 1."""
        ratios = []
        for value in self.delayed:
            rng = np.random.default_rng(0)
            target, first = rng.normal(size=(2, 64))
            target /= np.linalg.norm(target)
            net = ld.TwoLayer.balanced(width=1, imbalance=value, start=1e-3 * first[None, :])
            exact = ld.solutions.NarrowSolution(target[None, :], net.w1, net.w2)

            def beyond(time: float, exact: ld.solutions.NarrowSolution = exact, target: np.ndarray = target) -> float:
                w = exact.factors(time)[0][0]
                return float((w @ target) ** 2 / (w @ w)) - 0.5

            formula = 0.5 * abs(value) * np.log(1 / (beyond(0.0) + 0.5) - 1)
            ratios.append(brentq(beyond, 0.0, 3 * formula) / formula)
        return float(max(ratios, key=lambda ratio: abs(ratio - 1)))

    # one task after another

    @claim(
        "R1-4", "Reversing what was learned takes the time of its formula", place="appendix D.2",
        expected=0.0, source="a result of this kind; derived, works (17.7)", tolerance=1e-6,
    )  # fmt: skip
    def error_of_reversal(self) -> float:
        """Largest relative deviation of each mode from 99 % of its reversal at the time foretold, over four λ."""
        worst = 0.0
        for value in (10.0, 2.0, 0.2, 0.002):
            s, m = _REVERSED, 0.99 * _REVERSED
            times = ld.solutions.mode_time(s, value / 2, m, start=-s)
            net = ld.TwoLayer.balanced(width=4, imbalance=value, start=self.learned * np.diag(s))
            exact = ld.solutions.NarrowSolution(-np.diag(s), net.w1, net.w2)
            reached = np.array([exact(time)[k, k] for k, time in enumerate(times)])
            worst = max(worst, float(abs(reached / m + 1).max()))
        return worst

    @claim(
        "R1-4-stuck", "At λ = 0 reversal stops halfway, with a quarter of the cost", place="appendix D.2",
        expected=0.25, source="a result of this kind; derived, works (17.7)", tolerance=1e-3,
    )  # fmt: skip
    def cost_when_stuck(self) -> float:
        """Cost over the first at s·t = 12, before rounding, which grows like e^{2st}, leaves the saddle."""
        net = ld.TwoLayer.balanced(width=4, imbalance=self.stuck, start=np.diag(_REVERSED))
        left = ld.solutions.NarrowSolution(-np.diag(_REVERSED), net.w1, net.w2)(6.0) + np.diag(_REVERSED)
        return float((left**2).sum() / (4 * (_REVERSED**2).sum()))

    @cached_property
    def sequence(self) -> tuple[ld.Trajectory, float]:
        """Four tasks in turn, d = 5, λ = 1; and the distance of every cost from SciPy's."""
        rng, times = np.random.default_rng(0), np.linspace(0, self.span, 31)
        first = now = ld.TwoLayer.balanced(width=5, imbalance=1.0, start=start((5, 5, 5), 0.1, rng))
        targets, costs = rng.normal(size=(4, 5, 5)), []
        for target in targets:
            states = flow(now, target, list(times), self.rtol)
            costs += [[0.5 * ((second @ w1 - t) ** 2).sum() for t in targets] for w1, second in states]
            now = ld.TwoLayer.from_weights(*states[-1])
        tasks = [ld.SpikedMatrix(target=target) for target in targets]
        run = ld.simulate(first, tasks, ld.ClosedForm(), times=times, observables="train_error")
        return run, float(abs(run["task_costs"] - np.array(costs)).max())

    @claim(
        "R1-5", "Continual learning is the same solution, restarted", place="appendix D.1",
        expected=1e-7, source="a result of this kind; derived, works (17.8)", bound="below",
    )  # fmt: skip
    def error_of_sequence(self) -> float:
        """Largest distance of the four costs from SciPy's."""
        return self.sequence[1]

    @claim(
        "R1-5-forgetting", "In the end half the squared distance of the tasks is forgotten", place="appendix D.1",
        expected=1.0, source="a result of this kind; derived, works (17.8)", tolerance=1e-3,
    )  # fmt: skip
    def forgotten(self) -> float:
        """Cost of the first task at the end, over ½‖T_last − T_first‖²."""
        run, targets = self.sequence[0], np.random.default_rng(0)
        start((5, 5, 5), 0.1, targets)
        first, *_, last = targets.normal(size=(4, 5, 5))
        return float(run["task_costs"][-1, 0] / (0.5 * ((last - first) ** 2).sum()))

    # representations

    def _learned(self, target: np.ndarray, imbalance: float) -> ld.TwoLayer:
        return ld.TwoLayer.balanced(width=target.shape[1], imbalance=imbalance, start=self.learned * target)

    @claim(
        "R1-6-noise", "Noise on the parameters costs more the larger |λ|", place="Figure 4",
        expected=0.0, source="a result of this kind; derived, works (17.9)", tolerance=0.01,
    )  # fmt: skip
    def error_of_noise(self) -> float:
        """Largest relative distance of the mean cost of noisy networks from the formula, λ = 0, 2, 10."""
        rng, sigma, worst = np.random.default_rng(0), 0.05, 0.0
        for value in (0.0, 2.0, 10.0):
            target = rng.normal(size=(4, 4))
            net = ld.TwoLayer.balanced(width=4, imbalance=value, start=target)
            first, second = (w + sigma * rng.normal(size=(self.samples, 4, 4)) for w in (net.w1, net.w2))
            found = ((second @ first - target) ** 2).sum(axis=(1, 2)).mean()
            total = np.hypot(value, 2 * np.linalg.svd(target, compute_uv=False)).sum()
            worst = max(worst, abs(found / (4 * sigma**2 * total + 64 * sigma**4) - 1))
        return float(worst)

    @cached_property
    def transfer(self) -> dict[float, tuple[float, float]]:
        """A new property learned on item 0: its value on the nearest item, features frozen, and all trained."""
        found, item = {}, np.eye(8)[:1]
        for value in (-20.0, -2.0, 0.0, 2.0, 20.0):
            net = self._learned(hierarchy(), value)
            gram = net.w1.T @ net.w1
            fresh = ld.TwoLayer.from_weights(net.w1, np.zeros((1, 8)))
            task = ld.Regression(item, np.ones((1, 1)))
            run = ld.simulate(fresh, task, ld.Flow(), times=[0, 30 / min(1.0, gram[0, 0])], observables="matrix")
            found[value] = float(gram[1, 0] / gram[0, 0]), float(run["matrix"][-1, 0, 1])
        return found

    @claim(
        "R1-6-transfer", "With frozen features transfer grows with λ: .007, .21, .43, .61, .745", place="appendix D.3",
        expected=0.0, source="a result of this kind; derived, works (17.10)", tolerance=1e-3,
    )  # fmt: skip
    def error_of_transfer(self) -> float:
        """Largest deviation at λ = −20, −2, 0, 2, 20 from the value by the eigenvalues 15, 7, 3, 1 of the hierarchy."""
        worst = 0.0
        for value, (frozen, _) in self.transfer.items():
            whole, half, pair, item = (np.hypot(value, 2 * np.sqrt([15, 7, 3, 1])) - value) / 2
            shared = whole / 8 + half / 8 + pair / 4
            worst = max(worst, abs(frozen - (shared - item / 2) / (shared + item / 2)))
        return float(worst)

    @claim(
        "R1-6-trained", "If the features go on learning, it falls again for large λ", place="appendix D.3",
        expected=-0.1, source="a result of this kind; measured", bound="below",
    )  # fmt: skip
    def fall_when_trained(self) -> float:
        """Value on the nearest item at λ = 20 less that at λ = 2, everything trained."""
        return self.transfer[20.0][1] - self.transfer[2.0][1]

    def figure(self) -> Figure:
        """Draw the map of architectures, the costs of four tasks in turn, and transfer against λ."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        turned, costs, transfer = figure.subplots(1, 3)
        for name, mark in (("square", "s"), ("funnel", "v"), ("inverted", "^")):
            turned.plot(self.map, self.turns[name].mean(axis=1), marker=mark, label=name)
        turned.set(xlabel="λ", ylabel="final kernel distance", title="architecture and sign")
        run = self.sequence[0]
        for task in range(4):
            costs.plot(run.time, run["task_costs"][:, task], label=f"task {task + 1}")
        costs.set(xlabel="flow time", ylabel="cost", title="four tasks in turn, λ = 1", ylim=(-1, 36))
        for row, name in enumerate(("features frozen", "all trained")):
            transfer.plot(list(self.transfer), [pair[row] for pair in self.transfer.values()], "o-", label=name)
        transfer.set(xlabel="λ", ylabel="value on the nearest item", title="transfer")
        for ax in (turned, costs, transfer):
            ax.legend(frameon=False, fontsize=8, ncols=2 if ax is costs else 1)
        return figure


PAPER = Domine2024
