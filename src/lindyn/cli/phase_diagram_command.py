"""`lindyn phase-diagram`: training as a function of (variance, width)."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lindyn.cli import options as o
from lindyn.cli import output
from lindyn.cli import portrait_summary as portraits
from lindyn.support.errors import InvalidArgument

if TYPE_CHECKING:
    import xarray

    from lindyn.diagrams import DiagramSettings
    from lindyn.diagrams.grid import GridSettings

EXAMPLES = (
    "lindyn phase-diagram --preset figure2 --out diagram",
    "lindyn phase-diagram --preset figure2 --source descend --workers 2 --out exact",
    "lindyn phase-diagram --dim 100 --rank 3 --variances 1e-6,1 --widths 1,1e6 --points 20",
    "lindyn phase-diagram --preset figure2 --refine min_test_error --level 0.25 --out boundary",
    "lindyn phase-diagram --richness 1e-3,1e4 --learning-rates 1e-7,1e4 --depth 3 --points 60 --out portrait",
)

# arguments of the library, and the options that give them
_NAMES = {
    "path": "out", "quantity": "refine", "variance_exponents": "variance_range", "width_exponents": "width_range",
    "sources": "source", "seeds": "seed", "axes": "spacing",
}  # fmt: skip
_SIMULATED = ("descend", "formula")
_MOST_POINTS = 10_000
_BYTES_PER_CELL = 100  # eight numbers, a status and the reference to a reason
_SHARE = 2  # of the free memory, half


def phase_diagram(
    ctx: typer.Context,
    preset: Annotated[
        str | None,
        typer.Option(
            help="'figure2': the published task, grid and training, which other options change.", rich_help_panel=o.TASK
        ),
    ] = None,
    dim: o.Dim = None,
    rows: o.Rows = None,
    columns: o.Columns = None,
    rank: o.Rank = None,
    noise: o.Noise = 1.0,
    scale: o.Scale = 1.0,
    singular_values: o.SingularValues = None,
    target: o.Target = None,
    spectrum: Annotated[
        str,
        typer.Option(
            help="Signal of simulated sources: its 'mean' singular values, or 'sampled'.", rich_help_panel=o.TASK
        ),
    ] = "mean",
    variance_range: Annotated[
        str, typer.Option(help="First and last γ_σ².", rich_help_panel=o.NET, metavar="FROM,TO")
    ] = "-3,0",
    width_range: Annotated[
        str, typer.Option(help="First and last γ_w.", rich_help_panel=o.NET, metavar="FROM,TO")
    ] = "0,2.8",
    variances: Annotated[
        str | None,
        typer.Option(help="First and last σ², with --widths, instead.", rich_help_panel=o.NET, metavar="FROM,TO"),
    ] = None,
    widths: Annotated[
        str | None,
        typer.Option(help="First and last w, with --variances.", rich_help_panel=o.NET, metavar="FROM,TO"),
    ] = None,
    spacing: Annotated[
        str, typer.Option(help="'log' or 'linear' grid between --variances, --widths.", rich_help_panel=o.NET)
    ] = "log",
    points: Annotated[int, typer.Option(help="Points along each axis.", rich_help_panel=o.NET)] = 30,
    richness: Annotated[
        str | None,
        typer.Option(
            help="First and last γ, with --learning-rates: of orthogonal layers with output scale 1/γ.",
            rich_help_panel=o.NET,
            metavar="FROM,TO",
        ),
    ] = None,
    depth: o.Depth = 2,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="predict, spectral, descend or formula; may be repeated. Default: predict; with --richness, where "
            "predict and descend are known: descend.",
            rich_help_panel=o.RUN,
        ),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed; may be repeated. Default: 0.", rich_help_panel=o.RUN)
    ] = None,
    learning_rate: Annotated[
        str,
        typer.Option(
            help="A number, or 'auto': the published rule, cell by cell.", rich_help_panel=o.RUN, metavar="RATE"
        ),
    ] = "auto",
    learning_rates: Annotated[
        str | None,
        typer.Option(
            help="First and last η: the learning rate as an axis, with --richness.",
            rich_help_panel=o.RUN,
            metavar="FROM,TO",
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(help="Largest number of steps; with --richness 1000 if left out.", rich_help_panel=o.RUN)
    ] = 750,
    dtype: Annotated[
        str, typer.Option(help="Precision of descend and formula: float32 or float64.", rich_help_panel=o.RUN)
    ] = "float32",
    workers: Annotated[
        int | None, typer.Option(help="Local processes, one thread each, instead of this one.", rich_help_panel=o.RUN)
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://host:8786.", rich_help_panel=o.RUN)
    ] = None,
    refine: Annotated[
        str | None,
        typer.Option(
            help="Choose cells where this quantity changes, not on a grid.", rich_help_panel=o.RUN, metavar="QUANTITY"
        ),
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="With --refine: follow its contour at this level.", rich_help_panel=o.RUN)
    ] = None,
    cells: Annotated[int, typer.Option(help="With --refine: number of cells in all.", rich_help_panel=o.RUN)] = 180,
    as_json: o.Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for diagram.zarr and a figure for each source; an unfinished diagram is resumed.",
            rich_help_panel=o.OUT,
            metavar="FOLDER",
        ),
    ] = None,
) -> None:
    """Map training over (variance, width), or (richness, learning rate): by theory, or exact simulation, resumable.

    Costs are estimated and shown before a simulation starts. With --out, what is done is kept: an interrupted run goes
    on where it stopped when the same command is given again. Cells that fail carry their reason and do not stop the
    others.
    """
    from lindyn.support import checks

    typed = o.given(ctx)
    if workers is not None:
        checks.integer("workers", workers, at_least=1)
    if typed & {"richness", "learning_rates"}:
        portraits.check_options(typed)
        drawn: dict[str, Any] = {k: v for k, v in {"depth": depth, "steps": steps}.items() if k in typed}
        drawn |= {"sources": tuple(source)} if source else {}
        if singular_values is not None:
            drawn["singular_values"] = tuple(o.values_of(singular_values) or ())
        count = checks.integer("points", points, at_least=1, at_most=_MOST_POINTS)
        try:
            portrait = portraits.settings_of(str(richness), str(learning_rates), count, drawn)
        except InvalidArgument as error:
            raise error.renamed(_NAMES) from error
        _run(portrait, lambda: portraits.portrait(portrait, out, workers, dask), out, as_json, portraits.print_portrait)
        return
    sources = tuple(source or ["predict"])
    _check_options(typed, sources)
    training: dict[str, Any] = {
        "steps": steps, "dtype": checks.precision("dtype", dtype).name,
        "learning_rate": o.rate_of(learning_rate, ("auto",)), "depth": depth,
    }  # fmt: skip
    chosen = {"sources": sources, "seeds": tuple(seed or [0]), **{k: v for k, v in training.items() if k in typed}}
    shape = o.shape_of(dim, rows, columns) if typed & {"dim", "rows", "columns"} else None
    family: dict[str, Any] = {
        k: v for k, v in {"rank": rank, "noise": noise, "scale": scale, "spectrum": spectrum}.items() if k in typed
    }
    if singular_values is not None:
        family["singular_values"] = tuple(o.values_of(singular_values) or ())
    if target is not None:
        family |= _like(target, noise if "noise" in typed else None)
    ranges = {
        k: v
        for k, v in {"variance_range": variance_range, "width_range": width_range, "variances": variances,
                     "widths": widths}.items()
        if k in typed and v is not None
    }  # fmt: skip
    try:
        settings = _settings(
            preset, shape, {**family, **chosen}, ranges, spacing, points if "points" in typed else None
        )
    except InvalidArgument as error:
        raise error.renamed(_NAMES) from error
    if refine is None:
        _run(settings, lambda: _grid(settings, out, workers, dask), out, as_json, _print)
    else:
        _run(settings, lambda: _refinement(settings, out, refine, level, cells), out, as_json, _print)


def _run(
    settings: GridSettings,
    compute: Callable[[], dict[str, Any]],
    out: Path | None,
    as_json: bool,
    show: Callable[[dict[str, Any], Path | None], None],
) -> None:
    """Compute a diagram that fits in memory, and print it; an interruption keeps what is done."""
    _check_memory(settings)
    output.prepare_folder(out, force=True)  # an existing diagram is resumed, or refused by its settings
    started = clock.perf_counter()
    try:
        summary = compute()
    except InvalidArgument as error:
        raise error.renamed(_NAMES) from error
    except KeyboardInterrupt:
        kept = f"; what is done is kept in {out}: the same command goes on from there" if out else ""
        output.tell(f"Interrupted{kept}.")
        raise typer.Exit(output.INTERRUPTED) from None
    summary["seconds"] = clock.perf_counter() - started
    if as_json:
        output.print_json(summary)
    else:
        show(summary, out)


def _check_options(typed: set[str], sources: tuple[str, ...]) -> None:
    """Refuse options that are missing, or that would change nothing beside the others."""
    from lindyn.diagrams.settings import SOURCES
    from lindyn.support import checks

    for name in sources:
        checks.choice("source", name, SOURCES)
    if not set(sources) & set(_SIMULATED):
        o.idle(typed, ("dtype", "workers", "dask"), "without a simulated source", "pass --source descend")
        if "spectral" not in sources:
            o.idle(typed, ("seed", "spectrum"), "for the theory, which draws nothing", "pass --source spectral, say")
    if "workers" in typed:
        o.idle(typed, ("dask",), "with `workers`")
    if "variances" not in typed and "widths" not in typed:
        o.idle(typed, ("spacing",), "without `variances` and `widths`")
    else:
        o.require(("variances" in typed, "`variances` beside `widths`"), ("widths" in typed, "`widths`, too"))
        o.idle(typed, ("variance_range", "width_range"), "with `variances` and `widths`")
    if "refine" in typed:
        o.idle(typed, ("points", "workers", "dask"), "with `refine`, which chooses its cells one after the other")
    else:
        o.idle(typed, ("level", "cells"), "without `refine`")
    if "target" in typed:
        described = ("preset", "dim", "rows", "columns", "rank", "scale", "spectrum", "singular_values")
        o.idle(typed, described, "with `target`, of which shape and signal are estimated")
    elif "singular_values" in typed:
        o.idle(typed, ("rank", "scale", "spectrum"), "with `singular_values`")
    if not typed & {"preset", "target"}:
        sized, words = o.has_size(typed)
        o.require(
            (sized, f"{words}, or `preset`"),
            (bool(typed & {"rank", "singular_values"}), "`rank` (or `singular_values`)"),
        )


def _settings(
    preset: str | None, shape: tuple[int, int] | None, changes: dict[str, Any], ranges: dict[str, str], spacing: str,
    points: int | None,
) -> DiagramSettings:  # fmt: skip
    """Return the settings: a preset with changes, or a grid of its own."""
    import numpy as np

    from lindyn.diagrams import DiagramSettings, figure2
    from lindyn.support import checks

    count = 30 if points is None else checks.integer("points", points, at_least=1, at_most=_MOST_POINTS)
    if "variances" in ranges:
        checks.choice("spacing", spacing, ("log", "linear"))
    published: dict[str, Any] = {"spectrum": "mean"}
    if preset is not None:
        checks.choice("preset", preset, ("figure2",))
        base = figure2()
        published |= {"shape": base.shape, "rank": base.rank}
    if shape is not None:
        published["shape"] = shape
    family = {**published, **changes}
    if family.get("singular_values") is not None:
        family = {k: v for k, v in family.items() if k not in ("rank", "spectrum")}
    if "variances" in ranges:
        space = np.geomspace if spacing == "log" else np.linspace
        return DiagramSettings.over(
            variances=o.axis_of("variances", ranges["variances"], count, space),
            widths=o.axis_of("widths", ranges["widths"], count, space),
            axes=spacing,
            **family,
        )
    return DiagramSettings(
        variance_exponents=o.axis_of("variance_range", ranges.get("variance_range", "-3,0"), count, np.linspace),
        width_exponents=o.axis_of("width_range", ranges.get("width_range", "0,2.8"), count, np.linspace),
        **family,
    )


def _like(target: Path, noise: float | None) -> dict[str, Any]:
    """Return shape, signal and noise of tasks like a measured matrix."""
    from lindyn.diagrams import DiagramSettings

    like = DiagramSettings.like(
        o.matrix_from("target", target), noise=noise, variance_exponents=[0.0], width_exponents=[0.0]
    )
    output.tell(
        f"Estimated of {target}: noise {like.noise:.4g}, signal "
        + ", ".join(f"{value:.4g}" for value in like.singular_values or ())
    )
    return {"shape": like.shape, "singular_values": like.singular_values, "noise": like.noise}


def _check_memory(settings: GridSettings) -> None:
    """Refuse a grid whose numbers alone would not fit, before they are asked for."""
    import psutil

    cells = settings.cells * len(settings.sources)
    needed, free = cells * _BYTES_PER_CELL, psutil.virtual_memory().available
    if needed > free / _SHARE:
        raise InvalidArgument(
            "points",
            f"give a diagram that fits into half of the free memory ({free / _SHARE / 2**30:.1f} GiB)",
            f"{cells:,} cells take {needed / 2**30:.1f} GiB",
        )


def _grid(settings: DiagramSettings, out: Path | None, workers: int | None, dask: str | None) -> dict[str, Any]:
    from lindyn.diagrams import estimate
    from lindyn.diagrams import phase_diagram as run_diagram
    from lindyn.diagrams.executors import workers_for

    cost = estimate(settings)
    if workers is None and dask is None:
        workers = workers_for(cost)
    if cost.steps:
        where = "" if workers is None else f"; computed in {workers} processes"
        output.tell(f"To compute: {cost}{where}")
    path = None if out is None else out / "diagram.zarr"
    diagram = run_diagram(settings, path=path, workers=workers, dask=dask)
    figures = []
    if out is not None:
        from lindyn.plots import phase_panels, save_figure

        for name in settings.sources:
            figures.append(save_figure(phase_panels(diagram, source=name), out / f"{name}.png").name)
    reasons = diagram["reason"].values
    failed = reasons[reasons != ""]
    return {
        "settings": settings.as_dict(),
        "cells": settings.cells * len(settings.sources),
        "failed": int(failed.size),
        "first_failure": str(failed[0]) if failed.size else None,
        "phases": _phases(settings),
        "sources": {name: _best(diagram.sel(source=name), settings) for name in settings.sources},
        "files": [] if out is None else ["diagram.zarr", *figures],
    }


def _phases(settings: DiagramSettings) -> dict[str, int]:
    """Return how many cells of the grid lie in each phase."""
    import numpy as np

    names, counts = np.unique(settings.phases(), return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _best(diagram: xarray.Dataset, settings: DiagramSettings) -> dict[str, Any]:
    """Return the cell of the smallest test error, and how many cells the largest number of steps has stopped."""
    import numpy as np

    errors = diagram["min_test_error"].values
    budget = int(np.sum(diagram["unfinished"].values == 1))
    if np.isnan(errors).all():
        return {"best": None, "stopped_by_steps": budget}
    place = np.unravel_index(int(np.nanargmin(errors)), errors.shape)
    cell = diagram.isel({dim: int(k) for dim, k in zip(diagram["min_test_error"].dims, place, strict=True)})
    gamma_v, gamma_w = float(cell["variance_exponent"]), float(cell["width_exponent"])
    variance, width = settings.law(gamma_v, gamma_w)
    return {
        "best": {
            "variance_exponent": gamma_v,
            "width_exponent": gamma_w,
            "variance": float(variance),
            "width": int(width),
            "threshold": float(settings.threshold(variance, width)),
            "min_test_error": float(cell["min_test_error"]),
            "steps_to_min": float(cell["steps_to_min"]),
            "stable_rank": float(cell["stable_rank"]),
            "seed": int(cell["seed"]),
        },
        "stopped_by_steps": budget,
    }


def _refinement(
    settings: DiagramSettings, out: Path | None, quantity: str, level: float | None, cells: int
) -> dict[str, Any]:
    from lindyn.diagrams import refine as run_refinement

    path = None if out is None else out / "refined.zarr"
    points = run_refinement(settings, quantity=quantity, level=level, cells=cells, path=path)
    if out is not None:
        from lindyn.plots import refined_panel, save_figure

        figure: Any = refined_panel(points, level=level).figure
        save_figure(figure, out / "refined.png")
    values = points[quantity].values
    return {
        "settings": settings.as_dict(),
        "quantity": quantity,
        "level": level,
        "cells": int(points.sizes["point"]),
        "smallest": float(values.min()),
        "largest": float(values.max()),
        "files": [] if out is None else ["refined.zarr", "refined.png"],
    }


def _print(summary: dict[str, Any], out: Path | None) -> None:
    facts = [("cells", f"{summary['cells']:,}")]
    if "quantity" in summary:
        facts.append((summary["quantity"], f"{summary['smallest']:.4g} to {summary['largest']:.4g}"))
    else:
        facts.append(("phases", ", ".join(f"{name} {count:,}" for name, count in summary["phases"].items())))
        if summary["failed"]:
            facts.append(("failed", f"{summary['failed']:,}, the first with: {summary['first_failure']}"))
    if out is not None:
        facts.append(("written", f"{', '.join(summary['files'])} in {out}"))
    facts.append(("time", f"{summary['seconds']:.1f} s"))
    output.print_facts("Phase diagram", facts)
    if "sources" in summary:
        _print_best(summary)


def _print_best(summary: dict[str, Any]) -> None:
    heads = [
        "source", "test error", "γ_σ²", "γ_w", "σ²", "w", "τ", "steps", "stable rank", "stopped by --steps",
    ]  # fmt: skip
    rows = []
    for name, found in summary["sources"].items():
        best = found["best"]
        if best is None:
            rows.append([name, *["–"] * 8, f"{found['stopped_by_steps']:,}"])
            continue
        rows.append(
            [
                name,
                f"{best['min_test_error']:.4g}",
                f"{best['variance_exponent']:.4g}",
                f"{best['width_exponent']:.4g}",
                f"{best['variance']:.3g}",
                f"{best['width']:,}",
                f"{best['threshold']:.4g}",
                f"{best['steps_to_min']:.0f}",
                f"{best['stable_rank']:.3g}",
                f"{found['stopped_by_steps']:,} cells",
            ]
        )
    output.print_table("Best cell of each source", heads, rows)
