"""The factors of live PyTorch layers, by what the layers have and not by who made them: LoRA of any library.

A LoRA layer is a module with two factors under one of a few pairs of names; each factor is a parameter, a layer with a
`weight`, or a mapping from adapters' names to those. The hard idea: a *wrapper* (DDP, `torch.compile`, FSDP, PEFT's own
model) puts itself into every name and forwards every attribute, so that a name is asked of the module that owns it, and
wrappers are left out of the names that users see.

Nothing here imports PyTorch by itself: whoever has a module has imported it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lindyn.support import checks

# names of the two factors: PEFT, PEFT's embeddings, torchtune, kohya; with B after A
SIDES = (
    ("lora_A", "lora_B"),
    ("lora_embedding_A", "lora_embedding_B"),
    ("lora_a", "lora_b"),
    ("lora_down", "lora_up"),
)
# names under which wrappers hold their only child
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "_fpw_module")
_PARALLEL = ("DistributedDataParallel", "DataParallel")  # whose only child is called `module`
_PEFT = "base_model.model."
# what stands between the factors, or beside them, so that the update is no s·BA
_THIRD = {
    "lora_E": "a third factor `lora_E` (AdaLoRA)",
    "lora_mid": "a third factor `lora_mid` (LoCon with a middle convolution)",
    "enable_lora": "several projections in one layer (`enable_lora`: merged query, key and value), whose factors are "
    "block-diagonal",
}


@dataclass(frozen=True, eq=False)
class LoraLayer:
    """One adapter of one live layer, still to be read.

    Attributes:
        path: of the layer in the module that was searched, wrappers included.
        name: as it is reported: relative to the model that carries the adapter's config, without wrappers.
        adapter: name of the adapter, "" where the layer has only one without a name.
        layer: the layer.
        sides: attributes that hold the factors.
        config: PEFT's config of the adapter, from the nearest model around the layer; None if there is none.
    """

    path: str
    name: str
    adapter: str
    layer: Any
    sides: tuple[str, str]
    config: Any = None

    @property
    def is_embedding(self) -> bool:
        """Whether the factors are those of an embedding: ΔW maps one-hot tokens."""
        return "embedding" in self.sides[0]

    @property
    def experts(self) -> int:
        """Number of experts that are stacked in the factors, 1 in a plain layer."""
        return int(getattr(self.layer, "num_experts", 1)) if hasattr(self.layer, "parameter_name") else 1

    @property
    def is_turned(self) -> bool:
        """Whether A is stored (d_in, r) and B (r, d_out); where both readings chain, the smaller r is meant."""
        a, b = (factor.shape for factor in self.factors())
        return len(a) == len(b) == 2 and a[1] == b[0] and (a[0] != b[1] or a[1] < a[0])

    @property
    def bias(self) -> Any:
        """Bias of the second factor (PEFT's `lora_bias`), or None."""
        return getattr(self._held(self.sides[1]), "bias", None)

    @property
    def rank(self) -> int | None:
        """r, where the layer says it."""
        value = self._setting("r") or self._setting("rank")
        return None if value is None else int(value)

    @property
    def dropout(self) -> float:
        """Rate of the dropout before A."""
        rates = getattr(self.layer, "lora_dropout", None)
        own = rates[self.adapter] if self.adapter and rates is not None and self.adapter in rates else rates
        return float(getattr(own, "p", 0.0))

    @property
    def is_dora(self) -> bool:
        """Whether the layer rescales W + s·BA by magnitudes of its own."""
        return self.adapter in getattr(self.layer, "lora_magnitude_vector", ())

    @property
    def is_merged(self) -> bool:
        """Whether the update is at present part of the base weight."""
        return (
            self.adapter in getattr(self.layer, "merged_adapters", ()) or getattr(self.layer, "merged", False) is True
        )

    @property
    def alpha(self) -> float | None:
        """α, where the layer says it."""
        for name in ("lora_alpha", "alpha"):
            value = self._setting(name)
            if value is not None:
                return value
        return None

    @property
    def scale(self) -> float:
        """s of ΔW = s·BA: the layer's `scaling` or `scale`, else α/r of the layer's `alpha` and `rank`.

        Raises:
            InvalidArgument: the layer says neither.
        """
        for name in ("scaling", "scale"):
            value = self._setting(name)
            if value is not None:
                return value
        alpha, rank = self.alpha, self.rank
        if alpha is None or not rank:
            raise checks.InvalidArgument(
                "source",
                "say the scale s of its products s·BA",
                f"{self.name or 'the layer'} has neither `scaling` nor `alpha` and `rank`",
                "pass `scale`",
            )
        return alpha / rank

    def factors(self) -> tuple[Any, Any]:
        """Return the parameters of A and B, as they are stored.

        Raises:
            InvalidArgument: the factors are computed, or more than two, or the adapter has gone.
        """
        for name, text in _THIRD.items():
            if getattr(self.layer, name, None) is not None:
                raise checks.InvalidArgument("source", "hold plain products s·BA", f"{self.name} has {text}")
        return self._factor(self.sides[0]), self._factor(self.sides[1])

    def tensors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return A (r, d_in) and B (d_out, r) as NumPy; those of convolutions and experts as they are stored.

        Raises:
            InvalidArgument: factors that are not two, are computed, or cannot be read.
        """
        a, b = (numbers(p, f"{self.name}.{s}") for p, s in zip(self.factors(), self.sides, strict=True))
        if a.ndim != 2 or b.ndim != 2:
            return a, b
        return (a.T, b.T) if self.is_turned else (a, b)

    def _setting(self, name: str) -> float | None:
        value = getattr(self.layer, name, None)
        if isinstance(value, Mapping):
            value = value.get(self.adapter)
        if value is None or callable(value):
            return None
        return float(value)

    def _held(self, side: str) -> Any:
        holder = _owned(self.layer).get(side)
        if holder is not None and self.adapter:
            return dict(holder.items()).get(self.adapter) if hasattr(holder, "items") else None
        return holder

    def _factor(self, side: str) -> Any:
        held = self._held(side)
        if held is None and side in (owned := _owned(self.layer)) and owned[side] is None:
            stored(self.layer, self.name or "the layer", side)  # refuses what is computed
        if held is None:
            raise checks.InvalidArgument(
                "source",
                f"still hold the adapter {self.adapter!r}" if self.adapter else "still hold its LoRA factors",
                f"{self.name or 'the layer'} has no `{side}` of that name any more",
            )
        return held if hasattr(held, "is_floating_point") else stored(held, f"{self.name}.{side}")


def lora_layers(module: Any) -> list[LoraLayer]:
    """Return every adapter of every LoRA layer of a module, in the order of the modules.

    Args:
        module: any `nn.Module`; PEFT, loralib, LitGPT, torchtune, kohya or one's own layers, wrapped or not.

    Examples:
        >>> import torch
        >>> layer = torch.nn.Linear(6, 4)
        >>> layer.lora_A = torch.nn.Parameter(torch.ones(2, 6))
        >>> layer.lora_B = torch.nn.Parameter(torch.zeros(4, 2))
        >>> layer.scaling = 2.0
        >>> [(found.name, found.scale) for found in lora_layers(torch.nn.Sequential(layer))]
        [('0', 2.0)]
    """
    found = []
    configs: list[tuple[str, dict[str, Any]]] = []  # of the models around, outermost first
    for path, seen, child in walk(module):
        own = getattr(child, "peft_config", None) if not is_wrapper(child) else None
        if isinstance(own, dict):
            configs.append((seen, own))
        owned = _owned(child)
        for sides in SIDES:
            if not all(side in owned for side in sides):
                continue
            around = [pair for pair in configs if pair[0] == "" or (seen + ".").startswith(pair[0] + ".")]
            root, known = around[-1] if around else ("", {})
            name = seen[len(root) :].removeprefix(".") if root else seen
            holder = owned[sides[0]]
            for adapter in holder.keys() if hasattr(holder, "keys") else ("",):
                found.append(LoraLayer(path, name, str(adapter), child, sides, known.get(adapter)))
    return _told_apart(found, module)


def _told_apart(found: list[LoraLayer], module: Any) -> list[LoraLayer]:
    """Give layers of equal names, in two models of one parent, their full ones."""
    names = [(layer.name, layer.adapter, layer.sides) for layer in found]
    if len(set(names)) == len(names):
        return found
    seen = {path: name for path, name, _ in walk(module)}
    return [
        LoraLayer(layer.path, seen[layer.path], layer.adapter, layer.layer, layer.sides, layer.config)
        for layer in found
    ]


def walk(module: Any, *, repeated: bool = False) -> Iterator[tuple[str, str, Any]]:
    """Yield path, name without wrappers, and module, of a module and all within it.

    Args:
        module: any `nn.Module`.
        repeated: yield a module that stands in several places at each of them, not only at the first.
    """
    names = {"": ""}
    for path, child in module.named_modules(remove_duplicate=not repeated):
        parent, _, last = path.rpartition(".")
        if path:
            above = names[parent]
            hidden = last in _WRAPPERS or (last == "module" and is_wrapper(module.get_submodule(parent)))
            full = above if hidden else f"{above}.{last}" if above else last
            names[path] = re.sub(rf"(^|\.){re.escape(_PEFT)}", r"\1", full + ".").removesuffix(".")
        yield path, names[path], child


def is_wrapper(module: Any) -> bool:
    """Return whether a module only wraps another: DDP, `DataParallel`, `torch.compile`."""
    kinds = [kind.__name__ for kind in type(module).__mro__]
    return any(kind in (*_PARALLEL, "OptimizedModule") for kind in kinds)


def _owned(module: Any) -> dict[str, Any]:
    """Children and parameters that a module itself has, computed ones as None; what it only forwards is left out."""
    children = dict(module.named_children())
    computed = dict.fromkeys(children["parametrizations"].keys()) if "parametrizations" in children else {}
    return children | dict(module.named_parameters(recurse=False)) | computed


def stored(layer: Any, name: str, attribute: str = "weight") -> Any:
    """Return a parameter of a layer that is stored, not computed from others at every use.

    Raises:
        InvalidArgument: it is computed (weight or spectral norm, pruning, any parametrisation), or there is none.
    """
    parameter = dict(layer.named_parameters(recurse=False)).get(attribute)
    if parameter is not None:
        return parameter
    if getattr(layer, attribute, None) is None:
        raise checks.InvalidArgument("source", f"have a `{attribute}` in each layer", f"{name} has none")
    raise checks.InvalidArgument(
        "source",
        "hold factors that are trained themselves",
        f"the `{attribute}` of {name} is computed from other tensors at every use (a parametrisation such as weight or "
        "spectral norm), and W1W1ᵀ − W2ᵀW2 is not conserved there",
        "remove the parametrisation",
    )


def numbers(parameter: Any, name: str, parts: tuple[slice, ...] = ()) -> np.ndarray:
    """Return a parameter's numbers as NumPy, gathered if it is a DTensor; refuse one without its numbers.

    Args:
        parameter: a tensor; a DTensor (FSDP2, tensor parallel) is gathered, which every process has to take part in.
        name: for the refusal.
        parts: rows, or rows and columns, asked of it.

    Raises:
        InvalidArgument: a quantised tensor, one on the meta device, or one whose numbers are in other processes.
    """
    value = parameter.detach()
    if hasattr(value, "full_tensor"):
        value = value.full_tensor()
    if not value.is_floating_point() or value.element_size() < 2:
        raise checks.InvalidArgument(
            "source", "hold fp64, fp32, fp16 or bf16 factors", f"'{name}' is of type {value.dtype}, a quantised tensor"
        )
    if value.is_meta:
        raise checks.InvalidArgument(
            "source", "hold numbers", f"'{name}' is on the meta device", "load the weights first"
        )
    if value.numel() == 0:
        raise checks.InvalidArgument(
            "source",
            "hold numbers",
            f"'{name}' is empty in this process, as in a model sharded by DeepSpeed or the first FSDP",
            "gather the parameters first, or shard with fully_shard",
        )
    value = (value[parts] if parts else value).cpu()
    return np.asarray((value.float() if value.element_size() == 2 else value).numpy())


def memory_of(tensor: Any) -> tuple[int, int, int] | None:
    """Return the storage of a tensor and the first and last byte that it uses there; None where it has none.

    Two parameters are tied where these overlap, whether or not one is a transpose of the other.
    """
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    if local.is_meta or local.numel() == 0:
        return None
    size = local.element_size()
    first = local.storage_offset() * size
    extent = sum((n - 1) * stride for n, stride in zip(local.shape, local.stride(), strict=True)) + 1
    return local.untyped_storage().data_ptr(), first, first + extent * size


def share_memory(one: Any, other: Any) -> bool:
    """Return whether two tensors are one in memory, at least in part.

    Examples:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.ones(4, 4))
        >>> share_memory(weight, torch.nn.Parameter(weight.T)), share_memory(weight[:2], weight[2:])
        (True, False)
    """
    if one is other:
        return True
    a, b = memory_of(one), memory_of(other)
    return a is not None and b is not None and a[0] == b[0] and max(a[1], b[1]) < min(a[2], b[2])


def entry_deviation(matrix: np.ndarray) -> float:
    """Return the root mean square of a matrix's entries: σ_A of a random start."""
    return float(np.linalg.norm(matrix)) / math.sqrt(matrix.size)
