"""Escape directions: stationarity, the closed form, and speeds by SciPy."""

import numpy as np
import pytest
from scipy.optimize import minimize

import lindyn as ld
from lindyn.networks import DeepReLU
from lindyn.prediction import escape_direction

RNG = np.random.default_rng(0)
INPUTS, TARGET = RNG.standard_normal((3, 6)), RNG.standard_normal((2, 6))
TASK = ld.SpikedMatrix(target=TARGET)


def speed(layers, slope):
    """−L₀ on the sphere ‖θ‖² = L, from layers of any size."""
    size = np.sqrt(sum(np.sum(w**2) for w in layers) / len(layers))
    return float(np.sum(TARGET * DeepReLU.from_weights([w / size for w in layers], INPUTS, slope=slope).matrix))


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_no_linear_direction_is_faster_than_the_closed_form(depth):
    net = DeepReLU.gaussian(INPUTS, 2, widths=(4,) * (depth - 1), scale=1.0, slope=1.0)
    found = escape_direction(net, TASK)
    assert speed(found.layers, 1.0) == pytest.approx(found.speed, rel=1e-12)
    shapes = [w.shape for w in found.layers]
    cuts = np.cumsum([w.size for w in found.layers])[:-1]

    def slowness(v):
        return -speed([p.reshape(s) for p, s in zip(np.split(v, cuts), shapes, strict=True)], 1.0)

    best = max(-minimize(slowness, RNG.standard_normal(sum(w.size for w in found.layers))).fun for _ in range(2))
    assert best == pytest.approx(found.speed, rel=1e-5) or best < found.speed
    assert found.tail_energy.max() == 0
    assert [float(np.linalg.norm(w)) for w in found.layers] == pytest.approx([1.0] * depth)


@pytest.mark.slow
def test_the_search_states_the_speed_of_the_direction_that_it_returns_and_layers_of_equal_norm():
    net = DeepReLU.gaussian(INPUTS, 2, widths=(6, 6), scale=1.0)
    found = escape_direction(net, TASK, starts=16, steps=1500)
    assert speed(found.layers, 0.0) == pytest.approx(found.speed, rel=1e-12)
    assert [float(np.linalg.norm(w)) for w in found.layers] == pytest.approx([1.0] * 3, abs=1e-2)  # balance (13.4)
    assert found.speed < escape_direction(net.with_slope(1.0), TASK).speed
    assert found.share == np.mean(found.speeds >= 0.99 * found.speed)


def test_networks_held_as_products_have_the_direction_of_their_task():
    target = np.diag([3.0, 1.0])
    found = escape_direction(ld.TwoLayer.gaussian(2, width=5, variance=0.1), ld.SpikedMatrix(target=target))
    assert found.speed == pytest.approx(3.0)
    assert found.time(1e-3) == pytest.approx(np.log(1e3) / 3)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: escape_direction(ld.TwoLayer.gaussian(3, width=5, variance=0.1), TASK), "network"),
        (lambda: escape_direction(ld.DeepLinear.from_weights([np.ones((2, 6))]), TASK), "network"),
        (
            lambda: escape_direction(
                ld.TwoLayer.gaussian(2, width=5, variance=0.1), ld.SpikedMatrix(target=np.zeros((2, 2)))
            ),
            "task",
        ),
    ],
)
def test_questions_without_an_answer_are_refused(call, name):
    with pytest.raises(ld.InvalidArgument, match=name):
        call()
