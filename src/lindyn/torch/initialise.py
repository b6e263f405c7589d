"""Initialisers of PyTorch layers and LoRA adapters: in place, in their dtype, on their device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lindyn.networks.starts import Form, Side, StartReport, lora_weights, mixed_weights
from lindyn.support import checks

try:
    import torch
except ImportError as error:
    raise ImportError("lindyn.torch needs PyTorch; install it with: pip install 'lindyn[torch]'.") from error


def mixed_init_(
    first: Any,
    second: Any,
    *,
    threshold: float,
    form: Form = "auto",
    side: Side | None = None,
    start: Any = None,
    generator: torch.Generator | None = None,
) -> StartReport:
    """Fill a pair of layers, in place, with the start of a wanted threshold τ; see `lindyn.mixed_weights`.

    Two-sided where the hidden layer is at least as wide as both sides together, one-sided where it is as wide as one
    of them, narrow otherwise. Drawn in float64 and then cast, so that one seed gives the same start in every dtype
    and on every device.

    A bias of the hidden layer is an extra column of W1, the weight of a constant input 1: the product is then
    A = W2[W1 b1] of shape (d_out, d_in + 1), and its start has threshold τ as a whole. A bias of the second layer is
    no part of the product and stays as it is.

    Args:
        first: `nn.Linear` from d_in to w, or a parameter or tensor of shape (w, d_in).
        second: `nn.Linear` from w to d_out, or a parameter or tensor of shape (d_out, w).
        threshold: τ > 0, in units of singular values of the product.
        form: "auto", "two-sided", "one-sided" or "narrow".
        side: the larger layer ("in" or "out") of the last two forms.
        start: A₀, shape (d_out, d_in) (with a hidden bias also (d_out, d_in + 1)); zero if left out.
        generator: source of randomness; PyTorch's global one if left out.

    Returns:
        What was done, and how exact the theory is there.

    Raises:
        InvalidArgument: layers that do not chain, τ ≤ 0, an unknown form, or a width that the form does not allow.

    References:
        theory (2.4), (2.6), (3.1), (3.4).

    Examples:
        >>> import torch
        >>> first, second = torch.nn.Linear(8, 3, bias=False), torch.nn.Linear(3, 5, bias=False)
        >>> report = mixed_init_(first, second, threshold=0.5, generator=torch.Generator().manual_seed(0))
        >>> report.form, (first.weight @ first.weight.T).detach().round(decimals=5).diag().tolist()
        ('narrow', [1.0, 1.0, 1.0])
    """
    w1, w2 = _weight("first", first), _weight("second", second)
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
    new_first, new_second, report = mixed_weights(
        shape, w1.shape[0], threshold=threshold, form=form, side=side, start=start, key=_numpy_generator(generator)
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
    module: Any, *, threshold: float, adapter: str | None = None, generator: torch.Generator | None = None
) -> dict[str, StartReport]:
    """Fill LoRA adapters ΔW = s·BA, in place, with orthogonal A of a wanted threshold τ and B = 0.

    A = √(2τ/s)·(orthonormal rows), s as the layer has it: α/r, or α/√r for rank-stabilised LoRA. The default
    (Kaiming) start has τ = s/6; a larger one keeps the update within the rows of A₀, a smaller one lets it leave.

    Args:
        module: a PEFT layer, or any module that contains some.
        threshold: τ > 0, in units of singular values of ΔW.
        adapter: name of one adapter; all of them if left out.
        generator: source of randomness; PyTorch's global one if left out.

    Returns:
        "layer.adapter" → what was done. Nothing is changed if one of them has to be refused.

    Raises:
        InvalidArgument: no LoRA layer, an unknown adapter, one that is no product of two matrices (convolution,
            embedding, DoRA) or is merged into its base weight, or τ ≤ 0.

    References:
        theory (2.7), (3.4).

    Examples:
        >>> import torch
        >>> layer = torch.nn.Module()  # what PEFT makes, in outline
        >>> layer.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(8, 2, bias=False)})
        >>> layer.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(2, 6, bias=False)})
        >>> layer.scaling = {"default": 4.0}
        >>> report = lora_init_(layer, threshold=0.5)["default"]
        >>> a = layer.lora_A["default"].weight
        >>> (4.0 * a @ a.T).diag().detach().round(decimals=5).tolist(), report.threshold
        ([1.0, 1.0], 0.5)
    """
    checks.number("threshold", threshold, above=0, remedy="at τ = 0 a start of zero never moves")
    pairs = list(_adapters(module, adapter))
    rng = _numpy_generator(generator)
    reports = {}
    for name, a, b, scale, dropout in pairs:
        w1, w2 = a.weight, b.weight
        new_a, new_b, report = lora_weights(
            (w2.shape[0], w1.shape[1]), w1.shape[0], threshold=threshold, scale=scale, key=rng
        )
        _fill(w1, new_a)
        _fill(w2, new_b)
        notes = [f"scale s = {scale:g}; flow time is s·η·step"]
        if dropout > 0:
            notes.append(f"dropout {dropout:g} adds noise that does not conserve the imbalance")
        reports[name] = replace(report, notes=(*notes, *_precision_note(w1)))
    return reports


def _adapters(module: Any, adapter: str | None) -> Iterator[tuple[str, Any, Any, float, float]]:
    """Yield name, A, B, scale and dropout of every wanted adapter, in the order of the modules."""
    if not isinstance(module, torch.nn.Module):
        raise checks.InvalidArgument("module", "be a torch.nn.Module", f"it is {type(module).__name__}")
    layers = {name: m for name, m in module.named_modules() if hasattr(m, "lora_A") and hasattr(m, "lora_B")}
    names = {key for m in layers.values() for key in (*m.lora_A, *getattr(m, "lora_embedding_A", ()))}
    if not names:
        raise checks.InvalidArgument("module", "contain a LoRA layer", "none of its modules has lora_A and lora_B")
    if adapter is not None and adapter not in names:
        raise checks.InvalidArgument("adapter", f"be one of {', '.join(sorted(names))}", f"it is {adapter!r}")
    for layer_name, layer in layers.items():
        for key in (*layer.lora_A, *getattr(layer, "lora_embedding_A", ())):
            if adapter is not None and key != adapter:
                continue
            name = ".".join(part for part in (layer_name, key) if part)
            found = type(layer.lora_A[key]).__name__ if key in layer.lora_A else "an embedding"
            if key not in layer.lora_A or not isinstance(layer.lora_A[key], torch.nn.Linear):
                raise checks.InvalidArgument(
                    "module", "hold LoRA pairs of nn.Linear only", f"{name} is {found}", "leave it out"
                )
            a = layer.lora_A[key]
            if key in getattr(layer, "lora_magnitude_vector", ()):
                raise checks.InvalidArgument(
                    "module", "hold plain products s·BA", f"{name} is DoRA, which rescales rows"
                )
            if key in getattr(layer, "merged_adapters", ()):
                raise checks.InvalidArgument(
                    "module", "hold adapters that are not merged", f"{name} is", "unmerge it first"
                )
            _weight("module", a), _weight("module", layer.lora_B[key])
            dropout = getattr(layer, "lora_dropout", {})
            rate = float(getattr(dropout[key], "p", 0.0)) if key in dropout else 0.0
            yield name, a, layer.lora_B[key], float(layer.scaling[key]), rate


def _weight(name: str, layer: Any) -> torch.Tensor:
    """The matrix of a layer, or the tensor itself, if it can be filled."""
    weight = getattr(layer, "weight", layer)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2:
        found = f"of shape {tuple(weight.shape)}" if isinstance(weight, torch.Tensor) else type(layer).__name__
        raise checks.InvalidArgument(name, "be an nn.Linear or a two-dimensional parameter or tensor", f"it is {found}")
    if not weight.is_floating_point() or weight.element_size() < 2:
        raise checks.InvalidArgument(name, "have floating-point weights of 16 bits or more", f"they are {weight.dtype}")
    if weight.is_meta:
        raise checks.InvalidArgument(name, "be on a real device", "it is on the meta device", "materialise it first")
    return weight


def _fill(tensor: torch.Tensor, values: np.ndarray) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _precision_note(weight: torch.Tensor) -> tuple[str, ...]:
    if weight.element_size() >= 4:
        return ()
    text = str(weight.dtype).removeprefix("torch.")
    return (f"{text} weights: τ holds to the digits of {text}, and small steps are lost without float32 masters",)


def _numpy_generator(generator: torch.Generator | None) -> np.random.Generator:
    """A NumPy generator seeded by, and advancing, a PyTorch one."""
    device = "cpu" if generator is None else generator.device
    return np.random.default_rng(int(torch.randint(2**63 - 1, (1,), generator=generator, device=device)))
