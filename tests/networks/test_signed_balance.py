"""λ-balanced layers of either sign, their closed form through `simulate`, and layers of unequal learning rates."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import lindyn as ld

SHAPES = [
    (4, 4, 4),
    (6, 3, 3),
    (3, 3, 6),
    (6, 6, 3),
    (3, 6, 6),
    (5, 2, 4),
    (6, 4, 3),
    (3, 4, 6),
]  # (d_in, width, d_out)
TIMES = np.linspace(0.0, 6.0, 7)


def balanced(shape, imbalance, scale=0.3):
    d_in, width, d_out = shape
    rng = np.random.default_rng(sum(shape))
    start = scale * rng.normal(size=(d_out, width)) @ rng.normal(size=(width, d_in)) / 3
    return ld.TwoLayer.balanced(width=width, imbalance=imbalance, start=start, key=0), rng.normal(size=(d_out, d_in))


@pytest.mark.slow
@pytest.mark.parametrize("imbalance", [10.0, 2.0, 0.01, 0.0, -2.0, -10.0])
def test_the_closed_form_is_the_flow_for_every_shape(imbalance):
    for shape in SHAPES:
        d_in, width, d_out = shape
        if (imbalance > 0 and width > d_out) or (imbalance < 0 and width > d_in):
            with pytest.raises(ld.InvalidArgument, match="independent directions"):
                balanced(shape, imbalance)
            continue
        if imbalance == 0 and width > min(d_in, d_out):
            continue
        net, target = balanced(shape, imbalance)
        np.testing.assert_allclose(net.w2.T @ net.w2 - net.w1 @ net.w1.T, imbalance * np.eye(width), atol=1e-12)
        task = ld.SpikedMatrix(target=target)
        run = ld.simulate(net, task, ld.ClosedForm(), times=TIMES, observables=["matrix", "gram_in", "gram_out"])
        size = max(abs(run["gram_in"]).max(), abs(run["gram_out"]).max())
        for k, (first, second) in enumerate(flow_of(net, target)):
            # twelve digits of each step of (3.4), and SciPy's 1e-12
            assert abs(run["matrix"][k] - second @ first).max() < 1e-8 * size, shape
            assert abs(run["gram_in"][k] - first.T @ first).max() < 1e-8 * size, shape
            assert abs(run["gram_out"][k] - second @ second.T).max() < 1e-8 * size, shape


def flow_of(net, target):
    """Layers under Ẇ1 = −W2ᵀG, Ẇ2 = −GW1ᵀ, by SciPy."""
    shapes, cut = (net.w1.shape, net.w2.shape), net.w1.size

    def velocity(_, v):
        first, second = v[:cut].reshape(shapes[0]), v[cut:].reshape(shapes[1])
        gradient = second @ first - target
        return -np.concatenate([(second.T @ gradient).ravel(), (gradient @ first.T).ravel()])

    start = np.concatenate([net.w1.ravel(), net.w2.ravel()])
    states = solve_ivp(velocity, [0, TIMES[-1]], start, t_eval=TIMES, rtol=1e-12, atol=1e-14, method="DOP853").y.T
    return [(v[:cut].reshape(shapes[0]), v[cut:].reshape(shapes[1])) for v in states]


def test_a_single_unit_keeps_its_sign():
    net, task = ld.TwoLayer.from_weights([[0.4, -0.2]], [[-0.3]]), ld.SpikedMatrix(target=[[1.0, 0.5]])
    (first, second), *_ = reversed(flow_of(net, task.target))
    found = ld.simulate(net, task, ld.ClosedForm(), times=TIMES).final
    np.testing.assert_allclose(found.w1, first, atol=1e-9)
    np.testing.assert_allclose(found.w2, second, atol=1e-9)


@pytest.mark.slow
def test_one_task_after_another_in_closed_form():
    net, target = balanced((4, 4, 4), -1.0)
    tasks = [ld.SpikedMatrix(target=target), ld.SpikedMatrix(target=-target)]
    runs = [ld.simulate(net, tasks, m, times=TIMES, observables="matrix") for m in (ld.ClosedForm(), ld.Flow())]
    np.testing.assert_allclose(runs[0]["matrix"], runs[1]["matrix"], atol=1e-7)  # Flow's tolerance is 1e-10 a step


def test_learning_rates_of_the_layers_are_a_change_of_variables():
    rng, rates, step = np.random.default_rng(0), (0.3, 2.5), 0.01
    w1, w2, target = rng.normal(size=(3, 4)), rng.normal(size=(2, 3)), rng.normal(size=(2, 4))
    net = ld.TwoLayer.from_weights(w1, w2).with_learning_rates(*rates)
    run = ld.simulate(net, ld.SpikedMatrix(target=target), ld.GradientDescent(learning_rate=step, steps=50))
    for _ in range(50):
        gradient = w2 @ w1 - target
        w1, w2 = w1 - step * rates[0] * w2.T @ gradient, w2 - step * rates[1] * gradient @ w1.T
    for found, expected in zip(run.final.weights(), (w1, w2), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (
            {"shape": (3, 6), "width": 4, "imbalance": 1.0},
            "be at most 0 at a width over d_out = 3, but it is 1 at width 4",
        ),
        ({"shape": (6, 3), "width": 4, "imbalance": -1.0}, "be at least 0 at a width over d_in = 3"),
        ({"shape": 3, "width": 2, "imbalance": 1.0, "threshold": 0.5}, "instead of `threshold`"),
        ({"shape": 3, "width": 2}, "signed `imbalance`"),
    ],
)
def test_layers_that_do_not_exist_are_refused_with_the_reason(arguments, part):
    with pytest.raises(ld.InvalidArgument) as refusal:
        ld.TwoLayer.balanced(**arguments)
    assert part in str(refusal.value)
