"""Label noise as decay of the imbalance: the formula against layers trained under fresh noise."""

import numpy as np
import pytest

import lindyn as ld
from helpers.refusals import refused

DIM, RATE, DEVIATION, THRESHOLD = 12, 0.005, 0.7, 3.0


@pytest.mark.slow
def test_the_grams_of_layers_under_noise_are_those_of_the_formula():
    """tr C1 + tr C2, in plain NumPy: within 3 %, since the noise of A itself acts at relative order ητ = 1.5 %.

    And its size, E‖A − T‖_F² = ρ Σ_k √(s_k² + τ²), which falls from 1.1 to 0.5 beside ‖T‖_F² = 13.
    """
    target = np.diag(np.linspace(1.5, 0.5, DIM))
    net = ld.TwoLayer.orthogonal(threshold=THRESHOLD, start=target)
    formula = ld.dynamics.NoisyLabels.under_noise(net, learning_rate=RATE, deviation=DEVIATION)
    rng, (w1, w2), sizes, every = np.random.default_rng(0), net.weights(), [], 1000
    for step in range(8001):
        if step % every == 0:
            sizes.append(np.sum(w1**2) + np.sum(w2**2))
        gradient = w2 @ w1 - target + DEVIATION * rng.standard_normal((DIM, DIM))
        w1, w2 = w1 - RATE * w2.T @ gradient, w2 - RATE * gradient @ w1.T
    task, seen = ld.SpikedMatrix(target=target), ["gram_in", "gram_out", "activity"]
    method = ld.GradientDescent(learning_rate=RATE, steps=8000)
    run = ld.simulate(formula, task, method, save_every=every, observables=seen)
    predicted = np.trace(run["gram_in"], axis1=1, axis2=2) + np.trace(run["gram_out"], axis1=1, axis2=2)
    np.testing.assert_allclose(sizes, predicted, rtol=0.03)
    assert predicted[-1] < 0.6 * predicted[0]  # so that without decay it would fail
    assert run["activity"][0, 0] < 0.5  # lazy …
    assert run["activity"][-1, 0] > 0.8  # … to active


def test_noise_and_weight_decay_add_up_and_there_is_no_closed_form():
    formula = ld.dynamics.NoisyLabels(2.0, noise_rate=0.3, weight_decay=0.1)
    assert float(formula.threshold_at(2.0)) == pytest.approx(2 * np.exp(-1.0), rel=1e-6)
    task = ld.SpikedMatrix(target=np.eye(3))
    assert "threshold_at" in str(ld.dynamics.NoisyLabels(2.0, noise_rate=0.3).closed_form(task))


@refused(
    [
        (lambda: ld.dynamics.NoisyLabels(1.0, noise_rate=-1.0), "noise_rate", "at least 0"),
        (lambda: ld.dynamics.NoisyLabels(1.0, np.ones((2, 3)), noise_rate=1.0), "start", "be square"),
        (
            lambda: ld.dynamics.NoisyLabels.under_noise(
                ld.TwoLayer.orthogonal(3, threshold=1.0), learning_rate=0, deviation=1
            ),
            "learning_rate",
            "greater than 0",
        ),
    ]
)
def test_what_it_does_not_describe_is_refused(refusal):
    refusal.check()
