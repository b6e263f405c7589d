"""The panels of a phase diagram, drawn also while it is being computed: cells that are missing are left grey."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lindyn.diagrams.settings import DiagramSettings
from lindyn.plots.trajectories import _new_figure
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MISSING, _FAILED = 0, 2


class _Panel(NamedTuple):
    title: str
    contours: list[float]
    colours: str
    logarithm: bool = False
    limits: tuple[float, float] | None = None
    per_rank: bool = False


_PANELS = {
    "min_test_error": _Panel("smallest test error (per entry)", [0.25, 0.5, 0.75], "viridis_r", limits=(0.0, 1.0)),
    "stable_rank": _Panel("stable rank there", [3.0, 4.0, 5.0, 6.0, 7.0], "magma"),
    "steps_to_min": _Panel("steps until it", [50, 100, 200, 300, 400, 500], "cividis"),
    "distance": _Panel("ln of the largest ‖A − A_formula‖²/(d_out d_in)", [-10, -7, -4], "YlOrRd", logarithm=True),
    "active_modes": _Panel(
        "singular values of A above τ there, over the rank", [0.5, 0.99], "YlGnBu", limits=(0.0, 2.0), per_rank=True
    ),
}


def phase_panels(diagram: xarray.Dataset, *, source: str | None = None, seed: int | None = None) -> Figure:
    """Draw a diagram: smallest test error, stable rank there, steps until it, distance, active modes, phase.

    The three theory lines: σ²w = d (black: active below, lazy above), σ⁴w = 1 (red: infinite noise to the right) and
    w = rank (orange: underparameterised below). The distance panel is drawn where the diagram has it ("descend").
    The phase panel shows the mean activity s/√(s² + τ²) of the signal's modes, (2.9): 1 active, 0 lazy, graded
    between, since at finite d the boundary has a width.

    Args:
        diagram: from `phase_diagram` or `load_diagram`, finished or not; its settings choose the axes.
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
        raise checks.InvalidArgument("seed", f"be one of {seeds}", f"it is {seed}")
    settings = DiagramSettings.from_dict(json.loads(diagram.attrs["settings"]))
    part = diagram.isel(source=sources.index(source), seed=seeds.index(seed))
    names = [n for n in _PANELS if n != "distance" or np.isfinite(part[n].values).any()]
    figure = _new_figure(3, (12.6, 9.2), rows=2)
    axes = list(figure.axes)
    for spare in axes[len(names) + 1 :]:
        spare.remove()
    for ax, name in zip(axes, names, strict=False):
        _panel(ax, part, settings, name)
    _phases(axes[len(names)], settings)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    status = part["status"].values
    told = "".join(
        f", {count} cells {word}"
        for word, count in (("missing", (status == _MISSING).sum()), ("failed", (status == _FAILED).sum()))
        if count
    )
    d_out, d_in = settings.shape
    figure.suptitle(
        f"{source}: {d_out} × {d_in}, rank {settings.rank}, noise {settings.noise:g}, at most {settings.steps} steps"
        + told
    )
    return figure


def refined_panel(points: xarray.Dataset, *, level: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw a refinement: its cells as dots, its quantity interpolated between them, and a contour.

    Args:
        points: from `refine` or `load_points`.
        level: contour to draw.
        ax: where to draw; a new figure if left out.

    References:
        theory section 4.
    """
    settings = DiagramSettings.from_dict(json.loads(points.attrs["settings"]))
    name = points.attrs["quantity"]
    panel = _PANELS.get(name, _Panel(str(points[name].attrs["long_name"]), [], "viridis"))
    values = points[name].values.astype(float)
    if panel.logarithm:
        values = np.log(np.maximum(values, np.finfo(float).tiny))
    fine = np.isfinite(values)
    if ax is None:
        ax = _new_figure(1, (5.6, 4.8)).axes[0]
    x, y = _axes_of(settings, points["variance_exponent"].values[fine], points["width_exponent"].values[fine])
    low, high = panel.limits or (None, None)
    mesh = ax.tripcolor(x, y, values[fine], cmap=panel.colours, shading="gouraud", vmin=low, vmax=high, rasterized=True)
    ax.plot(x, y, ".", color="black", markersize=2.5, label=f"{points.sizes['point']} cells")
    if level is not None:
        ax.tricontour(x, y, values[fine], levels=[level], colors="white", linewidths=1.6)
    ax.figure.colorbar(mesh, ax=ax, shrink=0.9)
    _theory_lines(ax, settings)
    ax.set_title(panel.title + ("" if level is None else f", contour at {level:g}"), fontsize=10)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=8)
    return ax


def _axes_of(settings: DiagramSettings, variance_exponents: Any, width_exponents: Any) -> tuple[Any, Any]:
    """Coordinates in which the figure is drawn: the exponents, or σ² and w themselves."""
    gammas = np.asarray(variance_exponents, dtype=float), np.asarray(width_exponents, dtype=float)
    if settings.axes == "exponent":
        return gammas
    return np.exp(gammas[0] * settings.log_dim), np.exp(gammas[1] * settings.log_dim)


def _edges(settings: DiagramSettings) -> tuple[np.ndarray, np.ndarray]:
    """Boundaries of the cells: midway between their centres, as the figure shows them."""
    out = []
    grids = _axes_of(settings, settings.variance_exponents, settings.width_exponents)
    for centres in grids:
        c = np.log(centres) if settings.axes == "log" else np.asarray(centres)
        if c.size == 1:
            e = np.array([c[0] - 0.5, c[0] + 0.5])
        else:
            middle = (c[1:] + c[:-1]) / 2
            e = np.concatenate([[2 * c[0] - middle[0]], middle, [2 * c[-1] - middle[-1]]])
        out.append(np.exp(e) if settings.axes == "log" else e)
    return out[0], out[1]


def _panel(ax: Axes, part: xarray.Dataset, settings: DiagramSettings, name: str) -> None:
    panel = _PANELS[name]
    values = part[name].values.astype(float)
    if panel.logarithm:
        with np.errstate(divide="ignore"):
            values = np.log(values)
    if panel.per_rank:
        values /= settings.rank
    shown = np.ma.masked_invalid(values)
    ax.set_facecolor("#e0e0e0")
    finite = shown.compressed() if shown.count() else np.array([0.0, 1.0])
    low, high = panel.limits or np.percentile(finite, (1, 99)).tolist()
    mesh = ax.pcolormesh(*_edges(settings), shown, cmap=panel.colours, vmin=low, vmax=high, rasterized=True)
    inside = [level for level in panel.contours if low < level < high and finite.min() < level < finite.max()]
    if inside and min(values.shape) > 1:
        x, y = _axes_of(settings, settings.variance_exponents, settings.width_exponents)
        lines = ax.contour(x, y, shown, levels=inside, colors="white", linewidths=0.9)
        ax.clabel(lines, fontsize=7)
    _hatch(ax, settings, part["status"].values == _FAILED, "xxx")
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}
    ax.figure.colorbar(mesh, ax=ax, shrink=0.9, extend=beyond[bool(finite.min() < low), bool(finite.max() > high)])
    ax.set_title(panel.title, fontsize=10)
    _theory_lines(ax, settings)


def _hatch(ax: Axes, settings: DiagramSettings, where: np.ndarray, pattern: str) -> bool:
    """Hatch cells (of a grid with two sides), and tell whether there are any."""
    if where.any() and min(where.shape) > 1:
        x, y = _axes_of(settings, settings.variance_exponents, settings.width_exponents)
        ax.contourf(x, y, where.astype(float), levels=[0.5, 1.5], colors="none", hatches=[pattern])
    return bool(where.any())


def _theory_lines(ax: Axes, settings: DiagramSettings) -> None:
    """Draw the three lines of theory section 4 and name the axes."""
    (left, right), (bottom, top) = ((e[0], e[-1]) for e in _edges(settings))
    gamma = np.linspace(settings.variance_exponents[0] - 1, settings.variance_exponents[-1] + 1, 400)
    under = math.log(settings.rank) / settings.log_dim
    lines = [
        (1 - gamma, "black", "$\\sigma^2 w = d$: lazy above, active below"),
        (-2 * gamma, "red", "$\\sigma^4 w = 1$: infinite noise beyond"),
        (np.full(gamma.shape, under), "orange", "$w$ = rank: underparameterised below"),
    ]
    for line, colour, label in lines:
        ax.plot(*_axes_of(settings, gamma, line), color=colour, linewidth=1.6, label=label)
    if settings.axes == "log":
        ax.set_xscale("log")
        ax.set_yscale("log")
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    if settings.axes == "exponent":
        ax.set_xlabel("variance exponent $\\gamma_{\\sigma^2}$  ($\\sigma^2 = d^{\\gamma_{\\sigma^2}}$)")
        ax.set_ylabel("width exponent $\\gamma_w$  ($w = d^{\\gamma_w}$)")
    else:
        ax.set_xlabel("variance $\\sigma^2$ of a weight")
        ax.set_ylabel("width $w$")


def _phases(ax: Axes, settings: DiagramSettings) -> None:
    """Draw the mean activity of the signal's modes, and hatch where the theory of (2.1) does not hold."""
    from matplotlib.patches import Patch

    signal = settings.signal_spectrum()
    gamma_w, gamma_v = np.meshgrid(settings.width_exponents, settings.variance_exponents, indexing="ij")
    variance, width = settings.law(gamma_v, gamma_w)
    tau = variance * width
    activity = (signal / np.hypot(signal, tau[..., None])).mean(axis=-1)
    mesh = ax.pcolormesh(*_edges(settings), activity, cmap="PuOr_r", vmin=0, vmax=1, rasterized=True)
    ax.figure.colorbar(mesh, ax=ax, shrink=0.9, label="0 lazy … mixed … 1 active")
    hatched = [
        (variance**2 * width >= 1, "////", "infinite noise, $\\sigma^4 w \\geq 1$"),
        (width < settings.rank, "....", "underparameterised, $w <$ rank"),
    ]
    patches = []
    for where, hatch, label in hatched:
        if _hatch(ax, settings, where, hatch):
            patches.append(Patch(facecolor="white", edgecolor="black", hatch=hatch, label=label))
    if patches:
        ax.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=8)
    _theory_lines(ax, settings)
    ax.set_title("predicted phase: mean activity of the signal's modes", fontsize=10)
