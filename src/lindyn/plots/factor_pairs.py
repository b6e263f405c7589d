"""Singular values of factor pairs against their thresholds, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lindyn.plots.style import ACTIVE_COLOUR, BULK, LAZY_COLOUR, THRESHOLD, Labelled, axes_for, labelled
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

_MOST_NAMES = 32


def pair_modes(inspection: xarray.Dataset | Labelled, ax: Axes | None = None) -> Axes:
    """Draw, for each pair in turn, its singular values (dots) and the threshold of each (line beneath them).

    A mode above its own threshold is active, one below lazy, as the table and the verdict of the inspection count
    them; modes that are zero are not drawn, and pairs whose modes get no label are grey. The axis is logarithmic; a
    pair's modes stand side by side, the largest first.

    Args:
        inspection: from `lindyn.inspect`, or its arrays: "singular_values", "thresholds" and "active" over
            (pair, mode), "expected_threshold" and "labelled" over pair.
        ax: where to draw; a new figure if left out.

    Raises:
        InvalidArgument: an inspection without pairs.

    References:
        theory (2.7), (2.9).
    """
    data = labelled("inspection", inspection, "singular_values", "thresholds", "active", "labelled")
    count = data.sizes["pair"]
    if not count:
        raise checks.InvalidArgument("inspection", "hold at least one pair", "it holds none")
    ax = axes_for(ax, (min(max(6.0, 0.3 * count), 16.0), 4.4))
    values = data["singular_values"].transpose("pair", "mode").values
    active = data["active"].transpose("pair", "mode").values.astype(bool)
    named = np.broadcast_to(data["labelled"].values.astype(bool)[:, None], values.shape)
    place = _places(values)
    for which, colour, text in (
        (named & active, ACTIVE_COLOUR, "active: above its own threshold"),
        (named & ~active, LAZY_COLOUR, "lazy: below"),
        (~named, BULK, "no label"),
    ):
        shown = which & (values > 0)
        if shown.any():
            ax.plot(place[shown], values[shown], "o", color=colour, markersize=3.5, alpha=0.85, label=text)
    thresholds = data["thresholds"].transpose("pair", "mode").values
    if np.any(thresholds > 0):
        there, half = thresholds > 0, 0.4 / values.shape[1]
        own = "threshold $\\tau_k$ of the mode"
        ends = place[there] - half, place[there] + half
        ax.hlines(thresholds[there], *ends, color=THRESHOLD, linewidth=1.6, label=own)
    expected = data["expected_threshold"].values
    declared = np.flatnonzero(expected > 0)
    if declared.size:
        ax.plot(declared, expected[declared], "_", color="black", markersize=5, label="$\\tau$ of a fresh start")
    ax.set_yscale("log")
    ax.set_ylabel("singular value of $s\\,W_2W_1$")
    ax.set_xlim(-0.7, count - 0.3)
    if count <= _MOST_NAMES:
        names = [_short(str(name)) for name in data["pair"].values]
        ax.set_xticks(range(count), names, rotation=60, ha="right", fontsize=7)
    else:
        ax.set_xlabel(f"pair, in the order of the file ({count} pairs)")
    ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)  # covers no data
    return ax


def _places(values: np.ndarray) -> np.ndarray:
    """Where each mode stands: its pair's number, and within 0.4 of it from the largest mode to the smallest."""
    count, modes = values.shape
    return np.arange(count)[:, None] + 0.8 * ((np.arange(modes) + 0.5) / modes - 0.5)[None, :]


def _short(name: str) -> str:
    """The end of a module's name, with the number of its layer."""
    parts = name.split(".")
    numbers = [p for p in parts if p.isdigit()]
    return f"{numbers[0]}: {parts[-1]}" if numbers and len(parts) > 2 else name
