"""The papers that the library reproduces: one file each beside this one, found by its name, which ends in a year."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lindyn.papers.claims import Paper, Reproduction
from lindyn.support import checks

_IS_PAPER = re.compile(r"[a-z]+\d{4}")


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue.

    Attributes:
        key: name of the paper for `reproduce`.
        title: of the paper.
        claims: keys and sentences.
        seconds: time of the default settings, measured on two cores.
    """

    key: str
    title: str
    claims: tuple[tuple[str, str], ...]
    seconds: float

    def __str__(self) -> str:
        """Key, title and claims."""
        lines = [f"{self.key}  {self.title}  ({len(self.claims)} claims, {self.seconds:.0f} s)"]
        return "\n".join([*lines, *(f"    {key}  {sentence}" for key, sentence in self.claims)])


def keys() -> list[str]:
    """Return the names of all papers.

    Examples:
        >>> "tu2024" in keys()
        True
    """
    names = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name for name in names if _IS_PAPER.fullmatch(name))


def paper(key: str) -> type[Paper]:
    """Return a paper's class, whose fields are its settings.

    Raises:
        InvalidArgument: a paper that the catalogue does not have.
    """
    module = importlib.import_module(f"lindyn.papers.{checks.choice('paper', key, keys())}")
    found: type[Paper] = module.PAPER
    return found


def catalogue() -> tuple[Entry, ...]:
    """Return all papers with their claims and running times.

    Examples:
        >>> [entry.key for entry in catalogue() if entry.key == "tu2024"]
        ['tu2024']
    """
    found = (paper(key) for key in keys())
    return tuple(Entry(p.key, p.title, tuple((c.key, c.sentence) for c in p.claims()), p.seconds) for p in found)


def reproduce(
    key: str, *, claims: Sequence[str] | None = None, full: bool = False, progress: bool | None = None
) -> Reproduction:
    """Run a paper's experiments and check its claims.

    Args:
        key: name of the paper; `lindyn.papers.catalogue()` lists them.
        claims: which claims; all if left out.
        full: run the published size where it is within reach.
        progress: show a progress bar; left out, on a terminal only.

    Returns:
        The findings; printed, a table; `plot()` draws the figure.

    Raises:
        InvalidArgument: a paper or a claim that is not there.

    Examples:
        >>> import lindyn as ld
        >>> result = ld.reproduce("tu2024", claims=["threshold"])
        >>> result.passed
        True
    """
    cls, full = paper(key), checks.flag("full", full)
    return (cls.published() if full else cls()).reproduce(claims, progress=progress)
