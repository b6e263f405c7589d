"""The common starts of a LoRA pair: the threshold each one sets, and which of them a pair was started from."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from lindyn.networks.pair_modes import FactorModes
from lindyn.support import checks

KAIMING, GAUSSIAN, ORTHOGONAL, PISSA, RANDOM, EMBEDDING = (
    "kaiming", "gaussian", "orthogonal", "pissa", "random", "embedding",
)  # fmt: skip
START_LAWS = (KAIMING, GAUSSIAN, ORTHOGONAL, PISSA, RANDOM, EMBEDDING)
RS_LORA = "rslora"


def start_imbalance(law: str, shape: tuple[int, int], rank: int, scale: float) -> Float[np.ndarray, " r"]:
    """Return the eigenvalues of (AAᵀ − BᵀB)·s/2 that a start has for d ≫ r, largest first.

    | law (PEFT's `init_lora_weights`) | A | B | eigenvalues |
    |---|---|---|---|
    | "kaiming" (True) | uniform of variance 1/(3 d_in) | 0 | s/6 |
    | "gaussian" | N(0, 1/r²) | 0 | s d_in/(2r²) |
    | "orthogonal" | rank r/2, entries of size 1/10 | the same, BA = 0 | s d_in/200, −s d_out/200 |
    | "pissa" | √S Vᵀ | U√S, balanced | 0 |
    | "random" (False) | variance 1/(3 d_in) | variance 1/(3r) | s(1 − d_out/r)/6 |
    | "embedding" (True, on an embedding) | 0 | N(0, 1) | −s d_out/2 |

    References:
        theory (2.7); the laws as PEFT draws them.

    Examples:
        >>> start_imbalance("orthogonal", (300, 100), rank=4, scale=2.0).tolist()
        [1.0, 1.0, -3.0, -3.0]
    """
    checks.choice("law", law, START_LAWS)
    d_out, d_in = checks.matrix_shape("shape", shape)
    r, s = checks.integer("rank", rank, at_least=1), checks.number("scale", scale, above=0)
    if law == ORTHOGONAL:
        half = r // 2
        return np.repeat([s * d_in / 200, -s * d_out / 200], [half, r - half])
    value = {
        KAIMING: s / 6,
        GAUSSIAN: s * d_in / (2 * r**2),
        PISSA: 0.0,
        RANDOM: s * (1 - d_out / r) / 6,
        EMBEDDING: -s * d_out / 2,
    }[law]
    return np.full(r, value)


def start_threshold(law: str, shape: tuple[int, int], rank: int, scale: float) -> float:
    """Return τ of a LoRA start ΔW = s·BA: the mean size of the eigenvalues of `start_imbalance`.

    Args:
        law: "kaiming", "gaussian", "orthogonal", "pissa", "random" or "embedding".
        shape: (d_out, d_in) of the adapted layer.
        rank: r.
        scale: s = α/r, or α/√r for rank-stabilised LoRA.

    Raises:
        InvalidArgument: an unknown law, or numbers that cannot be used.

    References:
        theory (2.7).

    Examples:
        >>> start_threshold("gaussian", (512, 512), rank=8, scale=2.0)
        8.0
        >>> round(start_threshold("kaiming", (512, 512), rank=8, scale=2.0), 4)
        0.3333
    """
    return float(np.mean(np.abs(start_imbalance(law, shape, rank, scale))))


def common_thresholds(shape: tuple[int, int], rank: int, scale: float, alpha: float | None = None) -> dict[str, float]:
    """Return the thresholds of the starts that an adapter is usually given, at the same s, and at s = α/√r ("rslora").

    Args:
        shape: (d_out, d_in).
        rank: r.
        scale: s.
        alpha: α; left out, s·r.

    References:
        theory (2.7).

    Examples:
        >>> {law: round(tau, 3) for law, tau in common_thresholds((512, 512), rank=16, scale=2.0).items()}
        {'kaiming': 0.333, 'gaussian': 2.0, 'orthogonal': 5.12, 'pissa': 0.0, 'rslora': 1.333}
    """
    out = {law: start_threshold(law, shape, rank, scale) for law in (KAIMING, GAUSSIAN, ORTHOGONAL, PISSA)}
    stabilised = (scale * rank if alpha is None else checks.number("alpha", alpha, above=0)) / math.sqrt(rank)
    return {**out, RS_LORA: start_threshold(KAIMING, shape, rank, stabilised)}


def recognise(modes: FactorModes, declared: str | None = None) -> str | None:
    """Return the start whose imbalance a pair still has, or None: the flow conserves it, so it outlives training.

    The spectra are compared as wholes, ‖λ − λ_law‖/‖λ_law‖; an entry of a random A of d columns moves λ by about
    √(r/d), and twice that and 5 % more is allowed. A balanced pair (all |λ| < 10⁻³ m₁) is "pissa".

    Args:
        modes: of the pair.
        declared: the law that a config names; preferred where several fit.

    References:
        theory (1.5), (2.7).

    Examples:
        >>> import numpy as np
        >>> from lindyn.networks.pair_modes import factor_modes
        >>> a = np.random.default_rng(0).standard_normal((8, 2048)) / 8
        >>> recognise(factor_modes(a, np.zeros((512, 8)), scale=2.0))
        'gaussian'
    """
    found, r = modes.imbalance, modes.width
    if r > min(modes.shape):
        return None
    if np.abs(found).max() <= 1e-3 * modes.singular_values[0]:
        return PISSA
    tolerance = 0.05 + 2 * math.sqrt(r / min(modes.shape))
    distances = {}
    for law in START_LAWS:
        expected = start_imbalance(law, modes.shape, r, modes.scale)
        if expected.any():
            distances[law] = float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
    if declared in distances and distances[declared] <= tolerance:
        return declared
    nearest = min(distances, key=distances.__getitem__)
    return nearest if distances[nearest] <= tolerance else None
