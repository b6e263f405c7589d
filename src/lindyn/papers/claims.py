"""Claims of papers as measurements: what is expected and from where, what is found, and whether the two agree.

A paper is one file: a frozen dataclass of its settings whose methods are experiments (cached, since several claims
share one), claims (decorated with `claim`, each returns a number or a pair of numbers) and a figure. Other settings are
another instance, so that a test can perturb an experiment and see its check fail.
"""

from __future__ import annotations

import abc
import importlib.util
import json
import math
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from lindyn.support import checks
from lindyn.support.citations import cite
from lindyn.support.progress import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Bound = Literal["near", "below", "above"]
_SIGNS = {"near": "≈", "below": "<", "above": ">"}
_MARK = "_lindyn_claim"


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper that a number can contradict.

    Attributes:
        key: short name, such as "R2-1".
        sentence: what is claimed.
        place: figure, section or theorem of the paper.
        expected: the number that the claim amounts to.
        source: where `expected` comes from: "the paper", "its published code", or "derived, works (8.3)".
        bound: whether what is found must be near `expected`, below it or above it.
        tolerance: largest |found − expected| (for "near").
        relative: whether the tolerance is relative to |expected|.
        measure: name of the paper's method that finds the number.
        needs: module outside the base installation that the experiment imports; "" if none.
    """

    key: str
    sentence: str
    place: str
    expected: float
    source: str
    bound: Bound
    tolerance: float
    relative: bool
    measure: str
    needs: str = ""

    @property
    def available(self) -> bool:
        """Whether the module that the experiment needs is installed."""
        return not self.needs or importlib.util.find_spec(self.needs) is not None

    def agrees(self, found: float) -> bool:
        """Tell whether a number that was found agrees with the claim; NaN never does."""
        if self.bound == "below":
            return found < self.expected
        if self.bound == "above":
            return found > self.expected
        allowed = self.tolerance * (abs(self.expected) if self.relative else 1.0)
        return abs(found - self.expected) <= allowed

    @property
    def expectation(self) -> str:
        """What is expected, as text: "≈ 0.5 ± 0.01"."""
        if self.bound != "near":
            return f"{_SIGNS[self.bound]} {self.expected:.4g}"
        share = f"{self.tolerance:.2g}" if not self.relative else f"{100 * self.tolerance:.2g} %"
        return f"{self.expected:.6g} ± {share}"


def claim(
    key: str,
    sentence: str,
    *,
    place: str,
    expected: float,
    source: str,
    bound: Bound = "near",
    tolerance: float = 0.0,
    relative: bool = False,
    needs: str = "",
) -> Callable[[Callable[[Any], float]], Callable[[Any], float]]:
    """Make a method of a `Paper` the measurement of a claim; arguments as the attributes of `Claim`."""

    def mark(method: Callable[[Any], float]) -> Callable[[Any], float]:
        name = method.__name__
        described = Claim(key, sentence, place, expected, source, bound, tolerance, relative, name, needs)
        setattr(method, _MARK, described)
        return method

    return mark


@dataclass(frozen=True)
class Finding:
    """What an experiment found for one claim.

    Attributes:
        claim: the claim.
        found: the number.
        seconds: how long it took, the experiments that it was first to need included.
    """

    claim: Claim
    found: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether it agrees."""
        return self.claim.agrees(self.found)


@dataclass(frozen=True)
class Paper(abc.ABC):
    """A published work as runnable, checked experiments; its fields are the settings.

    A subclass states `key`, `title`, `citation` (a key of references.bib), `summary`, `seconds` (of the default
    settings on two cores) and `left_out`, implements `figure`, and marks its measurements with `claim`.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    citation: ClassVar[str]
    summary: ClassVar[str]
    seconds: ClassVar[float]
    left_out: ClassVar[str] = ""

    @classmethod
    def published(cls) -> Self:
        """Return the settings of the published size, where they are within reach; the default ones otherwise."""
        return cls()

    @classmethod
    def claims(cls) -> tuple[Claim, ...]:
        """Return all claims, in the order in which the file states them."""
        found = []
        for owner in reversed(cls.__mro__):
            found += [getattr(m, _MARK) for m in vars(owner).values() if hasattr(m, _MARK)]
        return tuple(found)

    @abc.abstractmethod
    def figure(self) -> Figure:
        """Draw what was found."""

    def reproduce(self, keys: Sequence[str] | None = None, *, progress: bool | None = None) -> Reproduction:
        """Run the experiments and check the claims.

        Args:
            keys: which claims; left out, all whose modules are installed, and the result names the others.
            progress: show a progress bar; left out, on a terminal only.

        Raises:
            InvalidArgument: a claim that the paper does not have, or one that needs a module that is not installed.
        """
        known = {c.key: c for c in self.claims()}
        asked = [] if keys is None else checks.listed("claims", keys)
        for key in asked:
            checks.choice("claim", key, list(known))
            if not known[key].available:
                raise checks.InvalidArgument(
                    "claim", "be one that can be run here", f"{key} needs {known[key].needs}", "install it"
                )
        chosen = [known[key] for key in asked] or [c for c in known.values() if c.available]
        skipped = () if asked else tuple(c for c in known.values() if not c.available)
        findings = []
        with Progress(self.key, len(chosen), progress) as bar:
            for done, one in enumerate(chosen, start=1):
                began = clock.perf_counter()
                found = float(getattr(self, one.measure)())
                findings.append(Finding(one, found, clock.perf_counter() - began))
                bar.update(done)
        return Reproduction(self, tuple(findings), skipped)

    def with_settings(self, **changes: Any) -> Self:
        """Return the same paper's experiments at other settings."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Reproduction:
    """The claims of a paper, checked; prints as a table, plots, and becomes plain data.

    Attributes:
        paper: the paper, with its settings and experiments.
        findings: one for each claim that was run.
        skipped: claims that were asked for with all others, and need a module that is not installed.
    """

    paper: Paper
    findings: tuple[Finding, ...] = field(repr=False)
    skipped: tuple[Claim, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every claim that was run agrees."""
        return all(f.passed for f in self.findings)

    def __getitem__(self, key: str) -> Finding:
        """Return what was found for a claim."""
        by_key = {f.claim.key: f for f in self.findings}
        return by_key[checks.choice("claim", key, list(by_key))]

    def __str__(self) -> str:
        """Each claim in two lines: the sentence, and found against expected."""
        lines = [f"{self.paper.key}: {self.paper.title}"]
        for f in self.findings:
            c = f.claim
            verdict = "agrees" if f.passed else "DISAGREES"
            lines.append(f"{c.key}  {c.sentence} [{c.place}]")
            lines.append(
                f"    found {f.found:.6g}, expected {c.expectation} ({c.source}): {verdict}, {f.seconds:.1f} s"
            )
        agreeing = sum(f.passed for f in self.findings)
        lines.append(f"{agreeing} of {len(self.findings)} claims agree")
        lines += [f"not run: {c.key}, which needs {c.needs}, not installed here" for c in self.skipped]
        if self.paper.left_out:
            lines.append(f"left out: {self.paper.left_out}")
        return "\n".join(lines)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON: for each claim id, expected, found, tolerance, source, passed, seconds."""
        return {
            "paper": self.paper.key,
            "title": self.paper.title,
            "passed": self.passed,
            "skipped": [{"id": c.key, "needs": c.needs} for c in self.skipped],
            "claims": [
                {
                    "id": f.claim.key,
                    "sentence": f.claim.sentence,
                    "place": f.claim.place,
                    "expected": f.claim.expected,
                    "bound": f.claim.bound,
                    "tolerance": f.claim.tolerance,
                    "relative": f.claim.relative,
                    "found": f.found if math.isfinite(f.found) else None,
                    "source": f.claim.source,
                    "passed": f.passed,
                    "seconds": round(f.seconds, 3),
                }
                for f in self.findings
            ],
        }

    def to_json(self) -> str:
        """Return `to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False)

    def to_markdown(self) -> str:
        """Return the findings as a table for a page, a row for each claim; equations are named as "works (8.3)".

        Examples:
            >>> import lindyn as ld
            >>> table = ld.reproduce("tu2024", claims=["figure-2-price"]).to_markdown()
            >>> table.splitlines()[0]
            '| claim | what is claimed | found | expected | from |'
        """
        rows = ["| claim | what is claimed | found | expected | from |", "|---|---|---|---|---|"]
        for f in self.findings:
            found = f"{f.found:.4g}" + ("" if f.passed else " (**disagrees**)")
            cells = (f.claim.key, f.claim.sentence, found, f.claim.expectation, f"{f.claim.place}; {f.claim.source}")
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(rows) + "\n"

    def plot(self) -> Figure:
        """Draw the paper's figure from the same experiments."""
        return self.paper.figure()

    def cite(self) -> str:
        """Return the BibTeX entry of the paper."""
        return cite(self.paper.citation)
