"""LoRA adapters as PEFT saves them: which tensors make a pair, its scale s, and how it was started."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lindyn.inspection import recognition
from lindyn.inspection.files import TensorFiles, read_json
from lindyn.inspection.pairs import Factors, Pair, some
from lindyn.support import checks

CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
# with the adapter's name between in the state of a live model; embeddings' factors are bare parameters
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<side>[AB])(?P<adapter>\.\w+?)??(?P<end>\.weight)?")
# settings under which the update is no longer s·BA
_NO_PRODUCT = {
    "kasa_config": "KaSA trains a diagonal between A and B",
    "use_bdlora": "BD-LoRA makes a factor block-diagonal: grouped factors, without their slices",
    "monteclora_config": "MonteCLoRA samples random matrices between A and B",
}
_NOTES = {
    "use_dora": "DoRA rescales the columns of W + s·BA: the modes are those of s·BA before that",
    "velora_config": "VeLoRA compresses the gradient of A: the imbalance is not conserved",
}


@dataclass(frozen=True)
class AdapterConfig:
    """What adapter_config.json says about the pairs.

    Attributes:
        rank: r.
        alpha: α.
        rank_stabilised: whether s = α/√r, not α/r.
        rank_pattern: ranks of some modules, by regular expression.
        alpha_pattern: α of some modules, likewise.
        law: start of the pairs, one of `START_LAWS` or PEFT's own name for another.
        notes: settings that the theory does not cover.
    """

    rank: int
    alpha: float
    rank_stabilised: bool = False
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    law: str = recognition.KAIMING
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(content: dict[str, Any]) -> AdapterConfig:
        """Read a config's content; refuse what is no LoRA, or no product of two free factors."""
        kind = str(content.get("peft_type", "LORA"))
        if kind != "LORA":
            raise checks.InvalidArgument("source", "be a LoRA adapter", f"its config says peft_type {kind!r}")
        for name, reason in _NO_PRODUCT.items():
            if content.get(name):
                raise checks.InvalidArgument("source", "hold plain products s·BA", f"its config sets {name}: {reason}")
        notes = [text for name, text in _NOTES.items() if content.get(name)]
        dropout = checks.number("lora_dropout", content.get("lora_dropout") or 0.0, at_least=0)
        if dropout:
            notes.append(f"dropout {dropout:g}: its noise moves the imbalance, which the theory conserves")
        if content.get("init_lora_weights") == "mica":
            notes.append("MiCA freezes B: A alone learns, and the imbalance is not conserved")
        try:
            rank, alpha = content["r"], content["lora_alpha"]
        except KeyError as missing:
            raise checks.InvalidArgument(
                "source", "have a config with r and lora_alpha", f"{missing} is not there"
            ) from None
        return AdapterConfig(
            rank=checks.integer("r", rank, at_least=1),
            alpha=checks.number("lora_alpha", alpha, above=0),
            rank_stabilised=bool(content.get("use_rslora")),
            rank_pattern=_patterns(content, "rank_pattern"),
            alpha_pattern=_patterns(content, "alpha_pattern"),
            law=start_law(content.get("init_lora_weights", True)),
            notes=tuple(notes),
        )

    def rank_of(self, module: str) -> int:
        """Return r of a module."""
        return checks.integer("rank_pattern", _matching(self.rank_pattern, module, self.rank), at_least=1)

    def alpha_of(self, module: str) -> float:
        """Return α of a module."""
        return checks.number("alpha_pattern", _matching(self.alpha_pattern, module, self.alpha), above=0)

    def scale_of(self, module: str) -> float:
        """Return s of a module."""
        r = self.rank_of(module)
        return self.alpha_of(module) / (math.sqrt(r) if self.rank_stabilised else r)


def start_law(init: Any) -> str:
    """Return the law of PEFT's `init_lora_weights`.

    Examples:
        >>> [start_law(init) for init in (True, False, "gaussian", "pissa_niter_16", "olora")]
        ['kaiming', 'random', 'gaussian', 'pissa', 'olora']
    """
    if isinstance(init, bool) or init is None:
        return recognition.RANDOM if init is False else recognition.KAIMING
    name = str(init).lower()
    return recognition.PISSA if name.startswith("pissa") else name


def _patterns(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a mapping of regular expressions, or refuse what is none."""
    patterns = content.get(name) or {}
    try:
        for pattern, _ in patterns.items():
            re.compile(pattern)
    except (AttributeError, re.error) as error:
        raise checks.InvalidArgument(name, "map regular expressions to numbers", checks.one_line(error)) from error
    return dict(patterns)


def _matching(patterns: dict[str, Any], module: str, default: Any) -> Any:
    """The first pattern that matches the end of a module's name, as PEFT looks them up."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def adapter_pairs(files: TensorFiles, scale: float | None) -> list[Pair]:
    """Return the pairs of an adapter file; s from the config beside it, or as given.

    Raises:
        InvalidArgument: no config and no scale, a config that is no LoRA's, or a file without LoRA tensors.
    """
    path = files.path.parent / CONFIG
    if path.is_file():
        config: AdapterConfig | None = AdapterConfig.of(read_json(path))
    elif scale is None:
        raise checks.InvalidArgument(
            "source",
            f"have its {CONFIG} beside it",
            f"{files.path.parent} has none, and without α and r the scale s of ΔW = s·BA is unknown",
            "put it there or pass `scale`",
        )
    else:
        config = None
    out = [_pair(files, first, second, module, config, scale) for first, second, module in _named(files.names)]
    if not out:
        raise checks.InvalidArgument(
            "source",
            "hold LoRA pairs (…lora_A.weight and …lora_B.weight)",
            f"{files.path.name} holds {some(files.names)}",
            "name the factors with `pair`",
        )
    return out


def has_adapters(names: Iterable[str]) -> bool:
    """Return whether any tensor is named like a LoRA factor."""
    return any(_FACTOR.fullmatch(name) for name in names)


def short_name(module: str) -> str:
    """Return a module's name without the wrapper's prefix."""
    return module.removeprefix(_PREFIX)


def _named(names: list[str]) -> Iterable[tuple[str, str, str]]:
    """First name, second name and module of each pair, also of one with a factor missing, which is then reported."""
    seen = set()
    for name in names:
        found = _FACTOR.fullmatch(name)
        if found is None:
            continue
        kind, adapter, end = found["kind"] or "", found["adapter"] or "", found["end"] or ""
        stem = f"{found['module']}.lora_{kind}"
        if (stem, adapter) not in seen:
            seen.add((stem, adapter))
            yield f"{stem}A{adapter}{end}", f"{stem}B{adapter}{end}", short_name(found["module"])


def _pair(
    files: TensorFiles, first: str, second: str, module: str, config: AdapterConfig | None, scale: float | None
) -> Pair:
    def load() -> Factors:
        w1, w2 = as_matrix(files.read(first), 0), as_matrix(files.read(second), 1)
        if config is None:
            return Factors(w1, w2, 1.0 if scale is None else scale)
        if len(w1) != config.rank_of(module):
            raise checks.InvalidArgument(
                "source",
                f"hold factors of rank {config.rank_of(module)}, as its config says",
                f"'{first}' has {len(w1)} rows",
                "stacked factors of several heads or experts need their slices, given with `pair`",
            )
        return Factors(w1, w2, config.scale_of(module) if scale is None else scale, config.alpha_of(module))

    law = None if config is None else config.law
    if law == recognition.KAIMING and ".lora_embedding_" in first:
        law = recognition.EMBEDDING
    return Pair(name=module, load=load, law=law, notes=() if config is None else config.notes)


def as_matrix(tensor: Any, hidden_axis: int) -> Any:
    """Flatten a convolution's factor, whose hidden axis is the first (A) or second (B), to a matrix."""
    if tensor.ndim <= 2:
        return tensor
    if hidden_axis == 0:
        return tensor.reshape(tensor.shape[0], -1)
    if any(n != 1 for n in tensor.shape[2:]):
        raise checks.InvalidArgument(
            "source", "have a 1 × 1 second factor in a convolution", f"its shape is {tensor.shape}"
        )
    return tensor.reshape(tensor.shape[:2])
