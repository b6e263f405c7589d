"""`lindyn phase-diagram --richness … --learning-rates …`: the portrait, its numbers as plain data, and as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lindyn.cli import options as o
from lindyn.cli import output

if TYPE_CHECKING:
    import xarray

    from lindyn.diagrams import PortraitSettings

_HEARD = ("richness", "learning_rates", "points", "depth", "singular_values", "source", "steps")
_RUN = ("workers", "dask", "as_json", "out")
_ROWS = 9  # values of γ that the table shows


def check_options(typed: set[str]) -> None:
    """Refuse options that a portrait lacks, or that would change nothing."""
    o.require(
        ("richness" in typed, "`richness` beside `learning_rates`"),
        ("learning_rates" in typed, "`learning_rates` beside `richness`"),
    )
    o.idle(typed, sorted(typed - {*_HEARD, *_RUN}), "with `richness`, whose layers and target draw nothing")
    if "workers" in typed:
        o.idle(typed, ("dask",), "with `workers`")


def settings_of(richness: str, learning_rates: str, points: int, family: dict[str, Any]) -> PortraitSettings:
    """Return the settings of a logarithmic grid."""
    import numpy as np

    from lindyn.diagrams import PortraitSettings

    axes = {"richness": richness, "learning_rates": learning_rates}
    grid: dict[str, Any] = {name: o.axis_of(name, text, points, np.geomspace) for name, text in axes.items()}
    return PortraitSettings(**grid, **family)


def portrait(settings: PortraitSettings, out: Path | None, workers: int | None, dask: str | None) -> dict[str, Any]:
    """Compute a portrait, write it with a figure for each source, and return its numbers."""
    from lindyn.diagrams import estimate
    from lindyn.diagrams import phase_diagram as run_diagram

    cost = estimate(settings)
    if cost.steps:
        output.tell(f"To compute: {cost}")
    path = None if out is None else out / "diagram.zarr"
    diagram = run_diagram(settings, path=path, workers=workers, dask=dask)
    figures: list[str] = []
    if out is not None:
        from lindyn.plots import richness_portrait, save_figure

        for name in settings.sources:
            figure: Any = richness_portrait(diagram, source=name).figure
            figures.append(save_figure(figure, out / f"{name}.png").name)
    return {
        "settings": settings.as_dict(),
        "cells": settings.cells * len(settings.sources),
        "sources": {name: _edges(diagram.sel(source=name)) for name in settings.sources},
        "files": [] if out is None else ["diagram.zarr", *figures],
    }


def _edges(part: xarray.Dataset) -> dict[str, Any]:
    """Return how many cells ended how, and for every γ the bound and the smallest and largest rate that trains."""
    status, rates = part["status"].isel(seed=0).values, part["learning_rate"].values
    counts = {name: int((status == code).sum()) for name, code in (("trained", 1), ("diverged", 2), ("unfinished", 3))}
    columns = []
    for k, gamma in enumerate(part["richness"].values):
        fine = rates[status[:, k] == 1]
        columns.append(
            {
                "richness": float(gamma),
                "stability_bound": float(part["stability_bound"].values[k]),
                "smallest_trained": float(fine.min()) if fine.size else None,
                "largest_trained": float(fine.max()) if fine.size else None,
            }
        )
    return {**counts, "edges": columns}


def print_portrait(summary: dict[str, Any], out: Path | None) -> None:
    """Print the counts, and the edges at some values of γ."""
    settings = summary["settings"]
    facts = [("cells", f"{summary['cells']:,}"), ("layers, steps", f"{settings['depth']}, {settings['steps']:,}")]
    for name, found in summary["sources"].items():
        told = f"{found['trained']:,} trained, {found['diverged']:,} diverged, {found['unfinished']:,} out of steps"
        facts.append((name, told))
    if out is not None:
        facts.append(("written", f"{', '.join(summary['files'])} in {out}"))
    facts.append(("time", f"{summary['seconds']:.1f} s"))
    output.print_facts("Portrait", facts)
    for name, found in summary["sources"].items():
        edges = found["edges"]
        last, count = len(edges) - 1, min(_ROWS, len(edges))
        shown = [round(k * last / max(count - 1, 1)) for k in range(count)]
        rows = [
            [f"{edges[k][column]:.3g}" if edges[k][column] is not None else "none" for column in edges[k]]
            for k in shown
        ]
        output.print_table(f"Learning rates that train, {name}", ["γ", "stability bound", "smallest", "largest"], rows)
