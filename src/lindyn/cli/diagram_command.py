"""`lindyn phase-diagram`: training as a function of (variance, width)."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from lindyn.cli import options as o
from lindyn.cli.output import console, errors_console, prepare_folder
from lindyn.support import checks

EXAMPLES = (
    "Examples:  lindyn phase-diagram --preset figure2 --out diagram   |   "
    "lindyn phase-diagram --preset figure2 --source descend --workers 2 --out exact   |   "
    "lindyn phase-diagram --dim 100 --rank 3 --variances 1e-6,1 --widths 1,1e6 --points 20 --out small   |   "
    "lindyn phase-diagram --preset figure2 --refine min_test_error --level 0.25 --out boundary"
)


def phase_diagram(
    out: Annotated[
        Path, typer.Option(help="Folder for diagram.zarr and a figure a source; an unfinished one resumes.")
    ],
    preset: Annotated[
        str | None, typer.Option(help="'figure2': the published grid and settings.", rich_help_panel=o.TASK)
    ] = None,
    dim: o.Dim = None,
    rows: o.Rows = None,
    columns: o.Columns = None,
    rank: o.Rank = None,
    noise: o.Noise = 1.0,
    scale: o.Scale = 1.0,
    spectrum: Annotated[
        str, typer.Option(help="'mean' singular values of the signal, or 'sampled'.", rich_help_panel=o.TASK)
    ] = "mean",
    variance_range: Annotated[str, typer.Option(help="First and last γ_σ².", rich_help_panel=o.NET)] = "-3,0",
    width_range: Annotated[str, typer.Option(help="First and last γ_w.", rich_help_panel=o.NET)] = "0,2.8",
    variances: Annotated[
        str | None, typer.Option(help="First and last σ², with --widths, instead.", rich_help_panel=o.NET)
    ] = None,
    widths: Annotated[str | None, typer.Option(help="First and last w.", rich_help_panel=o.NET)] = None,
    spacing: Annotated[
        str, typer.Option(help="'log' or 'linear' grid between --variances, --widths.", rich_help_panel=o.NET)
    ] = "log",
    points: Annotated[int, typer.Option(help="Points along each axis.", rich_help_panel=o.NET)] = 30,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="predict, spectral, descend or formula; several may be given. Default: predict.",
            rich_help_panel=o.RUN,
        ),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed; several may be given. Default: 0.", rich_help_panel=o.RUN)
    ] = None,
    learning_rate: Annotated[
        str, typer.Option(help="A number, or 'auto': the published rule, cell by cell.", rich_help_panel=o.RUN)
    ] = "auto",
    steps: o.Steps = 750,
    dtype: o.Dtype = "float32",
    workers: Annotated[
        int | None, typer.Option(help="Local processes, one thread each, instead of this one.", rich_help_panel=o.RUN)
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://host:8786.", rich_help_panel=o.RUN)
    ] = None,
    refine: Annotated[
        str | None,
        typer.Option(help="Choose cells where this quantity changes, not on a grid.", rich_help_panel=o.RUN),
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="With --refine: follow its contour at this level.", rich_help_panel=o.RUN)
    ] = None,
    cells: Annotated[int, typer.Option(help="With --refine: number of cells in all.", rich_help_panel=o.RUN)] = 180,
) -> None:
    """Map training over (variance, width): by theory in a second, or by exact simulation, resumable.

    Costs are estimated and shown before a simulation starts. What is done is kept: an interrupted run goes on where it
    stopped when the same command is given again. Cells that fail carry their reason and do not stop the others.
    """
    from lindyn.diagrams import DiagramSettings, figure2

    chosen: dict[str, Any] = {
        "sources": tuple(source or ["predict"]), "seeds": tuple(seed or [0]), "steps": steps, "dtype": dtype,
        "learning_rate": learning_rate,
    }  # fmt: skip
    if preset is not None:
        checks.choice("preset", preset, ("figure2",))
        if any(v is not None for v in (dim, rows, columns, rank, variances, widths)):
            raise checks.InvalidArgument(
                "preset", "be the only description of task and grid", "another one is given too"
            )
        settings = figure2(**chosen)
    else:
        if rank is None:
            raise checks.InvalidArgument("rank", "be given, or a preset", "neither is")
        family: dict[str, Any] = {
            "shape": o.shape_of(dim, rows, columns), "rank": rank, "noise": noise, "scale": scale,
            "spectrum": spectrum,
        }  # fmt: skip
        count = checks.integer("points", points, at_least=1)
        if variances is None and widths is None:
            settings = DiagramSettings(
                variance_exponents=_axis("variance_range", variance_range, count, np.linspace),
                width_exponents=_axis("width_range", width_range, count, np.linspace),
                **family, **chosen,
            )  # fmt: skip
        else:
            checks.choice("spacing", spacing, ("log", "linear"))
            space = np.geomspace if spacing == "log" else np.linspace
            settings = DiagramSettings.over(
                variances=_axis("variances", variances, count, space),
                widths=_axis("widths", widths, count, space),
                axes=spacing, **family, **chosen,
            )  # fmt: skip
    prepare_folder(out, force=True)  # an existing diagram is resumed, or refused by its settings
    started = clock.perf_counter()
    try:
        if refine is None:
            told = _grid(settings, out, workers, dask)
        else:
            told = _refinement(settings, out, refine, level, cells, workers or dask)
    except checks.InvalidArgument as error:
        raise error.renamed({"path": "out", "quantity": "refine"}) from error
    except KeyboardInterrupt:
        errors_console.print(f"Interrupted; what is done is kept in {out}: the same command goes on from there.")
        raise typer.Exit(130) from None
    console.print(f"{told} in {clock.perf_counter() - started:.1f} s", highlight=False)


def _axis(name: str, text: str | None, count: int, space: Any) -> tuple[float, ...]:
    limits = o.values_of(text, name) or []
    if len(limits) != 2:
        raise checks.InvalidArgument(name, "be two numbers, first and last", f"it is {text!r}")
    if space is np.geomspace and min(limits) <= 0:
        raise checks.InvalidArgument(name, "be positive", f"it is {text!r}", "or pass --spacing linear")
    return tuple(space(*limits, count).tolist())


def _grid(settings: Any, out: Path, workers: int | None, dask: str | None) -> str:
    from lindyn.diagrams import estimate
    from lindyn.diagrams import phase_diagram as run_diagram
    from lindyn.plots import phase_panels, save_figure

    cost = estimate(settings)
    if cost.steps:
        errors_console.print(f"To compute: {cost}", highlight=False, soft_wrap=True)
    diagram = run_diagram(settings, path=out / "diagram.zarr", workers=workers, dask=dask)
    for name in settings.sources:
        save_figure(phase_panels(diagram, source=name), out / f"{name}.png")
    reasons = diagram["reason"].values
    failed = reasons[reasons != ""]
    if failed.size:
        errors_console.print(
            f"{failed.size:,} cells failed, the first with: {failed[0]}", highlight=False, soft_wrap=True
        )
    figures = ", ".join(f"{n}.png" for n in settings.sources)
    return f"{settings.cells * len(settings.sources):,} cells, in diagram.zarr and {figures} in {out},"


def _refinement(settings: Any, out: Path, quantity: str, level: float | None, cells: int, elsewhere: Any) -> str:
    from lindyn.diagrams import refine as run_refinement
    from lindyn.plots import refined_panel, save_figure

    if elsewhere is not None:
        raise checks.InvalidArgument("refine", "be left out with `workers` or `dask`", "it runs in this process only")
    points = run_refinement(settings, quantity=quantity, level=level, cells=cells, path=out / "refined.zarr")
    figure: Any = refined_panel(points, level=level).figure
    save_figure(figure, out / "refined.png")
    return f"{points.sizes['point']:,} cells, in refined.zarr and refined.png in {out},"
