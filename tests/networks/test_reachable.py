"""Reachable subspaces: given weights compressed against autograd at full width, Gaussian weights drawn without it."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

import torch
from helpers import torch_reference
from helpers.deep_reference import descend, gaussian_layers
from lindyn.networks.deep_linear import DeepLinear
from lindyn.networks.reachable import GaussianWeights, GivenWeights, compress, draw
from lindyn.solutions.words import Words
from lindyn.support.errors import InvalidArgument


def given(sizes, seed=0, ends=0.3):
    rng = np.random.default_rng(seed)
    variances = [1 / w for w in sizes[1:-1]] + [1.0]
    variances[0], variances[-1] = ends / sizes[1], ends / sizes[-2]
    return gaussian_layers(sizes, variances, rng)


@pytest.mark.slow
def test_reduced_descent_is_autograd_at_full_width():
    weights = given((4, 120, 90, 5))
    target = np.random.default_rng(1).standard_normal((5, 4))
    full = torch_reference.train_layers(
        weights, torch_reference.squared_error(target), lambda p: torch.optim.SGD(p, lr=0.02), 150, every=10
    )
    errors = [
        np.abs(descend(compress(Words.full(3, g), tuple(weights)).layers, target, 0.02, 150, 10) - full).max()
        for g in (2, 4, 6, 8)
    ]
    assert errors[0] > 1e-3  # cut off after two generations it is visibly wrong
    assert errors[1] < errors[0] / 50 and errors[2] < errors[1] / 50 and errors[3] < 1e-9


@pytest.mark.parametrize(
    ("sizes", "generations"),
    [
        ((3, 5), 0),
        ((3, 40, 2), 0),
        ((3, 7, 6, 2), 3),
        ((4, 3, 30, 2), 12),
        ((2, 30, 2, 30, 3), 12),
        ((3, 2, 2, 2, 3), 3),
    ],
)
def test_rectangles_unequal_widths_and_bottlenecks_are_exact_once_the_subspaces_close(sizes, generations):
    weights = given(sizes)
    target = np.random.default_rng(1).standard_normal((sizes[-1], sizes[0]))
    reduced = compress(Words.full(len(sizes) - 1, generations), tuple(weights)).layers
    assert all(r.shape[0] <= w.shape[0] for r, w in zip(reduced, weights, strict=True))
    # 60 steps of products of order 1: rounding
    np.testing.assert_allclose(descend(reduced, target, 0.05, 60), descend(weights, target, 0.05, 60), atol=1e-13)


def test_orthogonal_hidden_layers_close_at_the_inputs_and_outputs():
    rng = np.random.default_rng(0)
    for depth in (3, 5, 8):
        turn = [np.linalg.qr(rng.standard_normal((60, 60)))[0] for _ in range(depth - 2)]
        weights = (rng.standard_normal((60, 4)) / 8, *turn, rng.standard_normal((3, 60)) / 8)
        reduced = compress(Words.full(depth, depth), weights).layers
        assert {w.shape[0] for w in reduced[:-1]} == {7}
        target = rng.standard_normal((3, 4))
        difference = descend(reduced, target, 0.02, 150) - descend(weights, target, 0.02, 150)
        assert np.abs(difference).max() < 1e-12


@pytest.mark.parametrize("sizes", [(3, 2), (3, 5, 2), (2, 9, 7, 3), (4, 3, 100, 2), (2, 50, 40, 60, 3)])
def test_draws_with_one_generation_more_extend_those_with_one_less(sizes):
    words = Words.full(len(sizes) - 1, 3)
    less, more = draw(words, sizes, 7).layers, draw(words.grown(), sizes, 7).layers
    for small, large in zip(less, more, strict=True):
        np.testing.assert_array_equal(small, large[: small.shape[0], : small.shape[1]])


def statistics_of(layers, target, rate, steps):
    """Six numbers of a run: three times, distance to the target and an entry."""
    path = descend(layers, target, rate, steps, steps // 3)[1:]
    return np.concatenate([((path - target) ** 2).sum(axis=(-2, -1)), path[..., 0, 1]])


SIZES = {3: (2, 16, 16, 2), 4: (2, 30, 34, 30, 2)}
TARGET = np.array([[2.0, 0.3], [0.0, 1.0]])


def explicit_statistics(sizes, draws, rng):
    variances = (0.5 / sizes[1], *(1 / w for w in sizes[2:-1]), 0.5 / sizes[-2])
    layers = [np.stack(w) for w in zip(*(gaussian_layers(sizes, variances, rng) for _ in range(draws)), strict=True)]
    return variances, statistics_of(layers, TARGET, 0.06, 30)


@pytest.mark.parametrize("depth", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_drawn_networks_have_the_law_of_explicit_ones(depth):
    rng = np.random.default_rng(depth)
    sizes, draws = SIZES[depth], 400
    variances, exact = explicit_statistics(sizes, draws, rng)
    words = Words.full(depth, 5)
    scales = np.sqrt(variances)

    def drawn(chosen):
        nets = [draw(words, chosen, int(rng.integers(2**62))).layers for _ in range(draws)]
        return [s * np.stack(w) for s, w in zip(scales, zip(*nets, strict=True), strict=True)]

    found = statistics_of(drawn(sizes), TARGET, 0.06, 30)
    p = [ks_2samp(a, b).pvalue for a, b in zip(exact, found, strict=True)]
    assert min(p) > 0.01, p  # six correlated tests of a fixed seed
    wrong = statistics_of(drawn((2, *(2 * w for w in sizes[1:-1]), 2)), TARGET, 0.06, 30)  # σ² of another width
    assert min(ks_2samp(a, b).pvalue for a, b in zip(exact, wrong, strict=True)) < 1e-6


def test_a_width_of_1e15_is_a_width_like_any_other():
    near, far = (draw(Words.full(4, 4), (3, w, w, w, 2), 5).layers for w in (10**14, 10**15))
    for a, b in zip(near[1:-1], far[1:-1], strict=True):  # inner layers in units of σ²w = 1
        assert np.abs(a / 1e7 - b / 10**7.5).max() < 1e-6


def test_full_weights_hold_the_reached_directions_and_have_the_right_spread():
    rng = np.random.default_rng(0)
    words, sizes = Words.full(3, 1), (2, 60, 50, 3)
    recipe = GaussianWeights(sizes, (1.0, 2.0, 3.0), 9)
    reached = recipe.reach(words)
    frames = tuple(
        np.linalg.qr(rng.standard_normal((w, r.shape[0])))[0].T
        for w, r in zip(sizes[1:], reached.layers[:-1], strict=False)
    )
    rest = recipe.beyond(words, reached, frames, rng)
    full = []
    for layer, below, above, more in zip(reached.layers, (None, *frames), (*frames, None), rest, strict=True):
        inside = layer if above is None else above.T @ layer
        full.append((inside if below is None else inside @ below) + more)
    again = compress(words, tuple(full)).layers
    for found, held in zip(again, reached.layers, strict=True):  # bases of the same subspaces
        np.testing.assert_allclose(np.linalg.svd(found)[1], np.linalg.svd(held)[1], rtol=1e-9)
    # 3,000 entries of W_2: the mean square is 4 to √(2/3000), four deviations
    assert abs(np.mean(full[1] ** 2) / 4 - 1) < 0.11


def test_given_weights_are_their_reached_part_and_the_rest():
    weights = tuple(given((3, 40, 30, 2)))
    recipe, words = GivenWeights(weights), Words.full(3, 1)
    reached = recipe.reach(words)
    rest = recipe.beyond(words, reached, reached.frames, np.random.default_rng(0))
    q1, q2 = reached.frames
    np.testing.assert_allclose(q2.T @ reached.layers[1] @ q1 + rest[1], weights[1], atol=1e-14)
    assert np.abs(rest[0]).max() < 1e-14 and np.abs(rest[2]).max() < 1e-14


@pytest.mark.slow
def test_five_layers_hold_the_words_that_matter_or_say_how_many_units_they_need():
    net = DeepLinear.gaussian(4, depth=5, width=10**9, variance=1e-9, tolerance=1e-4)
    every = Words.full(5, net.words.generations).units((4, 4))
    assert max(net.reduced_widths) < 0.5 * max(every)
    with pytest.raises(InvalidArgument, match=r"`tolerance` must be large enough for 2,120,000 hidden units"):
        DeepLinear.gaussian(20_000, depth=5, width=10**9, variance=1e-9, tolerance=1e-4)
