"""The closed forms against SciPy's integration, quadrature, many-digit arithmetic and the equation itself."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

import lindyn as ld
from helpers.reference import (
    integrate,
    matrix_with,
    mixed_flow,
    mixed_velocity,
    orthogonal,
    precise_mixed,
    relative,
    target_of,
    textbook_mixed,
    worst,
)
from lindyn.solutions import mixed

sizes = st.floats(1e-3, 1e3)


def powers_of_ten(low, high):
    return st.floats(low, high).map(lambda x: 10.0**x)


ratios = powers_of_ten(-9, 3)  # τ/s
seeds = st.integers(0, 2**32 - 1)


@given(s=sizes, ratio=ratios, phase=st.floats(0.01, 1.5))
def test_mode_curve_solves_its_equation(s, ratio, phase):
    tau = ratio * s
    psi = np.hypot(s, tau)
    t, h = phase * max(1.0, np.log(2 / ratio)) / psi, 2e-3 / psi
    m = ld.solutions.mode_curve(s, tau, t + h * np.array([-2, -1, 0, 1, 2]))
    derivative = (m[0] - 8 * m[1] + 8 * m[3] - m[4]) / (12 * h)
    assert derivative == pytest.approx(2 * np.hypot(m[2], tau) * (s - m[2]), rel=1e-8, abs=1e-9 * psi * m[2])


@given(s=sizes, ratio=ratios, share=st.floats(1e-3, 0.999) | powers_of_ten(-12, -3))
def test_mode_time_is_the_integral_of_the_equation(s, ratio, share):
    tau, level = ratio * s, share * s
    # x = τ sinh y makes the integrand smooth: dt = dy / 2(s − τ sinh y)
    expected, _ = quad(lambda y: 0.5 / (s - tau * np.sinh(y)), 0, np.arcsinh(level / tau), epsabs=0, epsrel=1e-12)
    assert ld.solutions.mode_time(s, tau, level) == pytest.approx(expected, rel=1e-9, abs=0)


@given(s=sizes, ratio=ratios, share=st.floats(1e-3, 0.999) | powers_of_ten(-12, -3))
def test_mode_time_and_mode_curve_are_inverse(s, ratio, share):
    tau, level = ratio * s, share * s
    assert ld.solutions.mode_curve(s, tau, ld.solutions.mode_time(s, tau, level)) == pytest.approx(
        level, rel=1e-9, abs=0
    )


@given(s=sizes, ratio=ratios)
@example(s=0.0, ratio=1.0)
def test_mode_curve_limits_in_time(s, ratio):
    tau = ratio * s
    start, end = ld.solutions.mode_curve(s, tau, [0.0, np.inf])
    assert start == 0
    assert end == pytest.approx(s, rel=1e-15)


@pytest.mark.parametrize("time", [0.1, 1.0, 3.0])
def test_mode_curve_limits_in_threshold(time):
    lazy = 1.0 * -np.expm1(-2 * 1e6 * time * 1e-6)
    assert ld.solutions.mode_curve(1.0, 1e6, time * 1e-6) == pytest.approx(lazy, rel=1e-11)
    tau = 1e-12
    delay = np.log(2 / tau) / 2
    active = 1 / (1 + 2 / tau * np.exp(-2 * (delay + time)))
    assert ld.solutions.mode_curve(1.0, tau, delay + time) == pytest.approx(active, rel=1e-11)


def test_mode_functions_at_threshold_zero():
    assert np.all(ld.solutions.mode_curve([0.0, 1.0], 0.0, [0.0, np.inf]) == 0)
    assert ld.solutions.mode_time(1.0, 0.0, 0.5) == np.inf
    assert ld.solutions.mode_time(1.0, 0.0, 0.0) == 0
    assert ld.solutions.mode_time(1.0, 0.5, 1.0) == np.inf


SHAPES = {"square": (3, 3), "tall": (4, 2), "wide": (2, 4)}
THRESHOLDS = [1e-6, 1e3, *(pytest.param(r, marks=pytest.mark.slow) for r in (1e-5, 1e-4, 1e-2, 1.0, 30.0))]  # × ‖T‖


def start_of(kind, shape, rng):
    """Zero, or random of norm about ½; square ones on the target's side of the saddle det A = 0."""
    if kind == "zero":
        return None
    start = 0.5 * rng.standard_normal(shape)
    if shape[0] == shape[1] and np.linalg.det(start) * np.linalg.det(target_of(shape)) < 0:
        start[0] *= -1
    return start


@pytest.mark.parametrize("kind", ["zero", "random"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("ratio", THRESHOLDS)
@pytest.mark.slow
def test_matrix_solution_equals_scipy(ratio, shape, kind):
    target = target_of(shape)
    tau = ratio * np.linalg.norm(target, 2)
    rates = np.hypot(np.linalg.svd(target, compute_uv=False), tau)
    start = start_of(kind, shape, np.random.default_rng(1))
    slowest = max(1.0, np.log(4 / ratio)) / (2 * rates.min())
    times = slowest * np.array([0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 1.1, 2.0])
    begin = np.zeros(shape) if start is None else start
    expected = mixed_flow(lambda a: a - target, tau, begin, times)
    actual = ld.solutions.MixedSolution(target, tau, start)(times)
    size = np.linalg.norm(target)
    assert np.max(np.linalg.norm(actual - expected, axis=(1, 2))) < 1e-8 * size
    first = 1 if start is None else 0
    assert worst(actual[first:], expected[first:]) < 1e-8  # also relative to what has been learned yet


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_threshold_zero_equals_scipy(shape):
    target, start = target_of(shape), start_of("random", shape, np.random.default_rng(1))
    times = np.array([0.0, 0.05, 0.3, 1.0, 3.0])
    assert (
        worst(
            ld.solutions.MixedSolution(target, 0.0, start)(times), mixed_flow(lambda a: a - target, 0.0, start, times)
        )
        < 1e-8
    )


def saddle_crossing():
    """A target and a start whose determinants differ in sign: one mode must pass through a singular matrix."""
    rng = np.random.default_rng(2)
    target = matrix_with([2.0, 1.0], (2, 2), rng)
    start = matrix_with([0.9, 0.4], (2, 2), rng)
    if np.linalg.det(target) * np.linalg.det(start) > 0:
        start = start[::-1]
    return target, start


@pytest.mark.slow
@pytest.mark.parametrize("tau", [1e-3, 1e-6, 1e-8])
def test_crossing_a_saddle_keeps_its_digits(tau):
    target, start = saddle_crossing()
    times = np.linspace(0.02, 1.5, 40) * np.log(4 / tau)
    expected = precise_mixed(target, tau, start, times)
    signs = np.sign(np.linalg.det(expected))
    assert signs[0] != signs[-1]  # it crosses
    assert worst(ld.solutions.MixedSolution(target, tau, start)(times), expected) < 1e-9


@pytest.mark.slow
def test_textbook_formula_loses_digits_at_a_saddle():
    target, start = saddle_crossing()
    tau = 1e-8
    times = np.linspace(0.02, 1.5, 40) * np.log(4 / tau)
    expected = precise_mixed(target, tau, start, times)
    textbook = np.stack([textbook_mixed(target, tau, start, t) for t in times])
    ours = worst(ld.solutions.MixedSolution(target, tau, start)(times), expected)
    assert worst(textbook, expected) > 1e-5 > 1e3 * ours


@pytest.mark.slow
@pytest.mark.parametrize(("tau", "scale"), [(0.3, 0.3), (1e-6, 0.3), (1e-6, 0.0)])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_matrix_solution_equals_many_digits(shape, tau, scale):
    target, start = target_of(shape), scale * np.random.default_rng(4).standard_normal(shape)
    times = np.array([1e-6, 1e-3, 0.1, 0.5, 2.0, 8.0, 20.0])
    assert worst(ld.solutions.MixedSolution(target, tau, start)(times), precise_mixed(target, tau, start, times)) < 1e-9


def problem(seed, shape, ratio):
    rng = np.random.default_rng(seed)
    target, start = rng.standard_normal(shape), rng.standard_normal(shape)
    return target, start, ratio * float(np.linalg.norm(target, 2))


shapes = st.sampled_from([(3, 3), (4, 2), (2, 4), (1, 3), (1, 1)])


@given(seed=seeds, shape=shapes, ratio=powers_of_ten(-3, 2), phase=st.floats(0.05, 4))
@pytest.mark.slow
def test_matrix_solution_solves_the_equation(seed, shape, ratio, phase):
    target, start, tau = problem(seed, shape, ratio)
    psi = np.hypot(np.linalg.norm(target, 2) + np.linalg.norm(start, 2), tau)
    t, h = phase / psi, 2e-3 / psi
    a = ld.solutions.MixedSolution(target, tau, start)(t + h * np.arange(-2, 3))
    derivative = (a[0] - 8 * a[1] + 8 * a[3] - a[4]) / (12 * h)
    gap = np.linalg.norm(derivative - mixed_velocity(a[2], a[2] - target, tau))
    assert gap < 1e-8 * psi * np.linalg.norm(a[2])


@pytest.mark.slow
@given(seed=seeds, shape=shapes, ratio=powers_of_ten(-6, 3))
def test_matrix_solution_begins_at_the_start_and_ends_at_the_target(seed, shape, ratio):
    target, start, tau = problem(seed, shape, ratio)
    slowest = np.hypot(np.linalg.svd(target, compute_uv=False)[-1], tau)
    solution = ld.solutions.MixedSolution(target, tau, start)
    first, soon, last = solution([0.0, 1e-14 / np.hypot(1.0, tau), (40 + np.log1p(1 / ratio)) / slowest])
    assert np.array_equal(first, start)
    assert relative(soon, start) < 1e-11 * (1 + np.linalg.norm(target) / np.linalg.norm(start))
    assert relative(last, target) < 1e-10


@pytest.mark.parametrize("ratio", [1e3, 1e6, 1e9, 1e12])
def test_far_above_the_target_the_threshold_cancels(ratio):
    """M(t) holds A beside entries of size τ: subtracting them must not cost A its digits."""
    target, start = target_of((3, 4)), 0.3 * np.random.default_rng(0).standard_normal((3, 4))
    times = np.array([1e-3, 0.3, 2.0]) / ratio
    assert (
        worst(ld.solutions.MixedSolution(target, ratio, start)(times), precise_mixed(target, ratio, start, times))
        < 1e-11
    )


@pytest.mark.parametrize("time", [5e-324, 1e-310, 1e-200, 1e-20, 1e20, 1e200, 1e308])
@pytest.mark.parametrize("tau", [0.0, 1e-8, 1.0])
def test_matrix_solution_is_finite_at_every_time(tau, time):
    target, start = target_of((3, 4)), 0.1 + np.zeros((3, 4))
    solution = ld.solutions.MixedSolution(target, tau, start)(time)
    assert np.all(np.isfinite(solution))
    if time < 1:
        assert relative(solution, start) < 1e-10
    elif tau:
        assert relative(solution, target) < 1e-10


@settings(max_examples=10)
@given(seed=seeds, shape=shapes, count=st.integers(1, 6))
@pytest.mark.slow
def test_a_vector_of_times_equals_single_times(seed, shape, count):
    target, start, tau = problem(seed, shape, 0.1)
    times = np.sort(np.random.default_rng(seed).uniform(0, 3, count))
    solution = ld.solutions.MixedSolution(target, tau, start)
    together = solution(times)
    assert together.shape == (count, *shape)
    assert all(np.array_equal(together[k], solution(float(t))) for k, t in enumerate(times))


def test_a_start_that_commutes_stays_diagonal():
    """Each mode of a diagonal problem solves the scalar equation on its own, from any m(0)."""
    target, start, tau = np.array([3.0, 1.0, 0.5]), np.array([0.1, -0.2, 0.8]), 0.05
    times = np.linspace(0, 4, 9)
    expected = integrate(lambda _, m: 2 * np.hypot(m, tau) * (target - m), start, times)
    actual = ld.solutions.MixedSolution(np.diag(target), tau, np.diag(start))(times)
    assert np.max(np.abs(actual - [np.diag(m) for m in expected])) < 1e-9


@pytest.mark.parametrize("ratio", [1e-3, 1e3])
@pytest.mark.slow
def test_single_precision(ratio):
    rng = np.random.default_rng(5)
    target, start = orthogonal(6, rng) * 2, 0.3 * rng.standard_normal((6, 6))
    times = np.array([0.0, 0.1, 0.5, 2.0]) / np.hypot(2, 2 * ratio)
    single = ld.solutions.MixedSolution(target.astype(np.float32), 2 * ratio, start.astype(np.float32))(times)
    assert single.dtype == np.float32
    assert worst(single, ld.solutions.MixedSolution(target, 2 * ratio, start)(times)) < 1e-5


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("ratio", [0.02, 1.0])
def test_both_forms_of_the_riccati_solution_agree(ratio, shape, monkeypatch):
    target, start = target_of(shape), 0.3 * np.random.default_rng(7).standard_normal(shape)
    tau = ratio * float(np.linalg.norm(target, 2))
    times = np.array([0.0, 0.02, 0.2, 1.0, 5.0]) / tau
    half_angle = ld.solutions.MixedSolution(target, tau, start)
    monkeypatch.setattr(mixed, "_ROUNDING", 0)
    hermitised = ld.solutions.MixedSolution(target, tau, start)
    assert half_angle.nbytes < hermitised.nbytes / 2  # they are two forms
    # rounding costs ‖T‖/τ = 50 units at the most
    assert worst(half_angle(times), hermitised(times)) < 2e-13
