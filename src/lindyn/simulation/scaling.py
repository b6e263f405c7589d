"""Powers of time and compute: the exponent of a loss with the window it holds in, the best model for a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lindyn.simulation.trajectory import Trajectory
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

# halves of a window whose slopes differ by less are one power, and one of a smaller fall is a plateau
_STEADY, _FALL = 0.01, 0.1
_FEWEST = 5


@dataclass(frozen=True)
class ScalingExponent:
    """A power of time, y ~ t^−χ, and where it was found.

    Attributes:
        exponent: χ, from the straight line of ln y against ln t by least squares.
        uncertainty: the larger of the standard error of that line and half the difference between the window's halves.
        window: first and last time, or compute.
        records: how many points lie in it.
        halves: χ of the first and of the second half of the window.
        name: of y.
    """

    exponent: float
    uncertainty: float
    window: tuple[float, float]
    records: int
    halves: tuple[float, float]
    name: str

    @property
    def steady(self) -> bool:
        """Whether the halves of the window agree within 0.01."""
        return abs(self.halves[1] - self.halves[0]) <= _STEADY

    def __str__(self) -> str:
        """The power with its uncertainty and window, and whether it still changes there."""
        low, high = self.window
        text = (
            f"{self.name} falls with the power {self.exponent:.4g} ± {self.uncertainty:.2g} "
            f"between {low:.3g} and {high:.3g} ({self.records} records)"
        )
        if self.steady:
            return text
        return f"{text}; it still changes there, from {self.halves[0]:.3g} to {self.halves[1]:.3g}"

    __repr__ = __str__


def _fit(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], name: str) -> ScalingExponent:
    """Fit −slope of ln y against ln x, of all points and of each half."""
    a, b = np.log(x), np.log(y)
    middle = 0.5 * (a[0] + a[-1])

    def slope(chosen: Any) -> float:
        return -float(np.polyfit(a[chosen], b[chosen], 1)[0])

    whole = slope(slice(None))
    first, second = a <= middle + 1e-9, a >= middle - 1e-9
    halves = tuple(slope(h) if h.sum() > 1 else whole for h in (first, second))
    left = b - b.mean() + whole * (a - a.mean())
    error = math.sqrt(float(left @ left) / max(a.size - 2, 1) / float(np.sum((a - a.mean()) ** 2)))
    uncertainty = max(error, 0.5 * abs(halves[1] - halves[0]))
    return ScalingExponent(whole, uncertainty, (float(x[0]), float(x[-1])), a.size, (halves[0], halves[1]), name)


def scaling_exponent(
    run: Trajectory,
    observable: str = "loss",
    *,
    window: tuple[float, float] | None = None,
    decades: float = 1.0,
    floor: float = 0.0,
) -> ScalingExponent:
    """Return χ of y − floor ~ t^−χ, −d ln y/d ln t, with the window it was fitted in and its uncertainty.

    Left out, the window is the last one of `decades` in which both halves give the same power within 0.01, plateaus
    (a fall of less than 10 %) excepted; if there is none, the window in which they differ least, and the result says
    that the power still changes. It is the power in that window: what comes later the records cannot say.

    Args:
        run: a trajectory with times that span more than one window, best on a logarithmic grid.
        observable: a recorded number, y.
        window: first and last time to fit.
        decades: length of the windows that are tried, in powers of ten.
        floor: what y ends at, taken off before the fit; ≥ 0.

    Raises:
        InvalidArgument: an observable that was not recorded or is not a single number, values at or below the floor,
            fewer than five records in a window, or a loss that does not fall.

    References:
        works (10.4).

    Examples:
        >>> import numpy as np, lindyn as ld
        >>> task = ld.PowerLaw(capacity=2.0, source=0.5, modes=10**14)
        >>> run = ld.simulate(ld.Lazy(0.5), task, times=np.geomspace(1e2, 1e8, 61), observables="loss")
        >>> found = ld.simulation.scaling_exponent(run)
        >>> round(found.exponent, 4), found.uncertainty < 1e-4, found.records
        (0.5, True, 11)
    """
    low, high = (0.0, math.inf) if window is None else _ends(window)
    time, values = _series(run, observable, checks.number("floor", floor, at_least=0), (low, high))
    if window is not None:
        if time.size < _FEWEST:
            raise checks.InvalidArgument(
                "window", f"hold at least {_FEWEST} records", f"it holds {time.size}", "record more times"
            )
        return _fit(time, values, observable)
    share = 10 ** checks.number("decades", decades, above=0, at_most=300) * (1 - 1e-9)
    found = []
    for k in range(time.size):
        end = int(np.searchsorted(time, time[k] * share))
        if end >= time.size or end - k + 1 < _FEWEST:
            continue
        if math.log(values[k] / values[end]) > _FALL:
            found.append(_fit(time[k : end + 1], values[k : end + 1], observable))
    if not found:
        raise checks.InvalidArgument(
            "run",
            f"hold {decades:g} decades of time with {_FEWEST} records in which {observable!r} falls by 10 %",
            f"its {time.size} records from {time[0]:.3g} to {time[-1]:.3g} hold none",
            "record more times, or give a `window`",
        )
    steady = [one for one in found if one.steady]
    return steady[-1] if steady else min(found, key=lambda one: abs(one.halves[1] - one.halves[0]))


def _ends(window: Any) -> tuple[float, float]:
    """Return the two times of a window."""
    ends = checks.listed("window", window, "a pair of times")
    if len(ends) != 2:
        raise checks.InvalidArgument("window", "be a pair of times", f"it has {len(ends)} entries")
    return checks.number("window", ends[0], at_least=0), checks.number("window", ends[1], above=0)


def _series(
    run: Any, observable: str, floor: float, window: tuple[float, float] = (0.0, math.inf)
) -> tuple[np.ndarray, np.ndarray]:
    """Return times above 0 and within a window, and what is above the floor there."""
    if not isinstance(run, Trajectory):
        raise checks.InvalidArgument("run", "be a Trajectory", f"it is {type(run).__name__}", "simulate it first")
    checks.choice("observable", observable, list(run.keys()))
    values = np.asarray(run[observable], np.float64)
    if values.ndim != 1:
        raise checks.InvalidArgument("observable", "be a single number a record", f"its shape is {values.shape[1:]}")
    low, high = window
    later = (run.time > 0) & (run.time >= low * (1 - 1e-9)) & (run.time <= high * (1 + 1e-9))
    time, above = run.time[later], values[later] - floor
    if not np.all(above > 0):
        raise checks.InvalidArgument(
            "floor" if floor else "run",
            f"be below all values of {observable!r}" if floor else f"keep {observable!r} above 0",
            f"{int(np.sum(~(above > 0)))} of {above.size} values are not above {floor:g}",
            "give a window that ends earlier, or a lower floor",
        )
    return time, above


def _mean_series(draws: Sequence[Trajectory], observable: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of several draws of one model, and their mean."""
    series = [_series(draw, observable, 0.0) for draw in draws]
    time = series[0][0]
    if any(not np.array_equal(one, time) for one, _ in series):
        raise checks.InvalidArgument("runs", "have equal times where they are draws of one size", "they differ")
    return time, np.mean([values for _, values in series], axis=0)


@dataclass(frozen=True, eq=False)
class ComputeFrontier:
    """The best that a budget C = N·t can buy, among models of several sizes N.

    Attributes:
        compute: C, on a logarithmic grid that every size reaches.
        loss: smallest loss at that compute, shape (compute,).
        size: the size that has it.
        sizes: all sizes that were compared, increasing.
        losses: loss of each size at that compute, shape (sizes, compute).
        exponent: of the loss against compute, fitted where neither the smallest nor the largest size is best; None
            where that holds at fewer than five points.
        size_exponent: N* ~ C^ this, by the same points; None likewise.
    """

    compute: Float[np.ndarray, " points"]
    loss: Float[np.ndarray, " points"]
    size: Float[np.ndarray, " points"]
    sizes: Float[np.ndarray, " sizes"]
    losses: Float[np.ndarray, "sizes points"]
    exponent: ScalingExponent | None
    size_exponent: float | None

    @property
    def capped(self) -> np.ndarray:
        """Where the smallest or the largest size is best: the frontier goes on beyond the sizes compared."""
        return (self.size == self.sizes[0]) | (self.size == self.sizes[-1])

    def __str__(self) -> str:
        """Range, powers, and how much of the frontier the sizes cap."""
        head = f"frontier of {self.sizes.size} sizes, compute {self.compute[0]:.3g} … {self.compute[-1]:.3g}"
        capped = f"{int(self.capped.sum())} of {self.compute.size} points have the smallest or the largest size"
        if self.exponent is None:
            return f"{head}: {capped}, and too few are left to fit a power"
        return f"{head}: {self.exponent}; best size ~ compute^{self.size_exponent:.3g}; {capped}"

    __repr__ = __str__

    def to_xarray(self) -> xarray.Dataset:
        """Return the frontier over "compute" and the losses of all sizes, with the powers as attributes."""
        import xarray as xr

        variables = {
            "loss": ("compute", self.loss, {"long_name": "smallest loss", "units": "target²"}),
            "best_size": ("compute", self.size, {"long_name": "size that has it", "units": "1"}),
            "capped": ("compute", self.capped, {"long_name": "whether the sizes compared cap it", "units": "1"}),
            "losses": (("size", "compute"), self.losses, {"long_name": "loss of each size", "units": "target²"}),
        }
        told = (
            {} if self.exponent is None else {"exponent": self.exponent.exponent, "size_exponent": self.size_exponent}
        )
        return xr.Dataset(variables, coords={"compute": self.compute, "size": self.sizes}, attrs=told)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the losses and the frontier: see `lindyn.plots.loss_frontier`."""
        from lindyn.plots import loss_frontier

        return loss_frontier(self, ax=ax)


def compute_frontier(
    runs: Sequence[Trajectory | Sequence[Trajectory]],
    sizes: Sequence[float],
    observable: str = "loss",
    *,
    points: int = 20,
) -> ComputeFrontier:
    """Return the smallest loss at each compute C = N·t over models of sizes N, and the powers of C that follow.

    Args:
        runs: one trajectory a size, on logarithmic times; or several draws of each at the same times, to be averaged.
        sizes: N of each run, increasing.
        observable: a recorded number.
        points: of compute for each factor of ten.

    Raises:
        InvalidArgument: sizes that do not match the runs or do not increase, or no compute that all of them reach.

    References:
        works (10.7).

    Examples:
        >>> import numpy as np, lindyn as ld
        >>> task = ld.PowerLaw(capacity=1.5, source=0.5, modes=10**4)
        >>> sizes, times = [8, 16, 32, 64], np.geomspace(1, 1e6, 121)
        >>> models = [task.random_features(n) for n in sizes]
        >>> runs = [ld.simulate(ld.Lazy(0.5), model, times=times, observables="loss") for model in models]
        >>> best = ld.simulation.compute_frontier(runs, sizes)
        >>> best.size[0] < best.size[-1], best.loss[0] > best.loss[-1]
        (np.True_, np.True_)
    """
    runs = checks.listed("runs", runs, "a list of trajectories")
    numbers = checks.array("sizes", sizes, 1, dtype=np.float64, shape=(len(runs),))
    if len(runs) < 2 or numbers[0] <= 0 or np.any(np.diff(numbers) <= 0):
        raise checks.InvalidArgument("sizes", "be two or more increasing numbers above 0", f"they are {list(sizes)}")
    series = [_mean_series(run if isinstance(run, Sequence) else [run], observable) for run in runs]
    low = max(n * time[0] for n, (time, _) in zip(numbers, series, strict=True))
    high = min(n * time[-1] for n, (time, _) in zip(numbers, series, strict=True))
    if not low < high:
        raise checks.InvalidArgument(
            "runs", "share a range of compute N·t", f"they share none above {low:.3g}", "record more times"
        )
    grid = checks.integer("points", points, at_least=1, at_most=10_000)
    compute = np.geomspace(low, high, max(2, round(grid * math.log10(high / low)) + 1))
    losses = np.exp(
        [np.interp(np.log(compute / n), np.log(t), np.log(y)) for n, (t, y) in zip(numbers, series, strict=True)]
    )
    best = losses.argmin(axis=0)
    inner = (best > 0) & (best < len(runs) - 1)
    loss, size = losses.min(axis=0), numbers[best]
    if inner.sum() < _FEWEST:
        return ComputeFrontier(compute, loss, size, numbers, losses, None, None)
    power = -_fit(compute[inner], size[inner], "size").exponent
    return ComputeFrontier(compute, loss, size, numbers, losses, _fit(compute[inner], loss[inner], observable), power)
