"""Networks of any depth under every method, against PyTorch autograd at full width; the error of the cut-off."""

import numpy as np
import optax
import pytest

import lindyn as ld
import torch
from helpers import torch_reference
from helpers.deep_reference import descend, gaussian_layers
from lindyn.solutions import deep_mode_curve

SHAPE, STEPS = (3, 4), 60


def weights(sizes=(4, 60, 50, 3), seed=0):
    rng = np.random.default_rng(seed)
    variances = (0.3 / sizes[1], *(1 / w for w in sizes[2:-1]), 0.3 / sizes[-2])
    return gaussian_layers(sizes, variances, rng)


TARGET = np.random.default_rng(5).standard_normal(SHAPE)
TASK = ld.SpikedMatrix(target=TARGET)

RULES = {
    "plain": (ld.GradientDescent(learning_rate=0.03, steps=STEPS), lambda p: torch.optim.SGD(p, lr=0.03)),
    "heavy ball": (
        ld.GradientDescent(learning_rate=0.01, momentum=0.8, steps=STEPS),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8),
    ),
    "nesterov and decay": (
        ld.GradientDescent(learning_rate=0.01, momentum=0.8, nesterov=True, weight_decay=0.02, steps=STEPS),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.8, nesterov=True, weight_decay=0.02),
    ),
    "optax": (
        ld.methods.Optimizer(rule=optax.sgd(0.01, momentum=0.5), steps=STEPS),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.5),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_reduced_runs_are_autograd_at_full_width_within_the_stated_tolerance(name):
    method, rule = RULES[name]
    given = weights()
    full = torch_reference.train_layers(given, torch_reference.squared_error(TARGET), rule, STEPS, every=20)
    net = ld.DeepLinear.from_weights(given, tolerance=1e-7)
    assert max(net.reduced_widths) < 50
    run = ld.simulate(net, TASK, method, save_every=20, observables="matrix")
    size = np.linalg.norm(full, 2, axis=(1, 2)).max()
    error = np.linalg.norm(run["matrix"] - full, axis=(1, 2)).max() / size
    assert error < 1e-7
    # the estimate, from one generation more, is the error up to what that generation leaves
    assert run.info.reduction_error / 10 < error < 10 * run.info.reduction_error


@pytest.mark.slow
def test_muon_at_depth_is_that_of_torch_at_full_width():
    given = weights((4, 20, 18, 3))
    method = ld.methods.Muon(learning_rate=0.02, steps=20, scale="none", newton_schulz_steps=5)

    def rule(parameters):
        return torch_reference.PlainMuon(parameters, lr=0.02, momentum=0.95, steps=5)

    full = torch_reference.train_layers(given, torch_reference.squared_error(TARGET), rule, 20, every=10)
    run = ld.simulate(
        ld.DeepLinear.from_weights(given, generations=9), TASK, method, save_every=10, observables="matrix"
    )
    # all directions are held; torch works in float64 here
    np.testing.assert_allclose(run["matrix"], full, atol=1e-10)


@pytest.mark.slow
def test_batches_of_a_regression_are_those_of_autograd():
    rng = np.random.default_rng(3)
    inputs, outputs = rng.standard_normal((12, 4)), rng.standard_normal((12, 3))
    batches = rng.integers(0, 12, (30, 5))
    task = ld.Regression(inputs, outputs)
    given = weights()
    x, y = torch_reference.tensor(inputs), torch_reference.tensor(outputs)

    def loss(matrix, step):
        rows = torch.tensor(batches[step])
        return 0.5 * ((x[rows] @ matrix.T - y[rows]) ** 2).sum(axis=1).mean()

    full = torch_reference.train_layers(given, loss, lambda p: torch.optim.SGD(p, lr=0.02), 30, every=30)
    run = ld.simulate(
        ld.DeepLinear.from_weights(given, tolerance=1e-8),
        task,
        ld.GradientDescent(learning_rate=0.02, steps=30, batches=batches),
        save_every=30,
        observables="matrix",
    )
    np.testing.assert_allclose(run["matrix"], full, atol=1e-8)


@pytest.mark.slow
def test_generations_are_added_until_the_tolerance_holds():
    few = ld.DeepLinear.from_weights(weights(), tolerance=1e-6, generations=1)
    run = ld.simulate(few, TASK, RULES["plain"][0], save_every=STEPS)
    assert run.info.reduction_error < 1e-6
    assert run.final.words.generations > 3
    assert any("tolerance 1e-06" in note for note in run.info.notes)
    quick = ld.DeepLinear.from_weights(weights(), tolerance=np.inf, generations=1)
    assert ld.simulate(quick, TASK, RULES["plain"][0], save_every=STEPS).info.reduction_error is None


@pytest.mark.slow
def test_trained_weights_come_back_in_full_shape():
    given = weights()
    run = ld.simulate(ld.DeepLinear.from_weights(given, tolerance=1e-9), TASK, RULES["plain"][0], save_every=STEPS)
    layers = run.final.weights()
    full = [np.array(w) for w in given]
    for _ in range(STEPS):
        below = [None, full[0], full[1] @ full[0]]
        g = full[2] @ below[2] - TARGET
        above = [full[2] @ full[1], full[2], None]
        full = [
            full[0] - 0.03 * above[0].T @ g,
            full[1] - 0.03 * above[1].T @ g @ below[1].T,
            full[2] - 0.03 * g @ below[2].T,
        ]
    for ours, theirs in zip(layers, full, strict=True):
        # A is of second order in what is cut off, the layers themselves of first
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_one_and_two_layers_are_what_exists():
    two = ld.TwoLayer.gaussian(SHAPE, width=1000, variance=1e-3, key=4)
    deep = ld.DeepLinear.gaussian(SHAPE, depth=2, width=1000, variance=1e-3, key=4)
    method = ld.GradientDescent(learning_rate=0.05, steps=40)
    a, b = (ld.simulate(net, TASK, method, save_every=20, observables="matrix") for net in (two, deep))
    np.testing.assert_array_equal(a["matrix"], b["matrix"])
    one = ld.DeepLinear.from_weights([np.ones(SHAPE)])
    assert (one.title, one.held) == ("network of one layer", "the layer itself")
    for order in ("simultaneous", "sequential"):
        single = ld.GradientDescent(learning_rate=0.05, steps=40, order=order)
        c = ld.simulate(one, TASK, single, save_every=20, observables="matrix")
        np.testing.assert_allclose(c["matrix"][-1], TARGET + 0.95**40 * (1 - TARGET), rtol=1e-12)
    with pytest.raises(ld.InvalidArgument, match="single layer"):
        ld.simulate(one, TASK, method, observables="imbalance")


@pytest.mark.slow
def test_unequal_rates_are_those_of_autograd_with_a_rate_a_layer():
    given = weights()
    rates = (2.0, 0.5, 3.0)

    def rule(parameters):
        return torch.optim.SGD([{"params": [p], "lr": 0.01 * r} for p, r in zip(parameters, rates, strict=True)])

    full = torch_reference.train_layers(given, torch_reference.squared_error(TARGET), rule, 40, every=40)
    net = ld.DeepLinear.from_weights(given, tolerance=1e-9).at_rates(rates)
    run = ld.simulate(net, TASK, ld.GradientDescent(learning_rate=0.01, steps=40), save_every=40, observables="matrix")
    np.testing.assert_allclose(run["matrix"], full, atol=1e-8)


@pytest.mark.slow
def test_a_wide_network_follows_the_deep_mode_curve():
    rng = np.random.default_rng(0)
    s = np.array([9.0, 3.0, 1.0, 0.2])
    target = np.linalg.qr(rng.standard_normal((4, 4)))[0] @ np.diag(s) @ np.linalg.qr(rng.standard_normal((4, 4)))[0]
    # four layers; three are followed at width 10¹² in examples/
    net = ld.DeepLinear.gaussian(4, depth=4, width=10**10, variance=1e-10, key=1, tolerance=1e-5)
    times = np.linspace(0, 0.6, 13)
    run = ld.simulate(net, ld.SpikedMatrix(target=target), ld.Flow(rtol=1e-8), times=times)
    theory = deep_mode_curve(s, net.threshold, times[:, None], depth=4)
    # distance to the limit ∝ w^−½
    assert np.abs(np.sort(run["singular_values"])[1:, ::-1] - theory[1:]).max() < 1e-3


def test_descent_of_the_reference_is_autograd():
    given = weights()
    full = torch_reference.train_layers(
        given, torch_reference.squared_error(TARGET), lambda p: torch.optim.SGD(p, lr=0.03), 20, every=20
    )
    np.testing.assert_allclose(descend(given, TARGET, 0.03, 20, 20), full, atol=1e-13)
