"""Who crossed when: singular values of factor pairs and their thresholds over the steps of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn.plots.style import ACTIVE_COLOUR, LAZY_COLOUR, MODES, Labelled, labelled, new_figure
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_PANELS, _MOST_MODES, _COLUMNS = 12, 8, 4
_FLOOR = 1e-3  # of the largest value: what is drawn


def who_crossed_when(
    dataset: xarray.Dataset | Labelled, pairs: Sequence[str] | None = None, *, modes: int = _MOST_MODES
) -> Figure:
    """Draw when modes cross their thresholds over the steps of training: every pair that was tracked.

    Up to twelve pairs, or those that are named, get a panel each: m_k (solid) against τ_k (dashed), a dot where a
    mode crosses; modes that stay below a thousandth of the largest value are left out. More pairs are gathered by
    kind (the last part of their names), a panel a kind: m₁/τ₁ of every pair, above 1 active.

    Args:
        dataset: from `RegimeTracker.dataset` or `lindyn.inspection.load_tracking`.
        pairs: which pairs; all if left out.
        modes: how many of the largest modes of each.

    Raises:
        InvalidArgument: a pair that was not tracked, or none.

    References:
        theory (2.9).
    """
    modes = checks.integer("modes", modes, at_least=1)
    data = labelled("dataset", dataset, "singular_values", "thresholds", "crossing_step")
    known = [str(name) for name in data["pair"].values]
    if pairs is None and len(known) > _MOST_PANELS:
        return _by_kind(data, known)
    chosen = known if pairs is None else checks.listed("pairs", pairs)
    if not chosen:
        raise checks.InvalidArgument("pairs", "name at least one pair", "it is empty")
    for name in chosen:
        checks.choice("pairs", name, known)
    figure, panels = _panels(len(chosen))
    for ax, name in zip(panels, chosen, strict=True):
        _pair(ax, data.isel(pair=known.index(name)), modes)
        ax.set_title(name, fontsize=9)
    _legend(
        figure,
        {"color": "black", "label": "singular value $m_k$"},
        {"color": "black", "linestyle": "--", "linewidth": 1.0, "label": "threshold $\\tau_k$"},
        {"color": "black", "linestyle": "none", "marker": "o", "label": "crosses: active from here"},
    )
    figure.supylabel("singular value and threshold of each mode", fontsize=10)
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with a grid of panels, four in a row."""
    columns = min(count, _COLUMNS)
    rows = math.ceil(count / columns)
    figure = new_figure(columns, (0.8 + (4.2 if columns < _COLUMNS else 3.2) * columns, 0.8 + 3.2 * rows), rows=rows)
    panels = list(figure.axes)
    for spare in panels[count:]:
        spare.remove()
    return figure, panels[:count]


def _legend(figure: Figure, *entries: dict[str, Any]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **entry) for entry in entries]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def _pair(ax: Axes, row: xarray.Dataset, modes: int) -> None:
    step = row["step"].values
    m, tau = (row[key].transpose("step", "mode").values for key in ("singular_values", "thresholds"))
    largest = float(np.nanmax(np.maximum(m, tau)[:, :modes]))
    # the thresholds of smaller modes flicker: their singular vectors are arbitrary
    shown = np.nanmax(m, axis=0, initial=0) > _FLOOR * largest
    for k in np.flatnonzero(shown[:modes]):
        colour = MODES[k % len(MODES)]
        ax.plot(step, np.where(m[:, k] > 0, m[:, k], np.nan), color=colour, linewidth=1.6)
        ax.plot(step, np.where(tau[:, k] > 0, tau[:, k], np.nan), "--", color=colour, linewidth=1.0)
        at = float(row["crossing_step"].values[k])
        if np.isfinite(at):
            level = np.interp(at, step, tau[:, k])
            if level > 0:
                ax.plot(at, level, "o", color=colour, markersize=6, zorder=3)
    ax.set_yscale("log")
    ax.set_ylim(bottom=max(_FLOOR * largest, ax.get_ylim()[0]))
    ax.margins(x=0)
    ax.set_xlabel("optimiser step")


def _by_kind(data: xarray.Dataset, names: list[str]) -> Figure:
    """Draw m₁/τ₁ of every pair, gathered by the last part of the pairs' names."""
    kinds: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        parts = [part for part in name.split(".") if not part.isdigit()]
        kinds.setdefault(parts[-1] if parts else name, []).append(i)
    figure, panels = _panels(len(kinds))
    step = data["step"].values
    m, tau = (data[key].transpose("pair", "step", "mode").values[:, :, 0] for key in ("singular_values", "thresholds"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((m > 0) & (tau > 0), m / tau, np.nan)
    for ax, (kind, members) in zip(panels, kinds.items(), strict=True):
        crossed = 0
        for i in members:
            active = bool(ratio[i, -1] > 1)
            crossed += active
            ax.plot(step, ratio[i], color=ACTIVE_COLOUR if active else LAZY_COLOUR, linewidth=0.9, alpha=0.8)
        ax.axhline(1.0, color="black", linestyle="--", linewidth=1.0)
        ax.set_yscale("log")
        ax.margins(x=0)
        ax.set_xlabel("optimiser step")
        ax.set_title(f"{kind}: {crossed} of {len(members)} active", fontsize=9)
    _legend(
        figure,
        {"color": ACTIVE_COLOUR, "label": "active at the end"},
        {"color": LAZY_COLOUR, "label": "lazy"},
        {"color": "black", "linestyle": "--", "linewidth": 1.0, "label": "threshold"},
    )
    figure.supylabel("largest singular value over its threshold, $m_1/\\tau_1$", fontsize=10)
    return figure
