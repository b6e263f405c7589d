"""Parametrisations of linear networks of any depth, brought to one form: a variance a layer and a clock.

A network A = α W_L ⋯ W_1 with learning rates η_1 … η_L follows the same path as the plain network with layers u_l W_l,
u_l = √(κ/η_l), and learning rate κ = (α² η_1 ⋯ η_L)^{1/L}: then Π u_l = α, and the step of u_lW_l, u_l²η_l times its
gradient, is κ times it for every layer. At two layers these are the units and the clock of `lindyn.laws`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from lindyn.networks.laws import Parametrization
from lindyn.solutions.deep_modes import deep_threshold
from lindyn.solutions.thresholds import start_variance
from lindyn.support import checks
from lindyn.support.bounds import DEEPEST_NETWORK, SQUARED, WIDEST

Widths = tuple[int, ...]


@dataclass(frozen=True)
class DeepParametrization:
    """Law of the weights and learning rates of A = multiplier · W_L ⋯ W_1 at given widths.

    Args:
        name: for print-outs.
        widths: hidden widths w_1 … w_{L−1}.
        variances: variance of an entry of each layer.
        multiplier: α, factor of the product.
        rates: learning rate of each layer relative to the nominal one.
        distribution: "normal" or "uniform".

    References:
        the change of variables in this module's docstring; theory (7.4).

    Examples:
        >>> [round(deep_mean_field(100, widths=(w, w)).threshold, 6) for w in (10**4, 10**6)]
        [0.1, 0.1]
    """

    name: str
    widths: Widths
    variances: tuple[float, ...]
    multiplier: float = 1.0
    rates: tuple[float, ...] = ()
    distribution: Literal["normal", "uniform"] = "normal"

    def __post_init__(self) -> None:
        """Refuse what no weights can be drawn from."""
        checks.text("name", self.name)
        widths = checks.listed("widths", self.widths, "a tuple of hidden widths")
        object.__setattr__(self, "widths", tuple(_width("widths", w) for w in widths))
        for name in ("variances", "rates"):
            values = checks.listed(name, getattr(self, name), "a tuple, one number a layer")
            if len(values) != len(widths) + 1 and (values or name == "variances"):
                raise checks.InvalidArgument(name, f"be {len(widths) + 1}, one a layer", f"there are {len(values)}")
            found = tuple(checks.number(name, value, at_least=0, at_most=SQUARED) for value in values)
            if name == "rates" and not all(found):
                raise checks.InvalidArgument(name, "be positive", "one is 0")
            object.__setattr__(self, name, found)
        checks.number("multiplier", self.multiplier, above=0, at_most=SQUARED)
        checks.choice("distribution", self.distribution, ("normal", "uniform"))
        _ = self.threshold  # refused where it is not a number

    @property
    def depth(self) -> int:
        """Number of layers L."""
        return len(self.variances)

    @property
    def clock(self) -> float:
        """Flow time κ of the plain form that passes in one step of learning rate 1."""
        return clock_of(self.rates or (1.0,) * self.depth, self.multiplier)

    @property
    def units(self) -> tuple[float, ...]:
        """Factors u_l between these weights and those of the plain form."""
        kappa = self.clock
        return tuple(math.sqrt(kappa / rate) for rate in self.rates or (1.0,) * self.depth)

    @property
    def threshold(self) -> float:
        """τ of the plain form: singular values below it are lazy, above it active."""
        return deep_threshold(self.plain_variances, self.widths)

    @property
    def plain_variances(self) -> tuple[float, ...]:
        """u_l²σ_l²: variance of an entry of each layer of the plain form."""
        return tuple(u**2 * v for u, v in zip(self.units, self.variances, strict=True))

    @property
    def start_variance(self) -> float:
        """n₀ = Π_l u_l²σ_l² Π_l w_l, the variance of an entry of A(0).

        Examples:
            >>> round(deep_standard((10, 10), 0.1).start_variance, 12)
            0.1
        """
        return float(start_variance(self.plain_variances, self.widths))

    def two_layers(self) -> Parametrization:
        """Return the same law as `TwoLayer` takes it, where there are two layers."""
        rates = self.rates or (1.0, 1.0)
        return Parametrization(
            self.name,
            self.widths[0],
            variance_in=self.variances[0],
            variance_out=self.variances[1],
            multiplier=self.multiplier,
            rate_in=rates[0],
            rate_out=rates[1],
            distribution=self.distribution,
        )


def clock_of(rates: tuple[float, ...], multiplier: float = 1.0) -> float:
    """Return κ = (α² η_1 ⋯ η_L)^{1/L}."""
    return math.exp((2 * math.log(multiplier) + sum(math.log(rate) for rate in rates)) / len(rates))


def hidden_widths(depth: int | None, width: Any) -> Widths:
    """Return hidden widths from one width and a depth, or from a width for each hidden layer.

    Examples:
        >>> hidden_widths(4, 10), hidden_widths(None, (10, 20)), hidden_widths(1, None)
        ((10, 10, 10), (10, 20), ())
    """
    if isinstance(width, tuple | list):
        own = tuple(_width("width", w) for w in width)
        if depth is not None and checks.integer("depth", depth, at_least=1) != len(own) + 1:
            raise checks.InvalidArgument("width", f"list {depth - 1} hidden widths", f"it lists {len(own)}")
        return own
    if depth is None:
        raise checks.InvalidArgument("depth", "be given with one width", "it is not", "or list a width a hidden layer")
    layers = checks.integer("depth", depth, at_least=1, at_most=DEEPEST_NETWORK)
    if layers == 1:
        return ()
    if width is None:
        raise checks.InvalidArgument("width", "be given", "it is not")
    return (_width("width", width),) * (layers - 1)


def _width(name: str, value: Any) -> int:
    found = checks.integer(name, value, at_least=1, remedy="a layer needs a hidden unit")
    if found > WIDEST:
        raise checks.InvalidArgument(name, f"be at most {WIDEST:.0e}", f"it is {checks.shown(found)}")
    return found


def deep_standard(widths: Widths, variances: Any) -> DeepParametrization:
    """Return iid N(0, σ²) weights, of one variance for all layers or one for each.

    Examples:
        >>> round(deep_standard((100, 100), 0.04).threshold, 12)
        8.0
    """
    depth = len(widths) + 1
    own = variances if isinstance(variances, tuple | list) else (variances,) * depth
    if len(own) != depth:
        raise checks.InvalidArgument("variance", f"be one number or {depth}, one a layer", f"it lists {len(own)}")
    return DeepParametrization("standard", widths, tuple(checks.number("variance", v, at_least=0) for v in own))


def deep_pytorch_default(shape: Any, *, widths: Widths) -> DeepParametrization:
    """Return `torch.nn.Linear`'s default in every layer: uniform weights of variance 1/(3·fan_in).

    Examples:
        >>> deep_pytorch_default((10, 20), widths=(100, 50)).variances[2] * 150
        1.0
    """
    _, d_in = checks.matrix_shape("shape", shape)
    return DeepParametrization(
        "PyTorch default", widths, tuple(1 / (3 * fan) for fan in (d_in, *widths)), distribution="uniform"
    )


def deep_ntk(shape: Any, *, widths: Widths) -> DeepParametrization:
    """Return A = W_L ⋯ W_1/√(d_in w_1 ⋯ w_{L−1}) with N(0, 1) weights (Jacot et al. 2018): lazy when wide.

    Examples:
        >>> round(deep_ntk(16, widths=(400,)).threshold, 12)  # √(w/d_in), as at two layers
        5.0
    """
    _, d_in = checks.matrix_shape("shape", shape)
    fans = math.prod(math.sqrt(fan) for fan in (d_in, *widths))
    return DeepParametrization("NTK", widths, (1.0,) * (len(widths) + 1), multiplier=1 / fans)


def deep_mean_field(shape: Any, *, widths: Widths) -> DeepParametrization:
    """Return the NTK form divided by √w_{L−1}, with rates × w_{L−1}: τ does not depend on the width.

    Examples:
        >>> round(deep_mean_field(100, widths=(400,)).threshold, 12)  # 1/√d_in, as at two layers
        0.1
    """
    lazy = deep_ntk(shape, widths=widths)
    last = widths[-1] if widths else 1
    return DeepParametrization(
        "mean field",
        widths,
        lazy.variances,
        multiplier=lazy.multiplier / math.sqrt(last),
        rates=(float(last),) * lazy.depth,
    )


def deep_mup(shape: Any, *, widths: Widths) -> DeepParametrization:
    """Return the maximal-update law for SGD (Yang & Hu 2021): variances 1/fan_in, the last 1/w², rates (w, 1 …, 1/w).

    Examples:
        >>> law = deep_mup((10, 20), widths=(100, 100))
        >>> law.variances, law.rates
        ((0.05, 0.01, 0.0001), (100.0, 1.0, 0.01))
    """
    _, d_in = checks.matrix_shape("shape", shape)
    if not widths:
        raise checks.InvalidArgument("depth", "be at least 2 for the maximal-update law", "it is 1")
    inner = len(widths) - 1
    return DeepParametrization(
        "maximal update",
        widths,
        (1 / d_in, *(1 / w for w in widths[:-1]), 1 / widths[-1] ** 2),
        rates=(float(widths[0]), *(1.0,) * inner, 1 / widths[-1]),
    )
