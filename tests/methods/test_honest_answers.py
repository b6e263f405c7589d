"""No wrong answer without a word: rules that wait, bounds of momentum, thresholds that are not the start's; values."""

from functools import lru_cache

import numpy as np
import optax
import pytest

import lindyn as ld
import torch
from helpers.reference import layers, target_of, worst
from helpers.torch_reference import squared_error, train
from lindyn.methods import probe_equivariance
from lindyn.solutions import unstable_above

SHAPE = (3, 4)
TARGET = target_of(SHAPE)
TASK = ld.SpikedMatrix(target=TARGET)

LATE = optax.join_schedules([optax.constant_schedule(0.0), optax.constant_schedule(0.1)], [50])
WAITING = {
    "accumulated Adam": optax.MultiSteps(optax.adam(0.1), 10),
    "delayed Adam": optax.adam(
        optax.join_schedules([optax.constant_schedule(0.0), optax.constant_schedule(0.1)], [50])
    ),
    "warmed-up Adam": optax.adam(optax.linear_schedule(0.0, 1e-3, 100)),
    "descent first, Adam later": optax.chain(
        optax.conditionally_transform(optax.scale_by_adam(), lambda step: step >= 60), optax.scale(-0.1)
    ),
}


@pytest.mark.parametrize(
    "rule", [v if k == "accumulated Adam" else pytest.param(v, marks=pytest.mark.slow) for k, v in WAITING.items()]
)
def test_a_rule_that_waits_is_seen_for_what_it_is(rule):
    probe = probe_equivariance(rule, steps=200)
    assert probe.moved
    assert not probe.equivariant


def test_a_rule_that_moves_nothing_is_not_called_equivariant():
    assert not probe_equivariance(optax.set_to_zero()).equivariant


@pytest.mark.slow
def test_accumulated_adam_equals_pytorch_at_full_width():
    """Mean of ten gradients, then one step of Adam."""
    w1, w2 = layers(SHAPE, 30)
    rule = optax.MultiSteps(optax.adam(0.02), 10)
    net = ld.TwoLayer.from_weights(w1, w2)
    run = ld.simulate(net, TASK, ld.methods.Optimizer(rule=rule, steps=200), save_every=10, observables=["matrix"])
    assert "full width" in run.info.why
    # the gradient does not change between updates, so its mean is itself
    path, *_ = train(w1, w2, squared_error(TARGET), lambda p: torch.optim.Adam(p, lr=0.02), 20)
    assert worst(run["matrix"], path) < 1e-6  # optax accumulates in float32


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.8, False), (0.5, True), (0.9, True)])
def test_the_bound_is_where_the_spectral_radius_of_the_step_passes_one(momentum, nesterov):
    """Of one mode w of curvature 3: the linear map (w, b) ↦ (w − ηd, b'), b' = μb + 3w, d = 3w + μb' or b'."""

    def radius(eta):
        b = np.array([3.0, momentum])  # of (w, b)
        d = np.array([3.0, 0.0]) + momentum * b if nesterov else b
        return np.abs(np.linalg.eigvals([np.array([1.0, 0.0]) - eta * d, b])).max()

    bound = float(unstable_above(3.0, momentum=momentum, nesterov=nesterov))
    assert radius(0.999 * bound) < 1 < radius(1.001 * bound)
    task = ld.SpikedMatrix(target=np.eye(2))
    net = ld.TwoLayer.orthogonal(threshold=1.0, start=np.eye(2) + 1e-6)
    stated = ld.methods.stability_bound(net, task, momentum=momentum, nesterov=nesterov)
    assert stated == pytest.approx(bound * 3.0 / (2 * np.sqrt(2)), rel=1e-5)


def test_the_bound_of_a_regression_needs_no_known_signal():
    x = np.random.default_rng(0).standard_normal((50, 4)) * [3.0, 1.0, 1.0, 0.3]
    truth = 20 * TARGET
    known, unknown = ld.Regression(x, x @ truth.T, signal=truth), ld.Regression(x, x @ truth.T)
    assert ld.methods.stability_bound(ld.Mixed(1.0), unknown) == pytest.approx(
        ld.methods.stability_bound(ld.Mixed(1.0), known)
    )


@pytest.mark.parametrize("ask", [ld.methods.stability_bound, ld.methods.published_learning_rate])
def test_rates_refuse_what_does_not_fit(ask):
    with pytest.raises(ld.InvalidArgument, match="`system` must have the task's shape"):
        ask(ld.TwoLayer.gaussian((5, 6), 10, 0.1), TASK)
    with pytest.raises(ld.InvalidArgument, match="`task` must be a task"):
        ask(ld.Mixed(1.0), None)


@pytest.mark.parametrize("momentum", [1.0, -1.0, 1.5])
def test_a_momentum_outside_its_range_has_no_bound(momentum):
    with pytest.raises(ld.InvalidArgument, match=r"`momentum` must lie in \[0, 1\)"):
        ld.methods.stability_bound(ld.Mixed(1.0), TASK, momentum=momentum)


@pytest.mark.slow
def test_momentum_makes_weight_decay_act_sooner():
    """The imbalance of a run with no gradient, 2τ on each of its eigenvalues, falls as e^{−2μηn/(1 − β)}."""
    tau, beta, mu, eta, steps = 0.5, 0.9, 0.5, 1e-5, 20_000
    net = ld.TwoLayer.orthogonal(SHAPE, threshold=tau)
    method = ld.GradientDescent(learning_rate=eta, steps=steps, momentum=beta, weight_decay=mu)
    run = ld.simulate(net, TASK, method, save_every=steps, observables=["activity", "singular_values"])
    measured = run.final.measured_threshold()
    expected = tau * np.exp(-2 * mu * eta * steps / (1 - beta))
    assert measured == pytest.approx(expected, rel=0.01)  # first order in η, and 1/(1 − β) steps late
    s = run["singular_values"][-1]
    assert run["activity"][-1] == pytest.approx(s / np.hypot(s, expected))


@pytest.mark.slow
def test_a_threshold_that_is_not_the_starts_has_no_closed_form():
    """Beside A(0) of size 10⁵ a τ of 10⁻⁴ or 10⁻² is nothing in M, but it is all of the imbalance."""
    start = 1e5 * np.eye(3, 4)
    right = ld.TwoLayer.orthogonal(threshold=1e-2, start=start)
    assert ld.simulate(right, TASK, ld.ClosedForm(), times=[0.0]).completed
    wrong = ld.TwoLayer.from_weights(*right.layers, threshold=1e-4)
    with pytest.raises(ld.InvalidArgument, match="relative residual is 0"):
        ld.simulate(wrong, TASK, ld.ClosedForm(), times=[0.0])


def test_the_stability_warning_points_at_the_line_that_simulates():
    with pytest.warns(ld.StabilityWarning) as caught:
        ld.simulate(ld.Mixed(1.0), TASK, ld.GradientDescent(learning_rate=5.0, steps=1))
    assert caught[0].filename == __file__


def test_values_are_equal_where_their_fields_are():
    pairs = [
        (ld.Mixed(1.0), ld.Mixed(1.0), ld.Mixed(2.0)),
        (ld.Balanced(np.eye(2)), ld.Balanced(np.eye(2)), ld.Balanced(2 * np.eye(2))),
        (ld.Mixed(1.0, np.eye(2)), ld.Mixed(1.0, np.eye(2)), ld.Lazy(1.0, np.eye(2))),
        (ld.GradientDescent(), ld.GradientDescent(), ld.GradientDescent(steps=2)),
        (
            ld.GradientDescent(steps=1, batches=[[0, 1]]),
            ld.GradientDescent(steps=1, batches=[[0, 1]]),
            ld.GradientDescent(steps=1, batches=[[1, 0]]),
        ),
        (ld.ClosedForm(), ld.ClosedForm(), ld.Flow()),
    ]
    for one, same, other in pairs:
        assert one == same
        assert hash(one) == hash(same)
        assert one != other


def test_a_trajectory_is_a_mapping_of_its_observables():
    run = ld.simulate(ld.Mixed(1.0), TASK, times=[0.0, 1.0])
    assert "train_error" in run
    assert "matrix" not in run
    assert list(run) == list(run.keys()) == ["train_error", "singular_values"]


def test_a_run_is_repeated_to_one_of_its_records():
    net = ld.TwoLayer.gaussian(SHAPE, 50, 0.02)
    run = ld.simulate(net, TASK, ld.GradientDescent(learning_rate=0.02, steps=20), save_every=5)
    again = ld.simulation.replay(run, 2, ["matrix", "singular_values"])
    assert again.step.tolist() == [10]
    assert again["singular_values"][0] == pytest.approx(run["singular_values"][2], rel=1e-12)
    timed = ld.simulate(ld.Mixed(1.0), TASK, times=[0.0, 0.5, 1.0])
    assert ld.simulation.replay(timed, -1, "stable_rank").time.tolist() == [1.0]
    with pytest.raises(ld.InvalidArgument, match="come from `simulate` in this session"):
        ld.simulation.replay(ld.predict(50, ld.laws.standard(width=10**6, variance=1e-6), rank=2), 0, "matrix")


def test_only_trajectories_are_compared():
    run = ld.simulate(ld.Mixed(1.0), TASK, times=[0.0, 1.0])
    with pytest.raises(ld.InvalidArgument, match="`second` must be a Trajectory, but it is SpikedMatrix"):
        ld.compare(run, TASK)


@pytest.mark.slow
def test_varied_runs_keep_few_programs(monkeypatch):
    """Momentum and weight decay are traced: one program serves them all; a new cost replaces an old one."""
    from lindyn.support import programs

    net = ld.TwoLayer.gaussian(SHAPE, 20, 0.1)
    assert programs._program.cache_info().maxsize == programs.KEPT
    room = 6  # a run has three programs or four
    monkeypatch.setattr(programs, "_program", lru_cache(maxsize=room)(programs._program.__wrapped__))
    before = programs._program.cache_info().misses
    for k in range(20):
        method = ld.GradientDescent(learning_rate=1e-3, steps=2, momentum=0.5 + 0.01 * k, weight_decay=1e-3 * (k + 1))
        ld.simulate(net, TASK, method, observables=["train_error"])
    assert programs._program.cache_info().misses - before <= 3
    for k in range(3):
        cost = ld.CustomCost(lambda a, k=k: ((a - k) ** 2).sum() / 2, SHAPE)
        ld.simulate(net, cost, ld.GradientDescent(learning_rate=1e-3, steps=2))
    assert programs._program.cache_info().misses > room
    assert programs._program.cache_info().currsize == room
