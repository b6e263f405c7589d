"""What PEFT's adapter_config.json says about the pairs: r, α, patterns for some modules, the start, exceptions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import regex

from lindyn.inspection import recognition
from lindyn.inspection.naming import plain_name
from lindyn.support import checks

CONFIG = "adapter_config.json"
# settings under which the update is no longer s·BA
_NO_PRODUCT = {
    "kasa_config": "KaSA trains a diagonal between A and B",
    "use_bdlora": "BD-LoRA makes a factor block-diagonal: grouped factors, without their slices",
    "monteclora_config": "MonteCLoRA samples random matrices between A and B",
    "use_qalora": "QA-LoRA pools groups of inputs before A",
}
_NOTES = {
    "use_dora": "DoRA rescales the columns of W + s·BA, and its magnitude is left out: the modes are those of s·BA",
    "velora_config": "VeLoRA compresses the gradient of A: the imbalance is not conserved",
    "alora_invocation_tokens": "activated LoRA: the update acts only after its invocation tokens",
    "layer_replication": "layers are replicated: one pair may act in several layers",
}
_LONGEST_MATCH = 0.5  # seconds for one pattern on one name; a usual one takes microseconds


@dataclass(frozen=True)
class AdapterConfig:
    """What adapter_config.json says about the pairs.

    Attributes:
        rank: r.
        alpha: α, negative for a negated task vector.
        rank_stabilised: whether s = α/√r, not α/r.
        rank_pattern: ranks of some modules, by regular expression.
        alpha_pattern: α of some modules, likewise.
        law: start of the pairs, one of `START_LAWS` or PEFT's own name for another.
        target_parameters: parameters adapted directly: stacked experts.
        notes: settings that the theory does not cover.
    """

    rank: int
    alpha: float
    rank_stabilised: bool = False
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    law: str = recognition.KAIMING
    target_parameters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(content: dict[str, Any]) -> AdapterConfig:
        """Read a config's content; refuse what is not LoRA, or not a product of two free layers.

        Raises:
            InvalidArgument: another kind of adapter, a missing r or α, values of another type.
        """
        check_kind(content)
        for name, reason in _NO_PRODUCT.items():
            if _is_set(content, name):
                raise checks.InvalidArgument("source", "hold plain products s·BA", f"its config sets {name}: {reason}")
        merged = content.get("enable_lora")  # of PEFT 0.1 and 0.2: which of q, k, v a merged layer adapts
        if isinstance(merged, list) and any(merged):
            raise checks.InvalidArgument(
                "source", "hold plain products s·BA",
                f"its config sets enable_lora {merged}: a merged query-key-value layer, whose second factor is grouped",
            )  # fmt: skip
        missing = next((name for name in ("r", "lora_alpha") if content.get(name) is None), None)
        if missing:
            raise checks.InvalidArgument("source", "have a config with r and lora_alpha", f"'{missing}' is not there")
        return AdapterConfig(
            rank=checks.integer("r", content["r"], at_least=1),
            alpha=_alpha("lora_alpha", content["lora_alpha"]),
            rank_stabilised=_flag(content, "use_rslora"),
            rank_pattern=_patterns(content, "rank_pattern"),
            alpha_pattern=_patterns(content, "alpha_pattern"),
            law=start_law(content.get("init_lora_weights", True)),
            target_parameters=_targets(content.get("target_parameters")),
            notes=_notes(content),
        )

    def rank_of(self, module: str) -> int:
        """Return r of a module."""
        return checks.integer("rank_pattern", self._looked_up("rank_pattern", module, self.rank), at_least=1)

    def alpha_of(self, module: str) -> float:
        """Return α of a module."""
        return _alpha("alpha_pattern", self._looked_up("alpha_pattern", module, self.alpha))

    def scale_of(self, module: str) -> float:
        """Return s of a module: α/r, or α/√r when rank-stabilised."""
        r = self.rank_of(module)
        return self.alpha_of(module) / (math.sqrt(r) if self.rank_stabilised else r)

    def _looked_up(self, which: str, module: str, default: Any) -> Any:
        """The value of the first pattern that matches the end of a module's name, as PEFT looks them up."""
        return self._patterns[which].value(plain_name(module), default)

    @cached_property
    def _patterns(self) -> dict[str, _Patterns]:
        return {name: _Patterns.of(name, getattr(self, name)) for name in ("rank_pattern", "alpha_pattern")}


@dataclass(frozen=True)
class _Patterns:
    """A mapping from regular expressions; keys that are plain names, as nearly all are, are looked up at once."""

    which: str
    plain: dict[str, tuple[int, Any]]
    regular: tuple[tuple[int, str, Any], ...]

    @staticmethod
    def of(which: str, patterns: dict[str, Any]) -> _Patterns:
        plain: dict[str, tuple[int, Any]] = {}
        regular = []
        for i, (pattern, value) in enumerate(patterns.items()):
            if re.fullmatch(r"\w+(\.\w+)*", pattern):
                plain[pattern] = i, value
            else:
                regular.append((i, pattern, value))
        return _Patterns(which, plain, tuple(regular))

    def value(self, name: str, default: Any) -> Any:
        """The value of the first key that matches the whole name, or what follows one of its dots."""
        parts = name.split(".")
        ends = (".".join(parts[i:]) for i in range(len(parts)))
        first, value = min((self.plain[end] for end in ends if end in self.plain), default=(math.inf, default))
        for i, pattern, other in self.regular:
            if i > first:
                break
            if _matches(self.which, pattern, name):
                return other
        return value


def check_kind(content: dict[str, Any]) -> None:
    """Refuse the config of another kind of adapter.

    Raises:
        InvalidArgument: `peft_type` is not LORA.
    """
    kind = str(content.get("peft_type") or "LORA")
    if kind != "LORA":
        raise checks.InvalidArgument("source", "be a LoRA adapter", f"its config says peft_type {checks.shown(kind)}")


def start_law(init: Any) -> str:
    """Return the law of PEFT's `init_lora_weights`.

    Examples:
        >>> [start_law(init) for init in (True, False, "gaussian", "pissa_niter_16", "olora", "True")]
        ['kaiming', 'random', 'gaussian', 'pissa', 'olora', 'kaiming']
    """
    name = str(init).lower()
    if init is None or name == "true":
        return recognition.KAIMING
    if name == "false":
        return recognition.RANDOM
    return recognition.PISSA if name.startswith("pissa") else name


def _is_set(content: dict[str, Any], name: str) -> bool:
    value = content.get(name)
    return _flag(content, name) if isinstance(value, str) else bool(value)


def _flag(content: dict[str, Any], name: str) -> bool:
    """A setting that is true or false, also as the word; "false" is not true because it is a text."""
    value = content.get(name)
    words = {"true": True, "false": False, "": False}
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise checks.InvalidArgument(name, "be true or false", f"it is {checks.shown(value)}")


def _alpha(name: str, value: Any) -> float:
    alpha = checks.number(name, value)
    if alpha == 0:
        raise checks.InvalidArgument(name, "not be 0", "the scale s of s·BA is then 0, and the adapter does nothing")
    return alpha


def _targets(value: Any) -> tuple[str, ...]:
    if value is None or (isinstance(value, list | tuple | set) and all(isinstance(name, str) for name in value)):
        return tuple(value or ())
    raise checks.InvalidArgument("target_parameters", "be a list of names", f"it is {checks.shown(value)}")


def _notes(content: dict[str, Any]) -> tuple[str, ...]:
    notes = [text for name, text in _NOTES.items() if _is_set(content, name)]
    dropout = checks.number("lora_dropout", content.get("lora_dropout") or 0.0, at_least=0)
    if dropout:
        notes.append(f"dropout {dropout:g}: its noise moves the imbalance, which the theory conserves")
    if content.get("init_lora_weights") == "mica":
        notes.append("MiCA freezes B: A alone learns, and the imbalance is not conserved")
    return tuple(notes)


def _patterns(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a mapping of regular expressions, or refuse what is none."""
    patterns = content.get(name) or {}
    if not isinstance(patterns, dict):
        raise checks.InvalidArgument(name, "map regular expressions to numbers", f"it is {checks.shown(patterns)}")
    try:
        for pattern, _ in patterns.items():
            if not re.fullmatch(r"[\w.]+", pattern):
                re.compile(pattern)
                regex.compile(pattern)
    except (TypeError, re.error, regex.error, RecursionError, OverflowError) as error:
        raise checks.InvalidArgument(name, "map regular expressions to numbers", checks.one_line(error)) from error
    return dict(patterns)


def _matches(which: str, pattern: str, name: str) -> bool:
    """Whether PEFT would use the pattern for a module: it matches the whole name, or what follows one of its dots."""
    try:
        found = regex.match(rf"(.*\.)?({pattern})$", name, timeout=_LONGEST_MATCH)
    except TimeoutError:
        raise checks.InvalidArgument(
            which, "hold regular expressions that can be matched",
            f"{checks.shown(pattern)} takes more than {_LONGEST_MATCH:g} s on '{name}'",
            "write it without nested repetitions, as the module's name",
        ) from None  # fmt: skip
    return found is not None
