"""LitGPT: bare parameters `<module>.lora_A` (r, in) and `.lora_B` (out, r); s = α/r from hyperparameters.yaml.

The layer of queries, keys and values (`attn.attn`, `attn.qkv`) is one merged layer: A has r rows for each of those that
are adapted, and B is grouped, so it is refused with its shapes.
"""

from __future__ import annotations

import re

from lindyn.inspection.files import yaml_numbers
from lindyn.inspection.formats.layout import AdapterSource, FactorNames, Scaling, alpha_over_rank, unknown_scale
from lindyn.inspection.formats.loralib import Loralib

_HYPERPARAMETERS = "hyperparameters.yaml"


class Litgpt(Loralib):
    """LoRA weights of LitGPT (and lit-llama, lit-gpt), saved as safetensors."""

    name = "LitGPT"

    def recognises(self, source: AdapterSource) -> bool:
        """Bare factors below `transformer.h.`, `lm_head`, or with hyperparameters.yaml beside them."""
        found = [name for name in source.files.names if self.factors.fullmatch(name)]
        beside = yaml_numbers(source.folder / _HYPERPARAMETERS, "lora_alpha")
        return bool(found) and (bool(beside) or any(re.search(r"(^|\.)transformer\.h\.\d+\.", n) for n in found))

    def check(self, source: AdapterSource) -> None:
        """Refuse where α is written nowhere."""
        beside = yaml_numbers(source.folder / _HYPERPARAMETERS, "lora_alpha")
        if source.scale is None and not beside and not self._has_alpha(source):
            raise unknown_scale(source, self.name, f"{_HYPERPARAMETERS} with lora_r and lora_alpha")

    def scaling(self, source: AdapterSource, names: FactorNames, rank: int) -> Scaling:
        """α/r from hyperparameters.yaml, or from a config."""
        found = yaml_numbers(source.folder / _HYPERPARAMETERS, "lora_r", "lora_alpha")
        if "lora_alpha" in found:
            return alpha_over_rank(found["lora_alpha"], rank, found.get("lora_r"))
        return super().scaling(source, names, rank)
