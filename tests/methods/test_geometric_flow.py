"""The flow on a geometric clock: the same path as `Flow`, and escapes from starts that no other clock leaves."""

import numpy as np
import pytest

import lindyn as ld
from lindyn.methods import GeometricFlow
from lindyn.solutions import deep_balanced_time

TARGET = np.diag([2.0, 0.5])
TASK = ld.SpikedMatrix(target=TARGET)


@pytest.mark.slow
def test_path_and_clock_are_those_of_the_flow():
    net = ld.DeepLinear.gaussian(2, depth=3, width=50, variance=0.001, key=1, generations=4, tolerance=np.inf)
    run = ld.simulate(net, TASK, GeometricFlow(steps=400), save_every=50, observables="matrix")
    flow = ld.simulate(net, TASK, ld.Flow(), times=run.time, observables="matrix")
    assert 0 < run.time[1] < run.time[-1]
    # order 4: a step of half the length has a sixteenth of the error
    errors = []
    for h in (0.1, 0.05):
        one = ld.simulate(
            net, TASK, GeometricFlow(step=h, steps=round(12 / h)), save_every=round(4 / h), observables="matrix"
        )
        exact = ld.simulate(net, TASK, ld.Flow(), times=one.time, observables="matrix")
        errors.append(np.abs(one["matrix"] - exact["matrix"])[:-1].max())
    assert errors[1] < errors[0] / 10
    np.testing.assert_allclose(run["matrix"], flow["matrix"], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "sizes"), [(3, (1e-3, 1e-6, 1e-9)), (4, (1e-3, 1e-12, 1e-30))])
def test_escape_time_of_balanced_layers_rises_as_their_size_to_the_power_of_two_minus_depth(depth, sizes):
    escapes = []
    for alpha in sizes:
        net = ld.DeepLinear.balanced(np.array([[alpha**depth]]), depth=depth)
        task = ld.SpikedMatrix(target=np.array([[2.0]]))
        run = ld.simulate(net, task, GeometricFlow(steps=5000), save_every=5, observables="singular_values")
        learned = run["singular_values"][:, 0] > 1.0
        assert learned.any()
        k = int(learned.argmax())
        assert run.step[k] < 5000
        escapes.append(run.time[k])
        # the closed form, at the level of the record
        level = run["singular_values"][k, 0]
        assert abs(run.time[k] / deep_balanced_time(2.0, alpha**depth, level, depth) - 1) < 1e-4
    slopes = np.diff(np.log(escapes)) / np.diff(np.log(sizes))
    assert np.abs(slopes + depth - 2).max() < 0.01 * (depth - 2)


def test_refusals():
    with pytest.raises(ld.InvalidArgument, match="`step`"):
        GeometricFlow(step=0.0)
    with pytest.raises(ld.InvalidArgument, match="float64"):
        net = ld.DeepLinear.balanced(np.eye(2, dtype=np.float32), depth=3)
        ld.simulate(net, ld.SpikedMatrix(target=np.eye(2, dtype=np.float32)), GeometricFlow(steps=2))
    with pytest.raises(ld.InvalidArgument, match="non-zero"):
        ld.simulate(
            ld.TwoLayer.from_weights(np.zeros((2, 2)), np.zeros((2, 2)), threshold=0.0), TASK, GeometricFlow(steps=2)
        )
    with pytest.raises(ld.InvalidArgument, match="update of layers"):
        ld.simulate(ld.Mixed(1.0), TASK, GeometricFlow(steps=2))
