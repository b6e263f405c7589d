"""LyCORIS: LoCon without a third factor, in kohya's layout; LoHa, LoKr, OFT, … are refused by name.

`alpha` already holds what rank stabilisation changes, and `lora_up` the trained scalar; a Tucker decomposition has a
third factor, `lora_mid`.
"""

from __future__ import annotations

from lindyn.inspection.formats.kohya import Kohya
from lindyn.inspection.formats.layout import AdapterSource

_OWN = ("hada_", "lokr_", "lora_mid", "oft_", "glora_")


class Lycoris(Kohya):
    """Files of LyCORIS' modules."""

    name = "LyCORIS"

    def recognises(self, source: AdapterSource) -> bool:
        """By the header's `ss_network_module`, by the prefix `lycoris_`, or by tensors of its own algorithms."""
        if "lycoris" in source.files.metadata.get("ss_network_module", ""):
            return True
        return any(
            name.startswith("lycoris_") or name.rpartition(".")[2].startswith(_OWN) or ".lora_mid" in name
            for name in source.files.names
        )
