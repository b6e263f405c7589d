"""Skills: the task against plain NumPy and regression, its curves and times against training of layers."""

import numpy as np
import pytest

import lindyn as ld
from helpers.reference import relative

FREQUENCIES, STRENGTHS = [1.0, 0.5, 0.2], [2.0, 1.0, 3.0]


def test_skills_are_regression_on_uncorrelated_inputs_of_their_variances():
    skills, a = ld.tasks.Skills(FREQUENCIES, STRENGTHS), np.random.default_rng(0).standard_normal((3, 3))
    inputs = np.diag(np.sqrt(3 * np.array(FREQUENCIES)))
    regression = ld.Regression(inputs, inputs @ np.diag(STRENGTHS))
    assert float(skills.cost(a)) == pytest.approx(float(regression.cost(a)), rel=1e-13)
    assert relative(skills.gradient(a), regression.gradient(a)) < 1e-13
    assert float(skills.train_error(a)) == pytest.approx(float(regression.train_error(a)), rel=1e-13)
    assert skills.curvature() == pytest.approx(regression.curvature())


@pytest.mark.parametrize("start", [0.0, [0.1, -0.5, 4.0]])
def test_each_skill_follows_its_own_clock_under_the_formula(start):
    """`Flow` integrates the matrix to 1e-9; the curves are closed forms."""
    task, times = ld.tasks.Skills(FREQUENCIES, STRENGTHS), np.linspace(0, 4, 9)
    mixed = ld.Mixed(0.3, np.diag(np.broadcast_to(start, 3)))
    run = ld.simulate(mixed, task, ld.Flow(rtol=1e-10, atol=1e-12), times=times, observables="matrix")
    learned = np.asarray(run["matrix"])
    assert np.abs(np.diagonal(learned, axis1=1, axis2=2) - task.curves(0.3, times, start=start)).max() < 1e-8
    assert np.abs(learned - np.einsum("tij,ij->tij", learned, np.eye(3))).max() < 1e-8


def test_emergence_times_are_where_the_curves_reach_the_share():
    task = ld.tasks.Skills(FREQUENCIES, STRENGTHS)
    times = task.emergence_times(0.05, share=0.7)
    assert relative(np.diag(task.curves(0.05, times)), 0.7 * np.array(STRENGTHS)) < 1e-12


def test_equal_frequencies_have_the_closed_form_of_a_matrix():
    task = ld.tasks.Skills([0.5, 0.5], [1.0, 2.0])
    run = ld.simulate(ld.Mixed(0.1), task, ld.ClosedForm(), times=[0.0, 3.0], observables="matrix")
    assert relative(np.diag(run["matrix"][-1]), task.curves(0.1, [3.0])[0]) < 1e-12
    assert ld.tasks.Skills(FREQUENCIES).quadratic() is None


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ld.tasks.Skills([1.0, 0.0]), "frequencies"),
        (lambda: ld.tasks.Skills([1.0, 2.0], [1.0, -1.0]), "strength"),
        (lambda: ld.tasks.Skills([1.0, 2.0], [1.0]), "strength"),
        (lambda: ld.tasks.Skills([1.0]).emergence_times(0.1, share=1.0), "share"),
        (lambda: ld.tasks.Skills.power_law(0, exponent=1.0), "count"),
        (lambda: ld.tasks.Skills.power_law(3, exponent=-1.0), "exponent"),
    ],
)
def test_skills_without_meaning_are_refused(call, name):
    with pytest.raises(ld.InvalidArgument, match=name):
        call()
