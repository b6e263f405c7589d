"""Runs that end early: divergence, solvers that give up, interruption, and what would not fit in memory."""

import re
import signal
from types import SimpleNamespace

import numpy as np
import optax
import psutil
import pytest

import lindyn as ld
from helpers.reference import layers, relative, target_of

SHAPE = (3, 4)
TARGET = target_of(SHAPE)
TASK = ld.SpikedMatrix(target=TARGET)
RATE = 1.0


def network():
    return ld.TwoLayer.from_weights(*layers(SHAPE, 20))


def recursion(steps, rate=RATE):
    """A and ½‖A − T‖² along plain gradient descent, in NumPy, as far as they are finite."""
    w1, w2 = layers(SHAPE, 20)
    path, costs = [], []
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps + 1):
            a = w2 @ w1
            path.append(a)
            costs.append(0.5 * np.sum((a - TARGET) ** 2))
            w1, w2 = w1 - rate * w2.T @ (a - TARGET), w2 - rate * (a - TARGET) @ w1.T
    return np.array(path), np.array(costs)


def diverging_step(costs):
    """The first step whose cost is 10⁸ times the larger of the costs of the start and of A = 0, or not finite."""
    step = int(np.flatnonzero(~(costs < 1e8 * max(costs[0], 0.5 * np.sum(TARGET**2))))[0])
    assert 3 < step < 60
    return step


# records at every step, and sparse ones, with and without overflow before the next
@pytest.mark.parametrize("save_every", [1, 3, 60, [0, 2, 60], [2, 60]], ids=str)
def test_divergence_is_reported_at_its_step(save_every):
    path, costs = recursion(60)
    step = diverging_step(costs)
    method = ld.GradientDescent(learning_rate=RATE, steps=60)
    with pytest.warns(ld.StabilityWarning):
        run = ld.simulate(network(), TASK, method, save_every=save_every, observables=["matrix", "cost"])
    assert not run.completed
    assert f"diverged at step {step}:" in run.status
    assert "nan, over nan" not in run.status
    assert run.status in repr(run)
    wanted = save_every if isinstance(save_every, list) else range(0, 60, save_every)
    recorded = [k for k in wanted if k < step]
    assert run.step.tolist() == recorded
    assert np.all(np.isfinite(run["cost"]))
    assert relative(run["matrix"], path[recorded]) < 1e-6
    assert relative(run.final.matrix, path[recorded[-1]]) < 1e-6


# overflow before the only record; and a cost that is large there, but finite
@pytest.mark.parametrize("beyond", [30, 1], ids=["overflown", "finite"])
def test_divergence_before_the_first_record_names_its_step(beyond):
    step = diverging_step(recursion(60)[1])
    method = ld.GradientDescent(learning_rate=RATE, steps=step + beyond)
    with (
        pytest.warns(ld.StabilityWarning),
        pytest.raises(ld.InvalidArgument, match=rf"diverged at step {step}: the cost reached .*, over (?!nan)"),
    ):
        ld.simulate(network(), TASK, method, save_every=[step + beyond])


def test_a_start_beyond_all_bounds_is_no_divergence():
    """Only growth counts: a start far from the target, and falling, completes."""
    system = ld.Mixed(1.0, start=1e6 * np.ones(SHAPE))
    run = ld.simulate(system, TASK, times=[0.0, 1e-7, 1.0])
    assert run.completed
    assert run["train_error"][-1] < 10


def test_euler_steps_of_the_formula_can_diverge_too():
    method = ld.GradientDescent(learning_rate=RATE, steps=60)
    with pytest.warns(ld.StabilityWarning):
        run = ld.simulate(ld.Mixed(1.0), TASK, method, save_every=10)
    step = int(re.search(r"diverged at step (\d+):", run.status)[1])
    assert len(run) == len(range(0, step, 10))
    assert np.all(np.isfinite(run["train_error"]))


def test_the_warning_carries_the_rate_and_the_bound():
    """The bound 1/√(s₁² + τ²) from NumPy; the start of this network is smaller than its solution."""
    net = network()
    bound = 1 / np.hypot(np.linalg.norm(TARGET, 2), net.threshold)
    method = ld.GradientDescent(learning_rate=RATE, steps=1)
    with pytest.warns(ld.StabilityWarning, match=rf"Learning rate 1 is above .* {bound:.4g}; the run may diverge"):
        ld.simulate(net, TASK, method)


@pytest.mark.slow
def test_a_solver_that_needs_too_many_steps_says_so():
    run = ld.simulate(ld.Mixed(0.1), TASK, ld.Flow(max_steps=12), times=[0.0, 0.01, 50.0, 60.0])
    assert run.status.startswith("stopped after record 2 of 4: the dopri8 solver needs more than 12 steps")
    assert "raise max_steps" in run.status
    assert run.time.tolist() == [0.0, 0.01]


def interrupting(at):
    """An observable that a keyboard interrupt hits while it is evaluated at a given time."""

    def align(time):
        if time >= at:
            signal.raise_signal(signal.SIGINT)
        return time

    return ld.simulation.Observable("interrupting", lambda state: state.aligned, align=align)


@pytest.mark.parametrize("network_runs", [True, False], ids=["network", "formula"])
def test_an_interruption_keeps_the_records(network_runs):
    names = ["matrix", interrupting(at=0.05)]
    method = ld.GradientDescent(learning_rate=0.01, steps=10)
    run = ld.simulate(network() if network_runs else ld.Mixed(0.5), TASK, method, observables=names)
    assert run.status == "interrupted after record 5 of 11"
    assert run.step.tolist() == [0, 1, 2, 3, 4]
    if network_runs:
        assert relative(run["matrix"], recursion(4, rate=0.01)[0]) < 1e-13
        assert relative(run.final.matrix, run["matrix"][-1]) < 1e-14


def test_an_interruption_before_the_first_record_stays_an_interruption():
    with pytest.raises(KeyboardInterrupt):
        ld.simulate(ld.Mixed(0.5), TASK, times=[0.0, 1.0], observables=[interrupting(at=0.0)])


def stated_sizes(message):
    """The two sizes in GiB that a refusal states: needed and available."""
    return [float(x.replace(",", "")) for x in re.findall(r"([\d.,e+]+) GiB", message)]


def test_adam_at_a_width_beyond_memory_is_refused_with_its_size():
    net = ld.TwoLayer.gaussian(SHAPE, 10**12, 1e-12)
    with pytest.raises(ld.InvalidArgument, match="full width") as caught:
        ld.simulate(net, TASK, ld.methods.Optimizer(rule=optax.adam(0.01), steps=1))
    needed, available = stated_sizes(str(caught.value))
    least = 3 * 10**12 * 7 * 8 / 2**30  # the weights and two moments
    assert least <= needed < 5 * least
    assert available == pytest.approx(psutil.virtual_memory().available / 2**30, rel=0.2)


@pytest.mark.parametrize(
    ("make", "least"),
    [
        (lambda: ld.TwoLayer.pytorch_default(SHAPE, width=10**12), 7e12 * 8),
        (lambda: ld.TwoLayer.gaussian(SHAPE, 10**12, 1.0).weights(key=0), 7e12 * 8),
    ],
    ids=["uniform weights", "full weights"],
)
def test_full_weights_beyond_memory_are_refused_with_their_size(make, least):
    with pytest.raises(ld.InvalidArgument, match="`width`") as caught:
        make()
    assert least / 2**30 <= stated_sizes(str(caught.value))[0] < 5 * least / 2**30


@pytest.fixture
def a_mebibyte_left(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**20))


@pytest.mark.usefixtures("a_mebibyte_left")
def test_records_beyond_memory_are_refused_before_the_run():
    method = ld.GradientDescent(learning_rate=0.01, steps=20_000)  # 20,001 matrices of 96 bytes
    with pytest.raises(ld.InvalidArgument, match=r"records of .* fit in memory.*`save_every`"):
        ld.simulate(network(), TASK, method, observables=["matrix"])
    assert ld.simulate(network(), TASK, method, observables=["matrix"], save_every=10_000).completed


@pytest.mark.usefixtures("a_mebibyte_left")
def test_a_jacobian_beyond_memory_is_refused():
    task = ld.SpikedMatrix(dim=20, rank=1)  # 400 × 400 numbers, four times
    with pytest.raises(ld.InvalidArgument, match=r"`solver` .*Jacobian of kvaerno5"):
        ld.simulate(ld.Mixed(1.0), task, ld.Flow(solver="kvaerno5"), times=[0.0, 1.0])


def test_progress_is_shown_on_request_and_only_on_a_terminal_otherwise(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then draws as on a terminal
    for progress in (None, False, True):
        ld.simulate(ld.Mixed(0.5), TASK, times=np.linspace(0, 1, 5), progress=progress)
        captured = capfd.readouterr()
        assert captured.out == ""
        assert ("mixed dynamics" in captured.err) == (progress is True)
        assert progress or captured.err == ""


def test_seconds_and_bytes_are_accounted_for():
    run = ld.simulate(network(), TASK, ld.GradientDescent(learning_rate=0.01, steps=5))
    assert run.info.seconds_run > 0
    assert run.info.seconds_compile >= 0
    assert run.info.state_bytes == 7 * 7 * 8
