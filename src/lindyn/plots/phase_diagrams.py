"""The panels of a phase diagram, drawn also while it is being computed: cells that are missing are left grey."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn import checks
from lindyn.phase_diagram.settings import DiagramSettings
from lindyn.plots.curves import _new_figure
from lindyn.regimes import ACTIVE, INFINITE_NOISE, LAZY, MIXED, UNDERPARAMETERISED, phase_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PHASES = [ACTIVE, MIXED, LAZY, INFINITE_NOISE, UNDERPARAMETERISED]
_PHASE_COLOURS = ["#2a9d8f", "#e9c46a", "#9fb4d9", "#d98880", "#bdbdbd"]

# quantity → title, contours, colour map, whether to show its natural logarithm
_PANELS: dict[str, tuple[str, list[float], str, bool]] = {
    "min_test_error": ("smallest test error (per entry)", [0.25, 0.5, 0.75], "viridis_r", False),
    "stable_rank": ("stable rank there", [3.0, 4.0, 5.0, 6.0, 7.0], "magma", False),
    "steps_to_min": ("steps until it", [50, 100, 200, 300, 400, 500], "cividis", False),
    "distance": ("ln of the largest ‖A − A_formula‖²/(d_out d_in)", [-10, -7, -4], "coolwarm", True),
}


def phase_panels(diagram: xarray.Dataset, *, source: str | None = None, seed: int | None = None) -> Figure:
    """Draw a diagram: smallest test error, stable rank there, steps until it, distance to the formula, phases.

    The three theory lines: σ²w = d (black: active below, lazy above), σ⁴w = 1 (red: infinite noise to the right) and
    w = rank (orange: underparameterised below). The distance panel is drawn where the diagram has descent and formula.

    Args:
        diagram: from `phase_diagram` or `load_diagram`, finished or not.
        source: which source to draw; its first if left out.
        seed: which seed; the first if left out.

    Raises:
        InvalidArgument: a source or seed that the diagram does not have.

    References:
        theory section 4; Tu, Aranguri, Jacot (2024), Figure 2.
    """
    sources, seeds = [str(s) for s in diagram["source"].values], [int(s) for s in diagram["seed"].values]
    source = checks.choice("source", sources[0] if source is None else source, sources)
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise checks.refuse("seed", f"be one of {seeds}", f"it is {seed}")
    settings = DiagramSettings.from_dict(json.loads(diagram.attrs["settings"]))
    part = diagram.isel(source=sources.index(source), seed=seeds.index(seed))
    names = [n for n in _PANELS if n != "distance" or np.isfinite(part[n].values).any()]
    figure = _new_figure(len(names) + 1, (4.1 * (len(names) + 1), 4.6))
    axes = list(figure.axes)
    for ax, name in zip(axes, names, strict=False):
        _panel(ax, part, settings, name)
    _phases(axes[-1], settings)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    axes[0].set_ylabel("width exponent $\\gamma_w$  ($w = d^{\\gamma_w}$)")
    d_out, d_in = settings.shape
    missing = int((part["status"].values == 0).sum())
    figure.suptitle(
        f"{source}: {d_out} × {d_in}, rank {settings.rank}, noise {settings.noise:g}, at most {settings.steps} steps"
        + (f" ({missing} cells missing)" if missing else "")
    )
    return figure


def _panel(ax: Axes, part: xarray.Dataset, settings: DiagramSettings, name: str) -> None:
    title, levels, colours, logarithm = _PANELS[name]
    x, y = np.array(settings.variance_exponents), np.array(settings.width_exponents)
    values = part[name].values.astype(float)
    if logarithm:
        with np.errstate(divide="ignore"):
            values = np.log(values)
    shown = np.ma.masked_invalid(values)
    ax.set_facecolor("#e0e0e0")
    low, high = (np.percentile(shown.compressed(), p) if shown.count() else 0.0 for p in (0, 100))
    if name == "min_test_error":
        low, high = 0.0, 1.0
    mesh = ax.pcolormesh(x, y, shown, cmap=colours, vmin=low, vmax=high, shading="nearest", rasterized=True)
    inside = [level for level in levels if low < level < high]
    if inside and shown.count() == shown.size and min(values.shape) > 1:
        lines = ax.contour(x, y, values, levels=inside, colors="white", linewidths=0.9)
        ax.clabel(lines, fontsize=7)
    ax.figure.colorbar(
        mesh, ax=ax, location="bottom", shrink=0.9, extend="max" if name == "min_test_error" else "neither"
    )
    ax.set_title(title, fontsize=10)
    _theory_lines(ax, settings)


def _theory_lines(ax: Axes, settings: DiagramSettings) -> None:
    x, y = settings.variance_exponents, settings.width_exponents
    span = np.array([x[0], x[-1]])
    under = math.log(settings.rank) / settings.log_dim
    ax.plot(span, 1 - span, color="black", linewidth=1.6, label="$\\sigma^2 w = d$: lazy above, active below")
    ax.plot(span, -2 * span, color="red", linewidth=1.6, label="$\\sigma^4 w = 1$: infinite noise beyond")
    ax.plot(span, [under, under], color="orange", linewidth=1.6, label="$w$ = rank: underparameterised below")
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    ax.set_xlabel("variance exponent $\\gamma_{\\sigma^2}$")


def _phases(ax: Axes, settings: DiagramSettings) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    signal = settings.signal_spectrum()
    codes = np.empty((len(settings.width_exponents), len(settings.variance_exponents)), int)
    for i, width_exponent in enumerate(settings.width_exponents):
        variances, width = settings.law(width_exponent)
        for j, variance in enumerate(variances):
            phase = phase_of(
                variance * width, signal, width=width, start_variance=variance**2 * width, rank=settings.rank
            )
            codes[i, j] = PHASES.index(phase)
    x, y = np.array(settings.variance_exponents), np.array(settings.width_exponents)
    colours: Any = ListedColormap(_PHASE_COLOURS)
    ax.pcolormesh(x, y, codes, cmap=colours, vmin=-0.5, vmax=len(PHASES) - 0.5, shading="nearest", rasterized=True)
    _theory_lines(ax, settings)
    ax.set_title("predicted phase of the signal's modes", fontsize=10)
    patches = [Patch(color=c, label=p) for c, p in zip(_PHASE_COLOURS, PHASES, strict=True)]
    ax.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=8)
