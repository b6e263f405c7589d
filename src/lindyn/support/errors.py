"""The one error of the package: an argument that cannot be used, said in one sentence whose parts stay fields.

A surface that calls an argument by another name (an option of the command line, "the first factor" of a file) renames
the fields and never edits the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Self

_NAMED = re.compile(r"`([A-Za-z_][\w]*)((?:\[\d+\])?)`")  # an argument's name inside a clause, as in "`width`"


class InvalidArgument(ValueError):
    """An argument that cannot be used: "Argument `name` must …, but …; remedy."

    Args:
        name: the argument, as its caller wrote it.
        must: what it must be or do, as the end of "Argument … must".
        but: what it is instead, a clause.
        remedy: what to do, a clause; left out where it follows from the rest.

    Examples:
        >>> error = InvalidArgument("width", "be at least 1", "it is 0", "use `width` 1, the narrowest network")
        >>> print(error)
        Argument `width` must be at least 1, but it is 0; use `width` 1, the narrowest network.
        >>> print(error.about("The width of layer 2"))
        The width of layer 2 must be at least 1, but it is 0; use `width` 1, the narrowest network.
        >>> print(error.told(lambda name: "--" + name, "Option {}"))
        Option --width must be at least 1, but it is 0; use --width 1, the narrowest network.
    """

    def __init__(self, name: str, must: str, but: str, remedy: str = "", subject: str = ""):
        self.name, self.must, self.but, self.remedy = name, must, but, remedy
        self.subject = subject or f"Argument `{name}`"
        super().__init__(str(self))

    def __str__(self) -> str:
        """The whole sentence."""
        if not self.must:
            return self.subject
        end = f"; {self.remedy}." if self.remedy else "."
        return f"{self.subject} must {self.must}, but {self.but}{end}"

    @classmethod
    def sentence(cls, text: str) -> Self:
        """Return a refusal that is a sentence of its own, such as the reason why two tensors do not form a product."""
        return cls("", "", "", "", text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross processes as the fields."""
        return type(self), (self.name, self.must, self.but, self.remedy, self.subject)

    def about(self, subject: str) -> Self:
        """Return the same refusal of something that its reader knows by another name: "The first factor must …"."""
        return type(self)(self.name, self.must, self.but, self.remedy, subject)

    def renamed(self, names: Mapping[str, str]) -> Self:
        """Return the same refusal with arguments called by other names, in every clause: {"source": "start"}."""

        def swap(clause: str) -> str:
            return _NAMED.sub(lambda m: f"`{names.get(m.group(1), m.group(1))}{m.group(2)}`", clause)

        parts = (self.must, self.but, self.remedy, self.subject)
        return type(self)(names.get(self.name, self.name), *(swap(part) for part in parts))

    def told(self, show: Callable[[str], str], subject: str = "Argument {}") -> str:
        """Return the sentence as a surface writes it.

        Args:
            show: from an argument's name to what the surface calls it, quotes or dashes included.
            subject: start of the sentence; {} stands for the argument.
        """
        text = str(self)
        own = f"Argument `{self.name}`"
        if self.must and self.subject == own:
            text = subject.format(f"`{self.name}`") + text.removeprefix(own)
        return _NAMED.sub(lambda m: show(m.group(1)) + m.group(2), text)
