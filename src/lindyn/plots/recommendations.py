"""The trade-off of a recommendation: how much test error depth in the active regime buys, at what price in steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lindyn.plots.style import TEST, Labelled, labelled, new_figure

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


def trade_off(advice: xarray.Dataset | Labelled) -> Figure:
    """Draw predicted test error against step for every depth, and the best of each against the steps to it.

    Left: one curve for each threshold of the table, a dot at its best step. Right: those dots alone. Colours:
    τ over the smallest signal mode s_K. The star is the recommended point, the dashed line the budget of steps.

    Args:
        advice: from `lindyn.advise`, or its arrays: "curve_step", "curve_error" over (depth, record), "phase",
            "steps", "test_error" over depth; the recommended point and the budget as attributes.

    References:
        theory section 4.

    Examples:
        >>> import lindyn as ld
        >>> trade_off(ld.advise(200, rank=5, noise=1.0)).axes[0].get_xlabel()
        'step'
    """
    from matplotlib import colormaps

    data = labelled("advice", advice, "curve_step", "curve_error", "phase", "steps", "test_error")
    told = data.attrs
    steps, best = data["steps"].values, data["test_error"].values
    figure = new_figure(2, (9.4, 3.9))
    left, right = figure.axes
    colours = colormaps["viridis"](np.linspace(0.92, 0.05, data.sizes["depth"]))
    for k, colour in enumerate(colours):
        row = data.isel(depth=k)
        label = f"{float(row['depth']):g}: {row['phase'].item()}"
        known = np.isfinite(row["curve_step"].values)  # shorter curves are padded
        left.plot(row["curve_step"].values[known], row["curve_error"].values[known], color=colour, label=label)
        for ax in (left, right):
            ax.plot(steps[k], best[k], "o", color=colour, markersize=7)
    right.plot(steps, best, color="0.75", linewidth=1, zorder=0)
    for ax in (left, right):
        point = (told["recommended_steps"], told["recommended_test_error"])
        ax.plot(*point, "*", color=TEST, markersize=14, label="recommended", zorder=3)
        ax.set_yscale("log")
        ax.set_ylim(bottom=0.7 * best.min(), top=2 * told["zero_error"])
        if told["budget"] <= 2 * steps.max():
            ax.axvline(told["budget"], color="0.4", linestyle="--", linewidth=1, label="budget")
    left.set_xscale("log")
    left.set_xlim(left=1)
    right.set_xlim(left=0)
    left.set_xlabel("step")
    left.set_ylabel("predicted test error per entry")
    left.legend(title="$\\tau / s_K$: phase", frameon=False, fontsize=8, title_fontsize=8, loc="lower left")
    right.set_xlabel("steps to the smallest test error")
    right.set_ylabel("smallest test error per entry")
    return figure
