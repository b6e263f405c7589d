"""Networks of ReLU units: outputs and flow against PyTorch and SciPy, and refusals of what holds for products only."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import lindyn as ld
import torch
from helpers.reference import relative
from lindyn.methods import GeometricFlow, Muon
from lindyn.networks import DeepReLU

RNG = np.random.default_rng(1)  # a seed whose flow holds no unit at its kink
INPUTS, TARGET = RNG.standard_normal((3, 3)), RNG.standard_normal((2, 3))
WEIGHTS = [0.7 * RNG.standard_normal(shape) for shape in ((5, 3), (4, 5), (2, 4))]
TASK = ld.SpikedMatrix(target=TARGET)
SLOPE = 0.1


def net():
    return DeepReLU.from_weights(WEIGHTS, INPUTS, slope=SLOPE)


def by_torch(weights):
    """Outputs, and the gradient of ½‖F − T‖² by autograd."""
    layers = [torch.tensor(w, requires_grad=True) for w in weights]
    hidden = torch.tensor(INPUTS)
    for layer in layers[:-1]:
        hidden = torch.nn.functional.leaky_relu(layer @ hidden, SLOPE)
    outputs = layers[-1] @ hidden
    grads = torch.autograd.grad(0.5 * ((outputs - torch.tensor(TARGET)) ** 2).sum(), layers)
    return outputs.detach().numpy(), [g.numpy() for g in grads]


def flat(arrays):
    return np.concatenate([a.ravel() for a in arrays])


def layers_of(vector):
    cuts = np.cumsum([w.size for w in WEIGHTS])[:-1]
    return [part.reshape(w.shape) for part, w in zip(np.split(vector, cuts), WEIGHTS, strict=True)]


def test_outputs_are_those_of_torch():
    assert relative(net().matrix, by_torch(WEIGHTS)[0]) < 1e-14


@pytest.mark.slow
def test_the_flow_is_that_of_scipy_with_gradients_of_torch():
    run = ld.simulate(net(), TASK, ld.Flow(rtol=1e-9, atol=1e-11), times=[0.0, 0.3], observables=["matrix", "w2"])
    exact = solve_ivp(lambda t, v: -flat(by_torch(layers_of(v))[1]), (0, 0.3), flat(WEIGHTS), rtol=1e-9, atol=1e-11)
    last = layers_of(exact.y[:, -1])
    assert relative(run["w2"][-1], last[1]) < 1e-6  # both solvers step across kinks of φ
    assert relative(run["matrix"][-1], by_torch(last)[0]) < 1e-6
    assert relative(run.final.matrix, run["matrix"][-1]) < 1e-12


@pytest.mark.slow
def test_the_geometric_flow_is_the_flow_on_another_clock():
    run = ld.simulate(net(), TASK, GeometricFlow(steps=40, step=0.01), save_every=40, observables="matrix")
    flow = ld.simulate(net(), TASK, ld.Flow(rtol=1e-9, atol=1e-11), times=run.time, observables="matrix")
    assert relative(run["matrix"][-1], flow["matrix"][-1]) < 1e-4  # steps across kinks are of first order


@pytest.mark.slow
def test_the_slope_of_one_is_a_linear_network():
    linear = net().with_slope(1.0)
    run = ld.simulate(linear, TASK, ld.Flow(), times=[0.0, 0.3], observables="matrix")
    deep = ld.DeepLinear.from_weights(WEIGHTS, tolerance=1e-10)
    inputs = ld.Regression(INPUTS.T * 3**0.5, TARGET.T * 3**0.5)  # (1/2n)Σ = ½‖F − T‖²
    exact = ld.simulate(deep, inputs, ld.Flow(), times=[0.0, 0.3], observables="matrix")
    assert relative(run["matrix"], exact["matrix"] @ INPUTS) < 1e-8


def test_a_unit_that_never_switches_takes_nothing_away():
    positive = DeepReLU.from_weights([np.eye(2), np.ones((1, 2))], np.ones((2, 3)))
    assert positive.nonlinearity.tolist() == [0.0]
    negative = DeepReLU.from_weights([-np.eye(2), np.ones((1, 2))], np.ones((2, 3)), slope=0.75)
    assert negative.nonlinearity.tolist() == [0.0625]


@pytest.mark.parametrize("method", [ld.GradientDescent(learning_rate=0.1, steps=1), Muon(learning_rate=0.1, steps=1)])
def test_methods_for_products_are_refused(method):
    with pytest.raises(ld.InvalidArgument, match="be Flow, GeometricFlow or NearlyLinear for DeepReLU"):
        ld.simulate(net(), TASK, method)


def test_what_is_not_known_is_not_answered():
    assert net() == net().with_slope(SLOPE) != net().with_slope(0.2)
    with pytest.raises(ld.InvalidArgument, match="be a product of layers for its tangent kernel"):
        ld.methods.stability_bound(net(), TASK)
    with pytest.raises(ld.InvalidArgument, match="threshold"):
        ld.Mixed.matching(net())
    run = ld.simulate(net(), TASK, ld.Flow(rtol=1e-4), times=[0.0], observables="activity")
    assert np.isnan(run["activity"]).all()
    assert "threshold" not in str(run)


@pytest.mark.parametrize("name", ["sharpness", "ntk_drift", "kernel_alignment"])
def test_observables_of_products_are_refused(name):
    with pytest.raises(ld.InvalidArgument, match="tangent kernel"):
        ld.simulate(net(), TASK, ld.Flow(), times=[0.0], observables=name)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: DeepReLU.from_weights([], INPUTS), "weights"),
        (lambda: DeepReLU.from_weights(WEIGHTS[1:], INPUTS), r"weights\[0\]"),
        (lambda: DeepReLU.from_weights(WEIGHTS, INPUTS, slope=1.5), "slope"),
        (lambda: DeepReLU.gaussian(INPUTS, 1, widths=(4,), scale=0.0), "scale"),
    ],
)
def test_networks_without_meaning_are_refused(call, name):
    with pytest.raises(ld.InvalidArgument, match=name):
        call()
