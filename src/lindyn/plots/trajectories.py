"""Curves against training time: errors and singular values, alone and as the paper's Figure 1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn.prediction.regimes import Regime
from lindyn.simulation.trajectory import Trajectory
from lindyn.solutions.mixed import mode_curve
from lindyn.support import checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAIN, TEST, THRESHOLD, BULK = "#0072B2", "#D55E00", "#A50026", "#9a9a9a"
MODES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C564B", "#5D3A9B"]
LINES = ["-", "--", ":", "-."]


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Figures need matplotlib; install it with: pip install 'lindyn[plots]'.") from error
    return plt


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    figure = _new_figure(1, (5.2, 3.8))
    return figure.axes[0]


def _new_figure(columns: int, size: tuple[float, float], *, rows: int = 1) -> Figure:
    """A figure outside pyplot's registry: it is freed with its last reference, in scripts and notebooks alike."""
    _pyplot()
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    figure.subplots(rows, columns)
    return figure


def _clock(run: Trajectory) -> tuple[np.ndarray, str]:
    if np.isnan(run.step).any():
        return run.time, "flow time $t$"
    return run.step, "gradient-descent step"


def errors(*runs: Trajectory, ax: Axes | None = None, log: bool = False) -> Axes:
    """Draw train and test error against step (or flow time): a colour for each error, a line style for each run.

    Args:
        runs: trajectories with "train_error" or "test_error".
        ax: where to draw; a new figure if left out.
        log: logarithmic error axis.

    Raises:
        InvalidArgument: no run, or one without errors.
    """
    if not runs:
        raise checks.InvalidArgument("runs", "hold at least one trajectory", "it is empty")
    ax = _axes(ax)
    for run, line in zip(runs, LINES * len(runs), strict=False):
        x, label = _clock(run)
        found = [(n, c) for n, c in (("train_error", TRAIN), ("test_error", TEST)) if n in run.data]
        if not found:
            raise checks.InvalidArgument("runs", "hold train_error or test_error", f"one holds {', '.join(run.data)}")
        for name, colour in found:
            text = name.replace("_error", "") + (f": {run.info.method}" if len(runs) > 1 else "")
            ax.plot(x, run[name], line, color=colour, label=text, linewidth=1.6)
        ax.set_xlabel(label)
    ax.set_ylabel("error per entry")
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.margins(x=0)
    ax.legend(frameon=False)
    return ax


def singular_values(
    run: Trajectory, *others: Trajectory, signal_modes: int = 0, ax: Axes | None = None, log: bool = True
) -> Axes:
    """Draw the singular values of A against step: signal modes in colour, the bulk as a band, the threshold as a line.

    Args:
        run: a trajectory with "singular_values".
        others: further ones, drawn in other line styles over the first (signal modes and upper edge of the bulk).
        signal_modes: how many of the largest to colour; the rest is the bulk.
        ax: where to draw; a new figure if left out.
        log: logarithmic axis.

    Raises:
        InvalidArgument: a run without singular values.
    """
    checks.integer("signal_modes", signal_modes, at_least=0)
    for r in (run, *others):
        if "singular_values" not in r.data:
            raise checks.InvalidArgument("run", "hold singular_values", f"it holds {', '.join(r.data)}")
    ax = _axes(ax)
    x, label = _clock(run)
    values = run["singular_values"]
    for k in range(min(signal_modes, values.shape[1])):
        name = f"signal mode{'s' if signal_modes > 1 else ''} 1 … {signal_modes}" if k == 0 else None
        ax.plot(x, values[:, k], color=MODES[k % len(MODES)], linewidth=1.5, label=name)
    bulk = values[:, signal_modes:]
    if bulk.shape[1]:
        ax.fill_between(x, bulk.min(1), bulk.max(1), color=BULK, alpha=0.35, linewidth=0, label="all other modes")
    for other, line in zip(others, LINES[1:] * len(others), strict=False):
        theirs, their_x = other["singular_values"], _clock(other)[0]
        for k in range(min(signal_modes, theirs.shape[1])):
            ax.plot(their_x, theirs[:, k], line, color="black", linewidth=0.9)
        if theirs.shape[1] > signal_modes:
            edge = f"{other.info.dynamics}: modes, upper edge"
            ax.plot(their_x, theirs[:, signal_modes], line, color="black", linewidth=0.9, label=edge)
    tau = run.info.threshold
    ax.axhline(tau, color=THRESHOLD, linewidth=1.4, linestyle="-.", label=rf"threshold $\tau$ = {tau:.3g}")
    if log:
        ax.set_yscale("log")
        floor = min(tau, float(values[:, : signal_modes or 1].min())) / 5
        ax.set_ylim(bottom=max(floor, 1e-3 * float(values.max())))
    else:
        ax.set_ylim(bottom=0)
    ax.margins(x=0)
    ax.set_xlabel(label)
    ax.set_ylabel("singular value of $A$")
    ax.legend(frameon=False)
    return ax


def prediction(run: Trajectory) -> Figure:
    """Draw a prediction of the large-d theory: errors left, learned strength of the signal modes right."""
    figure = _new_figure(2, (9.6, 3.8))
    left, right = figure.axes
    errors(run, ax=left)
    x, label = _clock(run)
    for k, mode in enumerate(run["signal_modes"].T):
        right.plot(x, mode, color=MODES[k % len(MODES)])
    tau = run.info.threshold
    right.axhline(tau, color=THRESHOLD, linestyle="-.", linewidth=1.4, label=rf"threshold $\tau$ = {tau:.3g}")
    right.set_xlabel(label)
    right.set_ylabel("learned strength of signal modes")
    right.set_ylim(bottom=0)
    right.margins(x=0)
    right.legend(frameon=False)
    return figure


def mode_growth(split: Regime) -> Figure:
    """Draw m(t)/s of each mode of a regime from a zero start: solid for active modes, dashed for lazy ones.

    A dot marks where an active mode crosses the threshold.

    References:
        theory (3.2).
    """
    from matplotlib.lines import Line2D

    figure = _new_figure(1, (6.0, 4.0))
    ax = figure.axes[0]
    span = 1.2 * float(np.max(split.learning_time))
    t = np.linspace(0.0, span, 400)
    for k, s in enumerate(split.singular_values):
        active = s > split.threshold
        colour = MODES[k % len(MODES)]
        ax.plot(t, mode_curve(s, split.threshold, t) / s, "-" if active else "--", color=colour, linewidth=1.4)
        if active:
            ax.plot(split.crossing_time[k], split.threshold / s, "o", color=colour, markersize=4)
    handles = [
        Line2D([], [], color="black", linestyle="-", label=f"active, s > τ = {split.threshold:.3g}"),
        Line2D([], [], color="black", linestyle="--", label="lazy, s < τ"),
        Line2D([], [], color="black", linestyle="none", marker="o", markersize=4, label="crosses τ"),
    ]
    ax.legend(handles=handles, frameon=False, loc="lower right")
    ax.set_xlabel("flow time $t$ (gradient-descent step × learning rate)")
    ax.set_ylabel("learned share of each mode, $m(t)/s$")
    ax.set_xlim(0, span)
    ax.set_ylim(0, 1.02)
    return figure


def figure1(descent: Trajectory, formula: Trajectory, *, signal_modes: int) -> Figure:
    """Draw the paper's Figure 1: errors of gradient descent and of the formula left, singular values right.

    Args:
        descent: gradient descent on the network, with errors and singular values.
        formula: the mixed dynamics at the same times.
        signal_modes: rank of the signal.

    References:
        Tu, Aranguri, Jacot (2024), Figure 1.
    """
    figure = _new_figure(2, (10.4, 4.2))
    left, right = figure.axes
    errors(descent, formula, ax=left)
    left.set_title("errors")
    singular_values(descent, formula, signal_modes=signal_modes, ax=right, log=False)
    right.set_title("singular values (gradient descent in colour)")
    return figure


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure at 150 dots per inch; the format follows the suffix (.png, .pdf, .svg)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path
