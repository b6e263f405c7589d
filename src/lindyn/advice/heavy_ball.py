"""Heavy-ball momentum on the modes of a wide network: its clock η/(1 − β) lags where a mode grows.

With V in place of W1 and W2 the velocity is linear, P ← βP + SV, V ← V − ηP. In the singular vectors of a mode S has
the eigenvalues ∓g, g = s − m, and from an isotropic start V and P stay parallel there: two numbers for each sign,

    p₊ ← βp₊ + g e₊,  e₊ ← e₊ + ηp₊;    p₋ ← βp₋ − g e₋,  e₋ ← e₋ + ηp₋;    m = (e₊² − e₋²)/2,  e₊ = e₋ = √τ at first.

A mode that grows at the rate x a step of the clock grows at x(1 − xβ/(1 − β)) in fact: at a tenth of the stability
bound and β = 0.8 by up to 40 % more slowly. *Follows* from (1.2), (2.2).
"""

from __future__ import annotations

import numpy as np

SMALL_LAG = 0.02  # of the fastest mode, below which the clock is right
MOST_STEPS = 20_000  # that are followed one by one


def heavy_ball(values: np.ndarray, threshold: float, rate: float, momentum: float, steps: np.ndarray) -> np.ndarray:
    """Return what modes have learned after steps of descent with momentum, (steps, modes), at infinite width.

    Args:
        values: singular values s of the target.
        threshold: τ > 0.
        rate: η/(1 − β), flow time of a step.
        momentum: β.
        steps: whole numbers, increasing.

    References:
        theory (1.2), (2.2), from which it *follows*.

    Examples:
        >>> lazy = heavy_ball(np.array([1.0]), 1e6, 1e-7, 0.5, np.array([0.0, 1.0, 2.0]))
        >>> lazy[:, 0].round(6).tolist()  # 2(1 − β)ητs at first, then β + (s − m)/s of that
        [0.0, 0.1, 0.24]
    """
    up, down = np.full(values.shape, np.sqrt(threshold)), np.full(values.shape, np.sqrt(threshold))
    push, pull = np.zeros(values.shape), np.zeros(values.shape)
    eta, at, found = (
        rate * (1 - momentum),
        {int(s): k for k, s in enumerate(steps)},
        np.zeros((steps.size, values.size)),
    )
    with np.errstate(over="ignore", invalid="ignore"):  # above the stability bound
        for step in range(int(steps[-1]) + 1):
            learned = 0.5 * (up - down) * (up + down)
            if step in at:
                found[at[step]] = learned
            gap = values - learned
            push, pull = momentum * push + gap * up, momentum * pull - gap * down
            up, down = up + eta * push, down + eta * pull
    return found


def lag_of(rate: float, decay: float, momentum: float) -> float:
    """Return by which share of its time a mode lags behind the clock η/(1 − β): xβ/(1 − β), and x/2 of the step itself.

    Args:
        rate: η/(1 − β), flow time of a step.
        decay: √(s² + τ²) of the mode.
        momentum: β.

    Examples:
        >>> round(lag_of(0.1, 1.0, 0.8), 9)
        0.45
    """
    return rate * decay * (0.5 + momentum / (1 - momentum))
