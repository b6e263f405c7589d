"""Conditions that bind a recommendation, and what all of it assumes."""

from __future__ import annotations

import math

from lindyn.advice.recommendation import Constraint
from lindyn.advice.theory import NEAR, SHARE_OF_BOUND, SMALL_START, WIDE_ERROR, AbstractTheory, Search

_UNNOTICED = 0.02  # relative gain in error below which a limit does not bind


def constraints_of(theory: AbstractTheory, found: Search, narrow: bool, share: float) -> tuple[Constraint, ...]:
    """Return which conditions bind at the recommended point; `share`: learning rate over the stability bound."""
    tau = found.recommended.threshold
    d, w, k = max(theory.spectrum.shape), theory.width_at(tau), theory.modes.size
    out = [
        Constraint(
            "w ≥ rank",
            "satisfied" if w >= k else "violated",
            f"w = {w:,}, {k} modes show" + ("" if w >= k else ": the smallest cannot be represented; widen"),
        )
    ]
    if narrow:
        out.append(
            Constraint("w ≪ d_in (2.7)", *_small(math.sqrt(w / theory.spectrum.shape[1]), 0.5, "√(w/d_in)", "LoRA's τ"))
        )
    else:
        n0 = theory.start_variance(tau) / theory.signal_entry
        out.append(Constraint("w ≫ d (2.3)", *_small(math.sqrt(d / w), WIDE_ERROR, "√(d/w)", "a Gaussian start")))
        out.append(Constraint("σ⁴w ≪ signal²", *_small(n0, SMALL_START, "σ⁴w over the signal's entries²", "A(0) ≈ 0")))
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


def _small(value: float, limit: float, name: str, what: str) -> tuple[str, str]:
    fine = value <= limit * (1 + 1e-9)
    text = f"{name} = {value:.2g}, should be at most {limit:g}"
    return ("satisfied", text) if fine else ("binding", f"{text}: {what} holds only to that order")


def assumptions_of(
    theory: AbstractTheory, narrow: bool, mu: float, kappa: float, lag: float, noise_is: str
) -> tuple[str, ...]:
    """Return what the advice rests on; `lag`: relative delay of descent behind the flow."""
    scatter = 1 / math.sqrt(theory.modes.size * max(theory.spectrum.shape))
    cost = "½‖A − T‖_F²" if kappa == 1 else f"½κ‖A − T‖_F² with κ = {kappa:.4g}"
    out = [
        f"the cost is {cost} on whitened inputs, T = A* + E with E of iid entries of standard deviation "
        f"{theory.spectrum.noise:.4g} ({noise_is})",
        f"d is large: the test error of a single draw deviates by about 1/√(K d) = {scatter:.1%} of itself",
        f"small steps: descent lags the flow by about {lag:.1%}, first order in η",
    ]
    if narrow:
        out.append("one factor starts at zero, the other random, w ≪ d (2.7); numbers are means over starts, (3.4)")
    else:
        out.append("the mixed formula (2.1) from A(0) ≈ 0: w ≫ d for a Gaussian start, or an orthogonal one (2.4)")
    if mu:
        out.append(f"momentum {mu:g} acts as the rate η/(1 − μ), after a delay of about {mu / (1 - mu):.0f} steps")
    out.append("no weight decay, dropout, mini-batch noise or adaptive step; full precision of the weights")
    out.append(f"{NEAR:.0%} of test error is given up where that saves steps")
    return tuple(out)
