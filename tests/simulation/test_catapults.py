"""Catapults: what is told of a run above its stability bound, with the loop of weights in plain Python beside it."""

import warnings

import numpy as np
import pytest

import lindyn as ld
from lindyn.simulation import catapult

GAMMA = 0.05


def run_at(factor, steps, observables=("cost", "sharpness")):
    """Two layers with output scale 1/γ at `factor` times 2/λ(0), λ(0) = 2/γ² on a target of one."""
    net = ld.DeepLinear.orthogonal(1, depth=2, output_scale=1 / GAMMA)
    method = ld.GradientDescent(learning_rate=factor * GAMMA**2, steps=steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ld.StabilityWarning)
        return ld.simulate(net, ld.SpikedMatrix(target=np.ones((1, 1))), method, observables=list(observables))


def costs_of(factor, steps):
    """The same by hand: f = (b·a)/γ from a = (1, 0), b = (0, 1)."""
    a, b, costs = np.array([1.0, 0.0]), np.array([0.0, 1.0]), []
    for _ in range(steps + 1):
        left = b @ a / GAMMA - 1
        costs.append(left**2 / 2)
        a, b = a - factor * GAMMA * left * b, b - factor * GAMMA * left * a
    return np.array(costs), (a @ a + b @ b) / GAMMA**2


@pytest.mark.parametrize("factor", [1.2, 1.6, 1.9])
def test_between_two_and_four_over_the_sharpness_a_run_rises_and_is_caught(factor):
    found = catapult(run_at(factor, 60))
    costs, kernel = costs_of(factor, 60)
    assert found.caught
    assert found.peak == pytest.approx(costs.max() / costs[0], rel=1e-9)
    assert found.peak_step == costs.argmax()
    # the Hessian at the end is the kernel, once the residual is zero
    assert found.end == pytest.approx(factor * GAMMA**2 * kernel / 2, rel=1e-6)
    assert str(found).startswith("Catapult: the cost rose to")


def test_below_it_there_is_none_and_too_early_it_has_not_returned():
    below, early = catapult(run_at(0.9, 40)), catapult(run_at(1.2, 4))
    assert (below.peak, below.caught) == (1.0, False)
    assert str(below).startswith("No catapult")
    assert early.peak > 1
    assert not early.caught
    assert str(early).startswith("No return so far")


def test_beyond_four_over_the_sharpness_a_run_diverges_and_says_where():
    found = catapult(run_at(2.5, 100))
    assert not found.caught
    assert "diverged at step" in str(found)


def test_runs_that_cannot_tell_are_refused():
    with pytest.raises(ld.InvalidArgument, match="sharpness"):
        catapult(run_at(0.9, 3, ["cost"]))
    task = ld.SpikedMatrix(target=np.ones((1, 1)))
    flow = ld.simulate(ld.Mixed(1.0), task, ld.Flow(), times=[0.0, 1.0], observables=["cost"])
    with pytest.raises(ld.InvalidArgument, match="gradient descent"):
        catapult(flow)
    net, heavy = ld.DeepLinear.orthogonal(1, depth=2), ld.GradientDescent(learning_rate=0.1, steps=2, momentum=0.9)
    with pytest.raises(ld.InvalidArgument, match=r"plain gradient descent.*momentum 0\.9"):  # its bound is (1 + β)·2/λ
        catapult(ld.simulate(net, task, heavy, observables=["cost", "sharpness"]))
