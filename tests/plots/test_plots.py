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


def test_errors_draw_the_recorded_values_with_labels(runs):
    descent, formula = runs
    ax = plots.errors(descent, formula)
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(drawn["train: simultaneous gradient descent"], descent["train_error"])
    np.testing.assert_array_equal(drawn["test: closed form"], formula["test_error"])
    assert ax.get_xlabel() == "gradient-descent step"
    assert ax.get_ylabel() == "error per entry"


def test_flow_without_steps_is_drawn_against_time(runs):
    task = ld.SpikedMatrix(dim=5, rank=1, key=0)
    run = ld.simulate(ld.Mixed(1.0), task, times=[0.0, 1.0])
    assert run.plot().get_xlabel() == "flow time $t$"


def test_singular_values_show_threshold_modes_and_band(runs):
    ax = plots.singular_values(*runs, signal_modes=2)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("threshold" in label for label in labels)
    assert any("all other modes" in label for label in labels)
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


def test_wrong_trajectories_are_refused_by_name(runs):
    task = ld.SpikedMatrix(dim=5, rank=1, key=0)
    bare = ld.simulate(ld.Mixed(1.0), task, times=[0.0, 1.0], observables="stable_rank")
    with pytest.raises(ld.InvalidArgument, match="train_error"):
        plots.errors(bare)
    with pytest.raises(ld.InvalidArgument, match="singular_values"):
        plots.singular_values(bare)
    with pytest.raises(ld.InvalidArgument, match="runs"):
        plots.errors()
