"""Factor pairs of a live PyTorch module: LoRA layers, named pairs, linear layers that follow one another.

A pair is found once and read again at every `load` by its path from the module that was given, so that a tracker sees
the parameter or layer that stands there now, and not the one that stood there when it was made.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lindyn.inspection import recognition
from lindyn.inspection.adapter_config import AdapterConfig
from lindyn.inspection.arrangement import arrange
from lindyn.inspection.naming import plain_name
from lindyn.inspection.pairs import FactorName, Factors, Pair, PairSpec, named_pairs, pair_name, pairs_of, some, tied
from lindyn.networks.live_layers import (
    LoraLayer,
    lora_layers,
    memory_of,
    numbers,
    share_memory,
    stored,
    walk,
)
from lindyn.support import checks

if TYPE_CHECKING:
    from torch import nn

_TRANSPARENT = ("Identity", "Dropout")


class _Place(NamedTuple):
    """Where a parameter stands: path of the module that has it, and its attribute there."""

    path: str
    attribute: str


class ModuleTensors:
    """Parameters of a live module, under all the names they have, wrappers left out."""

    def __init__(self, module: nn.Module):
        self._module = module
        self._places: dict[str, _Place] = {}
        for path, seen, child in walk(module, repeated=True):
            own = [name for name, _ in child.named_parameters(recurse=False, remove_duplicate=False)]
            # a computed weight (weight norm, pruning) is named too, so that its pair can be refused by name
            computed = [] if "weight" in own or not _is_layer(child) else ["weight"]
            for name in (*computed, *own):
                self._places[f"{seen}.{name}" if seen else name] = _Place(path, name)

    @property
    def names(self) -> list[str]:
        """Names of all parameters; tied ones appear under each of their names."""
        return list(self._places)

    def read(self, name: str, *parts: slice) -> np.ndarray:
        """Return a parameter as it is now, or the rows (and columns) asked for."""
        return numbers(self._parameter(name), name, parts)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a parameter's shape."""
        return tuple(self._parameter(name).shape)

    def between(self, first: str, second: str) -> str | None:
        """Return what keeps two layers from being a product: one tensor twice, or a module in between."""
        if first != second and all(name in self._places for name in (first, second)):
            try:
                if share_memory(self._parameter(first), self._parameter(second)):
                    return str(tied(first, second))
            except checks.InvalidArgument as error:
                return str(error)
        return self._module_between(first.removesuffix(".weight"), second.removesuffix(".weight"))

    def other_head(self, first: FactorName, second: FactorName) -> str | None:
        """Return why slices of an `nn.MultiheadAttention` are not one head's value and output, None if they are.

        The rows of `in_proj_weight` are those of all queries, then all keys, then all values.
        """
        from torch import nn

        place = self._places.get(first.pattern)
        owner = None if place is None else self._module.get_submodule(place.path)
        fused = first.pattern.endswith("in_proj_weight") and second.pattern.endswith("out_proj.weight")
        if not fused or not isinstance(owner, nn.MultiheadAttention):
            return None
        size, width = owner.head_dim, owner.embed_dim
        heads = [slice(h * size, (h + 1) * size) for h in range(owner.num_heads)]
        values = [slice(2 * width + h.start, 2 * width + h.stop) for h in heads]
        rows = first.parts[0] if len(first.parts) == 1 and not first.transposed else None
        columns = second.parts[1] if len(second.parts) == 2 and not second.transposed else None
        if rows in values and columns == heads[values.index(rows)]:
            return None
        return (
            f"'{first}' and '{second}' do not form a product of two matrices: of {owner.num_heads} heads of {size}, "
            f"the values of head 0 are {first.pattern}[{2 * width}:{2 * width + size}], and its output is "
            f"{second.pattern}[:,0:{size}]."
        )

    def parameters(self, *names: str) -> tuple[Any, ...]:
        """Return parameters as they are now."""
        return tuple(map(self._parameter, names))

    def _parameter(self, name: str) -> Any:
        if name not in self._places:
            raise checks.InvalidArgument("source", f"have a parameter '{name}'", "it has none of that name")
        place = self._places[name]
        return stored(_submodule(self._module, place.path, name), name.rpartition(".")[0] or "it", place.attribute)

    def _module_between(self, first: str, second: str) -> str | None:
        parent, _, one = first.rpartition(".")
        other, _, two = second.rpartition(".")
        around = [child for _, seen, child in walk(self._module) if seen == parent and _is_sequence(child)]
        if parent != other or not around:
            return None
        container = around[0]
        children = dict(container.named_children())
        order = list(children)
        if one not in order or two not in order:
            return None
        names = f"'{first}.weight' and '{second}.weight' do not form a product of two matrices"
        if order.index(one) > order.index(two):
            return f"{names}: the second comes before the first."
        for child in order[order.index(one) + 1 : order.index(two)]:
            kind = _kind(_within(children[child]))
            if kind not in _TRANSPARENT:
                return f"{names}: {kind} ('{'.'.join(filter(None, (parent, child)))}') lies between them."
        return None


def module_pairs(module: nn.Module, specs: list[PairSpec], scale: float | None) -> list[Pair]:
    """Return the pairs of a module: those named, else its LoRA layers, else linear layers that follow one another.

    Raises:
        InvalidArgument: there is no pair; the sentence says what came nearest.
    """
    if specs:
        tensors, config = ModuleTensors(module), _model_config(module)
        return [p for spec in specs for p in _named(tensors, _without_wrappers(spec), scale, config)]
    adapters = list(_lora_pairs(module, scale))
    if adapters:
        return adapters
    tensors = ModuleTensors(module)
    found: list[Pair] = []
    for run in linear_runs(module):
        if len(run) == 2:
            found += _named(tensors, (run[0], run[1]), scale, {})
        else:
            found.append(Pair(" → ".join(run), partial(_refuse_chain, len(run))))
    return found


def _named(tensors: ModuleTensors, spec: PairSpec, scale: float | None, config: dict[str, Any]) -> list[Pair]:
    names = named_pairs(spec, tensors.names)
    found = pairs_of(tensors, spec, scale, config)
    out = []
    for pair, (first, second) in zip(found, names, strict=True):
        reason = tensors.other_head(first, second)
        load = pair.load if reason is None else partial(_refuse, reason)
        out.append(replace(pair, load=load, parameters=partial(tensors.parameters, first.pattern, second.pattern)))
    return out


def _refuse(reason: str) -> Factors:
    raise checks.InvalidArgument.sentence(reason)


def linear_runs(module: nn.Module) -> list[list[str]]:
    """Return the names of linear layers that follow one another in an `nn.Sequential`, two or more at a time.

    Raises:
        InvalidArgument: there are none; the sentence says what came nearest.
    """
    broken: list[str] = []
    runs = [run for _, name, child in walk(module) if _is_sequence(child) for run in _linear_runs(name, child, broken)]
    if not runs:
        raise checks.InvalidArgument(
            "source",
            "hold factor pairs: LoRA layers, or two linear layers in a row",
            broken[0] if broken else _attributes_that_chain(module) or "it has none",
            "name the factors with `pair`",
        )
    return runs


def linear_runs_with_relu(module: nn.Module) -> list[tuple[str, str, str]]:
    """Return linear layers that follow one another in an `nn.Sequential`: both names, and "linear" or "ReLU" between.

    Raises:
        InvalidArgument: there are none.
    """
    out: list[tuple[str, str, str]] = []
    for _, name, container in walk(module):
        last: str | None = None
        across = "linear"
        for child, element in container.named_children() if _is_sequence(container) else ():
            path, kind = ".".join(filter(None, (name, child))), _kind(_within(element))
            if kind == "Linear":
                if last is not None:
                    out.append((last, path, across))
                last, across = path, "linear"
            elif kind == "ReLU" and across == "linear":
                across = "ReLU"
            elif kind not in _TRANSPARENT:
                last = None
    if not out:
        raise checks.InvalidArgument(
            "model", "hold linear layers in a row, with a ReLU or nothing between them", "it holds none"
        )
    return out


def linear_pairs(module: nn.Module, spec: PairSpec | None) -> list[tuple[str, str]]:
    """Return the names of pairs of whole linear layers: those that `spec` names, or those in a row.

    Raises:
        InvalidArgument: none, parts or transposes of layers, or layers that do not form a product.
    """
    if spec is None:
        runs = linear_runs(module)
        long = next((run for run in runs if len(run) != 2), None)
        if long is not None:
            raise checks.InvalidArgument("source", "hold two linear layers in a row", f"{' → '.join(long)} are more")
        return [(one, two) for one, two in runs]
    tensors, out = ModuleTensors(module), []
    for first, second in named_pairs(_without_wrappers(spec), tensors.names):
        reason = tensors.between(first.pattern, second.pattern)
        if reason is not None:
            raise checks.InvalidArgument.sentence(reason)
        for part in (first, second):
            if part.parts or part.transposed or not part.pattern.endswith("weight"):
                raise checks.InvalidArgument("pair", "name whole linear layers", f"it names '{part}'")
        out.append((_owner(first.pattern), _owner(second.pattern)))
    return out


def _owner(name: str) -> str:
    return name.removesuffix("weight").removesuffix(".")


def without(found: list[Any], leave_out: str | Sequence[str], names_of: Callable[[Any], tuple[str, ...]]) -> list[Any]:
    """Return what is found without what is to be left out, by name or pattern ("*.embed_tokens").

    Raises:
        InvalidArgument: a name or pattern that nothing has.
    """
    for pattern in [leave_out] if isinstance(leave_out, str) else checks.listed("leave_out", leave_out):
        checks.text("leave_out", pattern)
        kept = [each for each in found if not any(n == pattern or fnmatchcase(n, pattern) for n in names_of(each))]
        if len(kept) == len(found):
            known = some([names_of(each)[0] for each in found])
            raise checks.InvalidArgument(
                "leave_out", "name what is there", f"nothing is named {pattern!r}", f"there is {known}"
            )
        found = kept
    return found


def _lora_pairs(module: nn.Module, scale: float | None) -> Iterator[Pair]:
    found = lora_layers(module)
    several = len({layer.adapter for layer in found}) > 1
    users = Counter(key for layer in found for key in _memories(layer))
    known: dict[int, AdapterConfig] = {}
    for layer in found:
        config = None
        if layer.config is not None:
            config = known.setdefault(id(layer.config), AdapterConfig.of(plain_config(layer.config)))
        shared = any(users[key] > 1 for key in _memories(layer))
        law = None if config is None else config.law
        shown = layer.adapter if several else ""
        module_name = layer.name or type(layer.layer).__name__
        pair = Pair(
            name=pair_name(module_name, shown),
            load=partial(_load, module, layer, scale, shared=shared),
            law=recognition.EMBEDDING if layer.is_embedding and law == recognition.KAIMING else law,
            notes=_notes(layer) if config is None else config.notes,
            module=layer.name,
            adapter=layer.adapter,
            parameters=partial(_parameters, module, layer),
        )
        if layer.experts == 1:
            yield pair
            continue
        for expert in range(layer.experts):
            load = partial(_load, module, layer, scale, shared=shared, expert=expert)
            yield replace(pair, name=pair_name(module_name, shown, expert), load=load, expert=expert)


def _parameters(module: nn.Module, found: LoraLayer) -> tuple[Any, Any]:
    return replace(found, layer=_submodule(module, found.path, found.name)).factors()


def _memories(layer: LoraLayer) -> list[tuple[int, int, int]]:
    try:
        return [key for key in map(memory_of, layer.factors()) if key is not None]
    except checks.InvalidArgument:
        return []


def _notes(layer: LoraLayer) -> tuple[str, ...]:
    """What the layer itself shows where no config is around it."""
    notes = []
    if layer.is_dora:
        notes.append("DoRA rescales the columns of W + s·BA: the modes are those of s·BA before that")
    if layer.dropout:
        notes.append(f"dropout {layer.dropout:g}: its noise moves the imbalance, which the theory conserves")
    return tuple(notes)


def _load(
    module: nn.Module, found: LoraLayer, scale: float | None, *, shared: bool, expert: int | None = None
) -> Factors:
    layer = replace(found, layer=_submodule(module, found.path, found.name))
    if shared or share_memory(*layer.factors()):
        raise tied(f"a factor of {layer.name}", "another factor")
    first, second = layer.tensors()
    stacked = expert is not None
    arrangement = arrange(first.shape, second.shape, layer.name, rank=layer.rank if stacked else None, experts=stacked)
    first, second = arrangement.select(first, second, expert)
    return Factors(first, second, layer.scale if scale is None else scale, layer.alpha)


def plain_config(config: Any) -> dict[str, Any]:
    """Return the content of a PEFT config, as its JSON file would hold it."""
    content = dict(config.to_dict())
    return {**content, "peft_type": str(getattr(content.get("peft_type"), "value", content.get("peft_type")))}


def _model_config(module: nn.Module) -> dict[str, Any]:
    """Content of the first model's config within a module, {} if there is none."""
    for _, _, child in walk(module):
        config = vars(child).get("config")
        if hasattr(config, "to_dict"):
            return dict(config.to_dict())
    return {}


def _without_wrappers(spec: PairSpec) -> PairSpec:
    """The same names as the tensors have them: the prefixes of wrappers may be written or not."""
    if isinstance(spec, str):
        return re.sub(r"((?:first|second)\s*=\s*)([^,=\[]+)", lambda m: m[1] + plain_name(m[2]), spec)
    return tuple(plain_name(name) if isinstance(name, str) else name for name in spec)  # type: ignore[return-value]


def _submodule(module: nn.Module, path: str, name: str) -> Any:
    try:
        return module.get_submodule(path)
    except AttributeError:
        raise checks.InvalidArgument(
            "source", f"still have its layer '{name}'", "there is no such layer any more", "make the tracker anew"
        ) from None


def _is_layer(module: Any) -> bool:
    """A layer whose class promises a `weight`: linear, convolution, embedding, and their parametrised forms."""
    from torch import nn

    return isinstance(module, nn.Linear | nn.Embedding | nn.Conv1d | nn.Conv2d | nn.Conv3d)


def _is_sequence(module: Any) -> bool:
    from torch import nn

    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _kind(module: Any) -> str:
    """Class name of a layer; "Linear" for every class that computes as nn.Linear does (FSDP, parametrised)."""
    from torch import nn

    if isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward:
        return "Linear"
    return type(module).__name__


def _linear_runs(name: str, container: Any, broken: list[str]) -> Iterator[list[str]]:
    """Names of linear layers that follow one another with nothing in between, two or more at a time."""
    run: list[str] = []
    last: tuple[str, str] | None = None
    for child, element in container.named_children():
        layer = _within(element)
        path, kind = ".".join(filter(None, (name, child))), _kind(layer)
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


def _within(element: Any) -> Any:
    """The layer inside a chain of wrappers, such as a compiled nn.Linear; the element itself where it is none."""
    inside = [(seen, module) for _, seen, module in walk(element)]
    return inside[-1][1] if all(seen == "" for seen, _ in inside) else element


def _attributes_that_chain(module: nn.Module) -> str | None:
    """Two linear layers of one module whose shapes chain: what lies between them, only `forward` knows."""
    for _, name, child in walk(module):
        if _is_sequence(child):
            continue
        linear = [(key, layer) for key, layer in child.named_children() if _kind(layer) == "Linear"]
        for (one, first), (two, second) in pairwise(linear):
            if first.out_features == second.in_features:
                a, b = (".".join(filter(None, (name, key))) for key in (one, two))
                return f"'{a}' and '{b}' chain by their shapes only, and what lies between them is not known"
    return None


def _refuse_chain(count: int) -> Factors:
    raise checks.InvalidArgument.sentence(
        f"{count} linear layers in a row are a product of {count} matrices, not of two: name two of them as a pair "
        "only if the others are frozen."
    )
