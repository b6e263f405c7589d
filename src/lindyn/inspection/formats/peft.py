"""PEFT, versions 0.2 to 0.21: `adapter_model.safetensors` with `adapter_config.json` beside it.

`<module>.lora_A.weight` (r, in) and `.lora_B.weight` (out, r), in the state of a live model with the adapter's name
before `.weight`; embeddings' factors are bare, `lora_embedding_A` (r, entries) and `lora_embedding_B` (dim, r).
`target_parameters` adapts stacked experts: A (r·E, in) with the expert as the slowest index, B (out, r·E) with it as
the fastest. Where a module has two such parameters, the wrapper of the first stands inside that of the second, under
`base_layer`.
"""

from __future__ import annotations

import re

from lindyn.inspection import recognition
from lindyn.inspection.adapter_config import CONFIG, AdapterConfig
from lindyn.inspection.arrangement import Arrangement, arrange
from lindyn.inspection.formats.layout import AdapterSource, FactorNames, Format, Scaling, unknown_scale
from lindyn.inspection.naming import plain_name
from lindyn.support import checks


class Peft(Format):
    """Adapters of PEFT, and of what saves in its layout: Axolotl, LLaMA-Factory, Unsloth, TRL, vLLM."""

    name = "PEFT"
    factors = re.compile(
        r"(?P<module>.+)\.lora_(?:(?P<kind>embedding_)(?P<side>[AB])(?:\.(?P<adapter>.+))?"
        r"|(?P<side_>[AB])(?:\.(?P<adapter_>.+?))??\.weight)"
    )
    sides = (("A", "B"),)

    def check(self, source: AdapterSource) -> None:
        """Refuse a config that is no LoRA's, and a source with neither a config nor a scale."""
        if not source.config and source.scale is None:
            raise unknown_scale(source, self.name, f"its {CONFIG}")
        if source.config:
            AdapterConfig.of(source.config)  # which refuses what is no LoRA

    def scaling(self, source: AdapterSource, names: FactorNames, rank: int) -> Scaling:
        """α/r, or α/√r, with the patterns of the config as PEFT applies them."""
        config, module = source.peft, self.arrangement(source, names)[0]
        return Scaling(config.scale_of(module), config.alpha_of(module))

    def start(self, source: AdapterSource, names: FactorNames) -> str | None:
        """`init_lora_weights`; embeddings are drawn by their own law whatever it says, except where it is false."""
        if not source.config:
            return recognition.EMBEDDING if names.embedding else None
        law = source.peft.law
        if not names.embedding or law in ("loftq", "mica"):
            return law
        return recognition.NORMAL if law == recognition.RANDOM else recognition.EMBEDDING

    def notes(self, source: AdapterSource, names: FactorNames) -> tuple[str, ...]:
        """Settings that the theory does not cover."""
        return source.peft.notes if source.config else ()

    def arrangement(self, source: AdapterSource, names: FactorNames) -> tuple[str, Arrangement]:
        """By shapes, r of the config, and whether the module's parameters are experts."""
        shapes = source.files.shape(names.first), source.files.shape(names.second)
        module = plain_name(names.module)
        if not source.config:
            return module, arrange(*shapes, module)
        config = source.peft
        parameters = _parameters(config, module)
        if parameters:
            return _expert_parameter(config, source, names, parameters)
        return module, arrange(*shapes, module, rank=config.rank_of(module))


def _unwrapped(module: str) -> str:
    return module.replace(".base_layer", "")


def _parameters(config: AdapterConfig, module: str) -> list[str]:
    """Targeted parameters of a module, `mlp.experts.gate_up_proj` for `layers.0.mlp.experts`: their full names."""
    plain, found = _unwrapped(module), []
    for target in config.target_parameters:
        owner, _, parameter = target.rpartition(".")
        if not owner or plain == owner or plain.endswith("." + owner):
            found.append(f"{plain}.{parameter}")
    return found


def _expert_parameter(
    config: AdapterConfig, source: AdapterSource, names: FactorNames, parameters: list[str]
) -> tuple[str, Arrangement]:
    """Which parameter a pair of a module with targeted parameters adapts, and its experts.

    The file does not say it, nor the number of experts E: rows of A = r·E with r of the parameter. Wrappers are nested
    in the order in which the module defines its parameters, which is that of `gate_up_proj` before `down_proj` in every
    mixture of experts of transformers; the nesting decides between parameters of equal r.
    """
    shapes = source.files.shape(names.first), source.files.shape(names.second)
    if len(parameters) == 1:
        (parameter,) = parameters
        return parameter, arrange(*shapes, parameter, rank=config.rank_of(parameter), experts=True)
    ordered = sorted(parameters, key=lambda p: ("down" in p.rpartition(".")[2], p))
    depth = plain_name(names.module).count(".base_layer")
    outermost = max(0, len(ordered) - 1 - depth)
    parameter = ordered[outermost]
    settings = {(config.rank_of(p), config.scale_of(p)) for p in parameters}
    if len(settings) > 1 and {p.rpartition(".")[2] for p in parameters} != {"gate_up_proj", "down_proj"}:
        listed = ", ".join(p.rpartition(".")[2] for p in parameters)
        raise checks.InvalidArgument(
            "source", "say which of its parameters a pair adapts",
            f"'{names.first}' may be that of {listed}, whose r or α differ",
            "name the factors with `pair` and pass `scale`",
        )  # fmt: skip
    return parameter, arrange(*shapes, parameter, rank=config.rank_of(parameter), experts=True)
