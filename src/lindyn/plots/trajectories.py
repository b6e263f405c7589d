"""Curves against training time: errors and singular values, alone and as the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lindyn.plots.style import (
    BULK,
    COST,
    MODES,
    TEST,
    THRESHOLD,
    TRAIN,
    Labelled,
    axes_for,
    clock,
    facts,
    labelled,
    lines,
    names_of,
    new_figure,
)
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Run = xarray.Dataset | Labelled

_CURVES = {"train_error": ("train", TRAIN), "test_error": ("test", TEST), "cost": ("cost", COST)}
LEADING = 6  # modes in colour where nobody says how many
_LOWEST = 1e-3  # of the largest value: the least that a logarithmic axis shows


def errors(*runs: Run, labels: Sequence[str] | None = None, ax: Axes | None = None, log: bool = False) -> Axes:
    """Draw train and test error, or the cost, against step (or flow time).

    A colour for each quantity, a line style for each run; a curve without a finite value is left out.

    Args:
        runs: trajectories that recorded "train_error", "test_error" or "cost".
        labels: a name for each run; its method if left out.
        ax: where to draw; a new figure if left out.
        log: logarithmic error axis.

    Raises:
        InvalidArgument: no run, one without any of these, or labels that do not match.

    Examples:
        >>> import lindyn as ld
        >>> task = ld.SpikedMatrix(dim=20, rank=2, key=0)
        >>> run = ld.simulate(ld.Mixed(threshold=1.0), task, times=[0.0, 0.05, 0.1])
        >>> ld.plots.errors(run).get_ylabel()
        'error per entry'
    """
    checks.flag("log", log)
    if not runs:
        raise checks.InvalidArgument("runs", "hold at least one trajectory", "it is empty")
    ax = axes_for(ax)
    data = [labelled("runs", run) for run in runs]
    drawn = set()
    for run, name, line in zip(data, names_of(data, labels), lines(), strict=False):
        x, axis = clock(run)
        found = [key for key in _CURVES if key in run and np.isfinite(run[key].values).any()]
        if not found:
            there = ", ".join(map(str, run.data_vars))
            raise checks.InvalidArgument("runs", "hold train_error, test_error or cost", f"one holds {there}")
        for key in found:
            text, colour = _CURVES[key]
            text = f"{text}: {name}" if len(data) > 1 or labels else text
            ax.plot(x, run[key].values, linestyle=line, color=colour, label=text, linewidth=1.6)
            drawn.add("cost $C(A)$" if key == "cost" else "error per entry")
        ax.set_xlabel(axis)
    ax.set_ylabel(" and ".join(sorted(drawn, reverse=True)))
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.margins(x=0)
    ax.legend(frameon=False)
    return ax


def singular_values(
    *runs: Run,
    signal_modes: int | None = None,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
    log: bool = True,
) -> Axes:
    """Draw the singular values of A against step: leading modes in colour, the bulk as a band, the threshold as a line.

    Args:
        runs: trajectories that recorded "singular_values"; those after the first are drawn in black, in a line style
            of their own, over it (leading modes and the upper edge of the bulk).
        signal_modes: how many of the largest to colour, the rest is the bulk; the first six if left out.
        labels: a name for each run.
        ax: where to draw; a new figure if left out.
        log: logarithmic axis, down to a thousandth of the largest value.

    Raises:
        InvalidArgument: no run, or one without singular values.

    Examples:
        >>> import lindyn as ld
        >>> task = ld.SpikedMatrix(dim=20, rank=2, key=0)
        >>> run = ld.simulate(ld.Mixed(threshold=1.0), task, times=[0.0, 0.05, 0.1])
        >>> ax = ld.plots.singular_values(run, signal_modes=2)
        >>> [text.get_text() for text in ax.get_legend().get_texts()][:2]
        ['signal modes 1 … 2', 'modes 3 … 20']
    """
    checks.flag("log", log)
    if not runs:
        raise checks.InvalidArgument("run", "hold at least one trajectory", "it is empty")
    data = [labelled("run", run, "singular_values") for run in runs]
    names = names_of(data, labels)
    ax = axes_for(ax)
    x, axis = clock(data[0])
    values = _by_time(data[0]["singular_values"])
    modes = values.shape[1]
    coloured = min(LEADING if signal_modes is None else checks.integer("signal_modes", signal_modes, at_least=0), modes)
    what = "modes" if signal_modes is None else "signal modes"
    for k in range(coloured):
        name = _numbers(what, 1, coloured) if k == 0 else None
        ax.plot(x, values[:, k], color=MODES[k % len(MODES)], linewidth=1.5, label=name)
    bulk = values[:, coloured:]
    if bulk.shape[1]:
        name = _numbers("modes", coloured + 1, modes)
        ax.fill_between(x, bulk.min(1), bulk.max(1), color=BULK, alpha=0.35, linewidth=0, label=name)
    styles = lines()
    next(styles)  # solid is the first run's
    for run, name, line in zip(data[1:], names[1:], styles, strict=False):
        theirs, their_x = _by_time(run["singular_values"]), clock(run)[0]
        for k in range(min(coloured + 1, theirs.shape[1])):  # one more: the upper edge of the bulk
            text = name if k == 0 else None
            ax.plot(their_x, theirs[:, k], linestyle=line, color="black", linewidth=0.9, label=text)
    tau = facts(data[0]).get("threshold")
    if tau is not None:
        ax.axhline(tau, color=THRESHOLD, linewidth=1.4, linestyle="-.", label=rf"threshold $\tau$ = {tau:.3g}")
    if log:
        ax.set_yscale("log")
        lowest = float(values[:, : coloured or 1].min())
        ax.set_ylim(bottom=max(min(tau or lowest, lowest) / 5, _LOWEST * float(values.max())))
    else:
        ax.set_ylim(bottom=0)
    ax.margins(x=0)
    ax.set_xlabel(axis)
    ax.set_ylabel("singular value of $A$")
    ax.legend(frameon=False)
    return ax


def _by_time(array: xarray.DataArray) -> np.ndarray:
    return np.asarray(array.transpose("time", ...).values)


def _numbers(what: str, first: int, last: int) -> str:
    """Name a range of modes, which are counted from 1."""
    return f"{what} {first} … {last}" if last > first else f"{what.removesuffix('s')} {first}"


def prediction(run: Run) -> Figure:
    """Draw a prediction of the large-d theory: errors left, learned strength of the signal modes right.

    A dotted band around an error shows the prediction's own estimate of how far it may be off, where it has one.

    Args:
        run: from `lindyn.predict`, with "signal_modes".

    References:
        theory section 5.
    """
    data = labelled("run", run, "signal_modes")
    figure = new_figure(2, (9.6, 3.8))
    left, right = figure.axes
    errors(data, ax=left)
    x, axis = clock(data)
    if "test_error" in data and "error_estimate" in data:
        test, off = data["test_error"].values, np.broadcast_to(data["error_estimate"].values, x.shape)
        low, high = np.maximum(test - off, 0), test + off
        left.fill_between(x, low, high, color=TEST, alpha=0.15, linewidth=0, label="may be off by")
        left.legend(frameon=False)
    for k, mode in enumerate(_by_time(data["signal_modes"]).T):
        right.plot(x, mode, color=MODES[k % len(MODES)])
    tau = facts(data)["threshold"]
    right.axhline(tau, color=THRESHOLD, linestyle="-.", linewidth=1.4, label=rf"threshold $\tau$ = {tau:.3g}")
    right.set_xlabel(axis)
    right.set_ylabel("learned strength of signal modes")
    right.set_ylim(bottom=0)
    right.margins(x=0)
    right.legend(frameon=False)
    return figure


def mode_growth(split: Run) -> Figure:
    """Draw m(t)/s of each mode of a regime from a zero start: solid for active modes, dashed for lazy ones.

    A dot marks where an active mode crosses the threshold.

    Args:
        split: from `lindyn.prediction.regime`: "share" against time and mode, "singular_values", "crossing_time".

    References:
        theory (3.2).
    """
    from matplotlib.lines import Line2D

    data = labelled("split", split, "share", "singular_values", "crossing_time")
    tau = float(data.attrs["threshold"])
    figure = new_figure(1, (6.0, 4.0))
    ax = figure.axes[0]
    t, shares = data["time"].values, _by_time(data["share"])
    modes = zip(data["singular_values"].values, data["crossing_time"].values, shares.T, strict=True)
    for k, (s, crossing, share) in enumerate(modes):
        colour = MODES[k % len(MODES)]
        ax.plot(t, share, "-" if s > tau else "--", color=colour, linewidth=1.4)
        if s > tau:
            ax.plot(crossing, tau / s, "o", color=colour, markersize=4)
    handles = [
        Line2D([], [], color="black", linestyle="-", label=f"active, s > τ = {tau:.3g}"),
        Line2D([], [], color="black", linestyle="--", label="lazy, s < τ"),
        Line2D([], [], color="black", linestyle="none", marker="o", markersize=4, label="crosses τ"),
    ]
    ax.legend(handles=handles, frameon=False, loc="lower right")
    ax.set_xlabel("flow time $t$ (learning rate × step)")
    ax.set_ylabel("learned share of each mode, $m(t)/s$")
    ax.set_xlim(0, t[-1])
    ax.set_ylim(0, 1.02)
    return figure


def figure1(descent: Run, formula: Run, *, signal_modes: int) -> Figure:
    """Draw the paper's Figure 1: errors of gradient descent and of the formula left, singular values right.

    Args:
        descent: gradient descent on the network, with errors and singular values.
        formula: the mixed dynamics at the same times.
        signal_modes: rank of the signal.

    References:
        Tu, Aranguri, Jacot (2024), Figure 1.
    """
    figure = new_figure(2, (10.4, 4.2))
    left, right = figure.axes
    errors(descent, formula, ax=left)
    left.set_title("errors")
    singular_values(descent, formula, signal_modes=signal_modes, ax=right, log=False)
    right.set_title("singular values (gradient descent in colour)")
    return figure
