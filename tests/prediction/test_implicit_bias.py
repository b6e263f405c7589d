"""Where a neuron's training ends: against SciPy's flow, a variational problem, and its limits."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import lindyn as ld
from lindyn.prediction import output_sign


def neuron(balance, beta, rates=(1.0, 1.0), sign=1):
    """w, a with η₁a² − η₂‖w‖² = δ and a·w = β, as a network of these learning rates."""
    size = np.linalg.norm(beta)
    a = sign * np.sqrt((balance + np.sqrt(balance**2 + 4 * rates[0] * rates[1] * size**2)) / (2 * rates[0]))
    w = beta / a
    return w, a, ld.TwoLayer.from_weights(w[None, :], [[a]]).with_learning_rates(*rates)


def flow(w, a, x, y, rates=(1.0, 1.0), until=4000.0):
    """The end of ẇ = η₁ a r, ȧ = η₂ w·r, r = Xᵀ(y − X a w)."""

    def velocity(_, v):
        r = x.T @ (y - x @ (v[-1] * v[:-1]))
        return np.append(rates[0] * v[-1] * r, rates[1] * v[:-1] @ r)

    end = solve_ivp(velocity, [0, until], np.append(w, a), rtol=1e-11, atol=1e-13, method="LSODA").y[:, -1]
    return end[-1] * end[:-1], end[-1]


X, Y = np.array([[0.5, 1.0]]), np.array([1.1])
START = 0.5 * (0.6 * np.array([1.0, -0.5]) + 0.4 * np.array([0.5, 1.0]))  # the published data of Figure 4b


@pytest.mark.parametrize("balance", [-4.0, -1.0, 0.0, 2.0, 4.0])
def test_the_limit_is_where_the_flow_ends(balance):
    w, a, net = neuron(balance, START)
    end = ld.prediction.limit(net, ld.Regression(X, Y[:, None]))
    assert abs(end - flow(w, a, X, Y)[0]).max() < 1e-8  # LSODA's tolerance, 1e-11, over its steps


@pytest.mark.slow
def test_any_inputs_any_rates_and_the_variational_form():
    rng = np.random.default_rng(1)
    for trial in range(8):
        x = rng.normal(size=(3, 6)) * rng.uniform(0.5, 1.5, size=(3, 1))
        y, balance, rates = rng.normal(size=3), rng.choice([-3, -1, 0, 1, 3]), [(1.0, 1.0), (0.4, 1.7)][trial % 2]
        w, a, net = neuron(balance, 0.5 * rng.normal(size=6), rates)
        beta, end = flow(w, a, x, y, rates)
        found = ld.prediction.limit(net, ld.Regression(x, y[:, None]), sign=int(np.sign(end)))[0]
        assert abs(found - beta).max() < 1e-8
        if rates == (1.0, 1.0):
            # β(∞) = argmin q(‖β‖) − sign(a) w·β over the solutions (8.6); BFGS stops at a gradient of 1e-9
            null, least = np.linalg.svd(x)[2][3:].T, np.linalg.pinv(x) @ y

            def bias(c, null=null, least=least, balance=balance, w=w, end=end):
                beta = least + null @ c
                u = np.sqrt((np.hypot(balance, 2 * np.linalg.norm(beta)) - balance) / 2)
                q = u * np.linalg.norm(beta) - (u * u + balance) ** 1.5 / 3
                return q - np.sign(end) * w @ beta

            best = minimize(bias, np.zeros(3), options={"gtol": 1e-9}).x
            assert abs(least + null @ best - found).max() < 1e-5


def test_the_lazy_and_the_downstream_limit():
    least, task = np.linalg.pinv(X) @ Y, ld.Regression(X, Y[:, None])
    upstream, downstream = (ld.prediction.limit(neuron(d, START)[2], task)[0] for d in (1e6, -1e6))
    projected = least + START - (START @ least) / (least @ least) * least
    # corrections are of order 1/δ
    np.testing.assert_allclose(upstream, projected, atol=1e-5)
    np.testing.assert_allclose(downstream, (least @ least) / (least @ START) * START, atol=1e-5)


@pytest.mark.slow
def test_basins_are_told_without_error():
    rng, wrong = np.random.default_rng(0), 0
    starts = rng.normal(size=(100, 7))
    for row in starts:
        target, w, a = row[:3], 2 * row[3:6], rng.choice([0.1, 1.0]) * row[6]
        net = ld.TwoLayer.from_weights(w[None, :], [[a]])
        wrong += output_sign(net, ld.SpikedMatrix(target=target[None, :])) != np.sign(
            flow(w, a, np.eye(3), target, until=60.0)[1]
        )
    assert wrong == 0


@pytest.mark.slow
def test_a_balanced_network_of_any_width_is_a_neuron():
    rng = np.random.default_rng(2)
    w, unit = rng.normal(size=5), np.linalg.qr(rng.normal(size=(4, 1)))[0][:, 0]
    task = ld.Regression(rng.normal(size=(2, 5)), rng.normal(size=(2, 1)))
    wide = ld.TwoLayer.from_weights(np.outer(unit, w), np.linalg.norm(w) * unit[None, :])
    run = ld.simulate(wide, task, ld.Flow(), times=[0.0, 400.0], observables="matrix")
    assert abs(ld.prediction.limit(wide, task) - run["matrix"][-1]).max() < 1e-7


@pytest.mark.parametrize(
    ("net", "task", "part"),
    [
        (ld.TwoLayer.gaussian((1, 2), width=3, variance=1.0), (X, [[1.1]]), "multiples of one another"),
        (ld.TwoLayer.gaussian((2, 2), width=3, variance=1.0), (X, [[1.1, 1.0]]), "one output"),
        (neuron(-4.0, np.array([-0.5, -0.9, 0.1]))[2], ([[1.0, 0, 0], [0, 2.0, 0]], [[1.0], [1.0]]), "may change sign"),
    ],
)
def test_refusals(net, task, part):
    with pytest.raises(ld.InvalidArgument, match=part):
        ld.prediction.limit(net, ld.Regression(*(np.asarray(x, float) for x in task)))


def test_a_start_on_the_separating_surface_is_named():
    task = ld.SpikedMatrix(target=[[3.0, 0.0]])
    with pytest.raises(ld.InvalidArgument, match="separating surface"):
        output_sign(ld.TwoLayer.from_weights([[-1.0, 0.0]], [[1.0]]), task)
