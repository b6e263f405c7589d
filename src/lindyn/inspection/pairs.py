"""Pairs of factors, and how a user names them: `first=…,second=…`, with patterns, slices and transposition."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from lindyn.inspection.naming import module_kind, plain_name
from lindyn.inspection.products import Context, no_product
from lindyn.support import checks

PairSpec = str | tuple[str, str]


class Tensors(Protocol):
    """Named tensors: of files, or of a live module."""

    @property
    def names(self) -> list[str]:
        """All names."""

    def read(self, name: str, *parts: slice) -> np.ndarray:
        """Return a tensor, or the rows (and columns) asked for; refuse one that is missing or quantised."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape; refuse one that is missing."""

    def between(self, first: str, second: str) -> str | None:
        """Return the reason why two layers do not form a product, where the container knows how they are joined."""


class Factors(NamedTuple):
    """W1 (r, d_in), W2 (d_out, r) and s of a product s W2 W1; α where the adapter has one."""

    first: Any
    second: Any
    scale: float
    alpha: float | None = None


@dataclass(frozen=True)
class Pair:
    """A pair that is still to be read; of a file or of a live model.

    Attributes:
        name: how it is reported.
        load: reads the factors; raises InvalidArgument where they are not such a product.
        law: start named by a config, see `lindyn.inspection.recognition`.
        notes: what the theory does not cover here.
        labelled: whether modes may be called lazy or active; not so for a pretrained model's attention (2.9).
        module: the adapted module without wrappers' prefixes (`plain_name`); empty for a pair named by the user.
        adapter: name of the adapter that it belongs to, empty where nothing says one.
        expert: its number among stacked experts.
        parameters: returns the two live parameters, for their learning rates; None for a pair of a file.
    """

    name: str
    load: Callable[[], Factors]
    law: str | None = None
    notes: tuple[str, ...] = ()
    labelled: bool = True
    module: str = ""
    adapter: str = ""
    expert: int | None = None
    parameters: Callable[[], tuple[Any, ...]] | None = None

    @property
    def kind(self) -> str:
        """Kind of the adapted module: q, k, v, o, gate, up, down, …; of both factors for a pair named by the user."""
        return "→".join(module_kind(name) for name in (self.module or self.name).split(" → "))


def pair_name(module: str, adapter: str = "", expert: int | None = None) -> str:
    """Return the name under which a pair is reported.

    Examples:
        >>> pair_name("layers.0.experts.down_proj", "policy", 3)
        'layers.0.experts.down_proj[3] [policy]'
    """
    return module + ("" if expert is None else f"[{expert}]") + (f" [{adapter}]" if adapter else "")


@dataclass(frozen=True)
class FactorName:
    """A tensor, or a part of it: `name`, `name[0:64]`, `name[:,0:64]`, each perhaps with `.T`; `*` stands for anything.

    Examples:
        >>> FactorName.parse("layers.*.k.weight[0:64].T")
        FactorName(pattern='layers.*.k.weight', parts=(slice(0, 64, None),), transposed=True)
    """

    pattern: str
    parts: tuple[slice, ...] = ()
    transposed: bool = False

    @staticmethod
    def parse(text: str) -> FactorName:
        """Read one factor's name."""
        transposed = text.endswith(".T")
        found = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", text.removesuffix(".T").strip())
        parts = [] if found is None or found[2] is None else found[2].split(",")
        bounds = [re.fullmatch(r"\s*(\d*)\s*:\s*(\d*)\s*", part) for part in parts]
        if found is None or len(parts) > 2 or not all(bounds):
            raise checks.InvalidArgument(
                "pair", "name tensors, with slices as in name[0:64] or name[:,0:64]", f"one factor is {text!r}"
            )
        numbers = [(int(b[1]) if b[1] else None, int(b[2]) if b[2] else None) for b in bounds if b]
        return FactorName(found[1].strip(), tuple(slice(*n) for n in numbers), transposed)

    def matches(self, name: str) -> tuple[str, ...] | None:
        """What the stars stand for in a name, or None."""
        expression = "(.*?)".join(re.escape(part) for part in self.pattern.split("*"))
        found = re.fullmatch(expression, name)
        return None if found is None else found.groups()

    def filled(self, stars: Iterable[str]) -> str:
        """The name with its stars replaced."""
        head, *rest = self.pattern.split("*")
        return head + "".join(star + part for star, part in zip(stars, rest, strict=True))

    def of(self, name: str) -> FactorName:
        """The same part of a tensor of that name."""
        return FactorName(name, self.parts, self.transposed)

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        ends = (f"{'' if p.start is None else p.start}:{'' if p.stop is None else p.stop}" for p in self.parts)
        return self.pattern + (f"[{','.join(ends)}]" if self.parts else "") + (".T" if self.transposed else "")


def parse_pair(spec: PairSpec) -> tuple[FactorName, FactorName]:
    """Read "first=…,second=…" (or a pair of names).

    Raises:
        InvalidArgument: another form, or different numbers of stars.

    Examples:
        >>> first, second = parse_pair("first=enc.*.weight,second=dec.*.weight")
        >>> str(first), second.filled(["3"])
        ('enc.*.weight', 'dec.3.weight')
    """
    if isinstance(spec, str):
        found = re.fullmatch(r"\s*first\s*=(.+?),\s*second\s*=(.+)", spec)
        texts = found.groups() if found else ()
    else:
        texts = tuple(spec)
    if len(texts) != 2 or not all(isinstance(t, str) for t in texts):
        raise checks.InvalidArgument("pair", "read first=NAME,second=NAME", f"it is {checks.shown(spec)}")
    first, second = (FactorName.parse(t.strip()) for t in texts)
    if first.pattern.count("*") != second.pattern.count("*"):
        raise checks.InvalidArgument(
            "pair", "have as many stars in its first name as in its second", f"it is {checks.shown(spec)}"
        )
    return first, second


def named_pairs(spec: PairSpec, names: list[str]) -> list[tuple[FactorName, FactorName]]:
    """Return the pairs that a spec stands for among names; the second of each may be missing there.

    Raises:
        InvalidArgument: no first factor of that name; the sentence lists near ones.
    """
    first, second = parse_pair(spec)
    for ending in ("", ".weight"):  # a layer's name stands for its weight
        one, two = (replace(part, pattern=part.pattern + ending) for part in (first, second))
        found = [(name, stars) for name in names if (stars := one.matches(name)) is not None]
        if found:
            return [(one.of(name), two.of(two.filled(stars))) for name, stars in found]
        # the same through what wrappers put into names; the tensors keep the names that they have
        stored = {plain_name(name): name for name in names}
        seen = [(name, stars) for name in stored if (stars := one.matches(name)) is not None]
        if seen:
            others = [two.filled(stars) for _, stars in seen]
            return [(one.of(stored[n]), two.of(stored.get(o, o))) for (n, _), o in zip(seen, others, strict=True)]
    near = difflib.get_close_matches(first.pattern, names, n=3, cutoff=0.5) or names
    raise checks.InvalidArgument(
        "pair", "name factors that are there", f"nothing is named '{first.pattern}'", f"there is {some(near)}"
    )


def pairs_of(tensors: Tensors, spec: PairSpec, scale: float | None, config: dict[str, Any]) -> list[Pair]:
    """Return the pairs that a spec names; those that do not form a product refuse when they are loaded.

    Args:
        tensors: a checkpoint, or a live module.
        spec: "first=…,second=…".
        scale: s of s W2 W1, 1 if None.
        config: the model's config, {} if there is none.

    Raises:
        InvalidArgument: a spec that cannot be read, or that names nothing.
    """
    context, known = Context(names=tensors.names, config=config), set(tensors.names)
    out = []
    for first, second in named_pairs(spec, tensors.names):
        verdict = no_product(str(first), str(second), context)
        reason = verdict.text or tensors.between(first.pattern, second.pattern)
        biases = (_hidden_bias(tensors, known, first, first=True), _hidden_bias(tensors, known, second, first=False))
        notes = () if biases == (None, None) else (_BIAS_NOTE,)
        out.append(
            Pair(
                name=f"{_layer(first)} → {_layer(second)}",
                load=partial(_load, tensors, (first, second), biases, scale, reason),
                notes=notes + verdict.notes,
                labelled=not verdict.attention,
            )
        )
    return out


def _load(
    tensors: Tensors,
    names: tuple[FactorName, FactorName],
    biases: tuple[FactorName | None, FactorName | None],
    scale: float | None,
    reason: str | None,
) -> Factors:
    if reason is not None:
        raise checks.InvalidArgument.sentence(reason)
    first, second = names
    w1, w2 = (_read(tensors, part) for part in names)
    for same in (w2, w2.T):
        if w1.shape == same.shape and np.array_equal(w1, same) and np.any(w1):
            raise tied(str(first), str(second))
    bias, own = biases
    if bias is not None:
        w1 = with_column(w1, tensors.read(bias.pattern, *bias.parts))
    if own is not None:  # of a query, whose bias meets the key's
        w2 = with_column(w2.T, tensors.read(own.pattern, *own.parts)).T
    return Factors(w1, w2, 1.0 if scale is None else scale)


def _layer(part: FactorName) -> str:
    return str(replace(part, pattern=part.pattern.removesuffix(".weight")))


_BIAS_NOTE = "the hidden bias counts as an input that is always 1: a last column of the first factor"


def tied(first: str, second: str) -> checks.InvalidArgument:
    """Build the refusal of one tensor in two places."""
    return checks.InvalidArgument(
        "pair",
        "name two factors of their own",
        f"'{first}' and '{second}' are tied, one tensor moved by both gradients at once, to which the theory of two "
        "independent layers does not apply",
    )


def some(names: list[str]) -> str:
    """Return the first names of a list as the end of a sentence."""
    if not names:
        return "nothing"
    return ", ".join(f"'{n}'" for n in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _read(tensors: Tensors, part: FactorName) -> np.ndarray:
    tensor = tensors.read(part.pattern, *part.parts)
    return tensor.T if part.transposed else tensor


def _hidden_bias(tensors: Tensors, known: set[str], part: FactorName, *, first: bool) -> FactorName | None:
    """The bias of a layer, or its slice, where it is added to the hidden units between the two factors.

    A bias has the length of its layer's output: axis 0 of nn.Linear, axis 1 of GPT-2's Conv1D. The hidden units are the
    rows of the first factor and the columns of the second.
    """
    name = part.pattern.removesuffix("weight") + "bias"
    if not part.pattern.endswith("weight") or part.pattern not in known or name not in known:
        return None
    hidden = 0 if first != part.transposed else 1
    if _output_axis(tensors, known, part.pattern, name) != hidden:
        return None
    own = part.parts[hidden : hidden + 1]
    return FactorName(name, own if own != (slice(None),) else ())


def _output_axis(tensors: Tensors, known: set[str], weight: str, bias: str) -> int:
    """The axis of a weight that its bias belongs to; of a square one, that of the layers beside it."""
    shape, length = tensors.shape(weight), tensors.shape(bias)[0]
    if len(shape) != 2 or shape[0] != shape[1]:
        return 1 if len(shape) == 2 and shape[1] == length != shape[0] else 0
    block = weight.removesuffix("weight").rstrip(".").rpartition(".")[0]
    for other in sorted(known):
        beside = other.removesuffix("weight") + "bias"
        inside = other.startswith(block + ".") and other.endswith("weight") and beside in known
        if inside and len(tensors.shape(other)) == 2 and len(set(tensors.shape(other))) == 2:
            return _output_axis(tensors, known, other, beside)
    return 0


def with_column(matrix: Any, bias: Any) -> np.ndarray:
    """Return the first factor with its bias as a last column."""
    w1 = checks.array("first", matrix, 2)
    return np.concatenate([w1, checks.array("bias", bias, 1, shape=(len(w1),))[:, None]], axis=1)
