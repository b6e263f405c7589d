"""Did training follow? Predicted singular values against recorded ones."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lindyn.plots.style import MODES, new_figure
from lindyn.support import checks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FLOOR = 1e-3  # of the largest value: what is drawn


def followed(
    steps: Float[np.ndarray, " records"],
    predicted: Float[np.ndarray, "records modes"],
    measured: Float[np.ndarray, "records modes"],
    *,
    title: str = "",
    verdict: str = "",
) -> Figure:
    """Draw each singular value over the steps: recorded (dots) on predicted (lines); below, their difference over s₁.

    Modes that stay below a thousandth of the largest value are left out of the upper panel, and none of the lower.

    Args:
        steps: steps of the records.
        predicted: singular values by the prediction.
        measured: those of training.
        title: above the figure.
        verdict: below it, as a sentence.

    Raises:
        InvalidArgument: arrays of different shapes.
    """
    from matplotlib.lines import Line2D

    steps = checks.array("steps", steps, 1, dtype=np.float64)
    predicted = checks.array("predicted", predicted, 2, dtype=np.float64, finite=False)
    measured = checks.array("measured", measured, 2, dtype=np.float64, finite=False)
    title, verdict = checks.text("title", title), checks.text("verdict", verdict)
    if predicted.shape != measured.shape or len(steps) != len(predicted):
        shapes = f"the shapes are {steps.shape}, {predicted.shape} and {measured.shape}"
        raise checks.InvalidArgument("measured", "have the shape of `predicted`, a row for each step", shapes)
    figure = new_figure(1, (6.4, 5.4), rows=2)
    above, below = figure.axes
    largest = float(np.nanmax(np.maximum(predicted, measured)))
    for k in range(predicted.shape[1]):
        colour = MODES[k % len(MODES)]
        if np.nanmax(np.maximum(predicted[:, k], measured[:, k])) > _FLOOR * largest:
            above.plot(steps, predicted[:, k], color=colour, linewidth=1.4)
            above.plot(steps, measured[:, k], "o", color=colour, markersize=3.0)
        below.plot(
            steps, (measured[:, k] - predicted[:, k]) / max(predicted.max(), 1e-300), color=colour, linewidth=1.2
        )
    above.set_ylabel("singular value")
    above.legend(
        handles=[
            Line2D([], [], color="black", label="predicted"),
            Line2D([], [], color="black", linestyle="none", marker="o", markersize=3.0, label="training"),
        ],
        frameon=False,
    )
    below.axhline(0.0, color="black", linewidth=0.8)
    below.set_ylabel("(training − predicted)/$s_1$")
    below.set_xlabel("optimiser step")
    for ax in (above, below):
        ax.margins(x=0.01)
    figure.suptitle(title, fontsize=10)
    if verdict:
        figure.supxlabel("\n".join(textwrap.wrap(verdict, 100)), fontsize=8)
    return figure
