"""Conditions that bind a recommendation, and what all of it assumes."""

from __future__ import annotations

import math

from lindyn.advice.recommendation import Constraint
from lindyn.advice.theory import NEAR, SHARE_OF_BOUND, AbstractTheory, Search

_UNNOTICED = 0.02  # relative gain in error below which a limit does not bind


def constraints_of(theory: AbstractTheory, found: Search, share: float) -> tuple[Constraint, ...]:
    """Return which conditions bind at the recommended point; `share`: learning rate over the stability bound."""
    tau = found.recommended.threshold
    w, k = theory.width_at(tau), theory.modes.size
    out = [
        Constraint(
            "w ≥ rank",
            "satisfied" if w >= k else "violated",
            f"w = {w:,}, {k} modes show" + ("" if w >= k else ": the smallest cannot be represented; widen"),
        )
    ]
    out += theory.conditions(tau)
    gain = 1 - found.unlimited_error / found.smallest_error if found.smallest_error > 0 else 0.0
    out.append(
        Constraint(
            "steps",
            "binding" if gain > _UNNOTICED else "satisfied",
            f"smallest test error without a limit {found.unlimited_error:.4g}, within it {found.smallest_error:.4g}",
        )
    )
    fast = share > 2 * SHARE_OF_BOUND
    remark = f"η is {share:.0%} of the bound" + (": descent will depart from the flow predicted here" if fast else "")
    return (*out, Constraint("η below the stability bound", "binding" if fast else "satisfied", remark))


def assumptions_of(theory: AbstractTheory, mu: float, kappa: float, lag: float, noise_is: str) -> tuple[str, ...]:
    """Return what the advice rests on; `lag`: relative delay of descent behind the flow."""
    scatter = 1 / math.sqrt(theory.modes.size * max(theory.spectrum.shape))
    cost = "½‖A − T‖_F²" if kappa == 1 else f"½κ‖A − T‖_F² with κ = {kappa:.4g}"
    out = [
        f"the cost is {cost} on whitened inputs, T = A* + E with E of iid entries of standard deviation "
        f"{theory.spectrum.noise:.4g} ({noise_is})",
        f"d is large: the test error of a single draw deviates by about 1/√(K d) = {scatter:.1%} of itself",
        f"small steps: descent lags the flow by about {lag:.1%}, first order in η",
        theory.basis,
    ]
    if mu:
        out.append(
            f"momentum {mu:g} acts as the rate η/(1 − μ) where steps are small, and holds up a mode that grows by x a "
            f"step by {mu / (1 - mu):.2g}x of its time"
        )
    out.append("no weight decay, dropout, mini-batch noise or adaptive step; full precision of the weights")
    out.append(f"{NEAR:.0%} of test error is given up where that saves steps")
    return tuple(out)
