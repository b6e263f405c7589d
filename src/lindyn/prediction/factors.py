"""Prediction of a pair of factors under SGD: each singular value of the product against step."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np

from lindyn.dynamics import Mixed
from lindyn.methods.flow import Flow
from lindyn.methods.rates import StabilityWarning
from lindyn.methods.recorded_steps import save_steps
from lindyn.networks.laws import Parametrization
from lindyn.networks.live_layers import lora_layers
from lindyn.networks.two_layer import TwoLayer
from lindyn.prediction.losses import curvature_of
from lindyn.simulation.simulation import simulate
from lindyn.simulation.trajectory import Trajectory, Variable
from lindyn.solutions.balanced import NarrowSolution
from lindyn.solutions.factor_motion import AbstractFactors, TargetModes, target_modes
from lindyn.solutions.integrated import FactorFlow
from lindyn.solutions.mixed import MixedSolution
from lindyn.solutions.step_sizes import stability_limit
from lindyn.support import checks
from lindyn.support.bounds import MOST_STEPS, SCALE, SQUARED
from lindyn.support.labels import OF_STATES
from lindyn.support.linalg import stable_rank
from lindyn.support.provenance import Provenance
from lindyn.support.randomness import Seed, stream
from lindyn.tasks.spiked import SpikedMatrix

Formula = Literal["auto", "narrow", "mixed", "flow"]
Record = tuple[np.ndarray, float, float]  # singular values, ‖A − T‖_F², threshold

_WHY = {
    "narrow": "closed form of λ-balanced factors (3.4)",
    "mixed": "closed form of the mixed dynamics (3.1)",
    "flow": "flow of these factors, integrated in the target's singular basis (1.1)",
}


class _Clock(NamedTuple):
    """How steps become flow time, and weight decay a rate of flow time."""

    per_step: float
    momentum: float
    decays: tuple[float, float]

    def times(self, steps: np.ndarray) -> np.ndarray:
        """Flow time of each step: momentum multiplies the rate by 1/(1 − β), after a lag of β/(1 − β) steps."""
        beta = self.momentum
        return self.per_step / (1 - beta) * (steps - beta * (1 - beta**steps) / (1 - beta))


def predict_factors(
    start: Any,
    target: Any = None,
    *,
    gradient: Any = None,
    loss: Any = None,
    curvature: float | None = None,
    scale: float = 1.0,
    learning_rate: float,
    steps: int,
    save_every: int | Sequence[int] = 1,
    rate_ratio: float = 1.0,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    optimizer: Any = "sgd",
    formula: Formula = "auto",
    draws: int = 8,
    key: Seed = 0,
) -> Trajectory:
    """Predict every singular value of A = s·W2W1 against step, under SGD on the cost (c/2)‖A − T‖_F².

    "auto" takes, and the trajectory says which: (3.4) for narrow factors that are λ-balanced; the integrated flow of
    these very factors for other narrow ones, a LoRA adapter as it is drawn, and with weight decay; (3.1) with the
    measured threshold for a hidden layer as wide as d_in + d_out, accurate to O(√((d_in + d_out)/w)).

    Gradient descent follows the flow to first order in the learning rate; a note gives the relative error of its
    rates, ½ηκ(1 + β)/(1 − β)², κ the largest rate. Momentum β runs the clock at η/(1 − β), β/(1 − β) steps late.
    Mini-batches follow it on average. Unequal rates run on the clock √(η₁η₂) with τ√(η₂/η₁) in place of τ; under
    weight decay τ(t) = τe^{−2μt}. For the steps themselves instead of their flow: `simulate` with `GradientDescent`.

    Args:
        start: (W1, W2), shapes (w, d_in) and (d_out, w): arrays or tensors (LoRA: A and B); or a LoRA layer, of PEFT
            or another library, or a model with one, whose A, B and scale are taken; or a `TwoLayer`; or only a law,
            such as `lindyn.laws.lora(...)`: the prediction is then the mean over `draws` starts, with
            "singular_values_std" beside it, and is marked as statistical.
        target: T, shape (d_out, d_in), or a pair (left, right) of factors with T = left·right. LoRA: the ΔW to learn.
        gradient: instead of the target, ∇C at the start with respect to A (LoRA: to the adapted weight):
            T = A(0) − gradient/c.
        loss: "mse" or a `torch.nn.MSELoss`: the cost ‖A − T‖_F²/d_out of whitened inputs, c = 2/d_out.
        curvature: c, instead; 1 if both are left out.
        scale: s of a pair (LoRA: α/r, or α/√r).
        learning_rate: η, that of W1.
        steps: number of steps to cover.
        save_every: record every so many steps (the last one always), or at these steps.
        rate_ratio: η₂/η₁ of a pair (LoRA+: η_B/η_A).
        momentum: β of heavy-ball SGD, in [0, 1).
        weight_decay: μ of both layers, per step and learning rate as in `torch.optim.SGD`.
        optimizer: name of the optimiser, or the object, of which only the kind is looked at: SGD or a refusal.
        formula: "auto"; "narrow": (3.4) with the mean τ even if the start is not balanced; "mixed": (3.1); "flow".
        draws: number of starts drawn of a law.
        key: seed of those.

    Returns:
        A trajectory of "singular_values" (of A), "train_error" ‖A − T‖_F²/(d_out d_in), "stable_rank" and
        "threshold".

    Raises:
        InvalidArgument: shapes that do not chain, entries that are not finite, an optimiser other than SGD, and
            anything else that cannot be used.

    Warns:
        StabilityWarning: the learning rate is above the stability bound.

    References:
        theory (3.4), (3.1), (2.5)–(2.8).

    Examples:
        >>> import numpy as np
        >>> from lindyn.networks.laws import lora
        >>> target = np.diag([2.0, 1.0, 0.0, 0.0])
        >>> a, b = TwoLayer.lora(4, rank=2, key=0).weights()
        >>> run = predict_factors((a, b), target, learning_rate=0.01, steps=2000, save_every=500)
        >>> run["singular_values"][-1].round(4).tolist()
        [2.0, 1.0]
        >>> print(predict_factors(lora(4, rank=2), target, learning_rate=0.01, steps=300).info.notes[-1])
        statistical: mean and standard deviation over 8 starts drawn of the law; one start deviates from the mean
    """
    _refuse_other_optimizers(optimizer)
    checks.choice("formula", formula, ("auto", *_WHY))
    checks.exactly_one("target", target, "gradient", gradient)
    momentum = checks.number("momentum", momentum, at_least=0)
    if momentum >= 1:
        raise checks.InvalidArgument("momentum", "be below 1", f"it is {momentum:g}")
    rate = checks.number("learning_rate", learning_rate, above=0, at_most=SQUARED)
    curvature = curvature_of(loss, curvature, _outputs(start, target))
    mu = checks.number("weight_decay", weight_decay, at_least=0, at_most=SQUARED)
    chosen_steps = save_steps(checks.integer("steps", steps, at_least=0, at_most=MOST_STEPS), save_every).astype(float)

    began = time.perf_counter()
    modes, starts = _problem(start, target, gradient, curvature, (scale, rate_ratio, draws, key))
    net, drawn = starts[0], len(starts) if isinstance(start, Parametrization) else 0
    clock = _clock(net, rate, curvature, momentum, mu)
    times = clock.times(chosen_steps)
    chosen = _choose(formula, net, clock.decays)
    try:
        records = [list(_records(chosen, n, modes, times, clock.decays)) for n in starts]
    except checks.InvalidArgument as error:
        raise error.renamed({"time": "steps"}) from error
    data = _curves(records, net.shape)
    if not drawn:
        del data["singular_values_std"]
    room, slow = _stability(net, modes, clock)
    if room < 1:
        warnings.warn(
            f"Learning rate {rate:.4g} is above the stability bound {room * rate:.4g}, where descent does not follow "
            f"its flow. Use a learning rate well below {room * rate:.4g}.",
            StabilityWarning,
            stacklevel=2,
        )
    info = Provenance(
        dynamics=f"factors of width {net.width:,}",
        law=net.law,
        method="flow" if chosen == "flow" else "closed form",
        why=_WHY[chosen] + (", as asked" if formula != "auto" else ""),
        task="quadratic cost",
        shape=tuple(net.shape),
        threshold=float(data["threshold"][0]),
        dtype=net.dtype.name,
        state_bytes=net.w1.nbytes + net.w2.nbytes,
        learning_rate=rate,
        stability_bound=room * rate,
        seconds_run=time.perf_counter() - began,
        notes=tuple(_notes(chosen, net, modes, clock, slow, drawn)),
        sources=("tu2024mixed", "domine2024lazy"),
    )
    variables = {name: Variable(("mode",) if v.ndim == 2 else (), *OF_STATES[name]) for name, v in data.items()}
    return Trajectory(times, chosen_steps, data, variables, info)


def _problem(
    start: Any, target: Any, gradient: Any, curvature: float, of_start: tuple[float, float, int, Seed]
) -> tuple[TargetModes, list[TwoLayer]]:
    """The modes of the target, or of the one that a gradient points to, and the starts, of the same shape."""
    if gradient is None:
        modes = target_modes(target)
        starts = _starts(start, modes.shape, *of_start)
    else:
        gradient = checks.array("gradient", gradient, 2)
        starts = _starts(start, None, *of_start)
        if gradient.shape != starts[0].shape:
            must = f"have the shape {starts[0].shape} of the product"
            raise checks.InvalidArgument("gradient", must, f"its shape is {gradient.shape}")
        modes = target_modes(starts[0].matrix - gradient / curvature)
    if modes.shape != starts[0].shape:
        raise checks.InvalidArgument(
            "target", f"have the shape {starts[0].shape} of the product", f"its shape is {modes.shape}"
        )
    return modes, starts


def _clock(net: TwoLayer, rate: float, curvature: float, momentum: float, weight_decay: float) -> _Clock:
    ratio = net.units[0] / net.units[1]  # √(η₂/η₁)
    decay = weight_decay / (net.units[0] * net.units[1] * curvature)  # of a layer that learns at √(η₁η₂), in flow time
    return _Clock(rate * curvature * net.clock, momentum, (decay / ratio, decay * ratio))


def _curves(runs: list[list[Record]], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Means over starts of what was recorded, and the standard deviation of the singular values."""
    values = np.array([[record[0] for record in run] for run in runs])
    losses = np.array([[record[1] for record in run] for run in runs])
    thresholds = np.abs([[record[2] for record in run] for run in runs])
    return {
        "singular_values": values.mean(0),
        "train_error": losses.mean(0) / math.prod(shape),
        "stable_rank": stable_rank(values).mean(0),
        "threshold": thresholds.mean(0),
        "singular_values_std": values.std(0),
    }


def _outputs(start: Any, target: Any) -> int | None:
    """Number of outputs of the product: rows of its target, or of the second factor."""
    matrix = target[0] if isinstance(target, tuple) and target else target
    if matrix is not None:
        return len(checks.array("target", matrix, 2))
    if isinstance(start, tuple | list) and len(start) == 2:
        return len(checks.array("start[1]", start[1], 2))
    return int(start.shape[0]) if isinstance(start, TwoLayer) else None


def _refuse_other_optimizers(optimizer: Any) -> None:
    name = optimizer if isinstance(optimizer, str) else type(optimizer).__name__
    if name.lower() != "sgd":
        raise checks.InvalidArgument(
            "optimizer",
            "be SGD, whose flow conserves W1W1ᵀ − W2ᵀW2",
            f"it is {name}, which does not",
            "follow the thresholds while training with lindyn.torch.RegimeTracker",
        )


def _starts(
    start: Any, shape: tuple[int, int] | None, scale: float, rate_ratio: float, draws: int, key: Seed
) -> list[TwoLayer]:
    """The factors in the units of the plain network, one start or `draws` of a law."""
    s = checks.number("scale", scale, above=0, at_most=SCALE)
    ratio = checks.number("rate_ratio", rate_ratio, above=0, at_most=SCALE)
    if isinstance(start, TwoLayer | Parametrization):
        for name, value in (("scale", s), ("rate_ratio", ratio)):
            if value != 1:
                raise checks.InvalidArgument(
                    name, "be left out", f"it is {value:g}, and `start` has its own", "or pass a pair"
                )
    if isinstance(start, TwoLayer):
        return [start]
    if isinstance(start, Parametrization):
        if shape is None:
            raise checks.InvalidArgument(
                "start",
                "be a pair of factors or a TwoLayer when a gradient is given",
                "it is a law",
                "or give `target`",
            )
        rng = stream("key", key, "starts")
        nets = [TwoLayer.parametrized(shape, start, rng) for _ in range(checks.integer("draws", draws, at_least=2))]
        return [replace(n, threshold=start.threshold_on(n.shape)) for n in nets]
    if hasattr(start, "named_modules"):
        if s != 1:
            raise checks.InvalidArgument("scale", "be left out", f"it is {s:g}, and the adapter has its own")
        *start, s = _of_adapter(start)
    if not isinstance(start, tuple | list) or len(start) != 2:
        raise checks.InvalidArgument(
            "start",
            "be a pair (W1, W2), a LoRA layer, a TwoLayer or a Parametrization",
            f"it is {type(start).__name__}",
        )
    first, second = (checks.array(f"start[{i}]", w, 2) for i, w in enumerate(start))
    if second.shape[1] != first.shape[0]:
        raise checks.InvalidArgument(
            "start[1]", f"have {first.shape[0]} columns, one for each row of `start[0]`", f"its shape is {second.shape}"
        )
    law = Parametrization("given factors", first.shape[0], 0.0, 0.0, multiplier=s, rate_out=ratio)
    net = TwoLayer.from_weights(law.units[0] * first, law.units[1] * second)
    if not (first.any() or second.any()):
        raise checks.InvalidArgument(
            "start", "have a layer that is not zero", "both are zero, from where nothing moves"
        )
    return [replace(net, clock=law.clock, units=law.units)]


def _of_adapter(module: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """A, B and s of the one adapter that a live layer or model holds."""
    found = lora_layers(module)
    if len(found) != 1:
        names = ", ".join(" ".join(filter(None, (layer.path, layer.adapter))) for layer in found[:3])
        but = f"it holds {len(found)}: {names}" + (" …" if len(found) > 3 else "") if found else "it holds none"
        raise checks.InvalidArgument(
            "start",
            "hold one LoRA adapter",
            but,
            "pass one of its layers, model.get_submodule(…), or (A, B) and `scale`",
        )
    try:
        first, second = found[0].tensors()
        scale = found[0].scale
    except checks.InvalidArgument as error:
        raise error.renamed({"source": "start"}) from error
    if first.ndim != 2 or second.ndim != 2 or found[0].experts > 1:
        raise checks.InvalidArgument(
            "start", "hold one product s·BA", f"the factors of {found[0].name} are those of a convolution or of experts"
        )
    return first, second, scale


def _choose(formula: str, net: TwoLayer, decays: tuple[float, float]) -> str:
    if decays[0] != decays[1] and (formula == "mixed" or net.width >= min(net.shape)):
        raise checks.InvalidArgument(
            "weight_decay", "be 0 for a wide pair with unequal learning rates", "it is not, and no threshold is known"
        )
    if formula == "narrow" and any(decays):
        raise checks.InvalidArgument("formula", "be 'flow' with weight decay", "it is 'narrow', which has none")
    if formula != "auto":
        return formula
    if net.width >= sum(net.shape):
        return "mixed"
    balance = net.imbalance().astype(np.float64)
    balance -= np.trace(balance) / len(balance) * np.eye(len(balance))
    size = float(np.linalg.norm(net.w1, 2) ** 2 + np.linalg.norm(net.w2, 2) ** 2)
    exact = float(np.linalg.norm(balance, 2)) <= 100 * float(np.finfo(net.dtype).eps) * size
    return "narrow" if exact and not any(decays) else "flow"


def _records(
    formula: str, net: TwoLayer, modes: TargetModes, times: np.ndarray, decays: tuple[float, float]
) -> Iterator[Record]:
    if formula == "mixed":
        yield from _mixed_records(net, modes, times, decays[0])
        return
    motion: AbstractFactors = (
        NarrowSolution(modes, net.w1, net.w2)
        if formula == "narrow"
        else FactorFlow(modes, net.w1, net.w2, weight_decay=decays)
    )
    for t, (s, loss, mean) in zip(times, motion.records(times), strict=True):
        narrow = net.width < min(net.shape)  # D has its full rank then, and τ is its mean (2.7)
        yield s, loss, mean if narrow else net.threshold * math.exp(-2 * decays[0] * t)


def _mixed_records(net: TwoLayer, modes: TargetModes, times: np.ndarray, decay: float) -> Iterator[Record]:
    target = (modes.left * modes.values) @ modes.right.T
    start = net.matrix.astype(np.float64)
    if decay:
        task = SpikedMatrix(target=target)
        run = simulate(
            Mixed(net.threshold, start, weight_decay=decay),
            task,
            Flow(),
            times=times,
            observables=["singular_values", "train_error"],
            progress=False,
        )
        for t, s, error in zip(times, run["singular_values"], run["train_error"], strict=True):
            yield s, float(error) * target.size, net.threshold * math.exp(-2 * decay * t)
        return
    solution = MixedSolution(target, net.threshold, start)
    for t in times:
        matrix = solution(float(t))
        s = np.linalg.svd(matrix, compute_uv=False)
        yield s, float(np.sum((matrix - target) ** 2)), net.threshold


def _stability(net: TwoLayer, modes: TargetModes, clock: _Clock) -> tuple[float, float]:
    """Distance to the stability bound, 2(1 + β)/ηκ, and relative error of the top rate, ½ηκ(1 + β)/(1 − β)²."""
    first, second = (float(np.linalg.norm(w, 2) ** 2) for w in (net.w1, net.w2))
    highest = float(modes.values[0]) if modes.values.size else 0.0
    beta = clock.momentum
    room = float(stability_limit(first, second, highest, net.threshold, momentum=beta)) / clock.per_step
    return room, ((1 + beta) / (1 - beta)) ** 2 / room


def _notes(formula: str, net: TwoLayer, modes: TargetModes, clock: _Clock, slow: float, draws: int) -> list[str]:
    notes = [f"first order in the learning rate: the fastest rates of descent are off by about {slow:.2%}"]
    if clock.momentum:
        lag = clock.momentum / (1 - clock.momentum)
        notes.append(
            f"momentum {clock.momentum:g}: effective rate η/(1 − β), {lag:.3g} steps late; the error above grows"
        )
    if formula == "narrow":
        residual = NarrowSolution(modes, net.w1, net.w2).residual
        notes.append(f"‖D − 2τI‖ is {residual:.2g} of the layers' size; (3.4) is exact at 0")
    if formula == "mixed":
        share = math.sqrt(sum(net.shape) / net.width)
        notes.append(
            f"(3.1) holds to O(√((d_in + d_out)/w)) = {share:.2g} for random weights, exactly for orthogonal ones"
        )
    if any(clock.decays):
        notes.append("weight decay: τ falls as e^{−2μηn} where both layers decay alike (2.8)")
    if draws:
        notes.append(
            f"statistical: mean and standard deviation over {draws} starts drawn of the law; one start deviates from "
            "the mean"
        )
    return notes
