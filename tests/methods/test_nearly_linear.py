"""Networks to first order in 1 − slope: against differences of trained networks, and the bound against its terms."""

import math

import numpy as np
import pytest

import lindyn as ld
from lindyn.methods import NearlyLinear
from lindyn.networks import DeepReLU
from lindyn.prediction import margin_bound

RNG = np.random.default_rng(0)
INPUTS, TARGET = RNG.standard_normal((3, 12)), RNG.standard_normal((2, 12))
NET = DeepReLU.gaussian(INPUTS, 2, widths=(5, 4), scale=0.8, slope=0.99, key=0)
TASK = ld.SpikedMatrix(target=TARGET)
TIMES = [0.0, 0.1, 0.2]


def outputs(slope, method=None):
    exact = ld.Flow(solver="tsit5", rtol=1e-9, atol=1e-11) if method is None else method
    return ld.simulate(NET.with_slope(slope), TASK, exact, times=TIMES, observables="matrix")["matrix"]


@pytest.mark.slow
def test_the_correction_is_the_derivative_of_the_flow_in_the_slope():
    linear, predicted = outputs(1.0), outputs(0.99, NearlyLinear(rtol=1e-9))
    correction = (predicted - linear) / 0.01
    errors = [np.abs((outputs(1 - e) - linear) / e - correction).max() for e in (0.02, 0.01)]
    # what is left of a one-sided difference is ∝ ε, while no unit crosses its kink
    assert errors[0] < 0.1 * np.abs(correction).max()
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)


@pytest.mark.slow
def test_at_slope_one_it_is_the_linear_flow():
    assert np.abs(outputs(1.0, NearlyLinear(rtol=1e-9)) - outputs(1.0)).max() < 1e-8


def test_what_is_linear_or_decays_is_refused():
    with pytest.raises(ld.InvalidArgument, match="be Flow for a linear network"):
        ld.simulate(
            ld.TwoLayer.gaussian(2, width=3, variance=0.1),
            ld.SpikedMatrix(target=np.eye(2)),
            NearlyLinear(),
            times=[0.0],
        )
    with pytest.raises(ld.InvalidArgument, match="weight_decay"):
        ld.simulate(NET, TASK, NearlyLinear(weight_decay=0.1), times=[0.0])
    with pytest.raises(ld.InvalidArgument, match="NearlyLinear"):
        ld.simulate(ld.Mixed(1.0), ld.SpikedMatrix(target=np.eye(2)), NearlyLinear(), times=[0.0])


def test_the_bound_is_the_least_sum_of_its_terms():
    f, y = RNG.standard_normal(500), np.sign(RNG.standard_normal(500))
    found = margin_bound(f, y, dim=4, norm=2.0, deviation=0.1, confidence=0.1)

    def terms(g):
        ramp = np.mean([min(max(1 - margin / g, 0), 1) for margin in f * y])
        return ramp, 2 / g * 2.0 * math.sqrt(4 / 500), 3 * math.sqrt(math.log(2 * 60 / 0.1) / 1000), 0.1 / g

    at = (found.ramp, found.complexity, found.confidence, found.deviation)
    assert at == pytest.approx(terms(found.margin))
    assert found.value == pytest.approx(sum(at))
    assert all(found.value <= sum(terms(g)) + 1e-12 for g in np.geomspace(1e-2, 10, 60))
    assert found.vacuous  # labels are noise


@pytest.mark.parametrize(
    ("changes", "name"), [({"labels": [0.5, 1.0]}, "labels"), ({"confidence": 1.0}, "confidence"), ({"dim": 0}, "dim")]
)
def test_bounds_without_meaning_are_refused(changes, name):
    given = {"outputs": [1.0, -1.0], "labels": [1.0, -1.0], "dim": 1, "norm": 1.0, **changes}
    with pytest.raises(ld.InvalidArgument, match=name):
        margin_bound(given.pop("outputs"), given.pop("labels"), **given)
