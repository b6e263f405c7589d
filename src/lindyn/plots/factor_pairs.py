"""Singular values of factor pairs against their thresholds, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lindyn.inspection.report import Inspection
from lindyn.plots.trajectories import BULK, THRESHOLD, _new_figure
from lindyn.support import checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACTIVE_COLOUR, LAZY_COLOUR = "#2a9d8f", "#7a94c9"
_MOST_NAMES = 32


def pair_modes(inspection: Inspection, ax: Axes | None = None) -> Axes:
    """Draw, for each pair in turn, its singular values (dots) and the threshold its start has set (bar).

    Modes above their own threshold τ_k are active, those below lazy; modes that are zero are not drawn, and pairs
    whose modes get no label are grey. The axis is logarithmic.

    Args:
        inspection: from `lindyn.inspect`.
        ax: where to draw; a new figure if left out.

    Raises:
        InvalidArgument: an inspection without pairs.

    References:
        theory (2.7), (2.9).
    """
    if not inspection.pairs:
        raise checks.InvalidArgument("inspection", "hold at least one pair", "it holds none")
    if ax is None:
        width = min(max(6.0, 0.3 * len(inspection.pairs)), 16.0)
        ax = _new_figure(1, (width, 4.4)).axes[0]
    drawn: dict[str, tuple[list[int], list[float]]] = {}
    for x, pair in enumerate(inspection.pairs):
        for m, tau in zip(pair.singular_values, pair.thresholds, strict=True):
            label = "no label" if pair.active_modes is None else "active: above $\\tau_k$" if m > tau else "lazy: below"
            if m > 0:
                xs, ys = drawn.setdefault(label, ([], []))
                xs.append(x)
                ys.append(float(m))
    for label, (xs, ys) in drawn.items():
        colour = BULK if label == "no label" else ACTIVE_COLOUR if label.startswith("active") else LAZY_COLOUR
        ax.plot(xs, ys, "o", color=colour, markersize=3.5, alpha=0.85, linewidth=0, label=label)
    thresholds = np.array([p.nominal_threshold for p in inspection.pairs])
    at = np.flatnonzero(thresholds > 0)
    if at.size:
        ax.hlines(
            thresholds[at], at - 0.4, at + 0.4, color=THRESHOLD, linewidth=1.8,
            label="threshold $\\tau$ of the pair (imbalance)",
        )  # fmt: skip
    declared = [(x, p.expected_threshold) for x, p in enumerate(inspection.pairs) if p.expected_threshold]
    if declared:
        xs, ys = [x for x, _ in declared], [tau for _, tau in declared]
        ax.plot(xs, ys, "_", color="black", markersize=5, linewidth=0, label="$\\tau$ of a fresh start")
    ax.set_yscale("log")
    ax.set_ylabel("singular value of $s\\,W_2W_1$")
    count = len(inspection.pairs)
    ax.set_xlim(-0.7, count - 0.3)
    if count <= _MOST_NAMES:
        ax.set_xticks(range(count), [_short(p.name) for p in inspection.pairs], rotation=60, ha="right", fontsize=7)
    else:
        ax.set_xlabel(f"pair, in the order of the file ({count} pairs)")
    ax.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)  # covers no data
    return ax


def _short(name: str) -> str:
    """The end of a module's name, with the number of its layer."""
    parts = name.split(".")
    numbers = [p for p in parts if p.isdigit()]
    return f"{numbers[0]}: {parts[-1]}" if numbers and len(parts) > 2 else name
