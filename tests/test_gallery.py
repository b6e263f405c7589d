"""What the gallery's pictures show, in numbers."""

import runpy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

GALLERY = Path(__file__).parents[1] / "gallery"


def variables(name):
    """Run a script of the gallery, and return its variables."""
    from matplotlib import pyplot as plt

    (path,) = GALLERY.glob(f"*/{name}.py")
    found = runpy.run_path(str(path))
    plt.close("all")
    return found


def test_scripts_begin_with_a_title_and_are_numbered_within_their_theme():
    for folder in sorted(p for p in GALLERY.iterdir() if p.is_dir()):
        scripts = sorted(folder.glob("*.py"))
        assert [int(p.name[:2]) for p in scripts] == list(range(1, len(scripts) + 1)), folder
        for path in scripts:
            title, line = path.read_text().splitlines()[1:3]
            assert set(line) == {"="}, path
            assert len(line) == len(title), path


@pytest.mark.slow
def test_the_mixed_formula_comes_closer_with_width_and_its_rival_does_not():
    mixed, rival = np.array(variables("05_your_own_formula")["distances"]).T
    falls = [later / earlier for earlier, later in pairwise(mixed[1:5])]
    assert falls == pytest.approx([10**-0.5] * 3, rel=0.15)  # (2.3): ∝ 1/√w
    assert rival[-1] == pytest.approx(rival[-2], rel=0.01)
    assert rival[-1] > 300 * mixed[-1]


@pytest.mark.slow
def test_three_layers_of_width_1e12_follow_the_deep_mode_curve():
    found = variables("02_three_layers_at_any_width")
    assert found["gap"] < 0.001
    assert found["run"].info.reduction_error < 1e-4


@pytest.mark.slow
def test_the_active_line_moves_with_depth():
    places = variables("04_the_active_line")["places"]
    assert places[2] > places[3] > places[4]
    for depth, place in places.items():  # the contour lies inside of the line, by logarithms of d
        assert 0.5 < place / (2 / depth) < 1


@pytest.mark.slow
def test_four_layers_escape_from_1e_minus_30():
    found = variables("05_saddle_to_saddle")
    assert max(found["steps"]) < 2500
    assert np.multiply(found["times"], found["modes"]) == pytest.approx(0.5e60, rel=1e-3)  # α^−(L−2)/((L−2) s), L = 4


@pytest.mark.slow
def test_a_small_threshold_leaves_the_signal_without_the_noise():
    best = variables("04_bottleneck")["best"]
    active, lazy = best[0.01], best[10.0]
    assert active["error"] < 0.06
    assert active["fourth"] < 0.1
    assert lazy["error"] > 0.6
    assert lazy["fourth"] > 0.5
    assert max(active["gap"], lazy["gap"]) < 0.01


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of other packages' imports
def test_a_model_of_ones_own_collapses_in_the_trainer():
    log = variables("05_collapse_in_the_trainer")["log"]
    assert all(entry["lindyn/certificate"] > entry["lindyn/nc1"] for entry in log)
    assert log[-1]["lindyn/nc1"] < 0.5 * log[2]["lindyn/nc1"]
    assert log[-1]["lindyn/balancedness"] < 0.3 * log[2]["lindyn/balancedness"]  # e^{−2μt}, t = 135: 0.26
