"""`lindyn inspect`: lazy and active modes of adapters and of other factor pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lindyn import checks
from lindyn.cli import options as o
from lindyn.cli.output import console, errors_console, prepare_folder, print_json

if TYPE_CHECKING:
    from lindyn.inspection import Inspection, PairReport


def inspect(
    path: Annotated[Path, typer.Argument(help="PEFT adapter (folder or file), or a checkpoint with --pair.")],
    pair: Annotated[
        list[str] | None,
        typer.Option(
            help="first=NAME,second=NAME of two weights (r × d_in, d_out × r); * matches layers, [0:64] slices, "
            ".T transposes. May be repeated."
        ),
    ] = None,
    start: Annotated[Path | None, typer.Option(help="The same, before training.")] = None,
    scale: Annotated[float | None, typer.Option(help="s of s·W2W1, instead of the config's.")] = None,
    as_json: o.Json = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV, a row for each mode.", rich_help_panel=o.OUT)
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for modes.png, modes.csv and inspection.json.", rich_help_panel=o.OUT),
    ] = None,
    force: o.Force = False,
) -> None:
    """Say which modes of an adapter are lazy and which active: singular values of ΔW = s·BA against their thresholds.

    No base model is loaded, and files are never unpickled. Pairs that cannot be read are named on standard error, the
    others are reported, and the exit code is 2.
    """
    from lindyn.inspection import inspect as run_inspection

    if as_json and as_csv:
        raise checks.refuse("csv", "be given instead of `json`", "both are given")
    prepare_folder(out, force)
    try:
        found = run_inspection(path, pair=pair or None, start=start, scale=scale)
    except checks.InvalidArgument as error:
        raise checks.InvalidArgument(str(error).replace("Argument `source`", "PATH")) from error
    if out is not None:
        _write(found, out)
    if as_json:
        print_json(found.to_dict())
    elif as_csv:
        typer.echo(found.to_csv(), nl=False)
    else:
        _print(found)
    for failure in found.failures:
        errors_console.print(
            f"[red]Error:[/] {_plain(failure.name)}: {_plain(failure.reason)}", highlight=False, soft_wrap=True
        )
    if found.failures:
        raise typer.Exit(2)


EXAMPLES = (
    "Examples:  lindyn inspect my-adapter   |   lindyn inspect my-adapter --start my-adapter-at-step-0 --out report   "
    "|   lindyn inspect model.safetensors --pair 'first=blocks.*.down.weight,second=blocks.*.up.weight' --csv"
)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _write(found: Inspection, out: Path) -> None:
    from lindyn.plots import save_figure

    out.mkdir(parents=True, exist_ok=True)
    (out / "inspection.json").write_text(json.dumps(found.to_dict(), indent=1) + "\n", encoding="utf-8")
    (out / "modes.csv").write_text(found.to_csv(), encoding="utf-8")
    if found.pairs:
        from lindyn.plots.curves import _new_figure

        width = min(max(6.0, 0.3 * len(found.pairs)), 16.0)
        ax = found.plot(_new_figure(1, (width, 4.4)).axes[0])
        save_figure(ax.figure, out / "modes.png")  # type: ignore[arg-type]
    errors_console.print(f"Wrote {', '.join(sorted(p.name for p in out.iterdir()))} to {out}")


def _print(found: Inspection) -> None:
    from rich.table import Table

    if found.pairs:
        has_start = any(p.imbalance_drift is not None for p in found.pairs)
        since = ("outside row(A₀)", "drift") if has_start else ()
        table = Table(
            "pair", "d_out × d_in", "r", "s", "start", "τ", "τ / start's", "singular values", "active", "activity",
            "stable rank", "eff. rank", *since,
            title=_plain(f"{found.source}: singular values below τ are lazy"), title_justify="left",
        )  # fmt: skip
        for report in found.pairs:
            table.add_row(*_row(report, has_start))
        console.print(table)
        _print_common(found)
        notes: dict[str, int] = {}
        for note in (n for p in found.pairs for n in p.notes):
            notes[note] = notes.get(note, 0) + 1
        for note, count in notes.items():
            console.print(_plain(f"Note ({count} of {len(found.pairs)} pairs): {note}."), highlight=False)
        if found.explanation:
            console.print(_plain(found.explanation), highlight=False)
    modes = sum(len(p.singular_values) for p in found.pairs)
    active = sum(p.active_modes or 0 for p in found.pairs)
    console.print(
        f"{active} of {modes} modes active in {len(found.pairs)} pairs; {found.seconds:.2f} s.", highlight=False
    )


def _row(p: PairReport, has_start: bool) -> list[str]:
    def shown(value: float | None, form: str = ".3g") -> str:
        return "–" if value is None else format(value, form)

    m, a = p.singular_values, p.activities
    law = p.law or "unknown"
    if p.recognised != p.law:
        law += f" (now {p.recognised})" if p.recognised else " (left)"
    labelled = p.active_modes is not None
    cells = [
        _plain(p.name), f"{p.shape[0]} × {p.shape[1]}", str(p.rank), f"{p.scale:.4g}", law, shown(p.nominal_threshold),
        shown(p.nominal_threshold / p.expected_threshold if p.expected_threshold else None),
        f"{m[0]:.3g} … {m[-1]:.3g}", f"{p.active_modes}/{m.size}" if labelled else "no label",
        f"{a[0]:.2f} … {a[-1]:.2f}" if labelled else "–", f"{p.stable_rank:.2f}", f"{p.effective_rank:.2f}",
    ]  # fmt: skip
    return cells + ([shown(p.share_outside_rows, ".2%"), shown(p.imbalance_drift, ".2%")] if has_start else [])


def _print_common(found: Inspection) -> None:
    from rich.table import Table

    table = Table(title="Thresholds that the common starts would set", title_justify="left")
    kinds: dict[tuple[Any, ...], dict[str, float]] = {}
    for p in found.pairs:
        kinds.setdefault((p.shape, p.rank, p.scale), p.common_thresholds)
    for column in ("d_out × d_in", "r", "s", *next(iter(kinds.values()))):
        table.add_column(column)
    for (shape, rank, scale), thresholds in kinds.items():
        table.add_row(
            f"{shape[0]} × {shape[1]}", str(rank), f"{scale:.4g}", *(f"{tau:.3g}" for tau in thresholds.values())
        )
    console.print(table)
