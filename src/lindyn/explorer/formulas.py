"""The formulas of the page, one scalar function each: all are the library's own, none is written again.

Names and arguments are those by which the page's program calls them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lindyn.explorer.translate import to_javascript
from lindyn.prediction import equivalent, spectra, validity
from lindyn.prediction.deep_spectra import deep_residue, deep_stability_limit, deep_validity
from lindyn.prediction.spectra import mode_errors, outlier_of, rank_in_noise, start_residue
from lindyn.solutions import deep_modes
from lindyn.solutions.balanced import adapter_mode
from lindyn.solutions.modes import descent_step, mode_curve
from lindyn.solutions.step_sizes import figure2_rate, gaussian_gram, stability_limit
from lindyn.solutions.thresholds import activity_of, narrow_threshold, wide_threshold
from lindyn.support.linalg import marchenko_pastur_node

BULK_ANGLES = 32  # nodes of the quadrature over the bulk, as in `SpikedSpectrum.bulk`
MOST_RANK = 10
DEPTHS = (3, 4)  # for which the page carries the table of the deep mode curve
QUANTUM = 1e-8  # of ln t in those tables
_DIM_OF_SPECTRA = 1000  # at which the mean spectra of signals are tabulated, relative to d
_DIGITS = "".join(chr(c) for c in range(35, 127) if chr(c) not in '"\\<&')
_BASE = len(_DIGITS) // 2


def _error_term(place: int) -> Callable[..., Any]:
    """Return what one node adds to the train error, to the test error without ‖A*‖², or to ‖A‖_F²."""

    def term(m: Any, x: Any, count: Any, projection: Any) -> Any:
        import jax.numpy as jnp

        learned, value, number, share = (jnp.reshape(v, (1,)) for v in (m, x, count, projection))
        return mode_errors(learned, value, number, share, 0.0, 1.0)[place]

    return term


def _stability(variance_in: Any, variance_out: Any, width: Any, d_out: Any, d_in: Any, top: Any, tau: Any) -> Any:
    grams = gaussian_gram(variance_in, width, d_in), gaussian_gram(variance_out, width, d_out)
    return stability_limit(*grams, top, tau)


def _deviation(
    along: Any, power: Any, places: Any, late: Any, residue: Any, width: Any, share: Any, energy: Any, noise: Any,
    d_out: Any, d_in: Any,
) -> Any:  # fmt: skip
    shape = d_out, d_in
    return validity.deviation_of(along, power, places, late, residue, width, share, energy, noise, shape)


def _pairs(function: Callable[..., Any], place: int, count: int) -> Callable[..., Any]:
    """Return a function of numbers, `count` of which from `place` on are pairs: real and imaginary part."""

    def split(*numbers: Any) -> Any:
        import jax.numpy as jnp
        from jax.lax import complex as pair

        end = place + 2 * count
        complexes = [pair(*numbers[k : k + 2]) for k in range(place, end, 2)]
        found = function(*numbers[:place], *complexes, *numbers[end:])
        values = found if isinstance(found, tuple) else (found,)
        return tuple(part(value) for value in values for part in (jnp.real, jnp.imag))

    return split


def _resolvent(*numbers: Any) -> Any:
    return _pairs(equivalent.resolvent_of, 1, 1)(*numbers)[1]


def _deep_place(*numbers: Any) -> Any:
    """Refine a place between two knots of the table: eight knots, the left place, the ends, the value sought."""
    import jax.numpy as jnp

    *knots, left, bottom, top, sought = numbers
    coefficients = deep_modes.polynomial_coefficients(knots)
    return deep_modes.place_within(jnp, coefficients, left, (bottom, top), sought)


FORMULAS: dict[str, tuple[Callable[..., Any], str]] = {
    "mode": (mode_curve, "s tau t"),
    "grow": (lambda *a: descent_step(*a)[0], "grown fallen s rate decay"),
    "fall": (lambda *a: descent_step(*a)[1], "grown fallen s rate decay"),
    "outlier": (lambda s, noise, d_out, d_in: outlier_of(s, noise, (d_out, d_in)), "s noise d_out d_in"),
    "bulk": (marchenko_pastur_node, "phi small large"),
    "train_term": (_error_term(0), "m x count projection"),
    "test_term": (_error_term(1), "m x count projection"),
    "power_term": (_error_term(2), "m x count projection"),
    "residue": (start_residue, "start tau t"),
    "residue_step": (validity.residue_step, "left tau rate decay"),
    "flow_slopes": (validity.flow_slopes, "m higher x tau t"),
    "deviation_terms": (validity.deviation_terms, "m slope arrival count projection entries"),
    "deviation": (_deviation, "along power places late residue width share energy noise d_out d_in"),
    "stable_rank": (
        lambda power, mode, residue, d_out, d_in: rank_in_noise(power, mode, residue, (d_out, d_in)),
        "power mode residue d_out d_in",
    ),
    "threshold": (lambda variance, width: wide_threshold(variance, variance, width), "variance width"),
    "stability": (_stability, "variance_in variance_out width d_out d_in top tau"),
    "published": (
        lambda tau, top, size, bound: figure2_rate(tau, top=top, size=size, bound=bound),
        "tau top size bound",
    ),
    "pole_of": (_pairs(equivalent.pole_of, 0, 1), "re im square"),
    "inverse_map": (_pairs(equivalent.inverse_map, 0, 5), "p p_im small s_im large l_im sp sp_im lp lp_im"),
    "resolvent_of": (_resolvent, "x small small_im"),
    "node_from_zero": (equivalent.node_from_zero, "high phi"),
    "node_between": (equivalent.node_between, "low high phi"),
    "activity_of": (activity_of, "s tau"),
    "adapter_threshold": (
        lambda variance, d_in, d_out: narrow_threshold(variance, 0.0, d_in, d_out),
        "variance d_in d_out",
    ),
    "adapter_mode": (adapter_mode, "s tau overlap t"),
    "equal_layers": (deep_modes.equal_layers, "variance width depth"),
    "deep_stability": (
        lambda tau, width, top, d_out, d_in, depth: deep_stability_limit(tau, width, top, (d_out, d_in), depth),
        "tau width top d_out d_in depth",
    ),
    "deep_published": (
        lambda tau, top, size, bound, depth: deep_modes.deep_published_rate(
            tau, top=top, size=size, bound=bound, depth=depth
        ),
        "tau top size bound depth",
    ),
    "deep_residue": (deep_residue, "start tau t depth"),
    "deep_valid": (
        lambda width, n0, unit, d_out, d_in: deep_validity(width, n0, (d_out, d_in), unit),
        "width n0 unit d_out d_in",
    ),
    "deep_log_time": (deep_modes.scaled_log_time, "tau t depth"),
    "deep_shares": (lambda offset: tuple(deep_modes.polynomial_shares(offset)), "offset"),
    "deep_place": (_deep_place, "k0 k1 k2 k3 k4 k5 k6 k7 left bottom top sought"),
    "deep_lazy": (deep_modes.lazy_log_time, "level depth"),
    "deep_same": (deep_modes.same_escape, "level beyond"),
    "deep_delayed": (deep_modes.delayed_log_time, "log_ratio beyond delay balanced depth"),
    "deep_late": (deep_modes.late_level, "log_time last before level level_before"),
}


def formulas() -> str:
    """Return all formulas as JavaScript functions."""
    return "\n".join(to_javascript(function, name, words.split()) for name, (function, words) in FORMULAS.items())


def tables() -> dict[str, Any]:
    """Return the numbers that the page does not compute: spectra of signals over d, quadrature angles, deep curves."""
    from lindyn.prediction.spectra import mean_signal_spectrum

    d = _DIM_OF_SPECTRA
    return {
        "spectra": {k: (mean_signal_spectrum(d, k) / d).round(6).tolist() for k in range(1, MOST_RANK + 1)},
        "angles": [(k + 0.5) * math.pi / BULK_ANGLES for k in range(BULK_ANGLES)],
        "relative": validity.RELATIVE,
        "usable": validity.USABLE,
        "small_steps": validity.SMALL_STEPS,
        "equivalent": {
            "few": spectra.FEW,
            "clear": spectra.CLEAR,
            "tolerance": equivalent.TOLERANCE,
            "kept": equivalent.KEPT,
            "most_nodes": equivalent.MOST_NODES,
            "unusable": equivalent.UNUSABLE,
        },
        "digits": _DIGITS,
        "quantum": QUANTUM,
        "deep": {depth: _deep_table(depth) for depth in DEPTHS},
    }


def _deep_table(depth: int) -> dict[str, Any]:
    table, (balanced, escape) = deep_modes._table(depth), deep_modes._delays(depth)
    return {
        "ratios": [float(table.log_ratios[0]), float(table.log_ratios[-1]), table.log_ratios.size],
        "levels": [float(table.log_levels[0]), float(table.log_levels[-1]), table.log_levels.size],
        "log_times": packed(np.round(table.log_times / QUANTUM).astype(np.int64)),
        "balanced": [float(f"{v:.12g}") for v in balanced],
        "escape": [float(f"{v:.12g}") for v in escape],
    }


def packed(whole: np.ndarray) -> str:
    """Return a smooth table of whole numbers as text: its second differences down, of fifth differences along rows.

    Each number is written in digits of a base, lowest first; a last digit is told by the upper half of the alphabet.
    """
    found = whole
    for _ in range(2):
        found = np.concatenate([found[:1], np.diff(found, axis=0)])
    for _ in range(5):
        found = np.concatenate([found[:, :1], np.diff(found, axis=1)], axis=1)
    text = []
    for value in np.where(found < 0, -2 * found - 1, 2 * found).ravel().tolist():
        rest = value
        while rest >= _BASE:
            rest, digit = divmod(rest, _BASE)
            text.append(_DIGITS[digit])
        text.append(_DIGITS[_BASE + rest])
    return "".join(text)
