"""kohya's sd-scripts, and the tools that follow it: `lora_unet_….lora_down.weight`, `.lora_up.weight`, `.alpha`.

Dots of the module's name are flattened to underscores; `lora_te_`, `lora_te1_`, … are text encoders. s = α/r with α in
a tensor of its own for each module; where it is missing, α = r, as sd-scripts has it. A convolution's down factor is
(r, in, k, k). Musubi-tuner and ComfyUI keep the dots (`diffusion_model.….lora_down.weight`).
"""

from __future__ import annotations

import re

from lindyn.inspection import recognition
from lindyn.inspection.formats.layout import AdapterSource, FactorNames, Format, Scaling, alpha_over_rank


class Kohya(Format):
    """LoRA files of sd-scripts: networks.lora, LoRA-C3Lier, and of what saves in its layout."""

    name = "kohya"
    factors = re.compile(r"(?P<module>.+)\.lora_(?P<side>down|up)(?:\.(?P<adapter>.+?))??\.weight")
    sides = (("down", "up"),)
    law = recognition.KAIMING  # kaiming_uniform_(down, a = √5), up = 0

    def scaling(self, source: AdapterSource, names: FactorNames, rank: int) -> Scaling:
        """α/r with the module's own α; 1 where there is none."""
        alpha = f"{names.module}.alpha"
        if alpha not in source.files:
            return Scaling(1.0)
        return alpha_over_rank(source.files.number(alpha), rank)

    def notes(self, source: AdapterSource, names: FactorNames) -> tuple[str, ...]:
        """Say where α is missing."""
        if f"{names.module}.alpha" in source.files or source.scale is not None:
            return ()
        return ("there is no alpha tensor: s = 1 (α = r), as sd-scripts loads it; `scale` sets another",)
