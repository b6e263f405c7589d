"""NC1 of a linear network's features: against its definition sample by sample, and against the exact law."""

import numpy as np
import pytest

import lindyn as ld
from helpers.refusals import refused

LABELS = np.array([0, 2, 0, 2, 2, 5])
RNG = np.random.default_rng(0)


def direct(features, labels):
    """Variance within classes over that between them, sample by sample."""
    means = {k: features[:, labels == k].mean(axis=1) for k in set(labels)}
    within = sum(np.sum((z - means[k]) ** 2) for z, k in zip(features.T, labels, strict=True))
    between = sum(np.sum((means[k] - features.mean(axis=1)) ** 2) for k in labels)
    return within / between


def test_it_is_the_definition_for_classes_of_unequal_size():
    w1, w2 = RNG.standard_normal((4, 6)), RNG.standard_normal((3, 4))
    task = ld.SpikedMatrix(target=RNG.standard_normal((3, 6)))
    method = ld.GradientDescent(learning_rate=0.01, steps=20)
    seen = [ld.observables.collapse(LABELS), "w1"]
    run = ld.simulate(ld.TwoLayer.from_weights(w1, w2), task, method, save_every=10, observables=seen)
    assert run["nc1"] == pytest.approx([direct(w, LABELS) for w in run["w1"]], rel=1e-12)


def test_the_mixed_formula_with_decay_obeys_the_exact_law():
    """(11.5), with the mode of √(N/K) integrated by SciPy; Euler steps of 1e-3 are off by as much."""
    from scipy.integrate import solve_ivp

    labels, tau, decay, times = np.repeat(np.arange(3), 5), 0.4, 0.05, np.linspace(0, 4, 5)
    task = ld.SpikedMatrix(target=np.eye(3)[:, labels])
    seen = [ld.observables.collapse(labels)]
    method = ld.GradientDescent(learning_rate=1e-3, steps=4000)
    run = ld.simulate(ld.Mixed(tau, weight_decay=decay), task, method, save_every=1000, observables=seen)

    def motion(t, m):
        return 2 * np.hypot(m, tau * np.exp(-2 * decay * t)) * (5**0.5 - m) - 2 * decay * m

    m = solve_ivp(motion, (0, 4), [0.0], t_eval=times, rtol=1e-10, atol=1e-12).y[0]
    now = tau * np.exp(-2 * decay * times)
    assert run["nc1"] == pytest.approx(now * 12 / (2 * np.hypot(m, now)), rel=3e-3)


@refused(
    [
        (lambda: ld.observables.collapse([1, 1]), "labels", "it names 1"),
        (lambda: ld.observables.collapse([0.5, 1.0]), "labels", "whole numbers"),
        (
            lambda: ld.simulate(
                ld.Mixed(1.0),
                ld.SpikedMatrix(target=np.eye(3)),
                times=[0.0],
                observables=[ld.observables.collapse([0, 1])],
            ),
            "labels",
            "each of the 3 columns of A, but it has 2",
        ),
    ]
)
def test_labels_that_do_not_fit_are_refused(refusal):
    refusal.check()
