"""Large-d predictions at depth: the deep mode curve (7.3) on the spectrum of a signal in noise (section 5).

What two layers have in (3.2), L layers of equal σ²w have in the deep mode curve, with τ = (σ²w)^{L/2} (7.4): so whole
error curves follow without a matrix, at any depth of the table.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lindyn.networks.deep_laws import (
    DeepParametrization,
    deep_mean_field,
    deep_mup,
    deep_ntk,
    deep_pytorch_default,
    deep_standard,
)
from lindyn.networks.laws import Parametrization
from lindyn.prediction.spectra import ModeSpectrum, rank_in_noise
from lindyn.solutions.deep_modes import deep_mode_curve
from lindyn.support import checks
from lindyn.support.namespaces import arrays

if TYPE_CHECKING:
    from jaxtyping import Float

_NAMED = {
    "PyTorch default": deep_pytorch_default,
    "NTK": deep_ntk,
    "mean field": deep_mean_field,
    "maximal update": deep_mup,
}


class DeepErrors(NamedTuple):
    """Errors per entry and stable rank, each of the broadcast shape of thresholds and times."""

    train_error: np.ndarray
    test_error: np.ndarray
    stable_rank: np.ndarray


def at_depth(law: Parametrization, shape: tuple[int, int], depth: int) -> DeepParametrization:
    """Return the law of the same name for `depth` layers, of one width in all hidden layers.

    Examples:
        >>> from lindyn.networks.laws import standard
        >>> at_depth(standard(width=100, variance=0.04), (10, 10), 3).widths
        (100, 100)
    """
    widths = (law.width,) * (checks.integer("depth", depth, at_least=1) - 1)
    if law.name in _NAMED:
        return _NAMED[law.name](shape, widths=widths)
    if law.name != "standard" or law.variance_in != law.variance_out:
        raise checks.InvalidArgument(
            "depth",
            "be 2 for this law",
            f"it is {depth}, and {law.name!r} with its two variances says nothing of a third layer",
            "pass a law of `lindyn.networks.deep_laws`",
        )
    return deep_standard(widths, law.variance_in)


def deep_stability_limit(tau: Any, width: Any, top: Any, shape: tuple[Any, Any], depth: Any) -> Float[Any, "..."]:
    """Return 2/κ with κ the larger tangent kernel of the start and of the learned target.

    That of the start is L τ^{2−2/L}, times (1 + √(d/w))² for each layer of the product: the edge of its spectrum. That
    of the end is L(s₁² + τ²)^{1−1/L}, exact in both limits.

    Args:
        tau: thresholds.
        width: smallest hidden width of each.
        top: s₁ of what training sees.
        shape: (d_out, d_in).
        depth: L.
    """
    xp, (tau, w, s, d_out, d_in, layers) = arrays(tau, width, top, *shape, depth)
    edge = (1 + xp.sqrt(xp.maximum(d_out, d_in) / w)) ** (2 * (layers - 1))
    start = layers * tau ** (2 - 2 / layers) * edge
    return 2 / xp.maximum(start, layers * xp.hypot(s, tau) ** (2 - 2 / layers))


def deep_residue(start_variance: Any, threshold: Any, time: Any, depth: Any) -> Any:
    """Return what is left of a random start in both errors, n₀e^{−2Lτ^{2−2/L}t}: the lazy decay at depth L.

    Args:
        start_variance: n₀, variance of an entry of A(0).
        threshold: τ.
        time: flow time.
        depth: L.

    References:
        theory (7.4), section 4.
    """
    xp, (n0, tau, t, layers) = arrays(start_variance, threshold, time, depth)
    return n0 * xp.exp(-2 * layers * tau ** (2 - 2 / layers) * t)


def deep_errors(modes: ModeSpectrum, depth: int, tau: Any, times: Any, n0: Any) -> DeepErrors:
    """Return errors and stable rank of modes that follow the deep mode curve, A(0) decaying as the lazy kernel has it.

    Args:
        modes: the modes and how they project on the true matrix.
        depth: L.
        tau: τ > 0, broadcast with the others.
        times: flow times.
        n0: variance of an entry of A(0).

    References:
        theory (7.3), section 5.
    """
    tau, times = np.asarray(tau, dtype=np.float64), np.asarray(times, dtype=np.float64)
    learned = deep_mode_curve(modes.values, tau[..., None], times[..., None], depth)
    with np.errstate(under="ignore", over="ignore"):
        residue = deep_residue(n0, tau, times, depth)
    train, test, power = modes.errors_of(learned, float(modes.shape[0]) * modes.shape[1])
    stable = rank_in_noise(power, deep_mode_curve(modes.top, tau, times, depth), residue, modes.shape)
    return DeepErrors(train + residue, test + residue, stable)


def deep_active(modes: ModeSpectrum, depth: int, tau: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return how many modes have grown above the threshold at given times."""
    grown = deep_mode_curve(modes.values, tau[..., None], times[..., None], depth) > tau[..., None]
    return np.asarray(grown @ modes.counts)


def deep_validity(width: Any, n0: Any, shape: tuple[Any, Any], unit: Any) -> Any:
    """Return where the deep mode curve holds: w ≥ 10 d, and A(0) of at most a tenth of the signal's variance.

    Measured at L = 3, d = 100: there the smallest test error of a descent is met to 0.02 at worst, 0.004 on average.

    Args:
        width: smallest hidden width.
        n0: variance of an entry of A(0).
        shape: (d_out, d_in).
        unit: mean square of an entry of A*.
    """
    _, (w, start, square, d_out, d_in) = arrays(width, n0, unit, *shape)
    return (w >= 10 * d_out) & (w >= 10 * d_in) & (start <= 0.1 * square)


def deep_notes(law: DeepParametrization, shape: tuple[int, int], n0: float) -> list[str]:
    """Return what a reader of a prediction must know of where it holds."""
    notes = []
    if n0 >= 0.1:
        notes.append(f"A(0) has entries of variance {n0:.3g}: its lazy decay is included, exact only where τ ≫ s")
    if law.widths and min(law.widths) < 10 * max(shape):
        notes.append(f"width {min(law.widths):,} is not large beside d = {max(shape):,}: the theory needs w ≫ d")
    plain = [u**2 * v for u, v in zip(law.units, law.variances, strict=True)]
    inner = [v * math.sqrt(a * b) for v, a, b in zip(plain[1:-1], law.widths, law.widths[1:], strict=False)]
    if law.depth > 2:
        norms = [plain[0] * law.widths[0], *inner, plain[-1] * law.widths[-1]]
        if max(norms) > 1.01 * min(norms):
            notes.append("the layers' σ²w differ: the deep mode curve is that of equal layers of the same threshold")
    return notes
