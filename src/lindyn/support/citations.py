"""BibTeX of what a computation used."""

from __future__ import annotations

import re
from importlib import resources

from lindyn.support import checks


def _entries() -> dict[str, str]:
    text = resources.files("lindyn.support").joinpath("references.bib").read_text(encoding="utf-8")
    blocks = re.findall(r"^@\w+\{([\w:]+),.*?^\}$", text, flags=re.MULTILINE | re.DOTALL)
    bodies = re.findall(r"^@\w+\{[\w:]+,.*?^\}$", text, flags=re.MULTILINE | re.DOTALL)
    return dict(zip(blocks, bodies, strict=True))


def cite(*keys: str) -> str:
    """Return BibTeX entries by key; the paper that lindyn implements if none is given.

    Raises:
        InvalidArgument: an unknown key.

    Examples:
        >>> cite().splitlines()[0]
        '@inproceedings{tu2024mixed,'
    """
    entries = _entries()
    for key in keys:
        checks.choice("keys", key, sorted(entries))
    return "\n\n".join(entries[k] for k in dict.fromkeys(keys or ("tu2024mixed",)))
