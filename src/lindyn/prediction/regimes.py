"""Regimes: which modes are lazy, which active, in what phase a network trains, and how long each mode takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn.solutions.deep_modes import checked_depth, deep_mode_curve, deep_mode_rate, deep_mode_time
from lindyn.solutions.modes import mode_times
from lindyn.support import checks
from lindyn.support.bounds import SQUARED

if TYPE_CHECKING:
    import xarray
    from jaxtyping import Float

LAZY, MIXED, ACTIVE = "lazy", "mixed", "active"
INFINITE_NOISE, UNDERPARAMETERISED = "infinite noise", "underparameterised"


@dataclass(frozen=True, eq=False)
class Regime:
    """How the modes of a target train at a threshold.

    Attributes:
        threshold: τ.
        phase: "lazy" if every mode is below τ, "active" if every mode is above, else "mixed"; "infinite noise" if
            σ⁴w ≥ 1 (the entries of A(0) reach those of a signal of unit entries), "underparameterised" if w < rank.
        singular_values: s of each mode, largest first.
        activity: s/√(s² + τ²) of each mode: 0 lazy, 1/√2 at the threshold, 1 active.
        half_time: flow time at which a mode started from zero reaches s/2.
        learning_time: flow time at which it reaches 0.9 s.
        crossing_time: flow time at which it crosses τ (NaN for a mode that stays below).
        rate: 2√(s² + τ²), the rate of the final approach; at other depths that of the deep mode curve.
        depth: L.

    References:
        theory (2.1), (3.2), section 4.
    """

    threshold: float
    phase: str
    singular_values: Float[np.ndarray, " modes"]
    activity: Float[np.ndarray, " modes"]
    half_time: Float[np.ndarray, " modes"]
    learning_time: Float[np.ndarray, " modes"]
    crossing_time: Float[np.ndarray, " modes"]
    rate: Float[np.ndarray, " modes"]
    depth: int = 2

    @property
    def active_modes(self) -> int:
        """Number of modes above the threshold."""
        return int(np.sum(self.singular_values > self.threshold))

    def to_xarray(self, points: int = 400) -> xarray.Dataset:
        """Return times and rates of each mode, and its learned share m(t)/s at `points` times until all are learned.

        Args:
            points: number of times, from 0 to 1.2 times the last learning time.

        References:
            theory (3.2).
        """
        import xarray as xr

        times = np.linspace(
            0.0, 1.2 * float(np.max(self.learning_time)), checks.integer("points", points, at_least=2, at_most=10**6)
        )
        share = deep_mode_curve(self.singular_values, self.threshold, times[:, None], self.depth) / self.singular_values
        by_mode = {
            "singular_values": (self.singular_values, "singular value s of the target", "target"),
            "activity": (self.activity, "s/√(s² + τ²): 0 lazy, 1 active", "1"),
            "half_time": (self.half_time, "flow time to s/2", "1/target"),
            "learning_time": (self.learning_time, "flow time to 0.9 s", "1/target"),
            "crossing_time": (self.crossing_time, "flow time at which the mode crosses τ", "1/target"),
            "rate": (self.rate, "rate of the final approach", "target"),
        }
        variables = {k: ("mode", v, {"long_name": text, "units": unit}) for k, (v, text, unit) in by_mode.items()}
        return xr.Dataset(
            {**variables, "share": (("time", "mode"), share, {"long_name": "learned share m(t)/s", "units": "1"})},
            coords={
                "time": ("time", times, {"long_name": "flow time (learning rate × step)", "units": "1/target"}),
                "mode": ("mode", np.arange(1, share.shape[1] + 1), {"long_name": "mode", "units": "1"}),
            },
            attrs={"threshold": self.threshold, "phase": self.phase},
        )


def phase_of(
    threshold: float,
    singular_values: Any,
    *,
    width: int | None = None,
    start_variance: float | None = None,
    rank: int | None = None,
) -> str:
    """Return the phase of training.

    Args:
        threshold: τ = σ²w.
        singular_values: of the signal.
        width: w; with it, w < rank is "underparameterised".
        start_variance: n₀ = σ⁴w, the variance of an entry of A(0); n₀ ≥ 1 is "infinite noise".
        rank: K; the number of non-zero singular values if left out.

    References:
        theory section 4, the lines of the phase diagram.

    Examples:
        >>> phase_of(1.0, [5.0, 3.0]), phase_of(4.0, [5.0, 3.0]), phase_of(9.0, [5.0, 3.0])
        ('active', 'mixed', 'lazy')
        >>> phase_of(9.0, [5.0, 3.0], width=1)
        'underparameterised'
    """
    tau = checks.number("threshold", threshold, at_least=0)
    s = checks.array("singular_values", singular_values, 1, dtype=np.float64)
    k = int(np.count_nonzero(s)) if rank is None else checks.integer("rank", rank, at_least=0)
    if width is not None and checks.integer("width", width, at_least=1) < k:
        return UNDERPARAMETERISED
    if start_variance is not None and checks.number("start_variance", start_variance, at_least=0) >= 1:
        return INFINITE_NOISE
    above = s[s > 0] > tau
    if above.all():
        return ACTIVE
    return MIXED if above.any() else LAZY


def regime(
    threshold: float,
    singular_values: Any,
    *,
    depth: int = 2,
    width: int | None = None,
    start_variance: float | None = None,
) -> Regime:
    """Return the split of modes into lazy and active and their learning times, from a zero start.

    Args:
        threshold: τ > 0.
        singular_values: of the target: positive, any order.
        depth: L, 2 to 6; τ is then (σ²w)^{L/2} (7.4).
        width: w, for the phase.
        start_variance: σ⁴w, for the phase; at depth the variance of an entry of A(0), σ^{2L}w^{L−1}.

    Raises:
        InvalidArgument: τ ≤ 0, or a singular value that is not positive.

    References:
        theory (3.2), section 4.

    Examples:
        >>> split = regime(2.0, [8.0, 1.0])
        >>> split.phase, split.active_modes, split.activity.round(3).tolist()
        ('mixed', 1, [0.97, 0.447])
    """
    tau = checks.number("threshold", threshold, above=0, at_most=SQUARED, remedy="at τ = 0 a start of zero never moves")
    s = np.sort(checks.array("singular_values", singular_values, 1, dtype=np.float64))[::-1]
    if s[-1] <= 0:
        raise checks.InvalidArgument("singular_values", "be positive", f"the smallest is {s[-1]:g}")
    if s[0] > SQUARED:
        raise checks.InvalidArgument("singular_values", f"be at most {SQUARED:g}", f"the largest is {s[0]:g}")
    if checks.integer("depth", depth, at_least=2) != 2:
        return _deep_regime(tau, s, checked_depth(depth), phase_of(tau, s, width=width, start_variance=start_variance))
    times = mode_times(s, tau)
    return Regime(
        threshold=tau,
        phase=phase_of(tau, s, width=width, start_variance=start_variance),
        singular_values=s,
        activity=s / np.hypot(s, tau),
        half_time=times.half,
        learning_time=times.learned,
        crossing_time=times.crossing,
        rate=2 * np.hypot(s, tau),
    )


def _deep_regime(tau: float, s: np.ndarray, depth: int, phase: str) -> Regime:
    crossing = np.full(s.shape, np.nan)
    crossing[s > tau] = deep_mode_time(s[s > tau], tau, tau, depth)
    return Regime(
        threshold=tau,
        phase=phase,
        singular_values=s,
        activity=s / np.hypot(s, tau),
        half_time=deep_mode_time(s, tau, 0.5 * s, depth),
        learning_time=deep_mode_time(s, tau, 0.9 * s, depth),
        crossing_time=crossing,
        rate=deep_mode_rate(s, tau, depth),
        depth=depth,
    )


def phases_of(threshold: Any, singular_values: Any, *, width: Any, start_variance: Any) -> np.ndarray:
    """Return the phases of many networks on one signal: `phase_of`, cell by cell.

    Args:
        threshold: τ of each network.
        singular_values: of the signal.
        width: w of each network, of the same shape.
        start_variance: n₀ = σ⁴w of each network, of the same shape.

    References:
        theory section 4, the lines of the phase diagram.

    Examples:
        >>> phases_of([1.0, 4.0, 9.0], [5.0, 3.0], width=[9, 9, 1], start_variance=[0.0, 0.0, 0.0]).tolist()
        ['active', 'mixed', 'underparameterised']
    """
    s = checks.array("singular_values", singular_values, 1, dtype=np.float64)
    s = s[s > 0]
    tau, w, n0 = (np.asarray(v, dtype=np.float64) for v in (threshold, width, start_variance))
    conditions = [w < s.size, n0 >= 1, tau < s.min(initial=np.inf), tau < s.max(initial=-np.inf)]
    return np.select(conditions, [UNDERPARAMETERISED, INFINITE_NOISE, ACTIVE, MIXED], LAZY)
