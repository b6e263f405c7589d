"""A progress bar that stays out of the way."""

from __future__ import annotations

import sys
import time as clock
from typing import Any

from lindyn.support import checks


class Progress:
    """A progress bar that appears after a second, on a terminal or when asked for."""

    def __init__(self, title: str, total: int, show: bool | None):
        self._show = sys.stderr.isatty() if show is None else checks.flag("progress", show)
        self._delay = 1.0 if show is None else 0.0
        self._title, self._total = title, total
        self._bar: Any = None
        self._started = clock.perf_counter()

    def __enter__(self) -> Progress:
        return self

    def update(self, done: int) -> None:
        """Show that `done` parts are done."""
        if not self._show or clock.perf_counter() - self._started < self._delay:
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total)
        self._bar.update(self._task, completed=done)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
