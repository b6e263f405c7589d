"""What no network can be made of is refused in one sentence."""

import numpy as np

import lindyn as ld
from helpers.refusals import refused
from lindyn.networks import laws as law

NAN, INF = np.nan, np.inf
EYE, WIDE = np.eye(3), np.ones((3, 4))


TABLE = {
    "arrays": [
        (lambda: ld.TwoLayer.from_weights(WIDE, np.ones((2, 5))), "w2", "have 3 columns"),
        (lambda: ld.TwoLayer.from_weights(NAN * WIDE, EYE), "w1", "12 of its 12 entries"),
    ],
    "networks": [
        (lambda: ld.TwoLayer.gaussian(5, 0, 1.0), "width", "at least 1, but it is 0; a network needs a hidden unit"),
        (lambda: ld.TwoLayer.gaussian(5, 2.5, 1.0), "width", "whole number, but it is 2.5"),
        (lambda: ld.TwoLayer.gaussian(5, "9", 1.0), "width", "'9'"),
        (lambda: ld.TwoLayer.gaussian(5, 9, -0.1), "variance", "at least 0, but it is -0.1"),
        (lambda: ld.TwoLayer.gaussian(5, 9, INF), "variance", "finite"),
        (lambda: ld.TwoLayer.gaussian(5, 9), "variance", "give both `variance_in` and `variance_out`"),
        (lambda: ld.TwoLayer.gaussian(5, 9, variance_in=-1, variance_out=1), "variance_in", "-1"),
        (lambda: ld.TwoLayer.gaussian((5, 0), 9, 1.0), "shape[1]", "at least 1"),
        (lambda: ld.TwoLayer.exponents(5, -1, -1), "width_exponent", "at least 0"),
        (lambda: ld.TwoLayer.exponents(500, -1, 1e3), "width_exponent", "it is 1000"),
        (lambda: ld.TwoLayer.orthogonal(3, threshold=-1), "threshold", "at least 0, but it is -1"),
        (lambda: ld.TwoLayer.orthogonal(3, threshold=1, width=5), "width", "at least 6, but it is 5"),
        (lambda: ld.TwoLayer.orthogonal(3, threshold=1, side="left"), "side", "'both', 'in', 'out', but it is 'left'"),
        (lambda: ld.TwoLayer.orthogonal(threshold=1), "shape", "be given"),
        (lambda: ld.TwoLayer.orthogonal(threshold=1, side="in", start=EYE), "side", "'both' when a start is given"),
        (lambda: ld.TwoLayer.orthogonal((3, 4), threshold=1, start=EYE), "start", "have the shape (3, 4)"),
        (lambda: ld.TwoLayer.balanced(3, threshold=1, width=4), "width", "at most 3, but it is 4; or use `orthogonal`"),
        (lambda: ld.TwoLayer.balanced(threshold=1, width=2, start=EYE), "width", "rank 3"),
        (lambda: ld.TwoLayer.lora(8, rank=9), "rank", "at most 8"),
        (lambda: ld.TwoLayer.lora(8, rank=2, scale=-1), "scale", "greater than 0"),
        (lambda: ld.TwoLayer.lora(8, rank=2, variance=-1), "variance", "at least 0"),
        (lambda: ld.TwoLayer.lora(8, rank=2, rate_ratio=0), "rate_ratio", "greater than 0"),
        (lambda: ld.TwoLayer.gaussian(5, 100, 1.0).weights(), "key", "pass a seed"),
        (lambda: ld.TwoLayer.from_weights(EYE, EYE, threshold=-1), "threshold", "at least 0"),
        (lambda: law.ntk(5, width=0), "width", "at least 1"),
        (lambda: ld.TwoLayer.gaussian(5, 9, 1.0, variance_in=1, variance_out=1), "variance", "be left out beside"),
        (lambda: ld.TwoLayer.gaussian(10**7, 10**9, 1.0), "shape", "the reduced layers"),
        (lambda: ld.TwoLayer.parametrized(5, "ntk"), "law", "be a Parametrization, but it is 'ntk'"),
        (lambda: ld.TwoLayer.orthogonal(3, threshold=1e200), "threshold", "at most 1e+150"),
        (lambda: law.exponents(500, variance_exponent=1000, width_exponent=1), "variance_exponent", "it is 1000"),
        (lambda: ld.networks.mixed_weights(5, 10**12, threshold=1.0), "width", "GiB are available"),
    ],
    "laws": [
        (lambda: ld.networks.Parametrization("mine", 9, 1, 1, distribution="cauchy"), "distribution", "it is 'cauchy'"),
        (lambda: ld.networks.Parametrization("mine", 0, 1, 1), "width", "at least 1"),
        (lambda: ld.networks.Parametrization("mine", 9, -1, 1), "variance_in", "at least 0"),
        (lambda: ld.networks.Parametrization("mine", 9, 1, 1, multiplier=0), "multiplier", "greater than 0"),
        (lambda: ld.networks.Parametrization("mine", 9, 1, 1, rate_out=NAN), "rate_out", "finite"),
        (lambda: ld.networks.Parametrization("mine", 10**300, 1e150, 1), "width", "give a finite threshold"),
        (lambda: ld.networks.Parametrization("mine", 10**301, 1, 1), "width", "at most 1e+300"),
    ],
    "factor pairs": [
        (lambda: ld.networks.factor_modes(1e61 * EYE, EYE), "first", "have entries up to 1e+60"),
        (lambda: ld.networks.imbalance_drift(EYE, (EYE, EYE)), "now", "be a pair (W1, W2)"),
        (lambda: ld.networks.share_outside_rows((EYE,), EYE), "factors", "be a pair (W1, W2)"),
    ],
}


@refused(TABLE)
def test_one_sentence_names_the_argument_and_the_remedy(refusal):
    refusal.check()
