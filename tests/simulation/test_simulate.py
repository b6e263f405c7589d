"""The one verb: what `auto` chooses and says, which combinations meet, and what is recorded when."""

import re
import sys
from pathlib import Path

import numpy as np
import optax
import pytest

import lindyn as ld
from helpers.reference import relative, target_of

SHAPE = (3, 4)
TASK = ld.SpikedMatrix(target=target_of(SHAPE), signal=target_of(SHAPE, seed=1))
MASKED = TASK.observe(0.7, key=0)
NET = ld.TwoLayer.gaussian(SHAPE, 10**4, 1e-4, key=0)
DECAYING = ld.Mixed(1.0, weight_decay=0.1)
EXACT_NET = ld.TwoLayer.orthogonal(SHAPE, threshold=0.4)


@pytest.mark.parametrize(
    ("system", "task", "times", "method", "why"),
    [
        (NET, TASK, None, "simultaneous gradient descent", "trained by steps unless times are given"),
        pytest.param(NET, TASK, [0.0, 0.1], "flow by dopri8", "because times are given", marks=pytest.mark.slow),
        (ld.Mixed(1.0), TASK, [0.0, 0.1], "closed form", "chosen because the cost is ½‖A − T‖_F²"),
        (ld.Mixed(1.0), MASKED, [0.0, 0.1], "flow by dopri8", "Completion is not a multiple of ½‖A − T‖_F²"),
        pytest.param(DECAYING, TASK, [0.0, 0.1], "flow by dopri8", "weight_decay is 0.1", marks=pytest.mark.slow),
        (ld.Lazy(1.0), TASK, [0.0, 0.1], "closed form", "exponential approach"),
        (ld.Balanced(np.eye(3, 4)), TASK, [0.0, 0.1], "closed form", "matrix Riccati solution"),
    ],
)
def test_auto_chooses_and_says_why(system, task, times, method, why):
    run = ld.simulate(system, task, times=times)
    assert run.info.method == method
    assert why in run.info.why
    assert method in repr(run)


def test_auto_learning_rate_and_its_reason_are_reported():
    run = ld.simulate(NET, TASK, save_every=750)
    assert run.step.tolist() == [0, 750]
    assert run.info.learning_rate == pytest.approx(1 / (50 * 3))
    assert "published rate" in repr(run)


@pytest.mark.parametrize(
    ("save_every", "expected"),
    [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4, 5]), (9, [0, 5]), ([1, 4], [1, 4]), ([0], [0]), (np.array([2, 5]), [2, 5])],
    ids=str,
)
def test_the_steps_that_are_recorded(save_every, expected):
    method = ld.GradientDescent(learning_rate=0.02, steps=5)
    whole = ld.simulate(NET, TASK, method, observables=["matrix"])
    run = ld.simulate(NET, TASK, method, observables=["matrix"], save_every=save_every)
    assert run.step.tolist() == expected
    assert relative(run["matrix"], whole["matrix"][expected]) < 1e-14


def test_zero_steps_record_the_start():
    run = ld.simulate(NET, TASK, ld.GradientDescent(steps=0), observables=["matrix"])
    assert relative(run["matrix"][0], NET.matrix) < 1e-14


@pytest.mark.slow
def test_repeated_times_are_allowed():
    run = ld.simulate(ld.Mixed(1.0), TASK, ld.Flow(), times=[0.0, 0.0, 0.5, 0.5], observables=["matrix"])
    assert np.array_equal(run["matrix"][2], run["matrix"][3])


def test_a_single_time_is_a_vector_of_one():
    assert ld.simulate(ld.Mixed(1.0), TASK, times=0.5).time.tolist() == [0.5]


def test_default_observables():
    assert list(ld.simulate(ld.Mixed(1.0), TASK, times=[1.0]).data) == ["train_error", "test_error", "singular_values"]
    assert "test_error" not in ld.simulate(ld.Mixed(1.0), ld.SpikedMatrix(target=np.eye(2)), times=[1.0]).data


def test_a_run_can_go_on_where_another_ended():
    """Descent has no memory without momentum: 6 + 4 steps are 10."""
    rate = 0.02
    first = ld.simulate(NET, TASK, ld.GradientDescent(learning_rate=rate, steps=6))
    rest = ld.simulate(first.final, TASK, ld.GradientDescent(learning_rate=rate, steps=4))
    whole = ld.simulate(NET, TASK, ld.GradientDescent(learning_rate=rate, steps=10))
    assert relative(rest.final.matrix, whole.final.matrix) < 1e-13
    assert rest.final.width == NET.width
    assert rest.final.threshold == NET.threshold


@pytest.mark.slow
def test_muon_and_other_rules_have_a_clock_of_steps():
    run = ld.simulate(NET, TASK, ld.methods.Optimizer(rule=optax.sgd(0.02), steps=3))
    assert run.time.tolist() == [0, 1, 2, 3]
    timed = ld.simulate(NET, TASK, ld.methods.Optimizer(rule=optax.sgd(0.02), steps=3, learning_rate=0.02))
    assert timed.time == pytest.approx([0, 0.02, 0.04, 0.06])
    descent = ld.simulate(NET, TASK, ld.GradientDescent(learning_rate=0.02, steps=3))
    assert relative(timed["singular_values"], descent["singular_values"]) < 1e-13


def test_the_closed_form_of_a_network_knows_no_layers():
    run = ld.simulate(EXACT_NET, TASK, ld.ClosedForm(), times=[0.0, 0.7], observables=["matrix", "ntk_drift"])
    assert run.info.method == "closed form"
    assert relative(run.final, run["matrix"][1]) < 1e-14  # a matrix, since the layers are not known
    assert run["ntk_drift"][1] > 0
    with pytest.raises(ld.InvalidArgument, match="`observables` must not ask for 'balancedness'"):
        ld.simulate(EXACT_NET, TASK, ld.ClosedForm(), times=[0.0, 0.7], observables=["balancedness"])


@pytest.mark.slow
def test_a_run_goes_down_and_back_once_as_contributing_says():
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^.+ (\w+/\w+\.py) +(\w+)$", text, flags=re.MULTILINE)
    assert len(drawn) == 11
    task, net = ld.SpikedMatrix(dim=3, rank=1, key=0), ld.TwoLayer.gaussian(3, 100, 0.01, key=1)
    called = []

    def note(frame, event, _):
        if event == "call":
            place = Path(frame.f_code.co_filename).parts[-2:], frame.f_code.co_name
            called.append(("/".join(place[0]), place[1]))

    sys.setprofile(note)
    try:
        ld.simulate(net, task, ld.GradientDescent(steps=2, learning_rate=0.01), save_every=2, observables="train_error")
    finally:
        sys.setprofile(None)
    met = [call for call in dict.fromkeys(called) if call in drawn]
    assert met == drawn
    assert all(called.count(call) == 1 for call in drawn if call[1] not in ("advance", "run"))  # once a record
