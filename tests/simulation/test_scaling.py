"""Powers of time and compute: losses that are powers by construction, and powers that are not."""

from dataclasses import replace

import numpy as np
import pytest

import lindyn as ld
from helpers.refusals import refused
from lindyn.simulation import compute_frontier, scaling_exponent

TASK = ld.tasks.DiagonalRegression([1.0], [1.0])
TIMES = np.geomspace(1, 1e8, 81)
RUN = ld.simulate(ld.Lazy(0.5), TASK, times=[0.0, *TIMES], observables="loss")


def run_of(loss, times=TIMES):
    """A trajectory with a loss of our own; the record at time 0 is not fitted."""
    return replace(RUN, time=np.r_[0.0, times], data={"loss": np.r_[1e9, loss]})


def test_a_power_is_found_with_its_window():
    found = scaling_exponent(run_of(3 * TIMES**-0.4))
    assert found.exponent == pytest.approx(0.4, abs=1e-12)
    assert found.uncertainty < 1e-10
    assert found.window == pytest.approx((1e7, 1e8))
    assert found.records == 11
    assert found.steady
    assert "0.4" in str(found)


def test_a_crossover_gives_the_later_power_and_a_window_the_earlier():
    run = run_of(1 / (TIMES**0.3 + 1e-2 * TIMES**0.9))  # the two are equal at t = 10^(10/3)
    assert scaling_exponent(run).exponent == pytest.approx(0.9, abs=0.01)
    early = scaling_exponent(run, window=(1.0, 10.0))
    assert early.exponent == pytest.approx(0.3, abs=0.02)
    assert early.window == pytest.approx((1.0, 10.0))


def test_an_end_that_is_no_power_is_left_out():
    run = run_of(TIMES**-0.5 * np.exp(-TIMES / 1e7))
    found = scaling_exponent(run)
    assert found.exponent == pytest.approx(0.5, abs=0.02)
    assert found.window[1] < 1e7


def test_a_floor_is_a_plateau_until_it_is_taken_off():
    run = run_of(TIMES**-0.5 + 1e-3)
    assert scaling_exponent(run, floor=1e-3).exponent == pytest.approx(0.5, abs=1e-6)
    assert scaling_exponent(run).window[1] < 1e6  # where the loss is at its floor no window is taken


def test_a_power_that_still_changes_says_so():
    """L = 1/(1 + ln²t): the local power is 2 ln t/(1 + ln²t), never constant."""
    times = np.geomspace(2, 300, 40)
    found = scaling_exponent(run_of(1 / (1 + np.log(times) ** 2), times))
    assert not found.steady
    assert "still changes" in str(found)
    assert found.uncertainty >= 0.5 * abs(found.halves[1] - found.halves[0]) - 1e-15


def test_the_frontier_of_a_sum_of_powers_has_the_derived_powers():
    """L = t^−χ + N^−a on a dense grid of sizes: L* ~ C^{−aχ/(a+χ)}, N* ~ C^{χ/(a+χ)} (works 10.7)."""
    chi, a = 0.6, 0.75
    sizes = np.geomspace(10, 1e5, 400)
    runs = [run_of(TIMES**-chi + n**-a) for n in sizes]
    best = compute_frontier(runs, sizes)
    assert best.exponent.exponent == pytest.approx(a * chi / (a + chi), abs=2e-3)
    assert best.size_exponent == pytest.approx(chi / (a + chi), abs=2e-2)
    draws = [[run_of(0.5 * run["loss"][1:]), run_of(1.5 * run["loss"][1:])] for run in runs]
    np.testing.assert_allclose(compute_frontier(draws, sizes).loss, best.loss, rtol=1e-12)
    assert np.all(best.loss <= TIMES[0] ** -chi + sizes[0] ** -a)
    arrays = best.to_xarray()
    assert arrays["losses"].shape == (400, best.compute.size)
    np.testing.assert_array_equal(arrays["losses"].min("size"), best.loss)
    assert best.plot().get_ylabel() == "loss"
    few = compute_frontier(runs[:2], sizes[:2])
    assert few.exponent is None
    assert few.capped.all()
    assert "too few" in str(few)


@refused(
    [
        (lambda: scaling_exponent("x"), "run", "be a Trajectory"),
        (lambda: scaling_exponent(RUN, "cost"), "observable", "one of"),
        (lambda: scaling_exponent(run_of(1 / TIMES), window=(1.0, 1.1)), "window", "at least 5 records"),
        (lambda: scaling_exponent(run_of(TIMES**-0.5), floor=1e-3), "floor", "below all values"),
        (lambda: scaling_exponent(run_of(TIMES**0.0)), "run", "falls by 10 %"),
        (lambda: scaling_exponent(run_of(0 * TIMES)), "run", "keep 'loss' above 0"),
        (
            lambda: compute_frontier([[run_of(1 / TIMES), run_of(1 / TIMES[1:], TIMES[1:])], RUN], [1, 2]),
            "runs",
            "equal times",
        ),
        (lambda: compute_frontier([RUN, RUN], [2, 1]), "sizes", "increasing"),
        (lambda: compute_frontier([run_of(1 / TIMES)] * 2, [1, 10**9]), "runs", "share a range of compute"),
    ]
)
def test_what_has_no_power_is_refused(refusal):
    refusal.check()
