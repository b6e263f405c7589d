"""The balanced flow of a matrix at depth, against networks that start balanced and against its scalar equation."""

import numpy as np
import pytest

import lindyn as ld
from lindyn.solutions import deep_balanced_time

RNG = np.random.default_rng(0)
START, TARGET = 0.5 * RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))
TIMES = [0.0, 0.2, 1.0, 2.0]


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("cost", ["quadratic", "masked"])
def test_flow_is_that_of_a_balanced_network(depth, cost):
    if cost == "quadratic":
        task = ld.SpikedMatrix(target=TARGET)
    else:
        task = ld.Completion(TARGET, np.arange(12).reshape(3, 4) % 5 != 0)
    net = ld.DeepLinear.balanced(START, depth=depth)
    network = ld.simulate(net, task, ld.Flow(), times=TIMES, observables=["matrix", "imbalance"])
    matrix = ld.simulate(ld.dynamics.DeepBalanced(START, depth), task, ld.Flow(), times=TIMES, observables="matrix")
    assert np.abs(network["matrix"] - matrix["matrix"]).max() < 1e-8
    assert network["imbalance"].max() < 1e-9  # conserved, to the accuracy of the solver


@pytest.mark.slow
def test_velocity_is_the_sum_of_matrix_powers():
    u, s, vt = np.linalg.svd(START, full_matrices=True)
    gradient = RNG.standard_normal((3, 4))

    def power(vectors, exponent):
        full = np.zeros(len(vectors))
        full[: s.size] = s
        return (vectors * (full**exponent if exponent else np.ones(len(vectors)))) @ vectors.T

    for depth in (1, 2, 3, 5):
        expected = -sum(
            power(u, 2 * (depth - k) / depth) @ gradient @ power(vt.T, 2 * (k - 1) / depth) for k in range(1, depth + 1)
        )
        found = ld.dynamics.DeepBalanced(START, depth).drive(START, gradient, 0.0)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)  # JAX outside of a run is in float32


@pytest.mark.slow
def test_two_layers_are_the_balanced_dynamics_and_take_its_closed_form():
    task = ld.SpikedMatrix(target=TARGET)
    a = ld.simulate(ld.dynamics.DeepBalanced(START, 2), task, times=TIMES, observables="matrix")
    b = ld.simulate(ld.Balanced(START), task, times=TIMES, observables="matrix")
    np.testing.assert_array_equal(a["matrix"], b["matrix"])
    assert "closed form" in a.info.method


@pytest.mark.slow
def test_a_mode_takes_the_time_of_its_equation():
    s, start = 2.0, 0.3
    t = deep_balanced_time(s, start, np.array([0.6, 1.0, 1.9]), 4)
    task = ld.SpikedMatrix(target=np.diag([s, 1.0]))
    run = ld.simulate(ld.dynamics.DeepBalanced(np.diag([start, 0.1]), 4), task, times=[0.0, *t], observables="matrix")
    np.testing.assert_allclose(run["matrix"][1:, 0, 0], [0.6, 1.0, 1.9], rtol=1e-7)


def test_refusals():
    with pytest.raises(ld.InvalidArgument, match="be non-zero"):
        ld.dynamics.DeepBalanced(np.zeros((2, 2)), 3)
    with pytest.raises(ld.InvalidArgument, match="`depth`"):
        ld.dynamics.DeepBalanced(START, 0)
