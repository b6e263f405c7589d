"""What a layout of adapters answers: does it recognise a file, which tensors make a pair, what is s, what is left out.

A layout names its factors by one regular expression and says where s stands; all else is common: adapters keep their
names, stacked experts are split, tensors beside a pair are judged (a third factor between A and B refuses the pair, a
magnitude or a bias is noted), and whatever was not understood is named in the report.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn

from lindyn.inspection.adapter_config import AdapterConfig
from lindyn.inspection.arrangement import Arrangement, arrange
from lindyn.inspection.files import TensorFiles
from lindyn.inspection.naming import plain_name
from lindyn.inspection.pairs import Factors, Pair, pair_name, some
from lindyn.support import checks


@dataclass(frozen=True)
class AdapterSource:
    """A file of tensors and what was found beside it.

    Attributes:
        files: the tensors.
        config: content of adapter_config.json, {} if there is none.
        scale: s as the user gave it, or None.
    """

    files: TensorFiles
    config: dict[str, Any]
    scale: float | None

    @cached_property
    def peft(self) -> AdapterConfig:
        """The config as PEFT understands it."""
        return AdapterConfig.of(self.config)

    @property
    def folder(self) -> Path:
        """Where the file lies."""
        return self.files.path.parent


class FactorNames(NamedTuple):
    """The tensors of one pair; one of the two may be missing in the file."""

    module: str
    adapter: str
    first: str
    second: str
    embedding: bool = False


class Scaling(NamedTuple):
    """s of a pair, and α where there is one."""

    scale: float
    alpha: float | None = None


class Reading(NamedTuple):
    """What a layout has made of a file: its name, the pairs, and the tensors that it did not understand."""

    layout: str
    pairs: list[Pair]
    unread: tuple[str, ...]


# tensors that stand between A and B, or for another kind of update; the reason goes with the tensor's name
_BETWEEN = re.compile(
    r"(?:.*\.)?(?:lora_(?:mid|E|S|M|C|lambda|diag|core|sigma)\w*|\w*lora_latent\w*|lora_xs\w*|scalar)(?:\..+)?"
)
_OTHER_KINDS = (
    (re.compile(r"(.+)\.hada_\w+"), "LoHa, an elementwise product of two products"),
    (re.compile(r"(.+)\.lokr_\w+(?:\.weight)?"), "LoKr, a Kronecker product"),
    (re.compile(r"(.+)\.(?:oft_|boft_)\w+(?:\..+)?"), "OFT, a rotation of the weight"),
    (re.compile(r"(.+)\.vera_\w+(?:\..+)?"), "VeRA, diagonals around shared random matrices"),
    (re.compile(r"(.+)\.ia3_l(?:\..+)?"), "IA³, a rescaling of activations"),
    (re.compile(r"(.+)\.diff(?:_b)?"), "a full difference of the weight, without factors"),
    (re.compile(r"(.+)\.(?:a1|a2|b1|b2|bm1|bm2)\.weight"), "GLoRA, several products that depend on the weight"),
)
_MAGNITUDE = re.compile(r"(?:.*\.)?(?:lora_magnitude_vector|dora_scale|magnitude|m)(?:\..+)?")
_BIAS = re.compile(r"\w*lora\w*\.(?:.+\.)?bias")
_QUANTISED = re.compile(r"\w*lora.*[._](?:scales|biases|absmax|quant_map|quant_state.*|SCB|qweight|qzeros|g_idx)")
_DORA = "DoRA ('{}'): the magnitude is left out; the modes are those of s·BA, before the columns are rescaled"


class Format(ABC):
    """One layout of adapters.

    Attributes:
        name: how the report calls it.
        factors: full match of a factor's name, with groups `module`, `side` and perhaps `kind` (of embeddings) and
            `adapter`.
        sides: the words of the first and of the second factor, in each scheme of names.
        law: the start that its library gives every pair, or None.
    """

    name: ClassVar[str]
    factors: ClassVar[re.Pattern[str]]
    sides: ClassVar[tuple[tuple[str, str], ...]]
    law: ClassVar[str | None] = None

    def recognises(self, source: AdapterSource) -> bool:
        """Return whether the file is of this layout; by default, whether a tensor is named like its factors."""
        return any(self.factors.fullmatch(name) for name in source.files.names)

    @abstractmethod
    def scaling(self, source: AdapterSource, names: FactorNames, rank: int) -> Scaling:
        """Return s of a pair; refuse where it cannot be known."""

    def check(self, source: AdapterSource) -> None:  # noqa: B027  # most layouts have nothing to refuse
        """Refuse a whole source before its pairs are read."""

    def start(self, source: AdapterSource, names: FactorNames) -> str | None:
        """Return the law of a pair's start."""
        return self.law

    def notes(self, source: AdapterSource, names: FactorNames) -> tuple[str, ...]:
        """Return what the theory does not cover, as the config says."""
        return ()

    def arrangement(self, source: AdapterSource, names: FactorNames) -> tuple[str, Arrangement]:
        """Return the module as reported, and how its two tensors stand for products."""
        shapes = (source.files.shape(names.first), source.files.shape(names.second))
        module = plain_name(names.module)
        return module, arrange(*shapes, module)

    def read(self, source: AdapterSource) -> Reading:
        """Return the pairs of a file and the names that were not understood.

        Raises:
            InvalidArgument: nothing in it is a product of two factors; the sentence names the tensors that show it.
        """
        self.check(source)
        found, taken = self._found(source.files.names)
        rest = [name for name in source.files.names if name not in taken]
        beside = _beside({names.module for names in found}, rest)
        others = _of_other_kinds(rest)
        several = len({names.adapter for names in found}) > 1
        owners = tuple(f"{module}." for module in others)
        pairs, understood = [], {name for name in rest if name.startswith(owners)}
        for names in found:
            pairs += self._pairs(source, names, beside[names.module], understood, several=several)
        if not pairs and others:
            tensors, kind = next(iter(others.values()))
            raise checks.InvalidArgument("source", "hold plain products s·BA", f"{some(tensors)} are of {kind}")
        for module, (tensors, kind) in others.items():
            reason = f"{some(tensors)} are of {kind}: not a product s·BA"
            pairs.append(_refused(plain_name(module), checks.InvalidArgument.sentence(f"{reason}.")))
        return Reading(self.name, pairs, tuple(name for name in rest if name not in understood))

    def _found(self, names: list[str]) -> tuple[list[FactorNames], set[str]]:
        """Both names of each pair, also of one with a factor missing, which is then reported."""
        found: dict[tuple[str, str], FactorNames] = {}
        taken = set()
        for name in names:
            match = self.factors.fullmatch(name)
            if match is None:
                continue
            taken.add(name)
            # a pattern of two schemes has the groups of its second with an underscore
            groups = {key.rstrip("_"): (key, text) for key, text in match.groupdict().items() if text is not None}
            key, side = groups["side"]
            start, end = match.span(key)
            sides = next(pair for pair in self.sides if side in pair)
            first, second = (name[:start] + word + name[end:] for word in sides)
            adapter = groups.get("adapter", ("", ""))[1]
            names_of = FactorNames(groups["module"][1], adapter, first, second, "kind" in groups)
            found.setdefault((first, second), names_of)
        return list(found.values()), taken

    def _pairs(
        self, source: AdapterSource, names: FactorNames, beside: list[str], understood: set[str], *, several: bool
    ) -> list[Pair]:
        module, adapter = plain_name(names.module), names.adapter
        known = partial(pair_name, adapter=adapter if several else "")
        try:
            notes = self._judged(source, names, beside, understood)
            module, arrangement = self.arrangement(source, names)
            law, notes = self.start(source, names), notes + self.notes(source, names)
        except checks.InvalidArgument as error:
            return [_refused(known(module), error, module, adapter)]
        experts: Iterable[int | None] = (None,) if arrangement.experts is None else range(arrangement.experts)
        return [
            Pair(
                name=known(module, expert=expert),
                load=partial(self._load, source, names, arrangement, expert),
                law=law,
                notes=notes,
                module=module,
                adapter=adapter,
                expert=expert,
            )
            for expert in experts
        ]

    def _load(self, source: AdapterSource, names: FactorNames, arrangement: Arrangement, expert: int | None) -> Factors:
        read: Callable[[str], Any] = source.files.read if expert is None else source.files.whole
        first, second = arrangement.select(read(names.first), read(names.second), expert)
        if source.scale is not None:
            return Factors(first, second, source.scale)
        return Factors(first, second, *self.scaling(source, names, arrangement.rank))

    def _judged(
        self, source: AdapterSource, names: FactorNames, beside: list[str], understood: set[str]
    ) -> tuple[str, ...]:
        """Notes on the tensors beside a pair; one between the two factors refuses the pair."""
        notes = []
        for name in beside:
            end = name[len(names.module) + 1 :]
            if _QUANTISED.fullmatch(end):
                understood.add(name)
                raise checks.InvalidArgument(
                    "source", "hold fp64, fp32, fp16 or bf16 factors", f"'{name}' belongs to a quantised tensor",
                    "save the factors unquantised",
                )  # fmt: skip
            if _BETWEEN.fullmatch(end) or self._is_small(source, names, name):
                understood.add(name)
                raise checks.InvalidArgument(
                    "source", "hold products of two factors", f"'{name}' is a third factor beside A and B",
                    "the modes of s·BA alone would be wrong",
                )  # fmt: skip
            if _MAGNITUDE.fullmatch(end):
                notes.append(_DORA.format(end))
            elif _BIAS.fullmatch(end):
                notes.append("the adapter's bias is left out: it shifts the output and is no part of s·BA")
            elif end != "alpha":
                continue
            understood.add(name)
        return tuple(notes)

    def _is_small(self, source: AdapterSource, names: FactorNames, name: str) -> bool:
        """Whether an unknown tensor named after LoRA is of the hidden space alone: r, r × 1, r × r."""
        end = name[len(names.module) + 1 :]
        if "lora" not in end.lower() or _MAGNITUDE.fullmatch(end) or _BIAS.fullmatch(end):
            return False
        rank, shape = min(source.files.shape(names.first)[:2]), source.files.shape(name)
        return rank in shape and all(n in (1, rank) for n in shape)


def settings_of(source: AdapterSource, *names: str) -> tuple[Any, ...]:
    """Return numbers of the config under the first name that it has, each given as "r|rank"; None where it has none."""
    found = ((source.config[n] for n in name.split("|") if source.config.get(n) is not None) for name in names)
    return tuple(next(values, None) for values in found)


def alpha_over_rank(alpha: Any, rank: int, declared: Any = None) -> Scaling:
    """Return s = α/r, and refuse a declared r that the tensors do not have."""
    if declared is not None and checks.integer("r", declared, at_least=1) != rank:
        raise checks.InvalidArgument(
            "source", f"hold factors of rank {declared}, as its config says", f"one has rank {rank}"
        )
    value = checks.number("alpha", alpha)
    if value == 0:
        raise checks.InvalidArgument("alpha", "not be 0", "the scale s of s·BA is then 0, and the adapter does nothing")
    return Scaling(value / rank, value)


def unknown_scale(source: AdapterSource, layout: str, where: str) -> checks.InvalidArgument:
    """Build the refusal of a source whose s is written nowhere."""
    return checks.InvalidArgument(
        "source", f"have {where} beside it",
        f"{source.folder} has none, and without α and r the scale s of ΔW = s·BA is unknown in the layout of {layout}",
        "put it there or pass `scale`",
    )  # fmt: skip


def _beside(modules: set[str], names: list[str]) -> dict[str, list[str]]:
    """The tensors below each module that has a pair, other than its factors."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        parent = name
        while parent:
            parent = parent.rpartition(".")[0]
            if parent in modules:
                found[parent].append(name)
                break
    return found


def _of_other_kinds(names: list[str]) -> dict[str, tuple[list[str], str]]:
    """Module → its tensors of a kind of update that is not a product of two factors, and what that is."""
    found: dict[str, tuple[list[str], str]] = {}
    for name in names:
        for pattern, kind in _OTHER_KINDS:
            match = pattern.fullmatch(name)
            if match:
                found.setdefault(match[1], ([], kind))[0].append(name)
                break
    return found


def _refused(name: str, error: checks.InvalidArgument, module: str = "", adapter: str = "") -> Pair:
    def refuse() -> NoReturn:
        raise error

    return Pair(name=name, load=refuse, module=module or name, adapter=adapter)
