"""`lindyn reproduce`: published claims, run and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lindyn.cli import options as o
from lindyn.cli import output

if TYPE_CHECKING:
    from lindyn.papers import Reproduction

EXAMPLES = (
    "lindyn reproduce",
    "lindyn reproduce tu2024 --out tu2024",
    "lindyn reproduce tu2024 --claim converges --claim low-rank-bias",
    "lindyn reproduce --all --json",
)
DISAGREES = 1


def reproduce(
    ctx: typer.Context,
    paper: Annotated[
        str | None, typer.Argument(help="Name of a paper; left out, all papers with their claims are listed.")
    ] = None,
    claim: Annotated[
        list[str] | None, typer.Option(help="A claim, by its name; may be repeated. All if left out.")
    ] = None,
    all_papers: Annotated[bool, typer.Option("--all", help="Run every paper.")] = False,
    full: Annotated[bool, typer.Option("--full", help="The published size, where it is within reach.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the figure and the numbers.", metavar="FOLDER")] = None,
    as_json: o.Json = False,
    force: o.Force = False,
) -> None:
    """Check the claims of a paper: what is found beside what is expected, where that comes from, whether they agree.

    Exit code 1 if a claim disagrees.
    """
    from lindyn.papers import catalogue
    from lindyn.papers import reproduce as run
    from lindyn.support import checks

    typed = o.given(ctx)
    if "out" not in typed:
        o.idle(typed, ("force",), "without `out`")
    if paper is None and not all_papers:
        o.idle(typed, ("claim", "full", "out"), "without a paper", "name one, as in lindyn reproduce tu2024")
        _list(as_json)
        return
    if paper is not None and all_papers:
        raise checks.InvalidArgument("all_papers", "be given instead of a paper", f"{paper} is named too")
    if all_papers and claim:
        raise checks.InvalidArgument("claim", "come with one paper", "all are asked for")
    if out is not None:
        output.prepare_folder(out, force)
    results = []
    for key in [entry.key for entry in catalogue()] if all_papers else [paper or ""]:
        result = run(key, claims=claim or None, full=full)
        results.append(result)
        if out is not None:
            _write(result, out)
        if not as_json:
            output.say(str(result))
    if as_json:
        output.print_json([r.to_dict() for r in results] if all_papers else results[0].to_dict())
    if not all(r.passed for r in results):
        raise typer.Exit(DISAGREES)


def _list(as_json: bool) -> None:
    from lindyn.papers import catalogue

    entries = catalogue()
    if as_json:
        output.print_json([{"paper": e.key, "title": e.title, "claims": dict(e.claims)} for e in entries])
    else:
        output.say("\n".join(map(str, entries)))


def _write(result: Reproduction, out: Path) -> None:
    from lindyn.plots import save_figure

    out.mkdir(parents=True, exist_ok=True)
    (out / f"{result.paper.key}.json").write_text(result.to_json() + "\n", encoding="utf-8")
    save_figure(result.plot(), out / f"{result.paper.key}.png")
