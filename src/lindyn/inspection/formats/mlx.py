"""MLX (mlx-lm): `adapters.safetensors`, factors stored transposed, s as a number in `lora_parameters`.

`<module>.lora_a` (in, r) and `.lora_b` (r, out); experts `lora_a` (E, r, in), `lora_b` (E, out, r), in older versions
`lora_a` (E·r, in). adapter_config.json has `lora_parameters`: {"rank", "scale"}; the first versions multiplied `scale`
by `alpha`/`rank`.
"""

from __future__ import annotations

import re
from typing import Any

from lindyn.inspection import recognition
from lindyn.inspection.adapter_config import CONFIG
from lindyn.inspection.arrangement import Arrangement, arrange
from lindyn.inspection.formats.layout import AdapterSource, FactorNames, Format, Scaling, unknown_scale
from lindyn.inspection.naming import plain_name
from lindyn.support import checks


class Mlx(Format):
    """Adapters of mlx-lm and of what saves in its layout."""

    name = "MLX"
    factors = re.compile(r"(?P<module>.+)\.lora_(?P<side>[ab])")
    sides = (("a", "b"),)
    law = recognition.KAIMING  # uniform ±1/√in, the other zero; also for embeddings

    def check(self, source: AdapterSource) -> None:
        """Refuse where s is written nowhere."""
        kind = source.config.get("fine_tune_type", "lora")
        if kind not in ("lora", "dora"):
            raise checks.InvalidArgument("source", "be a LoRA adapter", f"its config says fine_tune_type {kind!r}")
        if source.scale is None and not self._parameters(source):
            raise unknown_scale(source, self.name, f"{CONFIG} with lora_parameters")

    def scaling(self, source: AdapterSource, names: FactorNames, rank: int) -> Scaling:
        """The scale of the config, times α/r where the config has α too."""
        found = self._parameters(source)
        alpha, scale = found.get("alpha"), found.get("scale")
        if alpha is None and scale is None:
            raise checks.InvalidArgument("source", "have a config with lora_parameters.scale", "it is not there")
        s = 1.0 if scale is None else checks.number("scale", scale)
        if alpha is not None:
            s *= checks.number("alpha", alpha) / checks.integer("rank", found.get("rank", rank), at_least=1)
        if s == 0:
            raise checks.InvalidArgument("scale", "not be 0", "the adapter then does nothing")
        return Scaling(s)

    def notes(self, source: AdapterSource, names: FactorNames) -> tuple[str, ...]:
        """Dropout, whose noise moves the imbalance."""
        dropout = checks.number("dropout", self._parameters(source).get("dropout") or 0.0, at_least=0)
        return (f"dropout {dropout:g}: its noise moves the imbalance, which the theory conserves",) if dropout else ()

    def arrangement(self, source: AdapterSource, names: FactorNames) -> tuple[str, Arrangement]:
        """Transposed matrices, or experts, which are not transposed."""
        first, second = source.files.shape(names.first), source.files.shape(names.second)
        module = plain_name(names.module)
        if len(first) == len(second) == 2:
            rank = self._parameters(source).get("rank")
            rank = None if rank is None else checks.integer("rank", rank, at_least=1)
            plain = arrange(first[::-1], second[::-1], module, rank=rank)
            return module, Arrangement("transposed", plain.rank)
        return module, arrange(first, second, module)

    def _parameters(self, source: AdapterSource) -> dict[str, Any]:
        found = source.config.get("lora_parameters")
        return found if isinstance(found, dict) else {}
