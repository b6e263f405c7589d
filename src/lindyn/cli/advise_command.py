"""`lindyn advise`: preflight of a factorised layer, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from lindyn.advice import Advice
from lindyn.advice import advise as run_advice
from lindyn.cli import options as o
from lindyn.cli.output import console, prepare_folder, print_json, write_results

EXAMPLES = (
    "Examples:  lindyn advise --dim 200 --rank 5 --noise 1 --steps 750   |   "
    "lindyn advise --target observed.npy --width 1000 --out advice   |   "
    "lindyn advise --rows 512 --columns 768 --rank 3 --width 8   (a LoRA pair)   |   "
    "lindyn advise --gradient gradient.npy --width 16 --curvature 2e-4 --json"
)


def advise(
    dim: o.Dim = None,
    rows: o.Rows = None,
    columns: o.Columns = None,
    rank: o.Rank = None,
    singular_values: o.SingularValues = None,
    target: o.Target = None,
    gradient: Annotated[
        Path | None,
        typer.Option(help="Gradient of the cost in A at A = 0 (.npy or .csv), instead.", rich_help_panel=o.TASK),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the noise entries. Default: estimated from a matrix, else 1.",
            rich_help_panel=o.TASK,
        ),
    ] = None,
    scale: o.Scale = 1.0,
    width: Annotated[
        float | None, typer.Option(help="Hidden width w, or LoRA rank. Default: recommended.", rich_help_panel=o.NET)
    ] = None,
    optimizer: Annotated[str, typer.Option(help="gd or sgd.", rich_help_panel=o.RUN)] = "gd",
    momentum: Annotated[float, typer.Option(help="Heavy-ball momentum.", rich_help_panel=o.RUN)] = 0.0,
    curvature: Annotated[
        float,
        typer.Option(
            help="κ of the cost ½κ‖A − T‖²; 2/(d_out d_in) for the mean of squared errors.", rich_help_panel=o.RUN
        ),
    ] = 1.0,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Keep to this rate. Default: a tenth of the stability bound.", rich_help_panel=o.RUN),
    ] = None,
    steps: Annotated[int, typer.Option(help="Largest number of steps.", rich_help_panel=o.RUN)] = 750,
    as_json: o.Json = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for trade_off.png and summary.json.", rich_help_panel=o.OUT)
    ] = None,
    force: o.Force = False,
) -> None:
    """Advise before training: how to start, how fast to learn, when to stop, what to expect, what depth costs."""
    prepare_folder(out, force)
    matrix = None if target is None else o.matrix_from("target", target)
    slope = None if gradient is None else o.matrix_from("gradient", gradient)
    sized = any(v is not None for v in (dim, rows, columns))
    shape = o.shape_of(dim, rows, columns) if sized or (matrix is None and slope is None) else None
    advice = run_advice(
        shape,
        rank=rank,
        singular_values=o.values_of(singular_values),
        target=matrix,
        gradient=slope,
        noise=noise,
        scale=scale,
        width=width,  # type: ignore[arg-type]
        optimizer=optimizer,
        momentum=momentum,
        curvature=curvature,
        learning_rate=learning_rate,
        steps=steps,
    )
    summary = advice.as_dict()
    if out is not None:
        write_results(out, summary, advice.plot(), "trade_off.png")
    if as_json:
        print_json(summary)
    else:
        _print(advice)


def _print(advice: Advice) -> None:
    facts = Table(title="Advice", show_header=False, title_justify="left")
    for label, text in advice.facts():
        facts.add_row(label, text)
    console.print(facts)
    starts = Table("start", "layers", "settings", "η", "accuracy", title="How to start there", title_justify="left")
    for start in advice.starts:
        settings = "\n".join(f"{name} = {_shown(value)}" for name, value in start.settings.items())
        starts.add_row(start.name, start.how, settings, f"{start.learning_rate:.4g}", start.accuracy)
    console.print(starts)
    modes = Table(
        "signal mode", "s of the signal", "s of the target", "activity", "crosses τ", "half learned", "90 % learned",
        title="Steps to learn each mode", title_justify="left",
    )  # fmt: skip
    for k, m in enumerate(advice.modes, start=1):
        steps = ("never" if s is None else f"{s:.0f}" for s in (m.crossing_step, m.half_step, m.learned_step))
        modes.add_row(str(k), f"{m.signal:.4g}", f"{m.target:.4g}", f"{m.activity:.3f}", *steps)
    console.print(modes)
    limits = Table("condition", "status", "remark", title="Constraints", title_justify="left")
    colours = {"satisfied": "green", "binding": "yellow", "violated": "red"}
    for c in advice.constraints:
        limits.add_row(c.condition, f"[{colours[c.status]}]{c.status}[/]", c.remark)
    console.print(limits)
    law = ["η"] if advice.narrow else ["σ²", "w"]
    rows = Table(
        "τ/s_K", "phase", *law, "test error", "stable rank", "steps (ratio)",
        title="The price of going deeper into the active regime", title_justify="left",
        caption="s_K: smallest signal mode of the target; best step at each τ, without a budget, and its ratio to the "
        "recommended; dim: over the budget", caption_justify="left",
    )  # fmt: skip
    for d in advice.trade_off:
        numbers = [d.learning_rate] if d.variance is None else [d.variance, d.width]
        rows.add_row(
            f"{d.depth:g}",
            d.phase,
            *(f"{n:.1e}" for n in numbers),
            f"{d.test_error:.4f}",
            f"{d.stable_rank:.2f}",
            f"{d.steps:,} ({d.price:.2f})",
            style=None if d.within_budget else "dim",
        )
    console.print(rows)
    console.print("Assumptions", style="bold")
    for line in (*advice.assumptions, *(f"note: {n}" for n in advice.notes)):
        console.print(f"  • {line}", highlight=False)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
