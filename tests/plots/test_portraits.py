"""The picture of a portrait: its lines stand where the theory has them, and other diagrams are refused."""

import numpy as np
import pytest
import xarray as xr

import lindyn as ld
from lindyn.diagrams import PortraitSettings, phase_diagram
from lindyn.plots import richness_portrait


@pytest.mark.slow
def test_the_lines_are_the_edges_by_theory_and_grey_is_what_diverged():
    settings = PortraitSettings(
        richness=np.logspace(-2, 2, 9), learning_rates=np.logspace(-5, 2, 15), depth=3, steps=100
    )
    diagram = phase_diagram(settings)
    ax = richness_portrait(diagram)
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(
        lines["stability bound $2/\\lambda(\\infty)$"], settings.stability_bound(settings.richness)
    )
    np.testing.assert_allclose(lines["flow reaches the goal"] * 100, [settings.flow_time(g) for g in settings.richness])
    (mesh,) = (c for c in ax.collections if c.get_array() is not None and c.get_array().size == 135)
    np.testing.assert_array_equal(np.ma.getmaskarray(mesh.get_array()), diagram["status"].values[0, 0] == 2)


def test_a_diagram_of_other_axes_is_refused():
    names = ("train_error", "peak_error", "status")
    other = xr.Dataset({name: (("source", "width_exponent"), np.ones((1, 2))) for name in names})
    with pytest.raises(
        ld.InvalidArgument, match="`diagram` must be a portrait, but its axes are source, width_exponent"
    ):
        richness_portrait(other)
