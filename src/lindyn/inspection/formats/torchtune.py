"""torchtune: `<module>.lora_a.weight` (r, in) and `.lora_b.weight` (out, r), s = α/r.

r and α stand in the adapter_config.json that it writes for PEFT, or in torchtune_config.yaml (`lora_rank`,
`lora_alpha`). DoRA adds `<module>.magnitude`.
"""

from __future__ import annotations

import re
from typing import Any

from lindyn.inspection import recognition
from lindyn.inspection.files import yaml_numbers
from lindyn.inspection.formats.layout import (
    AdapterSource,
    FactorNames,
    Format,
    Scaling,
    alpha_over_rank,
    settings_of,
    unknown_scale,
)

_RECIPE = "torchtune_config.yaml"


class Torchtune(Format):
    """Adapter weights in torchtune's own names."""

    name = "torchtune"
    factors = re.compile(r"(?P<module>.+)\.lora_(?P<side>[ab])\.weight")
    sides = (("a", "b"),)
    law = recognition.KAIMING

    def check(self, source: AdapterSource) -> None:
        """Refuse where α is written nowhere."""
        if source.scale is None and self._settings(source)[1] is None:
            raise unknown_scale(source, self.name, f"adapter_config.json or {_RECIPE} with lora_alpha")

    def scaling(self, source: AdapterSource, names: FactorNames, rank: int) -> Scaling:
        """α/r."""
        declared, alpha = self._settings(source)
        return alpha_over_rank(alpha, rank, declared)

    def _settings(self, source: AdapterSource) -> tuple[Any, Any]:
        """r and α from the config, or from the recipe beside the weights or one folder up."""
        declared, alpha = settings_of(source, "r|lora_rank|rank", "lora_alpha|alpha")
        if alpha is not None:
            return declared, alpha
        for folder in (source.folder, source.folder.parent):
            found = yaml_numbers(folder / _RECIPE, "lora_rank", "lora_alpha")
            if "lora_alpha" in found:
                return found.get("lora_rank"), found["lora_alpha"]
        return None, None
