"""Input geometry at the start: against differences of descent, and against averages over plain Gaussian draws."""

from itertools import pairwise

import numpy as np
import pytest

import lindyn as ld
from helpers.reference import relative
from helpers.refusals import refused
from lindyn.prediction import average_start_geometry, start_geometry

RNG = np.random.default_rng(0)
LAW = ld.networks.Parametrization("Gaussian", 3, variance_in=0.5, variance_out=2.0)


@pytest.mark.parametrize("depth", [2, 3])
def test_the_velocity_is_the_difference_of_one_small_step(depth):
    """Of plain layers in NumPy; a step of 1e-6 leaves an error of that order."""
    sizes, front, target = (3, *(4,) * (depth - 1), 2), RNG.standard_normal((3, 5)), RNG.standard_normal((2, 5))
    layers = [RNG.standard_normal((b, a)) for a, b in pairwise(sizes)]
    task = ld.tasks.Filtered(ld.SpikedMatrix(target=target), front_end=front)
    found = start_geometry(ld.DeepLinear.from_weights(layers, generations=9, tolerance=np.inf), task)

    def product(parts):
        return np.linalg.multi_dot([*parts[::-1], front])

    def geometry(parts):
        return product(parts).T @ product(parts)

    gradient, step = (product(layers) - target) @ front.T, 1e-6
    moved = []
    for k, layer in enumerate(layers):
        above, below = np.eye(2), np.eye(3)
        for w in layers[k + 1 :][::-1]:
            above = above @ w
        for w in layers[:k]:
            below = w @ below
        moved.append(layer - step * above.T @ gradient @ below.T)
    assert relative(found.matrix, geometry(layers)) < 1e-12
    assert relative(found.velocity, (geometry(moved) - geometry(layers)) / step) < 1e-3


@pytest.mark.slow
def test_the_averages_are_those_of_plain_gaussian_layers():
    """200,000 draws: standard error 0.4 % of the velocity and 0.2 % of the geometry."""
    n, front = 200_000, RNG.standard_normal((2, 3))
    s = np.cov(RNG.standard_normal((3, 8)))
    target = RNG.standard_normal((2, 3))
    w1, w2 = np.sqrt(0.5) * RNG.standard_normal((n, 3, 2)), np.sqrt(2.0) * RNG.standard_normal((n, 2, 3))
    jacobian = w2 @ w1 @ front
    gradient = (jacobian - target) @ s @ front.T
    change = -(w2 @ w2.transpose(0, 2, 1) @ gradient + gradient @ w1.transpose(0, 2, 1) @ w1) @ front
    half = np.einsum("nij,nik->jk", change, jacobian) / n
    found = average_start_geometry(LAW, s, 2, front_end=front)
    assert relative(found.matrix, np.einsum("nij,nik->jk", jacobian, jacobian) / n) < 0.02
    assert relative(found.velocity, half + half.T) < 0.03


def test_the_wide_limit_shrinks_along_the_data_that_passes():
    """Δ → −(4τ/g₀) G S G with an error of order d/w (15.2)."""
    s, front = np.cov(RNG.standard_normal((4, 20))), RNG.standard_normal((3, 4))
    for width in (10**3, 10**6):
        law = ld.laws.standard(width=width, variance=width**-0.5)
        found = average_start_geometry(law, s, 2, front_end=front)
        limit = -4 * law.threshold / (2 * law.start_variance) * found.matrix @ s @ found.matrix
        assert relative(found.velocity, limit) < 10 / width


@refused(
    [
        (lambda: average_start_geometry(LAW, [[1.0, 2.0], [0.0, 1.0]], 2), "covariance", "symmetric"),
        (lambda: average_start_geometry(LAW, np.eye(2), 0), "d_out", "at least 1"),
        (lambda: average_start_geometry(LAW, np.eye(2), 1, front_end=np.eye(3)), "front_end", "shape"),
        (lambda: average_start_geometry(ld.laws.pytorch_default((2, 2), width=4), np.eye(2), 2), "law", "be normal"),
        (
            lambda: start_geometry(ld.TwoLayer.gaussian(3, 9, 0.1), ld.SpikedMatrix(target=np.eye(2))),
            "network",
            "the task's shape",
        ),
    ]
)
def test_what_does_not_fit_is_refused(refusal):
    refusal.check()
