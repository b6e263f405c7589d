"""How far a model is from linear: against the formula of two layers, finite differences, and refusals."""

import copy

import numpy as np
import pytest

import lindyn as ld
import torch
from lindyn.torch import distance_from_linear
from torch import nn


def leaky(slope, inplace=False):
    torch.manual_seed(0)
    layers = nn.Linear(4, 7, bias=False), nn.LeakyReLU(slope, inplace), nn.Linear(7, 2, bias=False)
    return nn.Sequential(*layers).double()


X = torch.randn(50, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_leaky_network_of_two_layers_is_its_formula(inplace):
    model, epsilon = leaky(0.8, inplace), 0.2
    w1, w2 = (model[k].weight.detach().numpy() for k in (0, 2))
    read = X.numpy() @ w1.T
    linear, change = read @ w2.T, epsilon * -np.minimum(read, 0) @ w2.T
    found = distance_from_linear(model, X)
    ratio = np.linalg.norm(change) / np.linalg.norm(linear)
    assert (found.first_order, found.exact) == pytest.approx((ratio, ratio), rel=1e-12)  # one hidden layer: no ε²
    assert found.rest < 1e-12
    assert found.activations == ("1",)


def test_first_order_is_the_derivative_as_the_activations_are_switched_on():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 1)).double()
    found = distance_from_linear(model, X)

    def at(a):
        h = X
        for layer in model:
            h = layer(h) if isinstance(layer, nn.Linear) else h + a * (layer(h) - h)
        return h.detach()

    step = 1e-5
    slope = (at(step) - at(-step)) / (2 * step)
    assert found.first_order == pytest.approx(float(slope.norm() / at(0.0).norm()), rel=1e-8)  # step², rounding/step
    assert found.exact == pytest.approx(float((at(1.0) - at(0.0)).norm() / at(0.0).norm()), rel=1e-12)
    rest = float((at(1.0) - at(0.0) - slope).norm() / at(0.0).norm())
    assert found.rest == pytest.approx(rest, rel=1e-8)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.ReLU(), nn.Linear(6, 1)).double()
    model[0].eval()
    before = copy.deepcopy(model.state_dict())
    assert distance_from_linear(model, X).exact == distance_from_linear(model, X).exact  # no dropout
    assert [m.training for m in model] == [False, True, True, True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.unit = nn.Linear(4, 4).double(), nn.ReLU()

    def forward(self, x):
        return torch.sin(3 * self.unit(self.first(x)))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.unit = nn.ReLU()

    def forward(self, x):
        return self.unit(x), x


@pytest.mark.parametrize(
    ("model", "inputs", "text"),
    [
        (nn.Linear(4, 1).double(), X, "it has none of the classes asked for"),
        (Hidden(), X, "affine without its activations, but a midpoint is missed"),
        (Pair(), X, "return a tensor"),
        (leaky(0.5), X[:1], "at least two samples"),
        (leaky(0.5), X.numpy(), "be a tensor"),
    ],
)
def test_what_cannot_be_told_is_refused(model, inputs, text):
    with pytest.raises(ld.InvalidArgument, match=text):
        distance_from_linear(model, inputs)
