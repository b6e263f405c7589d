"""LoRA's starts ΔW = s·BA: the variances of A as it is drawn, and the threshold on ΔW that a variance sets (2.7)."""

from __future__ import annotations

import math


def kaiming_variance(fan_in: int) -> float:
    """Return 1/(3·fan_in), the variance of Kaiming-uniform entries with a = √5: what `nn.Linear` and PEFT draw.

    They are uniform on ±√(6/((1 + a²)·fan_in)) = ±1/√fan_in.

    Examples:
        >>> kaiming_variance(64) * 192
        1.0
    """
    return 1 / (3 * fan_in)


def gaussian_variance(rank: int) -> float:
    """Return 1/r², the variance of PEFT's `init_lora_weights="gaussian"`."""
    return 1 / rank**2


def lora_threshold(d_in: int, variance: float, scale: float = 1.0, rate_ratio: float = 1.0) -> float:
    """Return the threshold on singular values of ΔW = s·BA from B = 0: τ = √(η_B/η_A)·s d_in σ_A²/2.

    Args:
        d_in: columns of A.
        variance: σ_A² of an entry of A.
        scale: s.
        rate_ratio: η_B/η_A, 1 unless LoRA+.

    References:
        theory (2.7).

    Examples:
        >>> round(lora_threshold(512, kaiming_variance(512), scale=2.0), 6)  # s/6
        0.333333
    """
    return 0.5 * math.sqrt(rate_ratio) * scale * d_in * variance


def lora_scale(threshold: float, d_in: int, variance: float) -> float:
    """Return the scale s at which A of a given variance starts at a threshold: the inverse of `lora_threshold`.

    Examples:
        >>> round(lora_scale(0.5, 512, kaiming_variance(512)), 6)  # 6τ
        3.0
    """
    return threshold / lora_threshold(d_in, variance)
