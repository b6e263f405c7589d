"""The trade-off of an advice: how much test error depth in the active regime buys, and at what price in steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lindyn.plots.trajectories import TEST, _new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lindyn.advice import Advice


def trade_off(advice: Advice) -> Figure:
    """Draw predicted test error against step for every depth, and the best of each against the steps to it.

    Left: one curve for each threshold of the table, a dot at its best step. Right: those dots alone. Colours:
    τ over the smallest signal mode s_K. The star is the recommended point, the dashed line the budget of steps.

    Args:
        advice: from `lindyn.advise`.

    Examples:
        >>> import lindyn as ld
        >>> trade_off(ld.advise(200, rank=5, noise=1.0)).axes[0].get_xlabel()
        'step'
    """
    from matplotlib import colormaps

    figure = _new_figure(2, (9.4, 3.9))
    left, right = figure.axes
    colours = colormaps["viridis"](np.linspace(0.92, 0.05, len(advice.trade_off)))
    for row, colour in zip(advice.trade_off, colours, strict=True):
        label = f"{row.depth:g}: {row.phase}"
        left.plot(*row.curve, color=colour, linewidth=1.5, label=label)
        for ax in (left, right):
            ax.plot(row.steps, row.test_error, "o", color=colour, markersize=7)
    right.plot(
        [row.steps for row in advice.trade_off],
        [row.test_error for row in advice.trade_off],
        color="0.75",
        linewidth=1,
        zorder=0,
    )
    for ax in (left, right):
        ax.plot(advice.steps, advice.test_error, "*", color=TEST, markersize=14, label="recommended", zorder=3)
        ax.set_yscale("log")
        ax.set_ylim(bottom=0.7 * min(row.test_error for row in advice.trade_off), top=2 * advice.zero_error)
        if advice.budget <= 2 * max(row.steps for row in advice.trade_off):
            ax.axvline(advice.budget, color="0.4", linestyle="--", linewidth=1, label="budget")
    left.set_xscale("log")
    left.set_xlim(left=1)
    right.set_xlim(left=0)
    left.set_xlabel("step")
    left.set_ylabel("predicted test error per entry")
    left.legend(title="$\\tau / s_K$: phase", frameon=False, fontsize=8, title_fontsize=8, loc="lower left")
    right.set_xlabel("steps to the smallest test error")
    right.set_ylabel("smallest test error per entry")
    return figure
