"""Options that several commands share, and what they describe: a task, a law of the weights, a learning rate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lindyn.support.errors import InvalidArgument

if TYPE_CHECKING:
    import numpy as np

    from lindyn.networks import Parametrization
    from lindyn.networks.deep_laws import DeepParametrization
    from lindyn.networks.network import Network
    from lindyn.tasks import SpikedMatrix

TASK, NET, RUN, OUT = "Task", "Network", "Training", "Output"

Dim = Annotated[int | None, typer.Option(help="Size d of a square matrix.", rich_help_panel=TASK)]
Rows = Annotated[int | None, typer.Option(help="Rows d_out, with --columns, instead of --dim.", rich_help_panel=TASK)]
Columns = Annotated[int | None, typer.Option(help="Columns d_in, with --rows.", rich_help_panel=TASK)]
Rank = Annotated[int | None, typer.Option(help="Rank K of the signal.", rich_help_panel=TASK)]
SingularValues = Annotated[
    str | None,
    typer.Option(
        help="Singular values of the signal, separated by commas, instead of --rank.",
        rich_help_panel=TASK,
        metavar="S1,S2,…",
    ),
]
Noise = Annotated[float, typer.Option(help="Standard deviation of the noise entries.", rich_help_panel=TASK)]
Scale = Annotated[float, typer.Option(help="Factor on the signal of given --rank.", rich_help_panel=TASK)]
Target = Annotated[
    Path | None,
    typer.Option(
        help="Observed matrix to learn, instead: .npy, .npz, .csv or .tsv.", rich_help_panel=TASK, metavar="FILE"
    ),
]
Signal = Annotated[
    Path | None,
    typer.Option(help="With --target: the true matrix, for a test error.", rich_help_panel=TASK, metavar="FILE"),
]
VarianceExponent = Annotated[
    float | None, typer.Option(help="γ_σ²: variance σ² = d^γ_σ², d = √(d_out d_in).", rich_help_panel=NET)
]
WidthExponent = Annotated[float | None, typer.Option(help="γ_w: width w = d^γ_w.", rich_help_panel=NET)]
Variance = Annotated[float | None, typer.Option(help="σ², instead of its exponent.", rich_help_panel=NET)]
Width = Annotated[float | None, typer.Option(help="w, instead of its exponent; 1e12 is fine.", rich_help_panel=NET)]
Depth = Annotated[int, typer.Option(help="Layers L, of equal σ² and w; τ = (σ²w)^(L/2).", rich_help_panel=NET)]
Steps = Annotated[int, typer.Option(help="Gradient-descent steps.", rich_help_panel=RUN)]
LearningRate = Annotated[
    str,
    typer.Option(
        help="A number, 'auto' (published rule of Figure 2) or 'figure1' (1/(5‖A*‖)).",
        rich_help_panel=RUN,
        metavar="RATE",
    ),
]
SaveEvery = Annotated[int, typer.Option(help="Record every so many steps.", rich_help_panel=RUN)]
Seed = Annotated[int, typer.Option(help="Seed of the task and of the weights.", rich_help_panel=RUN)]
Dtype = Annotated[str, typer.Option(help="Precision: float64 or float32.", rich_help_panel=RUN)]
Json = Annotated[
    bool,
    typer.Option("--json", help='Print JSON for programs; infinity is "inf", no number is null.', rich_help_panel=OUT),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the dataset (zarr), the figures and summary.json.", rich_help_panel=OUT, metavar="FOLDER"
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Write into an existing --out.", rich_help_panel=OUT)]

_SIZE = ("dim", "rows", "columns")
_LAW = ("variance_exponent", "width_exponent", "variance", "width")


def given(ctx: typer.Context) -> set[str]:
    """Return the names of the options that were typed, whatever their values."""
    typed = ("COMMANDLINE", "ENVIRONMENT", "PROMPT")
    return {name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "") in typed}


def idle(typed: Iterable[str], names: Iterable[str], when: str, remedy: str = "leave it out") -> None:
    """Refuse options that would change nothing.

    Args:
        typed: the options given.
        names: those that have no meaning here.
        when: the reason, as the end of "it has no meaning …".
        remedy: what to do.

    Examples:
        >>> idle({"dim"}, ["noise"], "with `target`")
        >>> idle({"noise"}, ["noise"], "with `target`")
        Traceback (most recent call last):
        lindyn.support.errors.InvalidArgument: Argument `noise` must be left out, but it has no meaning with `target`; leave it out.
    """  # noqa: E501 - the sentence is one line
    for name in names:
        if name in typed:
            raise InvalidArgument(name, "be left out", f"it has no meaning {when}", remedy)


def require(*needs: tuple[bool, str]) -> None:
    """Refuse a command that lacks options, naming all of them at once.

    Args:
        needs: whether a need is met, and the options that meet it, in words.

    Examples:
        >>> require((True, "`dim`"), (False, "`variance` or `variance_exponent`"), (False, "`width`"))
        Traceback (most recent call last):
        lindyn.support.errors.InvalidArgument: Missing: `variance` or `variance_exponent`; and `width`.
    """
    missing = [words for met, words in needs if not met]
    if missing:
        raise InvalidArgument.sentence(f"Missing: {'; and '.join(missing)}.")


def has_size(typed: set[str]) -> tuple[bool, str]:
    """Return whether a size is given, for `require`."""
    return bool(typed & set(_SIZE)), "`dim` (or `rows` and `columns`)"


def has_signal(typed: set[str]) -> tuple[bool, str]:
    """Return whether a signal is given, for `require`."""
    return bool(typed & {"rank", "singular_values"}), "`rank` (or `singular_values`)"


def has_law(typed: set[str]) -> tuple[tuple[bool, str], tuple[bool, str]]:
    """Return whether variance and width are given, for `require`."""
    return (
        (bool(typed & {"variance", "variance_exponent"}), "`variance` (or `variance_exponent`)"),
        (bool(typed & {"width", "width_exponent"}), "`width` (or `width_exponent`)"),
    )


def shape_of(dim: int | None, rows: int | None, columns: int | None) -> tuple[int, int]:
    """Return (d_out, d_in) from --dim or --rows and --columns."""
    from lindyn.support import checks

    if dim is not None and rows is None and columns is None:
        size = checks.integer("dim", dim, at_least=1)
        return size, size
    if dim is None and rows is not None and columns is not None:
        return checks.integer("rows", rows, at_least=1), checks.integer("columns", columns, at_least=1)
    if dim is not None:
        raise InvalidArgument("dim", "be given instead of `rows` and `columns`", "both are given")
    alone, other = ("rows", "columns") if columns is None else ("columns", "rows")
    if rows is None and columns is None:
        raise InvalidArgument.sentence("Missing: `dim` (or `rows` and `columns`).")
    raise InvalidArgument(alone, f"come with `{other}`", "it is alone", "for a square matrix pass `dim`")


def law_of(
    shape: tuple[int, int],
    variance_exponent: float | None,
    width_exponent: float | None,
    variance: float | None,
    width: float | None,
) -> Parametrization:
    """Return the law of the weights from the exponents, the numbers, or one of each."""
    from lindyn.networks.laws import exponents, standard
    from lindyn.support import checks

    checks.exactly_one("variance", variance, "variance_exponent", variance_exponent)
    checks.exactly_one("width", width, "width_exponent", width_exponent)
    by_exponent = exponents(shape, variance_exponent=variance_exponent or 0.0, width_exponent=width_exponent or 0.0)
    return standard(
        width=by_exponent.width if width is None else checks.integer("width", width, at_least=1),
        variance=by_exponent.variance_in if variance is None else checks.number("variance", variance, above=0),
    )


def deep_law_of(law: Parametrization, shape: tuple[int, int], depth: int) -> DeepParametrization:
    """Return the law of the weights for three layers or more, of the same σ² and w."""
    from lindyn.prediction.deep_spectra import at_depth
    from lindyn.solutions.deep_modes import DEEPEST
    from lindyn.support import checks

    return at_depth(law, shape, checks.integer("depth", depth, at_least=2, at_most=DEEPEST))


def values_of(text: str | None, name: str = "singular_values") -> list[float] | None:
    """Parse numbers separated by commas."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidArgument(
            name, "be numbers separated by commas", f"it is {text!r}", "for example 90,80,75.5"
        ) from None


def axis_of(name: str, text: str, count: int, space: Any) -> tuple[float, ...]:
    """Return the points of an axis from its first and last, with `space` numpy's linspace or geomspace."""
    import numpy as np

    from lindyn.support import checks

    limits = values_of(text, name) or []
    if len(limits) != 2:
        raise InvalidArgument(name, "be two numbers, first and last", f"it is {text!r}")
    first, last = (checks.number(name, limit) for limit in limits)
    if first > last or (first == last and count > 1):
        raise InvalidArgument(name, "increase from the first to the last", f"it is {text!r}")
    if space is np.geomspace and first <= 0:
        raise InvalidArgument(name, "be positive on a logarithmic axis", f"it is {text!r}")
    return tuple(space(first, last, count).tolist())


def rate_of(text: str, rules: tuple[str, ...] = ("auto", "figure1")) -> Any:
    """Parse a learning rate: a number, or the name of a published rule."""
    from lindyn.support import checks

    if text in rules:
        return text
    try:
        return checks.number_in("learning_rate", text, above=0)
    except InvalidArgument:
        named = " or ".join(map(repr, rules))
        raise InvalidArgument("learning_rate", f"be a positive number, {named}", f"it is {text!r}") from None


def matrix_from(name: str, path: Path | None) -> np.ndarray | None:
    """Read the matrix that an option names, if it is given."""
    if path is None:
        return None
    from lindyn.cli.matrix_files import read_matrix

    return read_matrix(name, path)


def drawn_task(
    shape: tuple[int, int],
    *,
    rank: int | None,
    singular_values: str | None,
    spectrum: str = "sampled",
    noise: float,
    scale: float,
    key: int,
    dtype: str,
) -> SpikedMatrix:
    """Return the task that the options describe, drawn."""
    from lindyn.prediction.spectra import mean_signal_spectrum
    from lindyn.support import checks
    from lindyn.tasks import SpikedMatrix

    values = values_of(singular_values)
    checks.choice("spectrum", spectrum, ("sampled", "mean"))
    precision = checks.precision("dtype", dtype)
    if spectrum == "mean" and rank is not None and values is None:
        values, rank = list(mean_signal_spectrum(shape, rank, scale=scale)), None
        scale = 1.0
    return SpikedMatrix(
        shape=shape, rank=rank, singular_values=values, noise=noise, scale=scale, key=key, dtype=precision
    )


def phase_in(net: Network, singular_values: Any, rank: int | None) -> str:
    """Return the phase in which a network trains on modes of a signal (or of the target, if no signal is known)."""
    import numpy as np

    from lindyn.prediction.regimes import phase_of

    n0 = float(np.mean(net.matrix**2))
    return phase_of(net.threshold, singular_values, width=min(net.widths), start_variance=n0, rank=rank or 0)
