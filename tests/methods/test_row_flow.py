"""The flow of one row: against SciPy, closed forms and training of layers, and where it is refused."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import lindyn as ld
from helpers.reference import relative
from helpers.refusals import refused
from lindyn.methods import RowFlow
from lindyn.tasks import DiagonalRegression, PowerLaw

HARD = PowerLaw(capacity=1.5, source=0.5, modes=60)
TIMES = np.geomspace(0.1, 1e3, 9)


def by_scipy(task, tau, times, start=None):
    """(2.1) for a row, with its two roots taken from an eigendecomposition, not from the explicit root."""
    target, variances = task.diagonal()

    def motion(_, row):
        gradient = variances * (row - target[0])
        values, vectors = np.linalg.eigh(np.outer(row, row) + tau**2 * np.eye(row.size))
        inner = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
        return -np.hypot(np.linalg.norm(row), tau) * gradient - inner @ gradient

    first = np.zeros(variances.size) if start is None else start
    tight = {"rtol": 1e-10, "atol": 1e-13, "method": "LSODA"}
    return solve_ivp(motion, (0, times[-1]), first, t_eval=times, **tight).y.T


def by_rows(task, dynamics, times, steps):
    run = ld.simulate(dynamics, task, RowFlow(steps_per_decade=steps), times=times, observables="matrix")
    return run["matrix"][:, 0]


@pytest.mark.slow
def test_the_formula_on_uncorrelated_inputs_agrees_with_scipy_to_second_order():
    exact = by_scipy(HARD, 0.2, TIMES)
    errors = [np.abs(by_rows(HARD, ld.Mixed(0.2), TIMES, n) - exact).max() / np.abs(exact).max() for n in (50, 100)]
    assert errors[1] < 3e-5
    assert 3.5 < errors[0] / errors[1] < 4.5


@pytest.mark.slow
def test_a_long_escape_from_a_tiny_threshold_is_followed():
    """The escape takes ln(1/τ) e-foldings, in which steps are as short as the growth demands."""
    times = np.geomspace(1.0, 1e3, 13)
    task = PowerLaw(capacity=1.5, source=0.5, modes=20)
    exact = by_scipy(task, 1e-6, times)
    assert np.abs(by_rows(task, ld.Mixed(1e-6), times, 100) - exact).max() < 1e-4 * np.abs(exact).max()


@pytest.mark.slow
def test_on_equal_variances_it_agrees_with_the_closed_form():
    task, start = ld.SpikedMatrix(target=[[3.0, 1.0, -2.0]]), np.array([[0.5, 0.0, 0.2]])
    for dynamics in (ld.Mixed(0.7, start), ld.Balanced(start), ld.Lazy(0.7, start)):
        exact = ld.simulate(dynamics, task, ld.ClosedForm(), times=TIMES, observables="matrix")["matrix"][:, 0]
        assert relative(by_rows(task, dynamics, TIMES, 200), exact) < 1e-4


def test_lazy_dynamics_approaches_each_weight_exponentially():
    run = ld.simulate(ld.Lazy(0.5), HARD, times=TIMES, observables="matrix")
    target, variances = HARD.diagonal()
    assert run.info.method == "closed form"
    assert relative(run["matrix"][:, 0], target * (1 - np.exp(-np.outer(TIMES, variances)))) < 1e-13
    skills = ld.tasks.Skills([1.0, 0.2], [2.0, 3.0])
    lazy = ld.simulate(ld.Lazy(0.5), skills, times=[2.0], observables="matrix")["matrix"][0]
    assert relative(lazy, np.diag([2 * (1 - np.exp(-2)), 3 * (1 - np.exp(-0.4))])) < 1e-13


@pytest.mark.slow
def test_descent_of_the_layers_meets_it_to_first_order():
    """w and a square G on fixed random features, G = I: ẇ = Gg, Ġ = wgᵀ is (2.1) with τ = ½ (works 10.2)."""
    task = HARD.random_features(12, key=0)
    net = ld.TwoLayer.from_weights(np.eye(12), np.zeros((1, 12)), threshold=0.5)
    errors = []
    for rate in (0.1, 0.05):
        method = ld.GradientDescent(learning_rate=rate, steps=round(10 / rate))
        run = ld.simulate(net, task, method, save_every=round(10 / rate), observables="matrix")
        row = by_rows(task, ld.Mixed(0.5), [10.0], 400)
        errors.append(relative(run["matrix"][-1], row))
    assert errors[1] < 2e-3
    assert 1.8 < errors[0] / errors[1] < 2.2


@pytest.mark.parametrize("gamma", [0.25, 4.0])
def test_a_rate_of_the_features_is_a_threshold_and_a_clock(gamma):
    """ẇ = Gg, Ġ = γwgᵀ from w = 0, G = I by SciPy: τ = 1/(2√γ) on the clock √γ·t, at every number of features."""
    task, times = HARD.random_features(6, key=0), np.geomspace(0.1, 50, 6)
    target, variances = task.diagonal()

    def motion(_, flat):
        w, g = flat[:6], flat[6:].reshape(6, 6)
        push = variances * (target[0] - g.T @ w)
        return np.concatenate([g @ push, (gamma * np.outer(w, push)).ravel()])

    start, tight = np.r_[np.zeros(6), np.eye(6).ravel()], {"rtol": 1e-11, "atol": 1e-13, "method": "LSODA"}
    flat = solve_ivp(motion, (0, times[-1]), start, t_eval=times, **tight).y
    layers = np.einsum("jit,jt->ti", flat[6:].reshape(6, 6, -1), flat[:6])
    row = by_rows(task, ld.Mixed(0.5 / np.sqrt(gamma)), np.sqrt(gamma) * times, 400)
    assert np.abs(row - layers).max() < 1e-5 * np.abs(layers).max()  # order 2, at 400 steps a decade


class Hurried(ld.Mixed):
    """Inherits the rates of the mixed formula, and moves twice as fast."""

    def drive(self, matrix, gradient, threshold):
        return 2 * super().drive(matrix, gradient, threshold)


@pytest.mark.slow
def test_auto_takes_it_where_the_dynamics_states_its_own_rates():
    few = PowerLaw(capacity=1.5, source=0.5, modes=4)
    run = ld.simulate(ld.Mixed(0.2), few, times=[0.0, 1.0], observables="loss")
    assert run.info.method == "row flow, 100 steps a decade"
    assert "one row of uncorrelated inputs" in run.info.why
    assert run["loss"][0] == pytest.approx(float(few.train_error([[0.0] * 4])), rel=1e-14)
    assert "dopri8" in ld.simulate(Hurried(0.2), few, times=[0.0, 1.0]).info.method


@refused(
    [
        (lambda: RowFlow(steps_per_decade=5), "steps_per_decade", "at least 10"),
        (lambda: ld.simulate(Hurried(0.2), HARD, RowFlow(), times=[1.0]), "method", "Hurried does not state c and d"),
        (lambda: ld.simulate(ld.Mixed(0.2, weight_decay=0.1), HARD, RowFlow(), times=[1.0]), "method", "weight_decay"),
        (lambda: ld.simulate(ld.Mixed(0.2), HARD, RowFlow()), "times", "be given for RowFlow"),
        (
            lambda: ld.simulate(ld.Mixed(0.2), ld.SpikedMatrix(dim=3, rank=1), RowFlow(), times=[1.0]),
            "method",
            "3 rows",
        ),
        (
            lambda: ld.simulate(ld.Mixed(0.2), ld.Regression([[1.0, 2.0]], [[1.0]]), RowFlow(), times=[1.0]),
            "method",
            "not a regression on uncorrelated inputs",
        ),
        (
            lambda: ld.simulate(ld.TwoLayer.orthogonal((1, 60), threshold=1.0), HARD, RowFlow(), times=[1.0]),
            "method",
            "moves by its layers",
        ),
    ]
)
def test_what_it_cannot_do_is_refused(refusal):
    refusal.check()


def test_a_diagonal_task_of_its_own_numbers_is_served():
    task = DiagonalRegression([2.0, 0.1], [1.0, -3.0], floor=0.5)
    run = ld.simulate(ld.Mixed(0.3), task, times=[0.0, 1e6], observables=["loss", "train_error", "test_error"])
    assert run["loss"][0] == pytest.approx(2.0 + 0.9 + 0.5)
    assert run["loss"][-1] == pytest.approx(0.5)
    assert np.all(run["loss"] == run["train_error"])
    assert np.all(run["loss"] == run["test_error"])
