"""Ways to start at a threshold: two wide layers, or a LoRA pair."""

from __future__ import annotations

import math
from typing import Any

from lindyn.advice.recommendation import Start
from lindyn.networks.lora import gaussian_variance, kaiming_variance, lora_scale
from lindyn.prediction.spectra import SpikedSpectrum

WIDE_ERROR = 0.1  # √(d/w) up to which a Gaussian start is said to follow the formula


def wide_starts(spectrum: SpikedSpectrum, width: int, tau: float, rate: float) -> tuple[Start, ...]:
    """Return a Gaussian and an orthogonal start (2.4), the one that the formula describes at this width first."""
    d_out, d_in = spectrum.shape
    error = math.sqrt(max(d_out, d_in) / width)
    gaussian = Start(
        "Gaussian",
        "W1 and W2 of iid N(0, σ²) entries, σ² = τ/w",
        {"variance": tau / width, "deviation": math.sqrt(tau / width)},
        rate,
        f"follows the formula to about √(d/w) = {error:.2g} (2.3)",
    )
    if width >= d_out + d_in:
        how = "W1 = √τ O1, W2 = √τ O2ᵀ, orthonormal and mutually orthogonal columns"
        side = {"side": "both"}
    elif width >= d_in:
        how, side = "W1 = √(2τ)·(orthonormal columns), W2 = 0", {"side": "in"}
    else:
        how, side = "W2 = √(2τ)·(orthonormal rows), W1 = 0", {"side": "out"}
    exact = Start("orthogonal", how, {"threshold": tau, **side}, rate, "follows the formula exactly as η → 0 (2.4)")
    return (gaussian, exact) if error <= WIDE_ERROR * (1 + 1e-9) else (exact, gaussian)


def narrow_starts(spectrum: SpikedSpectrum, width: int, tau: float, rate: float) -> tuple[Start, ...]:
    """Return LoRA's starts by ΔW = s·BA, B = 0, τ = s d_in σ_A²/2, on the clock t = s η n (2.7)."""
    d_in, r = spectrum.shape[1], width
    default, gaussian = (lora_scale(tau, d_in, v) for v in (kaiming_variance(d_in), gaussian_variance(r)))
    accuracy = f"statistical: W1W1ᵀ = 2τ I to about √(r/d_in) = {math.sqrt(r / d_in):.2g} (2.7)"

    def peft(name: str, how: str, init: Any, scale: float) -> Start:
        settings = {
            "init_lora_weights": init,
            "r": r,
            "lora_alpha": scale * r,
            "lora_alpha_rslora": scale * math.sqrt(r),
            "scale": scale,
        }
        return Start(name, how, settings, rate / scale, accuracy)

    return (
        peft("LoRA, default A", "B = 0, A Kaiming-uniform (PEFT's default): τ = s/6", True, default),
        peft("LoRA, Gaussian A", "B = 0, A of standard deviation 1/r: τ = s d_in/(2r²)", "gaussian", gaussian),
        Start(
            "LoRA, α = r",
            "B = 0, A of iid N(0, σ_A²) entries set by hand, σ_A² = 2τ/d_in",
            {"r": r, "lora_alpha": r, "deviation_A": math.sqrt(2 * tau / d_in), "scale": 1.0},
            rate,
            accuracy,
        ),
        Start(
            "λ-balanced",
            "W1 = √(2τ)·(orthonormal rows), W2 = 0: W1W1ᵀ − W2ᵀW2 = 2τ I",
            {"threshold": tau},
            rate,
            "follows (3.4) exactly as η → 0 (2.6); statistical in the directions",
        ),
    )
