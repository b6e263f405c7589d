"""The formulas of the page, one scalar function each: all are the library's own, none is written again.

Names and arguments are those by which the page's program calls them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lindyn.explorer.translate import to_javascript
from lindyn.prediction.spectra import mode_errors, outlier_of, rank_in_noise, start_residue
from lindyn.solutions.modes import mode_curve
from lindyn.solutions.step_sizes import figure2_rate, gaussian_gram, stability_limit
from lindyn.solutions.thresholds import activity_of, wide_threshold
from lindyn.support.linalg import marchenko_pastur_node

BULK_ANGLES = 32  # nodes of the quadrature over the bulk, as in `SpikedSpectrum.bulk`
MOST_RANK = 10
_DIM_OF_SPECTRA = 1000  # at which the mean spectra of signals are tabulated, relative to d


def _error_terms(m: Any, x: Any, count: Any, projection: Any) -> Any:
    """What one node adds to the train error, to the test error without ‖A*‖², and to ‖A‖_F²."""
    import jax.numpy as jnp

    learned, value, number, share = (jnp.reshape(v, (1,)) for v in (m, x, count, projection))
    return mode_errors(learned, value, number, share, 0.0, 1.0)


def _stability(variance: Any, width: Any, d_out: Any, d_in: Any, top: Any, tau: Any) -> Any:
    return stability_limit(gaussian_gram(variance, width, d_in), gaussian_gram(variance, width, d_out), top, tau)


def _published(tau: Any, top: Any, size: Any, bound: Any) -> Any:
    return figure2_rate(tau, top=top, size=size, bound=bound)


FORMULAS: dict[str, tuple[Callable[..., Any], str]] = {
    "mode": (mode_curve, "s tau t"),
    "outlier": (lambda s, noise, d_out, d_in: outlier_of(s, noise, (d_out, d_in)), "s noise d_out d_in"),
    "bulk": (marchenko_pastur_node, "phi small large"),
    "error_terms": (_error_terms, "m x count projection"),
    "residue": (start_residue, "start tau t"),
    "stable_rank": (
        lambda power, mode, residue, d_out, d_in: rank_in_noise(power, mode, residue, (d_out, d_in)),
        "power mode residue d_out d_in",
    ),
    "threshold": (lambda variance, width: wide_threshold(variance, variance, width), "variance width"),
    "stability": (_stability, "variance width d_out d_in top tau"),
    "published": (
        lambda tau, top, size, bound: figure2_rate(tau, top=top, size=size, bound=bound),
        "tau top size bound",
    ),
    "activity_of": (activity_of, "s tau"),
}


def formulas() -> str:
    """Return all formulas as JavaScript functions."""
    return "\n".join(to_javascript(function, name, words.split()) for name, (function, words) in FORMULAS.items())


def tables() -> dict[str, Any]:
    """Return the numbers that the page does not compute: mean spectra of signals over d, and quadrature angles."""
    from lindyn.prediction.spectra import mean_signal_spectrum

    d = _DIM_OF_SPECTRA
    spectra = {k: (mean_signal_spectrum(d, k) / d).round(6).tolist() for k in range(1, MOST_RANK + 1)}
    return {"spectra": spectra, "angles": [(k + 0.5) * math.pi / BULK_ANGLES for k in range(BULK_ANGLES)]}
