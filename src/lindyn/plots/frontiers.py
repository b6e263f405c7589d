"""Loss against compute: models of several sizes, and the frontier of the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lindyn.plots.style import COST, Labelled, axes_for, labelled
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes


def loss_frontier(
    frontier: xarray.Dataset | Labelled, *, label: str | None = None, color: str = COST, ax: Axes | None = None
) -> Axes:
    """Draw the loss of each size against compute, and thick the best where neither the smallest nor the largest wins.

    Args:
        frontier: from `lindyn.simulation.compute_frontier`, or its arrays: "losses" over (size, compute), "loss" and
            "capped" over compute.
        label: name of the frontier in the legend; its power if left out.
        color: of all lines.
        ax: where to draw; a new figure if left out.

    Returns:
        The axes.

    References:
        works (10.7).

    Examples:
        >>> import lindyn as ld
        >>> task = ld.tasks.PowerLaw(capacity=1.5, source=0.5, modes=2000)
        >>> options = {"times": np.geomspace(1, 1e4, 41), "observables": "loss"}
        >>> runs = [ld.simulate(ld.Lazy(0.5), task.random_features(n), **options) for n in (8, 32)]
        >>> loss_frontier(ld.simulation.compute_frontier(runs, [8, 32])).get_xlabel()
        'compute N·t'
    """
    from matplotlib.colors import is_color_like

    data = labelled("frontier", frontier, "losses", "loss", "capped")
    if not is_color_like(color):
        raise checks.InvalidArgument("color", "be a colour that matplotlib knows", f"it is {checks.shown(color)}")
    ax, power = axes_for(ax), data.attrs.get("exponent")
    for losses in data["losses"].values:
        ax.plot(data["compute"].values, losses, color=color, lw=0.7, alpha=0.6)
    name = label or ("frontier" if power is None else f"power {power:.3f}")
    best = np.where(data["capped"].values, np.nan, data["loss"].values)
    ax.plot(data["compute"].values, best, color=color, lw=3, alpha=0.75, label=name)
    ax.set(xscale="log", yscale="log", xlabel="compute N·t", ylabel="loss")
    ax.legend(frameon=False, fontsize=8)
    return ax
