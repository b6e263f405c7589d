"""Ground of all pictures: colours, lines, figures outside pyplot's registry, and how a labelled result is read.

A picture takes labelled arrays (an xarray Dataset, or a result with `to_xarray`) and imports no class of the library,
so that every result may call it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which stay apart for colour-blind readers, with two darker ones added
TRAIN, TEST, COST, THRESHOLD, BULK = "#0072B2", "#D55E00", "#009E73", "#A50026", "#9a9a9a"
MODES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C564B", "#5D3A9B"]
ACTIVE_COLOUR, LAZY_COLOUR = "#2a9d8f", "#7a94c9"
DOTS_PER_INCH = 150


class Labelled(Protocol):
    """A result that becomes labelled arrays."""

    def to_xarray(self) -> xarray.Dataset:
        """Return the labelled arrays."""


def labelled(name: str, value: xarray.Dataset | Labelled, *needed: str) -> xarray.Dataset:
    """Return the arrays of a result.

    Args:
        name: the argument that holds it.
        value: a Dataset, or a result with `to_xarray`.
        needed: variables that the picture cannot do without.

    Raises:
        InvalidArgument: something else, or a variable is not there.
    """
    import xarray

    data = value.to_xarray() if hasattr(value, "to_xarray") else value
    if not isinstance(data, xarray.Dataset):
        raise checks.InvalidArgument(
            name, "be a result of lindyn or an xarray Dataset", f"it is {type(value).__name__}"
        )
    for variable in needed:
        if variable not in data:
            there = ", ".join(map(str, data.data_vars)) or "nothing"
            raise checks.InvalidArgument(name, f"hold {variable}", f"it holds {there}", "record it as an observable")
    return data


def facts(data: xarray.Dataset) -> dict[str, Any]:
    """Return what a result says of how it was made: dynamics, method, threshold and more."""
    found = json.loads(data.attrs.get("lindyn", "{}"))
    return found if isinstance(found, dict) else {}


def clock(data: xarray.Dataset) -> tuple[np.ndarray, str]:
    """Return the horizontal axis of a run and its label: steps where the motion has them, flow time otherwise."""
    if "step" not in data.coords or np.isnan(data["step"].values).any():
        return data["time"].values, "flow time $t$ (learning rate × step)"
    return data["step"].values, "gradient-descent step"


def lines() -> Iterator[Any]:
    """Yield line styles without end and without repetition: solid, dashed, dotted, then longer and longer patterns."""
    yield from ("-", "--", ":", "-.")
    for n in count(1):
        yield (0, (4 + 2 * n, 2, *(1, 2) * (1 + n)))


def names_of(runs: Sequence[xarray.Dataset], labels: Sequence[str] | None) -> list[str]:
    """Return a distinct name for each run: the caller's, else its method, its dynamics and method, or its number."""
    if labels is not None:
        labels = checks.listed("labels", labels, "a list of names")
        if len(labels) != len(runs):
            raise checks.InvalidArgument("labels", f"hold {len(runs)} names, one for each run", f"it has {len(labels)}")
        return [str(label) for label in labels]
    told = [facts(run) for run in runs]
    methods = [str(t.get("method", "run")) for t in told]
    full = [f"{t.get('dynamics', 'run')}, {t.get('method', '')}".rstrip(", ") for t in told]
    for candidates in (methods, full):
        if len(set(candidates)) == len(runs):
            return candidates
    return [f"{name} ({k + 1})" for k, name in enumerate(full)]


def new_figure(columns: int, size: tuple[float, float], *, rows: int = 1) -> Figure:
    """Return a figure outside pyplot's registry, freed with its last reference, in scripts and notebooks alike."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    figure.subplots(rows, columns)
    return figure


def axes_for(ax: Axes | None, size: tuple[float, float] = (5.2, 3.8)) -> Axes:
    """Return where to draw: the caller's axes or those of a new figure."""
    if ax is None:
        return new_figure(1, size).axes[0]
    from matplotlib.axes import Axes

    found: Axes = checks.instance("ax", ax, Axes, "matplotlib axes")
    return found


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure at 150 dots per inch; the format follows the suffix (.png, .pdf, .svg).

    Args:
        figure: from any plotter (`ax.figure` where it returns axes).
        path: where to write; missing folders are made.

    Returns:
        The path.

    Raises:
        InvalidArgument: a suffix that matplotlib cannot write.

    Examples:
        >>> import tempfile, lindyn as ld
        >>> figure = ld.plots.mode_growth(ld.prediction.regime(1.0, [4.0, 0.5]))
        >>> ld.plots.save_figure(figure, tempfile.mkdtemp() + "/growth.svg").name
        'growth.svg'
    """
    path = checks.path("path", path)
    checks.answering("figure", figure, "savefig", "a figure of matplotlib")
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in formats:
        raise checks.InvalidArgument(
            "path", f"end in one of {', '.join('.' + f for f in sorted(formats))}", f"it is {path.name!r}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DOTS_PER_INCH)
    return path
