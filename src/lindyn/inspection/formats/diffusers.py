"""diffusers: `pytorch_lora_weights.safetensors`, with r and α in the header of the file.

Two schemes of names: `unet.….to_q.lora_A.weight` (from PEFT), and the older `….to_q.lora.down.weight`,
`….processor.to_q_lora.down.weight` and `….q_proj.lora_linear_layer.down.weight`; components as prefix. The header's
`lora_adapter_metadata` is a JSON object with `transformer.r`, `transformer.lora_alpha`, …; other files have a tensor
`….alpha`, or nothing: diffusers then loads them with α = r.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

from lindyn.inspection.adapter_config import AdapterConfig
from lindyn.inspection.arrangement import Arrangement, arrange
from lindyn.inspection.formats.layout import AdapterSource, FactorNames, Format, Scaling, alpha_over_rank
from lindyn.inspection.naming import plain_name
from lindyn.support import checks

_HEADER = "lora_adapter_metadata"
_COMPONENT = re.compile(r"(unet|transformer(?:_\d)?|text_encoder(?:_\d)?|prior|decoder|controlnet|vae|dit)\.(.+)")


class Diffusers(Format):
    """LoRA files of diffusers' pipelines and training scripts."""

    name = "diffusers"
    factors = re.compile(
        r"(?P<module>.+?)(?:\.lora_(?P<side>[AB])(?:\.(?P<adapter>.+?))??\.weight"
        r"|(?:\.lora|_lora\d*|\.lora_linear_layer)\.(?P<side_>down|up)\.weight)"
    )
    sides = (("A", "B"), ("down", "up"))

    def recognises(self, source: AdapterSource) -> bool:
        """By the header, by the older names, or by a component's prefix where no PEFT config stands beside."""
        if _HEADER in source.files.metadata:
            return True
        matches = [m for name in source.files.names if (m := self.factors.fullmatch(name))]
        if any(m["side_"] for m in matches):
            return True
        return not source.config and any(_COMPONENT.fullmatch(m["module"]) for m in matches)

    def scaling(self, source: AdapterSource, names: FactorNames, rank: int) -> Scaling:
        """From the header; else from the tensor `alpha` of the module; else 1, as diffusers loads the file."""
        config, module = self._config(source, names)
        if config is not None:
            return Scaling(config.scale_of(module), config.alpha_of(module))
        alpha = _alpha_name(names)
        if alpha in source.files:
            return alpha_over_rank(source.files.number(alpha), rank)
        return Scaling(1.0)

    def start(self, source: AdapterSource, names: FactorNames) -> str | None:
        """`init_lora_weights`, where the header has it."""
        config, _ = self._config(source, names)
        said = "init_lora_weights" in source.files.metadata.get(_HEADER, "")
        return config.law if config is not None and said else None

    def notes(self, source: AdapterSource, names: FactorNames) -> tuple[str, ...]:
        """Those of the header; or that s stands nowhere."""
        config, _ = self._config(source, names)
        if config is not None:
            return config.notes
        if _alpha_name(names) in source.files or source.scale is not None:
            return ()
        return ("the file says neither r nor α: s = 1 (α = r), as diffusers loads it; `scale` sets another",)

    def arrangement(self, source: AdapterSource, names: FactorNames) -> tuple[str, Arrangement]:
        """By shapes, and r of the header."""
        config, module = self._config(source, names)
        shapes = source.files.shape(names.first), source.files.shape(names.second)
        rank = None if config is None else config.rank_of(module)
        return plain_name(names.module), arrange(*shapes, plain_name(names.module), rank=rank)

    def _config(self, source: AdapterSource, names: FactorNames) -> tuple[AdapterConfig | None, str]:
        """The settings of a pair's component, and the module's name in it."""
        name, text = plain_name(names.module), source.files.metadata.get(_HEADER)
        found = _COMPONENT.fullmatch(name)
        component, module = (found[1], found[2]) if found else ("", name)
        return _settings(text, component), module


@lru_cache(maxsize=16)
def _settings(text: str | None, component: str) -> AdapterConfig | None:
    """What the header says of one component; of the file as a whole, where it names no components."""
    if text is None:
        return None
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else checks.one_line(error)
        raise checks.InvalidArgument(
            "source", f"have a readable {_HEADER} in its header", f"reading it failed: {reason}"
        ) from error
    if not isinstance(header, dict):
        raise checks.InvalidArgument("source", f"have an object as {_HEADER} in its header", "it is something else")
    own = {k.removeprefix(f"{component}."): v for k, v in header.items() if k.startswith(f"{component}.")}
    content = own or {k: v for k, v in header.items() if "." not in k}
    return AdapterConfig.of(content) if content else None


def _alpha_name(names: FactorNames) -> str:
    return f"{names.module}.alpha"
