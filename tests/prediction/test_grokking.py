"""Grokking: the delay against training, τ_c from one run, γ₊ against integrated nets, and refusals."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import lindyn as ld
from helpers.commands import as_json, lindyn
from helpers.refusals import refused
from lindyn.prediction import critical_threshold, grokking_delay, time_below
from lindyn.solutions import mode_amplification


def completion(seen=0.7, noise=0.0):
    truth = ld.SpikedMatrix(dim=16, singular_values=[1.0], noise=noise, key=0)
    shown = truth.observe(seen, key=1).observed
    return ld.Completion(truth.target, shown, held_out=~shown)


@pytest.mark.slow
def test_one_run_foretells_when_layers_of_any_threshold_generalise():
    """Descent on the layers of an orthogonal start with decay; the measuring run is of the formula, at one τ₀ = 3."""
    task, decay, rate = completion(), 0.02, 0.02
    critical = critical_threshold(task, decay)
    for tau in (0.3, 5.0):
        net = ld.TwoLayer.orthogonal(16, threshold=tau)
        told = grokking_delay(tau, decay, critical, learning_rate=rate)
        method = ld.GradientDescent(learning_rate=rate, steps=round(1.2 * told.test_step), weight_decay=decay)
        run = ld.simulate(net, task, method, save_every=20, observables=["train_error", "test_error"])
        train, test = (
            time_below(run.time, run[name] / run[name][0], x) for name, x in zip(run, (0.05, 0.2), strict=True)
        )
        assert abs(test / told.test_time - 1) < 0.02  # first order in ητ ≤ 0.1, and records 0.4 apart
        assert train < told.fit_time + 0.4
        assert test > 3 * train


def test_the_delay_is_the_time_in_which_decay_lowers_the_threshold():
    told = grokking_delay(10.0, 0.01, 0.1, learning_rate=0.5)
    assert 10.0 * np.exp(-2 * 0.01 * told.test_time) == pytest.approx(0.1, rel=1e-12)
    assert told.test_step == pytest.approx(told.test_time / 0.5)
    assert told.delayed
    assert f"flow time {told.test_time:.4g} (step {told.test_step:,.0f})" in str(told)
    rich = grokking_delay(0.05, 0.01, 0.1)
    assert rich.test_time == 0
    assert not rich.delayed
    assert "generalises as it fits" in str(rich)


def test_the_time_to_fit_is_that_of_the_mode_curve():
    for tau in (0.01, 1.0, 30.0):
        told = grokking_delay(tau, 0.01, 0.001, signal=2.0)
        left = 1 - float(ld.solutions.mode_curve(2.0, tau, told.fit_time)) / 2.0
        assert left**2 == pytest.approx(0.05, rel=1e-9)
    assert grokking_delay(1e3, 0.01, 1e-3).fit_time == pytest.approx(
        grokking_delay(1e3, 0.01, 1e-3, signal=1.0).fit_time, rel=1e-3
    )


@pytest.mark.parametrize("seed", range(4))
def test_amplification_is_that_of_integrated_nets(seed):
    rng = np.random.default_rng(seed)
    start, target = rng.standard_normal((2, 7)), float(rng.uniform(-3, 3))

    def motion(_, flat):
        pair = flat.reshape(2, -1)
        return ((target - pair[0] @ pair[1]) * pair[::-1]).ravel()

    end = solve_ivp(motion, (0, 40), start.ravel(), rtol=1e-11, atol=1e-13).y[:, -1].reshape(2, -1)
    tau = 0.5 * np.sqrt(np.sum(start**2) ** 2 - 4 * (start[0] @ start[1]) ** 2)
    found = mode_amplification(target, tau, start=start[0] @ start[1])
    assert found == pytest.approx(np.sum(end.sum(0) ** 2) / np.sum(start.sum(0) ** 2), rel=1e-7)


def test_regime_and_advise_print_the_delay():
    line = ["regime", "--threshold", "10", "--singular-values", "20,0.8", "--weight-decay", "0.01"]
    told = as_json(*line, "--critical-threshold", "0.0115", "--learning-rate", "0.05")
    expected = grokking_delay(10.0, 0.01, 0.0115, signal=0.8, learning_rate=0.05)
    assert told["test_time"] == pytest.approx(expected.test_time)
    assert told["test_step"] == pytest.approx(expected.test_step)
    assert told["active_times"] == pytest.approx([0.0, np.log(10 / 0.8) / 0.02])
    assert "test_time" not in as_json(*line)
    printed = lindyn(*line).stdout
    assert "τ(t) = τ·exp(−2μt)" in printed
    assert "at once" in printed
    # the optimiser's λ is λ/κ on the flow's clock, of which momentum makes a step of η longer
    advice = ld.advise(100, rank=2, loss="mse", momentum=0.5, weight_decay=1e-4, critical_threshold=1e-3)
    delay, unit = advice.decay.grokking, advice.curvature / (1 - 0.5)
    assert delay.weight_decay == pytest.approx(1e-4 / advice.curvature)
    assert delay.test_step == pytest.approx(
        np.log(advice.threshold / 1e-3) / (2 * 1e-4 / (1 - 0.5) * advice.learning_rate)
    )
    assert advice.decay.fall == pytest.approx(
        1 - np.exp(-2 * delay.weight_decay * unit * advice.learning_rate * advice.steps)
    )
    assert str(delay) in str(advice)
    assert ld.advise(100, rank=2).decay is None


@refused(
    [
        (lambda: grokking_delay(1.0, 0.0, 0.1), "weight_decay", "never generalises"),
        (lambda: grokking_delay(0.0, 0.1, 0.1), "threshold", "greater than 0"),
        (lambda: grokking_delay(1.0, 0.1, 0.0), "critical", "measure it"),
        (lambda: critical_threshold(ld.SpikedMatrix(target=[[1.0]]), 0.1), "task", "no test error"),
        (
            lambda: critical_threshold(ld.SpikedMatrix(target=np.eye(2), signal=np.eye(2)), 0.01),
            "task",
            "hide part of the truth",
        ),
        (lambda: critical_threshold(completion(seen=0.2), 0.2), "task", "generalises at this weight decay"),
        (lambda: critical_threshold(completion(), 2.0), "weight_decay", "be at most 0."),
        (lambda: critical_threshold(completion(), 1e-9), "weight_decay", "be at least 8.7"),
        (lambda: critical_threshold(np.eye(2), 0.1), "task", "be a task"),
        (lambda: ld.advise(100, rank=2, critical_threshold=0.1), "critical_threshold", "come with a weight_decay"),
        (
            lambda: ld.advise(64, width=4, optimizer="adamw", learning_rate=1e-4, weight_decay=0.1),
            "weight_decay",
            "no threshold is conserved",
        ),
        (lambda: mode_amplification(1.0, 0.0), "threshold", "positive"),
    ]
)
def test_what_has_no_delay_is_refused(refusal):
    refusal.check()
