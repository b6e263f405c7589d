"""A dynamics, a task, a method and an update rule that are defined here, outside the package, run end to end."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import solve_ivp

import lindyn as ld
from helpers.reference import layers, relative, roots, target_of
from lindyn.methods import Engine, MatrixView, Method, Problem, Snapshot, TimedEngine
from lindyn.solutions import Solution
from lindyn.support.programs import on_device
from lindyn.tasks import Task

SHAPE = (3, 4)
TARGET = target_of(SHAPE)
START = 0.3 * target_of(SHAPE, seed=1)
TASK = ld.SpikedMatrix(target=TARGET, signal=TARGET)
TIMES = [0.0, 0.3, 1.0]
TIGHT = ld.Flow(rtol=1e-11, atol=1e-13)


class Still(ld.Dynamics):
    """A drive of zero."""

    def drive(self, matrix, gradient, threshold):
        return jnp.zeros_like(matrix)


class Scaled(ld.Dynamics):
    """The mixed formula at another speed."""

    speed: float = 0.5

    def drive(self, matrix, gradient, threshold):
        return self.speed * ld.Mixed(1.0).drive(matrix, gradient, threshold)


class Turned(ld.Mixed):
    """Inherits everything of the mixed formula but its drive."""

    def drive(self, matrix, gradient, threshold):
        return 0.5 * super().drive(matrix, gradient, threshold)


class HalfDrive:
    """Not a dynamics itself: it brings a drive from aside."""

    def drive(self, matrix, gradient, threshold):
        return 0.5 * ld.Mixed(1.0).drive(matrix, gradient, threshold)


class Mixture(HalfDrive, ld.Mixed):
    pass


class Timed(ld.Dynamics):
    """A velocity of its own, that depends on time."""

    def velocity(self, matrix, gradient, time):
        return -(1 + time) * gradient


def by_scipy(velocity, times=TIMES):
    def field(t, flat):
        a = flat.reshape(SHAPE)
        return velocity(t, a, a - TARGET).ravel()

    found = solve_ivp(field, (0, times[-1]), START.ravel(), "DOP853", times, rtol=1e-12, atol=1e-14)
    return found.y.T.reshape(-1, *SHAPE)


def mixed_velocity(speed, tau):
    def velocity(_, a, g):
        left, right = roots(a, tau)
        return -speed * (left @ g + g @ right)

    return velocity


METHODS = [("auto", {"times": TIMES}), (TIGHT, {"times": TIMES}), (ld.GradientDescent(learning_rate=0.1, steps=5), {})]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "records"), METHODS, ids=["auto", "Flow", "Euler"])
def test_a_drive_of_zero_stays_where_it_is(method, records):
    run = ld.simulate(Still(1.0, START), TASK, method, **records)
    assert np.ptp(run["train_error"]) == 0
    assert np.array_equal(run.final, START)
    assert "closed form" not in run.info.method


HALVES = [Scaled(0.4, START), Turned(0.4, START), Mixture(0.4, START)]


def test_an_inherited_closed_form_is_refused_where_the_drive_is_not_inherited():
    reason = Mixture(0.4, START).closed_form(TASK)
    assert str(reason) == "HalfDrive has its own `drive`, and the closed form is that of another motion"
    assert isinstance(ld.Mixed(0.4, START).closed_form(TASK), Solution)


@pytest.mark.slow
@pytest.mark.parametrize("half", HALVES, ids=lambda d: type(d).__name__)
def test_half_the_drive_agrees_with_scipy_and_is_never_the_formula_it_came_from(half):
    run = ld.simulate(half, TASK, TIGHT, times=TIMES, observables=["matrix"])
    expected = by_scipy(mixed_velocity(0.5, 0.4))
    assert relative(run["matrix"], expected) < 1e-8
    chosen = ld.simulate(half, TASK, times=TIMES)
    assert chosen.info.method == "flow by dopri8"
    whose = "has no closed form" if isinstance(half, Scaled) else "has its own `drive`"
    assert whose in chosen.info.why
    with pytest.raises(ld.InvalidArgument, match=rf"ClosedForm does not: \w+ {whose}"):
        ld.simulate(half, TASK, ld.ClosedForm(), times=TIMES)
    with pytest.raises(ld.InvalidArgument, match="does not state its C1 and C2"):  # inherited ones are another's
        ld.simulate(half, TASK, times=TIMES, observables=["ntk_drift"])
    # twice the speed of half the drive is the formula
    fast = ld.simulate(half, TASK, TIGHT, times=2 * np.array(TIMES), observables=["matrix"])
    formula = ld.simulate(ld.Mixed(0.4, START), TASK, times=TIMES, observables=["matrix"])
    assert relative(fast["matrix"], formula["matrix"]) < 1e-8


@pytest.mark.slow
def test_parameters_of_ones_own_are_never_those_of_an_earlier_run():
    """One compiled program serves all speeds: none of them is compiled in."""
    for speed in (0.5, 1.0, 0.25):
        run = ld.simulate(Scaled(0.4, START, speed), TASK, TIGHT, times=TIMES, observables=["matrix"])
        assert relative(run["matrix"], by_scipy(mixed_velocity(speed, 0.4))) < 1e-8
    assert run.info.seconds_compile == 0


class Settings:
    """An object that can be changed in place, and is not an array."""

    def __init__(self, power):
        self.power = power


class Powered(ld.Dynamics):
    settings: Any = None

    def drive(self, matrix, gradient, threshold):
        return -gradient * self.settings.power


@pytest.mark.slow
def test_an_object_changed_in_place_is_seen():
    settings = Settings(1.0)
    system, step = Powered(1.0, START, settings), ld.GradientDescent(learning_rate=0.01, steps=1)
    slow = ld.simulate(system, TASK, step).final - START
    settings.power = 3.0
    assert relative(ld.simulate(system, TASK, step).final - START, 3 * slow) < 1e-12


@pytest.mark.slow
def test_a_velocity_of_time_agrees_with_its_solution():
    run = ld.simulate(Timed(start=START), TASK, TIGHT, times=TIMES, observables=["matrix"])
    decay = np.exp(-np.array(TIMES) - np.array(TIMES) ** 2 / 2)[:, None, None]
    assert relative(run["matrix"], TARGET + decay * (START - TARGET)) < 1e-9


class Exact(Timed):
    def solution(self, task):
        target, _ = task.quadratic()
        at = lambda t: target + np.exp(-t - t**2 / 2) * (self.start - target)  # noqa: E731
        return Solution(self.start, at, "exponentials of t + t²/2")


class Doubled(Exact):
    def velocity(self, matrix, gradient, time):
        return 2 * super().velocity(matrix, gradient, time)


@pytest.mark.slow
def test_a_solution_of_ones_own_is_used_and_not_inherited_by_another_motion():
    run = ld.simulate(Exact(start=START), TASK, times=TIMES, observables=["matrix"])
    assert run.info.method == "closed form"
    assert "exponentials of t + t²/2, exact" in run.info.why
    twice = ld.simulate(Doubled(start=START), TASK, times=TIMES, observables=["matrix"])
    assert "Doubled has its own `velocity`" in twice.info.why
    assert relative(twice["matrix"] - TARGET, (run["matrix"] - TARGET) ** 2 / (START - TARGET)) < 1e-7


def test_the_stability_bound_of_a_drive_of_ones_own_is_measured():
    assert ld.methods.stability_bound(Scaled(0.4), TASK) == pytest.approx(
        2 * ld.methods.stability_bound(ld.Mixed(0.4), TASK), rel=1e-6
    )


def test_a_dynamics_without_a_motion_is_refused():
    class Nothing(ld.Dynamics):
        pass

    with pytest.raises(ld.InvalidArgument, match="Nothing defines neither `drive` nor `velocity`"):
        Nothing()


class Quartic(Task):
    """C(A) = ¼ Σ (A − T)⁴, a task from outside."""

    signal: Any
    target: Any

    @property
    def shape(self):
        return self.target.shape

    @property
    def dtype(self):
        return self.target.dtype

    def cost(self, matrix):
        return jnp.sum((matrix - self.target) ** 4) / 4

    def gradient(self, matrix):
        return (matrix - self.target) ** 3

    def train_error(self, matrix):
        return jnp.mean((matrix - self.target) ** 4)


@pytest.mark.slow
def test_a_task_of_ones_own_is_trained_by_a_network_and_followed_by_the_formula():
    w1, w2 = layers(SHAPE, 10)
    run = ld.simulate(
        ld.TwoLayer.from_weights(w1, w2),
        Quartic(None, TARGET),
        ld.GradientDescent(learning_rate=1e-3, steps=20),
        observables=["matrix"],
    )
    for _ in range(20):
        g = (w2 @ w1 - TARGET) ** 3
        w1, w2 = w1 - 1e-3 * w2.T @ g, w2 - 1e-3 * g @ w1.T
    assert relative(run["matrix"][-1], w2 @ w1) < 1e-12
    formula = ld.simulate(ld.Mixed(0.4, START), Quartic(None, TARGET), times=[0.0, 0.1])
    assert "Quartic is not a multiple of ½‖A − T‖_F²" in formula.info.why


class Entries(Quartic):
    """The same cost, each entry of the target a sample."""

    @property
    def samples(self):
        return self.target.size

    def sample_gradient(self, matrix, rows, label_noise):
        place = jnp.unravel_index(rows, self.target.shape)
        pull = (matrix[place] - self.target[place]) ** 3
        return jnp.zeros_like(matrix).at[place].add(pull) * self.samples / rows.size


@pytest.mark.slow
def test_a_task_of_ones_own_that_states_its_samples_is_trained_in_batches():
    w1, w2 = layers(SHAPE, 10)
    batches = np.random.default_rng(0).integers(0, 12, (20, 3))
    options = {"learning_rate": 1e-3, "steps": 20, "batches": batches}
    net = ld.TwoLayer.from_weights(w1, w2)
    run = ld.simulate(net, Entries(None, TARGET), ld.GradientDescent(**options), observables=["matrix"])
    for rows in batches:
        a = w2 @ w1
        g = np.zeros(SHAPE)
        np.add.at(g.reshape(-1), rows, 4 * (a - TARGET).reshape(-1)[rows] ** 3)  # N/batch = 12/3
        w1, w2 = w1 - 1e-3 * w2.T @ g, w2 - 1e-3 * g @ w1.T
    assert relative(run["matrix"][-1], w2 @ w1) < 1e-12
    with pytest.raises(ld.InvalidArgument, match="Quartic has no samples"):
        ld.simulate(net, Quartic(None, TARGET), ld.GradientDescent(**options))


@dataclass(frozen=True, eq=False)
class HeunFlow(Method):
    """Heun's method with a fixed step: a method from outside, for dynamics of the matrix."""

    step: float = 1e-3

    def prepare(self, problem: Problem) -> Engine:
        dynamics = on_device(problem.dynamics, problem.dtype)
        info = problem.info("Heun steps", ", second order", problem.start_matrix(problem.dynamics).nbytes)
        return HeunEngine(self.step, problem, dynamics, info)


class HeunEngine(TimedEngine):
    def __init__(self, step, problem, dynamics, info):
        super().__init__(problem.record_times(None), info, MatrixView(dynamics))
        self.matrix, self.now, self.step = problem.start_matrix(problem.dynamics), 0.0, step
        self.velocity = lambda a, t: dynamics.velocity(a, problem.device_task.gradient(a), t)

    def begin(self):
        return Snapshot(self.matrix)

    def advance(self, k):
        while self.now < self.times[k] - 1e-12:
            first = self.velocity(self.matrix, self.now)
            second = self.velocity(self.matrix + self.step * first, self.now + self.step)
            self.matrix = self.matrix + 0.5 * self.step * (first + second)
            self.now += self.step
        return self.begin()


@pytest.mark.slow
def test_a_method_of_ones_own_is_compared_with_the_closed_form():
    errors = []
    for step in (0.05, 0.025):
        run = ld.simulate(ld.Mixed(0.4, START), TASK, HeunFlow(step), times=[0.0, 0.5], observables=["matrix"])
        exact = ld.simulate(ld.Mixed(0.4, START), TASK, ld.ClosedForm(), times=run.time, observables=["matrix"])
        errors.append(ld.compare(run, exact).distance[-1])
    assert run.info.method == "Heun steps"
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.4)  # squares of a second-order error


def test_a_rule_of_ones_own_runs_on_the_reduced_layers_where_it_commutes_with_rotations():
    """W ← W − η(g + g/‖g‖): written as an optax transformation, against the same in NumPy at full width."""

    def update(gradients, state, params=None):
        del params
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradients)))
        return jax.tree.map(lambda g: -0.01 * (g + g / norm), gradients), state

    rule = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
    w1, w2 = layers(SHAPE, 30)
    net = ld.TwoLayer.from_weights(w1, w2)
    run = ld.simulate(net, TASK, ld.methods.Optimizer(rule=rule, steps=20), observables=["matrix"])
    assert "reduced factor" in run.info.why
    for _ in range(20):
        g = w2 @ w1 - TARGET
        g1, g2 = w2.T @ g, g @ w1.T
        norm = np.sqrt(np.sum(g1**2) + np.sum(g2**2))
        w1, w2 = w1 - 0.01 * (g1 + g1 / norm), w2 - 0.01 * (g2 + g2 / norm)
    assert relative(run["matrix"][-1], w2 @ w1) < 1e-12


@pytest.mark.slow
def test_a_field_that_is_static_is_compiled_in_by_its_value():
    class Power(ld.Dynamics):
        power: int = eqx.field(static=True, default=1)

        def drive(self, matrix, gradient, threshold):
            return -(gradient**self.power)

    step = ld.GradientDescent(learning_rate=0.01, steps=1)
    for power in (1, 3):
        end = ld.simulate(Power(1.0, START, power=power), TASK, step).final
        assert relative(end, START - 0.01 * (START - TARGET) ** power) < 1e-12
