"""The dtype of the inputs is the dtype of the work and of the results."""

import jax
import numpy as np
import pytest

import lindyn as ld
import torch
from helpers.reference import layers, target_of, worst
from lindyn.support.precision import result_dtype

SHAPE = (3, 4)
SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def task(dtype):
    return ld.SpikedMatrix(target=target_of(SHAPE).astype(dtype))


def net(dtype):
    return ld.TwoLayer.from_weights(*(w.astype(dtype) for w in layers(SHAPE, 20)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([np.zeros(2, np.float32)], SINGLE),
        ([np.zeros(2, np.float16)], SINGLE),
        ([np.zeros(2, np.float32), np.zeros(2)], DOUBLE),
        ([[1, 2]], DOUBLE),
        ([np.zeros(2, np.int32)], DOUBLE),
        ([], DOUBLE),
    ],
)
def test_the_working_dtype(values, expected):
    assert result_dtype(*values) == expected


@pytest.mark.parametrize(
    ("of_net", "of_task"), [(SINGLE, SINGLE), (SINGLE, DOUBLE), (DOUBLE, SINGLE), (DOUBLE, DOUBLE)]
)
def test_descent_follows_the_wider_input(of_net, of_task):
    expected = SINGLE if (of_net, of_task) == (SINGLE, SINGLE) else DOUBLE
    method = ld.GradientDescent(learning_rate=0.02, steps=20)
    run = ld.simulate(net(of_net), task(of_task), method, observables=["matrix", "train_error"])
    assert run.info.dtype == expected.name
    assert run["matrix"].dtype == run["train_error"].dtype == run.final.dtype == expected
    exact = ld.simulate(net(DOUBLE), task(DOUBLE), method, observables=["matrix"])
    assert worst(run["matrix"], exact["matrix"]) < 1e-6
    if SINGLE in (of_net, of_task):
        assert worst(run["matrix"], exact["matrix"]) > 1e-12  # the inputs were rounded


METHODS = [
    pytest.param(ld.Flow(), marks=pytest.mark.slow),
    ld.ClosedForm(),
    ld.GradientDescent(learning_rate=0.02, steps=5),
]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_the_formula_in_single_precision(method):
    times = None if isinstance(method, ld.GradientDescent) else [0.0, 0.3, 1.0]
    start = 0.3 * target_of(SHAPE, seed=1)
    single, double = (
        ld.simulate(ld.Mixed(0.3, start.astype(d)), task(d), method, times=times, observables=["matrix"])
        for d in (SINGLE, DOUBLE)
    )
    assert single["matrix"].dtype == SINGLE
    assert worst(single["matrix"], double["matrix"]) < 1e-4


@pytest.mark.parametrize(
    "make",
    [
        lambda d: ld.TwoLayer.gaussian(SHAPE, 100, 0.01, dtype=d),
        lambda d: ld.TwoLayer.orthogonal(SHAPE, threshold=1.0, dtype=d),
        lambda d: ld.TwoLayer.balanced(SHAPE, threshold=1.0, width=2, dtype=d),
        lambda d: ld.TwoLayer.lora(SHAPE, rank=2, dtype=d),
        lambda d: ld.TwoLayer.pytorch_default(SHAPE, width=50, dtype=d),
    ],
)
def test_networks_are_made_in_the_asked_precision(make):
    for dtype in (SINGLE, DOUBLE):
        made = make(dtype)
        assert made.w1.dtype == made.w2.dtype == made.matrix.dtype == dtype
        assert all(w.dtype == dtype for w in made.weights(key=0))


def test_half_precision_weights_are_widened():
    for dtype in (torch.float16, torch.bfloat16):
        w1, w2 = (torch.tensor(w, dtype=dtype) for w in layers(SHAPE, 20))
        made = ld.TwoLayer.from_weights(w1, w2)
        assert made.dtype == SINGLE
        assert made.weights()[0].shape == w1.shape
        assert np.allclose(made.matrix, (w2.double() @ w1.double()).numpy(), rtol=1e-5, atol=1e-6)


def test_a_callers_own_double_mode_is_respected():
    with jax.enable_x64(True):
        run = ld.simulate(net(SINGLE), task(SINGLE), ld.GradientDescent(learning_rate=0.02, steps=2))
    assert run["train_error"].dtype == SINGLE
