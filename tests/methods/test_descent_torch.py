"""Descent on the reduced factor equals PyTorch's autograd training of all the weights, to 1e-10 over 200 steps."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lindyn as ld
import torch
from helpers.reference import layers, relative, target_of, worst
from helpers.torch_reference import squared_error, tensor, train, train_sequentially

STEPS, EVERY, RATE, EXACT = 200, 20, 0.02, 1e-10
WIDE, OTHERS = (4, 7), [(5, 5), (7, 4)]


def widths(shape):
    """Widths below, at and above d_in + d_out."""
    n = sum(shape)
    return [n // 2, n, 4 * n]


def sizes(*shapes):
    return [pytest.param(s, w, id=f"{s[0]}x{s[1]}-w{w}") for s in shapes for w in widths(s)]


# every size costs a compilation: the fast lane takes the widest of the wide ones
*narrower, widest = sizes(WIDE)
slow = [pytest.param(*p.values, id=p.id, marks=pytest.mark.slow) for p in (*narrower, *sizes(*OTHERS))]
every_width = pytest.mark.parametrize(("shape", "width"), [widest, *slow[:2]])
every_size = pytest.mark.parametrize(("shape", "width"), [widest, *slow])


def assert_equal_runs(run, path, w1, w2):
    """The matrix along the run, and the weights of the original shape at the end."""
    assert run.completed
    assert worst(run["matrix"], path[run.step.astype(int)]) < EXACT
    for ours, theirs in zip(run.final.weights(), (w1, w2), strict=True):
        assert relative(ours, theirs) < EXACT


def simulate(net, task, method):
    return ld.simulate(net, task, method, observables=["matrix"], save_every=EVERY)


SGD = {
    "plain": {},
    "heavy-ball": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "weight-decay": {"weight_decay": 0.05},
    "all": {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", SGD.values(), ids=SGD)
@every_size
def test_sgd(shape, width, options):
    rate = RATE / 4 if "momentum" in options else RATE
    w1, w2 = layers(shape, width)
    target = target_of(shape)
    run = simulate(
        ld.TwoLayer.from_weights(w1, w2),
        ld.SpikedMatrix(target=target),
        ld.GradientDescent(learning_rate=rate, steps=STEPS, **options),
    )
    expected = train(w1, w2, squared_error(target), lambda p: torch.optim.SGD(p, lr=rate, **options), STEPS)
    assert run.final.reduced_width == min(width, sum(shape))
    assert_equal_runs(run, *expected)


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@every_width
def test_global_norm_clipping(shape, width, momentum):
    w1, w2 = layers(shape, width)
    target = target_of(shape)
    run = simulate(
        ld.TwoLayer.from_weights(w1, w2),
        ld.SpikedMatrix(target=target),
        ld.GradientDescent(learning_rate=RATE / 4, steps=STEPS, momentum=momentum, clip_norm=1.5),
    )
    path, *ends = train(
        w1,
        w2,
        squared_error(target),
        lambda p: torch.optim.SGD(p, lr=RATE / 4, momentum=momentum),
        STEPS,
        clip_norm=1.5,
    )
    free, *_ = train(w1, w2, squared_error(target), lambda p: torch.optim.SGD(p, lr=RATE / 4, momentum=momentum), STEPS)
    assert worst(path[1:], free[1:]) > 0.01  # the clip acts
    assert_equal_runs(run, path, *ends)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.8, "weight_decay": 0.05}], ids=["plain", "momentum-decay"])
@every_width
def test_sequential_order(shape, width, options):
    w1, w2 = layers(shape, width)
    target = target_of(shape)
    run = simulate(
        ld.TwoLayer.from_weights(w1, w2),
        ld.SpikedMatrix(target=target),
        ld.GradientDescent(learning_rate=RATE / 4, steps=STEPS, order="sequential", **options),
    )
    assert_equal_runs(run, *train_sequentially(w1, w2, squared_error(target), RATE / 4, STEPS, **options))


MUON = {
    "default": ({}, {}),
    "rms": ({"scale": "match_rms_adamw"}, {"adjust_lr_fn": "match_rms_adamw"}),
    "heavy-ball": ({"nesterov": False, "momentum": 0.8}, {"nesterov": False, "momentum": 0.8}),
    "decay": ({"weight_decay": 0.1, "newton_schulz_steps": 4}, {"weight_decay": 0.1, "ns_steps": 4}),
}


MUON_CASES = [pytest.param(*v, id=k, marks=() if k == "default" else pytest.mark.slow) for k, v in MUON.items()]


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "theirs"), MUON_CASES)
@every_width
def test_muon(shape, width, ours, theirs, monkeypatch):
    monkeypatch.setattr(
        torch.Tensor, "bfloat16", lambda x: x.clone()
    )  # torch orthogonalises in half precision; not here
    w1, w2 = layers(shape, width)
    target = target_of(shape)
    run = simulate(
        ld.TwoLayer.from_weights(w1, w2),
        ld.SpikedMatrix(target=target),
        ld.methods.Muon(learning_rate=0.002, steps=STEPS, **ours),
    )
    options = {"weight_decay": 0.0, **theirs}
    expected = train(w1, w2, squared_error(target), lambda p: torch.optim.Muon(p, lr=0.002, **options), STEPS)
    assert_equal_runs(run, *expected)


@pytest.mark.slow
@every_width
def test_adam_needs_and_gets_the_full_width(shape, width):
    w1, w2 = layers(shape, width)
    target = target_of(shape)
    options = {"b1": 0.9, "b2": 0.99, "eps": 1e-6}
    run = simulate(
        ld.TwoLayer.from_weights(w1, w2),
        ld.SpikedMatrix(target=target),
        ld.methods.Optimizer(rule=optax.adam(2e-3, **options), steps=STEPS),
    )
    expected = train(
        w1, w2, squared_error(target), lambda p: torch.optim.Adam(p, lr=2e-3, betas=(0.9, 0.99), eps=1e-6), STEPS
    )
    assert "full width" in run.info.why
    assert run.final.reduced_width == width
    assert_equal_runs(run, *expected)


@pytest.mark.slow
@every_width
def test_equivariant_optax_rule_runs_on_the_reduced_factor(shape, width):
    w1, w2 = layers(shape, width)
    target = target_of(shape)
    run = simulate(
        ld.TwoLayer.from_weights(w1, w2),
        ld.SpikedMatrix(target=target),
        ld.methods.Optimizer(rule=optax.sgd(RATE / 4, momentum=0.9, nesterov=True), steps=STEPS),
    )
    expected = train(
        w1, w2, squared_error(target), lambda p: torch.optim.SGD(p, RATE / 4, momentum=0.9, nesterov=True), STEPS
    )
    assert "reduced factor" in run.info.why
    assert run.final.reduced_width == min(width, sum(shape))
    assert_equal_runs(run, *expected)


def regression_data(shape, samples, seed=3):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, shape[1])) @ (np.eye(shape[1]) + 0.5 * rng.standard_normal((shape[1],) * 2))
    return x, x @ target_of(shape).T + 0.3 * rng.standard_normal((samples, shape[0]))


def regression_loss(x, y, batches=None):
    x, y = tensor(x), tensor(y)

    def loss(a, step):
        rows = slice(None) if batches is None else torch.as_tensor(batches[step])
        return 0.5 * ((x[rows] @ a.T - y[rows]) ** 2).sum(axis=1).mean()

    return loss


@pytest.mark.parametrize("options", [{}, {"momentum": 0.8}], ids=["plain", "momentum"])
@every_width
@pytest.mark.slow
def test_mini_batches(shape, width, options):
    x, y = regression_data(shape, samples=30)
    batches = np.random.default_rng(5).integers(0, 30, (STEPS, 6))
    w1, w2 = layers(shape, width)
    run = simulate(
        ld.TwoLayer.from_weights(w1, w2),
        ld.Regression(x, y),
        ld.GradientDescent(learning_rate=RATE / 4, steps=STEPS, batches=batches, **options),
    )
    loss = regression_loss(x, y, batches)
    assert_equal_runs(run, *train(w1, w2, loss, lambda p: torch.optim.SGD(p, lr=RATE / 4, **options), STEPS))


def other_costs(shape):
    """Pairs of a task and the same cost written in PyTorch."""
    rng, target = np.random.default_rng(7), target_of(shape)
    observed = rng.random(shape) < 0.6
    x, y = regression_data(shape, samples=20)
    x_few, y_few = regression_data(shape, samples=shape[1] - 1)
    return {
        "completion": (
            ld.Completion(target, observed),
            lambda a, _: 0.5 * ((a - tensor(target))[torch.as_tensor(observed)] ** 2).sum(),
        ),
        "regression": (ld.Regression(x, y), regression_loss(x, y)),
        "few-samples": (ld.Regression(x_few, y_few), regression_loss(x_few, y_few)),
        "logcosh": (
            ld.CustomCost(lambda a: jnp.sum(jnp.log(jnp.cosh(a - target))), shape),
            lambda a, _: torch.log(torch.cosh(a - tensor(target))).sum(),
        ),
        "bilinear-logistic": (
            ld.CustomCost(lambda a: jnp.mean(jnp.logaddexp(0, -(x @ a.T) * jnp.sign(y))), shape),
            lambda a, _: torch.nn.functional.softplus(-(tensor(x) @ a.T) * torch.sign(tensor(y))).mean(),
        ),
    }


COSTS = list(other_costs((2, 2)))


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("shape", [WIDE, *(pytest.param(s, marks=pytest.mark.slow) for s in OTHERS)])
def test_gradients_of_the_costs(shape, name):
    task, loss = other_costs(shape)[name]
    a = torch.nn.Parameter(tensor(np.random.default_rng(11).standard_normal(shape)))
    cost = loss(a, 0)
    cost.backward()
    assert float(task.cost(a.detach().numpy())) == pytest.approx(cost.item(), rel=1e-13)
    assert relative(task.gradient(a.detach().numpy()), a.grad.numpy()) < 1e-13


@pytest.mark.parametrize(
    "name", [pytest.param(c, marks=() if c in ("completion", "regression") else pytest.mark.slow) for c in COSTS]
)
@pytest.mark.parametrize("shape", [WIDE])
def test_descent_on_the_other_costs(shape, name):
    task, loss = other_costs(shape)[name]
    w1, w2 = layers(shape, width=40)
    rate = RATE / 4 if name == "few-samples" else RATE  # whose solution is large: a lower stability bound
    run = simulate(ld.TwoLayer.from_weights(w1, w2), task, ld.GradientDescent(learning_rate=rate, steps=STEPS))
    assert_equal_runs(run, *train(w1, w2, loss, lambda p: torch.optim.SGD(p, lr=rate), STEPS))


def test_weights_of_torch_layers_are_taken_as_they_are():
    torch.manual_seed(0)
    first, second = (torch.nn.Linear(*sizes, bias=False, dtype=torch.float64) for sizes in ((7, 60), (60, 4)))
    net = ld.TwoLayer.from_weights(first.weight, second.weight)
    assert relative(net.matrix, (second.weight @ first.weight).detach().numpy()) < 1e-14
    assert relative(net.weights()[0], first.weight.detach().numpy()) < 1e-14


# one hidden unit per input and W2 = 0, so that the steps of W2 show the gradients one by one
def gradients_seen(task, method):
    d_out, d_in = task.shape
    net = ld.TwoLayer.from_weights(np.eye(d_in), np.zeros((d_out, d_in)))
    run = ld.simulate(net, task, method, observables=["w2"])
    return -np.diff(run["w2"], axis=0) / method.learning_rate


@pytest.mark.slow
def test_random_batches_are_uniform_subsets():
    x, y = regression_data((2, 3), samples=5)
    subsets = [(i, j) for i in range(5) for j in range(i)]
    possible = np.array([(-y[list(rows)]).T @ x[list(rows)] / 2 for rows in subsets])
    seen = gradients_seen(ld.Regression(x, y), ld.GradientDescent(learning_rate=1e-10, steps=500, batch_size=2))
    distance = np.linalg.norm(seen[:, None] - possible[None], axis=(2, 3))
    assert distance.min(axis=1).max() < 1e-5  # every gradient is that of two distinct samples
    counts = np.bincount(distance.argmin(axis=1), minlength=len(subsets))
    assert np.sum((counts - 50) ** 2 / 50) < 27.9  # chi-square, 9 degrees of freedom, 0.1 %


@pytest.mark.slow
def test_label_noise_has_its_mean_and_covariance():
    x, y = regression_data((2, 3), samples=8)
    method = ld.GradientDescent(learning_rate=1e-9, steps=1000, label_noise=0.7)
    seen = gradients_seen(ld.Regression(x, y), method)
    noise = (seen + y.T @ x / 8).reshape(-1, 6)
    expected = 0.49 * np.kron(np.eye(2), x.T @ x / 64)
    error = np.sqrt(np.diag(expected) / len(noise))
    assert np.all(np.abs(noise.mean(axis=0)) < 4 * error)
    assert np.linalg.norm(np.cov(noise.T) - expected) < 0.1 * np.linalg.norm(expected)
