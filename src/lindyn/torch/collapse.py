"""Neural collapse of a classifier, with a certificate from its weights, and the balancedness of its linear layers.

Weight decay balances consecutive linear layers, and balanced layers that interpolate collapse: features of one class
become one point (NC1), the class means orthogonal and of one length (NC2), and the rows of the last layer their
directions (NC3). Which layers are linear is found out by running the model: two layers are consecutive if what the
second takes is, number by number, what the first has put out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lindyn.inspection.modules import linear_runs_with_relu
from lindyn.networks.live_layers import numbers, stored, walk
from lindyn.support import checks
from lindyn.support.linalg import numerical_rank

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("lindyn.torch needs PyTorch; install it with: pip install 'lindyn[torch]'.") from error


@dataclass(frozen=True)
class NeuralCollapse:
    """How far the features before the last linear layer have collapsed; made by `neural_collapse`.

    Attributes:
        nc1: Σ‖z − μ_class‖²/Σ‖μ_class − μ‖² over the samples: 0 when collapsed.
        nc2: condition number of the matrix of class means, of its singular values that are not zero: 1 when collapsed.
        nc3: mean cosine of each class mean with its row of the last layer: 1 when collapsed.
        certificate: an upper bound of `nc1` from weights and training error (11.4); infinite where it says nothing.
        classes: K.
        samples: N.
        linear_layers: 2 where the layer before the last is linear and follows at once, as the bound needs; else 1.
    """

    nc1: float
    nc2: float
    nc3: float
    certificate: float
    classes: int
    samples: int
    linear_layers: int


@dataclass(frozen=True)
class Balancedness:
    """Of two layers in a row, D = W2ᵀW2 − W1W1ᵀ − b1b1ᵀ; made by `balancedness`.

    Attributes:
        first: name of the first layer.
        second: name of the second.
        across: "linear", where all of D obeys Ḋ = −2μD under weight decay μ, or "ReLU", where only its diagonal does.
        size: ‖D‖_F, across a ReLU that of its diagonal.
        relative: `size` over ‖W1W1ᵀ‖_F + ‖W2ᵀW2‖_F, across a ReLU over the norms of their diagonals.
    """

    first: str
    second: str
    across: str
    size: float
    relative: float


def balancedness(model: nn.Module) -> list[Balancedness]:
    """Return how far consecutive linear layers are from balanced: D = W2ᵀW2 − W1W1ᵀ − b1b1ᵀ.

    Gradient flow with decay μ on all layers gives D(t) = e^{−2μt}D(0), exactly, whatever the loss and the rest of the
    model; across a ReLU the diagonal of D obeys it, one number for each hidden unit. Adam and AdamW break the law.

    Args:
        model: with `nn.Linear` layers that follow one another in an `nn.Sequential`, directly or with a ReLU between.

    Raises:
        InvalidArgument: there are no such layers.

    References:
        works (11.1)–(11.3): Jacot, Súkeník, Wang, Mondelli 2024.

    Examples:
        >>> layers = torch.nn.Linear(3, 2, bias=False), torch.nn.Linear(2, 3, bias=False)
        >>> with torch.no_grad():
        ...     _ = layers[1].weight.copy_(layers[0].weight.T)
        >>> [(pair.across, pair.size) for pair in balancedness(torch.nn.Sequential(*layers))]
        [('linear', 0.0)]
    """
    by_name = {seen: layer for _, seen, layer in walk(model)}
    return [_balance(one, by_name[one], two, by_name[two], across) for one, two, across in linear_runs_with_relu(model)]


def _balance(one: str, first: Any, two: str, second: Any, across: str) -> Balancedness:
    w1, w2 = _matrix(first, one), _matrix(second, two)
    above, below = w2.T @ w2, w1 @ w1.T
    if first.bias is not None:
        b = numbers(first.bias, f"{one}.bias").astype(np.float64)
        below = below + np.outer(b, b)
    if across != "linear":
        above, below = np.diag(above), np.diag(below)
    size = float(np.linalg.norm(above - below))
    scale = float(np.linalg.norm(above) + np.linalg.norm(below))
    return Balancedness(one, two, across, size, size / scale if scale else 0.0)


def neural_collapse(model: nn.Module, data: Any) -> NeuralCollapse:
    """Measure NC1, NC2 and NC3 of the features Z before the last linear layer, and bound NC1 by weights and error.

    With E = Y − W_L Z (Y one-hot), ‖·‖_w the Frobenius norm of the within-class part and
    ε = ‖W_LᵀW_L − W_{L−1}W_{L−1}ᵀ‖_op, the imbalance of the last two layers:

        NC1 ≤ [σ₁(W_L) (‖E‖_w/σ_K(W_L) + √ε ‖Z_{L−2}‖_w) / (‖Y − Ȳ‖_F − ‖E‖_between)]².

    It needs two linear layers in a row at the end, and is infinite with one, at the start of training, and wherever the
    denominator is not positive.

    Args:
        model: a classifier whose last `nn.Linear` puts out one number for each class; run in evaluation mode.
        data: (inputs, labels), or an iterable of such batches (a `DataLoader`); labels are 0 … K − 1.

    Raises:
        InvalidArgument: no linear layer at the end, labels that do not fit its outputs, or fewer than two classes.

    References:
        works (11.4), (11.6): Jacot, Súkeník, Wang, Mondelli 2024, who prove NC1 from balancedness and a small error;
        NC2 and NC3 need a near-optimal or a large-rate run.

    Examples:
        >>> features = torch.eye(3).repeat(4, 1)  # collapsed: one point a class
        >>> layer = torch.nn.Linear(3, 3, bias=False)
        >>> with torch.no_grad():
        ...     _ = layer.weight.copy_(torch.eye(3))
        >>> found = neural_collapse(torch.nn.Sequential(layer), (features, torch.arange(12) % 3))
        >>> round(found.nc1, 12), round(found.nc2, 6), round(found.nc3, 6), found.certificate
        (0.0, 1.0, 1.0, inf)
    """
    last, before, seen, labels = _run(model, data)
    classes = int(last.out_features)
    if labels.min() < 0 or labels.max() >= classes:
        raise checks.InvalidArgument(
            "data",
            f"have labels 0 … {classes - 1}, one for each output",
            f"they go from {labels.min()} to {labels.max()}",
        )
    present = np.unique(labels)
    if present.size < 2:
        raise checks.InvalidArgument("data", "hold two classes or more", f"it holds {present.size}")
    w, z = _matrix(last, "the last layer"), seen[-1]
    within, between, means = _split(z, labels, present)
    if not np.linalg.norm(between):
        raise checks.InvalidArgument(
            "data", "have class means that differ", "the features of all classes have one mean"
        )
    s = np.linalg.svd(means, compute_uv=False)
    s = s[: numerical_rank(s, means.shape)]
    sizes = np.linalg.norm(means, axis=1) * np.linalg.norm(w[present], axis=1)
    cosines = np.sum(means * w[present], axis=1) / np.where(sizes > 0, sizes, 1.0)
    bias = 0.0 if last.bias is None else numbers(last.bias, "bias").astype(np.float64)
    error = np.eye(classes)[labels] - z @ w.T - bias
    certificate = math.inf
    if len(seen) > 1:
        certificate = _certificate(w, _matrix(before, "the layer before"), error, seen[0], labels, present)
    return NeuralCollapse(
        nc1=float(np.sum(within**2) / np.sum(between**2)),
        nc2=float(s[0] / s[-1]),
        nc3=float(cosines.mean()),
        certificate=certificate,
        classes=int(present.size),
        samples=len(labels),
        linear_layers=len(seen),
    )


def _certificate(
    w: np.ndarray, below: np.ndarray, error: np.ndarray, z: np.ndarray, labels: np.ndarray, present: np.ndarray
) -> float:
    """The bound (11.4); infinite where it says nothing."""
    s = np.linalg.svd(w, compute_uv=False)
    imbalance = float(np.linalg.norm(w.T @ w - below @ below.T, 2))
    error_within, error_between, _ = _split(error, labels, present)
    z_within, _, _ = _split(z, labels, present)
    _, target, _ = _split(np.eye(len(w))[labels], labels, present)
    room = float(np.linalg.norm(target) - np.linalg.norm(error_between))
    if room <= 0 or len(s) < len(w) or numerical_rank(s, (1,)) < len(w):
        return math.inf
    reach = np.linalg.norm(error_within) / s[-1] + math.sqrt(imbalance) * np.linalg.norm(z_within)
    return float((s[0] * reach / room) ** 2)


def _split(values: np.ndarray, labels: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Within-class part and between-class part of every sample, and the class means, a row each."""
    index = np.searchsorted(present, labels)
    means = np.stack([values[index == k].mean(axis=0) for k in range(present.size)])
    return values - means[index], means[index] - values.mean(axis=0), means


def _run(model: nn.Module, data: Any) -> tuple[Any, Any, list[np.ndarray], np.ndarray]:
    """Run the data: last linear layer, the one before, what they take in (of two in a row: both), and the labels."""
    calls: list[tuple[Any, Any, Any]] = []
    hooks = [
        m.register_forward_hook(lambda layer, taken, out: calls.append((layer, taken[0], out)))
        for m in model.modules()
        if isinstance(m, nn.Linear)
    ]
    training = {m: m.training for m in model.modules()}
    parts: list[list[np.ndarray]] = [[], []]
    labels, two, last, before = [], True, None, None
    try:
        model.eval()
        with torch.no_grad():
            for inputs, classes in _batches(data):
                calls.clear()
                model(inputs)
                if not calls:
                    raise checks.InvalidArgument("model", "end in an nn.Linear layer", "it has none")
                last, taken, _ = calls[-1]
                before, previous, out = calls[-2] if len(calls) > 1 else (None, None, None)
                # in a row: what the last layer takes is what the one before has put out, number by number
                two = two and out is not None and out.shape == taken.shape and bool(torch.equal(out, taken))
                parts[1].append(_rows(taken))
                parts[0].append(_rows(previous) if two else np.empty((0, 0)))
                labels.append(np.asarray(torch.as_tensor(classes).cpu()).reshape(-1))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training.items():
            module.training = mode
    if not labels:
        raise checks.InvalidArgument("data", "hold samples", "it is empty")
    seen = [np.concatenate(part) for part in (parts if two else parts[1:])]
    known = np.concatenate(labels).astype(np.int64)
    if len(known) != len(seen[-1]):
        raise checks.InvalidArgument(
            "data", "have one label for each row of features", f"there are {len(known)} and {len(seen[-1])}"
        )
    return last, before, seen, known


def _batches(data: Any) -> Iterable[tuple[Any, Any]]:
    """One batch or many."""
    if isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], torch.Tensor):
        return [(data[0], data[1])]
    if not hasattr(data, "__iter__"):
        raise checks.InvalidArgument("data", "be (inputs, labels), or batches of them", f"it is {type(data).__name__}")
    return data


def _rows(features: Any) -> np.ndarray:
    return numbers(features.reshape(-1, features.shape[-1]), "features").astype(np.float64)


def _matrix(layer: Any, name: str) -> np.ndarray:
    return numbers(stored(layer, name), name).astype(np.float64)
