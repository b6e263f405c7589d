"""One task after another: forgetting against its closed form, reversal times, joined clocks."""

import numpy as np
import pytest

import lindyn as ld

RNG = np.random.default_rng(0)
A, B, C = (ld.SpikedMatrix(target=RNG.standard_normal((3, 3))) for _ in range(3))
TIMES = [0.0, 0.5, 3.0, 12.0]


@pytest.mark.slow
def test_forgetting_of_a_matrix_is_half_the_squared_distance():
    run = ld.simulate(ld.Mixed(0.7), [A, B, C], times=TIMES, observables="matrix")
    assert run.time.tolist() == [0.0, 0.5, 3.0, 12.0, 12.0, 12.5, 15.0, 24.0, 24.0, 24.5, 27.0, 36.0]
    assert run["task"].tolist() == [1] * 4 + [2] * 4 + [3] * 4
    cost = 0.5 * ((run["matrix"] - A.target) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(run["task_costs"][:, 0], cost, atol=1e-12)
    np.testing.assert_allclose(run["forgetting"][3:, 0], cost[3:] - cost[3], atol=1e-12)
    assert np.isnan(run["forgetting"][:3, 0]).all() and np.isnan(run["forgetting"][:7, 1]).all()
    # F(∞) = ½‖T_B − T_A‖², whatever τ (works 17.8)
    assert abs(run["forgetting"][7, 0] / (0.5 * ((A.target - B.target) ** 2).sum()) - 1) < 1e-5


@pytest.mark.slow
def test_a_network_goes_on_from_its_layers():
    net = ld.TwoLayer.orthogonal(3, threshold=0.7)
    network = ld.simulate(net, [A, B], ld.Flow(), times=TIMES, observables=["matrix", "imbalance_drift"])
    formula = ld.simulate(ld.Mixed(0.7), [A, B], times=TIMES, observables="matrix")
    np.testing.assert_allclose(network["matrix"], formula["matrix"], atol=1e-8)  # conserved through the change


@pytest.mark.slow
def test_reversal_takes_the_time_of_its_formula():
    s, tau = 1.5, 0.4
    psi = np.hypot(s, tau)
    m = 0.9 * s
    t = np.log(2 * s * (tau**2 + s * m + psi * np.hypot(m, tau)) / ((s - m) * 2 * tau**2)) / (2 * psi)  # (17.7)
    one = np.array([[s]])
    run = ld.simulate(
        ld.Mixed(tau),
        [ld.SpikedMatrix(target=one), ld.SpikedMatrix(target=-one)],
        times=[0.0, t, 40.0],
        observables="matrix",
    )
    assert abs(run["matrix"][4, 0, 0] + m) < 1e-6


@pytest.mark.slow
def test_descent_counts_on_and_states_the_cut_off_of_the_whole_sequence():
    net = ld.DeepLinear.gaussian(3, depth=3, width=500, variance=1e-3, key=0, tolerance=1e-5)
    method = ld.GradientDescent(learning_rate=0.05, steps=40)
    run = ld.simulate(net, [A, B], method, save_every=20, observables="matrix")
    assert run.step.tolist() == [0, 20, 40, 40, 60, 80]
    assert 0 < run.info.reduction_error < 1e-5
    first = ld.simulate(net, A, method, save_every=40, observables="matrix")
    second = ld.simulate(first.final, B, method, save_every=40, observables="matrix")
    np.testing.assert_allclose(run["matrix"][-1], second["matrix"][-1], atol=1e-5)
    assert second.info.reduction_error is None  # its directions were chosen before


def test_refusals():
    with pytest.raises(ld.InvalidArgument, match="at least one task"):
        ld.simulate(ld.Mixed(1.0), [], times=TIMES)
    with pytest.raises(ld.InvalidArgument, match="one shape"):
        ld.simulate(ld.Mixed(1.0), [A, ld.SpikedMatrix(target=np.eye(2))], times=TIMES)
