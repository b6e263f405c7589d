"""What a prediction says of its own error, against exact descent and against a step-by-step matrix recursion."""

import warnings

import numpy as np
import pytest

import lindyn as ld
from lindyn.prediction.losses import curvature_of
from lindyn.prediction.spectra import ModeSpectrum, SpikedSpectrum
from lindyn.prediction.validity import Setting, ValidityWarning, cells_error, descend, error_estimate, follow
from lindyn.solutions import StabilityWarning

LAW = ld.laws.exponents(50, variance_exponent=-2.2, width_exponent=1.75)


def test_steps_of_the_modes_are_those_of_an_orthogonal_start_of_matrices():
    """Descent from the start of (2.4), whose kernel is exactly τ: V ← (I − ηS)V written out, then projected."""
    rng, tau, rate, count = np.random.default_rng(0), 0.3, 0.1, 40
    target = rng.standard_normal((4, 5))
    v = np.sqrt(tau) * np.linalg.qr(rng.standard_normal((9, 9)))[0]
    for _ in range(count):
        gradient = v[5:] @ v[:5].T - target
        v = v - rate * np.concatenate([gradient.T @ v[5:], gradient @ v[:5]])
    u, s, vt = np.linalg.svd(target, full_matrices=False)
    modes = ModeSpectrum((4, 5), s, np.ones(4), s, float(s @ s), float(s[0]))
    run = descend(modes, Setting(tau, rate, 0.0), np.array([0, count]))
    np.testing.assert_allclose(run.learned[1], np.diag(u.T @ (v[5:] @ v[:5].T) @ vt.T), rtol=1e-10)
    assert np.all(run.learned[0] == 0)


def test_descent_tends_to_its_flow_at_first_order_in_the_step():
    modes, gaps = SpikedSpectrum(60, [40.0, 30.0], 1.0).modes, []
    for rate in (4e-4, 2e-4, 1e-4):
        steps = np.array([0, round(0.1 / rate)])
        setting = Setting(0.5, rate, 0.0)
        gaps.append(np.max(np.abs(descend(modes, setting, steps).learned - follow(modes, setting, steps).learned)))
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.1)
    assert gaps[1] / gaps[2] == pytest.approx(2, rel=0.05)


def simulated(shape, signal, law, rate, steps, seeds):
    found = []
    for seed in seeds:
        task = ld.SpikedMatrix(shape=shape, singular_values=signal, noise=1.0, key=seed)
        net = ld.TwoLayer.parametrized(shape, law, key=seed)
        method = ld.GradientDescent(learning_rate=rate, steps=steps)
        found.append(ld.simulate(net, task, method, save_every=1, observables="test_error")["test_error"])
    return np.array(found)


@pytest.mark.slow
def test_with_weight_decay_a_lazy_network_forgets_the_noise_as_predicted():
    """Descent of a drawn network at d = 60: μ is above the noise, and the threshold falls through the signal."""
    signal, law, decay = [60.0, 50.0], ld.laws.standard(width=10**9, variance=2e-7), 20.0
    run = ld.predict(60, law, singular_values=signal, steps=900, save_every=100, weight_decay=decay)
    task = ld.SpikedMatrix(shape=(60, 60), singular_values=signal, noise=1.0, key=0)
    net = ld.TwoLayer.parametrized((60, 60), law, key=1)
    method = ld.GradientDescent(learning_rate=run.info.learning_rate, steps=900, weight_decay=decay)
    exact = ld.simulate(net, task, method, save_every=100, observables="test_error")["test_error"]
    assert run["test_error"][1] > 0.75  # the noise is learned first
    assert run["test_error"][-1] < 0.6 * run["test_error"][1]
    assert np.all(np.abs(run["test_error"] - exact) < 0.03)  # one draw at d = 60: what the terms of its size allow
    flat = ld.predict(60, law, singular_values=signal, steps=900, save_every=100)["test_error"]
    assert np.abs(flat - exact).max() > 0.3  # the comparison can fail


@pytest.mark.parametrize(
    ("mu", "depth", "part"), [(1.0, 3, "be 0 at depth 3"), (1e9, None, "below 1/η"), (-1.0, 2, "at least 0")]
)
def test_a_weight_decay_that_cannot_be_followed_is_refused(mu, depth, part):
    with pytest.raises(ld.InvalidArgument, match=part):
        ld.predict(60, LAW, rank=2, steps=5, weight_decay=mu, depth=depth)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_near_the_bound_the_steps_themselves_are_predicted(share):
    """The flow is off by 0.1 to 0.2 there; finite d = 60 leaves some 0.03."""
    signal, law = [50.0, 40.0, 30.0], ld.laws.standard(width=10**6, variance=1e-6)
    bound = ld.predict(60, law, singular_values=signal, steps=1).info.stability_bound
    run = ld.predict(60, law, singular_values=signal, learning_rate=share * bound, steps=40)
    assert run.info.why.startswith("steps of descent")
    curve = simulated((60, 60), signal, law, share * bound, 40, range(4)).mean(axis=0)
    flow = SpikedSpectrum(60, signal, 1.0).curves(1.0, run.time)["test_error"]
    assert np.max(np.abs(run["test_error"] - curve)) < 0.03
    assert np.max(np.abs(flow - curve)) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal", "width", "threshold"), [([50.0, 30.0], 60, 1.0), ([20.0], 10**6, 0.1), ([20.0], 600, 300.0)]
)
def test_the_stated_error_covers_a_run_and_is_no_larger_than_three_times_it(signal, width, threshold):
    law = ld.laws.standard(width=width, variance=threshold / width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ValidityWarning)
        run = ld.predict(60, law, singular_values=signal, steps=200)
    runs = simulated((60, 60), signal, law, run.info.learning_rate, 200, range(3))
    off = np.sqrt(np.mean((runs - run["test_error"]) ** 2, axis=0)).max()
    assert 0.75 * off < run["error_estimate"].max() < 4 * off  # three runs give `off` to a quarter


def test_a_width_of_one_is_marked_and_a_wide_net_is_not():
    with pytest.warns(ValidityWarning, match=r"0\.05\d* ± 0\.\d+ for one run"):
        run = ld.predict(200, ld.laws.standard(width=1, variance=1e-3), rank=5)
    assert run["error_estimate"][run["test_error"].argmin()] > 0.7  # four of five modes are missing: 0.73 in simulation
    assert "outside the theory's range" in run.info.notes[-1]
    wide = ld.predict(200, ld.laws.standard(width=10**6, variance=1e-7), rank=5)
    assert wide["error_estimate"][wide["test_error"].argmin()] < 0.003


@pytest.mark.slow
def test_a_learning_rate_above_the_bound_is_not_completed():
    with pytest.warns(StabilityWarning, match=r"0\.2 is above the stability bound"):
        run = ld.predict(50, LAW, rank=3, learning_rate=0.2)
    assert not run.completed
    assert run.status.startswith("diverged at step ")
    assert np.all(np.isfinite(run["test_error"]))
    task = ld.SpikedMatrix(dim=50, rank=3, key=0)
    net = ld.TwoLayer.parametrized(50, LAW, key=0)
    with pytest.warns(StabilityWarning):
        simulated_run = ld.simulate(net, task, ld.GradientDescent(learning_rate=0.2, steps=10))
    assert not simulated_run.completed


def test_cells_state_the_error_of_single_predictions():
    out = ld.prediction.predict_cells(200, [-2.2, -3.0], [1.75, 2.6], [300, 400], rank=5)
    for k, (variance_exponent, width_exponent, step) in enumerate([(-2.2, 1.75, 300), (-3.0, 2.6, 400)]):
        law = ld.laws.exponents(200, variance_exponent=variance_exponent, width_exponent=width_exponent)
        run = ld.predict(200, law, rank=5, steps=step)
        # the cell takes the lag of the step from its size alone
        assert out["error_estimate"][k] == pytest.approx(run["error_estimate"][-1], rel=0.5)
    spectrum = SpikedSpectrum(60, [40.0], 1.0)
    one = [np.array([v]) for v in (1.0, 1e-6, 6e4, 1e-3, 1e5, 1e-6)]
    run = follow(spectrum.modes, Setting(1.0, 1e-6, 1e-3), np.array([6e4]))
    alone = error_estimate(spectrum, 1e5, 1e-6, run)
    np.testing.assert_allclose(cells_error(spectrum, *one), alone, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:Prediction:lindyn.prediction.validity.ValidityWarning")
def test_cells_above_a_tenth_of_the_bound_are_stepped_as_single_predictions_are():
    """0.006 is 0.15 of the bound, where the flow is off by 0.003 to 0.008."""
    gamma, steps = [-6.0, -5.5, -5.2], [20, 28, 12]
    cells = ld.prediction.predict_cells(30, gamma, 5.5, steps, rank=2, learning_rate=0.006)
    for k, (g, step) in enumerate(zip(gamma, steps, strict=True)):
        law = ld.laws.exponents(30, variance_exponent=g, width_exponent=5.5)
        run = ld.predict(30, law, rank=2, learning_rate=0.006, steps=step)
        for name in ("train_error", "test_error", "stable_rank", "error_estimate"):
            assert cells[name][k] == pytest.approx(run[name][-1], rel=1e-9), name


def test_the_curvature_of_the_mean_squared_error_is_two_over_the_outputs():
    """Against PyTorch: the second derivative of nn.MSELoss in an entry of A, on whitened inputs."""
    torch = pytest.importorskip("torch")
    outputs, inputs, samples = 3, 4, 8
    x = torch.tensor(np.linalg.qr(np.random.default_rng(0).standard_normal((samples, inputs)))[0]) * samples**0.5
    a = torch.zeros(outputs, inputs, dtype=torch.float64)
    loss = torch.nn.MSELoss()
    hessian = torch.autograd.functional.hessian(
        lambda m: loss(x @ m.T, torch.zeros(samples, outputs, dtype=x.dtype)), a
    )
    assert hessian[1, 2, 1, 2].item() == pytest.approx(curvature_of(loss, None, outputs))
    assert hessian[1, 2, 1, 3].item() == pytest.approx(0, abs=1e-12)
    assert curvature_of("mse", None, outputs) == 2 / 3
    pair, goal = (np.ones((1, inputs)), np.zeros((outputs, 1))), np.ones((outputs, inputs))
    runs = [
        ld.predict_factors(pair, goal, learning_rate=0.1, steps=9, **how)
        for how in ({"loss": loss}, {"curvature": 2 / 3})
    ]
    np.testing.assert_array_equal(runs[0]["singular_values"], runs[1]["singular_values"])
    by_loss = ld.advise((30, 40), rank=1, noise=0.1, loss=loss)
    assert by_loss.curvature == 2 / 30
    assert by_loss.learning_rate == ld.advise((30, 40), rank=1, noise=0.1, curvature=2 / 30).learning_rate


@pytest.mark.parametrize(
    ("act", "argument", "fragment"),
    [
        (lambda: ld.predict(200, None, rank=5), "law", "lindyn.laws.standard"),
        (lambda: ld.predict(20, LAW, singular_values=[9.0], scale=2.0), "scale", "beside `singular_values`"),
        (lambda: ld.prediction.predict_cells(20, -2.0, 2.0, 5, singular_values=[9.0], scale=2.0), "scale", "multiply"),
        (lambda: ld.advise(20, singular_values=[9.0], scale=2.0), "scale", "multiply `singular_values` by it"),
        (lambda: ld.advise(target=np.eye(9), scale=2.0), "scale", "beside `target`"),
        (lambda: ld.advise(20, rank=1, loss="mae"), "loss", "'mae'"),
        (lambda: ld.advise(20, rank=1, loss="mse", curvature=1.0), "curvature", "beside `loss`"),
    ],
)
def test_what_would_be_ignored_is_refused(act, argument, fragment):
    with pytest.raises(ld.InvalidArgument) as caught:
        act()
    assert str(caught.value).startswith(f"Argument `{argument}` must ")
    assert fragment in str(caught.value)
