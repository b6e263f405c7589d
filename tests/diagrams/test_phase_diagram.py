"""Phase diagrams: cells against single runs, stopping rules, resuming, refusals, figures."""

import dataclasses
import math

import numpy as np
import pytest

import lindyn as ld
from lindyn import plots
from lindyn.diagrams import DiagramSettings, compute, figure2, phase_diagram
from lindyn.diagrams.stopping import begin, note
from lindyn.networks import deep_laws
from lindyn.networks.laws import exponents
from lindyn.prediction import phase_of
from lindyn.support.precision import working_precision
from lindyn.support.randomness import stream

SMALL = DiagramSettings(
    variance_exponents=(-2.5, -1.5, -0.5),
    width_exponents=(0.0, 1.0, 2.5),
    shape=(30, 40),
    rank=2,
    sources=("predict", "spectral", "descend", "formula"),
    steps=120,
    dtype="float64",
)


@pytest.fixture(scope="module")
def diagram():
    return phase_diagram(SMALL)


def cells_of(settings):
    """Place, exponents, variance and width of every cell."""
    for i, gamma_w in enumerate(settings.width_exponents):
        for j, gamma_v in enumerate(settings.variance_exponents):
            d = math.sqrt(math.prod(settings.shape))
            yield (i, j), (gamma_v, gamma_w), d**gamma_v, max(1, round(d**gamma_w))


def start_of(gammas, variance, width, seed=0):
    """The start that a cell draws: by its seed and place."""
    key = stream("seeds", seed, "cells", *np.array(gammas).view(np.uint64).tolist())
    return ld.TwoLayer.gaussian(SMALL.shape, width, variance, key=key)


def twin_of(net):
    """The λ-balanced start of the formula; the smaller side of 30 × 40 is the output."""
    return ld.TwoLayer.balanced(threshold=net.threshold, width=30, side="out", start=net.matrix)


def published_stop(train, test):
    """The published rules, written as the theory states them: last step, and best step before it."""
    last = len(train) - 1
    for n in range(1, len(train)):
        risen_twice = n >= 2 and test[n] > test[n - 1] > test[n - 2]
        stalled = abs(train[n] - train[n - 1]) < 2e-4 and train[0] - train[n] > 1e-2
        if train[n] < 1e-3 or risen_twice or stalled:
            last = n
            break
    return last, int(np.argmin(test[: last + 1]))


@pytest.mark.parametrize("source", ["descend", "formula"])
@pytest.mark.slow
def test_simulated_cells_are_single_runs_stopped_by_the_published_rules(diagram, source):
    for (i, j), gammas, variance, width in cells_of(SMALL):
        cell = diagram.sel(source=source).isel(seed=0, width_exponent=i, variance_exponent=j)
        net = start_of(gammas, variance, width)
        method = ld.GradientDescent(learning_rate=float(cell["learning_rate"]), steps=120, order="sequential")
        run = ld.simulate(
            net if source == "descend" else twin_of(net),
            SMALL.task(0),
            method,
            observables=["train_error", "test_error", "stable_rank"],
        )
        last, best = published_stop(run["train_error"], run["test_error"])
        assert int(cell["last_step"]) == last
        assert int(cell["steps_to_min"]) == best
        assert float(cell["min_test_error"]) == pytest.approx(run["test_error"][best], rel=1e-9)
        assert float(cell["stable_rank"]) == pytest.approx(run["stable_rank"][best], rel=1e-8)
        assert float(cell["train_error"]) == pytest.approx(run["train_error"][last], rel=1e-9)


@pytest.mark.slow
def test_distance_is_the_largest_between_the_two_runs(diagram):
    """To the λ-balanced twin exactly, and to the symmetric orthogonal start up to the order of a step."""
    for (i, j), gammas, variance, width in cells_of(SMALL):
        cell = diagram.sel(source="descend").isel(seed=0, width_exponent=i, variance_exponent=j)
        net = start_of(gammas, variance, width)
        steps = int(cell["last_step"])
        method = ld.GradientDescent(learning_rate=float(cell["learning_rate"]), steps=steps, order="sequential")
        other = ld.TwoLayer.orthogonal(threshold=net.threshold, start=net.matrix)
        runs = [
            ld.simulate(n, SMALL.task(0), method, observables="matrix")["matrix"] for n in (net, twin_of(net), other)
        ]
        twin, symmetric = (np.mean((runs[0] - r) ** 2, axis=(1, 2)).max() for r in runs[1:])
        assert float(cell["distance"]) == pytest.approx(twin, rel=1e-7)
        assert math.sqrt(float(cell["distance"])) == pytest.approx(math.sqrt(symmetric), abs=2e-3)


@pytest.mark.slow
def test_lanes_side_by_side_change_nothing(diagram):
    """Cells that enter and leave three lanes give what each gives alone."""
    settings = dataclasses.replace(SMALL, sources=("descend", "formula"), seeds=(0,))
    together = phase_diagram(settings, lanes=3)
    alone = diagram.sel(source=["descend", "formula"])
    for name in ("min_test_error", "last_step", "distance", "stable_rank"):
        np.testing.assert_allclose(together[name].values, alone[name].values, rtol=1e-7)


@pytest.mark.slow
def test_a_cell_depends_on_its_seed_and_place_alone(diagram):
    settings = dataclasses.replace(SMALL, sources=("descend",))
    found = compute(settings, 0, [SMALL.variance_exponents[2], SMALL.variance_exponents[0]], [2.5, 1.0])["descend"]
    cells = diagram["min_test_error"].sel(source="descend").isel(seed=0).values
    np.testing.assert_allclose(found["min_test_error"], [cells[2, 2], cells[1, 0]], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Prediction:lindyn.prediction.validity.ValidityWarning")
def test_predicted_cells_are_single_predictions_stopped_by_the_published_rules(diagram):
    for i, width_exponent in enumerate(SMALL.width_exponents):
        for j, variance_exponent in enumerate(SMALL.variance_exponents):
            cell = diagram.sel(source="predict").isel(seed=0, width_exponent=i, variance_exponent=j)
            law = exponents(SMALL.shape, variance_exponent=variance_exponent, width_exponent=width_exponent)
            run = ld.predict(SMALL.shape, law, rank=2, steps=120)
            last, best = published_stop(run["train_error"], run["test_error"])
            assert (int(cell["last_step"]), int(cell["steps_to_min"])) == (last, best)
            assert float(cell["min_test_error"]) == pytest.approx(run["test_error"][best])
            assert float(cell["stable_rank"]) == pytest.approx(run["stable_rank"][best])


@pytest.mark.slow
def test_spectral_cells_are_the_closed_form_from_zero_where_the_start_is_small(diagram):
    cell = diagram.sel(source="spectral").isel(seed=0, width_exponent=1, variance_exponent=0)
    _, _, variance, width = list(cells_of(SMALL))[3]
    times = float(cell["learning_rate"]) * np.arange(121)
    run = ld.simulate(ld.Mixed(variance * width), SMALL.task(0), times=times, observables=["train_error", "test_error"])
    last, best = published_stop(run["train_error"], run["test_error"])
    assert abs(int(cell["last_step"]) - last) <= 1
    assert float(cell["min_test_error"]) == pytest.approx(run["test_error"][best], rel=1e-3)


@pytest.mark.slow
def test_stopping_follows_given_curves():
    """Four curves: one for each rule, and one that never stops."""
    steps = np.arange(101.0)
    train = np.stack([2.0 * 0.9**steps, np.full(101, 2.0), 1 + np.exp(-steps / 5), 2 - steps / 200])
    test = np.stack(
        [3 - steps / 100, np.where(steps < 30, 2 - steps / 100, 1 + steps / 100), 2 - steps / 100, 2 - steps / 100]
    )
    with working_precision(np.float64):
        watch = begin(train[:, 0], test[:, 0], 1.0)
        for n in range(1, 101):
            watch, _ = note(watch, n, train[:, n], test[:, n], 1.0)
    for k in range(4):
        assert (int(watch.last_step[k]), int(watch.best_step[k])) == published_stop(train[k], test[k])
    assert len(set(np.asarray(watch.last_step).tolist())) == 4
    assert np.asarray(watch.running).tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"variance_exponents": (0.0, -1.0)}, "variance_exponents"),
        ({"width_exponents": (-1.0, 1.0)}, "width_exponents"),
        ({"rank": 31}, "rank"),
        ({"sources": ("magic",)}, "sources"),
        ({"sources": ()}, "sources"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"steps": 0}, "steps"),
        ({"dtype": "int8"}, "dtype"),
    ],
)
def test_bad_settings_are_refused_by_name(change, name):
    with pytest.raises(ld.InvalidArgument, match=f"`{name}`"):
        dataclasses.replace(SMALL, **change)


@pytest.mark.slow
def test_published_contours_run_along_the_line_of_constant_threshold():
    """In the active region the test error depends on σ²w alone: contours are parallel to the black line."""
    diagram = phase_diagram(figure2(sources=["predict"])).isel(source=0, seed=0)
    error = diagram["min_test_error"].values
    variance, width = diagram["variance_exponent"].values, diagram["width_exponent"].values
    for level in (0.1, 0.25):
        places = []
        for i, gamma_width in enumerate(width):
            crossing = np.interp(level, error[i], variance)
            if 2 * crossing + gamma_width < -0.8:  # far from infinite noise
                places.append(crossing + gamma_width)
        assert len(places) >= 3
        assert np.ptp(places) < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.006, 0.01], ids=["0.15 of the bound", "0.25 of the bound"])
def test_predicted_cells_make_the_steps_of_simulated_ones(rate):
    """At width 30^5.5 = 10^8 what is left is √(d/w): the flow would be off by 0.002 to 0.016."""
    settings = DiagramSettings(
        shape=30, rank=2, variance_exponents=(-6.0, -5.5, -5.2), width_exponents=(5.5,), learning_rate=rate,
        sources=("spectral", "descend"), steps=300, dtype="float64",
    )  # fmt: skip
    theory, simulated = (phase_diagram(settings).isel(source=k) for k in (0, 1))
    np.testing.assert_allclose(theory["min_test_error"], simulated["min_test_error"], atol=1e-4)
    np.testing.assert_allclose(theory["stable_rank"], simulated["stable_rank"], rtol=1e-3)
    assert (theory["steps_to_min"] == simulated["steps_to_min"]).all()


@pytest.mark.slow
def test_figure_has_a_panel_for_each_quantity(diagram):
    figure = plots.phase_panels(diagram, source="descend")
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert len(titles) == 6
    assert "descend" in figure._suptitle.get_text()
    with pytest.raises(ld.InvalidArgument, match="`source`"):
        plots.phase_panels(diagram, source="magic")
    with pytest.raises(ld.InvalidArgument, match="`seed`"):
        plots.phase_panels(diagram, seed=9)


@pytest.mark.parametrize("depth", [2, 3])
def test_phases_of_cells_are_those_of_the_law_of_each(depth):
    grid = np.linspace(-3.2, -1.2, 9), np.linspace(0.1, 2.5, 5)
    settings = DiagramSettings(shape=60, rank=3, depth=depth, variance_exponents=grid[0], width_exponents=grid[1])
    found = settings.phases()
    for i, width_exponent in enumerate(grid[1]):
        for k, variance_exponent in enumerate(grid[0]):
            width = max(1, round(60**width_exponent))
            law = deep_laws.deep_standard((width,) * (depth - 1), 60**variance_exponent)
            expected = phase_of(
                law.threshold, settings.signal_spectrum(), width=width, start_variance=law.start_variance
            )
            assert found[i, k] == expected
    assert len(np.unique(found)) > 3


def test_phases_do_not_depend_on_the_unit_of_the_signal():
    grid = {"shape": 60, "rank": 3, "width_exponents": np.linspace(0.1, 2.5, 5)}
    plain = DiagramSettings(**grid, variance_exponents=np.linspace(-3.2, -1.2, 9))
    # A* times c = d, and layers times √c: σ² and τ grow by c, n₀ and an entry's mean square by c²
    other = DiagramSettings(**grid, variance_exponents=np.linspace(-2.2, -0.2, 9), scale=60.0)
    np.testing.assert_array_equal(plain.phases(), other.phases())
