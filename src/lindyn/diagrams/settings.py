"""What a phase diagram is of: the grid, the family of tasks, the training, the sources. Plain data that saves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lindyn.diagrams.grid import Axis, GridSettings
from lindyn.prediction.estimation import estimate_spectrum
from lindyn.prediction.regimes import phases_of
from lindyn.prediction.spectra import SpikedSpectrum, mean_signal_spectrum
from lindyn.solutions.deep_modes import DEEPEST
from lindyn.solutions.thresholds import start_variance
from lindyn.support import checks
from lindyn.support.bounds import LARGEST_LOGARITHM, MOST_STEPS, SQUARED, TO_THE_FOURTH
from lindyn.support.labels import OF_CELLS, Label
from lindyn.tasks.spiked import SpikedMatrix

if TYPE_CHECKING:
    import xarray

SOURCES = ("predict", "spectral", "descend", "formula")
SIMULATED = ("descend", "formula")
AXES = ("exponent", "log", "linear")
_PREDICTED_CELLS = 100_000  # of a unit of prediction; of a simulation one row is a unit


@dataclass(frozen=True, kw_only=True)
class DiagramSettings(GridSettings):
    """Settings of a phase diagram; equal settings give equal data.

    Args:
        variance_exponents: increasing γ_σ², σ² = d^γ_σ², d = √(d_out d_in).
        width_exponents: increasing γ_w ≥ 0, w = d^γ_w (rounded, at least 1).
        shape: (d_out, d_in), or d.
        rank: K of the signal.
        noise: standard deviation of the noise entries.
        scale: multiplies the signal.
        spectrum: "mean" gives the signal the mean singular values of its ensemble, "sampled" draws it.
        singular_values: those of the signal, instead of `rank`, `scale` and `spectrum`.
        seeds: seeds of task and weights; one diagram for each.
        sources: any of "predict" (large-d theory), "spectral" (one SVD of a drawn task, and the mode curve),
            "descend" (exact gradient descent) and "formula" (the mixed dynamics, by the same steps).
        learning_rate: "auto" (the published rule of Figure 2, cell by cell) or one number for all cells.
        steps: largest number of steps.
        dtype: precision of descend and formula.
        axes: how figures show the grid: "exponent" (γ), "log" or "linear" (σ² and w themselves).
        depth: L, 2 to 6, with the same σ² and w in all layers; τ is then (σ²w)^{L/2} (7.4).

    Raises:
        InvalidArgument: a grid that is not increasing, or another setting that cannot be used.

    Examples:
        >>> figure2(sources=["predict"]).cells
        900
    """

    kind: ClassVar[str] = "phase diagram"
    quantities: ClassVar[Mapping[str, Label]] = OF_CELLS
    # only "descend" has a formula to be compared with; what is simulated has no theory that could be off
    may_be_nan: ClassVar[tuple[str, ...]] = ("distance", "error_estimate", "valid")

    variance_exponents: tuple[float, ...]
    width_exponents: tuple[float, ...]
    shape: tuple[int, int]
    rank: int | None = None
    noise: float = 1.0
    scale: float = 1.0
    spectrum: str = "sampled"
    singular_values: tuple[float, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    sources: tuple[str, ...] = ("predict",)
    learning_rate: float | str = "auto"
    steps: int = 750
    dtype: str = "float32"
    axes: str = "exponent"
    depth: int = 2

    def __post_init__(self) -> None:
        for name in ("variance_exponents", "width_exponents"):
            values = checks.array(name, getattr(self, name), 1, dtype=np.float64)
            if np.any(np.diff(values) <= 0):
                raise checks.InvalidArgument(name, "be increasing", f"it is {values.tolist()}")
            object.__setattr__(self, name, tuple(values.tolist()))
        if self.width_exponents[0] < 0:
            raise checks.InvalidArgument(
                "width_exponents", "be non-negative", f"the smallest is {self.width_exponents[0]:g}"
            )
        object.__setattr__(self, "shape", checks.matrix_shape("shape", self.shape))
        self._check_range()
        self._check_signal()
        checks.number("noise", self.noise, at_least=0, at_most=TO_THE_FOURTH)
        checks.integer("steps", self.steps, at_least=1, at_most=MOST_STEPS)
        checks.choice("axes", self.axes, AXES)
        if not (isinstance(self.learning_rate, str) and self.learning_rate == "auto"):
            remedy = "or pass 'auto' for the published rule"
            rate = checks.number("learning_rate", self.learning_rate, above=0, at_most=SQUARED, remedy=remedy)
            object.__setattr__(self, "learning_rate", rate)
        object.__setattr__(self, "dtype", checks.precision("dtype", self.dtype).name)
        for name in ("seeds", "sources"):
            listed = checks.listed(name, getattr(self, name))
            for entry in listed:
                if name == "seeds":
                    checks.integer(name, entry, at_least=0)
                else:
                    checks.choice(name, entry, SOURCES)
            if not listed or len(set(listed)) < len(listed):
                raise checks.InvalidArgument(name, "hold at least one entry, each once", f"it is {listed}")
            object.__setattr__(self, name, tuple(listed))
        object.__setattr__(self, "depth", checks.integer("depth", self.depth, at_least=2, at_most=DEEPEST))
        if self.depth != 2 and "formula" in self.sources:
            raise checks.InvalidArgument(
                "sources", "not hold 'formula' beyond two layers", f"the depth is {self.depth}", "use 'predict'"
            )

    def _check_signal(self) -> None:
        checks.number("scale", self.scale, above=0, at_most=TO_THE_FOURTH)
        checks.choice("spectrum", self.spectrum, ("sampled", "mean"))
        if self.singular_values is None:
            rank = self.rank
            if rank is None:
                raise checks.InvalidArgument("rank", "be given, or `singular_values`", "neither is")
            object.__setattr__(self, "rank", checks.integer("rank", rank, at_least=1, at_most=min(self.shape)))
            return
        values = np.sort(checks.array("singular_values", self.singular_values, 1, dtype=np.float64))[::-1]
        if values[-1] <= 0 or values.size > min(self.shape):
            raise checks.InvalidArgument(
                "singular_values", f"be at most {min(self.shape)} positive numbers", f"it is {values.tolist()!r:.60}"
            )
        for name, ignored in (("scale", self.scale != 1), ("rank", self.rank not in (None, values.size))):
            if ignored:
                must = "be left out beside `singular_values`, which say it"
                raise checks.InvalidArgument(name, must, f"it is {getattr(self, name):g}")
        object.__setattr__(self, "singular_values", tuple(values.tolist()))
        object.__setattr__(self, "rank", int(values.size))

    def _check_range(self) -> None:
        """Refuse a grid whose σ², w or τ = σ²w leave what floats and whole numbers hold, squares included."""
        for name in ("variance_exponents", "width_exponents"):
            exponents = getattr(self, name)
            largest = max(abs(exponents[0]), abs(exponents[-1])) * self.log_dim
            if largest > LARGEST_LOGARITHM:
                raise checks.InvalidArgument(
                    name,
                    f"stay within ±{LARGEST_LOGARITHM / max(self.log_dim, math.ulp(1.0)):.3g} at this shape, where "
                    "d^γ and its powers are finite",
                    f"it runs from {exponents[0]:g} to {exponents[-1]:g}",
                )

    @classmethod
    def like(cls, target: Any, *, noise: float | None = None, **settings: Any) -> DiagramSettings:
        """Return settings of a diagram of tasks like a measured matrix: of its estimated signal and noise.

        Args:
            target: T = A* + E, shape (d_out, d_in).
            noise: the standard deviation of a noise entry, if it is known.
            settings: the rest; see `estimate_spectrum` for the estimate.

        Raises:
            InvalidArgument: no mode of the target stands out of its noise.

        Examples:
            >>> from lindyn import SpikedMatrix
            >>> task = SpikedMatrix(dim=100, singular_values=[60.0, 40.0], key=0)
            >>> settings = DiagramSettings.like(task.target, variance_exponents=[-2, -1], width_exponents=[1, 2])
            >>> settings.rank, [round(s) for s in settings.singular_values]
            (2, [59, 40])
        """
        estimate = estimate_spectrum(target, noise)
        if not estimate.signal.size:
            raise checks.InvalidArgument(
                "target",
                f"have a singular value above {estimate.limit:.4g}, where noise of its size ends",
                f"its largest is {estimate.observed[0]:.4g}",
                "pass `noise` if it is known",
            )
        return cls(
            shape=estimate.shape, singular_values=tuple(estimate.signal.tolist()), noise=estimate.noise, **settings
        )

    @classmethod
    def over(cls, *, variances: Any, widths: Any, shape: Any, axes: str = "log", **settings: Any) -> DiagramSettings:
        """Return settings of a grid given by σ² and w themselves, linear or logarithmic.

        Args:
            variances: increasing σ² > 0.
            widths: increasing w ≥ 1, whole numbers.
            shape: (d_out, d_in), or d.
            axes: how figures show them: "log" or "linear".
            settings: the rest.

        Examples:
            >>> settings = DiagramSettings.over(variances=[1e-4, 1e-2], widths=[10, 1000], shape=100, rank=2)
            >>> [round(g, 12) for g in (*settings.variance_exponents, *settings.width_exponents)]
            [-2.0, -1.0, 0.5, 1.5]
        """
        d_out, d_in = checks.matrix_shape("shape", shape)
        exponents = {}
        for name, given, least in (("variances", variances, 0.0), ("widths", widths, 1.0)):
            values = checks.array(name, given, 1, dtype=np.float64)
            if values.min() < least or values.min() == 0:
                must = "be positive" if least == 0 else "be at least 1"
                raise checks.InvalidArgument(name, must, f"the smallest is {values.min():g}")
            exponents[name] = 2 * np.log(values) / (math.log(d_out) + math.log(d_in))
        return cls(
            variance_exponents=exponents["variances"],
            width_exponents=exponents["widths"],
            shape=(d_out, d_in),
            axes=axes,
            **settings,
        )

    @property
    def rows(self) -> Axis:
        """The width exponents."""
        return Axis("width_exponent", self.width_exponents)

    @property
    def columns(self) -> Axis:
        """The variance exponents."""
        return Axis("variance_exponent", self.variance_exponents)

    @property
    def rows_of_a_unit(self) -> int:
        """One row that is simulated, many that are predicted."""
        if any(source in SIMULATED for source in self.sources):
            return 1
        return min(len(self.width_exponents), max(1, _PREDICTED_CELLS // len(self.variance_exponents)))

    @property
    def lane_bytes(self) -> int:
        """Layers, matrices and their copies in a step."""
        d_out, d_in = self.shape
        n, small = d_out + d_in, min(d_out, d_in)
        return np.dtype(self.dtype).itemsize * (3 * n * n + 3 * small * n + 8 * d_out * d_in)

    @property
    def log_dim(self) -> float:
        """ln d, d = √(d_out d_in)."""
        return 0.5 * (math.log(self.shape[0]) + math.log(self.shape[1]))

    def law(self, variance_exponents: Any, width_exponents: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the variances σ² = d^γ_σ² and the widths w = d^γ_w (whole numbers, at least 1) of cells."""
        given = {"variance_exponents": variance_exponents, "width_exponents": width_exponents}
        for name, value in given.items():
            exponents = checks.numbers(name, value)
            if not np.all(np.abs(exponents) <= LARGEST_LOGARITHM / max(self.log_dim, math.ulp(1.0))):
                raise checks.InvalidArgument(name, "stay where d^γ is a number", f"it holds {np.max(exponents):g}")
        variance, width = (np.exp(np.asarray(v, dtype=np.float64) * self.log_dim) for v in given.values())
        return variance, np.maximum(1.0, np.round(width))

    def threshold(self, variance: np.ndarray, width: np.ndarray) -> np.ndarray:
        """Return τ = (σ²w)^{L/2} of cells (7.4)."""
        return np.asarray((variance * width) ** (self.depth / 2))

    def start_variance(self, variance: np.ndarray, width: np.ndarray) -> np.ndarray:
        """Return n₀ = σ^{2L}w^{L−1} of cells, the variance of an entry of A(0); σ⁴w at two layers."""
        return np.asarray(start_variance([variance] * self.depth, [width] * (self.depth - 1)))

    def phases(self) -> np.ndarray:
        """Return the phase of each cell, (widths, variances), as `lindyn.prediction.phase_of` has it.

        "infinite noise" is n₀ ≥ 1 for a signal of unit entries: n₀ is measured in the mean square of those of A*.

        Examples:
            >>> DiagramSettings(shape=50, rank=2, variance_exponents=[-3.0, -1.6], width_exponents=[2.5]).phases()
            array([['active', 'mixed']], dtype='<U18')
        """
        variance, width = np.broadcast_arrays(
            *self.law(np.asarray(self.variance_exponents)[None, :], np.asarray(self.width_exponents)[:, None])
        )
        start = self.start_variance(variance, width) / self.unit
        return phases_of(self.threshold(variance, width), self.signal_spectrum(), width=width, start_variance=start)

    @property
    def unit(self) -> float:
        """Mean square of an entry of A*: the published thresholds, for which it is 1, are measured in it."""
        if self.singular_values is None:
            return self.scale**2
        return float(np.sum(np.square(self.singular_values))) / (self.shape[0] * self.shape[1])

    def signal_spectrum(self) -> np.ndarray:
        """Return the (mean) singular values of the signal."""
        if self.singular_values is not None:
            return np.array(self.singular_values)
        assert self.rank is not None  # by the checks
        return mean_signal_spectrum(self.shape, self.rank, scale=self.scale)

    def theory(self) -> SpikedSpectrum:
        """Return the large-d spectrum of the target."""
        return SpikedSpectrum(self.shape, self.signal_spectrum(), self.noise)

    def task(self, seed: int) -> SpikedMatrix:
        """Draw the task of one seed."""
        signal: dict[str, Any] = {"rank": self.rank, "scale": self.scale}
        if self.spectrum == "mean" or self.singular_values is not None:
            signal = {"singular_values": self.signal_spectrum()}
        return SpikedMatrix(shape=self.shape, noise=self.noise, key=seed, dtype=self.dtype, **signal)

    def described(self, dataset: xarray.Dataset) -> xarray.Dataset:
        """Add the law and the activity of every cell."""
        return with_theory(dataset)


def with_theory(dataset: xarray.Dataset) -> xarray.Dataset:
    """Return a diagram (or a refinement's points) with what its settings say of every cell, which pictures need.

    Added as coordinates of a grid: the law of each cell (`variance`, `width`) and `activity`, the mean of
    s/√(s² + τ²) over the signal's modes (2.9); as attributes: shape, rank, noise, steps, axes.

    Args:
        dataset: with the attribute "settings".

    References:
        theory (2.9), section 4.
    """
    settings = DiagramSettings.from_dict(json.loads(dataset.attrs["settings"]))
    names = ("rank", "noise", "steps", "axes", "depth")
    told = {"shape": list(settings.shape), **{k: getattr(settings, k) for k in names}}
    dataset = dataset.assign_attrs(told)
    if "point" in dataset.dims:
        return dataset
    gamma_w, gamma_v = np.meshgrid(settings.width_exponents, settings.variance_exponents, indexing="ij")
    variance, width = settings.law(gamma_v, gamma_w)
    signal, tau = settings.signal_spectrum(), settings.threshold(variance, width)[..., None]
    dims = ("width_exponent", "variance_exponent")
    return dataset.assign_coords(
        variance=(dims, variance, {"long_name": "variance σ² of a weight", "units": "1"}),
        width=(dims, width, {"long_name": "width w", "units": "1"}),
        activity=(
            dims,
            (signal / np.hypot(signal, tau)).mean(axis=-1),
            {"long_name": "mean activity s/√(s² + τ²) of the signal's modes", "units": "1"},
        ),
    )


def figure2(
    *, sources: Sequence[str] = ("descend", "formula"), seeds: Sequence[int] = (0,), **changes: Any
) -> DiagramSettings:
    """Return the published settings of Figure 2, with `changes`: d = 200, K = 5, 30 × 30, at most 750 steps.

    References:
        theory section 4.

    Examples:
        >>> settings = figure2()
        >>> settings.variance_exponents[0], settings.width_exponents[-1]
        (-3.0, 2.8)
    """
    published: dict[str, Any] = {
        "variance_exponents": np.linspace(-3.0, 0.0, 30),
        "width_exponents": np.linspace(0.0, 2.8, 30),
        "shape": (200, 200),
        "rank": 5,
        "spectrum": "mean",
    }
    return DiagramSettings(**{**published, "sources": sources, "seeds": seeds, **changes})
