"""What the commands print and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from lindyn.simulation.trajectory import Trajectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

console = Console()
errors_console = Console(stderr=True)


def prepare_folder(out: Path | None, force: bool) -> None:
    """Refuse an existing or unwritable folder before anything is computed."""
    if out is None:
        return
    if out.exists() and not force:
        raise FileExistsError(f"{out} exists; pass --force to write into it, or choose another --out.")
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
        if is_new:  # a run that is refused later leaves nothing behind
            out.rmdir()
    except OSError as error:
        raise OSError(f"Cannot write to {out}: {error.strerror or error}; choose another --out.") from error


def write_results(
    out: Path | None, summary: dict[str, Any], figure: Figure | None, figure_name: str, **runs: Trajectory
) -> None:
    """Write trajectories, figure and summary into the folder."""
    if out is None:
        return
    from lindyn.plots import save_figure

    out.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        run.save(out / f"{name}.zarr", overwrite=True)
    if figure is not None:
        save_figure(figure, out / figure_name)
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    errors_console.print(f"Wrote {', '.join(sorted(p.name for p in out.iterdir()))} to {out}")


def curve_summary(run: Trajectory, phase: str, stable_rank: float | None) -> dict[str, Any]:
    """Return the numbers of a run as JSON-able values; None where there is no test error."""
    step = run.step.astype(int).tolist() if not np.isnan(run.step).any() else None
    has_test = "test_error" in run.data
    best = int(np.argmin(run["test_error"])) if has_test else None
    return {
        "threshold": run.info.threshold,
        "phase": phase,
        "learning_rate": run.info.learning_rate,
        "min_test_error": None if best is None else float(run["test_error"][best]),
        "steps_to_min": None if best is None or step is None else step[best],
        "stable_rank_at_min": stable_rank,
        "status": run.status,
        "method": f"{run.info.method}: {run.info.why}",
        "notes": run.info.notes,
        "shape": run.info.shape,
        "dtype": run.info.dtype,
        "step": step,
        "time": run.time.tolist(),
        "train_error": run["train_error"].tolist(),
        "test_error": run["test_error"].tolist() if has_test else None,
    }


def print_json(summary: dict[str, Any]) -> None:
    """Print a summary as one line of JSON on standard output, and nothing else there."""
    typer.echo(json.dumps(summary, allow_nan=False))


def print_summary(title: str, summary: dict[str, Any]) -> None:
    """Print the main numbers as a table with units, and a dozen points of the curves."""

    def shown(value: Any) -> str:
        return "unknown" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)

    table = Table(title=title, show_header=False, title_justify="left")
    table.add_row("shape d_out × d_in", " × ".join(f"{n:,}" for n in summary["shape"]))
    table.add_row("threshold τ = σ²w", shown(summary["threshold"]) + "  (singular values below are lazy)")
    table.add_row("phase", summary["phase"])
    table.add_row("learning rate η", shown(summary["learning_rate"]))
    table.add_row("smallest test error (per entry)", shown(summary["min_test_error"]))
    table.add_row("steps until it", shown(summary["steps_to_min"]))
    table.add_row("stable rank there", shown(summary["stable_rank_at_min"]))
    table.add_row("method", summary["method"])
    table.add_row("status", summary["status"])
    for note in summary["notes"]:
        table.add_row("note", note)
    console.print(table)
    count = len(summary["time"])
    chosen = np.unique(np.linspace(0, count - 1, min(count, 12)).round().astype(int))
    curve = Table("step", "flow time t = ηn", "train error", "test error")
    for k in chosen:
        curve.add_row(
            "–" if summary["step"] is None else str(summary["step"][k]),
            f"{summary['time'][k]:.4g}",
            f"{summary['train_error'][k]:.5f}",
            "–" if summary["test_error"] is None else f"{summary['test_error'][k]:.5f}",
        )
    console.print(curve)
