"""`lindyn inspect`: lazy and active modes of adapters and of other factor pairs."""

from __future__ import annotations

import json
import re
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
    from lindyn.prediction import AdamClock


EXAMPLES = (
    "lindyn inspect my-adapter",
    "lindyn inspect my-adapter --start my-adapter-at-step-0 --sort drift --most 20 --out report",
    "lindyn inspect my-adapter/checkpoint-900 --against my-adapter/checkpoint-300",
    "lindyn inspect model.safetensors --pair 'first=blocks.*.down.weight,second=blocks.*.up.weight' --csv",
)


def inspect(
    ctx: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            help="Adapter (folder or file; PEFT, diffusers, kohya, LyCORIS, MLX, torchtune, LitGPT, loralib), or a "
            "checkpoint with --pair."
        ),
    ],
    pair: Annotated[
        list[str] | None,
        typer.Option(
            help="first=NAME,second=NAME of two weights (r × d_in, d_out × r); * matches layers, [0:64] slices, "
            ".T transposes. May be repeated."
        ),
    ] = None,
    start: Annotated[Path | None, typer.Option(help="The same, before training.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Another source of the same pairs, such as a second checkpoint.")
    ] = None,
    scale: Annotated[float | None, typer.Option(help="s of s·W2W1, instead of the config's.")] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="η of Adam or AdamW: until when A must stay where it started, when it can have turned."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Number of steps at that rate.")] = None,
    most: Annotated[
        int | None, typer.Option(help="Print so many rows of the table of pairs at most.", rich_help_panel=o.OUT)
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            help="Order of that table: file, name, m1, activity, energy, rank, outside or drift; largest first.",
            rich_help_panel=o.OUT,
        ),
    ] = "file",
    as_json: o.Json = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV, a row for each mode.", rich_help_panel=o.OUT)
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for modes.png, modes.csv and inspection.json.", rich_help_panel=o.OUT),
    ] = None,
    vectors: Annotated[
        bool,
        typer.Option("--vectors", help="Singular vectors too: vectors.npz in --out, or --json.", rich_help_panel=o.OUT),
    ] = False,
    force: o.Force = False,
) -> None:
    """Say which modes of an adapter are lazy and which active: singular values of ΔW = s·BA against their thresholds.

    No base model is loaded, and files are never unpickled. Pairs that cannot be read are named on standard error, the
    others are reported, and the exit code is 2.
    """
    from lindyn.inspection import inspect as run_inspection
    from lindyn.inspection.report import SORTINGS
    from lindyn.support import checks

    given = o.given(ctx)
    if out is None:
        o.idle(given, ("force",), "without `out`")
        if not as_json:
            o.idle(given, ("vectors",), "without `out` or `json`")
    if as_json and as_csv:
        raise InvalidArgument("csv", "be given instead of `json`", "both are given")
    if as_json or as_csv:
        o.idle(given, ("most", "sort"), "with `json` or `csv`, which hold all pairs")
    if as_csv:
        o.idle(given, ("against",), "with `csv`, whose rows are modes", "differences are in the table and in --json")
    if learning_rate is None:
        o.idle(given, ("steps",), "without `learning_rate`")
    elif as_csv:
        o.idle(given, ("learning_rate", "steps"), "with `csv`")
    checks.choice("sort", sort, SORTINGS)
    most = None if most is None else checks.integer("most", most, at_least=1)
    output.prepare_folder(out, force)
    try:
        found = run_inspection(path, pair=pair or None, start=start, against=against, scale=scale, vectors=vectors)
    except InvalidArgument as error:
        raise (error.about("PATH") if error.name == "source" else error) from error
    clocks = {} if learning_rate is None else found.adam_clocks(learning_rate, steps)
    if out is not None:
        _write(found, out)
    if as_json:
        output.print_json(found.to_dict() | ({"adam_clocks": _plain_clocks(clocks)} if clocks else {}))
    elif as_csv:
        typer.echo(found.to_csv(), nl=False)
    else:
        _print(found, most, sort)
        _print_clocks(clocks)
    for failure in found.failures:
        output.fail(f"{failure.name}: {failure.reason}")
    if found.failures:
        raise typer.Exit(2)


def _plain_clocks(clocks: dict[str, AdamClock]) -> dict[str, dict[str, Any]]:
    return {
        name: {"deviation": c.deviation, "lazy_until": c.lazy_until, "turned_from": c.turned_from}
        for name, c in clocks.items()
    }


def _print_clocks(clocks: dict[str, AdamClock]) -> None:
    """Print a row for each σ_A, to three digits."""
    kinds: dict[str, list[AdamClock]] = {}
    for clock in clocks.values():
        kinds.setdefault(f"{clock.deviation:.3g}", []).append(clock)
    if not kinds:
        return
    rows = [
        [
            str(len(same)),
            deviation,
            "all steps" if same[0].lazy_until is None else f"{same[0].lazy_until:,}",
            "not within them" if same[0].turned_from is None else f"{same[0].turned_from:,}",
        ]
        for deviation, same in kinds.items()
    ]
    output.print_table(
        "Adam's clock, in steps",
        ["pairs", "σ_A", "still lazy until", "can have turned from"],
        rows,
        caption="x = (sum of η)/σ_A reaches 0.2, and 1: a bound, no prediction of times",
    )


def _write(found: Inspection, out: Path) -> None:
    from lindyn.plots import save_figure

    out.mkdir(parents=True, exist_ok=True)
    (out / "inspection.json").write_text(
        json.dumps(output.json_able(found.to_dict(vectors=False)), indent=1) + "\n", encoding="utf-8"
    )
    (out / "modes.csv").write_text(found.to_csv(), encoding="utf-8")
    if found.pairs:
        save_figure(found.plot().figure, out / "modes.png")  # type: ignore[arg-type]
        if found.pairs[0].left is not None:
            found.save_vectors(out / "vectors.npz")
    output.wrote(out)


def _print(found: Inspection, most: int | None, sort: str) -> None:
    output.say(f"{found.source}: {found.layout}, {len(found.pairs)} pairs")
    if found.pairs:
        _print_kinds(found)
        _print_pairs(found, most, sort)
        labelled = [p for p in found.pairs if p.active_modes is not None]
        if labelled:
            _print_starts(labelled)
        output.say(_legend(found))
        for note, count in Counter(n for p in found.pairs for n in p.notes).items():
            output.say(f"Note ({count} of {len(found.pairs)} pairs): {note}.")
        for text in (found.explanation, found.lost_starts, found.verdict):
            if text:
                output.say(text)
    if found.unread:
        output.say(f"Not read, {len(found.unread)} tensors: {'; '.join(_gathered(found.unread))}.")


def _legend(found: Inspection) -> str:
    from lindyn.inspection.ranks import RULE

    text = (
        "m₁, mₖ: largest and smallest singular value of ΔW; τ₁: threshold of the largest mode, from its own factors; "
        "a₁: its activity, 0 lazy to 1 active; act.: modes above their own threshold τₖ; τ: mean threshold by the "
        "imbalance, and ÷ over that of a fresh start; stab., eff.: stable and effective rank; sug.: " + RULE
    )
    if _has_start(found):
        text += "; out: share of ‖ΔW‖_F² outside row(A₀); drift: of the imbalance; Δ₀: ‖ΔW − ΔW₀‖_F/‖ΔW₀‖_F"
    if _has_other(found):
        text += "; Δ: ‖ΔW − ΔW'‖_F/‖ΔW'‖_F against the other source; cos: cosine of the two"
    return text + "."


def _print_kinds(found: Inspection) -> None:
    """Print a row for each kind of module."""
    kinds = found.by_kind()
    if len(kinds) == len(found.pairs):
        return
    since = ("out", "drift") if _has_start(found) else ()
    rows = []
    for k in kinds:
        cells = [
            str(k.pairs),
            f"{k.active_modes}/{k.modes}" if k.modes else "–",
            _shown(k.largest),
            _shown(k.threshold),
            _shown(k.suggested_rank, "d"),
        ]
        if since:
            cells += [_shown(k.share_outside_rows, ".1%"), _shown(k.imbalance_drift, ".1%")]
        rows.append([k.kind, *cells])
    output.print_table("By kind of module (medians)", ["kind", "pairs", "act.", "m₁", "τ₁", "sug.", *since], rows)


def _print_pairs(found: Inspection, most: int | None, sort: str) -> None:
    reports = found.ranked(sort)
    shown = reports[:most]
    heads = ["pair", "m₁", "τ₁", "a₁", "act.", "mₖ", "τ", "÷", "stab.", "eff.", "sug."]
    heads += ["out", "drift", "Δ₀"] if _has_start(found) else []
    heads += ["Δ", "cos"] if _has_other(found) else []
    whole = [p.name for p in reports]  # what all pairs share is left out, not what the rows shown share
    names = dict(zip(whole, _short_names(whole), strict=True))
    rows = [[names[p.name], *_cells(p, found)] for p in shown]
    order = "" if sort == "file" else f", by {sort}"
    left = len(reports) - len(shown)
    output.print_table(f"Pairs{order}", heads, rows, caption=f"{left} more pairs: raise --most" if left else "")


def _cells(p: PairReport, found: Inspection) -> list[str]:
    m, labelled = p.singular_values, p.active_modes is not None
    cells = [
        _shown(m[0]),
        _shown(p.thresholds[0]),
        _shown(p.activities[0] if labelled else None, ".2f"),
        f"{p.active_modes}/{m.size}" if labelled else "–",
        _shown(m[-1]),
        _shown(p.nominal_threshold),
        _shown(p.nominal_threshold / p.expected_threshold if p.expected_threshold else None, ".2f"),
        _shown(p.stable_rank, ".1f"),
        _shown(p.effective_rank, ".1f"),
        _shown(p.suggested_rank, "d"),
    ]
    if _has_start(found):
        change = None if p.change is None else p.change.relative
        cells += [_shown(p.share_outside_rows, ".1%"), _shown(p.imbalance_drift, ".1%"), _shown(change, ".2f")]
    if _has_other(found):
        cells += [_shown(None if p.against is None else getattr(p.against, n), ".2f") for n in ("relative", "cosine")]
    return cells


def _gathered(names: Iterable[str]) -> list[str]:
    """Names with their numbers as stars, each once, and how many it stands for."""
    counts = Counter(re.sub(r"(?<![A-Za-z\d])\d+(?![A-Za-z\d])", "*", name) for name in names)
    return [name if count == 1 else f"{name} ({count})" for name, count in counts.items()]


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


def _has_other(found: Inspection) -> bool:
    return any(p.against is not None for p in found.pairs)


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
