"""Folders that are written whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give a place to write a folder to, and move it to `path`, in place of what was there, once that has succeeded.

    Examples:
        >>> with tempfile.TemporaryDirectory() as home:
        ...     with whole(Path(home) / "results") as part:
        ...         part.mkdir()
        ...     [p.name for p in Path(home).iterdir()]
        ['results']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        part = Path(scratch) / "part"
        yield part
        if path.exists():
            path.rename(Path(scratch) / "replaced")
        part.rename(path)
