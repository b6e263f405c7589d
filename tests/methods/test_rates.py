"""The stability bound is sharp, and the published rates are the published ones."""

import numpy as np
import pytest

import lindyn as ld
from helpers.reference import layers, matrix_with, target_of

SHAPE = (3, 4)
TARGET = target_of(SHAPE)
TASK = ld.SpikedMatrix(target=TARGET)
STRETCHED = np.random.default_rng(1).standard_normal((9, 4)) * [1.0, 2.0, 0.5, 1.5]


# near the solution the fastest mode of A − T is multiplied by 1 − η L κ in a step
@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("threshold", [0.1, 10.0])
def test_the_bound_is_sharp_at_the_solution(threshold, momentum):
    net = ld.TwoLayer.orthogonal(threshold=threshold, start=TARGET + 1e-6)
    bound = ld.methods.stability_bound(net, TASK, momentum=momentum)
    assert bound == pytest.approx((1 + momentum) / np.hypot(3.0, threshold), rel=1e-5)
    for share, grows in ((0.99, False), (1.01, True)):
        method = ld.GradientDescent(learning_rate=share * bound, steps=300, momentum=momentum)
        if grows:
            with pytest.warns(ld.StabilityWarning):
                run = ld.simulate(net, TASK, method, save_every=20)
        else:
            run = ld.simulate(net, TASK, method, save_every=20)
        assert (run["train_error"].max() > 1e3 * run["train_error"][0]) == grows


def test_the_bound_counts_the_start_the_curvature_and_the_clock():
    w1, w2 = layers(SHAPE, 20, threshold=50.0)
    kernel = np.linalg.norm(w1, 2) ** 2 + np.linalg.norm(w2, 2) ** 2
    assert ld.methods.stability_bound(ld.TwoLayer.from_weights(w1, w2), TASK) == pytest.approx(2 / kernel)
    regression = ld.Regression(STRETCHED, STRETCHED @ TARGET.T, signal=TARGET)
    curvature = np.linalg.eigvalsh(STRETCHED.T @ STRETCHED / 9).max()
    assert ld.methods.stability_bound(ld.Mixed(4.0), regression) == pytest.approx(1 / (curvature * 5.0))
    ntk = ld.TwoLayer.parametrized(SHAPE, ld.laws.ntk(SHAPE, width=10**9), key=0)
    plain = ld.TwoLayer.gaussian(SHAPE, 10**9, ntk.threshold / 10**9, key=0)
    clock = 1 / np.sqrt(10**9 * 4)
    assert ld.methods.stability_bound(ntk, TASK) == pytest.approx(ld.methods.stability_bound(plain, TASK) / clock)
    assert ld.methods.stability_bound(ld.Balanced(np.ones(SHAPE)), ld.SpikedMatrix(target=0 * TARGET)) == pytest.approx(
        1 / np.sqrt(12)
    )


SIGNAL = matrix_with([6.0, 4.0], (3, 4), np.random.default_rng(2))  # ‖·‖_op = 6, ‖·‖_F = √52 ≈ 7.2
KNOWN = ld.SpikedMatrix(target=SIGNAL + 0.1, signal=SIGNAL)


@pytest.mark.parametrize(
    ("threshold", "rule", "expected"),
    [
        (1.0, "auto", 1 / (50 * 6)),
        (7.0, "auto", 1 / (50 * 6)),
        (7.3, "auto", 1 / (50 * 7.3)),
        (1.0, "figure1", 1 / (5 * 6)),
        (100.0, "figure1", 1 / (5 * 6)),
    ],
)
def test_published_rates(threshold, rule, expected):
    rate, why = ld.methods.published_learning_rate(ld.Mixed(threshold), KNOWN, rule)
    assert rate == pytest.approx(expected)
    assert "published rate" in why


def test_the_rate_of_auto_is_capped_by_stability():
    """A start far above the solution: half of 2/(2√(600² + 1))."""
    system = ld.Mixed(1.0, start=matrix_with([600.0], SHAPE, np.random.default_rng(3)))
    rate, why = ld.methods.published_learning_rate(system, KNOWN)
    assert rate == pytest.approx(0.5 / np.hypot(600, 1))
    assert "half the stability bound" in why


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_auto_is_a_twentyfifth_of_one_over_the_sharpness_at_any_richness(depth):
    task = ld.SpikedMatrix(target=np.ones((1, 1)))
    for gamma in np.logspace(-3, 6, 19):
        net = ld.DeepLinear.orthogonal(1, depth=depth, output_scale=1 / gamma)
        rate, _ = ld.methods.published_learning_rate(net, task)
        sharpness = float(ld.solutions.orthogonal_kernel(gamma, 1.0, depth)) / gamma**2
        # κ is τ's or the signal's term alone; together they make at most 2^{1−1/L} as much, and (9.11) 7 % more
        assert 0.999 / 25 < rate * sharpness < 1.07 * 2 ** (1 - 1 / depth) / 25


@pytest.mark.parametrize("gamma", [1e-3, 1.0, 300.0])
def test_auto_trains_in_the_time_of_the_flow_at_any_richness(gamma):
    net = ld.DeepLinear.orthogonal(1, depth=3, output_scale=1 / gamma)
    time = float(ld.solutions.orthogonal_mode_time(1.0, 1 / gamma, 0.9, 3))
    rate, _ = ld.methods.published_learning_rate(net, ld.SpikedMatrix(target=np.ones((1, 1))))
    steps = round(time / net.clock / rate)
    run = ld.simulate(net, ld.SpikedMatrix(target=np.ones((1, 1))), ld.GradientDescent(steps=steps), save_every=steps)
    # first order in the step: an error of ηλ = 2/25 where the drop is as fast as λ
    assert np.sqrt(run["train_error"][-1]) == pytest.approx(0.1, abs=0.05)


def test_the_rate_chosen_is_on_the_trajectory():
    run = ld.simulate(ld.Mixed(1.0), KNOWN, ld.GradientDescent(learning_rate="figure1", steps=3))
    assert run.info.learning_rate == pytest.approx(1 / 30)
    assert run.time == pytest.approx(np.arange(4) / 30)
    assert "published rate of Figure 1" in repr(run)
    assert run.info.stability_bound == pytest.approx(1 / np.hypot(np.linalg.norm(SIGNAL + 0.1, 2), 1.0))
