"""`lindyn advise`: preflight of a factorised layer, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lindyn.cli import options as o
from lindyn.cli import output

if TYPE_CHECKING:
    from lindyn.advice import AdamAdvice, Advice

EXAMPLES = (
    "lindyn advise --dim 200 --rank 5 --noise 1 --steps 750",
    "lindyn advise --target observed.npy --width 1000 --out advice",
    "lindyn advise --rows 512 --columns 768 --rank 3 --width 8",
    "lindyn advise --dim 4096 --width 16 --optimizer adamw --learning-rate 2e-4 --steps 300",
    "lindyn advise --gradient gradient.npy --width 16 --loss mse --json",
)


def advise(
    ctx: typer.Context,
    dim: o.Dim = None,
    rows: o.Rows = None,
    columns: o.Columns = None,
    rank: o.Rank = None,
    singular_values: o.SingularValues = None,
    target: o.Target = None,
    gradient: Annotated[
        Path | None,
        typer.Option(
            help="Gradient of the cost in A at A = 0, instead: a file as for --target.",
            rich_help_panel=o.TASK,
            metavar="FILE",
        ),
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
    optimizer: Annotated[
        str, typer.Option(help="gd or sgd; adam, adamw: the clock of a LoRA pair.", rich_help_panel=o.RUN)
    ] = "gd",
    momentum: Annotated[float, typer.Option(help="Heavy-ball momentum.", rich_help_panel=o.RUN)] = 0.0,
    loss: Annotated[
        str | None,
        typer.Option(help="mse: the mean over samples and outputs, as nn.MSELoss.", rich_help_panel=o.RUN),
    ] = None,
    curvature: Annotated[
        float | None,
        typer.Option(
            help="κ of the cost ½κ‖A − T‖² instead; nn.MSELoss has 2/d_out. Default: 1.", rich_help_panel=o.RUN
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Keep to this rate. Default: a tenth of the stability bound.", rich_help_panel=o.RUN),
    ] = None,
    steps: Annotated[int, typer.Option(help="Largest number of steps.", rich_help_panel=o.RUN)] = 750,
    weight_decay: Annotated[
        float | None,
        typer.Option(help="λ of the optimiser: how far does it lower τ?", rich_help_panel=o.RUN),
    ] = None,
    critical_threshold: Annotated[
        float | None,
        typer.Option(help="τ_c of the task: when are unseen entries found (grokking)?", rich_help_panel=o.RUN),
    ] = None,
    as_json: o.Json = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for trade_off.png and summary.json.", rich_help_panel=o.OUT)
    ] = None,
    force: o.Force = False,
) -> None:
    """Advise before training: how to start, how fast to learn, when to stop, what to expect, what depth costs."""
    from lindyn.advice import Advice
    from lindyn.advice import advise as run_advice

    typed = o.given(ctx)
    _check_options(typed, optimizer)
    output.prepare_folder(out, force)
    matrix, slope = o.matrix_from("target", target), o.matrix_from("gradient", gradient)
    shape = o.shape_of(dim, rows, columns) if matrix is None and slope is None else None
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
        loss=loss,
        curvature=curvature,
        learning_rate=learning_rate,
        steps=steps,
        weight_decay=weight_decay,
        critical_threshold=critical_threshold,
    )
    summary = advice.as_dict()
    figures = {"trade_off.png": advice.plot()} if out is not None and isinstance(advice, Advice) else {}
    if out is not None:
        output.write_results(out, summary, figures)
    if as_json:
        output.print_json(summary)
    elif isinstance(advice, Advice):
        _print(advice)
    else:
        _print_clock(advice)


def _check_options(typed: set[str], optimizer: str) -> None:
    """Refuse options that are missing, or that would change nothing beside the others."""
    if "out" not in typed:
        o.idle(typed, ("force",), "without `out`")
    if "weight_decay" not in typed:
        o.idle(typed, ("critical_threshold",), "without `weight_decay`", "a start without decay never generalises late")
    if "singular_values" in typed:
        o.idle(typed, ("scale",), "with `singular_values`")
    matrices = typed & {"target", "gradient"}
    if matrices:
        told = " and ".join(f"`{name}`" for name in sorted(matrices))
        o.idle(typed, ("dim", "rows", "columns", "rank", "singular_values", "scale"), f"with {told}")
        return
    if optimizer.lower() in ("adam", "adamw"):  # their clock needs no signal
        o.require((bool(typed & {"dim", "rows", "columns"}), "`dim` (or `rows` and `columns`)"))
        return
    o.require(
        (bool(typed & {"dim", "rows", "columns"}), "`dim` (or `rows` and `columns`, or `target`, or `gradient`)"),
        (bool(typed & {"rank", "singular_values"}), "`rank` (or `singular_values`)"),
    )


def _print(advice: Advice) -> None:
    output.print_facts("Recommendation", advice.facts())
    starts = [
        [
            start.name,
            start.how,
            "\n".join(f"{name} = {_shown(value)}" for name, value in start.settings.items()),
            f"{start.learning_rate:.4g}",
            start.accuracy,
        ]
        for start in advice.starts
    ]
    output.print_table(
        "How to start there", ["start", "layers", "settings", "η", "accuracy"], starts, prose=("layers", "accuracy")
    )
    _print_code(advice.code)
    modes = [
        [
            str(k),
            f"{m.signal:.4g}",
            f"{m.target:.4g}",
            f"{m.activity:.3f}",
            *("never" if s is None else f"{s:.0f}" for s in (m.crossing_step, m.half_step, m.learned_step)),
        ]
        for k, m in enumerate(advice.modes, start=1)
    ]
    output.print_table(
        "Steps to learn each mode",
        ["mode", "s of the signal", "s of the target", "activity", "crosses τ", "half learned", "90 % learned"],
        modes,
    )
    colours = {"satisfied": "green", "binding": "yellow", "violated": "red"}
    output.print_table(
        "Conditions",
        ["condition", "status", "remark"],
        [[c.condition, (c.status, colours.get(c.status, "")), c.remark] for c in advice.constraints],
        prose=("remark",),
    )
    _print_trade_off(advice)
    output.say("Assumptions", style="bold")
    for line in (*advice.assumptions, *(f"note: {n}" for n in advice.notes)):
        output.say(f"• {line}")


def _print_code(code: str) -> None:
    """Print lines that can be copied: as they are, however narrow the terminal."""
    output.say("In Python", style="bold")
    output.lines(code)


def _print_clock(advice: AdamAdvice) -> None:
    d_out, d_in = advice.shape
    output.say(f"Adam's clock x = (sum of η)/σ_A: {d_out:,} × {d_in:,}, rank {advice.rank}, {advice.steps:,} steps")
    output.print_table(
        "Until when A must stay where it started",
        ["start", "σ_A", "still lazy until", "can have turned from", "x at the end"],
        advice.rows(),
    )
    _print_code(advice.code)
    for note in advice.notes:
        output.say(f"• {note}")


def _print_trade_off(advice: Advice) -> None:
    law = ["η"] if advice.narrow else ["σ²", "w"]
    rows = []
    for d in advice.trade_off:
        numbers: list[float] = [d.learning_rate] if d.variance is None else [d.variance, d.width]
        cells = [
            f"{d.depth:g}",
            d.phase,
            *(f"{n:.1e}" for n in numbers),
            f"{d.test_error:.4f}",
            f"{d.stable_rank:.2f}",
            f"{d.steps:,} ({d.price:.2f})",
        ]
        style = "" if d.within_budget else "dim"
        rows.append([(cell, style) for cell in (*cells, "yes" if d.within_budget else "no")])
    output.print_table(
        "The price of going deeper into the active regime",
        ["τ/s_K", "phase", *law, "test error", "stable rank", "steps (ratio)", "in budget"],
        rows,
        caption="s_K: smallest signal mode of the target; steps: the best at each τ without a budget, and its ratio to "
        "the recommended",
    )


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
