"""Tu, Aranguri, Jacot (2024), the paper that the library implements: its Figures 1 and 2 and the abstract's claims."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

import lindyn as ld
from lindyn.papers.claims import Paper, claim

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ABSTRACT = "abstract, section 3"


class _Phase(NamedTuple):
    """Smallest test error, stable rank there and steps until it, at two points on each side of the black line."""

    active: np.ndarray
    deeper: np.ndarray
    lazy: np.ndarray


@dataclass(frozen=True)
class Tu2024(Paper):
    """Settings.

    Attributes:
        dim: d of Figure 1.
        seed: of task and weights of Figure 1; at 18 its ‖A*‖, which sets the learning rate, is close to the published.
        variance_exponent: γ_σ² of Figure 1.
        width_exponent: γ_w of Figure 1.
        threshold: τ of the experiments on single modes; those on growth and completion start at a share of it.
        width: of the network whose growth is followed.
        starts: random starts of the experiment on convergence.
        until: how long these run, in units of 1/s_min of the target; balanced dynamics runs a quarter of it.
        seen: share of the entries that completion sees.
        diagram_dim: d of Figure 2.
        exponents: γ_σ² of three points of Figure 2 at w = d²: active, deeper in the active region, lazy.
    """

    key: ClassVar[str] = "tu2024"
    title: ClassVar[str] = "Mixed Dynamics In Linear Networks: Unifying the Lazy and Active Regimes"
    citation: ClassVar[str] = "tu2024mixed"
    summary: ClassVar[str] = "One formula for lazy and active training, with a threshold τ = σ²w for each mode."
    seconds: ClassVar[float] = 20.0
    left_out: ClassVar[str] = (
        "the whole of Figure 2 by descent takes five minutes: lindyn phase-diagram --preset figure2 --source descend"
    )

    dim: int = 500
    seed: int = 18
    variance_exponent: float = -1.85
    width_exponent: float = 2.25
    threshold: float = 1.0
    width: int = 10**7
    starts: int = 20
    until: float = 50.0
    seen: float = 0.4
    diagram_dim: int = 200
    exponents: tuple[float, float, float] = (-2.0, -2.5, -0.7)

    # Figure 1

    @cached_property
    def figure_1(self) -> tuple[Any, Any]:
        """Exact descent at width d^2.25 and the formula, by the paper's settings (theory section 4)."""
        task = ld.SpikedMatrix(dim=self.dim, rank=5, key=self.seed)
        net = ld.TwoLayer.exponents(self.dim, self.variance_exponent, self.width_exponent, key=self.seed)
        method = ld.GradientDescent(learning_rate="figure1", steps=100, order="sequential")
        descent = ld.simulate(net, task, method, save_every=5)
        return descent, ld.simulate(ld.Mixed.matching(net), task, times=descent)

    @claim(
        "figure-1-train", "At step 50 the train error of descent is 0.043", place="Figure 1",
        expected=0.043, source="the paper; eight other draws gave 0.048 to 0.066", tolerance=0.012,
    )  # fmt: skip
    def train_error_at_50(self) -> float:
        """Train error per entry at step 50."""
        return float(self.figure_1[0]["train_error"][10])

    @claim(
        "figure-1-test", "At step 50 the test error of descent is 0.648", place="Figure 1",
        expected=0.648, source="the paper; eight other draws gave 0.57 to 0.64", tolerance=0.04,
    )  # fmt: skip
    def test_error_at_50(self) -> float:
        """Test error per entry at step 50."""
        return float(self.figure_1[0]["test_error"][10])

    @claim(
        "figure-1-formula", "The formula lies on the curves of descent", place="Figure 1",
        expected=0.03, source="derived, theory (2.3): finite width and step size", bound="below",
    )  # fmt: skip
    def distance_of_formula(self) -> float:
        """Largest difference of the test error, relative to the error of predicting zero."""
        return ld.compare(*self.figure_1).largest("test_error")

    # one mode

    @cached_property
    def modes(self) -> dict[float, tuple[float, float]]:
        """For modes of 100 τ and τ/100: largest distance from the lazy and from the active curve, over s."""
        tau, found = self.threshold, {}
        net = ld.TwoLayer.gaussian(2, width=10**12, variance=1e-12, key=0)
        for s in (100.0, 0.01):
            times = np.linspace(0.0, 8 / (2 * np.hypot(s, 1.0)), 41)
            task = ld.SpikedMatrix(target=np.diag([s, s]))
            run = ld.simulate(net, task, ld.Flow(), times=times, observables="matrix")
            learned = run["matrix"][:, 0, 0]
            lazy = s * (1 - np.exp(-2 * tau * times))
            active = s / (1 + (2 * s / tau) * np.exp(-2 * s * times))
            found[s] = float(abs(learned - lazy).max() / s), float(abs(learned - active).max() / s)
        return found

    @claim(
        "threshold", "A mode above τ = σ²w follows the active curve", place=_ABSTRACT,
        expected=0.02, source="derived, theory (3.2)", bound="below",
    )  # fmt: skip
    def active_above(self) -> float:
        """Distance of a mode at 100 τ from the sigmoid, over s."""
        return self.modes[100.0][1]

    @claim(
        "threshold-lazy", "A mode below τ follows the lazy curve", place=_ABSTRACT,
        expected=0.02, source="derived, theory (3.2)", bound="below",
    )  # fmt: skip
    def lazy_below(self) -> float:
        """Distance of a mode at τ/100 from the exponential, over s."""
        return self.modes[0.01][0]

    @cached_property
    def growth(self) -> Any:
        """A wide network from a small start: singular values and alignment of the signal's modes."""
        task = ld.SpikedMatrix(dim=200, rank=3, key=0)
        net = ld.TwoLayer.gaussian(200, width=self.width, variance=2 * self.threshold / self.width, key=1)
        method = ld.GradientDescent(learning_rate=0.01 / task.scale(), steps=700)
        seen = [ld.simulation.singular_values(1), ld.simulation.alignment(task.signal)]
        return ld.simulate(net, task, method, observables=seen, save_every=5)

    @property
    def _crossing(self) -> int:
        """The first record at which the largest mode is above τ; the last one if it never is."""
        above = self.growth["singular_values"][:, 0] > self.growth.info.threshold
        return int(np.argmax(above)) if above.any() else len(above) - 1

    @claim(
        "alignment", "Modes align with the task before they cross τ", place=_ABSTRACT,
        expected=0.95, source="a result of this kind; measured", bound="above",
    )  # fmt: skip
    def alignment_at_crossing(self) -> float:
        """Mean alignment of the three signal modes when the first crosses τ."""
        return float(self.growth["alignment"][self._crossing].mean())

    @claim(
        "acceleration", "Hardly anything is learned until then, and growth speeds up after", place=_ABSTRACT,
        expected=0.05, source="a result of this kind; measured", bound="below",
    )  # fmt: skip
    def learned_at_crossing(self) -> float:
        """Share of the largest mode that is learned when it crosses τ."""
        top = self.growth["singular_values"][:, 0]
        return float(top[self._crossing] / top[-1])

    # convergence and bias

    @cached_property
    def converged(self) -> tuple[int, int, int]:
        """Of the random starts: reached by mixed, by balanced dynamics, and those with det A(0)·det T > 0."""
        rng, reached, right = np.random.default_rng(0), {"mixed": 0, "balanced": 0}, 0
        for _ in range(self.starts):
            target, start = rng.standard_normal((2, 6, 6))
            right += bool(np.linalg.det(target) * np.linalg.det(start) > 0)
            late = self.until / np.linalg.svd(target, compute_uv=False)[-1]
            task = ld.SpikedMatrix(target=target)
            # balanced dynamics on the wrong side sits at a saddle, which rounding would leave in the end
            for system, time in ((ld.Mixed(0.1 * self.threshold, start), late), (ld.Balanced(start), late / 4)):
                run = ld.simulate(system, task, times=[0.0, time], observables="train_error")
                reached[system.name] += bool(run["train_error"][-1] < 1e-6)
        return reached["mixed"], reached["balanced"], right

    @claim(
        "converges", "The mixed dynamics converges from every random start", place=_ABSTRACT,
        expected=1.0, source="the paper",
    )  # fmt: skip
    def share_of_mixed(self) -> float:
        """Share of random starts from which the mixed dynamics reaches the target."""
        return self.converged[0] / self.starts

    @claim(
        "balanced-stalls", "The balanced one does not, from a start on the wrong side", place=_ABSTRACT,
        expected=0.0, source="derived: the sign of det A is conserved",
    )  # fmt: skip
    def balanced_beyond_sign(self) -> float:
        """Starts reached by balanced dynamics, less those with the right sign of the determinant."""
        return float(self.converged[1] - self.converged[2])

    @cached_property
    def completion(self) -> tuple[float, float]:
        """Error on all entries after completion from a share of them, at equal train error: mixed and lazy."""
        task = ld.SpikedMatrix(dim=60, rank=2, noise=0.0, key=0).observe(self.seen, key=1)
        seen, times = ["test_error", "train_error"], [0.0, 3.0]
        systems = ld.Mixed(threshold=0.01 * self.threshold), ld.Lazy(threshold=1.0)
        runs = (ld.simulate(s, task, ld.Flow(rtol=1e-7), times=times, observables=seen) for s in systems)
        mixed, lazy = (float(run["test_error"][-1]) for run in runs)
        return mixed, lazy

    @claim(
        "low-rank-bias", "The mixed dynamics has a low-rank bias", place=_ABSTRACT,
        expected=0.01, source="a result of this kind; measured", bound="below",
    )  # fmt: skip
    def mixed_completes(self) -> float:
        """Error per entry of the mixed dynamics on all entries of a rank-2 matrix."""
        return self.completion[0]

    @claim(
        "no-lazy-bias", "The lazy dynamics has none", place=_ABSTRACT,
        expected=0.3, source="a result of this kind; measured", bound="above",
    )  # fmt: skip
    def lazy_does_not(self) -> float:
        """Error per entry of the lazy dynamics on all entries."""
        return self.completion[1]

    # Figure 2, by the theory

    @cached_property
    def phases(self) -> _Phase:
        """Three points at w = d²; by default γ_σ² + γ_w is 0 (active), −0.5 (deeper) and 1.3 (lazy)."""
        points = []
        for gamma in self.exponents:
            law = ld.laws.exponents(self.diagram_dim, variance_exponent=gamma, width_exponent=2.0)
            run = ld.predict(self.diagram_dim, law, rank=5, steps=750)
            best = int(np.argmin(run["test_error"]))
            points.append(np.array([run["test_error"][best], run["stable_rank"][best], run.step[best]]))
        return _Phase(*points)

    @claim(
        "figure-2-active", "In the active region the test error becomes small", place="Figure 2",
        expected=0.1, source="the paper's panel", bound="below",
    )  # fmt: skip
    def active_error(self) -> float:
        """Smallest predicted test error per entry."""
        return float(self.phases.active[0])

    @claim(
        "figure-2-lazy", "In the lazy region it does not", place="Figure 2",
        expected=0.4, source="the paper's panel", bound="above",
    )  # fmt: skip
    def lazy_error(self) -> float:
        """Smallest predicted test error per entry."""
        return float(self.phases.lazy[0])

    @claim(
        "figure-2-price", "Deeper in the active region training takes longer", place="Figure 2",
        expected=1.2, source="a result of this kind; theory section 4", bound="above",
    )  # fmt: skip
    def price_of_depth(self) -> float:
        """Steps to the smallest test error half a unit of γ_σ² deeper, over those before."""
        return float(self.phases.deeper[2] / self.phases.active[2])

    def figure(self) -> Figure:
        """Draw Figure 1."""
        return ld.plots.figure1(*self.figure_1, signal_modes=5)


PAPER = Tu2024
