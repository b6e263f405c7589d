"""The mixed formula: its roots and their derivatives, its limits, symmetries and solvers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

import lindyn as ld
from helpers.reference import integrate, mixed_flow, orthogonal, relative, slope, target_of, worst
from lindyn.dynamics import mixing
from lindyn.support.precision import working_precision

# equal tolerances and shapes, so that the compiled solver serves many tests
FLOW, SHAPE = ld.Flow(rtol=1e-11, atol=1e-13), (3, 4)
MATRICES = {
    "random": np.random.default_rng(0).standard_normal((3, 4)),
    "tall": np.random.default_rng(1).standard_normal((4, 2)),
    "equal singular values": 2.0 * orthogonal(3, np.random.default_rng(2)),
    "two equal, one zero": np.diag([1.5, 1.5, 0.0]),
    "rank one": np.outer([1.0, 2.0, 3.0], [1.0, -1.0]),
    "zero": np.zeros((3, 2)),
}
by_matrix = pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)


@pytest.mark.slow
@pytest.mark.parametrize("tau", [1e-3, 1e3])
@by_matrix
def test_mixing_is_the_sum_of_matrix_roots(matrix, tau):
    gradient = np.random.default_rng(3).standard_normal(matrix.shape)
    left, right = (scipy.linalg.sqrtm(m + tau**2 * np.eye(len(m))) for m in (matrix @ matrix.T, matrix.T @ matrix))
    with working_precision(np.float64):
        ours = np.asarray(mixing(jnp.asarray(matrix), jnp.asarray(gradient), tau))
    assert relative(ours, left @ gradient + gradient @ right) < 1e-10


@by_matrix
@pytest.mark.slow
def test_derivative_of_mixing_equals_finite_differences(matrix, tau=0.3):
    rng = np.random.default_rng(4)
    point = (matrix, rng.standard_normal(matrix.shape), np.asarray(tau))
    direction = tuple(rng.standard_normal(np.shape(p)) for p in point)
    h = 3e-4
    with working_precision(np.float64):
        steps = [[jnp.asarray(p + k * h * d) for p, d in zip(point, direction, strict=True)] for k in (-2, -1, 1, 2)]
        at = [np.asarray(mixing(*step)) for step in steps]
        _, tangent = jax.jvp(mixing, tuple(map(jnp.asarray, point)), tuple(map(jnp.asarray, direction)))
        tangent = np.asarray(tangent)
    assert relative(tangent, (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", [ld.Mixed(0.7), ld.Lazy(0.7), ld.Balanced(np.eye(4, 3))], ids=lambda d: d.name)
def test_the_grams_give_the_velocity(dynamics):
    """Ȧ = −C2 G − G C1 for each dynamics (1.1), with roots from SciPy."""
    rng = np.random.default_rng(5)
    a, g = rng.standard_normal((2, 4, 3))
    with working_precision(np.float64):
        arrays = jnp.asarray(a), jnp.asarray(g), jnp.asarray(dynamics.threshold)
        gram_in, gram_out = map(np.asarray, dynamics.grams(arrays[0], arrays[2]))
        drive = np.asarray(dynamics.drive(*arrays))
    assert relative(drive, -gram_out @ g - g @ gram_in) < 1e-12
    if dynamics.name != "lazy":
        assert relative(gram_in, scipy.linalg.sqrtm(a.T @ a + dynamics.threshold**2 * np.eye(3))) < 1e-7
    else:
        assert np.array_equal(gram_in, 0.7 * np.eye(3))


def final(system, task, time, method="auto"):
    return ld.simulate(system, task, method, times=[time], observables=["matrix"])["matrix"][0]


@pytest.mark.slow
def test_the_lazy_limit_is_reached_as_the_square_of_s_over_tau():
    target, start = target_of(SHAPE), 0.5 * target_of(SHAPE, seed=1)
    task, thresholds = ld.SpikedMatrix(target=target), np.array([30.0, 100.0, 300.0])
    lazy = target + np.exp(-1.0) * (start - target)  # at 2τt = 1
    errors = [relative(final(ld.Mixed(tau, start), task, 0.5 / tau, FLOW), lazy) for tau in thresholds]
    assert slope(3.0 / thresholds, errors) == pytest.approx(2, abs=0.05)
    assert relative(final(ld.Lazy(7.0, start), task, 0.5 / 7), lazy) < 1e-14


@pytest.mark.slow
# √(s² + τ²) − s is τ²/2s on a mode that A has, and τ on a direction that it lacks
@pytest.mark.parametrize(("shape", "power"), [((3, 3), 2), (SHAPE, 1)], ids=["full rank", "with a kernel"])
def test_the_balanced_limit_is_reached_at_its_rate(shape, power):
    target = target_of(shape)
    start = 0.5 * target + 0.1 * target_of(shape, seed=1)
    task, thresholds = ld.SpikedMatrix(target=target), np.array([1e-4, 3e-4, 1e-3])
    balanced = mixed_flow(lambda a: a - target, 0.0, start, [0.4])[0]
    errors = [relative(final(ld.Mixed(tau, start), task, 0.4), balanced) for tau in thresholds]
    assert slope(thresholds / 3.0, errors) == pytest.approx(power, abs=0.05)
    assert relative(final(ld.Balanced(start), task, 0.4), balanced) < 1e-10


@given(seed=st.integers(0, 2**32 - 1), threshold=st.sampled_from([1e-3, 0.1, 1.0, 30.0]))
def test_rotations_of_the_problem_rotate_the_closed_form(seed, threshold):
    rng = np.random.default_rng(seed)
    left, right = orthogonal(3, rng), orthogonal(4, rng)
    target, start = rng.standard_normal((2, *SHAPE))
    times = np.array([0.1, 1.0, 4.0]) / np.hypot(1.0, threshold)
    plain = ld.solutions.MixedSolution(target, threshold, start)(times)
    turned = ld.solutions.MixedSolution(left @ target @ right, threshold, left @ start @ right)(times)
    assert worst(turned, left @ plain @ right) < 1e-9


@pytest.mark.slow
def test_rotations_of_the_problem_rotate_the_flow():
    threshold = 0.3
    rng = np.random.default_rng(6)
    left, right = orthogonal(3, rng), orthogonal(4, rng)
    target, start = rng.standard_normal((2, *SHAPE))
    x = rng.standard_normal((9, 4)) * [1, 2, 3, 0.5]
    plain = ld.Regression(x, x @ target.T)
    turned = ld.Regression(x @ right, x @ target.T @ left.T)
    for time in (0.1, 1.0):
        a = final(ld.Mixed(threshold, start), plain, time, FLOW)
        b = final(ld.Mixed(threshold, left @ start @ right), turned, time, FLOW)
        assert relative(b, left @ a @ right) < 1e-8


def quadratic(target, _):
    return ld.SpikedMatrix(target=target), lambda a: a - target


def masked(target, mask):
    return ld.Completion(target, mask), lambda a: (a - target) * mask


def logcosh(target, _):
    task = ld.CustomCost(lambda a: jnp.sum(jnp.log(jnp.cosh(a - target))), target.shape)
    return task, lambda a: np.tanh(a - target)


@pytest.mark.parametrize("decay", [0.0, 0.2])
@pytest.mark.parametrize("cost", [quadratic, *(pytest.param(c, marks=pytest.mark.slow) for c in (masked, logcosh))])
def test_flow_of_the_formula_equals_scipy(cost, decay):
    rng = np.random.default_rng(7)
    target, start = target_of(SHAPE), 0.2 * rng.standard_normal(SHAPE)
    task, gradient = cost(target, rng.random(SHAPE) < 0.7)
    times = [0.0, 0.3, 1.0, 2.0]
    run = ld.simulate(ld.Mixed(0.1, start, weight_decay=decay), task, FLOW, times=times, observables=["matrix"])
    assert worst(run["matrix"], mixed_flow(gradient, 0.1, start, times, decay=decay)) < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ld.Lazy, ld.Balanced], ids=["lazy", "balanced"])
def test_weight_decay_of_the_limits(kind):
    """The lazy velocity is −2τe^{−2μt}G − 2μA; the balanced one has no τ to decay."""
    target, start, mu, tau = target_of(SHAPE), 0.5 * target_of(SHAPE) + 0.1, 0.3, 0.8
    system = ld.Lazy(tau, start, weight_decay=mu) if kind is ld.Lazy else ld.Balanced(start, weight_decay=mu)
    if kind is ld.Lazy:

        def velocity(t, a):
            return -2 * tau * np.exp(-2 * mu * t) * (a - target) - 2 * mu * a

        expected = integrate(velocity, start, [0.5, 2.0])
    else:
        expected = mixed_flow(lambda a: a - target, 0.0, start, [0.5, 2.0], decay=mu)
    run = ld.simulate(system, ld.SpikedMatrix(target=target), FLOW, times=[0.5, 2.0], observables=["matrix"])
    assert worst(run["matrix"], expected) < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["dopri8", "tsit5", "kvaerno5"])
def test_every_solver_at_its_default_tolerances_equals_scipy(solver):
    target = target_of((3, 2))
    mask = np.arange(6).reshape(3, 2) != 4
    times = [0.5, 1.5, 3.0]
    method = ld.Flow(solver=solver)
    run = ld.simulate(ld.Mixed(0.05), ld.Completion(target, mask), method, times=times, observables=["matrix"])
    assert run.info.method == f"flow by {solver}"
    assert worst(run["matrix"], mixed_flow(lambda a: (a - target) * mask, 0.05, np.zeros((3, 2)), times)) < 1e-8


@pytest.mark.slow
def test_the_implicit_solver_crosses_a_stiff_problem_in_few_steps():
    """Curvatures 1 and 10⁴: explicit steps are bound to 10⁻⁴ of the time, implicit ones are not."""
    x = np.sqrt(2) * np.diag([1.0, 100.0])
    task = ld.Regression(x, x @ np.array([[1.0, 0.5], [0.3, -0.8]]))
    stiff, explicit = (
        ld.simulate(ld.Mixed(1.0), task, ld.Flow(solver=s, rtol=1e-6, atol=1e-8, max_steps=400), times=[0.0, 3.0])
        for s in ("kvaerno5", "tsit5")
    )
    assert stiff.completed
    assert not explicit.completed
    assert len(explicit) == 1
    assert stiff["train_error"][-1] < 1e-4


def test_euler_steps_of_the_formula():
    """A ← A − η(√(AAᵀ + τ²)G + G√(AᵀA + τ²)), with roots from SciPy; first order in η."""
    target, start, tau = target_of(SHAPE), 0.2 * target_of(SHAPE, seed=1), 0.4
    task, eta = ld.SpikedMatrix(target=target), 0.01
    a = start
    for _ in range(20):
        left, right = (scipy.linalg.sqrtm(m + tau**2 * np.eye(len(m))) for m in (a @ a.T, a.T @ a))
        a = a - eta * (left @ (a - target) + (a - target) @ right)
    run = ld.simulate(
        ld.Mixed(tau, start), task, ld.GradientDescent(learning_rate=eta, steps=20), observables=["matrix"]
    )
    assert relative(run["matrix"][-1], a) < 1e-12
    assert relative(run.final, a) < 1e-12

    exact = mixed_flow(lambda a: a - target, tau, start, [0.4])[0]
    rates, ends = np.array([0.01, 0.005, 0.0025]), []
    for rate in rates:
        descent = ld.GradientDescent(learning_rate=rate, steps=round(0.4 / rate))
        ends.append(ld.simulate(ld.Mixed(tau, start), task, descent).final)
    assert slope(rates, [relative(end, exact) for end in ends]) == pytest.approx(1, abs=0.05)


def test_euler_steps_with_weight_decay_use_the_threshold_of_their_time():
    target, tau, mu, eta = target_of((2, 3)), 0.4, 0.3, 0.01
    a = np.zeros((2, 3))
    for step in range(30):
        then = tau * np.exp(-2 * mu * eta * step)
        left, right = (scipy.linalg.sqrtm(m + then**2 * np.eye(len(m))) for m in (a @ a.T, a.T @ a))
        a = a - eta * (left @ (a - target) + (a - target) @ right + 2 * mu * a)
    descent = ld.GradientDescent(learning_rate=eta, steps=30)
    assert (
        relative(ld.simulate(ld.Mixed(tau, weight_decay=mu), ld.SpikedMatrix(target=target), descent).final, a) < 1e-12
    )
