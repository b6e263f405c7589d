"""Kunin et al. (2024), "Get rich quick": balance δ = a² − ‖w‖² of a neuron, and how it sets the regime.

δ > 0 is called upstream here (the early layer moves fastest) and δ < 0 downstream.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import lindyn as ld
from lindyn.papers.claims import Paper, claim
from lindyn.papers.two_layer_relu import Change, train
from lindyn.prediction import output_sign

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIMES = np.append(np.linspace(0, 20, 201), 200.0)  # the last for the end
_NEURON = "Figures 2 to 4a"
_DATA = np.array([[0.5, 1.0]]), np.array([[1.1]])  # published, Figure 4b
_LOW_RANK_START = np.array([0.4, 0.05])  # ½(0.6·(1, −½) + 0.4·(½, 1))
# (d_in, width, d_out), and the sign of δ for which the larger layer fills its side
_FILLING = (((6, 3, 3), 1), ((3, 3, 6), -1), ((6, 6, 3), -1), ((3, 6, 6), 1), ((4, 4, 4), 1), ((4, 4, 4), -1))
_DELAYED = (((6, 3, 3), -1), ((3, 3, 6), 1), ((6, 4, 3), -1))


def neuron(balance: float, beta: np.ndarray) -> ld.TwoLayer:
    """Return f = a·wᵀx with a·w = β, a > 0 and a² − ‖w‖² = δ."""
    a = np.sqrt((balance + np.hypot(balance, 2 * np.linalg.norm(beta))) / 2)
    return ld.TwoLayer.from_weights(beta[None, :] / a, [[a]])


def flow(net: ld.TwoLayer, inputs: Any, outputs: Any, times: Any, rtol: float) -> np.ndarray:
    """Return β(t) of ẇ = a r, ȧ = w·r, r = Xᵀ(y − X a w), by SciPy: shape (times, d)."""

    def velocity(_: float, v: np.ndarray) -> np.ndarray:
        residual = inputs.T @ (outputs - inputs @ (v[-1] * v[:-1]))
        return np.append(v[-1] * residual, v[:-1] @ residual)

    first = np.append(net.w1[0], net.w2[0])
    states = solve_ivp(velocity, (0, times[-1]), first, "DOP853", times, rtol=rtol, atol=0.01 * rtol).y
    beta: np.ndarray = (states[-1] * states[:-1]).T
    return beta


class _Run(NamedTuple):
    """β(t), kernel distance and distance of the closed form from SciPy's solution of the two equations."""

    beta: np.ndarray
    kernel: np.ndarray
    error: float


@dataclass(frozen=True)
class Kunin2024(Paper):
    """Settings.

    Attributes:
        start: β₀ of the neuron.
        balances: δ of its starts: downstream, balanced, upstream.
        rtol: relative tolerance of the independent integrations.
        until: flow time of the end, in the experiments on few samples and on basins.
        starts: random starts of the experiment on basins.
        imbalance: |δ| of the wide networks.
        ratio: their threshold over |δ|, ½ by the theory.
        scale: √(‖w‖·|a|) of the ReLU neurons.
    """

    key: ClassVar[str] = "kunin2024"
    title: ClassVar[str] = (
        "Get rich quick: exact solutions reveal how unbalanced initializations promote rapid feature learning"
    )
    citation: ClassVar[str] = "kunin2024get"
    summary: ClassVar[str] = (
        "Layers of unequal size at the start make a network lazy, rich, or first lazy and then rich."
    )
    seconds: ClassVar[float] = 14.0
    left_out: ClassVar[str] = (
        "the grid of 289 ReLU cells at 16 seeds and a million steps; the experiments on images, text and arithmetic"
    )

    start: tuple[float, float] = (-1.0, 0.0)
    balances: tuple[float, ...] = (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
    rtol: float = 1e-12
    until: float = 200.0
    starts: int = 2000
    imbalance: float = 3.0
    ratio: float = 0.5
    scale: float = 0.1

    # one neuron on white inputs

    @cached_property
    def neurons(self) -> dict[float, _Run]:
        """For each δ: the closed form (8.3) through `simulate`, and SciPy's flow."""
        target, found = np.array([0.0, 1.0]), {}
        for balance in self.balances:
            net, task = neuron(balance, np.array(self.start)), ld.SpikedMatrix(target=target[None, :])
            run = ld.simulate(net, task, ld.ClosedForm(), times=TIMES, observables=["matrix", "ntk_distance"])
            beta = run["matrix"][:, 0]
            error = abs(beta - flow(net, np.eye(2), target, TIMES, self.rtol)).max()
            found[balance] = _Run(beta, run["ntk_distance"], float(error))
        return found

    @claim(
        "R2-1", "The neuron has a closed form for every δ", place=_NEURON,
        expected=1e-8, source="derived, works (8.3)", bound="below",
    )  # fmt: skip
    def error_of_closed_form(self) -> float:
        """Largest distance of β from SciPy's solution over δ and time."""
        return max(run.error for run in self.neurons.values())

    @claim(
        "R2-1-kernel", "The kernel turns by 1/(1 + 2a⁴ + 2a⁸), a² = ½(δ + √(δ² + 4)): most where downstream",
        place=_NEURON, expected=0.0, source="derived, works (8.8)", tolerance=1e-4,
    )  # fmt: skip
    def error_of_kernel(self) -> float:
        """Largest deviation of the final kernel distance over δ."""
        a4 = {d: ((d + np.sqrt(d * d + 4)) / 2) ** 2 for d in self.balances}
        return max(abs(float(run.kernel[-1]) - 1 / (1 + 2 * a4[d] + 2 * a4[d] ** 2)) for d, run in self.neurons.items())

    @claim(
        "R2-1-balanced", "At δ = 0 the kernel distance ends at 0.2, and never exceeds it (published code: 0.218)",
        place=_NEURON, expected=0.2, source="derived, works (8.8)", tolerance=1e-4,
    )  # fmt: skip
    def peak_of_balanced(self) -> float:
        """Largest kernel distance at δ = 0."""
        return float(self.neurons[0.0].kernel.max())

    # few samples

    @claim(
        "R2-2", "With fewer samples than inputs, δ chooses the interpolant", place="Figure 4b",
        expected=1e-8, source="derived, works (8.7)", bound="below",
    )  # fmt: skip
    def error_of_limit(self) -> float:
        """Largest distance of the flow's end from `ld.prediction.limit`, over δ."""
        task, nets = ld.Regression(*_DATA), [neuron(balance, _LOW_RANK_START) for balance in self.balances]
        ends = (flow(net, _DATA[0], _DATA[1][0], [self.until], 1e-12)[0] for net in nets)
        return max(
            float(abs(ld.prediction.limit(net, task)[0] - end).max()) for net, end in zip(nets, ends, strict=True)
        )

    # basins

    @claim(
        "R2-3", "The sign that the output weight ends with is known at the start", place="appendix, Figure 7",
        expected=0.0, source="derived, works (8.4)",
    )  # fmt: skip
    def wrong_signs(self) -> float:
        """Number of random starts whose sign after the flow is not the one foretold."""
        rng = np.random.default_rng(0)
        targets, w = rng.normal(size=(self.starts, 3)), 2 * rng.normal(size=(self.starts, 3))
        a = rng.normal(size=self.starts) * rng.choice([0.1, 1.0], self.starts)
        told = [
            output_sign(ld.TwoLayer.from_weights(w[k : k + 1], [[a[k]]]), ld.SpikedMatrix(target=targets[k : k + 1]))
            for k in range(self.starts)
        ]

        def velocity(_: float, flat: np.ndarray) -> np.ndarray:
            v = flat.reshape(4, -1)
            residual = targets.T - v[3] * v[:3]
            return np.concatenate([v[3] * residual, (v[:3] * residual).sum(0)[None]]).ravel()

        first = np.concatenate([w.T, a[None]]).ravel()
        # the slowest start escapes at rate ψ − |δ|/2; 1e-9 keeps rounding from choosing a side
        end = solve_ivp(velocity, (0, self.until), first, "DOP853", rtol=1e-9, atol=1e-12).y[-self.starts :, -1]
        return float(np.count_nonzero(np.sign(end) != told))

    # speed against richness

    @cached_property
    def times(self) -> dict[float, float]:
        """Time to a cost of 1 % for each δ."""
        task = ld.SpikedMatrix(target=[[0.0, 1.0]])
        found = {}
        for balance in self.balances:
            net = neuron(balance, np.array(self.start))
            exact = ld.solutions.NarrowSolution(task.target, net.w1, net.w2)
            cost = lambda t, exact=exact: float(task.cost(exact(t))) - 0.01  # noqa: E731
            found[balance] = brentq(cost, 0.0, 100.0, xtol=1e-8)
        return found

    @claim(
        "R2-4", "Downstream is rich and slow: learning takes 7.7 times as long at δ = −4 as at 0", place=_NEURON,
        expected=7.7, source="derived, works (8.3)", tolerance=0.1,
    )  # fmt: skip
    def slowness_downstream(self) -> float:
        """Time to 1 % at the smallest δ over that at 0."""
        return self.times[self.balances[0]] / self.times[0.0]

    @claim(
        "R2-4-upstream", "Upstream is fast and lazy: at δ = 4 the kernel turns by 1/130 of what it does at 0",
        place=_NEURON, expected=0.01, source="derived, works (8.8)", bound="below",
    )  # fmt: skip
    def turn_upstream(self) -> float:
        """Final kernel distance at the largest δ over that at 0."""
        return float(self.neurons[self.balances[-1]].kernel[-1] / self.neurons[0.0].kernel[-1])

    # wide networks

    def _distance(self, shape: tuple[int, int, int], sign: int) -> float:
        """Distance of a δ-balanced network's flow from the mixed dynamics with τ = |δ|/2, relative to the target."""
        (d_in, width, d_out), rng = shape, np.random.default_rng(sum(shape))
        start, target = 0.1 * rng.normal(size=(d_out, d_in)), rng.normal(size=(d_out, d_in))
        u, s, vt = np.linalg.svd(start, full_matrices=False)
        start = (u[:, :width] * s[:width]) @ vt[:width]
        net = ld.TwoLayer.balanced(width=width, imbalance=self.imbalance * sign, start=start)
        times = np.linspace(0, 8, 41)
        mixed = ld.solutions.MixedSolution(target, self.ratio * self.imbalance, start)(times)
        return float(abs(ld.solutions.NarrowSolution(target, net.w1, net.w2)(times) - mixed).max() / abs(target).max())

    @claim(
        "R2-5", "Wide networks whose larger layer fills its side follow the mixed dynamics with τ = |δ|/2",
        place="section on wide networks", expected=1e-7, source="derived, works (8.9)", bound="below",
    )  # fmt: skip
    def distance_where_filling(self) -> float:
        """Largest distance over six pairs of shape and sign."""
        return max(self._distance(shape, sign) for shape, sign in _FILLING)

    @claim(
        "R2-5-delayed", "Others are first lazy and then rich, which no fixed threshold describes",
        place="section on wide networks", expected=0.1, source="a result of this kind; derived, works (8.9)",
        bound="above",
    )  # fmt: skip
    def distance_where_delayed(self) -> float:
        """Smallest distance over three pairs."""
        return min(self._distance(shape, sign) for shape, sign in _DELAYED)

    # two layers of ReLU neurons

    @cached_property
    def students(self) -> dict[float, list[Change]]:
        """After 100 steps at δ = ±1 and 1000 at −⅛, two students each."""
        plan = {1.0: 100, -1.0: 100, -0.125: 1000}
        return {d: [train(self.scale, d, seed, steps) for seed in (0, 1)] for d, steps in plan.items()}

    @claim(
        "R2-6", "Upstream, 20 of 50 ReLU neurons' activations change within 100 steps", place="Figure 1b",
        expected=20.31, source="its published code, largest of 16 seeds", tolerance=0.1, relative=True,
    )  # fmt: skip
    def flipped_upstream(self) -> float:
        """Largest Hamming distance at scale 0.1, δ = 1, step 100."""
        return max(change.hamming for change in self.students[1.0])

    @claim(
        "R2-6-pair", "Per distance of the parameters, activations change far less downstream", place="Figure 1b",
        expected=0.1, source="a result of this kind; measured", bound="below",
    )  # fmt: skip
    def flips_per_distance(self) -> float:
        """Hamming over parameter distance at δ = −1, over that at δ = 1: the largest downstream, the least upstream."""
        down, up = ([c.hamming / c.parameters for c in self.students[d]] for d in (-1.0, 1.0))
        return max(down) / min(up)

    @claim(
        "R2-6-kernel", "At δ = −⅛ the kernel of ReLU students turns by 0.54 within 1000 steps", place="Figure 1b",
        expected=0.537, source="its published code, largest of 16 seeds", tolerance=0.1, relative=True,
    )  # fmt: skip
    def turn_of_relu_kernel(self) -> float:
        """Largest kernel distance at scale 0.1."""
        return max(change.kernel for change in self.students[-0.125])

    def figure(self) -> Figure:
        """Draw the paths of β, the kernel's turn over time, and speed against richness."""
        from matplotlib import colormaps
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10.5, 3.6), layout="constrained")
        paths, turns, trade = figure.subplots(1, 3)
        colours = colormaps["coolwarm"](np.linspace(0, 1, len(self.balances)))
        for shade, (balance, run) in zip(colours, self.neurons.items(), strict=True):
            colour = "0.4" if balance == 0 else shade
            paths.plot(*run.beta.T, color=colour, label=f"δ = {balance:g}")
            turns.plot(TIMES[:-1], run.kernel[:-1], color=colour)
            trade.plot(self.times[balance], run.kernel[-1], "o", color=colour)
            trade.annotate(f"{balance:g}", (self.times[balance], run.kernel[-1]), (5, 3), textcoords="offset points")
        paths.set(xlabel="$\\beta_1$", ylabel="$\\beta_2$", title="path of the neuron", aspect="equal")
        paths.plot(*self.start, "ks")
        paths.plot(0, 1, "k*")
        paths.legend(frameon=False, fontsize=7)
        turns.set(xlabel="flow time", ylabel="kernel distance from the start", title="rich where it is large")
        trade.set(xlabel="time to a cost of 1 %", ylabel="final kernel distance", title="fast against rich, by δ")
        trade.set(xscale="log", yscale="log", xlim=(0.4, 50))
        return figure


PAPER = Kunin2024
