"""The scalar mode equation from any start, and the arithmetic in both worlds: NumPy, and JAX with its derivatives."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import lindyn as ld
from lindyn.solutions import (
    figure2_rate,
    mode_curve,
    mode_threshold,
    mode_time,
    mode_times,
    narrow_threshold,
    stability_limit,
    wide_threshold,
)
from lindyn.solutions.balanced import step

CASES = [  # singular value, threshold, time, start
    (1.0, 0.1, 1.0, 0.3),
    (1.0, 1e-4, 2.0, -0.5),
    (-2.0, 3.0, 0.2, 1.0),
    (0.5, 30.0, 0.02, 2.0),
    (1.0, 0.7, 0.3, 0.0),
    (0.0, 0.2, 2.0, 1.5),
]


@pytest.mark.parametrize(("s", "tau", "t", "start"), CASES)
def test_the_curve_from_any_start_is_the_integral_of_its_equation(s, tau, t, start):
    run = solve_ivp(
        lambda _, m: 2 * np.hypot(m, tau) * (s - m), (0, t), [start], method="DOP853", rtol=1e-12, atol=1e-14
    )
    # atol of the integrator, grown by the fastest rate
    assert mode_curve(s, tau, t, start=start) == pytest.approx(run.y[0, -1], rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(("s", "tau", "t", "start"), CASES)
def test_the_time_from_any_start_inverts_the_curve(s, tau, t, start):
    assert mode_time(s, tau, mode_curve(s, tau, t, start=start), start=start) == pytest.approx(t, rel=1e-8)


def test_a_start_of_zero_is_the_zero_start_and_a_later_start_goes_on():
    s, tau, t = np.array([0.0, 0.3, 40.0]), 0.2, np.array([[0.01], [0.5], [np.inf]])
    np.testing.assert_allclose(mode_curve(s, tau, t, start=0.0), mode_curve(s, tau, t), rtol=1e-13)
    half = mode_curve(s, tau, 0.2)
    np.testing.assert_allclose(mode_curve(s, tau, 0.3, start=half), mode_curve(s, tau, 0.5), rtol=1e-12)


def test_without_a_threshold_the_curve_is_logistic_and_does_not_cross_zero():
    t = np.array([0.0, 0.4, 3.0, np.inf])
    np.testing.assert_allclose(mode_curve(2.0, 0.0, t, start=0.1), 2 / (1 + 19 * np.exp(-4 * t)), rtol=1e-13)
    wrong_side = mode_curve(2.0, 0.0, t, start=-0.5)
    assert np.all(np.diff(np.abs(wrong_side)) < 0)
    assert wrong_side[-1] == 0
    np.testing.assert_allclose(mode_curve(0.0, 0.0, t, start=3.0), [3.0, 3 / 3.4, 3 / 19, 0.0], rtol=1e-13)


@pytest.mark.parametrize("tau", [0.7, -0.7, 0.0])
def test_a_step_of_the_balanced_solution_is_the_flow_of_both_layers(tau):
    """Signed thresholds, rows outside both singular bases, a batch of starts; the flow (1.1) by SciPy."""
    width, span, x = 3, 0.8, np.array([3.0, 2.5, 1.0])
    target = np.zeros((4, 5))
    target[range(3), range(3)] = x
    rng = np.random.default_rng(0)

    def balanced_start():
        # polar factors of one draw: W1W1ᵀ − W2ᵀW2 = 2τI
        a, b = np.linalg.qr(rng.standard_normal((5, width)))[0], np.linalg.qr(rng.standard_normal((4, width)))[0]
        root = rng.uniform(0.5, 1.5, width)
        first, second = np.sqrt(root**2 + max(2 * tau, 0)), np.sqrt(root**2 + max(-2 * tau, 0))
        return a * first, b * second

    def flow(_, state):
        q, p = state[: 5 * width].reshape(5, width), state[5 * width :].reshape(4, width)
        slope = p @ q.T - target
        return -np.concatenate([(slope.T @ p).ravel(), (slope @ q).ravel()])

    starts = [balanced_start() for _ in range(2)]
    q, p = step(np.stack([s[0] for s in starts]), np.stack([s[1] for s in starts]), x, tau, span)
    for k, (first, second) in enumerate(starts):
        begin = np.concatenate([first.ravel(), second.ravel()])
        end = solve_ivp(flow, (0, span), begin, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
        expected_q, expected_p = end[: 5 * width].reshape(5, width), end[5 * width :].reshape(4, width)
        # the four blocks of M = VVᵀ, which a rotation of the hidden units leaves alone
        for ours, theirs in [(p[k] @ q[k].T, expected_p @ expected_q.T), (q[k] @ q[k].T, expected_q @ expected_q.T),
                             (p[k] @ p[k].T, expected_p @ expected_p.T)]:  # fmt: skip
            np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_a_long_step_is_many_short_ones():
    rng, x = np.random.default_rng(1), np.array([9.0, 2.0])
    q, p = np.linalg.qr(rng.standard_normal((2, 2)))[0] * np.sqrt(2e-6), np.zeros((2, 2))
    once, many = step(q, p, x, 1e-6, 3.0), (q, p)
    for _ in range(12):
        many = step(*many, x, 1e-6, 0.25)
    np.testing.assert_allclose(once[1] @ once[0].T, many[1] @ many[0].T, rtol=1e-9, atol=1e-12)


def difference(function, args, k, h=1e-6):
    """Central difference of order 4 in argument k; at a limit of the range the argument moves to its inside."""
    low = [list(args) for _ in range(4)]
    step_size = h * max(1.0, abs(args[k]))
    if args[k] <= 2 * step_size:  # one-sided, of order 3
        weights, places = np.array([-11, 18, -9, 2]) / 6, np.arange(4)
    else:
        weights, places = np.array([1, -8, 8, -1]) / 12, np.array([-2, -1, 1, 2])
    for row, place in zip(low, places, strict=True):
        row[k] = args[k] + place * step_size
    return float(sum(w * function(*row) for w, row in zip(weights, low, strict=True)) / step_size)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "args"),
    [
        (mode_curve, (1.0, 0.1, 1.0)),
        (mode_curve, (1.0, 0.0, 1.0)),  # τ → 0
        (mode_curve, (0.0, 0.1, 1.0)),  # s → 0
        (mode_curve, (3.0, 0.2, 0.0)),  # t → 0, m → 0
        (mode_curve, (0.3, 40.0, 0.02)),
        (mode_time, (2.0, 0.1, 1.0)),
        (mode_time, (2.0, 0.3, 0.0)),  # m → 0
        (mode_time, (1.0, 1e-2, 0.5)),
        (figure2_rate, (3.0, 10.0, 20.0, 0.1)),
        (figure2_rate, (30.0, 10.0, 20.0, 0.1)),
        (stability_limit, (3.0, 2.0, 4.0, 3.0)),
        (lambda m, g: mode_threshold(m, g)[0], (1.0, 5.0)),
        (wide_threshold, (0.1, 0.2, 50.0)),
        (narrow_threshold, (0.1, 0.2, 50.0, 20.0)),
    ],
)
def test_derivatives_under_jax_are_those_of_finite_differences(function, args):
    import jax
    import jax.numpy as jnp

    if function is figure2_rate:
        keyword = dict(zip(("top", "size", "bound"), args[1:], strict=True))
        args, function = args[:1], lambda tau: figure2_rate(tau, **keyword)
    with jax.enable_x64(True):
        np.testing.assert_allclose(function(*map(jnp.asarray, args)), function(*args), rtol=1e-13, atol=1e-300)
        for k in range(len(args)):
            found = float(jax.grad(function, k)(*map(float, args)))
            assert found == pytest.approx(difference(function, args, k), rel=1e-6, abs=1e-6), f"argument {k}"
        many = jax.vmap(function)(*(jnp.full(3, a) for a in args))
        np.testing.assert_allclose(many, np.full(3, function(*args)), rtol=1e-13, atol=1e-300)


@pytest.mark.slow
def test_derivatives_from_any_start_are_those_of_finite_differences():
    import jax

    def curve(s, tau, t, start):
        return mode_curve(s, tau, t, start=start)

    with jax.enable_x64(True):
        for args in CASES:
            for k in range(4):
                found = float(jax.grad(curve, k)(*args))
                assert found == pytest.approx(difference(curve, args, k), rel=1e-6, abs=1e-6), (args, k)


@pytest.mark.slow
def test_what_numpy_refuses_is_nan_under_jax():
    import jax.numpy as jnp

    with pytest.raises(ld.InvalidArgument, match="`threshold` must be non-negative, but it holds -1"):
        mode_curve(1.0, [1.0, -1.0], 1.0)
    with pytest.raises(ld.InvalidArgument, match="`time`"):
        mode_curve(1.0, 1.0, np.nan)
    assert np.isnan(mode_curve(jnp.asarray([1.0, -1.0]), 1.0, 1.0)).tolist() == [False, True]
    assert np.isnan(mode_time(jnp.asarray(1.0), 1.0, 2.0))


def test_times_of_modes_are_those_of_the_curve():
    times = mode_times([8.0, 1.0], 2.0)
    np.testing.assert_allclose(mode_curve([8.0, 1.0], 2.0, times.half), [4.0, 0.5])
    np.testing.assert_allclose(mode_curve([8.0, 1.0], 2.0, times.learned), [7.2, 0.9])
    assert mode_curve(8.0, 2.0, times.crossing[0]) == pytest.approx(2.0)
    assert np.isnan(times.crossing[1])
