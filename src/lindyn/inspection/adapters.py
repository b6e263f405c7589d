"""LoRA adapters as PEFT saves them: which tensors make a pair, its scale s, and how it was started."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from lindyn.inspection import recognition
from lindyn.inspection.adapter_config import CONFIG, AdapterConfig
from lindyn.inspection.files import TensorFiles, read_json
from lindyn.inspection.naming import plain_name
from lindyn.inspection.pairs import Factors, Pair, some
from lindyn.support import checks

# with the adapter's name between in the state of a live model; embeddings' factors are bare parameters
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<side>[AB])(?P<adapter>\.\w+?)??(?P<end>\.weight)?")


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
    return plain_name(module)


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
