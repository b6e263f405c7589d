"""How far a PyTorch model is from the linear one that its weights make without activations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lindyn.support import checks

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("lindyn.torch needs PyTorch; install it with: pip install 'lindyn[torch]'.") from error

# activations of one number that pass it on where they are linear
_UNITS: tuple[type[nn.Module], ...] = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ReLU6, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh,
)  # fmt: skip
_STILL = 1e-3  # relative departure from an affine map, above what float32 makes of many layers


@dataclass(frozen=True)
class LinearDistance:
    """How far a model's outputs are from those of its linear part; made by `distance_from_linear`.

    Attributes:
        first_order: ‖f¹‖/‖f⁰‖, the derivative of the outputs as activations are switched on, over the linear outputs.
        exact: ‖f − f⁰‖/‖f⁰‖.
        rest: ‖f − f⁰ − f¹‖/‖f⁰‖, what first order does not explain: far below `exact` for a nearly linear model.
        activations: names of the modules that were taken out.
    """

    first_order: float
    exact: float
    rest: float
    activations: tuple[str, ...]


def distance_from_linear(
    model: nn.Module, inputs: Any, *, activations: tuple[type[nn.Module], ...] = _UNITS
) -> LinearDistance:
    """Return how far a model is from linear on some inputs, by one directional derivative and two forward passes.

    Every activation φ(z) is replaced by z + a(φ(z) − z): a = 1 is the model, a = 0 its linear part f⁰, and f¹ = ∂f/∂a
    at a = 0. For leaky ReLU of slope s that is the first order in 1 − s at fixed weights. The model is run in
    evaluation mode, and left as it was.

    Args:
        model: any module whose activations are modules; functions called in `forward` cannot be seen.
        inputs: what the model takes: a tensor of at least two samples.
        activations: classes of modules to take out.

    Raises:
        InvalidArgument: no activation module, outputs that are no tensor, fewer than two samples, or a model that is
            not affine without its activations.

    References:
        works (16.2).

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.99), nn.Linear(8, 1))
        >>> found = distance_from_linear(model, torch.randn(100, 4))
        >>> found.exact < 0.02, found.rest < 1e-3 * found.exact, found.activations
        (True, True, ('1',))
    """
    if not isinstance(inputs, torch.Tensor) or inputs.ndim == 0 or len(inputs) < 2:
        raise checks.InvalidArgument(
            "inputs", "be a tensor of at least two samples", f"it is {checks.shown(inputs)}", "pass a batch"
        )
    units = {name: module for name, module in model.named_modules() if isinstance(module, activations)}
    if not units:
        raise checks.InvalidArgument(
            "model", "have activations that are modules", "it has none of the classes asked for",
            "use nn.ReLU() in the place of F.relu, or name your class in `activations`",
        )  # fmt: skip
    mode = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            return _measured(model, inputs, units)
    finally:
        for module, training in mode.items():
            module.training = training


def _measured(model: nn.Module, inputs: torch.Tensor, units: dict[str, nn.Module]) -> LinearDistance:
    def run(x: torch.Tensor, share: Any) -> torch.Tensor:
        with _switched(units.values(), share):
            out = model(x)
        if not isinstance(out, torch.Tensor):
            raise checks.InvalidArgument(
                "model", "return a tensor", f"it returns {type(out).__name__}", "wrap it in a module that picks one"
            )
        return out

    one = torch.ones((), dtype=inputs.dtype if inputs.is_floating_point() else torch.get_default_dtype())
    share = one.to(inputs.device)
    # forward by two backward passes: it needs no forward rule of a user's layers
    with torch.enable_grad():
        linear, tangent = torch.autograd.functional.jvp(lambda a: run(inputs, a), 0 * share, share)
    size = float(linear.norm())
    if inputs.is_floating_point():
        # an affine map takes a midpoint to a midpoint
        missed = float((run(0.5 * (inputs + inputs.flip(0)), 0 * share) - 0.5 * (linear + linear.flip(0))).norm())
        if missed > _STILL * size:
            raise checks.InvalidArgument(
                "model", "be affine without its activations", f"a midpoint is missed by {missed / size:.2g}",
                "it holds other non-linear parts, such as functions called in `forward` or a normalisation by sample",
            )  # fmt: skip
    if size == 0:
        raise checks.InvalidArgument("model", "have a linear part on these inputs", "its outputs are zero")
    change = run(inputs, share) - linear
    first, exact, rest = (float(part.norm()) / size for part in (tangent, change, change - tangent))
    return LinearDistance(first, exact, rest, tuple(units))


@contextmanager
def _switched(units: Any, share: Any) -> Iterator[None]:
    """Let each unit return z + a(φ(z) − z)."""
    taken: dict[nn.Module, list[torch.Tensor]] = {}

    def before(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        taken.setdefault(module, []).append(arguments[0])
        return (arguments[0].clone(), *arguments[1:])  # an activation in place would overwrite z

    def after(module: nn.Module, _: Any, out: torch.Tensor) -> torch.Tensor:
        read = taken[module].pop()
        mixed: torch.Tensor = read + share * (out - read)
        return mixed

    handles: list[Any] = [unit.register_forward_pre_hook(before) for unit in units]
    handles += [unit.register_forward_hook(after) for unit in units]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
