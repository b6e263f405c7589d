"""Signal and noise patches: against full descent in PyTorch, draws in d dimensions, and test data."""

import math

import numpy as np
import pytest

import lindyn as ld
import torch
from helpers.reference import relative
from lindyn.networks import PatchReLU
from lindyn.prediction import small_loss_split
from lindyn.tasks import SignalNoise

RNG = np.random.default_rng(0)
N, D, M = 12, 40, 3
MEAN = 2.0 * RNG.standard_normal(D)
PATCHES, WEIGHTS = RNG.standard_normal((N, D)), 0.1 * RNG.standard_normal((2 * M, D))
TRUTH = np.where(np.arange(N) % 2 == 0, 1.0, -1.0)
LABELS = TRUTH * np.where(np.arange(N) < 3, -1, 1)


def outputs(weights, truth, patches):
    read = torch.relu(weights @ torch.outer(torch.tensor(MEAN), truth)) + torch.relu(weights @ patches.T)
    return read[:M].mean(0) - read[M:].mean(0)


def full(steps, rate):
    w = torch.tensor(WEIGHTS, requires_grad=True)
    truth, labels, patches = (torch.tensor(v) for v in (TRUTH, LABELS, PATCHES))
    losses = []
    for step in range(steps + 1):
        loss = torch.nn.functional.softplus(-labels * outputs(w, truth, patches)).mean()
        losses.append(float(loss.detach()))
        if step < steps:
            (slope,) = torch.autograd.grad(loss, w)
            w = (w - rate * slope).detach().requires_grad_()
    return w.detach(), losses


@pytest.mark.slow
def test_reduced_descent_is_descent_of_all_weights_by_torch():
    task, start = SignalNoise.from_arrays(MEAN, PATCHES, LABELS, LABELS != TRUTH, WEIGHTS)
    method = ld.GradientDescent(learning_rate=0.05, steps=30)
    run = ld.simulate(
        PatchReLU.from_weights(start), task, method, observables=["cost", "learned_signal", "accuracy_flipped"]
    )
    w, losses = full(30, 0.05)
    assert relative(run["cost"], losses) < 1e-12  # rounding of 30 steps
    held = run.final.layers[0]
    assert relative(held @ held.T, (w @ w.T).numpy()) < 1e-12
    # γ by least squares on the full weights
    moved = np.linalg.lstsq(np.column_stack([MEAN, PATCHES.T]), (w.numpy() - WEIGHTS).T)[0][0] * (MEAN @ MEAN)
    assert relative(run["learned_signal"][-1], moved * np.repeat([1, -1], M)) < 1e-10
    right = (outputs(w, torch.tensor(TRUTH), torch.tensor(PATCHES)).numpy() * LABELS > 0)[:3]
    assert run["accuracy_flipped"][-1] == pytest.approx(right.mean())


@pytest.mark.slow
def test_the_test_error_is_that_of_fresh_samples():
    task, start = SignalNoise.from_arrays(MEAN, PATCHES, LABELS, LABELS != TRUTH, WEIGHTS)
    truth = torch.tensor(np.where(np.arange(40_000) % 2 == 0, 1.0, -1.0))
    fresh = torch.tensor(np.random.default_rng(1).standard_normal((40_000, D)))
    error = float((outputs(torch.tensor(WEIGHTS), truth, fresh) * truth <= 0).double().mean())
    # two samples of 40,000: four standard errors of their difference
    assert float(task.test_error(start)) == pytest.approx(error, abs=4 * math.sqrt(2 * error * (1 - error) / 40_000))


def test_drawn_coordinates_have_the_moments_of_drawn_vectors_in_any_dimension():
    for dim in (5, 60, 10**12):
        task = SignalNoise(20, dim, 0.3, neurons=2, noise=2.0, key=0)
        gram = task.patches @ task.patches.T / (4 * dim)
        # ⟨ξ_i, ξ_j⟩/(σ²d) = δ_ij ± √((1 + δ_ij)/d): five standard deviations over 210 pairs
        assert np.abs(gram - np.eye(20)).max() < 5 * math.sqrt(2 / dim)
        start = task.start(1.0, key=1)
        assert np.abs(start @ start.T / dim - np.eye(4)).max() < 5 * math.sqrt(2 / dim)
    assert task.size == pytest.approx(0.3 * 2.0 * 1e6)


@pytest.mark.slow
def test_the_curvature_is_a_bound():
    task, start = SignalNoise.from_arrays(MEAN, PATCHES, LABELS, LABELS != TRUTH, WEIGHTS)
    step = 1e-4 * np.random.default_rng(0).standard_normal((4, *start.shape))
    slope = task.gradient(start)
    assert max(np.linalg.norm(task.gradient(start + s) - slope) / np.linalg.norm(s) for s in step) < task.curvature()


@pytest.mark.slow
def test_coefficients_that_are_not_unique_are_refused():
    task = SignalNoise(20, 10, 1.0, neurons=2)
    net, one = PatchReLU.gaussian(task), ld.GradientDescent(learning_rate=0.1, steps=1)
    with pytest.raises(ld.InvalidArgument, match="21 vectors in 10 dimensions have no unique coefficients"):
        ld.simulate(net, task, one, observables="memorisation")
    assert ld.simulate(net, task, one, observables="test_error").completed


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: SignalNoise(1, 10, 1.0), "samples"),
        (lambda: SignalNoise(10, 10, 0.0), "snr"),
        (lambda: SignalNoise(10, 10, 1.0, 0.5), "flip"),
        (lambda: SignalNoise.from_arrays(MEAN, PATCHES, 0.5 * LABELS, LABELS != TRUTH, WEIGHTS), "labels"),
        (
            lambda: SignalNoise.from_arrays(MEAN[:15], PATCHES[:, :15], LABELS, LABELS != TRUTH, WEIGHTS[:, :15]),
            "weights",
        ),
        (lambda: small_loss_split([0.1, -1.0]), "losses"),
    ],
)
def test_what_has_no_meaning_is_refused(call, name):
    with pytest.raises(ld.InvalidArgument, match=name):
        call()


def test_a_split_of_one_side_has_no_gap():
    assert math.isnan(small_loss_split([0.1, 0.2]).gap)
    assert small_loss_split([0.1, 1.5, 0.3], level=1.0).gap == pytest.approx(1.2)


def test_neurons_drawn_in_another_dimension_are_refused():
    one, other = (ld.tasks.SignalNoise(samples=10, dim=d, snr=0.3, flip=0.2, key=0) for d in (100, 10**12))
    net = ld.networks.PatchReLU.gaussian(one, key=1)
    with pytest.raises(ld.InvalidArgument, match="drawn in 100 dimensions, and the patches have 1e"):
        ld.simulate(net, other, ld.GradientDescent(learning_rate=0.1, steps=2))
    assert ld.simulate(net, one, ld.GradientDescent(learning_rate=0.1 * one.pace, steps=2)).completed
