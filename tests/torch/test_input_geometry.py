"""The average geometry of torch models: against explicit Jacobians, for known architectures, and refusals."""

import numpy as np
import pytest

import lindyn as ld
import torch
from helpers.refusals import refused
from lindyn.torch import average_geometry
from torch import nn

X = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FRONT = np.random.default_rng(0).standard_normal((4, 6))


def network(outputs=2):
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(), nn.Linear(8, outputs)).double()


def test_it_is_the_mean_of_explicit_jacobians():
    def jacobians(seed):
        torch.manual_seed(seed)
        model = network().eval()
        return [torch.autograd.functional.jacobian(lambda v, m=model: m(v[None])[0], x) for x in X]

    every = [(j.T @ j).numpy() for seed in (7, 8, 9) for j in jacobians(seed)]
    before = torch.random.get_rng_state()
    found = average_geometry(network, X, draws=3, seed=7)
    assert torch.equal(before, torch.random.get_rng_state())
    np.testing.assert_allclose(found.matrix, np.mean(every, axis=0), rtol=1e-10)
    means = [np.mean(every[k : k + 5], axis=0) for k in (0, 5, 10)]
    error = np.sqrt(sum(np.sum((m - found.matrix) ** 2) for m in means) / 3 / 2) / np.linalg.norm(found.matrix)
    assert found.error == pytest.approx(error, rel=1e-9)


def test_a_linear_network_behind_a_front_end_has_the_geometry_of_the_formula():
    """(15.1): wσ₁²σ₂²d_out BᵀB; within four standard errors."""

    def model():
        front, first, second = (nn.Linear(a, b, bias=False).double() for a, b in ((6, 4), (4, 20), (20, 3)))
        front.weight = nn.Parameter(torch.tensor(FRONT))
        nn.init.normal_(first.weight, std=0.5)
        nn.init.normal_(second.weight, std=0.2)
        return nn.Sequential(front, first, second)

    law = ld.networks.Parametrization("Gaussian", 20, variance_in=0.25, variance_out=0.04)
    exact = ld.prediction.average_start_geometry(law, np.eye(6), 3, front_end=FRONT).matrix
    found = average_geometry(model, X[:1], draws=300)
    assert np.linalg.norm(found.matrix - exact) < 4 * found.error * np.linalg.norm(exact)
    assert found.error < 0.1
    assert found.alignment(exact) > 0.99
    assert (found.eigenvalues[4:] < 1e-12 * found.eigenvalues[0]).all()
    blind = np.linalg.svd(FRONT)[2][4:]
    assert found.share_out_of_reach(blind.T @ blind) == pytest.approx(1)
    assert found.share_out_of_reach(np.eye(6)) == pytest.approx(2 / 6)


def test_a_trained_model_is_read_as_it_is_and_left_as_it_was():
    model = network()
    found = average_geometry(lambda: model, X, draws=1)
    assert np.isnan(found.error)
    assert all(m.training for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert found.effective_rank <= 6
    assert "6 directions" in repr(found)


@refused(
    [
        (lambda: average_geometry(network, X.long()), "inputs", "torch.int64"),
        (lambda: average_geometry(network, X[0]), "inputs", "shape (6,)"),
        (lambda: average_geometry(network, X, draws=0), "draws", "at least 1"),
        (lambda: average_geometry(lambda: 3, X), "factory", "it makes int"),
        (lambda: average_geometry(lambda: nn.Sequential(nn.Flatten(0)), X), "factory", "a tensor of 5 rows"),
        (lambda: average_geometry(lambda: nn.Threshold(1e9, 0.0), X), "factory", "depend on their inputs"),
        (lambda: average_geometry(network, X, draws=2).alignment(np.zeros((6, 6))), "covariance", "it is zero"),
        (lambda: average_geometry(network, X, draws=2).alignment(np.eye(5)), "covariance", "shape"),
        (lambda: average_geometry(network, X, draws=2).share_out_of_reach(np.eye(6), slower=1), "slower", "greater"),
    ]
)
def test_what_does_not_fit_is_refused(refusal):
    refusal.check()
