"""The abstract's claims: each example runs and shows its claim in numbers."""

import runpy
from itertools import pairwise
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]()


@pytest.mark.slow
def test_lazy_below_and_active_above_the_threshold():
    result = run("lazy_below_active_above")
    assert result["active"][0] < 0.01  # s = 100 τ
    assert result["lazy"][0] > 0.5
    assert result["lazy"][-1] < 0.001  # s = τ / 100
    assert result["active"][-1] > 0.5
    assert (result["lazy"][:-1] > result["lazy"][1:]).all()


@pytest.mark.slow
def test_alignment_first_then_acceleration():
    result = run("alignment_then_acceleration")
    assert result["alignment_at_start"] < 0.1
    assert result["alignment_at_crossing"] > 0.95
    assert result["share_learned_at_crossing"] < 0.05
    assert result["acceleration"] == pytest.approx(result["predicted_acceleration"], rel=0.15)


@pytest.mark.slow
def test_mixed_converges_from_random_starts_where_balanced_does_not():
    result = run("mixed_converges_where_balanced_does_not")
    assert result["mixed"] == result["starts"]
    assert result["balanced"] == result["starts"] - result["wrong_sign"]
    assert 0 < result["wrong_sign"] < result["starts"]


@pytest.mark.slow
def test_low_rank_bias_in_mixed_and_none_in_lazy():
    result = run("low_rank_bias")
    for name in ("mixed", "lazy"):
        assert result[name]["train_error"] < 2e-5
    assert result["mixed"]["test_error"] < 0.01
    assert result["lazy"]["test_error"] > 0.5
    assert result["mixed"]["effective_rank"] < 4
    assert result["lazy"]["effective_rank"] > 20


@pytest.mark.slow
def test_bottleneck_with_a_chosen_rank():
    result = run("bottleneck_with_a_chosen_rank")
    active, lazy = result["active"], result["lazy"]
    assert active["modes"] == 3
    assert active["fourth"] < 0.1
    assert lazy["fourth"] > 0.5
    assert active["test_error"] < 0.06
    assert lazy["test_error"] > 0.6
    assert max(active["gap"], lazy["gap"]) < 0.01


@pytest.mark.slow
def test_the_mixed_formula_comes_closer_with_width_and_its_rivals_do_not():
    mixed, one_root, sum_of_parts = run("own_formula").values()
    falls = [later / earlier for earlier, later in pairwise(mixed[1:5])]
    assert falls == pytest.approx([10**-0.5] * 3, rel=0.15)  # (2.3): ∝ 1/√w
    assert one_root[-1] == pytest.approx(one_root[-2], rel=0.01)
    assert sum_of_parts[-1] > one_root[-1] > 300 * mixed[-1]


@pytest.mark.slow
def test_three_layers_of_width_1e12_follow_the_deep_mode_curve():
    result = run("three_layers_at_width_1e12")
    assert result["gap"] < 0.001
    assert result["cut_off"] < 1e-4
    assert result["train_error"] < 0.6  # from 2: the signal is learned, a part of the noise not yet


@pytest.mark.slow
def test_the_active_line_moves_with_depth():
    places = run("active_line_moves_with_depth")
    assert places[2] > places[3] > places[4]
    for depth, place in places.items():  # the contour lies inside of the line, by logarithms of d
        assert 0.5 < place / (2 / depth) < 1


@pytest.mark.slow
def test_four_layers_escape_from_1e_minus_30():
    result = run("saddle_to_saddle_from_1e_minus_30")
    assert max(result["steps"]) < 2500
    assert result["times"][1] / result["times"][0] == pytest.approx(2, rel=1e-3)
    assert result["slopes"] == pytest.approx([-2, -2], rel=0.01)
