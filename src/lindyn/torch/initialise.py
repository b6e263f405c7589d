"""Initialisers of PyTorch layers and LoRA adapters: in place, in their dtype, on their device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lindyn.inspection.modules import linear_pairs, without
from lindyn.inspection.pairs import PairSpec
from lindyn.networks.live_layers import LoraLayer, lora_layers, share_memory, stored, walk
from lindyn.networks.starts import Form, Side, StartReport, lora_weights, mixed_weights
from lindyn.support import checks

try:
    import torch
except ImportError as error:
    raise ImportError("lindyn.torch needs PyTorch; install it with: pip install 'lindyn[torch]'.") from error


def mixed_init_(
    first: Any,
    second: Any = None,
    *,
    threshold: float,
    pair: PairSpec | None = None,
    form: Form = "auto",
    side: Side | None = None,
    start: Any = None,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> StartReport:
    """Fill a pair of layers, in place, with the start of a prescribed threshold τ; see `lindyn.networks.mixed_weights`.

    Two-sided where the hidden layer is at least as wide as both sides together, one-sided where it is as wide as one
    of them, narrow otherwise. Drawn in float64 and then cast, so that one seed gives the same start in every dtype
    and on every device.

    A bias of the hidden layer is an extra column of W1, the weight of a constant input 1: the product is then
    A = W2[W1 b1] of shape (d_out, d_in + 1), and its start has threshold τ as a whole. A bias of the second layer is
    no part of the product and stays as it is.

    Args:
        first: `nn.Linear` from d_in to w, or a parameter or tensor of shape (w, d_in); or, without `second`, a module
            with two linear layers in a row (an `nn.Sequential`), or with the two that `pair` names.
        second: `nn.Linear` from w to d_out, or a parameter or tensor of shape (d_out, w).
        threshold: τ > 0, in units of singular values of the product.
        pair: names of two linear layers of the module `first`, as in "first=enc,second=dec".
        form: "auto", "two-sided", "one-sided" or "narrow".
        side: the larger layer ("in" or "out") of the last two forms.
        start: A₀, shape (d_out, d_in) (with a hidden bias also (d_out, d_in + 1)); zero if left out.
        seed: of the draw; or
        generator: source of randomness. PyTorch's global one if both are left out.

    Returns:
        What was done, and how exact the theory is there.

    Raises:
        InvalidArgument: layers that do not chain or are tied, a weight that is computed at every use (weight or
            spectral norm, pruning) or a tensor that is one step of a computation, τ ≤ 0, an unknown form, or a width
            that the form does not allow.

    References:
        theory (2.4), (2.6), (3.1), (3.4).

    Examples:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 3, bias=False), torch.nn.Linear(3, 5, bias=False))
        >>> report = mixed_init_(model, threshold=0.5, seed=0)
        >>> report.form, (model[0].weight @ model[0].weight.T).detach().round(decimals=5).diag().tolist()
        ('narrow', [1.0, 1.0, 1.0])
    """
    if second is None:
        first, second = _layers_of(first, pair)
    elif pair is not None:
        raise checks.InvalidArgument("pair", "come with a module alone", "`second` is given too")
    w1, w2 = _weight("first", first), _weight("second", second)
    if share_memory(w1, w2):
        raise checks.InvalidArgument("second", "not be tied to `first`", "both are one tensor in memory")
    if w2.shape[1] != w1.shape[0]:
        raise checks.InvalidArgument(
            "second",
            f"take the {w1.shape[0]} outputs of `first`",
            f"its weight has shape {tuple(w2.shape)}",
            "pass the layers in the order of the forward pass",
        )
    bias = getattr(first, "bias", None)
    shape = (w2.shape[0], w1.shape[1] + (bias is not None))
    if start is not None:
        start = checks.array("start", start, 2, dtype=np.float64)
        if bias is not None and start.shape == (shape[0], shape[1] - 1):
            start = np.pad(start, ((0, 0), (0, 1)))
    rng = _numpy_generator(seed, generator)
    new_first, new_second, report = mixed_weights(
        shape, w1.shape[0], threshold=threshold, form=form, side=side, start=start, key=rng
    )
    _fill(w1, new_first[:, : w1.shape[1]])
    _fill(w2, new_second)
    notes = []
    if bias is not None:
        _fill(bias, new_first[:, -1])
        notes.append("the hidden bias is the last column of W1, the weight of a constant input 1")
    if getattr(second, "bias", None) is not None:
        notes.append("the bias of the second layer was left as it is: it is no part of the product")
    return replace(report, notes=(*notes, *_precision_note(w1)))


def lora_init_(
    module: Any,
    *,
    threshold: float,
    adapter: str | None = None,
    leave_out: str | Sequence[str] = (),
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> dict[str, StartReport]:
    """Fill LoRA adapters ΔW = s·BA, in place, with orthogonal A of a prescribed threshold τ and B = 0.

    A = √(2τ/s)·(orthonormal rows), s as the layer has it: α/r, or α/√r for rank-stabilised LoRA. The default
    (Kaiming) start has τ = s/6; a larger one keeps the update within the rows of A₀, a smaller one lets it leave.
    The adapted model then computes what the base model does. An adapter whose start has taken s·BA out of the base
    weight (PiSSA, OLoRA, CorDA, LoRA-GA, LoftQ) is refused, since B = 0 would leave the model without that part.

    Args:
        module: a PEFT layer, or any module that contains some; layers of other libraries with two factors as well.
        threshold: τ > 0, in units of singular values of ΔW.
        adapter: name of one adapter; all of them if left out.
        leave_out: names of layers to leave as they are, or patterns such as ``"*.embed_tokens"``.
        seed: of the draw; or
        generator: source of randomness. PyTorch's global one if both are left out.

    Returns:
        "layer.adapter" → what was done. Nothing is changed if one of them has to be refused.

    Raises:
        InvalidArgument: no LoRA layer, an unknown adapter, one that is not a product of two matrices (convolution,
            embedding, DoRA), is merged into its base weight or has a frozen factor, one whose s·BA may stand in the
            base weight with the opposite sign, or τ ≤ 0.

    References:
        theory (2.7), (3.4).

    Examples:
        >>> import torch
        >>> layer = torch.nn.Module()  # what PEFT makes, in outline
        >>> layer.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(8, 2, bias=False)})
        >>> layer.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(2, 6, bias=False)})
        >>> _ = torch.nn.init.zeros_(layer.lora_B["default"].weight)
        >>> layer.scaling = {"default": 4.0}
        >>> report = lora_init_(layer, threshold=0.5)["default"]
        >>> a = layer.lora_A["default"].weight
        >>> (4.0 * a @ a.T).diag().detach().round(decimals=5).tolist(), report.threshold
        ([1.0, 1.0], 0.5)
    """
    checks.number("threshold", threshold, above=0, remedy="at τ = 0 a start of zero never moves")
    layers = _chosen(module, adapter, leave_out)
    for layer in layers:
        _refuse_unless_fillable(layer)
    rng = _numpy_generator(seed, generator)
    reports = {}
    for layer in layers:
        notes = [f"scale s = {layer.scale:g}; flow time is s·η·step"]
        if layer.dropout > 0:
            notes.append(f"dropout {layer.dropout:g} adds noise that does not conserve the imbalance")
        report = _fill_adapter(layer, threshold, rng)
        precision = _precision_note(layer.factors()[0])
        reports[_full_name(layer)] = replace(report, notes=(*notes, *precision))
    return reports


def _chosen(module: Any, adapter: str | None, leave_out: str | Sequence[str]) -> list[LoraLayer]:
    """Every adapter that is wanted, in the order of the modules."""
    if not isinstance(module, torch.nn.Module):
        raise checks.InvalidArgument("module", "be a torch.nn.Module", f"it is {type(module).__name__}")
    layers = lora_layers(module)
    if not layers:
        raise checks.InvalidArgument("module", "contain a LoRA layer", "none of its modules has two LoRA factors")
    names = sorted({layer.adapter for layer in layers})
    if adapter is not None and adapter not in names:
        raise checks.InvalidArgument("adapter", f"be one of {', '.join(names)}", f"it is {checks.shown(adapter)}")
    wanted = [layer for layer in layers if adapter in (None, layer.adapter)]
    out = without(wanted, leave_out, lambda layer: (_full_name(layer), layer.name))
    if not out:
        raise checks.InvalidArgument("leave_out", "leave one adapter at least", "nothing is left")
    return out


def _full_name(layer: LoraLayer) -> str:
    return ".".join(part for part in (layer.path, layer.adapter) if part)


# starts that subtract their own s·BA from the base weight (LoftQ: and quantise what is left)
_TAKEN_OUT = ("pissa", "olora", "corda", "lora_ga", "loftq")


def _refuse_unless_fillable(layer: LoraLayer) -> None:
    """Refuse an adapter that is not a product of two matrices, or that could not start as the base model."""
    name = _full_name(layer) or "the layer"

    def refuse(must: str, but: str, remedy: str = "leave it out with `leave_out`") -> checks.InvalidArgument:
        return checks.InvalidArgument("module", must, but, remedy)

    if layer.is_embedding:
        raise refuse("hold LoRA pairs of nn.Linear only", f"{name} is an embedding")
    try:
        a, b = layer.factors()
        scale = layer.scale
    except checks.InvalidArgument as error:
        raise error.renamed({"source": "module"}) from error
    for factor in (a, b):
        if factor.ndim != 2:
            kind = type(getattr(layer.layer, "base_layer", layer.layer)).__name__
            raise refuse("hold LoRA pairs of nn.Linear only", f"{name} adapts {kind}")
        _fillable("module", factor)
    if share_memory(a, b):
        raise refuse("hold two factors of their own", f"those of {name} are tied, one tensor in memory")
    if layer.is_dora:
        raise refuse("hold plain products s·BA", f"{name} is DoRA, which rescales rows")
    if layer.is_merged:
        raise refuse("hold adapters that are not merged", f"{name} is", "unmerge it first")
    if a.requires_grad != b.requires_grad:
        still = "A" if b.requires_grad else "B"
        raise refuse("train both factors", f"{still} of {name} is frozen, and a start with B = 0 may never move")
    if scale <= 0:
        raise refuse("have a positive scale s", f"that of {name} is {scale:g}")
    _refuse_what_was_taken_out(layer, a, b, name)


def _refuse_what_was_taken_out(layer: LoraLayer, a: Any, b: Any, name: str) -> None:
    init = str(getattr(layer.config, "init_lora_weights", "")).lower()
    if init.startswith(_TAKEN_OUT):
        raise checks.InvalidArgument(
            "module",
            "hold adapters that start beside an unchanged base weight",
            f"the start of {name} ({init}) has taken s·BA out of the base weight, so that B = 0 would change the model",
            "adapt the base model anew with init_lora_weights=True, and call lora_init_ then",
        )
    has_base = any(getattr(layer.layer, name, None) is not None for name in ("base_layer", "weight"))
    if layer.config is None and has_base and a.any() and b.any():
        raise checks.InvalidArgument(
            "module",
            "hold adapters that start with B = 0, or come inside the PEFT model that knows their start",
            f"s·BA of {name} is not zero, and whether it was taken out of the base weight is not known",
            "pass the whole PEFT model, or set B to zero first",
        )


def _fill_adapter(layer: LoraLayer, threshold: float, rng: np.random.Generator) -> StartReport:
    """Fill A and B of a layer, of each expert where several are stacked: A expert-major, B = 0."""
    a, b = layer.factors()
    turned = layer.is_turned
    (width, d_in), d_out = (a.shape[::-1], b.shape[1]) if turned else (a.shape, b.shape[0])
    rank = width // layer.experts
    drawn = [
        lora_weights((d_out, d_in), rank, threshold=threshold, scale=layer.scale, key=rng) for _ in range(layer.experts)
    ]
    new_a = np.concatenate([part[0] for part in drawn])
    _fill(a, new_a.T if turned else new_a)
    _fill(b, np.zeros(tuple(b.shape)))
    if layer.bias is not None:
        _fill(layer.bias, np.zeros(tuple(layer.bias.shape)))
    return drawn[0][2]


def _layers_of(module: Any, pair: PairSpec | None) -> tuple[Any, Any]:
    """The two linear layers of a module: those named, or the only two in a row."""
    if not isinstance(module, torch.nn.Module) or isinstance(module, torch.nn.Linear):
        raise checks.InvalidArgument(
            "second", "be given, or `first` be a module that holds both layers", f"`first` is {type(module).__name__}"
        )
    try:
        found = linear_pairs(module, pair)
    except checks.InvalidArgument as error:
        raise error.renamed({"source": "first"}) from error
    if len(found) != 1:
        names = ", ".join(f"first={one},second={two}" for one, two in found)
        raise checks.InvalidArgument("pair", "name one pair of the module", f"it holds {len(found)}: {names}")
    one, two = found[0]
    by_name = {seen: child for _, seen, child in walk(module, repeated=True)}
    return by_name[one], by_name[two]


def _weight(name: str, layer: Any) -> torch.Tensor:
    """The matrix of an nn.Linear, or the tensor itself, if it can be filled and stays so."""
    if isinstance(layer, torch.nn.Linear):
        try:
            return _fillable(name, stored(layer, f"`{name}`"))
        except checks.InvalidArgument as error:
            raise error.renamed({"source": name}) from error
    if not isinstance(layer, torch.Tensor):
        kind = type(layer).__name__ + (" of " + type(layer).__module__ if hasattr(layer, "forward") else "")
        raise checks.InvalidArgument(name, "be an nn.Linear or a two-dimensional parameter or tensor", f"it is {kind}")
    if not layer.is_leaf:
        raise checks.InvalidArgument(
            name,
            "be stored, not computed",
            "it is one step of a computation, and what would be filled is thrown away",
            "pass the layer or the parameter itself; for a part of one, its detached view",
        )
    return _fillable(name, layer)


def _fillable(name: str, weight: Any) -> torch.Tensor:
    if weight.ndim != 2:
        raise checks.InvalidArgument(
            name, "be an nn.Linear or a two-dimensional parameter or tensor", f"it is of shape {tuple(weight.shape)}"
        )
    if not weight.is_floating_point() or weight.element_size() < 2:
        raise checks.InvalidArgument(name, "have floating-point weights of 16 bits or more", f"they are {weight.dtype}")
    if weight.is_meta:
        raise checks.InvalidArgument(name, "be on a real device", "it is on the meta device", "materialise it first")
    return weight


def _fill(tensor: Any, values: np.ndarray) -> None:
    source = torch.from_numpy(np.ascontiguousarray(values))
    with torch.no_grad():
        if hasattr(tensor, "placements"):  # a DTensor: each process keeps its part of the first one's draw
            from torch.distributed.tensor import distribute_tensor

            source = source.to(dtype=tensor.dtype, device=tensor.device)
            source = distribute_tensor(source, tensor.device_mesh, tensor.placements)
        tensor.copy_(source)


def _precision_note(weight: torch.Tensor) -> tuple[str, ...]:
    if weight.element_size() >= 4:
        return ()
    text = str(weight.dtype).removeprefix("torch.")
    return (f"{text} weights: τ holds to the digits of {text}, and small steps are lost without float32 masters",)


def _numpy_generator(seed: int | None, generator: torch.Generator | None) -> np.random.Generator:
    """A NumPy generator of a seed; or one seeded by, and advancing, a PyTorch generator."""
    if seed is not None:
        if generator is not None:
            raise checks.InvalidArgument("seed", "be given instead of `generator`", "both are given")
        return np.random.default_rng(checks.integer("seed", seed, at_least=0))
    device = "cpu" if generator is None else generator.device
    return np.random.default_rng(int(torch.randint(2**63 - 1, (1,), generator=generator, device=device)))
