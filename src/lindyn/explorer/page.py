"""The page as one file: the frame, the program, the translated formulas and the tables, with nothing fetched."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from lindyn.explorer.formulas import formulas, tables
from lindyn.support import checks

_PROGRAM = ("settings.js", "equivalent.js", "model.js", "charts.js", "controls.js")


def page(*, descent: bool = False) -> str:
    """Return the page's text.

    Args:
        descent: with the button "exact descent", for a page that a server of the library stands behind.

    Examples:
        >>> text = page()
        >>> text.startswith("<!doctype html>"), "http" in text.replace("http://www.w3.org/2000/svg", "")
        (True, False)
    """
    here = resources.files("lindyn.explorer")
    parts = {
        "/*FORMULAS*/": formulas(),
        "/*TABLES*/": json.dumps(tables(), separators=(",", ":")).replace("</", "<\\/"),
        "/*PROGRAM*/": "".join(here.joinpath(name).read_text(encoding="utf-8") for name in _PROGRAM),
        "<!--DESCENT-->": '<button type="button" id="descend">Exact descent</button>' if descent else "",
    }
    text = here.joinpath("page.html").read_text(encoding="utf-8")
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def write_page(path: str | Path) -> Path:
    """Write the explorer: one file that works without a server and without a network.

    Args:
        path: the file, by habit ending in ".html"; an existing one is replaced.

    Returns:
        The path.

    Raises:
        OSError: it cannot be written.

    Examples:
        >>> import tempfile
        >>> write_page(tempfile.mkdtemp() + "/page.html").stat().st_size < 300_000
        True
    """
    path = checks.path("path", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")
    return path
