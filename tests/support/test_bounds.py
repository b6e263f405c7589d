"""What the table of bounds promises: within it the highest power of each argument, over a large matrix, is a number."""

import sys

import numpy as np
import pytest

import lindyn as ld
from lindyn.networks import laws
from lindyn.support import bounds

LARGEST = sys.float_info.max


def test_the_powers_that_each_bound_allows_are_numbers():
    entries = 1e6  # of a sum of such powers
    assert entries * bounds.SQUARED**2 < LARGEST
    assert entries * bounds.TO_THE_FOURTH**4 * bounds.SCALE < LARGEST
    assert np.exp(bounds.LARGEST_LOGARITHM) ** 2 < LARGEST
    assert float(bounds.MOST_STEPS) == bounds.MOST_STEPS
    assert bounds.LARGEST_SIDE**2 < LARGEST


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("act", "most"),
    [
        (lambda x: ld.solutions.mode_curve(1.0, x, 0.5), bounds.SQUARED),
        (lambda x: ld.solutions.mode_curve(x, 1.0, 0.5), bounds.SQUARED),
        (lambda x: ld.solutions.mode_time(1.0, x, 0.5), bounds.SQUARED),
        (lambda x: ld.solutions.deep_mode_curve(1.0, x, 0.5, depth=3), bounds.SQUARED),
        (lambda x: ld.solutions.MixedSolution(np.eye(2), x), bounds.SQUARED),
        (lambda x: laws.standard(width=1, variance=x), bounds.SQUARED),
        (lambda x: ld.prediction.SpikedSpectrum(9, [1.0], noise=x), bounds.TO_THE_FOURTH),
        (lambda x: ld.prediction.mean_signal_spectrum(9, 1, scale=x), bounds.TO_THE_FOURTH),
        (lambda x: ld.networks.factor_modes([[x]], [[x]]), bounds.TO_THE_FOURTH),
        (lambda x: ld.networks.factor_modes([[1.0]], [[1.0]], scale=x), bounds.SCALE),
    ],
    ids=["τ", "s", "τ of a time", "τ at depth", "τ of a matrix", "σ²", "noise", "scale", "factors", "s of an adapter"],
)
def test_an_argument_is_taken_up_to_its_bound_and_refused_above(act, most):
    act(0.99 * most)
    with pytest.raises(ld.InvalidArgument):
        act(1.01 * most)
