"""loralib, and layers written after it: bare parameters `<module>.lora_A` (r, in) and `.lora_B` (out, r).

The file does not hold s = α/r; it is read from an adapter_config.json or lora_config.json beside it, or passed as
`scale`. MergedLinear, one layer of queries, keys and values, has a grouped second factor and is refused by its shapes.
A convolution's factors are (r·k, in·k) and (out·k, r·k): a product of that shape, reshaped to the kernel.
"""

from __future__ import annotations

import re

from lindyn.inspection import recognition
from lindyn.inspection.files import read_json
from lindyn.inspection.formats.layout import (
    AdapterSource,
    FactorNames,
    Format,
    Scaling,
    settings_of,
    unknown_scale,
)
from lindyn.inspection.naming import module_kind
from lindyn.support import checks

_CONFIG = "lora_config.json"


class Loralib(Format):
    """State dicts of loralib (`lora_state_dict`), saved as safetensors."""

    name = "loralib"
    factors = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])")
    sides = (("A", "B"),)

    def check(self, source: AdapterSource) -> None:
        """Refuse where α is written nowhere."""
        if source.scale is None and not self._has_alpha(source):
            raise unknown_scale(source, self.name, f"adapter_config.json or {_CONFIG} with r and lora_alpha")

    def scaling(self, source: AdapterSource, names: FactorNames, rank: int) -> Scaling:
        """α/r from a config beside the file; r is the config's, since a convolution's factors have r·k rows."""
        r, alpha = settings_of(self._with_config(source), "r|lora_r|rank", "lora_alpha|alpha")
        return Scaling(_ratio(alpha, rank if r is None else r), checks.number("lora_alpha", alpha))

    def start(self, source: AdapterSource, names: FactorNames) -> str | None:
        """Kaiming, or for an embedding, told by its name, the other way round."""
        return recognition.EMBEDDING if module_kind(names.module) == "embedding" else recognition.KAIMING

    def _has_alpha(self, source: AdapterSource) -> bool:
        return settings_of(self._with_config(source), "lora_alpha|alpha")[0] is not None

    def _with_config(self, source: AdapterSource) -> AdapterSource:
        path = source.folder / _CONFIG
        if source.config or not path.is_file():
            return source
        return AdapterSource(source.files, read_json(path), source.scale)


def _ratio(alpha: object, r: object) -> float:
    s = checks.number("lora_alpha", alpha) / checks.integer("r", r, at_least=1)
    if s == 0:
        raise checks.InvalidArgument("lora_alpha", "not be 0", "the adapter then does nothing")
    return s
