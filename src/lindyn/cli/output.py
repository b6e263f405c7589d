"""What the commands print and write: text that any terminal takes, tables that fit any width, JSON and files."""

from __future__ import annotations

import codecs
import json
import math
import re
import sys
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console
    from rich.text import Text

    from lindyn.simulation.trajectory import Trajectory

DIVERGED, INTERRUPTED = 3, 130
_NARROWEST_PROSE = 24  # columns that a column of sentences keeps beside others

# Control characters, marks that reverse the direction of text, and bytes that are no text: never sent to a terminal.
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# How a terminal that has no such letters reads what we print.
_SPELLED = {
    "τ": "tau", "σ": "sigma", "η": "eta", "θ": "theta", "κ": "kappa", "γ": "gamma", "λ": "lambda", "μ": "mu",
    "Δ": "Delta", "α": "alpha", "β": "beta", "ψ": "psi", "ε": "eps", "ᵀ": "^T", "‖": "||", "×": "x", "÷": "/",
    "·": "*", "•": "*", "–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "≥": ">=", "≤": "<=", "≫": ">>",
    "≪": "<<", "≈": "~", "√": "sqrt ", "∞": "inf", "½": "1/2", "⁻": "^-", "±": "+-", "⁰": "^0", "¹": "^1", "²": "^2",
    "³": "^3", "⁴": "^4", "⁵": "^5", "⁶": "^6", "⁷": "^7", "⁸": "^8", "⁹": "^9", "ₖ": "k", "‘": "'", "’": "'",
    "“": '"', "”": '"', "ö": "oe", "ü": "ue", "ä": "ae", "é": "e", "✓": "yes", "✗": "no",
}  # fmt: skip


def visible(text: str) -> str:
    r"""Return text with control characters written out, as in "\x1b".

    Examples:
        >>> print(visible("layer" + chr(27) + "[31m"))
        layer\x1b[31m
    """
    return _INVISIBLE.sub(lambda m: m.group().encode("unicode_escape").decode("ascii"), text)


def spelled(text: str, encoding: str) -> str:
    """Return text with the letters that an encoding lacks spelled out: τ = σ²w is "tau = sigma²w" in Latin-1.

    Examples:
        >>> spelled("τ = σ²w", "latin-1"), spelled("τ = σ²w", "ascii"), spelled("τ", "utf-8")
        ('tau = sigma²w', 'tau = sigma^2w', 'τ')
    """
    if encoding.lower().startswith("utf"):
        return text
    return "".join(c if _has(encoding, c) else _spelling(c) for c in text)


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _spelling(character: str) -> str:
    if character in _SPELLED:
        return _SPELLED[character]
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    return plain or "?"


def _spell_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelling, error.object[error.start : error.end])), error.end


def take_any_terminal() -> None:
    """Let standard output and error spell out what their encoding lacks, instead of failing on it."""
    codecs.register_error("lindyn.spelled", _spell_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="lindyn.spelled")


def prepare_help(command: Any) -> None:
    """Spell out the help of a command for the terminal at hand, before it is laid out in columns and paragraphs."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    for part in (command, *command.params):
        for name in ("help", "metavar"):
            text = getattr(part, name, None)
            if isinstance(text, str):
                setattr(part, name, spelled(text, encoding))
        if getattr(part, "is_flag", False):
            part.metavar = " "  # a switch takes no value
    command.help = "\n\n".join(" ".join(p.split()) for p in (command.help or "").split("\n\n"))


def print_examples(examples: Iterable[str]) -> None:
    """Print command lines, each to be copied as it stands: what does not fit goes on after a backslash."""
    console = _console()
    lines = ["Examples", *(line for example in examples for line in example_lines(example, console.width - 2))]
    for line in lines:
        console.print(spelled(line, console.encoding), soft_wrap=True, style="bold" if line == "Examples" else "")
    console.print()


def example_lines(example: str, room: int) -> list[str]:
    r"""Break a command line before its options, so that a shell still reads it as one.

    Examples:
        >>> print(*example_lines("lindyn regime --threshold 2 --singular-values 8,3,1", 40), sep="\n")
          lindyn regime --threshold 2 \
            --singular-values 8,3,1
    """
    words = example.split(" --")
    lines = ["  " + words[0]]
    for word in words[1:]:
        option = f" --{word}"
        if len(lines[-1]) + len(option) + 2 > room:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += option
    return lines


def _console(*, error: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=error, highlight=False, markup=False, emoji=False)


def say(text: str, style: str = "") -> None:
    """Print a paragraph on standard output."""
    console = _console()
    console.print(spelled(visible(text), console.encoding), style=style)


def lines(text: str) -> None:
    """Print lines as they are, unwrapped, on standard output."""
    console = _console()
    console.print(spelled(visible(text), console.encoding), soft_wrap=True, highlight=False)


def tell(text: str, start: str = "", style: str = "") -> None:
    """Print one line on standard error, with a coloured start."""
    from rich.text import Text

    console = _console(error=True)
    line = Text.assemble((start, style), spelled(visible(text), console.encoding))
    console.print(line, soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning on standard error."""
    tell(text, "Warning: ", "yellow")


def fail(sentence: str) -> None:
    """Print an error on standard error."""
    tell(sentence, "Error: ", "red")


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | tuple[str, str]]],
    *,
    prose: Collection[str] = (),
    caption: str = "",
) -> None:
    """Print a table that keeps its names at any width: columns that do not fit follow in further blocks.

    Args:
        title: above the table.
        columns: their heads; the first names the rows, and every block repeats it.
        rows: a cell a column: text, or text and its style.
        prose: heads of columns that hold sentences and may be broken into lines.
        caption: below the table.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    console = _console()
    heads = [spelled(visible(c), console.encoding) for c in columns]
    cells = [[_cell(cell, console.encoding) for cell in row] for row in rows]
    sentences = [c in prose for c in columns]
    widths = [_width(k, heads[k], cells, sentences[k]) for k in range(len(heads))]
    for number, block in enumerate(_blocks(widths, console.width)):
        table = Table(
            title=spelled(title, console.encoding) if number == 0 and title else None,
            box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left",
            title_style="bold",
        )  # fmt: skip
        for k in block:
            folds = k == 0 or sentences[k]
            table.add_column(
                heads[k],
                justify="left" if folds else "right",
                overflow="fold",
                min_width=min(widths[k], console.width // 2) if folds else widths[k],
                max_width=None if folds else widths[k],
            )
        for row in cells:
            table.add_row(*(row[k] for k in block))
        console.print(table)
    if caption:
        console.print(spelled(caption, console.encoding), style="dim")
    console.print()


def print_facts(title: str, facts: Iterable[tuple[str, str]]) -> None:
    """Print labels and values, a line for each."""
    from rich.table import Table

    console = _console()
    table = Table(
        title=spelled(visible(title), console.encoding), title_justify="left", title_style="bold",
        box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0),
    )  # fmt: skip
    table.add_column(overflow="fold", max_width=max(20, console.width // 2))
    table.add_column(overflow="fold")
    for label, value in facts:
        table.add_row(_cell(label, console.encoding), _cell(value, console.encoding))
    console.print(table)
    console.print()


def _cell(cell: str | tuple[str, str], encoding: str) -> Text:
    from rich.text import Text

    text, style = (cell, "") if isinstance(cell, str) else cell
    return Text(spelled(visible(text), encoding), style=style)


def _width(column: int, head: str, rows: list[list[Text]], is_prose: bool) -> int:
    """Columns that a table needs: the longest word of the head, the longest line of a cell."""
    from rich.cells import cell_len

    longest = max((cell_len(line) for row in rows for line in row[column].plain.splitlines()), default=0)
    words = max(map(cell_len, head.split()), default=0)
    return max(words, min(longest, _NARROWEST_PROSE) if is_prose else longest)


def _blocks(widths: list[int], room: int) -> list[list[int]]:
    """Split columns into blocks that fit; the first column leads each.

    Examples:
        >>> _blocks([5, 4, 4, 4], 80), _blocks([5, 4, 4, 4], 18)
        ([[0, 1, 2, 3]], [[0, 1, 2], [0, 3]])
    """
    gap = 2  # a space and the box's own
    first = min(widths[0], room // 2)
    blocks, used = [[0]], first
    for k in range(1, len(widths)):
        if used + gap + widths[k] > room and len(blocks[-1]) > 1:
            blocks.append([0])
            used = first
        blocks[-1].append(k)
        used += gap + widths[k]
    return blocks


def json_able(value: Any) -> Any:
    """Return plain data that every reader of JSON takes: NaN becomes null, infinity the string "inf" or "-inf".

    Examples:
        >>> json_able({"a": float("inf"), "b": [float("nan"), 1.0]})
        {'a': 'inf', 'b': [None, 1.0]}
    """
    if isinstance(value, dict):
        return {str(k): json_able(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_able(v) for v in value]
    if hasattr(value, "tolist"):  # an array or a number of NumPy
        return json_able(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def print_json(summary: Any) -> None:
    """Print a summary as one line of JSON on standard output, and nothing else there."""
    typer.echo(json.dumps(json_able(summary), allow_nan=False))


def csv_cell(text: str) -> str:
    """Return text that a spreadsheet reads as text: what begins like a formula gets an apostrophe before it.

    Examples:
        >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell("layer.0")
        ("'=1+1", '-0.5', 'layer.0')
    """
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def prepare_folder(out: Path | None, force: bool) -> None:
    """Refuse an existing or unwritable folder before anything is computed, and leave nothing behind."""
    if out is None:
        return
    try:
        if out.exists() and not force:
            raise FileExistsError(f"{out} exists; pass --force to write into it, or choose another --out.")
        new = [p for p in (out, *out.parents) if not p.exists()]
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
        for folder in new:
            folder.rmdir()
    except OSError as error:
        if isinstance(error, FileExistsError) and error.strerror is None:
            raise
        raise OSError(f"Cannot write to {out}: {error.strerror or error}; choose another --out.") from error


def write_results(
    out: Path | None, summary: dict[str, Any], figures: dict[str, Figure] | None = None, **runs: Trajectory
) -> None:
    """Write trajectories, figures (file name → figure) and summary.json into the folder."""
    if out is None:
        return
    from lindyn.plots import save_figure

    out.mkdir(parents=True, exist_ok=True)
    for name, run in runs.items():
        run.save(out / f"{name}.zarr", overwrite=True)
    for name, figure in (figures or {}).items():
        save_figure(figure, out / name)
    text = json.dumps(json_able(summary), indent=1, allow_nan=False)
    (out / "summary.json").write_text(text + "\n", encoding="utf-8")
    wrote(out)


def wrote(out: Path) -> None:
    """Say what lies in the folder now."""
    names = sorted(p.name for p in out.iterdir() if not p.name.startswith("."))
    tell(f"Wrote {', '.join(names)} to {out}")


def exit_code(status: str) -> int:
    """Return the exit code of a run by its status: 0 completed, 3 diverged or stopped, 130 interrupted."""
    if status == "completed":
        return 0
    return INTERRUPTED if status.startswith("interrupted") else DIVERGED


def finish(status: str) -> None:
    """End the command with the exit code of its run."""
    if code := exit_code(status):
        raise typer.Exit(code)
