"""`lindyn inspect`: lazy and active modes of adapters and of other factor pairs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lindyn.cli import options as o
from lindyn.cli import output
from lindyn.support.errors import InvalidArgument

if TYPE_CHECKING:
    from lindyn.inspection import Inspection, PairReport


EXAMPLES = (
    "lindyn inspect my-adapter",
    "lindyn inspect my-adapter --start my-adapter-at-step-0 --out report",
    "lindyn inspect model.safetensors --pair 'first=blocks.*.down.weight,second=blocks.*.up.weight' --csv",
)


def inspect(
    ctx: typer.Context,
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

    if "out" not in o.given(ctx):
        o.idle(o.given(ctx), ("force",), "without `out`")
    if as_json and as_csv:
        raise InvalidArgument("csv", "be given instead of `json`", "both are given")
    output.prepare_folder(out, force)
    try:
        found = run_inspection(path, pair=pair or None, start=start, scale=scale)
    except InvalidArgument as error:
        raise (error.about("PATH") if error.name == "source" else error) from error
    if out is not None:
        _write(found, out)
    if as_json:
        output.print_json(found.to_dict())
    elif as_csv:
        typer.echo(found.to_csv(), nl=False)
    else:
        _print(found)
    for failure in found.failures:
        output.fail(f"{failure.name}: {failure.reason}")
    if found.failures:
        raise typer.Exit(2)


def _write(found: Inspection, out: Path) -> None:
    from lindyn.plots import save_figure

    out.mkdir(parents=True, exist_ok=True)
    (out / "inspection.json").write_text(
        json.dumps(output.json_able(found.to_dict()), indent=1) + "\n", encoding="utf-8"
    )
    (out / "modes.csv").write_text(found.to_csv(), encoding="utf-8")
    if found.pairs:
        save_figure(found.plot().figure, out / "modes.png")  # type: ignore[arg-type]
    output.wrote(out)


def _print(found: Inspection) -> None:
    if not found.pairs:
        return
    _print_pairs(found)
    labelled = [p for p in found.pairs if p.active_modes is not None]
    if labelled:
        _print_starts(labelled)
    since = _has_start(found)
    output.say(
        "τ: threshold by the imbalance (÷: over that of a fresh start); m₁, mₖ: largest and smallest singular "
        "value; act.: modes above their own threshold; a₁: activity, 0 lazy to 1 active; stab., eff.: stable and "
        "effective rank" + ("; out: share of ‖ΔW‖_F² outside row(A₀); drift: of the imbalance." if since else ".")
    )
    for note, count in Counter(n for p in found.pairs for n in p.notes).items():
        output.say(f"Note ({count} of {len(found.pairs)} pairs): {note}.")
    if found.explanation:
        output.say(found.explanation)
    active, modes = sum(p.active_modes or 0 for p in labelled), sum(p.singular_values.size for p in labelled)
    summary = [f"{active} of {modes} modes active in {len(labelled)} pairs"] if labelled else []
    if len(labelled) < len(found.pairs):
        summary.append(f"{len(found.pairs) - len(labelled)} pairs without label")
    output.say(f"{'; '.join(summary)}; {found.seconds:.2f} s.")


def _print_pairs(found: Inspection) -> None:
    has_start = _has_start(found)
    since = ("out", "drift") if has_start else ()
    heads = ["pair", "τ", "÷", "m₁", "mₖ", "act.", "a₁", "stab.", "eff.", *since]
    rows = []
    names = _short_names([p.name for p in found.pairs])
    for name, p in zip(names, found.pairs, strict=True):
        m = p.singular_values
        labelled = p.active_modes is not None
        cells = [
            _shown(p.nominal_threshold),
            _shown(p.nominal_threshold / p.expected_threshold if p.expected_threshold else None, ".2f"),
            _shown(m[0]),
            _shown(m[-1]),
            f"{p.active_modes}/{m.size}" if labelled else "–",
            _shown(p.activities[0] if labelled else None, ".2f"),
            _shown(p.stable_rank, ".1f"),
            _shown(p.effective_rank, ".1f"),
        ]
        if has_start:
            cells += [_shown(p.share_outside_rows, ".1%"), _shown(p.imbalance_drift, ".1%")]
        rows.append([name, *cells])
    output.print_table(found.source, heads, rows)


def _print_starts(reports: list[PairReport]) -> None:
    """Print a row for each kind of pair: how it was started, and what the common starts would have set."""
    kinds: dict[tuple[Any, ...], list[PairReport]] = {}
    for p in reports:
        kinds.setdefault((p.shape, p.rank, p.scale, p.law), []).append(p)
    laws = reports[0].common_thresholds
    rows = []
    for (shape, rank, scale, law), pairs in kinds.items():
        recognised = Counter(p.recognised or "none" for p in pairs)
        rows.append(
            [
                f"{len(pairs)} of {shape[0]} × {shape[1]}, r {rank}, s {scale:.4g}",
                law or "unknown",
                ", ".join(n if len(recognised) == 1 else f"{n} {count}" for n, count in recognised.items()),
                *(_shown(tau, ".2g") for tau in pairs[0].common_thresholds.values()),
            ]
        )
    output.print_table(
        "Starts, and the τ that the common ones set", ["pairs", "start", "found", *laws], rows, prose=("found",)
    )


def _has_start(found: Inspection) -> bool:
    return any(p.imbalance_drift is not None for p in found.pairs)


def _shown(value: float | None, form: str = ".3g") -> str:
    return "–" if value is None else format(value, form)


def _short_names(names: list[str]) -> list[str]:
    """Return the names without the dotted parts that all of them have, on each side of an arrow."""
    sides = zip(*(name.split(" → ") for name in names), strict=True)
    return [" → ".join(parts) for parts in zip(*map(_distinct_parts, sides), strict=True)]


def _distinct_parts(names: Iterable[str]) -> list[str]:
    parts = [name.replace(".T", "ᵀ").split(".") for name in names]
    shared = set.intersection(*(set(p[:-1]) for p in parts))
    return [".".join([*(part for part in p[:-1] if part not in shared), p[-1]]) for p in parts]
