"""One tester of refusals: a table of what is done, which argument is named, and a part of what is said.

TABLE = {"sizes": [(lambda: ld.SpikedMatrix(dim=0, rank=1), "dim", "at least 1, but it is 0")]}

@refused(TABLE)
def test_sizes_are_refused(refusal):
    refusal.check()
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pytest

import lindyn as ld

SENTENCE = r"Argument `[\w\[\]]+` must .+, but .+[^.]\."  # one line, one full stop


class Refusal(NamedTuple):
    """Something that must be refused, the argument to be named, and a part of the sentence."""

    act: Callable[[], object]
    argument: str
    part: str

    def check(self) -> None:
        """Do it, and find one sentence that names the argument and holds the part."""
        with pytest.raises(ld.InvalidArgument) as caught:
            self.act()
        message = str(caught.value)
        assert re.fullmatch(SENTENCE, message), message
        assert message.startswith(f"Argument `{self.argument}` "), message
        assert self.part in message, message


Case = tuple[Callable[[], object], str, str]


def refused(table: Mapping[str, Sequence[Case]] | Sequence[Case]) -> pytest.MarkDecorator:
    """Return the parametrisation of a test over every case of a table: cases alone, or by group."""
    groups = table.items() if isinstance(table, Mapping) else [("", table)]
    cases = [
        pytest.param(Refusal(*case), id=f"{group}: {case[1]}, {case[2]}" if group else f"{case[1]}: {case[2]}")
        for group, rows in groups
        for case in rows
    ]
    return pytest.mark.parametrize("refusal", cases)
