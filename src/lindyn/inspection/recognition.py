"""The common starts of a LoRA pair: the threshold each one sets, and which of them a pair was started from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from lindyn.networks.lora import gaussian_variance, kaiming_variance, lora_threshold
from lindyn.networks.pair_modes import FactorModes
from lindyn.support import checks
from lindyn.support.bounds import SCALE

KAIMING, GAUSSIAN, ORTHOGONAL, PISSA, RANDOM, EMBEDDING, NORMAL = (
    "kaiming", "gaussian", "orthogonal", "pissa", "random", "embedding", "normal",
)  # fmt: skip
START_LAWS = (KAIMING, GAUSSIAN, ORTHOGONAL, PISSA, RANDOM, EMBEDDING, NORMAL)
RS_LORA = "rslora"
# fourth moment over squared variance of the entries
_UNIFORM, _NORMAL = 1.8, 3.0


def start_imbalance(law: str, shape: tuple[int, int], rank: int, scale: float) -> Float[np.ndarray, " r"]:
    """Return the eigenvalues of (AAᵀ − BᵀB)·s/2 that a start has for d ≫ r, largest first.

    | law (PEFT's `init_lora_weights`) | A | B | eigenvalues |
    |---|---|---|---|
    | "kaiming" (True) | uniform of variance 1/(3 d_in) | 0 | s/6 |
    | "gaussian" | N(0, 1/r²) | 0 | s d_in/(2r²) |
    | "orthogonal" | rank r/2, entries of size 1/10 | the same, BA = 0 | s d_in/200, −s d_out/200 |
    | "pissa" | √S Vᵀ | U√S, balanced | 0 |
    | "random" (False) | variance 1/(3 d_in) | variance 1/(3r) | s(1 − d_out/r)/6 |
    | "embedding" (an embedding, whatever is set) | 0 | N(0, 1) | −s d_out/2 |
    | "normal" (False, on an embedding) | N(0, 1) | N(0, 1) | s(d_in − d_out)/2 |

    References:
        theory (2.7); the laws as PEFT draws them.

    Examples:
        >>> start_imbalance("orthogonal", (300, 100), rank=4, scale=2.0).tolist()
        [1.0, 1.0, -3.0, -3.0]
    """
    checks.choice("law", law, START_LAWS)
    d_out, d_in = checks.matrix_shape("shape", shape)
    r, s = checks.integer("rank", rank, at_least=1), checks.number("scale", scale, above=0)
    if law == PISSA:
        return np.zeros(r)
    blocks = _blocks(law, (d_out, d_in), r, s)
    return np.repeat([block.mean for block in blocks], [block.count for block in blocks])


@dataclass(frozen=True)
class _Block:
    """Hidden directions whose imbalance is a·X − b·Y, with X and Y of mean 1: XXᵀ/d of independent entries.

    Attributes:
        count: number of directions.
        up: a, the mean of s/2·AAᵀ.
        down: b, the mean of s/2·BᵀB.
        sides: (d_in, d_out), over which each averages.
        moment: E x⁴/(E x²)² of the entries.
    """

    count: int
    up: float
    down: float
    sides: tuple[int, int]
    moment: float

    @property
    def mean(self) -> float:
        return self.up - self.down

    @property
    def variance(self) -> float:
        """Of an off-diagonal entry of the imbalance; a diagonal one has `moment` − 1 times as much."""
        return self.up**2 / self.sides[0] + self.down**2 / self.sides[1]

    @property
    def crowding(self) -> float:
        """The largest r/d of the parts that are there."""
        return max(self.count / d for size, d in zip((self.up, self.down), self.sides, strict=True) if size)


def _blocks(law: str, shape: tuple[int, int], r: int, s: float) -> list[_Block]:
    """The parts of a law's hidden space, largest mean first."""
    d_out, d_in = shape
    sides = d_in, d_out
    if law == ORTHOGONAL:
        half = r // 2
        first = _Block(half, s * d_in / 200, 0.0, sides, _NORMAL)
        second = _Block(r - half, 0.0, s * d_out / 200, sides, _NORMAL)
        return [first, second] if half else [second]
    kaiming = lora_threshold(d_in, kaiming_variance(d_in), s)  # s/6
    up, down, moment = {
        KAIMING: (kaiming, 0.0, _UNIFORM),
        GAUSSIAN: (lora_threshold(d_in, gaussian_variance(r), s), 0.0, _NORMAL),
        RANDOM: (kaiming, lora_threshold(d_out, kaiming_variance(r), s), _UNIFORM),
        EMBEDDING: (0.0, lora_threshold(d_out, 1.0, s), _NORMAL),
        NORMAL: (lora_threshold(d_in, 1.0, s), lora_threshold(d_out, 1.0, s), _NORMAL),
    }[law]
    return [_Block(r, up, down, sides, moment)]


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
    checks.choice("law", law, START_LAWS)
    sides = checks.matrix_shape("shape", shape)
    units = checks.integer("rank", rank, at_least=1, at_most=_WIDEST_PAIR)
    return _threshold(law, sides, units, checks.number("scale", scale, above=0, at_most=SCALE))


_WIDEST_PAIR = 10**7  # a number a hidden unit


@lru_cache(maxsize=1024)  # an adapter has thousands of pairs of a few shapes
def _threshold(law: str, shape: tuple[int, int], rank: int, scale: float) -> float:
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
    rank, scale = checks.integer("rank", rank, at_least=1), checks.number("scale", scale, above=0)
    out = {law: start_threshold(law, shape, rank, scale) for law in (KAIMING, GAUSSIAN, ORTHOGONAL, PISSA)}
    stabilised = (scale * rank if alpha is None else checks.number("alpha", alpha, above=0)) / math.sqrt(rank)
    return {**out, RS_LORA: start_threshold(KAIMING, shape, rank, stabilised)}


_SIGMAS = 4.0  # how far a fresh start may scatter: one in 10⁴ does by more
_SLACK = 0.02  # of the law's size: what SGD at usual rates moves the imbalance by (measured 0.001 to 0.02)
_CROWDED = 1 / 16  # r/d above which the eigenvalues of a random start scatter over a factor of 3, and tell too little
_FRESH = 0.02  # m₁ over the smallest |λ|, below which training has hardly begun


def recognise(modes: FactorModes, declared: str | None = None) -> str | None:
    """Return the start whose imbalance a pair still has, or None: the flow conserves it, so it outlives training.

    The whole spectrum must agree, signs included, at the precision that r/d allows: with D = (W1W1ᵀ − W2ᵀW2)s/2 of a
    law of independent entries, its mean by 4 deviations √((μ₄−1)/(rd)) of a trace, its spread by χ² of r(r+1)/2
    entries of deviation 1/√d, its edges by Marchenko–Pastur (1 ± √(r/d))², each with 2 % more for steps of finite
    size. A balanced pair (all |λ| below 10⁻³ m₁ and 2 % of the smallest mode) is "pissa".

    No name is given where nothing can be told: both factors zero, r/d > 1/16, a config that names another law than
    those of `START_LAWS`. Under Adam an imbalance may drift on to that of another law, so that of a pair whose
    training has begun only confirms what the config declares. Without a declaration a "random" start, which has a
    product from the beginning, must have the singular values of its law too.

    Args:
        modes: of the pair.
        declared: the law that a config names.

    References:
        theory (1.5), (2.7).

    Examples:
        >>> import numpy as np
        >>> from lindyn.networks.pair_modes import factor_modes
        >>> a = np.random.default_rng(0).standard_normal((8, 2048)) / 8
        >>> recognise(factor_modes(a, np.zeros((512, 8)), scale=2.0))
        'gaussian'
        >>> print(recognise(factor_modes(2 * a, np.zeros((512, 8)), scale=2.0)))
        None
    """
    if declared is not None and declared not in START_LAWS:
        return None
    sizes, m = np.abs(modes.imbalance), modes.singular_values
    if m[0] > 0 and sizes.max() <= min(1e-3 * m[0], _SLACK * m[-1]):
        return PISSA
    if not sizes.any() or modes.width > min(modes.shape):
        return None
    if m[0] <= _FRESH * sizes.min():
        fitting = [law for law in (KAIMING, GAUSSIAN, ORTHOGONAL, EMBEDDING) if _agrees(law, modes)]
    elif declared is not None:
        fitting = [declared] if _agrees(declared, modes) else []
    else:
        fitting = [RANDOM] if _agrees(RANDOM, modes) and _has_product(RANDOM, modes) else []
    if declared in fitting:
        return declared
    return fitting[0] if len(fitting) == 1 else None


def _agrees(law: str, modes: FactorModes) -> bool:
    """Whether every part of the spectrum is that of a law."""
    if law == PISSA or (law == ORTHOGONAL and modes.width % 2):  # PEFT draws orthogonal starts of even rank only
        return False
    values = modes.imbalance
    for block in _blocks(law, modes.shape, modes.width, modes.scale):
        own, values = values[: block.count], values[block.count :]
        if block.crowding > _CROWDED or not _is_of(block, own):
            return False
    return True


def _has_product(law: str, modes: FactorModes) -> bool:
    """Whether the singular values are those of two random factors, within 2√(ab) times the edges of both."""
    (block,) = _blocks(law, modes.shape, modes.width, modes.scale)
    low = high = 2 * math.sqrt(block.up * block.down)
    for d in block.sides:
        # the singular values of X/√d lie within 1 ± √(n/d), and scatter with a deviation below 1/√d
        reach = math.sqrt(block.count / d) + _SIGMAS / math.sqrt(d)
        low, high = low * max(0.0, 1 - reach), high * (1 + reach)
    return bool(0 < low <= modes.singular_values[-1] and modes.singular_values[0] <= high)


def _is_of(block: _Block, values: np.ndarray) -> bool:
    """Whether eigenvalues are a draw of a block: mean, spread and edges."""
    n, slack = block.count, _SLACK * (block.up + block.down)
    if (not block.down and values.min() <= 0) or (not block.up and values.max() >= 0):
        return False
    if abs(values.mean() - block.mean) > _SIGMAS * math.sqrt((block.moment - 1) * block.variance / n) + slack:
        return False
    if n > 1:
        # Σ(λ − mean)² = the off-diagonal squares and those of the diagonal about its mean
        spread = math.sqrt((n - 1) * (n + block.moment - 1) * block.variance / n)
        freedom = n * (n - 1) / 2 + n - 1
        low, high = (math.sqrt(max(0.0, _chi_square(z, freedom))) for z in (-_SIGMAS, _SIGMAS))
        if not low * spread - slack <= values.std() <= high * spread + slack:
            return False
    (a_low, a_high), (b_low, b_high) = (
        (size * low, size * high)
        for size, (low, high) in zip((block.up, block.down), (_edges(n, d) for d in block.sides), strict=True)
    )
    return bool(a_low - b_high - slack <= values.min() and values.max() <= a_high - b_low + slack)


def _chi_square(sigmas: float, freedom: float) -> float:
    """χ²/freedom at a distance from its mean (Wilson and Hilferty)."""
    width = 2 / (9 * freedom)
    return (1 - width + sigmas * math.sqrt(width)) ** 3


def _edges(n: int, d: int) -> tuple[float, float]:
    """Smallest and largest eigenvalue that XXᵀ/d may have, X (n, d): Marchenko–Pastur, and its scatter at the edge."""
    root, scatter = math.sqrt(n / d), (math.sqrt(d) + math.sqrt(n)) * (d**-0.5 + n**-0.5) ** (1 / 3) / d
    return max(0.0, 1 - root) ** 2 - _SIGMAS * scatter, (1 + root) ** 2 + _SIGMAS * scatter
