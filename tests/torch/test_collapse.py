"""Neural collapse and balancedness: against direct computation, the exact recursion, and a run that collapses."""

import math

import numpy as np
import pytest

import lindyn as ld
import torch
from lindyn.torch import balancedness, neural_collapse
from torch import nn


def classifier(head=3, d=12, hidden=16, classes=4, bias=False):
    torch.manual_seed(0)
    layers = [nn.Linear(d, hidden), nn.ReLU()]
    layers += [nn.Linear(hidden, hidden, bias=bias) for _ in range(head - 1)]
    return nn.Sequential(*layers, nn.Linear(hidden, classes, bias=bias)).double()


def data(classes=4, each=6, d=12):
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(classes).repeat(each)
    centres = torch.randn(classes, d, generator=generator, dtype=torch.float64)
    return centres[labels] + 0.3 * torch.randn(classes * each, d, generator=generator, dtype=torch.float64), labels


def descend(model, inputs, labels, *, rate, decay, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, weight_decay=decay)
    targets = nn.functional.one_hot(labels).double()
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (model(inputs) - targets).square().sum() / len(labels)).backward()
        optimizer.step()


def direct(model, inputs, labels):
    """NC1, NC2, NC3 from their definitions, sample by sample."""
    z = model[:-1](inputs).detach().numpy()
    k = labels.numpy()
    means = np.array([z[k == c].mean(0) for c in range(4)])
    within = sum(np.sum((z[i] - means[k[i]]) ** 2) for i in range(len(z)))
    between = sum(np.sum((means[c] - z.mean(0)) ** 2) for c in k)
    w = model[-1].weight.detach().numpy()
    cosines = [w[c] @ means[c] / np.linalg.norm(w[c]) / np.linalg.norm(means[c]) for c in range(4)]
    return within / between, np.linalg.cond(means), np.mean(cosines)


@pytest.mark.parametrize("bias", [False, True])
def test_measures_are_their_definitions_in_one_batch_and_in_many(bias):
    model, (inputs, labels) = classifier(bias=bias), data()
    found = neural_collapse(model, (inputs, labels))
    assert (found.nc1, found.nc2, found.nc3) == pytest.approx(direct(model, inputs, labels), rel=1e-9)
    assert (found.classes, found.samples, found.linear_layers) == (4, 24, 2)
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=5)
    in_batches = neural_collapse(model, batches)
    assert in_batches.nc1 == pytest.approx(found.nc1, rel=1e-9)
    assert in_batches.certificate == pytest.approx(found.certificate, rel=1e-6)


@pytest.mark.slow
def test_the_certificate_bounds_nc1_at_every_step_and_comes_near_at_the_end():
    model, (inputs, labels) = classifier(), data()
    assert neural_collapse(model, (inputs, labels)).certificate >= neural_collapse(model, (inputs, labels)).nc1
    for _ in range(12):
        descend(model, inputs, labels, rate=0.2, decay=4e-3, steps=250)
        found = neural_collapse(model, (inputs, labels))
        assert found.certificate >= found.nc1
    assert found.nc1 < 0.02
    assert found.certificate < 5 * found.nc1  # the number to meet of (11.7)
    assert 1 <= found.nc2 < 2
    condition = np.linalg.cond(model[-1].weight.detach().numpy())
    assert found.nc2 == pytest.approx(condition, rel=0.06)  # (11.6) at interpolation, here up to the training error
    assert found.nc3 > 2 * condition / (1 + condition**2) - 0.01  # Kantorovich


def test_one_linear_layer_has_no_certificate():
    model, (inputs, labels) = classifier(head=1), data()
    found = neural_collapse(model, (inputs, labels))
    assert found.certificate == math.inf
    assert found.linear_layers == 1


def test_balancedness_obeys_the_exact_recursion_of_descent():
    """(11.2): D ← (1 − ημ)²D + η²(∇₂ᵀ∇₂ − ∇₁∇₁ᵀ), checked in norm for a linear pair behind a ReLU."""
    rate, decay = 0.1, 0.01
    model, (inputs, labels) = classifier(), data()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, weight_decay=decay)
    first, second = model[3], model[4]

    def imbalance():
        return (second.weight.T @ second.weight - first.weight @ first.weight.T).detach()

    wanted = imbalance()
    for _ in range(50):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        g1, g2 = first.weight.grad.clone(), second.weight.grad.clone()
        wanted = (1 - rate * decay) ** 2 * wanted + rate**2 * (g2.T @ g2 - g1 @ g1.T)
        optimizer.step()
        pair = balancedness(model)[-1]
        assert pair.size == pytest.approx(float(wanted.norm()), rel=1e-12)
    assert (pair.first, pair.second, pair.across) == ("3", "4", "linear")


def test_across_a_relu_only_the_diagonal_is_balanced_and_the_bias_counts():
    model, (inputs, labels) = classifier(), data()
    before = {(p.first, p.across): p for p in balancedness(model)}
    assert set(before) == {("0", "ReLU"), ("2", "linear"), ("3", "linear")}
    w1, b, w2 = model[0].weight.detach(), model[0].bias.detach(), model[2].weight.detach()
    diagonal = (w2**2).sum(0) - (w1**2).sum(1) - b**2
    assert before["0", "ReLU"].size == pytest.approx(float(diagonal.norm()), rel=1e-12)
    descend(model, inputs, labels, rate=0.02, decay=0.05, steps=500)
    after = {(p.first, p.across): p for p in balancedness(model)}
    for key, pair in after.items():  # e^{−2μt}, t = 10, to first order in the rate
        assert pair.size / before[key].size == pytest.approx(math.exp(-2 * 0.05 * 10), rel=0.03)


@pytest.mark.parametrize(
    ("act", "name", "part"),
    [
        (lambda: neural_collapse(nn.Sequential(nn.ReLU()), data()), "model", "it has none"),
        (lambda: neural_collapse(classifier(), (data()[0], torch.zeros(24, dtype=int))), "data", "two classes"),
        (lambda: neural_collapse(classifier(), (data()[0], data()[1] + 3)), "data", "labels 0 … 3"),
        (lambda: neural_collapse(classifier(), (data()[0], data()[1][:5])), "data", "one label for each row"),
        (lambda: neural_collapse(classifier(), []), "data", "it is empty"),
        (lambda: neural_collapse(classifier(), 3), "data", "it is int"),
        (lambda: balancedness(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))), "model", "it holds none"),
    ],
)
def test_refusals(act, name, part):
    with pytest.raises(ld.InvalidArgument, match=part) as caught:
        act()
    assert caught.value.name == name


def test_a_model_in_training_mode_stays_in_it_and_keeps_no_hooks():
    model = classifier()
    model[1].eval()
    neural_collapse(model, data())
    assert model.training and not model[1].training
    assert not any(m._forward_hooks for m in model.modules())
