"""Trajectories: what they print, hold, write and read, and how two are compared."""

import numpy as np
import pytest
import xarray

import lindyn as ld
from helpers.reference import target_of

SHAPE = (3, 4)
TASK = ld.SpikedMatrix(target=target_of(SHAPE), signal=target_of(SHAPE, seed=1))
NET = ld.TwoLayer.gaussian(SHAPE, 10**6, 1e-6, key=0)
NAMES = ["train_error", "test_error", "singular_values", "matrix", "w1", "ntk_drift"]


@pytest.fixture(scope="module")
def descent():
    return ld.simulate(NET, TASK, ld.GradientDescent(learning_rate=0.05, steps=20), save_every=5, observables=NAMES)


@pytest.fixture(scope="module")
def formula(descent):
    return ld.simulate(ld.Mixed.matching(NET), TASK, times=descent.time, observables=["train_error", "matrix"])


def test_both_clocks_are_on_it(descent, formula):
    assert descent.step.tolist() == [0, 5, 10, 15, 20]
    assert descent.time == pytest.approx(0.05 * descent.step)
    assert np.all(np.isnan(formula.step))
    assert ld.simulate(ld.Mixed(1.0), TASK, times=descent).step.tolist() == descent.step.tolist()


def test_it_prints_what_happened(descent, formula):
    text = repr(descent)
    for part in (
        "network of width 1,000,000 on SpikedMatrix (3, 4), threshold 1",
        "simultaneous gradient descent: as asked, exact on the reduced factor",
        "records     5, time 0 … 1, steps 0 … 20",
        "float64",
        "MiB",
        "compiling",
        "completed",
        "learning rate 0.05: given; stability bound",
        f"train_error {descent['train_error'][0]:.5g} → {descent['train_error'][-1]:.5g}",
    ):
        assert part in text
    assert "closed form: chosen because the cost is ½‖A − T‖_F²" in repr(formula)
    assert "steps" not in repr(formula).splitlines()[3]


def test_xarray_has_named_dimensions_and_units(descent):
    data = descent.to_xarray()
    assert isinstance(data, xarray.Dataset)
    dims = {name: data[name].dims for name in NAMES}
    assert dims == {
        "train_error": ("time",),
        "test_error": ("time",),
        "singular_values": ("time", "mode"),
        "matrix": ("time", "row", "column"),
        "w1": ("time", "hidden", "column"),
        "ntk_drift": ("time",),
    }
    assert data["singular_values"].attrs["units"] == "target"
    assert data["train_error"].attrs["units"] == "target²"
    assert data["step"].dims == ("time",)
    assert "flow time" in data["time"].attrs["long_name"]
    for name in NAMES:
        assert np.array_equal(data[name].values, descent[name])
        assert data[name].attrs["long_name"]


def test_observables_of_different_lengths_meet_in_one_dataset():
    run = ld.simulate(ld.Mixed(1.0), TASK, times=[0.0, 1.0], observables=[ld.simulation.singular_values(2), "activity"])
    data = run.to_xarray()
    assert data["singular_values"].shape == (2, 2)
    assert data["activity"].shape == (2, 3)


@pytest.mark.parametrize(
    ("method", "source"),
    [
        (ld.methods.Muon(learning_rate=np.float32(0.02), steps=1), "jordan2024muon"),
        (ld.Flow(rtol=np.float32(1e-6)), "kidger2021on"),
    ],
    ids=["muon", "flow"],
)
@pytest.mark.slow
def test_other_methods_are_cited_and_their_numpy_numbers_written(method, source, tmp_path):
    run = ld.simulate(NET, TASK, method, times=[0.0, 1.0] if isinstance(method, ld.Flow) else None)
    assert f"{{{source}," in run.cite()
    assert len(ld.Trajectory.load(run.save(tmp_path / "run.zarr"))) == 2


def test_saving_and_loading_returns_the_same(descent, formula, tmp_path):
    for name, run in (("descent", descent), ("formula", formula)):
        back = ld.Trajectory.load(run.save(tmp_path / "deep" / f"{name}.zarr"))
        assert np.array_equal(back.time, run.time)
        assert np.array_equal(back.step, run.step, equal_nan=True)
        assert back.variables == run.variables
        assert back.info == run.info
        assert set(back.data) == set(run.data)
        assert all(np.array_equal(back[k], run[k]) and back[k].dtype == run[k].dtype for k in run.data)
        matrix = run.final if isinstance(run.final, np.ndarray) else run.final.matrix
        assert np.array_equal(back.final, matrix)


def test_an_existing_path_is_kept_unless_overwriting(descent, formula, tmp_path):
    path = formula.save(tmp_path / "run.zarr")
    with pytest.raises(ld.InvalidArgument, match=r"`path` must not exist, .*; pass overwrite=True"):
        descent.save(path)
    assert ld.Trajectory.load(path).label == formula.label
    descent.save(path, overwrite=True)
    assert ld.Trajectory.load(path).label == descent.label
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]


def test_a_missing_observable_is_named(descent):
    with pytest.raises(KeyError, match="'cost' was not recorded"):
        descent["cost"]


def test_compare_at_equal_times(descent, formula):
    comparison = ld.compare(descent, formula)
    assert not comparison.interpolated
    assert list(comparison.differences) == ["train_error"]
    difference = formula["train_error"] - descent["train_error"]
    assert comparison.differences["train_error"] == pytest.approx(difference)
    assert comparison.largest("train_error") == np.max(np.abs(difference))
    assert comparison.distance == pytest.approx(np.mean((formula["matrix"] - descent["matrix"]) ** 2, axis=(1, 2)))
    text = str(comparison)
    assert "5 records, at equal times" in text
    assert f"{np.max(np.abs(difference)):.3g}" in text


def test_compare_interpolates_where_times_differ(descent):
    other = ld.simulate(ld.Mixed(1.0), TASK, times=[0.1, 0.55, 0.9], observables=["train_error", "singular_values"])
    comparison = ld.compare(descent, other)
    assert comparison.interpolated
    assert comparison.time == pytest.approx([0.25, 0.5, 0.75])
    chosen = slice(1, 4)
    errors = np.interp(descent.time[chosen], other.time, other["train_error"]) - descent["train_error"][chosen]
    assert comparison.differences["train_error"] == pytest.approx(errors)
    for mode in range(3):
        values = np.interp(descent.time[chosen], other.time, other["singular_values"][:, mode])
        expected = values - descent["singular_values"][chosen, mode]
        assert comparison.differences["singular_values"][:, mode] == pytest.approx(expected)
    assert comparison.distance is None
    assert "interpolated linearly" in str(comparison)


def test_comparing_what_cannot_be_compared(descent):
    square = ld.simulate(ld.Mixed(1.0), ld.SpikedMatrix(target=np.eye(3)), times=[0.0, 1.0])
    later = ld.simulate(ld.Mixed(1.0), TASK, times=[5.0, 6.0])
    other = ld.simulate(ld.Mixed(1.0), TASK, times=[0.0, 1.0], observables=["stable_rank"])
    for second, complaint in ((square, "shape"), (later, "time"), (other, "observable")):
        with pytest.raises(ld.InvalidArgument, match=f"`second` must .*{complaint}"):
            ld.compare(descent, second)


def test_the_sources_are_cited(descent, formula):
    assert descent.cite().count("@") == 1
    assert "tu2024mixed" in descent.cite()
    for key in ("tu2024mixed", "fukumizu1998effect", "braun2022exact", "domine2024lazy"):
        assert f"{{{key}," in formula.cite()
    with pytest.raises(ld.InvalidArgument, match="`keys` must be one of"):
        ld.cite("nobody2000")


def test_labels_can_be_replaced(descent):
    assert descent.relabelled(dynamics="net A").label == "net A, simultaneous gradient descent"


def test_modes_are_numbered_from_1_in_labelled_arrays():
    task = ld.SpikedMatrix(6, rank=2, key=0)
    observables = ["singular_values", ld.simulation.alignment(task.reference(), rank=2)]
    data = ld.simulate(ld.Mixed(1.0), task, times=[0.1], observables=observables).to_xarray()
    assert data["mode"].values.tolist() == [1, 2, 3, 4, 5, 6]
    assert data["mode_of_reference"].values.tolist() == list(range(1, data.sizes["mode_of_reference"] + 1))
    law = ld.laws.standard(width=5000, variance=1e-4)
    assert ld.predict(60, law, rank=2, steps=3).to_xarray()["signal_mode"].values.tolist() == [1, 2]
