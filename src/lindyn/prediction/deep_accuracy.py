"""How far a prediction at depth can be from a run: the effects of `lindyn.prediction.validity`, for deep mode curves.

The modes move by the deep mode curve (7.3), and each of the L − 1 hidden layers spreads the tangent kernel and the
thresholds of single modes as the one of two layers does: x = n/w becomes (L − 1)n/w. Steps of η lag behind a motion
ṁ = f(m) by ½η ln(f/f₀), and f grows from τ^{2−2/L} to s₁^{2−2/L}: the test error that much earlier and later.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lindyn.prediction.deep_spectra import deep_errors, deep_residue
from lindyn.prediction.spectra import SpikedSpectrum
from lindyn.prediction.validity import RELATIVE, deviation_of, deviation_terms
from lindyn.solutions.deep_modes import deep_mode_curve

LAG = 0.5  # of a step, for each e-fold by which the motion gains speed


def deep_error_estimate(
    spectrum: SpikedSpectrum,
    depth: int,
    *,
    threshold: Any,
    time: Any,
    start_variance: Any,
    width: Any,
    rate: Any,
    share: Any,
) -> np.ndarray:
    """Return how far the test error of a single run can be from that of `deep_errors`.

    Args:
        spectrum: of the target.
        depth: L.
        threshold: τ > 0; broadcast with the others.
        time: flow times.
        start_variance: n₀, variance of an entry of A(0).
        width: smallest hidden width.
        rate: flow time of a step.
        share: learning rate over the stability bound.

    References:
        theory section 5 and (7.3); the terms stand at the head of `lindyn.prediction.validity`.

    Examples:
        >>> spectrum = SpikedSpectrum(100, [60.0], 1.0)
        >>> at = dict(threshold=1.0, time=0.04, start_variance=0.0, rate=1e-5, share=0.06)
        >>> narrow, wide = (deep_error_estimate(spectrum, 3, **at, width=w) for w in (10**3, 10**6))
        >>> bool(narrow > 3 * wide)
        True
    """
    modes, (d_out, d_in) = spectrum.modes, spectrum.shape
    tau, times, n0, w, step, part = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (threshold, time, start_variance, width, rate, share))
    )
    entries, values = float(d_out) * d_in, modes.values
    column, when = tau[..., None], times[..., None]
    learned = deep_mode_curve(values, column, when, depth)
    slope = (deep_mode_curve(values * (1 + RELATIVE), column, when, depth) - learned) / (RELATIVE * values)
    arrival = (deep_mode_curve(values, column * (1 + RELATIVE), when, depth) - learned) / RELATIVE
    terms = deviation_terms(learned, slope, arrival, modes.counts, modes.projections, entries)
    along, power, places, late = (np.sum(term, axis=-1) for term in terms)
    with np.errstate(under="ignore", over="ignore"):
        residue = deep_residue(n0, tau, times, depth)
    alike = w / (depth - 1) if depth > 1 else np.full(w.shape, np.inf)
    found = deviation_of(along, power, places, late, residue, alike, part, modes.energy, spectrum.noise, (d_out, d_in))
    lag = LAG * step * (1 + (2 - 2 / depth) * np.log(np.maximum(modes.top / tau, 1)))
    early, delayed = (
        deep_errors(modes, depth, tau, np.maximum(times + sign * lag, 0), n0).test_error for sign in (-0.5, 0.5)
    )
    beyond = np.append(np.cumsum((spectrum.signal**2)[::-1])[::-1], 0.0) / entries  # Σ_{k > w} s_k²/D at each w
    return np.asarray(found + np.abs(delayed - early) + beyond[np.minimum(w, spectrum.signal.size).astype(int)])
