"""Narrow factors: the closed form (3.4) and the integrated flow against SciPy, many digits and limits."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lindyn as ld
from helpers.reference import (
    integrate,
    matrix_with,
    mixed_flow,
    orthogonal,
    precise_mixed,
    relative,
    target_of,
    textbook_mixed,
    worst,
)
from helpers.refusals import refused
from lindyn.solutions import adapter_mode
from lindyn.solutions.factor_motion import target_modes

TIMES = [0.0, 0.05, 0.3, 1.0, 3.0, 20.0]
slow = pytest.mark.slow


def factor_flow(target, first, second, times, decays=(0.0, 0.0)):
    """W2W1 at each time, of the factors' own equations (1.1) with weight decay."""
    d_in = first.shape[1]

    def velocity(_, rows):
        w1, w2t = rows[:, :d_in], rows[:, d_in:]
        gradient = w2t.T @ w1 - target
        return np.concatenate([-w2t @ gradient - decays[0] * w1, -w1 @ gradient.T - decays[1] * w2t], axis=1)

    path = integrate(velocity, np.concatenate([first, second.T], axis=1), times)
    return np.stack([rows[:, d_in:].T @ rows[:, :d_in] for rows in path])


def balanced(shape, width, tau, start_values=(), seed=0):
    """Factors with W1W1ᵀ − W2ᵀW2 = 2τI, from a start of given singular values, hidden units rotated."""
    rng = np.random.default_rng(seed)
    start = matrix_with(start_values, shape, rng) if start_values else None
    side = "in" if tau >= 0 else "out"
    net = ld.TwoLayer.balanced(shape, threshold=abs(tau), width=width, side=side, start=start, key=rng)
    turn = orthogonal(width, rng)
    return turn @ net.w1, net.w2 @ turn.T


CASES = [
    ((5, 7), 3, 0.5, ()),
    ((7, 5), 4, 0.01, (0.3, 0.2)),
    ((6, 6), 6, 1e-4, (0.3, 0.2, 0.1)),
    ((6, 6), 2, 20.0, ()),
    ((5, 7), 3, -0.5, ()),
    ((7, 5), 1, -0.1, (0.2,)),
    ((5, 7), 3, 0.0, (0.3, 0.2, 0.1)),
]


@pytest.mark.parametrize(
    ("shape", "width", "tau", "start"), [CASES[0], *(pytest.param(*c, marks=slow) for c in CASES[1:])]
)
def test_solution_is_the_flow_of_the_factors(shape, width, tau, start):
    target = target_of(shape)
    first, second = balanced(shape, width, tau, start)
    solution = ld.solutions.NarrowSolution(target, first, second)
    expected = factor_flow(target, first, second, TIMES)
    assert solution.residual < 1e-12
    assert solution.threshold == pytest.approx(abs(tau), abs=1e-12)
    assert worst(solution(TIMES)[1:], expected[1:]) < 1e-11
    assert relative(solution(0.0) + target, expected[0] + target) < 1e-13


@given(
    log_ratio=st.floats(-9, 3),
    scale=st.floats(1e-3, 1e3),
    phase=st.floats(0.0, 2.0),
    seen=st.permutations(range(5)),
)
def test_aligned_hidden_units_follow_the_mode_curve(log_ratio, scale, phase, seen):
    """Hidden units along right singular vectors decouple the modes: each follows (3.2), or stays where it is unseen."""
    s = scale * np.array([1.0, 0.7, 0.2])
    tau = scale * 10.0**log_ratio
    t = phase * max(1.0, -np.log(10.0) * min(log_ratio, 0)) / np.hypot(s[0], tau)
    first = np.sqrt(2 * tau) * np.eye(5)[seen[:3]]
    solution = ld.solutions.NarrowSolution(np.diag(s) @ np.eye(3, 5), first, np.zeros((3, 3)))
    expected = np.where([k in seen[:3] for k in range(3)], ld.solutions.mode_curve(s, tau, t), 0.0)
    np.testing.assert_allclose(solution.singular_values(t), np.sort(expected)[::-1], rtol=1e-9, atol=1e-13 * scale)


@pytest.mark.parametrize("overlap", [0.01, 0.4, 1.0])
@pytest.mark.parametrize("tau", [1e-3, 0.5, 40.0])
def test_an_adapter_of_one_mode_is_a_formula_in_numbers(tau, overlap):
    """Against the integrated flow of one hidden unit on a target whose direction it sees in part."""
    s, v = 3.0, np.array([np.sqrt(overlap), np.sqrt(1 - overlap)])
    times = np.array(TIMES) / np.hypot(s, tau)
    path = factor_flow(s * v[None], np.sqrt(2 * tau) * np.array([[1.0, 0.0]]), np.zeros((1, 1)), times)[:, 0]
    along, beside = adapter_mode(s, tau, overlap, times)
    # signs: beside is along v⊥ = (1, −c/√(1 − c²)) normalised, that is (√(1 − c²), −c)
    seen = np.stack([path @ v, path @ np.array([v[1], -v[0]])])
    np.testing.assert_allclose(np.stack([along, beside]), seen, atol=1e-8 * s)  # what the integrator leaves
    assert adapter_mode(s, tau, overlap, 1e4)[0] == pytest.approx(s)


def test_as_wide_as_a_side_it_is_the_mixed_dynamics():
    shape, tau = (4, 6), 0.3
    start = matrix_with([0.5, 0.2], shape, np.random.default_rng(3))
    net = ld.TwoLayer.balanced(threshold=tau, width=6, start=start)
    solution = ld.solutions.NarrowSolution(target_of(shape), net.w1, net.w2)
    for t in (0.1, 1.0, 4.0):
        assert relative(solution(t), textbook_mixed(target_of(shape), tau, start, t)) < 1e-10


@slow
def test_digits_at_a_saddle():
    """An unlucky start with small τ, against 120 digits of the mixed dynamics that it equals at full width."""
    rng = np.random.default_rng(2)
    target, tau = target_of((4, 4)), 1e-6
    u, s, vt = np.linalg.svd(target)
    start = (-0.3 * u * s) @ vt + 1e-3 * rng.standard_normal((4, 4))  # the wrong sign: every mode crosses zero
    net = ld.TwoLayer.balanced(threshold=tau, width=4, start=start)
    times = [1.0, 3.0, 6.0, 10.0]
    expected = precise_mixed(target, tau, start, times)
    assert worst(ld.solutions.NarrowSolution(target, net.w1, net.w2)(times), expected) < 1e-10


@slow
def test_any_time():
    """Composed steps stay right for ever: the best approximation of rank w, and the conserved imbalance."""
    target = target_of((6, 8))
    first, second = balanced((6, 8), 3, 0.05)
    solution = ld.solutions.NarrowSolution(target, first, second)
    u, s, vt = np.linalg.svd(target, full_matrices=False)
    for t in (100.0, 1e3, 2e4):
        assert relative(solution(t), (u[:, :3] * s[:3]) @ vt[:3]) < 1e-12
        w1, w2 = solution.factors(t)
        np.testing.assert_allclose(w1 @ w1.T - w2.T @ w2, 0.1 * np.eye(3), atol=1e-12)


def test_many_times_are_single_times_and_factors_have_the_matrix():
    target = target_of((5, 7))
    solution = ld.solutions.NarrowSolution(target, *balanced((5, 7), 3, 0.2))
    together = solution(TIMES)
    for t, matrix in zip(TIMES, together, strict=True):
        w1, w2 = solution.factors(t)
        np.testing.assert_allclose(solution(t), matrix, atol=1e-12)
        np.testing.assert_allclose(w2 @ w1, matrix, atol=1e-12)
        np.testing.assert_allclose(solution.singular_values(t), np.linalg.svd(matrix)[1][:3], atol=1e-12)
    for matrix, (s, loss, mean) in zip(together, solution.records(np.array(TIMES)), strict=True):
        assert s.shape == (3,)
        assert loss == pytest.approx(np.sum((matrix - target) ** 2), rel=1e-10, abs=1e-12)
        assert mean == pytest.approx(0.2)


def test_target_of_low_rank_by_factors():
    rng = np.random.default_rng(1)
    left, right = rng.standard_normal((9, 2)), rng.standard_normal((2, 12))
    first, second = balanced((9, 12), 4, 0.3, (0.5, 0.1))
    dense, thin = (ld.solutions.NarrowSolution(t, first, second) for t in (left @ right, (left, right)))
    assert dense.target_values.size == thin.target_values.size == 2
    assert worst(thin(TIMES[1:]), dense(TIMES[1:])) < 1e-12
    assert worst(thin(TIMES[1:4]), factor_flow(left @ right, first, second, TIMES[1:4])) < 1e-11


def test_target_of_zero():
    first, second = balanced((4, 5), 2, 0.3, (0.5, 0.1))
    zero = np.zeros((4, 5))
    assert (
        relative(ld.solutions.NarrowSolution(zero, first, second)(0.7), factor_flow(zero, first, second, [0.7])[0])
        < 1e-11
    )


def test_a_large_layer_is_its_small_problem():
    """Rotated into d = 4096 a problem keeps its singular values, and the time of a prediction stays small."""
    rng = np.random.default_rng(0)
    d, shape, width = 4096, (6, 7), 4
    out, into = (np.linalg.qr(rng.standard_normal((d, k)))[0] for k in shape)
    small = target_of(shape)
    first, second = balanced(shape, width, 0.2, (0.1, 0.05))
    times = np.linspace(0.0, 3.0, 50)
    began = time.perf_counter()
    large = ld.solutions.NarrowSolution((out @ small, into.T), first @ into.T, out @ second).singular_values(times)
    assert time.perf_counter() - began < 5
    np.testing.assert_allclose(
        large, ld.solutions.NarrowSolution(small, first, second).singular_values(times), atol=1e-12
    )


def test_unbalanced_factors_are_integrated():
    rng = np.random.default_rng(4)
    target = target_of((5, 7))
    first, second = 0.6 * rng.standard_normal((3, 7)), 0.2 * rng.standard_normal((5, 3))
    flow = ld.solutions.FactorFlow(target, first, second)
    assert flow.residual > 0.05
    assert worst(flow(TIMES[1:]), factor_flow(target, first, second, TIMES[1:])) < 1e-9
    assert relative(flow(0.0), second @ first) < 1e-13


@slow
def test_weight_decay_is_the_mixed_formula_with_a_falling_threshold():
    target, tau, mu = target_of((4, 4)), 0.5, 0.3
    net = ld.TwoLayer.balanced((4, 4), threshold=tau, width=4)
    flow = ld.solutions.FactorFlow(target, net.w1, net.w2, weight_decay=mu)
    expected = mixed_flow(lambda a: a - target, tau, np.zeros((4, 4)), TIMES[1:], decay=mu)
    assert worst(flow(TIMES[1:]), expected) < 1e-9
    means = [mean for _, _, mean in flow.records(np.array(TIMES))]
    np.testing.assert_allclose(means, tau * np.exp(-2 * mu * np.array(TIMES)), rtol=1e-9, atol=1e-12)


@slow
def test_layers_that_decay_differently():
    target = target_of((5, 4))
    first, second = balanced((5, 4), 2, 0.4, (0.3,))
    flow = ld.solutions.FactorFlow(target, first, second, weight_decay=(0.1, 0.4))
    assert worst(flow(TIMES[1:]), factor_flow(target, first, second, TIMES[1:], (0.1, 0.4))) < 1e-9


def test_float32_factors_come_back_as_float32():
    first, second = (w.astype(np.float32) for w in balanced((4, 5), 2, 0.3))
    solution = ld.solutions.NarrowSolution(target_of((4, 5)), first, second)
    assert solution(1.0).dtype == solution.singular_values(1.0).dtype == solution.factors(1.0)[0].dtype == np.float32
    assert target_modes(target_of((4, 5))).shape == (4, 5)


REFUSALS = [
    (lambda: ld.solutions.NarrowSolution(np.eye(3), np.ones((2, 3)), np.ones((3, 4))), "second", "have 2 columns"),
    (
        lambda: ld.solutions.NarrowSolution(np.eye(4), np.ones((2, 3)), np.ones((3, 2))),
        "target",
        "have the shape (3, 3)",
    ),
    (lambda: ld.solutions.NarrowSolution(np.eye(3), np.zeros((2, 3)), np.zeros((3, 2))), "first", "both are zero"),
    (
        lambda: ld.solutions.NarrowSolution(np.eye(3), np.full((2, 3), np.nan), np.zeros((3, 2))),
        "first",
        "6 of its 6 entries",
    ),
    (lambda: ld.solutions.NarrowSolution((np.eye(3),), np.ones((2, 3)), np.ones((3, 2))), "target", "it has 1 parts"),
    (
        lambda: ld.solutions.NarrowSolution((np.eye(3), np.eye(4)), np.eye(4), np.eye(3, 4)),
        "target[1]",
        "have shape (3, any)",
    ),
    (lambda: ld.solutions.FactorFlow(np.eye(3), np.eye(3), np.eye(3), weight_decay=-1.0), "weight_decay", "at least 0"),
    (lambda: ld.solutions.FactorFlow(np.eye(3), np.eye(3), np.eye(3), weight_decay=(0.1,)), "weight_decay", "a pair"),
    (lambda: ld.solutions.NarrowSolution(np.eye(3), np.eye(3), np.eye(3)).factors(-1.0), "time", "at least 0"),
    (lambda: ld.solutions.NarrowSolution(np.eye(3), np.eye(3), np.eye(3))([1.0, 0.5]), "time", "increasing"),
]


@refused(REFUSALS)
def test_refusals_are_one_sentence(refusal):
    refusal.check()
