"""Figures: what is drawn, read back from the axes."""

import numpy as np
import pytest

import lindyn as ld
from lindyn import plots
from lindyn.networks.laws import standard
from lindyn.prediction.large_d import predict


@pytest.fixture(scope="module")
def runs():
    task = ld.SpikedMatrix(dim=30, rank=2, key=0)
    net = ld.TwoLayer.gaussian(30, width=10**6, variance=1e-6, key=1)
    descent = ld.simulate(net, task, ld.GradientDescent(learning_rate="figure1", steps=20))
    formula = ld.simulate(ld.Mixed.matching(net), task, times=descent)
    return descent, formula


@pytest.mark.slow
def test_errors_draw_the_recorded_values_with_labels(runs):
    descent, formula = runs
    ax = plots.errors(descent, formula)
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(drawn["train: simultaneous gradient descent"], descent["train_error"])
    np.testing.assert_array_equal(drawn["test: closed form"], formula["test_error"])
    assert ax.get_xlabel() == "gradient-descent step"
    assert ax.get_ylabel() == "error per entry"


@pytest.mark.slow
def test_flow_without_steps_is_drawn_against_time(runs):
    task = ld.SpikedMatrix(dim=5, rank=1, key=0)
    run = ld.simulate(ld.Mixed(1.0), task, times=[0.0, 1.0])
    assert run.plot().get_xlabel() == "flow time $t$ (learning rate × step)"


def test_singular_values_show_threshold_modes_and_band(runs):
    ax = plots.singular_values(*runs, signal_modes=2)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("threshold" in label for label in labels)
    assert "modes 3 … 30" in labels
    threshold = runs[0].info.threshold
    assert any(np.allclose(line.get_ydata(), threshold) for line in ax.lines)
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(runs[0]["singular_values"][:, 2].max())


@pytest.mark.slow
def test_figures_are_written_in_the_format_of_their_suffix(runs, tmp_path):
    figure = plots.figure1(*runs, signal_modes=2)
    for suffix, magic in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        path = plots.save_figure(figure, tmp_path / f"figure{suffix}")
        assert path.read_bytes().startswith(magic)


def test_prediction_figure_has_both_panels():
    run = predict(100, standard(width=10**6, variance=1e-6), rank=3, steps=50)
    left, right = plots.prediction(run).axes
    assert left.get_ylabel() == "error per entry"
    assert len(right.lines) == 4


def test_the_leading_modes_are_drawn_where_nobody_says_how_many(runs):
    ax = plots.singular_values(runs[0])
    drawn = [line.get_ydata() for line in ax.lines]
    for k in range(6):
        np.testing.assert_array_equal(drawn[k], runs[0]["singular_values"][:, k])
    assert ax.get_legend().get_texts()[0].get_text() == "modes 1 … 6"


def test_no_two_runs_share_name_and_style(runs):
    ax = plots.errors(*[runs[0]] * 9)
    styles = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in ax.lines}
    assert len(styles) == len({line.get_label() for line in ax.lines}) == 18
    ax = plots.errors(*runs, labels=["exact", "theory"])
    assert [line.get_label() for line in ax.lines] == ["train: exact", "test: exact", "train: theory", "test: theory"]
    with pytest.raises(ld.InvalidArgument, match="labels"):
        plots.errors(*runs, labels=["exact"])


def test_labelled_arrays_draw_as_their_trajectory(runs):
    ours, theirs = plots.singular_values(runs[0]), plots.singular_values(runs[0].to_xarray())
    for one, other in zip(ours.lines, theirs.lines, strict=True):
        np.testing.assert_array_equal(one.get_ydata(), other.get_ydata())


def test_a_suffix_without_a_format_is_refused(runs, tmp_path):
    with pytest.raises(ld.InvalidArgument, match=r"\.png"):
        plots.save_figure(runs[0].plot().figure, tmp_path / "figure.xyz")


def a_diagram(points):
    settings = ld.diagrams.DiagramSettings(
        variance_exponents=tuple(np.linspace(-3, 0, points)), width_exponents=tuple(np.linspace(0.0, 2.8, points)),
        shape=100, rank=3, sources=("predict",), steps=100,
    )  # fmt: skip
    return ld.phase_diagram(settings)


@pytest.mark.slow
def test_contours_need_ten_points_a_side_and_hatches_cover_whole_cells():
    small, large = (plots.phase_panels(a_diagram(points)) for points in (4, 12))
    contours = [sum(type(c).__name__ == "QuadContourSet" for c in f.axes[0].get_children()) for f in (small, large)]
    assert contours == [0, 1]
    cells = next(c for c in small.axes[4].get_children() if getattr(c, "get_hatch", lambda: None)() == "....")
    corners = np.concatenate([path.vertices for path in cells.get_paths()])
    assert corners[:, 1].max() == pytest.approx(0.5 * 2.8 / 3)  # the row w = 1, up to midway to the next
    labels = [text.get_text() for text in small.legends[0].get_texts()]
    assert len(labels) == len(set(labels))  # one legend for all panels
    assert {"stopped by the budget of steps", "underparameterised, $w <$ rank"} <= set(labels)


def test_wrong_trajectories_are_refused_by_name(runs):
    task = ld.SpikedMatrix(dim=5, rank=1, key=0)
    bare = ld.simulate(ld.Mixed(1.0), task, times=[0.0, 1.0], observables="stable_rank")
    with pytest.raises(ld.InvalidArgument, match="train_error"):
        plots.errors(bare)
    with pytest.raises(ld.InvalidArgument, match="singular_values"):
        plots.singular_values(bare)
    with pytest.raises(ld.InvalidArgument, match="runs"):
        plots.errors()
