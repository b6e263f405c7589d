"""Random streams: equal seeds give independent draws, whatever they are for."""

from itertools import combinations, product

import numpy as np
import pytest
import scipy.signal

import lindyn as ld
import torch
from lindyn.support.randomness import PURPOSES, stream
from lindyn.torch import mixed_init_

SIZE = 48
SEEDS = {"seed": lambda: 0, "generator": lambda: np.random.default_rng(0)}


def draws(key):
    """(purpose, what) → what the package draws from a seed, in the units of the numbers drawn."""
    spiked = ld.SpikedMatrix(dim=SIZE, rank=4, key=key())
    narrow = ld.TwoLayer.gaussian(SIZE, width=4, variance=1.0, key=key())
    uniform = ld.networks.Parametrization("uniform", SIZE, 1.0, 1.0, distribution="uniform")
    layers = [torch.nn.Linear(SIZE, 3 * SIZE, bias=False), torch.nn.Linear(3 * SIZE, SIZE, bias=False)]
    mixed_init_(*layers, threshold=0.5, generator=torch.Generator().manual_seed(0))
    return {
        ("signal", "signal"): spiked.signal,
        ("noise", "noise"): spiked.target - spiked.signal,
        ("signal", "singular vectors"): ld.SpikedMatrix(
            dim=SIZE, singular_values=[3.0, 2.0], noise=0.0, key=key()
        ).signal,
        ("entries", "observed entries"): spiked.observe(0.5, key=key()).observed - 0.5,
        ("weights", "product of the layers"): narrow.matrix,
        ("weights", "layers"): narrow.factor,
        ("weights", "layers as wide as d_in + d_out"): ld.TwoLayer.gaussian(
            SIZE, width=2 * SIZE, variance=1.0, key=key()
        ).factor,
        ("weights", "reduced layers"): ld.TwoLayer.gaussian(SIZE, width=10**9, variance=1.0, key=key()).factor,
        ("weights", "uniform layers"): ld.TwoLayer.parametrized(SIZE, uniform, key=key()).factor,
        ("weights", "LoRA"): ld.TwoLayer.lora(SIZE, rank=8, variance=1.0, key=key()).w1,
        ("frame", "frame"): ld.TwoLayer.orthogonal(SIZE, threshold=0.5, width=3 * SIZE).weights(key=key())[0],
        ("directions", "directions"): ld.TwoLayer.balanced(SIZE, threshold=0.5, width=8, key=key()).w1,
        ("starts", "mixed start"): ld.networks.mixed_weights(SIZE, 8, threshold=0.5, key=key())[0],
        ("starts", "wide mixed start"): ld.networks.mixed_weights(SIZE, 3 * SIZE, threshold=0.5, key=key())[0],
        ("PyTorch", "start in PyTorch"): layers[0].weight.detach().numpy(),
        ("cells", "cells of a diagram"): stream("seeds", 0, "cells", 1, 2).standard_normal((SIZE, SIZE)),
    }


def likeness(a, b):
    """Largest correlation of two sequences of numbers at any shift, and the share of numbers that stand in both."""
    a, b = np.ravel(a), np.ravel(b)
    correlation = np.abs(scipy.signal.correlate(a, b, method="fft")).max() / (np.linalg.norm(a) * np.linalg.norm(b))
    digits = [np.round(np.abs(v[v != 0]), 12) for v in (a, b)]
    shared = np.intersect1d(*digits).size if min(np.unique(d).size for d in digits) > 10 else 0
    return float(correlation), shared


@pytest.mark.parametrize("key", SEEDS.values(), ids=SEEDS)
def test_nothing_drawn_from_one_seed_is_like_anything_else_drawn_from_it(key):
    """Also transposed: A(0) of layers and A* of a task that share a stream are transposes of one another.

    The bound is eight deviations of the correlation of independent numbers, 1/√(their number): 10⁶ shifts and pairs
    are tried.
    """
    drawn = draws(key)
    for (one, a), (other, b) in combinations(drawn.items(), 2):
        for x in (a, a.T) if one[0] != other[0] else ():  # networks of two widths from one seed may share numbers
            correlation, shared = likeness(x, b)
            assert correlation < 8 / np.sqrt(min(a.size, b.size)), (one, other)
            assert shared == 0, (one, other)


def test_the_test_finds_a_shared_stream():
    """Of a 48 × 48 noise 15 % stand again in wide layers drawn from the same seed: found by either measure."""
    plain = np.random.default_rng(0).standard_normal((SIZE, SIZE))
    left, right = np.random.default_rng(0).standard_normal((2, SIZE, 4))
    first, second = np.random.default_rng(0).standard_normal((2, SIZE, 4))
    assert likeness((left @ right.T).T, 0.3 * second @ first.T)[0] == pytest.approx(1)
    lower = np.tril(np.random.default_rng(0).standard_normal((2 * SIZE, 2 * SIZE)), -1)
    assert likeness(plain, lower)[1] > 0.1 * plain.size


def test_streams_of_all_purposes_and_neighbouring_seeds_are_independent():
    keys = [(purpose, seed, place) for purpose, seed, place in product(PURPOSES, (0, 1), ((), (0,), (1, 2)))]
    drawn = [stream("key", seed, purpose, *place).standard_normal(4000) for purpose, seed, place in keys]
    correlations = np.corrcoef(drawn)[np.triu_indices(len(drawn), 1)]
    assert np.abs(correlations).max() < 5.5 / np.sqrt(4000)  # of 2,000 pairs
    assert np.std(correlations) * np.sqrt(4000) == pytest.approx(1, abs=0.05)


def test_a_seed_repeats_and_a_generator_moves_on():
    first, again = (stream("key", 7, "weights").random() for _ in range(2))
    assert first == again
    generator = np.random.default_rng(7)
    assert stream("key", generator, "weights").random() != stream("key", generator, "weights").random()
