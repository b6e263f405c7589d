"""`lindyn explore`: the phase diagram under one's hand, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lindyn.cli import options as o
from lindyn.cli import output
from lindyn.support.errors import InvalidArgument

EXAMPLES = (
    "lindyn explore",
    "lindyn explore --out page.html",
    "lindyn explore --serve",
)


def explore(
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Write the page to this file, and open nothing.", metavar="FILE")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Put exact descent behind the page, until Ctrl-C; loopback only.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port for --serve; a free one at 0.", min=0, max=65535)] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Say where the page is, and open nothing.")] = False,
    force: o.Force = False,
) -> None:
    """Open the explorer: a static page, made of the library's own formulas, that needs no server and no network."""
    import tempfile
    import webbrowser

    from lindyn.explorer import write_page

    given = o.given(ctx)
    if serve and out is not None:
        raise InvalidArgument("out", "be left out with `serve`", "both are given", "the page alone needs no server")
    if not serve:
        o.idle(given, ("port",), "without `serve`")
    if out is None:
        o.idle(given, ("force",), "without `out`")
    else:
        o.idle(given, ("no_browser",), "with `out`")
        if out.exists() and not force:
            raise InvalidArgument("out", "be a file that does not exist yet", f"{out} does", "pass `force`")
        try:
            output.say(f"Wrote {write_page(out)}")
        except OSError as error:
            raise OSError(f"Cannot write {out}: {error.strerror or error}; choose another --out.") from error
        return
    if serve:
        _serve(port, not no_browser)
        return
    path = write_page(Path(tempfile.gettempdir()) / "lindyn-explorer.html")
    output.say(f"The page is {path}")
    if not no_browser:
        webbrowser.open(path.as_uri())


def _serve(port: int, browser: bool) -> None:
    import webbrowser

    from lindyn.explorer.server import Explorer

    with Explorer(port) as server:
        output.say(f"Serving {server.address} until Ctrl-C.")
        if browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            output.say("Stopped.")
