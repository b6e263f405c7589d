"""Predictions at depth: against descents of drawn networks, and at two layers against what exists."""

import numpy as np
import pytest

import lindyn as ld
from lindyn.diagrams import DiagramSettings, compute
from lindyn.networks.deep_laws import deep_standard
from lindyn.networks.laws import standard
from lindyn.prediction import SpikedSpectrum, regime
from lindyn.prediction.deep_spectra import at_depth, deep_errors
from lindyn.solutions.deep_modes import deep_mode_rate


def test_at_two_layers_the_errors_are_those_of_the_mode_curve():
    spectrum = SpikedSpectrum((100, 100), [60.0, 40.0])
    times = np.linspace(0, 0.1, 7)
    ours = deep_errors(spectrum.modes, 2, 3.0, times, 0.01)
    theirs = spectrum.curves(3.0, times, start_variance=0.01)
    for name in ("train_error", "test_error", "stable_rank"):
        np.testing.assert_allclose(getattr(ours, name), theirs[name], rtol=1e-12)


@pytest.mark.slow
def test_predicted_errors_are_those_of_descent_at_three_layers():
    law = standard(width=10**7, variance=2.0 / 10**7)
    task = ld.SpikedMatrix(shape=(60, 60), singular_values=[60.0, 45.0], key=0, dtype=np.float32)
    net = ld.DeepLinear.gaussian(
        60, depth=3, width=10**7, variance=2.0 / 10**7, key=1, generations=3, tolerance=np.inf, dtype=np.float32
    )
    theory = ld.predict(60, law, depth=3, singular_values=[60.0, 45.0], steps=300, save_every=20)
    method = ld.GradientDescent(learning_rate=theory.info.learning_rate, steps=300)
    run = ld.simulate(net, task, method, save_every=20, observables=["train_error", "test_error"])
    # one draw of the noise at d = 60: its spectrum is off the limit by O(1/d), which shifts the fall in time
    assert np.abs(run["test_error"] - theory["test_error"]).max() < 0.05
    assert abs(run["test_error"].min() - theory["test_error"].min()) < 0.005
    assert run["test_error"].min() < 0.5 * run["test_error"][0]


@pytest.mark.slow
def test_cells_at_three_layers_agree_and_the_formula_is_refused():
    settings = {
        "variance_exponents": (-2.5, -1.5), "width_exponents": (1.5, 2.5), "shape": (30, 30), "rank": 3,
        "spectrum": "mean", "depth": 3, "steps": 300,
    }  # fmt: skip
    found = compute(
        DiagramSettings(sources=("predict", "descend"), **settings), 0, np.array([-1.5, -2.5]), np.array([1.5, 2.5])
    )
    gap = found["predict"]["min_test_error"] - found["descend"]["min_test_error"]
    assert np.abs(gap).max() < 0.05  # at d = 30
    assert found["descend"]["min_test_error"].max() < 0.4
    assert np.isnan(found["descend"]["distance"]).all()
    with pytest.raises(ld.InvalidArgument, match="beyond two layers"):
        DiagramSettings(sources=("formula",), **settings)
    assert DiagramSettings.from_dict(DiagramSettings(**settings).as_dict()).depth == 3


def test_a_regime_at_depth_has_the_times_and_rates_of_its_curve():
    split = regime(2.0, [8.0, 1.0], depth=3)
    np.testing.assert_allclose(
        ld.solutions.deep_mode_curve(split.singular_values, 2.0, split.half_time, 3),
        split.singular_values / 2,
        rtol=1e-6,
    )
    assert split.active_modes == 1 and np.isnan(split.crossing_time[1])
    np.testing.assert_allclose(regime(2.0, [8.0], depth=2).rate, 2 * np.hypot(8.0, 2.0))
    assert split.to_xarray(points=5)["share"].shape == (5, 2)
    # the rate of the end, from the curve itself; its limits are (7.4)
    t = split.learning_time + np.array([[8.0], [10.0]]) / split.rate
    left = np.log1p(-ld.solutions.deep_mode_curve(split.singular_values, 2.0, t, 3) / split.singular_values)
    np.testing.assert_allclose((left[0] - left[1]) / (t[1] - t[0]), split.rate, rtol=1e-3)
    np.testing.assert_allclose(deep_mode_rate([1e-5, 1e5], 1.0, 4), [4.0, 4e7 * 10**0.5], rtol=0.01)


def test_laws_at_depth_and_refusals():
    assert at_depth(standard(width=50, variance=0.1), (4, 4), 3) == deep_standard((50, 50), 0.1)
    assert at_depth(ld.laws.ntk((4, 4), width=50), (4, 4), 2).threshold == pytest.approx(
        ld.laws.ntk((4, 4), width=50).threshold
    )
    with pytest.raises(ld.InvalidArgument, match="third layer"):
        at_depth(standard(width=50, variance=0.1, variance_out=0.2), (4, 4), 3)
    with pytest.raises(ld.InvalidArgument, match="`depth`"):
        ld.predict(50, standard(width=5000, variance=1e-3), depth=7, rank=2)


def test_the_published_rate_at_depth_is_the_same_share_of_the_kernel():
    task = ld.SpikedMatrix(target=np.diag([3.0, 1.0]))
    rates = {}
    for depth in (2, 3):
        net = ld.DeepLinear.orthogonal(2, depth=depth, output_scale=1e-3)
        rates[depth] = ld.methods.published_learning_rate(net, task)[0] * net.clock * depth * 3.0 ** (2 - 2 / depth)
    assert rates[2] == pytest.approx(1 / 25, rel=1e-9) and rates[3] == pytest.approx(1 / 25, rel=1e-9)
