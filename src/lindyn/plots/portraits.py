"""The portrait of training over richness γ and learning rate η: what is left of the cost, and the edges by theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn.plots.style import ACTIVE_COLOUR, LAZY_COLOUR, axes_for, labelled
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

_FAILED = 2
_LEAST_SHOWN = 1e-4  # share of the cost at which the colours end: what is below it is learned
_ROSE = 1.01  # a peak of the cost above that of the start, rounding apart


def richness_portrait(diagram: xarray.Dataset, *, source: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw what is left of the cost over richness and learning rate; cells that diverged are grey.

    Solid line: the stability bound 2/λ(∞). Dashed: the rate at which the flow reaches the goal in the last step.
    Dotted: the powers γ² (lazy) and γ^{2/L} (rich) of the bound's two limits. Within the dots the cost rose above that
    of the start before it fell below the goal: catapult.

    Args:
        diagram: from `phase_diagram(PortraitSettings(…))` or `load_diagram`, finished or not.
        source: which source to draw; its first if left out.
        ax: where to draw; a new figure if left out.

    Returns:
        The axes.

    Raises:
        InvalidArgument: another kind of diagram, or a source that it does not have.

    References:
        works (9.5), (9.6); Atanasov, Meterez, Simon, Pehlevan (2024).
    """
    from matplotlib.colors import LogNorm

    diagram = labelled("diagram", diagram, "train_error", "peak_error", "status")
    if "richness" not in diagram.dims:
        raise checks.InvalidArgument("diagram", "be a portrait", f"its axes are {', '.join(map(str, diagram.dims))}")
    names = [str(name) for name in diagram["source"].values]
    part = diagram.sel(source=checks.choice("source", names[0] if source is None else source, names)).isel(seed=0)
    ax = axes_for(ax, (5.4, 4.4))
    gamma, rate = part["richness"].values, part["learning_rate"].values
    ax.set_facecolor("#d9d9d9")
    left = np.ma.masked_invalid(part["train_error"].values)
    mesh = ax.pcolormesh(
        _edges(gamma), _edges(rate), left.clip(min=_LEAST_SHOWN), cmap="viridis_r", norm=LogNorm(_LEAST_SHOWN, 1.0),
        rasterized=True,
    )  # fmt: skip
    ax.figure.colorbar(mesh, ax=ax, shrink=0.9, extend="min", label="cost after the last step, over the first")
    _dots(ax, part)
    _lines(ax, part)
    ax.set(
        xscale="log", yscale="log", xlim=_edges(gamma)[[0, -1]], ylim=_edges(rate)[[0, -1]],
        xlabel="richness $\\gamma$  (lazy $\\leftarrow\\;\\rightarrow$ rich)", ylabel="learning rate $\\eta$",
        title=f"$L = {int(diagram.attrs['depth'])}$, {int(diagram.attrs['steps']):,} steps; grey: diverged",
    )  # fmt: skip
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=8)
    return ax


def _edges(centres: np.ndarray) -> np.ndarray:
    """Boundaries of cells on a logarithmic axis, midway between their centres."""
    logs = np.log(centres)
    if logs.size == 1:
        return np.exp(logs + np.array([-0.5, 0.5]))
    middle = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.concatenate([[2 * logs[0] - middle[0]], middle, [2 * logs[-1] - middle[-1]]]))


def _dots(ax: Axes, part: xarray.Dataset) -> None:
    """Mark the cells that catapulted: they rose, and are trained."""
    caught = (part["peak_error"].values > _ROSE) & (part["unfinished"].values == 0)
    if not caught.any() or min(caught.shape) < 2:
        return
    own: Any = {"levels": [0.5, 1.5], "colors": "none", "hatches": ["...."]}
    ax.contourf(part["richness"].values, part["learning_rate"].values, caught.astype(float), **own)
    ax.fill_between([], [], facecolor="none", edgecolor="0.2", hatch="....", linewidth=0, label="catapult")


def _lines(ax: Axes, part: xarray.Dataset) -> None:
    """Draw the two edges by theory, and the powers that the upper one goes between."""
    gamma, bound = part["richness"].values, part["stability_bound"].values
    depth, steps = int(part.attrs["depth"]), int(part.attrs["steps"])
    ax.plot(gamma, bound, color="white", linewidth=3.2)
    ax.plot(gamma, bound, color="black", linewidth=1.8, label="stability bound $2/\\lambda(\\infty)$")
    ax.plot(gamma, part["flow_time"].values / steps, "--", color="black", linewidth=1.6, label="flow reaches the goal")
    for power, place, colour in ((2.0, 0, LAZY_COLOUR), (2 / depth, -1, ACTIVE_COLOUR)):
        word = {2.0: "\\gamma^2", 1.0: "\\gamma"}.get(power, f"\\gamma^{{2/{depth}}}")
        guide = 4 * bound[place] * (gamma / gamma[place]) ** power  # a factor above the line that it is parallel to
        ax.plot(gamma, guide, ":", color=colour, linewidth=2.0, label=f"$\\propto {word}$")
