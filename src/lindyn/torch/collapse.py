"""Neural collapse of a classifier, with a certificate from its weights, and the balancedness of its linear layers.

Weight decay balances consecutive linear layers, and balanced layers that interpolate collapse: features of one class
become one point (NC1), the class means orthogonal and of one length (NC2), and the rows of the last layer their
directions (NC3). Which layers are linear is found out by running the model: two layers are consecutive if what the
second takes is, number by number, what the first has put out.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lindyn.inspection.modules import linear_runs_with_relu
from lindyn.networks.live_layers import numbers, stored, walk
from lindyn.support import checks
from lindyn.support.linalg import numerical_rank
from lindyn.support.randomness import stream

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("lindyn.torch needs PyTorch; install it with: pip install 'lindyn[torch]'.") from error


# calls of linear layers that are kept of a forward pass: the two that matter, and heads beside the last
_KEPT = 8
_DENSE = 100  # units up to which all eigenvalues are as fast as the largest
_TOLERANCE = 1e-3  # of the largest eigenvalue, by which the bound is raised


@dataclass(frozen=True)
class NeuralCollapse:
    """How far the features before the last linear layer have collapsed; made by `neural_collapse`.

    All are NaN, and the certificate infinite, where weights or features are not finite.

    Attributes:
        nc1: Σ‖z − μ_class‖²/Σ‖μ_class − μ‖² over the samples: 0 when collapsed.
        nc2: condition number of the matrix of class means, of its singular values that are not zero: 1 when collapsed.
        nc3: mean cosine of each class mean with its row of the last layer: 1 when collapsed.
        certificate: an upper bound of `nc1` from weights and training error (11.4); infinite where it says nothing.
        condition: σ₁/σ_K of the last layer, which `nc2` equals at interpolation (11.6); infinite below rank K.
        nc3_of_weights: what `nc3` is at interpolation, the mean of 1/√(M_kk (M⁻¹)_kk), M = W_LW_Lᵀ (11.6).
        classes: K.
        samples: N.
        linear_layers: 2 where the layer before the last is linear and follows at once, as the bound needs; else 1.
    """

    nc1: float
    nc2: float
    nc3: float
    certificate: float
    condition: float
    nc3_of_weights: float
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
    checks.answering("model", model, "named_modules", "an nn.Module")
    by_name = {seen: layer for _, seen, layer in walk(model)}
    return [_balance(one, by_name[one], two, by_name[two], across) for one, two, across in linear_runs_with_relu(model)]


def _balance(one: str, first: Any, two: str, second: Any, across: str) -> Balancedness:
    w1, w2 = numbers(stored(first, one), one), numbers(stored(second, two), two)
    bias = np.zeros(1) if first.bias is None else numbers(first.bias, f"{one}.bias")
    if across == "linear":  # in the weights' own precision, beyond which their rounding leaves no D
        above, below = w2.T @ w2, w1 @ w1.T
        below += np.outer(bias, bias)
    else:  # squares summed in float64, without a copy of the weights
        above = np.einsum("ij,ij->j", w2, w2, dtype=np.float64)
        below = np.einsum("ij,ij->i", w1, w1, dtype=np.float64) + np.square(bias, dtype=np.float64)
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
        model: a classifier that puts out what its last `nn.Linear` does (or the softmax of it), one number for each
            class; it is run in evaluation mode, and neither its mode nor any random state is changed.
        data: (inputs, labels), or an iterable of such batches (a `DataLoader`), or of mappings with "labels" that the
            model takes by name, as in the Hugging Face Trainer; labels are 0 … K − 1.

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
    checks.answering("model", model, "named_modules", "an nn.Module")
    last, before, seen, labels = _run(model, data)
    present = _classes(labels, int(last.out_features))
    w, z = _matrix(last, "the last layer"), seen[-1]
    bias = 0.0 if last.bias is None else numbers(last.bias, "bias").astype(np.float64)
    counts = {"classes": int(present.size), "samples": len(labels), "linear_layers": len(seen)}
    below = numbers(stored(before, "the layer before"), "the layer before") if len(seen) > 1 else np.empty((0, 0))
    if not all(np.isfinite(part).all() for part in (w, bias, below, *seen)):
        return NeuralCollapse(math.nan, math.nan, math.nan, math.inf, math.nan, math.nan, **counts)
    within, between, means = _split(z, labels, present)
    if not np.linalg.norm(between):
        raise checks.InvalidArgument(
            "data", "have class means that differ", "the features of all classes have one mean"
        )
    s = np.linalg.svd(means, compute_uv=False)
    s = s[: numerical_rank(s, means.shape)]
    sizes = np.linalg.norm(means, axis=1) * np.linalg.norm(w[present], axis=1)
    cosines = np.sum(means * w[present], axis=1) / np.where(sizes > 0, sizes, 1.0)
    error = np.eye(len(w))[labels] - z @ w.T - bias
    condition, nc3_of_weights = _of_weights(w)
    return NeuralCollapse(
        nc1=float(np.sum(within**2) / np.sum(between**2)),
        nc2=float(s[0] / s[-1]),
        nc3=float(cosines.mean()),
        certificate=_certificate(w, below, error, seen[0], labels, present) if len(seen) > 1 else math.inf,
        condition=condition,
        nc3_of_weights=nc3_of_weights,
        **counts,
    )


def _classes(labels: np.ndarray, outputs: int) -> np.ndarray:
    """The classes that the labels name; refused where there are fewer than two, or more than outputs."""
    if labels.min() < 0 or labels.max() >= outputs:
        raise checks.InvalidArgument(
            "data",
            f"have labels 0 … {outputs - 1}, one for each output of the last linear layer",
            f"they go from {labels.min()} to {labels.max()}",
        )
    present = np.unique(labels)
    if present.size < 2:
        raise checks.InvalidArgument(
            "data", "hold two classes or more", f"all of its {len(labels)} samples are of class {present[0]}"
        )
    return present


def _of_weights(w: np.ndarray) -> tuple[float, float]:
    """σ₁/σ_K, and the mean of 1/√(M_kk (M⁻¹)_kk), of the last layer (11.6): infinity and NaN below rank K."""
    s = np.linalg.svd(w, compute_uv=False)
    if len(s) < len(w) or numerical_rank(s, (1,)) < len(w):
        return math.inf, math.nan
    gram = w @ w.T
    return float(s[0] / s[-1]), float(np.mean(1 / np.sqrt(np.diag(gram) * np.diag(np.linalg.inv(gram)))))


def _certificate(
    w: np.ndarray, below: np.ndarray, error: np.ndarray, z: np.ndarray, labels: np.ndarray, present: np.ndarray
) -> float:
    """The bound (11.4); infinite where it says nothing."""
    s = np.linalg.svd(w, compute_uv=False)
    error_within, error_between, _ = _split(error, labels, present)
    z_within, _, _ = _split(z, labels, present)
    _, target, _ = _split(np.eye(len(w))[labels], labels, present)
    room = float(np.linalg.norm(target) - np.linalg.norm(error_between))
    if room <= 0 or len(s) < len(w) or numerical_rank(s, (1,)) < len(w):
        return math.inf
    reach = np.linalg.norm(error_within) / s[-1] + math.sqrt(_imbalance(w, below)) * np.linalg.norm(z_within)
    return float((s[0] * reach / room) ** 2)


def _imbalance(w: np.ndarray, below: np.ndarray) -> float:
    """‖W2ᵀW2 − W1W1ᵀ‖_op, of large layers from above by a part in a thousand, by Lanczos' method in their precision."""
    size = w.shape[1]
    if size <= _DENSE:
        return _largest_eigenvalue(w, below)
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    above = w.astype(below.dtype)
    product = LinearOperator((size, size), lambda v: above.T @ (above @ v) - below @ (below.T @ v), dtype=below.dtype)
    first = np.asarray(stream("key", 0, "curvature").standard_normal(size), below.dtype)
    try:
        found = eigsh(product, k=1, which="LM", tol=_TOLERANCE, v0=first, return_eigenvectors=False)
    except ArpackNoConvergence:
        return _largest_eigenvalue(w, below)
    rounding = float(np.finfo(below.dtype).eps * (np.vdot(above, above) + np.vdot(below, below)))
    return float(abs(found[0])) * (1 + _TOLERANCE) + rounding


def _largest_eigenvalue(w: np.ndarray, below: np.ndarray) -> float:
    lower = below.astype(np.float64)
    return float(np.abs(np.linalg.eigvalsh(w.T @ w - lower @ lower.T)).max())


def _split(values: np.ndarray, labels: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Within-class part and between-class part of every sample, and the class means, a row each."""
    index = np.searchsorted(present, labels)
    means = np.stack([values[index == k].mean(axis=0) for k in range(present.size)])
    return values - means[index], means[index] - values.mean(axis=0), means


class _Call(NamedTuple):
    """One call of a linear layer: what it took, and a copy of what it put out (a ReLU may work in place)."""

    layer: Any
    taken: Any
    out: Any


def _run(model: nn.Module, data: Any) -> tuple[Any, Any, list[np.ndarray], np.ndarray]:
    """Run the data: last linear layer, the one before, what they take in (of two in a row: both), and the labels."""
    parts: list[list[np.ndarray]] = [[], []]
    labels, two, last, before = [], True, None, None
    with _watched(model) as calls:
        for batch in _batches(data):
            calls.clear()
            result, classes = _forward(model, batch)
            at = _call_that_ends(result, calls)
            last, taken, _ = calls[at]
            before, previous, out = calls[at - 1] if at else _Call(None, None, None)
            # in a row: what the last layer takes is what the one before has put out, number by number
            two = two and out is not None and _same(out, taken)
            parts[1].append(_rows(taken))
            parts[0].append(_rows(previous) if two else np.empty((0, 0)))
            labels.append(np.asarray(torch.as_tensor(classes).cpu()).reshape(-1))
    if not labels:
        raise checks.InvalidArgument("data", "hold samples", "it is empty")
    seen = [np.concatenate(part) for part in (parts if two else parts[1:])]
    known = np.concatenate(labels)
    if not np.issubdtype(known.dtype, np.integer) or len(known) != len(seen[-1]):
        raise checks.InvalidArgument(
            "data",
            "have one label, a whole number, for each row of features",
            f"there are {len(known)} of type {known.dtype} for {len(seen[-1])} rows",
        )
    return last, before, seen, known.astype(np.int64)


@contextmanager
def _watched(model: nn.Module) -> Iterator[deque[_Call]]:
    """Keep the last calls of linear layers, in evaluation mode; mode, hooks and random states are as before at the end.

    A compiled model runs eagerly meanwhile: its programs do not call hooks that came after them.
    """
    calls: deque[_Call] = deque(maxlen=_KEPT)

    def keep(layer: Any, taken: Any, named: Any, out: Any) -> None:
        calls.append(_Call(layer, taken[0] if taken else named["input"], out.clone()))

    hooks = [m.register_forward_hook(keep, with_kwargs=True) for m in model.modules() if isinstance(m, nn.Linear)]
    training = {m: m.training for m in model.modules()}
    try:
        model.eval()
        # loading the compiler takes seconds, and where nobody has there is nothing compiled
        eagerly = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
        # a DataLoader draws a seed whenever it is begun
        with torch.no_grad(), torch.random.fork_rng(devices=[]), eagerly:
            yield calls
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training.items():
            module.training = mode


def _forward(model: nn.Module, batch: Any) -> tuple[Any, Any]:
    """What the model puts out for a batch, and its labels; on the device of its parameters."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    if isinstance(batch, Mapping):
        if "labels" not in batch:
            raise checks.InvalidArgument(
                "data", "have 'labels' in each mapping", f"it has {', '.join(map(str, batch))}"
            )
        moved = {name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in batch.items()}
        return model(**moved), batch["labels"]
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise checks.InvalidArgument("data", "hold batches (inputs, labels)", f"one is {type(batch).__name__}")
    inputs, labels = batch
    if not isinstance(inputs, torch.Tensor):
        raise checks.InvalidArgument("data", "hold tensors as inputs", f"one is {type(inputs).__name__}")
    return model(inputs.to(device) if isinstance(inputs, torch.Tensor) else inputs), labels


def _call_that_ends(result: Any, calls: deque[_Call]) -> int:
    """Which call of a linear layer the model ends in: what it puts out, or the (log-)softmax of that.

    Raises:
        InvalidArgument: none.
    """
    for output in _tensors(result):  # the logits come before what else is put out
        for at in reversed(range(len(calls))):
            made = calls[at].out
            if any(_same(output, end) for end in (made, made.softmax(-1), made.log_softmax(-1))):
                return at
    said = "what it puts out is not what one of its linear layers does" if calls else "it has none"
    raise checks.InvalidArgument("model", "end in an nn.Linear layer", said)


def _same(one: Any, other: Any) -> bool:
    """Number by number, where NaN is NaN."""
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _tensors(result: Any) -> Iterator[Any]:
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, Mapping):
        yield from (v for value in result.values() for v in _tensors(value))
    elif isinstance(result, tuple | list):
        yield from (v for value in result for v in _tensors(value))


def _batches(data: Any) -> Iterable[Any]:
    """One batch or many."""
    one = isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], torch.Tensor)
    if one or isinstance(data, Mapping):
        return [data]
    if not hasattr(data, "__iter__") or isinstance(data, str | bytes | np.ndarray):
        raise checks.InvalidArgument("data", "be (inputs, labels), or batches of them", f"it is {type(data).__name__}")
    found: Iterable[Any] = data
    return found


def _rows(features: Any) -> np.ndarray:
    return numbers(features.reshape(-1, features.shape[-1]), "features").astype(np.float64)


def _matrix(layer: Any, name: str) -> np.ndarray:
    return numbers(stored(layer, name), name).astype(np.float64)
