"""Options that several commands share, and what they describe: a task, a law of the weights, a learning rate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from lindyn.networks.laws import Parametrization, exponents, standard
from lindyn.prediction.spectra import mean_signal_spectrum
from lindyn.support import checks
from lindyn.tasks.spiked import SpikedMatrix

TASK, NET, RUN, OUT = "Task", "Network", "Training", "Output"

Dim = Annotated[int | None, typer.Option(help="Size d of a square matrix.", rich_help_panel=TASK)]
Rows = Annotated[int | None, typer.Option(help="Rows d_out, with --columns, instead of --dim.", rich_help_panel=TASK)]
Columns = Annotated[int | None, typer.Option(help="Columns d_in, with --rows.", rich_help_panel=TASK)]
Rank = Annotated[int | None, typer.Option(help="Rank K of the signal.", rich_help_panel=TASK)]
SingularValues = Annotated[
    str | None, typer.Option(help="Singular values, comma-separated, instead of --rank.", rich_help_panel=TASK)
]
Noise = Annotated[float, typer.Option(help="Standard deviation of the noise entries.", rich_help_panel=TASK)]
Scale = Annotated[float, typer.Option(help="Factor on the signal.", rich_help_panel=TASK)]
Target = Annotated[
    Path | None,
    typer.Option(help="Observed matrix to learn (.npy, or .csv without header), instead.", rich_help_panel=TASK),
]
Signal = Annotated[
    Path | None, typer.Option(help="True matrix of the same shape, for a test error.", rich_help_panel=TASK)
]
VarianceExponent = Annotated[
    float | None, typer.Option(help="γ_σ²: variance σ² = d^γ_σ².", rich_help_panel=NET, show_default=False)
]
WidthExponent = Annotated[
    float | None, typer.Option(help="γ_w: width w = d^γ_w.", rich_help_panel=NET, show_default=False)
]
Variance = Annotated[float | None, typer.Option(help="σ², instead of its exponent.", rich_help_panel=NET)]
Width = Annotated[float | None, typer.Option(help="w, instead of its exponent; 1e12 is fine.", rich_help_panel=NET)]
Steps = Annotated[int, typer.Option(help="Gradient-descent steps.", rich_help_panel=RUN)]
LearningRate = Annotated[
    str,
    typer.Option(help="A number, 'auto' (published rule of Figure 2) or 'figure1' (1/(5‖A*‖)).", rich_help_panel=RUN),
]
SaveEvery = Annotated[int, typer.Option(help="Record every so many steps.", rich_help_panel=RUN)]
Seed = Annotated[int, typer.Option(help="Seed of the task and of the weights.", rich_help_panel=RUN)]
Dtype = Annotated[str, typer.Option(help="Precision: float64 or float32.", rich_help_panel=RUN)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.", rich_help_panel=OUT)]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for the dataset (zarr), the figure and summary.json.", rich_help_panel=OUT),
]
Force = Annotated[bool, typer.Option("--force", help="Write into an existing folder.", rich_help_panel=OUT)]


def keys_of(seed: int) -> list[np.random.Generator]:
    """Return independent generators for the task and for the weights."""
    return np.random.default_rng(checks.integer("seed", seed, at_least=0)).spawn(2)


def shape_of(dim: int | None, rows: int | None, columns: int | None) -> tuple[int, int]:
    """Return (d_out, d_in) from --dim or --rows and --columns."""
    if dim is not None and rows is None and columns is None:
        return checks.matrix_shape("dim", dim)
    if dim is None and rows is not None and columns is not None:
        return checks.matrix_shape("rows", (rows, columns))
    raise checks.InvalidArgument(
        "dim",
        "be given, or both `rows` and `columns`",
        f"dim is {dim}, rows is {rows}, columns is {columns}",
        "pass --dim 200, or --rows 100 --columns 300",
    )


def law_of(
    shape: tuple[int, int],
    variance_exponent: float | None,
    width_exponent: float | None,
    variance: float | None,
    width: float | None,
) -> Parametrization:
    """Return the law of the weights from the exponents, the numbers, or one of each."""
    checks.exactly_one("variance", variance, "variance_exponent", variance_exponent)
    checks.exactly_one("width", width, "width_exponent", width_exponent)
    by_exponent = exponents(shape, variance_exponent=variance_exponent or 0.0, width_exponent=width_exponent or 0.0)
    return standard(
        width=by_exponent.width if width is None else checks.integer("width", width, at_least=1),
        variance=by_exponent.variance_in if variance is None else checks.number("variance", variance, above=0),
    )


def values_of(text: str | None, name: str = "singular_values") -> list[float] | None:
    """Parse comma-separated numbers."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise checks.InvalidArgument(
            name, "be numbers separated by commas", f"it is {text!r}", "for example 90,80,75.5"
        ) from None


def rate_of(text: str) -> Any:
    """Parse a learning rate: a number, or the name of a published rule."""
    try:
        return checks.number("learning_rate", text, above=0)
    except checks.InvalidArgument:
        if text in ("auto", "figure1"):
            return text
        raise checks.InvalidArgument(
            "learning_rate", "be a positive number, 'auto' or 'figure1'", f"it is {text!r}"
        ) from None


def matrix_from(name: str, path: Path) -> np.ndarray:
    """Read a matrix from .npy (never unpickled) or .csv."""
    try:
        raw = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise checks.InvalidArgument(
            name, "be a readable .npy or .csv file of numbers", f"reading {path} failed: {checks.one_line(error)}"
        ) from error
    return checks.array(name, raw, 2)


def task_of(
    *,
    dim: int | None,
    rows: int | None,
    columns: int | None,
    rank: int | None,
    singular_values: str | None,
    spectrum: str,
    noise: float,
    scale: float,
    target: Path | None,
    signal: Path | None,
    key: np.random.Generator,
    dtype: str,
) -> SpikedMatrix:
    """Return the task that the options describe, drawn or read."""
    if target is not None:
        if any(v is not None for v in (dim, rows, columns, rank, singular_values)):
            raise checks.InvalidArgument("target", "be the only description of the task", "a size or rank is given too")
        truth = None if signal is None else matrix_from("signal", signal)
        observed = matrix_from("target", target)
        return SpikedMatrix(target=observed.astype(dtype), signal=None if truth is None else truth.astype(dtype))
    shape = shape_of(dim, rows, columns)
    values = values_of(singular_values)
    checks.choice("spectrum", spectrum, ("sampled", "mean"))
    if spectrum == "mean" and rank is not None and values is None:
        values, rank = list(mean_signal_spectrum(shape, rank, scale=scale)), None
        scale = 1.0
    return SpikedMatrix(shape=shape, rank=rank, singular_values=values, noise=noise, scale=scale, key=key, dtype=dtype)
