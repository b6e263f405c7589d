"""Methods: how a motion is computed. Plain descriptions; `lindyn.simulate` runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lindyn.methods.rules import MuonScale
from lindyn.support import checks

LearningRate = float | Literal["auto", "figure1"]


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """Number of steps, common to the discrete methods."""

    steps: int = 750

    def __post_init__(self) -> None:
        checks.integer("steps", self.steps, at_least=0)


def _check_rate(learning_rate: LearningRate) -> None:
    if isinstance(learning_rate, str):
        checks.choice("learning_rate", learning_rate, ("auto", "figure1"))
    else:
        checks.number("learning_rate", learning_rate, above=0)


@dataclass(frozen=True, kw_only=True)
class GradientDescent(_Steps):
    """Gradient descent V ← (I − ηS)V, exactly, on the reduced factor; with PyTorch's options for SGD.

    On a matrix dynamics (Mixed, Lazy, Balanced) it is the Euler step A ← A + η·velocity.

    Args:
        learning_rate: η; "auto" is the published rule of Figure 2, η = 1/(50τ) if τ > ‖A*‖_F, else 1/(50‖A*‖_op)
            (capped at half the stability bound); "figure1" is 1/(5‖A*‖_op).
        steps: number of steps.
        order: "simultaneous", or "sequential" as in the paper's published code: W2's step uses the W1 just made.
        momentum: μ of b ← μb + g, W ← W − ηb.
        nesterov: use g + μb instead.
        weight_decay: added to the gradient of each layer, as μW.
        clip_norm: largest global norm of the gradient of both layers, exactly (PyTorch divides by norm + 10⁻⁶).
        batch_size: samples a step, without replacement (Regression only).
        batches: explicit sample numbers, shape (steps, batch size), instead of `batch_size`.
        label_noise: standard deviation of fresh Gaussian noise on the outputs at every step (Regression only).
        key: seed of batches and label noise.

    Raises:
        InvalidArgument: an option that cannot be used, alone or with the others.

    References:
        theory (1.2), (1.3), section 4.

    Examples:
        >>> GradientDescent(learning_rate=0.1, steps=10).order
        'simultaneous'
    """

    learning_rate: LearningRate = "auto"
    order: Literal["simultaneous", "sequential"] = "simultaneous"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    clip_norm: float | None = None
    batch_size: int | None = None
    batches: Any = None
    label_noise: float = 0.0
    key: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rate(self.learning_rate)
        checks.choice("order", self.order, ("simultaneous", "sequential"))
        if not 0 <= checks.number("momentum", self.momentum) < 1:
            raise checks.InvalidArgument("momentum", "lie in [0, 1)", f"it is {self.momentum:g}")
        checks.number("weight_decay", self.weight_decay, at_least=0)
        checks.number("label_noise", self.label_noise, at_least=0)
        checks.integer("key", self.key, at_least=0)
        if self.nesterov and not self.momentum:
            raise checks.InvalidArgument("nesterov", "come with momentum", "momentum is 0", "set momentum=0.9, say")
        if self.clip_norm is not None:
            checks.number("clip_norm", self.clip_norm, above=0)
            if self.order == "sequential":
                raise checks.InvalidArgument(
                    "clip_norm",
                    "come with simultaneous steps",
                    "order is 'sequential'",
                    "the norm is of both layers",
                )
        if self.batch_size is not None:
            checks.integer("batch_size", self.batch_size, at_least=1)
        if self.batches is not None:
            if self.batch_size is not None:
                raise checks.InvalidArgument("batches", "be given instead of `batch_size`", "both are given")
            rows = np.asarray(self.batches)
            if rows.ndim != 2 or len(rows) != self.steps or not np.issubdtype(rows.dtype, np.integer):
                raise checks.InvalidArgument(
                    "batches",
                    f"be integers of shape (steps = {self.steps}, batch size)",
                    f"it is {rows.dtype} of shape {rows.shape}",
                )


@dataclass(frozen=True, kw_only=True)
class Muon(_Steps):
    """Muon: descent along orthogonalised momentum, on the reduced factor, as PyTorch's `torch.optim.Muon`.

    Args:
        learning_rate: η.
        steps: number of steps.
        momentum: β of m ← βm + (1 − β)g.
        nesterov: orthogonalise (1 − β)g + βm instead of m.
        weight_decay: decoupled, W ← (1 − ημ)W.
        newton_schulz_steps: iterations of the quintic.
        scale: "original" multiplies by √max(1, rows/columns), "match_rms_adamw" by 0.2√max(rows, columns), of the
            full layers; "none" by 1.

    References:
        theory (1.3); Jordan et al. (2024).

    Examples:
        >>> Muon(learning_rate=0.02, steps=5).scale
        'original'
    """

    learning_rate: float = 0.02
    momentum: float = 0.95
    nesterov: bool = True
    weight_decay: float = 0.0
    newton_schulz_steps: int = 5
    scale: MuonScale = "original"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("learning_rate", self.learning_rate, above=0)
        if not 0 <= checks.number("momentum", self.momentum) < 1:
            raise checks.InvalidArgument("momentum", "lie in [0, 1)", f"it is {self.momentum:g}")
        checks.number("weight_decay", self.weight_decay, at_least=0)
        checks.integer("newton_schulz_steps", self.newton_schulz_steps, at_least=1)
        checks.choice("scale", self.scale, ("original", "match_rms_adamw", "none"))


@dataclass(frozen=True, kw_only=True)
class Optimizer(_Steps):
    """Any optax rule on {"w1": (w, d_in), "w2": (d_out, w)}.

    Before the run the rule is tried on a small network and its embedding: if it commutes with V ↦ VQ it runs on
    the reduced factor at any width, else (Adam, sign descent, a shape-dependent factor) on the full weights where
    they fit in memory, and is refused, with the memory it would need, where they do not.

    Args:
        rule: an `optax.GradientTransformation`, its learning rate included.
        steps: number of steps.
        learning_rate: nominal rate for the clock t = η·step; 1 if left out, when time counts steps.
        key: seed of the full weights, when a sampled network must be expanded.

    References:
        theory (1.3).

    Examples:
        >>> import optax
        >>> Optimizer(rule=optax.adam(1e-2), steps=10).steps
        10
    """

    rule: Any
    learning_rate: float = 1.0
    key: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (callable(getattr(self.rule, "init", None)) and callable(getattr(self.rule, "update", None))):
            raise checks.InvalidArgument(
                "rule",
                "be an optax.GradientTransformation",
                f"it is {self.rule!r}",
                "for example optax.adam(1e-2)",
            )
        checks.number("learning_rate", self.learning_rate, above=0)


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Gradient flow by an adaptive solver of diffrax, on the network's factor or on the matrix dynamics.

    Args:
        solver: "dopri8" (order 8), "tsit5" (order 5), or "kvaerno5" (implicit, order 5, for stiff problems: its
            Newton steps form a Jacobian of order d_out·d_in, so it is for small matrices).
        rtol: relative tolerance of a step; 1e-10 in float64 and 1e-5 in float32 if left out.
        atol: absolute tolerance; rtol·min(τ, ‖A*‖)/10 if left out, so that modes of size τ are resolved.
        weight_decay: μ ≥ 0 on both layers of a network (Mixed and its limits carry their own).
        max_steps: solver steps allowed between two saved times.

    References:
        theory (1.1), (2.1); Kidger (2021) for diffrax.

    Examples:
        >>> Flow(rtol=1e-6).solver
        'dopri8'
    """

    solver: Literal["dopri8", "tsit5", "kvaerno5"] = "dopri8"
    rtol: float | None = None
    atol: float | None = None
    weight_decay: float = 0.0
    max_steps: int = 100_000

    def __post_init__(self) -> None:
        checks.choice("solver", self.solver, ("dopri8", "tsit5", "kvaerno5"))
        for name in ("rtol", "atol"):
            if getattr(self, name) is not None:
                checks.number(name, getattr(self, name), above=0)
        checks.number("weight_decay", self.weight_decay, at_least=0)
        checks.integer("max_steps", self.max_steps, at_least=1)


@dataclass(frozen=True)
class ClosedForm:
    """The exact solution, where there is one: a quadratic cost, no weight decay, and Mixed, Lazy, Balanced or a
    network whose flow is the mixed formula (such as `TwoLayer.orthogonal`).

    References:
        theory (3.1), (2.4).

    Examples:
        >>> ClosedForm()
        ClosedForm()
    """


Method = GradientDescent | Muon | Optimizer | Flow | ClosedForm
