"""Refinement: a boundary from a fifth of the cells, going on where it stopped, refusals."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import lindyn as ld
from lindyn import plots
from lindyn.diagrams import compute, figure2, load_points, phase_diagram, refine

SETTINGS = figure2(sources=["predict"])
LEVEL = 0.25


def offsets(places):
    """How far points of a contour are from where the error is 0.25, along γ_σ², by the theory itself."""
    v, w = places[:, 0], np.maximum(places[:, 1], 0)
    error, beside = (compute(SETTINGS, 0, v + h, w)["predict"]["min_test_error"] for h in (0.0, 0.02))
    slope = (beside - error) / 0.02
    steep = np.abs(slope) > 0.05  # elsewhere the error is level, and a place means little
    assert steep.mean() > 0.8
    return np.abs((error - LEVEL) / slope)[steep]


def places(contour):
    return np.concatenate([segment for segment in contour.allsegs[0] if len(segment)])


@pytest.mark.slow
def test_a_fifth_of_the_cells_finds_the_boundary_better_than_the_grid():
    axes = Figure().subplots()
    points = refine(SETTINGS, level=LEVEL, cells=180)
    x, y, z = (points[n].values for n in ("variance_exponent", "width_exponent", "min_test_error"))
    refined = offsets(places(axes.tricontour(x, y, z, levels=[LEVEL])))
    grid = phase_diagram(SETTINGS).isel(source=0, seed=0)
    x, y, z = (grid[n].values for n in ("variance_exponent", "width_exponent", "min_test_error"))
    gridded = offsets(places(axes.contour(x, y, z, levels=[LEVEL])))
    assert refined.mean() < gridded.mean()
    assert refined.mean() < 0.005


@pytest.mark.slow
def test_a_refinement_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "refined.zarr"
    first = refine(SETTINGS, cells=20, path=path)
    more = refine(SETTINGS, cells=30, path=path)
    assert more.sizes["point"] == 30
    assert more.isel(point=slice(0, 20)).equals(first)
    assert load_points(path).equals(more)
    path.rename(tmp_path / ".refined.zarr.before")  # a run killed between the two renames
    assert load_points(path).equals(more)
    assert refine(SETTINGS, cells=30, path=path).equals(more)
    with pytest.raises(ld.InvalidArgument, match="`quantity`"):
        refine(SETTINGS, cells=30, path=path, quantity="stable_rank")
    assert "contour at 0.25" in plots.refined_panel(more, level=LEVEL).get_title()


@pytest.mark.slow
def test_cells_of_a_refinement_are_single_cells():
    points = refine(SETTINGS, cells=15, quantity="stable_rank")
    alone = compute(SETTINGS, 0, points["variance_exponent"].values[7:8], points["width_exponent"].values[7:8])
    assert float(points["stable_rank"][7]) == pytest.approx(alone["predict"]["stable_rank"][0], rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "arguments", "name"),
    [
        (figure2(sources=["predict", "spectral"]), {}, "sources"),
        (figure2(sources=["predict"], seeds=[0, 1]), {}, "seeds"),
        (figure2(sources=["predict"], width_exponents=[1.0]), {}, "variance_exponents"),
        (SETTINGS, {"quantity": "magic"}, "quantity"),
        (SETTINGS, {"cells": 2}, "cells"),
        (SETTINGS, {"level": float("nan")}, "level"),
    ],
)
def test_bad_refinements_are_refused_by_name(settings, arguments, name):
    with pytest.raises(ld.InvalidArgument, match=f"`{name}`"):
        refine(settings, **arguments)


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "refined.zarr").mkdir()
    with pytest.raises(ld.InvalidArgument, match="`path` must hold a refinement"):
        refine(SETTINGS, cells=10, path=tmp_path / "refined.zarr")
