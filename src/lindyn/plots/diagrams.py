"""The panels of a phase diagram, drawn also while it is being computed: cells that are missing are left grey.

A diagram is a labelled grid: cells over `width_exponent` and `variance_exponent`, the law of every cell (`variance`,
`width`), and in its attributes the shape, the rank and the axes in which to draw. Cells where the theory does not hold
are hatched in every panel.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lindyn.plots.style import axes_for, labelled, new_figure
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MISSING, _FAILED, _OVER_BUDGET = 0, 2, 3
_LEAST_FOR_CONTOURS = 10  # cells a side: below, a contour is an artefact of the interpolation


class _Panel(NamedTuple):
    title: str
    contours: list[float]
    colours: str
    logarithm: bool = False
    limits: tuple[float, float] | None = None
    per_rank: bool = False


# perceptually uniform colour maps whose ends stay apart from the black, red and orange lines
_PANELS = {
    "min_test_error": _Panel("smallest test error (per entry)", [0.25, 0.5, 0.75], "viridis_r", limits=(0.0, 1.0)),
    "stable_rank": _Panel("stable rank there", [3.0, 4.0, 5.0, 6.0, 7.0], "viridis"),
    "steps_to_min": _Panel("steps until it", [50, 100, 200, 300, 400, 500], "cividis"),
    "distance": _Panel("ln of the largest ‖A − A_formula‖²/(d_out d_in)", [-10, -7, -4], "GnBu", logarithm=True),
    "active_modes": _Panel(
        "singular values of A above τ there, over the rank", [0.5, 0.99], "YlGnBu", limits=(0.0, 2.0), per_rank=True
    ),
}


class _Grid(NamedTuple):
    """Where cells stand, and what the theory lines need."""

    variance_exponents: np.ndarray
    width_exponents: np.ndarray
    shape: tuple[int, int]
    rank: int
    axes: str
    depth: int

    @property
    def log_dim(self) -> float:
        """ln d, d = √(d_out d_in), between exponents and numbers."""
        return 0.5 * (math.log(self.shape[0]) + math.log(self.shape[1]))

    @property
    def has_area(self) -> bool:
        return min(self.variance_exponents.size, self.width_exponents.size) > 1

    def place(self, variance_exponents: Any, width_exponents: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the coordinates in which the figure is drawn: the exponents, or σ² and w themselves."""
        gammas = np.asarray(variance_exponents, dtype=float), np.asarray(width_exponents, dtype=float)
        if self.axes == "exponent":
            return gammas
        return np.exp(gammas[0] * self.log_dim), np.exp(gammas[1] * self.log_dim)

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the boundaries of the cells, midway between their centres, as the figure shows them."""
        out = []
        for centres in self.place(self.variance_exponents, self.width_exponents):
            c = np.log(centres) if self.axes == "log" else np.asarray(centres)
            if c.size == 1:
                e = np.array([c[0] - 0.5, c[0] + 0.5])
            else:
                middle = (c[1:] + c[:-1]) / 2
                e = np.concatenate([[2 * c[0] - middle[0]], middle, [2 * c[-1] - middle[-1]]])
            out.append(np.exp(e) if self.axes == "log" else e)
        return out[0], out[1]


def _grid_of(data: xarray.Dataset) -> _Grid:
    told = data.attrs
    return _Grid(
        np.asarray(data["variance_exponent"].values, dtype=float),
        np.asarray(data["width_exponent"].values, dtype=float),
        tuple(int(n) for n in told["shape"]),  # type: ignore[arg-type]
        int(told["rank"]),
        str(told["axes"]),
        int(told["depth"]),
    )


def phase_panels(diagram: xarray.Dataset, *, source: str | None = None, seed: int | None = None) -> Figure:
    """Draw a diagram: smallest test error, stable rank there, steps until it, distance, active modes, phase.

    The three theory lines: σ²w = d (black: active below, lazy above), σ⁴w = 1 (red: infinite noise to the right) and
    w = rank (orange: underparameterised below). The distance panel is drawn where the diagram has it ("descend").
    The phase panel shows the mean activity s/√(s² + τ²) of the signal's modes, (2.9): 1 active, 0 lazy, graded
    between, since at finite d the boundary has a width.

    Args:
        diagram: from `phase_diagram` or `load_diagram`, finished or not; its attributes choose the axes.
        source: which source to draw; its first if left out.
        seed: which seed; the first if left out.

    Raises:
        InvalidArgument: a source or seed that the diagram does not have.

    References:
        theory section 4; Tu, Aranguri, Jacot (2024), Figure 2.
    """
    diagram = labelled("diagram", diagram, "min_test_error", "status")
    sources, seeds = [str(s) for s in diagram["source"].values], [int(s) for s in diagram["seed"].values]
    source = checks.choice("source", sources[0] if source is None else source, sources)
    seed = seeds[0] if seed is None else checks.integer("seed", seed)
    if seed not in seeds:
        raise checks.InvalidArgument("seed", f"be one of {seeds}", f"it is {seed}")
    grid = _grid_of(diagram)
    part = diagram.isel(source=sources.index(source), seed=seeds.index(seed))
    names = [n for n in _PANELS if n in part and (n != "distance" or np.isfinite(part[n].values).any())]
    figure = new_figure(3, (13.2, 8.8), rows=2)
    axes = list(figure.axes)
    for ax, name in zip(axes, names, strict=False):
        _panel(ax, part, grid, name)
    _phases(axes[len(names)], part, grid)
    _one_legend(figure, axes[: len(names) + 1], axes[len(names) + 1 :])
    figure.suptitle(_title(diagram, source, part["status"].values))
    return figure


def _title(diagram: xarray.Dataset, source: str, status: np.ndarray) -> str:
    told = diagram.attrs
    d_out, d_in = (int(n) for n in told["shape"])
    layers = "" if int(told["depth"]) == 2 else f"{told['depth']} layers, "
    title = f"{source}: {layers}{d_out} × {d_in}, rank {told['rank']}, noise {told['noise']:g}, "
    title += f"at most {told['steps']} steps"
    for word, code in (("missing", _MISSING), ("failed", _FAILED), ("stopped by the budget of steps", _OVER_BUDGET)):
        count = int((status == code).sum())
        title += f", {count} cells {word}" if count else ""
    return title


def _one_legend(figure: Figure, axes: list[Axes], spare: list[Axes]) -> None:
    """Gather the lines and hatches of all panels, each once: in the first place without a panel, or below them."""
    found: dict[str, Any] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        patches = getattr(ax, "hatch_patches", [])
        found |= dict(zip(labels, handles, strict=True)) | {p.get_label(): p for p in patches}
    handles, names = list(found.values()), list(found)
    for ax in spare:
        ax.set_axis_off()
    if spare:
        figure.legend(handles, names, loc="center", bbox_to_anchor=(0.5, 0.5), bbox_transform=spare[0].transAxes)
    else:
        figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def refined_panel(points: xarray.Dataset, *, level: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw a refinement: its cells as dots, its quantity interpolated between them, and a contour.

    Args:
        points: from `refine` or `load_points`.
        level: contour to draw.
        ax: where to draw; a new figure if left out.

    Raises:
        InvalidArgument: fewer than three cells, between which nothing can be interpolated.

    References:
        theory section 4.
    """
    points = labelled("points", points)
    grid = _grid_of(points)
    name = points.attrs["quantity"]
    panel = _PANELS.get(name, _Panel(str(points[name].attrs["long_name"]), [], "viridis"))
    values = points[name].values.astype(float)
    if panel.logarithm:
        values = np.log(np.maximum(values, np.finfo(float).tiny))
    fine = np.isfinite(values)
    if np.count_nonzero(fine) < 3:
        raise checks.InvalidArgument("points", "hold at least 3 cells", f"it holds {np.count_nonzero(fine)}")
    ax = axes_for(ax, (5.6, 4.8))
    x, y = grid.place(grid.variance_exponents[fine], grid.width_exponents[fine])
    low, high = panel.limits or (None, None)
    mesh = ax.tripcolor(x, y, values[fine], cmap=panel.colours, shading="gouraud", vmin=low, vmax=high, rasterized=True)
    ax.plot(x, y, ".", color="black", markersize=2.5, label=f"{points.sizes['point']} cells")
    if level is not None:
        level = checks.number("level", level)
        ax.tricontour(x, y, values[fine], levels=[level], colors="white", linewidths=1.6)
    ax.figure.colorbar(mesh, ax=ax, shrink=0.9)
    bounds = grid._replace(
        variance_exponents=np.sort(grid.variance_exponents)[[0, -1]],
        width_exponents=np.sort(grid.width_exponents)[[0, -1]],
    )
    _theory_lines(ax, bounds, margins=False)
    ax.set_title(panel.title + ("" if level is None else f", contour at {level:g}"), fontsize=10)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=8)
    return ax


def _panel(ax: Axes, part: xarray.Dataset, grid: _Grid, name: str) -> None:
    panel = _PANELS[name]
    values = part[name].values.astype(float)
    if panel.logarithm:
        with np.errstate(divide="ignore"):
            values = np.log(values)
    if panel.per_rank:
        values /= grid.rank
    shown = np.ma.masked_invalid(values)
    ax.set_facecolor("#e0e0e0")
    finite = shown.compressed() if shown.count() else np.array([0.0, 1.0])
    low, high = panel.limits or np.percentile(finite, (1, 99)).tolist()
    if low == high:  # one value alone: give the colour bar a width
        low, high = low - 0.5, high + 0.5
    mesh = ax.pcolormesh(*grid.edges(), shown, cmap=panel.colours, vmin=low, vmax=high, rasterized=True)
    # a cell that the budget stopped would have gone on: a contour past it is one of the budget
    ended = np.ma.masked_where(part["status"].values == _OVER_BUDGET, shown)
    known = ended.compressed() if ended.count() else finite
    inside = [level for level in panel.contours if low < level < high and known.min() < level < known.max()]
    if inside and min(values.shape) >= _LEAST_FOR_CONTOURS:
        x, y = grid.place(grid.variance_exponents, grid.width_exponents)
        lines = ax.contour(x, y, ended, levels=inside, colors="white", linewidths=0.9)
        ax.clabel(lines, fontsize=7)
    _hatch(ax, grid, part["status"].values == _FAILED, "xxx", "failed")
    _hatch(ax, grid, part["status"].values == _OVER_BUDGET, "--", "stopped by the budget of steps")
    if "valid" in part:
        outside = ~part["valid"].values.astype(bool) & np.isfinite(values)
        _hatch(ax, grid, outside, "///", "outside the theory's validity")
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}
    ax.figure.colorbar(mesh, ax=ax, shrink=0.9, extend=beyond[bool(finite.min() < low), bool(finite.max() > high)])
    ax.set_title(panel.title, fontsize=10)
    _theory_lines(ax, grid)


def _hatch(ax: Axes, grid: _Grid, where: np.ndarray, pattern: str, label: str) -> None:
    """Hatch whole cells, and note the pattern for the legend."""
    if not where.any():
        return
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Patch

    x, y = grid.edges()
    corners = [
        [(x[j], y[i]), (x[j + 1], y[i]), (x[j + 1], y[i + 1]), (x[j], y[i + 1])] for i, j in np.argwhere(where).tolist()
    ]
    ax.add_collection(PolyCollection(corners, facecolors="none", edgecolors="0.55", linewidths=0, hatch=pattern))
    patch = Patch(facecolor="white", edgecolor="0.35", hatch=pattern, label=label)
    ax.hatch_patches = [*getattr(ax, "hatch_patches", []), patch]  # type: ignore[attr-defined]


def _theory_lines(ax: Axes, grid: _Grid, *, margins: bool = True) -> None:
    """Draw the three lines of theory section 4 and name the axes."""
    if margins:
        (left, right), (bottom, top) = ((e[0], e[-1]) for e in grid.edges())
    else:
        (left, right), (bottom, top) = grid.place(grid.variance_exponents, grid.width_exponents)
    gamma = np.linspace(grid.variance_exponents[0] - 1, grid.variance_exponents[-1] + 1, 400)
    under = math.log(grid.rank) / grid.log_dim if grid.log_dim else 0.0
    active, noisy = "$\\sigma^2 w = d$", "$\\sigma^4 w = 1$"
    if grid.depth != 2:
        active = f"$(\\sigma^2 w)^{{{grid.depth}/2}} = d$"
        noisy = f"$\\sigma^{{{2 * grid.depth}}} w^{{{grid.depth - 1}}} = 1$"
    lines = [
        (2 / grid.depth - gamma, "black", f"{active}: lazy above, active below"),
        (-grid.depth / (grid.depth - 1) * gamma, "red", f"{noisy}: infinite noise beyond"),
        (np.full(gamma.shape, under), "orange", "$w$ = rank: underparameterised below"),
    ]
    for line, colour, label in lines:
        ax.plot(*grid.place(gamma, line), color="white", linewidth=3.0)  # a rim, legible on every colour
        ax.plot(*grid.place(gamma, line), color=colour, linewidth=1.6, label=label)
    if grid.axes == "log":
        ax.set_xscale("log")
        ax.set_yscale("log")
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    if grid.axes == "exponent":
        ax.set_xlabel("variance exponent $\\gamma_{\\sigma^2}$  ($\\sigma^2 = d^{\\gamma_{\\sigma^2}}$)")
        ax.set_ylabel("width exponent $\\gamma_w$  ($w = d^{\\gamma_w}$)")
    else:
        ax.set_xlabel("variance $\\sigma^2$ of a weight")
        ax.set_ylabel("width $w$")


def _phases(ax: Axes, part: xarray.Dataset, grid: _Grid) -> None:
    """Draw the mean activity of the signal's modes, and hatch where the theory of (2.1) does not hold."""
    variance, width = part["variance"].values, part["width"].values
    mesh = ax.pcolormesh(*grid.edges(), part["activity"].values, cmap="PuOr_r", vmin=0, vmax=1, rasterized=True)
    ax.figure.colorbar(mesh, ax=ax, shrink=0.9, label="0 lazy … mixed … 1 active")
    noisy = variance**grid.depth * width ** (grid.depth - 1) >= 1
    _hatch(ax, grid, noisy, "////", "infinite noise: entries of $A(0)$ reach the signal's")
    _hatch(ax, grid, width < grid.rank, "....", "underparameterised, $w <$ rank")
    _theory_lines(ax, grid)
    ax.set_title("predicted phase: mean activity of the signal's modes", fontsize=10)
