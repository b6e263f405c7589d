"""The deterministic equivalent (5.1) against drawn matrices, sums known exactly, and the rule of outliers."""

import numpy as np
import pytest

import lindyn as ld
from lindyn.prediction.equivalent import deterministic_equivalent
from lindyn.prediction.spectra import ModeSpectrum, SpikedSpectrum, mean_signal_spectrum
from lindyn.solutions import mode_curve

# the four cases in which the rule of outliers was off by 15 to 40 %: shape, signal, threshold
CASES = {
    "30 weak modes, lazy": ((60, 60), np.full(30, 0.9 * 60**0.5), 80.0),
    "15 modes, active": ((60, 60), np.full(15, 1.5 * 60**0.5), 0.05),
    "15 modes, lazy": ((60, 60), np.full(15, 1.5 * 60**0.5), 80.0),
    "K = d/4": ((60, 60), mean_signal_spectrum(60, 15), 0.05),
    "10 of 30 x 90": ((30, 90), np.full(10, 1.2 * 90**0.5), 5.0),
    "one strong, 20 weak": ((50, 50), np.array([40.0] + 20 * [1.05 * 50**0.5]), 1.8),
}


def drawn(shape, signal, rng):
    d_out, d_in = shape
    u, v = (np.linalg.qr(rng.standard_normal((d, signal.size)))[0] for d in (d_out, d_in))
    truth = (u * signal) @ v.T
    return ModeSpectrum.of(truth + rng.standard_normal(shape), truth)


@pytest.mark.parametrize("name", CASES)
def test_smallest_error_is_that_of_drawn_matrices(name):
    """Mean of ten draws of T by their own singular value decomposition, along the mode curves."""
    shape, signal, tau = CASES[name]
    rng, times = np.random.default_rng(3), np.geomspace(1e-4, 20, 200) / max(tau, signal.max())
    runs = [drawn(shape, signal, rng).errors(np.full(times.shape, tau), times, 0 * times) for _ in range(10)]
    simulated = np.mean([run["test_error"] for run in runs], axis=0)
    predicted = SpikedSpectrum(shape, signal, 1.0).curves(tau, times)["test_error"]
    assert predicted.min() == pytest.approx(simulated.min(), rel=0.03)
    assert np.max(np.abs(predicted - simulated)) < 0.05 * simulated[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["30 weak modes, lazy", "15 modes, active"])
def test_descent_itself_reaches_the_predicted_error(name):
    """Four runs of exact descent at a width of 10⁶, small steps."""
    shape, signal, tau = CASES[name]
    rate = 0.02 / np.hypot(signal.max() + 2 * shape[0] ** 0.5, tau)
    law, steps = ld.laws.standard(width=10**6, variance=tau / 1e6), 600
    found = []
    for seed in range(4):
        task = ld.SpikedMatrix(shape=shape, singular_values=signal, noise=1.0, key=seed)
        net = ld.TwoLayer.parametrized(shape, law, key=100 + seed)
        method = ld.GradientDescent(learning_rate=rate, steps=steps)
        found.append(ld.simulate(net, task, method, save_every=5, observables="test_error")["test_error"])
    run = ld.predict(shape, law, singular_values=signal, learning_rate=rate, steps=steps)
    assert run["test_error"].min() == pytest.approx(np.mean(found, axis=0).min(), rel=0.03)


@pytest.mark.slow
def test_sums_known_beforehand_come_out_for_any_spectrum():
    rng = np.random.default_rng(0)
    for _ in range(12):
        shape = tuple(int(n) for n in rng.integers(1, 150, 2))
        signal = np.sqrt(max(shape)) * 10 ** rng.uniform(-1.5, 1.0, rng.integers(1, min(shape) + 1))
        noise = 10 ** rng.uniform(-3, 3)
        modes = deterministic_equivalent(shape, noise * signal, noise)
        energy = np.sum((noise * signal) ** 2)
        assert modes.accuracy < 1e-3
        assert np.all(modes.counts >= 0)
        assert modes.counts.sum() == pytest.approx(min(shape), rel=1e-9)
        # joining nodes keeps their mean, and so loses a little of their mean square
        assert modes.values**2 @ modes.counts == pytest.approx(energy + noise**2 * np.prod(shape), rel=2e-3)
        assert modes.values @ modes.projections == pytest.approx(energy, rel=2e-3)


def test_separate_modes_keep_the_rule_of_outliers_and_both_agree_as_d_grows():
    gaps = []
    for d in (200, 2000, 20_000):
        signal = np.array([5.0, 4.0, 3.0]) * d**0.5
        spectrum = SpikedSpectrum(d, signal, 1.0)
        assert spectrum.separate
        modes = deterministic_equivalent((d, d), signal, 1.0)
        other = ModeSpectrum(
            (d, d), modes.values, modes.counts, modes.projections, spectrum.modes.energy, modes.values[0]
        )
        times = np.geomspace(0.1, 10, 30) / signal[0]
        tau = np.full(times.shape, 0.1)
        ours = spectrum.curves(tau, times)["test_error"]
        gaps.append(np.max(np.abs(other.errors(tau, times, 0 * times)["test_error"] - ours)) / ours[0])
    assert gaps[0] < 0.03
    assert gaps[2] < gaps[1] < gaps[0]
    assert not SpikedSpectrum(200, np.full(11, 100.0), 1.0).separate  # more than one in twenty
    assert not SpikedSpectrum(200, [100.0, 20.0], 1.0).separate  # below twice the detectable singular value
    assert SpikedSpectrum(200, np.full(100, 0.1), 0.0).separate


@pytest.mark.slow
def test_the_test_error_has_the_derivatives_of_finite_differences():
    import jax

    spectrum = SpikedSpectrum(60, [40.0, 10.0], 1.0)

    def error(tau, t, n0):
        return spectrum.curves(tau, t, start_variance=n0)["test_error"]

    slopes = jax.jit(jax.grad(error, (0, 1, 2)))
    with jax.enable_x64(True):
        for args in ((0.5, 0.03, 0.0), (0.5, 0.0, 1e-3), (1e-6, 0.1, 1e-4), (200.0, 1e-3, 2.0)):
            found = slopes(*args)
            for k, h in ((0, 1e-3 * args[0]), (1, 1e-3 / (2 * np.hypot(42, args[0]))), (2, 1e-3)):
                # one-sided, of order 4, since times and variances are not negative: h⁴ = 1e-12
                places = [[a + n * h * (i == k) for i, a in enumerate(args)] for n in range(5)]
                numeric = np.array([-25, 48, -36, 16, -3]) @ [float(error(*p)) for p in places] / (12 * h)
                assert float(found[k]) == pytest.approx(numeric, rel=1e-6, abs=1e-6), (args, k)
        many = jax.vmap(lambda tau: spectrum.curves(tau, 0.02)["test_error"])(np.array([0.1, 1.0]))
        np.testing.assert_allclose(many, spectrum.curves([0.1, 1.0], 0.02)["test_error"], rtol=1e-12)


def test_a_pole_is_the_outlier_of_benaych_georges_and_nadakuditi():
    modes = deterministic_equivalent((10**5, 10**5), np.array([2e5**0.5 * 2]), 1.0)
    theta2 = 8.0
    top = modes.counts.cumsum() < 1.5
    place = np.average(modes.values[top], weights=modes.counts[top])
    assert place == pytest.approx(1e5**0.5 * (1 + theta2) / theta2**0.5, rel=1e-4)
    assert modes.projections[top].sum() == pytest.approx(2e5**0.5 * 2 * (1 - 1 / theta2), rel=1e-3)
    assert mode_curve(place, 1e9, 1.0) == pytest.approx(place)


@pytest.mark.parametrize("name", CASES)
def test_the_largest_value_and_the_stable_rank_are_those_of_drawn_matrices(name):
    shape, signal, tau = CASES[name]
    rng = np.random.default_rng(0)
    matrices = [drawn(shape, signal, rng) for _ in range(20)]
    ours = SpikedSpectrum(shape, signal, 1.0)
    # of 20 draws, whose largest value has a spread of 1 to 3 %; the edge of the density was 3 % above their mean
    assert ours.modes.top == pytest.approx(np.mean([m.top for m in matrices]), rel=0.015)
    place = (np.array([tau]), np.array([1 / ours.modes.top]), np.zeros(1))
    simulated = np.mean([m.errors(*place)["stable_rank"] for m in matrices])
    assert ours.modes.errors(*place)["stable_rank"][0] == pytest.approx(simulated, rel=0.03)


def test_no_stable_rank_is_below_one():
    """The start's largest value is that of large d: for 2 × 3 entries it is above the true one."""
    tiny = ModeSpectrum.of(np.eye(2, 3), np.eye(2, 3))
    assert tiny.errors(np.array([0.1]), np.zeros(1), np.ones(1))["stable_rank"][0] == 1.0
