"""A task behind a front end: regression on filtered inputs, plain NumPy, closed forms and refusals."""

import numpy as np
import pytest

import lindyn as ld
from helpers.reference import relative
from helpers.refusals import refused

RNG = np.random.default_rng(0)
INPUTS, OUTPUTS, FRONT = RNG.standard_normal((30, 5)), RNG.standard_normal((30, 2)), RNG.standard_normal((3, 5))
MATRIX = RNG.standard_normal((2, 3))


def behind(task, front=FRONT):
    return ld.tasks.Filtered(task, front_end=front)


def test_a_regression_behind_a_front_end_is_one_on_filtered_inputs():
    held = RNG.standard_normal((7, 5)), RNG.standard_normal((7, 2))
    filtered = behind(ld.Regression(INPUTS, OUTPUTS, held_out=held))
    plain = ld.Regression(INPUTS @ FRONT.T, OUTPUTS, held_out=(held[0] @ FRONT.T, held[1]))
    assert filtered.shape == plain.shape == (2, 3)
    for name in ("cost", "train_error", "test_error"):
        assert float(getattr(filtered, name)(MATRIX)) == pytest.approx(float(getattr(plain, name)(MATRIX)), rel=1e-12)
    assert relative(filtered.gradient(MATRIX), plain.gradient(MATRIX)) < 1e-12
    assert filtered.curvature() == pytest.approx(plain.curvature(), rel=1e-6)  # by power iteration
    assert relative(filtered.minimiser(), plain.minimiser()) < 1e-10
    assert filtered.samples == 30
    rows, noise = np.array([3, 1, 7]), RNG.standard_normal((3, 2))
    assert relative(filtered.sample_gradient(MATRIX, rows, noise), plain.sample_gradient(MATRIX, rows, noise)) < 1e-12


def test_layers_and_formula_move_as_in_plain_numpy():
    """Descent of W2 W1 B by the chain rule."""
    target = RNG.standard_normal((2, 5))
    net = ld.TwoLayer.from_weights(RNG.standard_normal((4, 3)), RNG.standard_normal((2, 4)))
    w1, w2 = net.w1, net.w2
    for _ in range(30):
        gradient = (w2 @ w1 @ FRONT - target) @ FRONT.T
        w1, w2 = w1 - 0.005 * w2.T @ gradient, w2 - 0.005 * gradient @ w1.T
    run = ld.simulate(
        net, behind(ld.SpikedMatrix(target=target)), ld.GradientDescent(learning_rate=0.005, steps=30),
        observables=["matrix", "geometry"],
    )  # fmt: skip
    jacobian = w2 @ w1 @ FRONT
    assert relative(run["matrix"][-1], w2 @ w1) < 1e-12
    assert relative(run["geometry"][-1], jacobian.T @ jacobian) < 1e-12
    assert run.to_xarray()["geometry"].dims[1:] == ("input", "other_input")


def test_an_orthogonal_front_end_keeps_the_closed_form_and_another_loses_it():
    target, turn = RNG.standard_normal((2, 5)), 2 * np.linalg.qr(RNG.standard_normal((5, 3)))[0].T
    task = behind(ld.SpikedMatrix(target=target), turn)
    found = ld.simulate(ld.Mixed(0.7), task, times=[0.0, 0.3], observables="matrix").final
    steps = ld.GradientDescent(learning_rate=1e-4, steps=3000)
    assert relative(found, ld.simulate(ld.Mixed(0.7), task, steps, observables="matrix").final) < 1e-3  # of Euler
    assert task.quadratic().curvature == pytest.approx(4)
    assert behind(ld.SpikedMatrix(target=target)).quadratic() is None


def test_without_a_front_end_the_jacobian_is_the_matrix():
    task = ld.SpikedMatrix(target=np.zeros((2, 3)))
    run = ld.simulate(ld.Mixed(1.0, MATRIX), task, times=[0.0], observables="geometry")
    assert relative(run["geometry"][0], MATRIX.T @ MATRIX) < 1e-14
    assert behind(ld.SpikedMatrix(target=np.eye(5))) == behind(ld.SpikedMatrix(target=np.eye(5)))


@refused(
    [
        (lambda: behind(3), "task", "be a task"),
        (lambda: behind(ld.SpikedMatrix(target=np.eye(4))), "front_end", "shape"),
        (lambda: behind(ld.SpikedMatrix(target=np.eye(5)), np.zeros((3, 5))), "front_end", "lets nothing through"),
        (lambda: behind(ld.SpikedMatrix(target=np.eye(5)), np.full((3, 5), np.nan)), "front_end", "finite"),
    ]
)
def test_a_front_end_that_does_not_fit_is_refused(refusal):
    refusal.check()
