"""Phases and learning times, against the mode equation integrated by SciPy."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import lindyn as ld
from lindyn.prediction.regimes import phase_of, regime


def test_learning_times_are_those_of_the_mode_equation():
    tau, modes = 0.7, np.array([5.0, 1.0, 0.3])
    split = regime(tau, modes)
    for k, s in enumerate(modes):
        targets = {"half_time": s / 2, "learning_time": 0.9 * s}
        if s > tau:
            targets["crossing_time"] = tau
        else:
            assert np.isnan(split.crossing_time[k])
        for name, level in targets.items():

            def reached(_, m, level=level):
                return m[0] - level

            reached.terminal = True

            def rhs(_, m, s=s):
                return 2 * np.hypot(m, tau) * (s - m)

            found = solve_ivp(rhs, (0, 100), [0.0], events=reached, rtol=1e-11, atol=1e-13)
            assert getattr(split, name)[k] == pytest.approx(found.t_events[0][0], rel=1e-8)


def test_rates_are_those_of_the_final_approach():
    split = regime(2.0, [3.0])
    late = 2.0
    ratio = (3.0 - ld.solutions.mode_curve(3.0, 2.0, late)) / (3.0 - ld.solutions.mode_curve(3.0, 2.0, late + 0.1))
    assert np.log(ratio) / 0.1 == pytest.approx(split.rate[0], rel=1e-4)


@pytest.mark.parametrize(
    ("threshold", "options", "phase"),
    [
        (1.0, {}, "active"),
        (4.0, {}, "mixed"),
        (9.0, {}, "lazy"),
        (9.0, {"start_variance": 1.0}, "infinite noise"),
        (9.0, {"width": 1}, "underparameterised"),
        (9.0, {"width": 1, "start_variance": 5.0}, "underparameterised"),
        (9.0, {"width": 2, "start_variance": 0.5}, "lazy"),
    ],
)
def test_phases(threshold, options, phase):
    assert phase_of(threshold, [5.0, 3.0], **options) == phase


def test_figure_2_lines():
    """σ²w = d, σ⁴w = 1 and w = K separate the phases of the published diagram."""
    from lindyn.networks.laws import exponents
    from lindyn.prediction.spectra import mean_signal_spectrum

    signal = mean_signal_spectrum(200, 5)

    def phase(variance_exponent, width_exponent):
        law = exponents(200, variance_exponent=variance_exponent, width_exponent=width_exponent)
        n0 = law.variance_in**2 * law.width
        return phase_of(law.threshold, signal, width=law.width, start_variance=n0)

    assert phase(-2.0, 1.5) == "active"
    assert phase(-1.6, 2.8) == "lazy"
    assert phase(-0.5, 2.0) == "infinite noise"
    assert phase(-2.0, 0.2) == "underparameterised"
