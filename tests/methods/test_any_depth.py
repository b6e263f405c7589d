"""Update rules, flows and observables of three and four layers against PyTorch's autograd and SciPy."""

from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import solve_ivp

import lindyn as ld
import torch
from helpers.reference import relative, target_of, worst
from lindyn.methods.layer_updates import layer_gradients, product, turned
from lindyn.networks import Network

SIZES = (4, 6, 5, 3)  # d_in, two hidden layers, d_out
TARGET = target_of((3, 4))
TASK = ld.SpikedMatrix(target=TARGET)
RATE, STEPS = 0.01, 60


class Deep(Network):
    """The base class alone."""


def weights(sizes=SIZES):
    rng = np.random.default_rng(0)
    return tuple(0.6 * rng.standard_normal((rows, cols)) for cols, rows in pairwise(sizes))


def network(sizes=SIZES):
    return Deep.holding(weights(sizes), sizes[1:-1], 1.0, "given")


def by_torch(optimizer, steps=STEPS, sizes=SIZES):
    """The matrix along a training of all layers, and the layers at its end."""
    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in weights(sizes)]
    rule, path = optimizer(parameters), []
    for _ in range(steps + 1):
        rule.zero_grad()
        a = torch.linalg.multi_dot([*reversed(parameters)])
        path.append(a.detach().numpy().copy())
        (0.5 * ((a - torch.tensor(TARGET)) ** 2).sum()).backward()
        if len(path) <= steps:
            rule.step()
    return np.array(path), [p.detach().numpy() for p in parameters]


CASES = {
    "sgd": (ld.GradientDescent(learning_rate=RATE, steps=STEPS), lambda p: torch.optim.SGD(p, RATE)),
    "nesterov": (
        ld.GradientDescent(learning_rate=RATE / 4, steps=STEPS, momentum=0.8, nesterov=True, weight_decay=0.05),
        lambda p: torch.optim.SGD(p, RATE / 4, momentum=0.8, nesterov=True, weight_decay=0.05),
    ),
    "adam": (ld.methods.Optimizer(rule=optax.adam(2e-3), steps=STEPS), lambda p: torch.optim.Adam(p, 2e-3)),
    "muon": (
        ld.methods.Muon(learning_rate=0.002, steps=STEPS),
        lambda p: torch.optim.Muon(p, lr=0.002, weight_decay=0.0),
    ),
}


@pytest.mark.parametrize("name", ["sgd", *(pytest.param(n, marks=pytest.mark.slow) for n in CASES if n != "sgd")])
def test_three_layers_train_as_in_pytorch(name, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda x: x.clone())  # torch's Muon orthogonalises in half precision
    method, optimizer = CASES[name]
    run = ld.simulate(network(), TASK, method, observables=["matrix", "w2"])
    path, ends = by_torch(optimizer)
    assert worst(run["matrix"], path) < 1e-10
    assert run["w2"].shape == (STEPS + 1, 5, 6)
    for ours, theirs in zip(run.final.weights(), ends, strict=True):
        assert relative(ours, theirs) < 1e-10
    assert isinstance(run.final, Deep)


def test_layers_in_turn_see_the_layers_below_already_moved():
    run = ld.simulate(
        network(), TASK, ld.GradientDescent(learning_rate=RATE, steps=20, order="sequential"), observables=["matrix"]
    )
    w1, w2, w3 = weights()
    for _ in range(20):
        g = w3 @ w2 @ w1 - TARGET
        w1 = w1 - RATE * (w3 @ w2).T @ g
        w2 = w2 - RATE * w3.T @ g @ w1.T
        w3 = w3 - RATE * g @ (w2 @ w1).T
    assert relative(run["matrix"][-1], w3 @ w2 @ w1) < 1e-12


@pytest.mark.slow
def test_gradients_of_eleven_layers_keep_their_order():
    """By name, "w10" sorts before "w2": the layers must not."""
    sizes = (4, *[5] * 10, 3)
    stored = turned(tuple(jnp.asarray(w, jnp.float32) for w in weights(sizes)))
    g = jnp.asarray(TARGET, jnp.float32)
    ours = turned(layer_gradients(stored, g))
    layers = [np.asarray(w, np.float64) for w in turned(stored)]
    for number, gradient in enumerate(ours):
        above, below = np.eye(3), np.eye(4)
        for w in layers[:number]:
            below = w @ below
        for w in reversed(layers[number + 1 :]):
            above = above @ w
        assert relative(gradient, above.T @ TARGET @ below.T) < 1e-5  # float32
    assert product(stored).shape == (3, 4)
    run = ld.simulate(network(sizes), TASK, ld.GradientDescent(learning_rate=1e-5, steps=5), observables=["matrix"])
    path, _ = by_torch(lambda p: torch.optim.SGD(p, 1e-5), 5, sizes)
    assert worst(run["matrix"], path) < 1e-12


@pytest.mark.slow
def test_the_flow_of_three_layers_agrees_with_scipy_and_conserves_every_imbalance():
    first = weights()
    places = np.cumsum([w.size for w in first])[:-1]

    def field(_, flat):
        w1, w2, w3 = (p.reshape(w.shape) for p, w in zip(np.split(flat, places), first, strict=True))
        g = w3 @ w2 @ w1 - TARGET
        return -np.concatenate([x.ravel() for x in ((w3 @ w2).T @ g, w3.T @ g @ w1.T, g @ (w2 @ w1).T)])

    end = solve_ivp(field, (0, 1), np.concatenate([w.ravel() for w in first]), "DOP853", rtol=1e-12, atol=1e-14).y[
        :, -1
    ]
    names = ["matrix", "imbalance_drift", "balancedness"]
    run = ld.simulate(network(), TASK, ld.Flow(rtol=1e-11, atol=1e-13), times=[0.0, 1.0], observables=names)
    w1, w2, w3 = (p.reshape(w.shape) for p, w in zip(np.split(end, places), first, strict=True))
    assert relative(run["matrix"][1], w3 @ w2 @ w1) < 1e-9
    assert run["imbalance_drift"].shape == (2, 2)  # a value for each pair of neighbours
    assert run["imbalance_drift"].max() < 1e-9
    d = [w1 @ w1.T - w2.T @ w2, w2 @ w2.T - w3.T @ w3]
    size = [np.sum(w1**2) + np.sum(w2**2), np.sum(w2**2) + np.sum(w3**2)]
    assert run["balancedness"][1] == pytest.approx([np.linalg.norm(x) / s for x, s in zip(d, size, strict=True)])
    assert run.to_xarray()["balancedness"].dims == ("time", "pair")


@pytest.mark.slow
def test_the_kernel_of_three_layers_drifts_as_its_jacobian_says():
    run = ld.simulate(
        network(), TASK, ld.GradientDescent(learning_rate=RATE, steps=20), observables=["ntk_drift", "w1", "w2", "w3"]
    )

    def kernel(w1, w2, w3):
        terms = [((w3 @ w2) @ (w3 @ w2).T, np.eye(4)), (w3 @ w3.T, w1.T @ w1), (np.eye(3), (w2 @ w1).T @ (w2 @ w1))]
        return sum(np.kron(out, into) for out, into in terms)

    kernels = [kernel(*(run[f"w{n}"][k] for n in (1, 2, 3))) for k in (0, 10, 20)]
    drift = [np.linalg.norm(k - kernels[0]) / np.linalg.norm(kernels[0]) for k in kernels]
    assert drift[-1] > 0.05
    assert run["ntk_drift"][[0, 10, 20]] == pytest.approx(np.array(drift), abs=1e-14)


def test_no_closed_form_is_claimed_for_three_layers():
    with pytest.raises(ld.InvalidArgument, match="no closed form is known for 3 layers"):
        ld.simulate(network(), TASK, ld.ClosedForm(), times=[0.0, 1.0])
