"""Who crossed when: singular values of factor pairs and their thresholds over the steps of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lindyn.inspection.records import crossings
from lindyn.plots.trajectories import MODES, _new_figure
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

_MOST_PAIRS, _MOST_MODES = 3, 8
_FLOOR = 1e-3  # of the largest value: what is drawn


def who_crossed_when(
    dataset: xarray.Dataset, pairs: Sequence[str] | None = None, *, modes: int = _MOST_MODES
) -> Figure:
    """Draw m_k (solid) against τ_k (dashed) over the steps, a panel for each pair, a dot where a mode crosses.

    Modes that stay below a thousandth of the largest value are left out.

    Args:
        dataset: from `RegimeTracker.dataset` or `lindyn.tracking.load_tracking`.
        pairs: which pairs; left out, the first three.
        modes: how many of the largest modes of each.

    Raises:
        InvalidArgument: a pair that was not tracked, or none.

    References:
        theory (2.9).
    """
    from matplotlib.lines import Line2D

    checks.integer("modes", modes, at_least=1)
    known = [str(name) for name in dataset["pair"].values]
    chosen = known[:_MOST_PAIRS] if pairs is None else list(pairs)
    if not chosen:
        raise checks.InvalidArgument("pairs", "name at least one pair", "it is empty")
    for name in chosen:
        checks.choice("pairs", name, known)
    figure = _new_figure(len(chosen), (0.8 + 4.2 * len(chosen), 4.0))
    step, crossed = dataset["step"].values, crossings(dataset)
    for ax, name in zip(figure.axes, chosen, strict=True):
        row = dataset.isel(pair=known.index(name))
        m, tau = (row[key].transpose("step", "mode").values for key in ("singular_values", "thresholds"))
        largest = float(np.nanmax(np.maximum(m, tau)[:, :modes]))
        shown = (
            np.nanmax(m, axis=0, initial=0) > _FLOOR * largest
        )  # the others' thresholds flicker: vectors are arbitrary
        for k in np.flatnonzero(shown[:modes]):
            colour = MODES[k % len(MODES)]
            ax.plot(step, np.where(m[:, k] > 0, m[:, k], np.nan), color=colour, linewidth=1.6)
            ax.plot(step, np.where(tau[:, k] > 0, tau[:, k], np.nan), "--", color=colour, linewidth=1.0)
            at = float(crossed.values[known.index(name), k])
            if np.isfinite(at):
                level = np.interp(at, step, tau[:, k])
                if level > 0:
                    ax.plot(at, level, "o", color=colour, markersize=6, zorder=3)
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(_FLOOR * largest, ax.get_ylim()[0]))
        ax.margins(x=0)
        ax.set_xlabel("optimiser step")
        ax.set_title(name, fontsize=10)
    figure.axes[0].set_ylabel("singular value and threshold of each mode")
    handles = [
        Line2D([], [], color="black", label="singular value $m_k$"),
        Line2D([], [], color="black", linestyle="--", linewidth=1.0, label="threshold $\\tau_k$"),
        Line2D([], [], color="black", linestyle="none", marker="o", label="crosses: active from here"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure
