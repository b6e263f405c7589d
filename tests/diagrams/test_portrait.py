"""The portrait: its cells against descent of wide networks written in NumPy, its edges, its store."""

import numpy as np
import pytest

import lindyn as ld
from lindyn.diagrams import DiagramSettings, PortraitSettings, compute_portrait, load_diagram, phase_diagram


def descent(target, depth, gamma, rate, steps, width=9):
    """Shares of the first cost along plain descent of random orthogonal layers with orthogonal images."""
    rng, (d_out, d_in) = np.random.default_rng(3), target.shape
    hidden = [np.linalg.qr(rng.standard_normal((width, width)))[0] for _ in range(depth - 2)]
    frame = np.linalg.qr(rng.standard_normal((width, width)))[0]
    last = frame[:, d_in : d_in + d_out]
    for w in hidden:
        last = w @ last
    layers, shares = [frame[:, :d_in], *hidden, last.T], []
    for _ in range(steps + 1):
        below = [np.eye(d_in)]
        for w in layers:
            below.append(w @ below[-1])
        left = below.pop() / gamma - target
        shares.append(np.sum(left**2) / np.sum(target**2))
        above = left / gamma
        for k in reversed(range(depth)):
            above, layers[k] = layers[k].T @ above, layers[k] - rate * above @ below[k].T
    return np.array(shares)


@pytest.mark.parametrize("depth", [2, 4])
@pytest.mark.parametrize(("gamma", "rate"), [(0.1, 0.002), (3.0, 0.1), (0.1, 0.0035)])
def test_a_cell_is_the_descent_of_a_wide_network(depth, gamma, rate):
    rng = np.random.default_rng(0)
    target = rng.standard_normal((2, 3))
    values = np.linalg.svd(target, compute_uv=False)
    settings = PortraitSettings(
        richness=[gamma], learning_rates=[rate], depth=depth, singular_values=values, steps=60, goal=0.5
    )
    cell = compute_portrait(settings, [gamma], [rate])["descend"]
    shares = descent(target, depth, gamma, rate, 60)
    assert cell["reason"][0] == ""
    # the same arithmetic in another basis, to rounding
    np.testing.assert_allclose(cell["train_error"], shares[-1:], rtol=1e-8, atol=1e-20)
    np.testing.assert_allclose(cell["peak_error"], shares.max(keepdims=True), rtol=1e-8)
    above = np.flatnonzero(shares >= 0.5)[-1]
    expected = np.nan if above == 60 else above + 1.0
    np.testing.assert_equal(cell["steps_to_goal"][0], expected)


def test_what_is_predicted_is_the_limit_of_small_steps():
    settings = PortraitSettings(
        richness=[0.1, 30.0], learning_rates=[1.0], depth=3, singular_values=[1.0, 0.6], steps=4000,
        sources=["predict", "descend"],
    )  # fmt: skip
    found = compute_portrait(settings, [0.1, 30.0], [2e-6, 0.02])
    np.testing.assert_allclose(found["descend"]["sharpness"], found["predict"]["sharpness"], rtol=5e-3)
    # first order in ηλ = 1/500, times the logarithm of what is left
    np.testing.assert_allclose(found["descend"]["train_error"], found["predict"]["train_error"], rtol=0.02)
    np.testing.assert_allclose(found["descend"]["steps_to_goal"], found["predict"]["steps_to_goal"], rtol=5e-3)


def test_above_the_bound_a_lazy_network_catapults_and_beyond_it_diverges():
    settings = PortraitSettings(richness=[0.05], learning_rates=[1.0], sources=["predict", "descend"])
    bound = settings.stability_bound([0.05])
    assert bound[0] == pytest.approx(0.05 / np.hypot(1, 20), rel=1e-8)  # γ/√(s² + γ⁻²), works (9.3)
    found = compute_portrait(settings, [0.05] * 3, bound * [0.9, 1.6, 2.2])
    descended, predicted = found["descend"], found["predict"]
    assert descended["peak_error"][0] == 1
    assert descended["peak_error"][1] > 10
    assert descended["unfinished"][1] == 0
    assert descended["sharpness"][1] * 1.6 * bound[0] < 2  # it comes back to where descent is stable
    assert "diverged at step" in descended["reason"][2]
    assert np.isnan(descended["train_error"][2])
    assert [bool(r) for r in predicted["reason"]] == [False, True, True]


def test_a_portrait_is_stored_resumed_and_read(tmp_path, monkeypatch):
    monkeypatch.setattr("lindyn.diagrams.portrait._STEPS_OF_A_UNIT", 1)  # a row is a unit
    settings = PortraitSettings(richness=[0.1, 10.0], learning_rates=[1e-3, 1e-2, 1.0], depth=3, steps=50)
    made = phase_diagram(settings, path=tmp_path / "p.zarr")
    assert made["status"].dims == ("source", "seed", "learning_rate", "richness")
    read = load_diagram(tmp_path / "p.zarr")
    assert made.identical(phase_diagram(settings))
    assert read.drop_attrs().equals(made.drop_attrs())
    read["train_error"].close()
    again = phase_diagram(settings, path=tmp_path / "p.zarr")
    assert again.equals(made)
    with pytest.raises(ld.InvalidArgument, match="steps"):
        phase_diagram(PortraitSettings(richness=[0.1, 10.0], learning_rates=[1e-3, 1e-2, 1.0], depth=3, steps=60),
                      path=tmp_path / "p.zarr")  # fmt: skip
    other = DiagramSettings(variance_exponents=(-2.0, -1.0), width_exponents=(1.5, 2.0), shape=20, rank=2)
    with pytest.raises(ld.InvalidArgument, match="other axes"):
        phase_diagram(other, path=tmp_path / "p.zarr")


def test_a_portrait_is_not_refined_but_estimated():
    settings = PortraitSettings(richness=[0.1, 1.0], learning_rates=[0.1, 0.2, 0.3], steps=100)
    with pytest.raises(ld.InvalidArgument, match="must be DiagramSettings"):
        ld.diagrams.refine(settings)
    cost = ld.diagrams.estimate(settings)
    assert (cost.cells, cost.steps) == (6, 600)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"richness": [1.0, 0.5]}, "richness"),
        ({"richness": [0.0, 0.5]}, "richness"),
        ({"learning_rates": [0.1, 0.1]}, "learning_rates"),
        ({"singular_values": [-1.0]}, "singular_values"),
        ({"depth": 1}, "depth"),
        ({"steps": 0}, "steps"),
        ({"goal": 1.0}, "goal"),
        ({"sources": ["spectral"]}, "sources"),
        ({"sources": []}, "sources"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(change, name):
    with pytest.raises(ld.InvalidArgument, match=f"`{name}`"):
        PortraitSettings(**{"richness": [1.0], "learning_rates": [0.1], **change})
