"""The published stopping rules in the units of the task, and what is told of runs that they do not end."""

import dataclasses

import numpy as np
import pytest

import lindyn as ld
from lindyn.diagrams import DiagramSettings, phase_diagram
from lindyn.diagrams.sources import compute

SETTINGS = DiagramSettings(
    variance_exponents=(-2.5, -1.5), width_exponents=(1.5, 2.0), shape=(20, 24), rank=2, spectrum="mean", steps=200,
    dtype="float64",
)  # fmt: skip


@pytest.mark.parametrize("source", ["predict", "spectral", pytest.param("descend", marks=pytest.mark.slow)])
def test_a_task_in_other_units_stops_at_the_same_steps_with_errors_in_the_square_of_the_unit(source):
    """T → cT, τ → cτ: the flow is the same on the clock t/c, which the learning rates of the published rule follow.

    Every singular value scales by c up to rounding, and so the errors by c² (rtol: rounding over 200 steps).
    """
    unit = 2.0**-7  # a power of two close to the 0.01 at which every cell once stopped at step 0: scaling is exact
    settings = dataclasses.replace(SETTINGS, sources=(source,))
    small = dataclasses.replace(settings, scale=unit, noise=unit)
    gamma_v, gamma_w = np.array([-2.5, -1.5]), np.array([1.5, 2.0])
    moved = gamma_v + np.log(unit) / settings.log_dim
    expected = compute(settings, 0, gamma_v, gamma_w)[source]
    found = compute(small, 0, moved, gamma_w)[source]
    assert (expected["last_step"] > 5).all()
    if source == "descend":  # another place in the grid draws other weights
        assert found["last_step"] == pytest.approx(expected["last_step"], rel=0.2)
        assert found["min_test_error"] == pytest.approx(unit**2 * expected["min_test_error"], rel=0.2)
        return
    for name in ("last_step", "steps_to_min"):
        assert np.array_equal(found[name], expected[name])
    for name in ("min_test_error", "train_error"):
        np.testing.assert_allclose(found[name], unit**2 * expected[name], rtol=1e-9)
    np.testing.assert_allclose(found["stable_rank"], expected["stable_rank"], rtol=1e-9)


def test_given_singular_values_measure_the_rules_in_the_mean_square_of_the_signals_entries():
    ensemble = SETTINGS.signal_spectrum()
    given = dataclasses.replace(SETTINGS, rank=None, singular_values=tuple(0.01 * ensemble))
    assert given.unit == pytest.approx(1e-4 * np.sum(ensemble**2) / (20 * 24))
    assert dataclasses.replace(SETTINGS, scale=0.01).unit == 1e-4


@pytest.mark.parametrize("source", ["predict", pytest.param("descend", marks=pytest.mark.slow)])
def test_a_run_that_the_steps_end_is_marked_and_one_that_the_rules_end_is_not(source):
    ends = [
        compute(dataclasses.replace(SETTINGS, sources=(source,), steps=steps), 0, [-1.5], [1.5])[source]
        for steps in (5, 5000)
    ]
    assert ends[0]["unfinished"].tolist() == [1.0]
    assert ends[0]["last_step"].tolist() == [5.0]
    assert ends[1]["unfinished"].tolist() == [0.0]
    assert ends[1]["last_step"][0] < 5000


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"width_exponents": (0.0, 1000.0)}, r"`width_exponents` must stay within ±\d.*it runs from 0 to 1000"),
        ({"variance_exponents": (-500.0, 0.0)}, r"`variance_exponents` must stay within"),
        ({"rank": None}, "`rank` must be given, or `singular_values`"),
        ({"singular_values": (1.0,), "rank": None, "scale": 2.0}, "`scale` must be left out beside `singular_values`"),
        ({"singular_values": (1.0,)}, "`rank` must be left out beside `singular_values`"),
        ({"singular_values": (1.0, -1.0), "rank": None}, "`singular_values` must be at most 20 positive numbers"),
    ],
)
def test_settings_that_have_no_numbers_are_refused(change, told):
    with pytest.raises(ld.InvalidArgument, match=told):
        dataclasses.replace(SETTINGS, **change)


@pytest.mark.slow
def test_settings_like_a_measured_matrix_are_those_of_its_estimated_signal():
    task = ld.SpikedMatrix(dim=100, singular_values=[60.0, 40.0], key=0)
    settings = DiagramSettings.like(task.target, variance_exponents=[-2.0, -1.0], width_exponents=[1.5, 2.0])
    assert settings.singular_values == pytest.approx([60.0, 40.0], rel=0.1)  # an estimate: O(1/√d)
    assert settings.noise == pytest.approx(1.0, rel=0.05)
    known = dataclasses.replace(settings, singular_values=(60.0, 40.0), noise=1.0)
    ours, theirs = (phase_diagram(s)["min_test_error"].values for s in (settings, known))
    np.testing.assert_allclose(ours, theirs, rtol=0.15)
    with pytest.raises(ld.InvalidArgument, match="`target` must have a singular value above"):
        DiagramSettings.like(
            np.random.default_rng(0).normal(size=(50, 50)), variance_exponents=[0], width_exponents=[1]
        )
