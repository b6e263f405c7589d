"""All benchmarks in one run: `python -m benchmarks.run [--quick] [--out FILE]`.

Prints tables and a summary, and writes every raw number to build/benchmarks.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks import tables
from benchmarks.diagrams import extrapolate
from benchmarks.process import run_fresh
from benchmarks.setting import DIM, PUBLISHED_WIDTH

WIDTHS = {2_000: 11, 20_000: 7, 200_000: 4, PUBLISHED_WIDTH: 2}  # and how many steps are timed
TINY = {"dim": 4, "width": 2_000}  # what a process costs apart from the size of the problem
DTYPES = ("float32", "float64")
DIAGRAM_SOURCES = (
    ("predict", "float64", 900), ("predict", "float64", 90_000), ("spectral", "float64", 900),
    ("descend", "float32", 30), ("descend", "float64", 30), ("formula", "float32", 30),
)  # fmt: skip
GRID_WIDTHS = {200: 200, 20_000: 20, 200_000: 5, round(200**2.8): 1}  # at d = 200, and how many steps are timed
LOOP_DIMS = (200, 500)
INSPECT_DIMS, INSPECT_RANKS = (1024, 4096, 16384), (8, 16, 64)
MEMORY_MARGIN = 2.2  # peak of a published step, in sizes of the weights: both layers, and a product and its scaling


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, memory, versions."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
        **{name: version(name) for name in ("lindyn", "jax", "torch", "numpy")},
    }


@contextmanager
def _announced(console: Console, what: str) -> Iterator[None]:
    started = time.perf_counter()
    with console.status(f"{what} …"):
        yield
    console.print(f"[dim]{what}: {time.perf_counter() - started:.0f} s[/dim]")


def _published_or_reason(width: int, repeats: int) -> dict[str, Any]:
    weights = 2 * 4 * DIM * width
    needed, available = MEMORY_MARGIN * weights, psutil.virtual_memory().available
    if needed > available:
        return {"skipped": f"needs about {needed / 2**30:.1f} GiB; {available / 2**30:.1f} GiB are free"}
    return run_fresh("published", dim=DIM, width=width, repeats=repeats)


def against_published(console: Console, *, quick: bool) -> dict[str, Any]:
    """Measure the published algorithm and lindyn at every width, each in a fresh process."""
    with _announced(console, "same matrix from the same weights"):
        agreement = run_fresh("agreement", dim=DIM, width=min(WIDTHS), steps=5)
    with _announced(console, "fixed cost of a process, at d = 4"):
        fixed = {"published": run_fresh("published", **TINY, repeats=2)}
        fixed |= {dtype: run_fresh("reduced", **TINY, dtype=dtype, repeats=2, check_step=1) for dtype in DTYPES}
    rows = []
    for width, repeats in WIDTHS.items():
        row: dict[str, Any] = {"width": width}
        with _announced(console, f"width {width:,}, lindyn"):
            for dtype in DTYPES:
                size = {"dim": DIM, "width": width, "dtype": dtype}
                row[dtype] = run_fresh("reduced", **size, repeats=3, check_step=1 + repeats)
        if quick and width == PUBLISHED_WIDTH:
            row["published"] = {"skipped": "left out by --quick"}
        else:
            with _announced(console, f"width {width:,}, published algorithm"):
                row["published"] = _published_or_reason(width, repeats)
        rows.append(row)
    return {"agreement": agreement, "fixed": fixed, "widths": rows}


def inner_loops(console: Console, rounds: int) -> list[dict[str, Any]]:
    """Measure the descent loop against matrix products, at two sizes and in both precisions."""
    results = []
    for dim in LOOP_DIMS:
        for dtype in DTYPES:
            with _announced(console, f"inner loop, d = {dim}, {dtype}"):
                results.append(run_fresh("inner_loop", dim=dim, dtype=dtype, rounds=rounds))
    return results


def closed_forms(console: Console) -> list[dict[str, Any]]:
    """Measure the closed forms at two sizes."""
    with _announced(console, "closed forms"):
        return [run_fresh("closed_forms", dim=dim, rounds=5) for dim in LOOP_DIMS]


def inspections(console: Console, rounds: int) -> list[dict[str, Any]]:
    """Measure the inspection of adapters against d and r, and of one for a model of seven billion parameters."""
    with _announced(console, "inspection of adapters"):
        sizes = [(d, r) for d in INSPECT_DIMS for r in INSPECT_RANKS]
        return [run_fresh("inspection", dim=d, rank=r, rounds=rounds) for d, r in sizes] + [
            run_fresh("inspection", rank=16, rounds=1)
        ]


def trackers(console: Console) -> list[dict[str, Any]]:
    """Measure the regime tracker on a small transformer, and on one layer of a large one."""
    models = [{"dim": 384, "layers": 6, "rank": 8, "batch": 8}, {"dim": 4096, "layers": 1, "rank": 16, "batch": 1}]
    with _announced(console, "regime tracker"):
        return [run_fresh("tracker", **model, rounds=5) for model in models]


def collapses(console: Console) -> list[dict[str, Any]]:
    """Measure the tracker of neural collapse on classifiers of two widths."""
    with _announced(console, "tracker of neural collapse"):
        return [run_fresh("collapse", width=width, batch=128, rounds=9) for width in (512, 1024)]


def diagrams(console: Console, *, quick: bool) -> dict[str, Any]:
    """Measure the sources of a phase diagram, its batched step, and the published algorithm's share of the grid."""
    sources, lanes, published = [], [], []
    for source, dtype, cells in DIAGRAM_SOURCES:
        with _announced(console, f"phase diagram, {source}, {dtype}, {cells:,} cells"):
            found = run_fresh("diagrams", what="source", source=source, dtype=dtype, cells=cells)
            sources.append(found)
    for count in (1, 8):
        for dtype in DTYPES:
            with _announced(console, f"step of a diagram, {count} lanes, {dtype}"):
                size = {"dim": 200, "lanes": count, "dtype": dtype, "steps": 300 // count}
                lanes.append(run_fresh("diagrams", what="lanes", **size, rounds=7))
    for width, repeats in GRID_WIDTHS.items():
        if not (quick and width > 1_000_000):
            with _announced(console, f"published algorithm, d = 200, width {width:,}"):
                size = {"dim": 200, "width": width, "repeats": repeats}
                published.append(run_fresh("diagrams", what="published", **size))
    return {"sources": sources, "lanes": lanes, "published": published, "grid": extrapolate(published)}


def startups(console: Console, rounds: int) -> dict[str, Any]:
    """Measure the start of the package and of its commands against plain imports."""
    with _announced(console, "starting up"):
        return run_fresh("startup", rounds=rounds)


def sharing(console: Console, *, quick: bool) -> dict[str, Any]:
    """Measure the demo beside a busy process, and a diagram against settings chosen by hand."""
    with _announced(console, "two cores, shared"):
        return run_fresh("sharing", rounds=1 if quick else 3, rows=5 if quick else 30)


def main() -> None:
    """Run everything, print the tables and the verdicts, and write the raw numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave the published algorithm at its full width out")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks.json"), help="file of the raw numbers")
    arguments = parser.parse_args()
    console, started = Console(width=None if sys.stdout.isatty() else 150), time.perf_counter()
    results: dict[str, Any] = {"machine": machine()}
    results["against_published"] = against_published(console, quick=arguments.quick)
    results["inner_loops"] = inner_loops(console, rounds=6 if arguments.quick else 12)
    results["closed_forms"] = closed_forms(console)
    results["inspections"] = inspections(console, rounds=3 if arguments.quick else 7)
    results["trackers"] = trackers(console)
    results["collapses"] = collapses(console)
    results["startup"] = startups(console, rounds=5 if arguments.quick else 11)
    results["sharing"] = sharing(console, quick=arguments.quick)
    results["diagrams"] = diagrams(console, quick=arguments.quick)
    results["verdicts"] = tables.verdicts(results)
    results["seconds"] = time.perf_counter() - started
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1))
    tables.show(console, results)
    console.print(f"\n{results['seconds']:.0f} s in all; raw numbers in {arguments.out}")


if __name__ == "__main__":
    main()
