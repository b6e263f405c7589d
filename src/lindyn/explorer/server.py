"""The page with exact descent behind it: a server on the loopback interface, one endpoint, one run a request.

`POST /descend` answers with lines of JSON: progress, then the errors of the run. Closing the connection stops the run
after its present chunk. A request must name this server as its host and origin, so that no other page can use it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

from lindyn.explorer.page import page
from lindyn.support import checks

CHUNKS = 25  # of a run: after each, progress is told and a closed connection is noticed
MOST_ENTRIES = 4_000_000  # of a matrix: 2,000 × 2,000
_MOST_BYTES = 100_000  # of a request
_KEYS = ("d_out", "d_in", "signal", "noise", "variance", "width", "eta", "steps", "decay")


def descend(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the progress of an exact descent and at last its errors.

    Args:
        settings: d_out, d_in, signal (singular values), noise, variance, width, eta (learning rate), steps,
            decay (weight decay).

    Yields:
        {"done": share} after each chunk, then {"step": […], "train_error": […], "test_error": […], "status": …}.

    Raises:
        InvalidArgument: settings that cannot be run, or a matrix of more than four million entries.
    """

    from lindyn.methods.descent import GradientDescent
    from lindyn.networks.two_layer import TwoLayer
    from lindyn.simulation.simulation import simulate
    from lindyn.tasks.spiked import SpikedMatrix

    if not isinstance(settings, dict) or set(settings) != set(_KEYS):
        raise checks.InvalidArgument("settings", f"hold {', '.join(_KEYS)}", "it holds others", "reload the page")
    d_out, d_in = checks.matrix_shape("shape", (settings["d_out"], settings["d_in"]))
    if d_out * d_in > MOST_ENTRIES:
        raise checks.InvalidArgument(
            "shape", f"have at most {MOST_ENTRIES:,} entries here", f"it is {d_out:,} × {d_in:,}", "use lindyn simulate"
        )
    steps = checks.integer("steps", settings["steps"], at_least=1, at_most=100_000)
    task = SpikedMatrix(shape=(d_out, d_in), singular_values=settings["signal"], noise=settings["noise"], key=0)
    system: Any = TwoLayer.gaussian((d_out, d_in), settings["width"], settings["variance"], key=1)
    rate = checks.number("eta", settings["eta"], above=0)
    decay = checks.number("decay", settings["decay"], at_least=0)
    marks = sorted({round(steps * k / CHUNKS) for k in range(CHUNKS + 1)})
    found: dict[str, list[float]] = {"step": [], "train_error": [], "test_error": []}
    status = "completed"
    for first, last in pairwise(marks):
        method = GradientDescent(learning_rate=rate, steps=last - first, weight_decay=decay)
        seen = ["train_error", "test_error"]
        run = simulate(system, task, method, save_every=max(1, (last - first) // 4), observables=seen, progress=False)
        kept = slice(0 if first == 0 else 1, None)
        found["step"] += (run.step[kept] + first).tolist()
        for name in seen:
            found[name] += run[name][kept].tolist()
        status, system = run.status, run.final
        yield {"done": last / steps}
        if not run.completed:
            break
    yield {**found, "status": status}


class _Handler(BaseHTTPRequestHandler):
    server: Explorer

    def _refused(self) -> bool:
        """Answer 403 to a request that names another host or comes from another page."""
        hosts = {f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in hosts and (origin is None or origin in {f"http://{h}" for h in hosts}):
            return False
        self._answer(HTTPStatus.FORBIDDEN, b"This server answers its own page only.\n", "text/plain")
        return True

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Send the page."""
        if self._refused():
            return
        if self.path.partition("?")[0] != "/":
            self._answer(HTTPStatus.NOT_FOUND, b"There is one page here: /\n", "text/plain")
            return
        self._answer(HTTPStatus.OK, self.server.page.encode(), "text/html")

    def do_POST(self) -> None:
        """Run a descent and tell how it goes, line by line."""
        if self._refused():
            return
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/descend" or self.headers.get("Content-Type") != "application/json" or length > _MOST_BYTES:
            self._answer(HTTPStatus.BAD_REQUEST, b"POST JSON to /descend.\n", "text/plain")
            return
        body = self.rfile.read(length)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        try:
            for line in self._lines(body):
                self.wfile.write(json.dumps(line).encode() + b"\n")
                self.wfile.flush()
                if self.server.closing:
                    return
        except (BrokenPipeError, ConnectionResetError):
            self.server.cancelled += 1  # the page was closed, or its run cancelled

    def _lines(self, body: bytes) -> Iterator[dict[str, Any]]:
        try:
            yield from descend(json.loads(body))
        except checks.InvalidArgument as error:
            yield {"refused": str(error)}
        except (ValueError, RecursionError, MemoryError) as error:
            yield {"refused": f"The settings cannot be run: {checks.one_line(error)}."}

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on the terminal."""


class Explorer(ThreadingHTTPServer):
    """The server; `serve_forever` until interrupted.

    Attributes:
        page: the text of the page.
        cancelled: how many runs were cut short by their page.
    """

    daemon_threads = False  # closing waits for runs, which end with their present chunk

    def __init__(self, port: int = 0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.page = page(descent=True)
        self.cancelled = 0
        self.closing = False

    def server_close(self) -> None:
        """End all runs and free the port."""
        self.closing = True
        super().server_close()

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_port}/"


def serve(port: int = 0) -> Explorer:
    """Start the explorer with exact descent behind it, in a thread of its own.

    Args:
        port: of the loopback interface; a free one if 0.

    Returns:
        The running server; `shutdown()` and `server_close()` end it.

    Raises:
        OSError: the port is taken.
    """
    server = Explorer(port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
