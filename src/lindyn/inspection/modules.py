"""Factor pairs of a live PyTorch module: PEFT's LoRA layers, named pairs, linear layers that follow one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn.inspection import recognition
from lindyn.inspection.adapter_config import AdapterConfig
from lindyn.inspection.adapters import as_matrix, short_name
from lindyn.inspection.pairs import Factors, Pair, PairSpec, pairs_of, tied
from lindyn.support import checks

if TYPE_CHECKING:
    from torch import nn

_TRANSPARENT = ("Identity", "Dropout")


class ModuleTensors:
    """Parameters of a live module, under all the names they have."""

    def __init__(self, module: nn.Module):
        self._module = module
        self._parameters = dict(module.named_parameters(remove_duplicate=False))

    @property
    def names(self) -> list[str]:
        """Names of all parameters; tied ones appear under each of their names."""
        return list(self._parameters)

    def read(self, name: str, *parts: slice) -> np.ndarray:
        """Return a parameter, or the rows (and columns) asked for."""
        if name not in self._parameters:
            raise checks.InvalidArgument("source", f"have a parameter '{name}'", "it has none of that name")
        return numbers_of(self._parameters[name], name, parts)

    def between(self, first: str, second: str) -> str | None:
        """Return what keeps two layers from being a product: one tensor twice, or a module in between."""
        if first in self._parameters and self._parameters[first] is self._parameters.get(second):
            return str(tied(first, second))
        parent, _, one = first.removesuffix(".weight").rpartition(".")
        other, _, two = second.removesuffix(".weight").rpartition(".")
        container = self._module.get_submodule(parent) if parent == other else None
        if type(container).__name__ != "Sequential":
            return None
        children = dict(container.named_children())  # type: ignore[union-attr]
        order = list(children)
        if one not in order or two not in order:
            return None
        names = f"'{first}' and '{second}' are no product of two matrices"
        if order.index(one) > order.index(two):
            return f"{names}: the second comes before the first."
        for child in order[order.index(one) + 1 : order.index(two)]:
            kind = type(children[child]).__name__
            if kind not in _TRANSPARENT:
                return f"{names}: {kind} ('{'.'.join(filter(None, (parent, child)))}') lies between them."
        return None


def module_pairs(module: nn.Module, specs: list[PairSpec], scale: float | None) -> list[Pair]:
    """Return the pairs of a module: those named, else its LoRA layers, else linear layers that follow one another.

    Raises:
        InvalidArgument: there is no pair; the sentence says what came nearest.
    """
    if specs:
        tensors, config = ModuleTensors(module), getattr(module, "config", None)
        known = {} if config is None or not hasattr(config, "to_dict") else config.to_dict()
        return [pair for spec in specs for pair in pairs_of(tensors, spec, scale, known)]
    adapters = list(_lora_pairs(module, scale))
    if adapters:
        return adapters
    found: list[Pair] = []
    broken: list[str] = []
    tensors = ModuleTensors(module)
    for name, child in module.named_modules():
        if type(child).__name__ == "Sequential":
            for run in _linear_runs(name, child, broken):
                if len(run) == 2:
                    found += pairs_of(tensors, (run[0], run[1]), scale, {})
                else:
                    chain = " → ".join(run)
                    found.append(Pair(chain, partial(_refuse_chain, len(run))))
    if not found:
        raise checks.InvalidArgument(
            "source",
            "hold factor pairs: LoRA layers, or two linear layers in a row",
            broken[0] if broken else "it has none",
            "name the factors with `pair`",
        )
    return found


def numbers_of(parameter: Any, name: str, parts: tuple[slice, ...] = ()) -> np.ndarray:
    """Return a parameter's numbers as NumPy; refuse a quantised one, and one without data."""
    value = parameter.detach()
    if not value.is_floating_point() or value.element_size() < 2:
        raise checks.InvalidArgument(
            "source", "hold fp64, fp32, fp16 or bf16 factors", f"'{name}' is of type {value.dtype}, a quantised tensor"
        )
    if value.is_meta:
        raise checks.InvalidArgument(
            "source", "hold numbers", f"'{name}' is on the meta device", "load the weights first"
        )
    value = (value[parts] if parts else value).cpu()
    return np.asarray((value.float() if value.element_size() == 2 else value).numpy())


def _lora_pairs(module: nn.Module, scale: float | None) -> Iterator[Pair]:
    configs = getattr(module, "peft_config", {})
    layers = [(name, m) for name, m in module.named_modules() if hasattr(m, "lora_A") and hasattr(m, "scaling")]
    found = []
    for name, layer in layers:
        for first, second, embedding in (("lora_A", "lora_B", False), ("lora_embedding_A", "lora_embedding_B", True)):
            for adapter, one in getattr(layer, first, {}).items():
                two = getattr(layer, second)[adapter]
                weights = (one, two) if embedding else (one.weight, two.weight)
                found.append((name, adapter, weights, layer, embedding))
    several = len({adapter for _, adapter, *_ in found}) > 1
    users = Counter(id(weight) for _, _, weights, *_ in found for weight in weights)
    for name, adapter, weights, layer, embedding in found:
        config = configs.get(adapter) if isinstance(configs, dict) else None
        known = None if config is None else AdapterConfig.of(_plain(config))
        law = None if known is None else known.law
        yield Pair(
            name=short_name(name) + (f" [{adapter}]" if several else ""),
            load=partial(_load, name, weights, layer, adapter, scale, shared=max(users[id(w)] for w in weights) > 1),
            law=recognition.EMBEDDING if embedding and law == recognition.KAIMING else law,
            notes=() if known is None else known.notes,
        )


def _load(
    name: str, weights: tuple[Any, Any], layer: Any, adapter: str, scale: float | None, *, shared: bool
) -> Factors:
    if shared:
        raise tied(f"a factor of {name}", "one of another layer")
    first, second = (numbers_of(weight, f"{name}.{side}") for weight, side in zip(weights, "AB", strict=True))
    s = float(layer.scaling[adapter]) if scale is None else scale
    return Factors(as_matrix(first, 0), as_matrix(second, 1), s, float(layer.lora_alpha[adapter]))


def _plain(config: Any) -> dict[str, Any]:
    content = dict(config.to_dict())
    return {**content, "peft_type": str(getattr(content.get("peft_type"), "value", content.get("peft_type")))}


def _linear_runs(name: str, container: Any, broken: list[str]) -> Iterator[list[str]]:
    """Names of linear layers that follow one another with nothing in between, two or more at a time."""
    run: list[str] = []
    last: tuple[str, str] | None = None
    for child, layer in container.named_children():
        path, kind = ".".join(filter(None, (name, child))), type(layer).__name__
        if kind == "Linear":
            if not run and last is not None:
                broken.append(f"{last[1]} lies between '{last[0]}' and '{path}'")
            run.append(path)
        elif kind not in _TRANSPARENT:
            last = (run[-1], kind) if run else None
            if len(run) > 1:
                yield run
            run = []
    if len(run) > 1:
        yield run


def _refuse_chain(count: int) -> Factors:
    raise checks.InvalidArgument.sentence(
        f"{count} linear layers in a row are a product of {count} matrices, not of two: name two of them as a pair "
        "only if the others are frozen."
    )
