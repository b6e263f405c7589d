"""Kunin et al.: the table of kernel distances, the two notes on published material, and the ReLU student."""

import numpy as np
import pytest

import lindyn as ld
import torch
from lindyn.papers.kunin2024 import neuron
from lindyn.papers.two_layer_relu import Change, kernel, train

START, TARGET = np.array([-1.0, 0.0]), np.array([0.0, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("balance", "distance"),
    [(-4.0, 0.8947), (-2.0, 0.7133), (-1.0, 0.4864), (0.0, 0.2), (1.0, 0.0501), (2.0, 0.0124), (4.0, 0.0015)],
)
def test_final_kernel_distances_are_those_of_the_explicit_kernel(balance, distance):
    net = neuron(balance, START)
    task = ld.SpikedMatrix(target=TARGET[None, :])
    run = ld.simulate(net, task, ld.ClosedForm(), times=[0.0, 200.0], observables="ntk_distance")
    # the kernel of a wᵀx in the features is a²I + wwᵀ; at the end w is TARGET/a
    first, last = (w[1] ** 2 * np.eye(2) + np.outer(w[0], w[0]) for w in ends(net))
    explicit = 1 - np.sum(first * last) / (np.linalg.norm(first) * np.linalg.norm(last))
    assert abs(run["ntk_distance"][-1] - explicit) < 1e-9
    assert abs(explicit - distance) < 1e-4  # the table has four digits


def ends(net):
    a, (w,) = float(net.w2[0, 0]), net.w1
    conserved = a**2 - w @ w
    last = np.sqrt((conserved + np.hypot(conserved, 2)) / 2)
    return (w, a), (TARGET / last, last)


def test_the_published_kernel_distance_has_the_first_output_weight_in_the_later_norm():
    net, times = neuron(0.0, START), np.linspace(0, 20, 2001)
    exact = ld.solutions.NarrowSolution(TARGET[None, :], net.w1, net.w2)
    layers = [exact.factors(time) for time in times]
    w, a = np.array([first[0] for first, _ in layers]), np.array([second[0, 0] for _, second in layers])
    inner = 2 * a[0] ** 2 * a**2 + a[0] ** 2 * (w**2).sum(1) + a**2 * (w[0] @ w[0]) + (w @ w[0]) ** 2
    square = (w**2).sum(1)

    def distance(other):
        norm = np.sqrt(2 * a**4 + 2 * other**2 * square + square**2)
        return 1 - inner / (norm[0] * norm)

    assert abs(distance(a).max() - 0.200) < 5e-4
    assert abs(distance(a[0]).max() - 0.218) < 5e-4  # a₀ where a(t) belongs
    assert abs(distance(a[0])[-1] - distance(a)[-1]) < 1e-6  # the ends agree, since a(∞) = a(0)


@pytest.mark.slow
def test_upstream_is_positive_delta():
    """Rapid change of activations at a small change of the parameters, as the paper says of upstream starts."""
    up, down = (train(0.1, balance, 0, 100) for balance in (1.0, -1.0))
    assert up.hamming > 50 * down.hamming
    assert up.parameters < 2 * down.parameters


def test_the_relu_student_trains_as_in_pytorch():
    settings = {"samples": 30, "inputs": 5, "neurons": 6, "rate": 0.05}
    still = train(0.5, 0.3, 1, 0, **settings)
    assert still == Change(pytest.approx(0, abs=1e-12), 0.0, 0.0)
    found = train(0.5, 0.3, 1, 40, **settings)
    # the same draws in the same order
    rng = np.random.default_rng(1)

    def on_sphere(rows):
        x = rng.standard_normal((rows, 5))
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    teacher, signs, x = on_sphere(3), rng.choice([-1.0, 1.0], 3), on_sphere(30)
    directions, a_signs = on_sphere(3), rng.choice([-1.0, 1.0], 3)
    a_size = np.sqrt((0.3 + np.sqrt(0.3**2 + 4 * 0.5**4)) / 2)
    w = torch.tensor(np.tile(directions * 0.25 / a_size, (2, 1)), requires_grad=True)
    a = torch.tensor(np.concatenate([a_size * a_signs, -a_size * a_signs]), requires_grad=True)
    start, inputs = (w.detach().clone(), a.detach().clone()), torch.tensor(x)
    y = torch.relu(inputs @ torch.tensor(teacher).T) @ torch.tensor(signs)
    optimiser = torch.optim.SGD([w, a], lr=0.05 / 0.25)
    for _ in range(40):
        optimiser.zero_grad()
        ((torch.relu(inputs @ w.T) @ a - y) ** 2).mean().backward()
        optimiser.step()
    moved = torch.sqrt(((w - start[0]) ** 2).sum() + ((a - start[1]) ** 2).sum())
    assert abs(found.parameters - float(moved.detach())) < 1e-12

    def features(w, a):
        w, a = (p.detach().clone().requires_grad_() for p in (w, a))
        rows = [torch.autograd.grad(torch.relu(one @ w.T) @ a, (w, a)) for one in inputs]
        return np.stack([np.concatenate([g.numpy().ravel() for g in row]) for row in rows])

    explicit = [f @ f.T for f in (features(*start), features(w, a))]
    np.testing.assert_allclose(kernel(x, w.detach().numpy(), a.detach().numpy()), explicit[1], atol=1e-12)
    aligned = np.sum(explicit[0] * explicit[1]) / (np.linalg.norm(explicit[0]) * np.linalg.norm(explicit[1]))
    assert abs(found.kernel - (1 - aligned)) < 1e-12
