"""Networks of orthogonal layers: the closed form against the flow of the layers, the bound at the edge of stability."""

import numpy as np
import pytest

import lindyn as ld

TARGET = np.random.default_rng(5).standard_normal((3, 4))
TASK = ld.SpikedMatrix(target=TARGET)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [3, 5])
@pytest.mark.parametrize("gamma", [0.3, 30.0])
def test_the_closed_form_is_the_flow_of_the_layers(depth, gamma):
    net = ld.DeepLinear.orthogonal(TARGET.shape, depth=depth, output_scale=1 / gamma, width=10**6)
    values = np.linalg.svd(TARGET, compute_uv=False)
    late = float(ld.solutions.orthogonal_mode_time(values[-1], 1 / gamma, 0.9 * values[-1], depth))
    times = np.linspace(0.0, late, 9)
    exact = ld.simulate(net, TASK, ld.ClosedForm(), times=times, observables="matrix")
    flow = ld.simulate(net, TASK, ld.Flow(), times=times, observables="matrix")
    # the flow to 1e-10 a step; a mode's error grows while it escapes
    np.testing.assert_allclose(exact["matrix"], flow["matrix"], atol=1e-6)


def test_two_layers_of_this_kind_have_the_closed_form_of_two_layers():
    deep = ld.DeepLinear.orthogonal(TARGET.shape, depth=2, output_scale=0.2)
    flat = ld.TwoLayer.orthogonal(TARGET.shape, threshold=0.2)
    runs = [ld.simulate(n, TASK, ld.ClosedForm(), times=[0.0, 0.3, 2.0], observables="matrix") for n in (deep, flat)]
    np.testing.assert_allclose(runs[0]["matrix"], runs[1]["matrix"], atol=1e-8)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::lindyn.StabilityWarning")  # one of the rates is above the bound
@pytest.mark.parametrize(("share", "stays"), [(0.995, True), (1.005, False)])
def test_the_stability_bound_of_five_layers_is_sharp_between_the_limits(share, stays):
    gamma = 1.5  # where L(s² + τ²)^{1−1/L} is 6 % below the kernel at the end, so that its bound would not be one
    net, task = ld.DeepLinear.orthogonal(1, depth=5, output_scale=1 / gamma), ld.SpikedMatrix(target=np.ones((1, 1)))
    bound = ld.methods.stability_bound(net, task)
    late = float(ld.solutions.orthogonal_mode_time(1.0, net.threshold, 1 - 1e-12, 5))
    settled = ld.simulate(net, task, ld.Flow(), times=[0.0, late], observables="cost").final
    layers = tuple(w + 1e-7 * np.random.default_rng(0).standard_normal(w.shape) for w in settled.layers)
    method = ld.GradientDescent(learning_rate=share * bound, steps=300)
    run = ld.simulate(settled.trained(layers), task, method, save_every=300, observables="cost")
    assert (run["cost"][-1] < run["cost"][0]) == stays


def test_other_starts_have_no_closed_form_and_say_so():
    scaled = ld.DeepLinear.orthogonal(3, depth=3).at_rates([1.0, 2.0, 1.0])
    ends = ld.DeepLinear.orthogonal(3, depth=3, end_variance=0.1)
    for net in (scaled, ends):
        assert not net.starts_orthogonal
        with pytest.raises(ld.InvalidArgument, match="no closed form is known for 3 layers"):
            ld.simulate(net, ld.SpikedMatrix(target=np.eye(3)), ld.ClosedForm(), times=[0.0, 1.0])
    completion = ld.SpikedMatrix(target=np.eye(3)).observe(0.5, key=0)
    with pytest.raises(ld.InvalidArgument, match="only cost with a closed form"):
        ld.simulate(ld.DeepLinear.orthogonal(3, depth=3), completion, ld.ClosedForm(), times=[0.0, 1.0])
