"""The learning rate as an axis on the command line."""

import pytest

from helpers.commands import as_json, lindyn

AXES = ("phase-diagram", "--richness=0.01,100", "--learning-rates=1e-5,10")


@pytest.mark.slow
def test_a_portrait_is_computed_written_and_told(tmp_path):
    told = as_json(*AXES, "--points=6", "--steps=200", "--singular-values=1,0.5", f"--out={tmp_path / 'out'}")
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"diagram.zarr", "descend.png"}
    found = told["sources"]["descend"]
    assert found["trained"] + found["diverged"] + found["unfinished"] == told["cells"] == 36
    edges = [edge for edge in found["edges"] if edge["largest_trained"]]
    assert all(e["largest_trained"] < 5 * e["stability_bound"] for e in edges)
    printed = lindyn(*AXES, "--points=3", "--source=predict").stdout
    assert "Learning rates that train, predict" in printed


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--richness=1,2"], "Missing: --learning-rates"),
        (["--learning-rates=1,2"], "Missing: --richness"),
        ([*AXES[1:], "--noise=2"], "--noise must be left out"),
        ([*AXES[1:], "--source=formula"], "--source must be one of"),
        (["--richness=0,2", "--learning-rates=1,2"], "--richness must be positive"),
    ],
)
def test_what_a_portrait_lacks_or_does_not_heed_is_refused(more, part):
    done = lindyn("phase-diagram", *more)
    assert done.returncode == 2
    assert part in done.stderr
