"""The storage layer: what is written is what is read, every damage is named, nothing foreign is deleted or decoded."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import lindyn as ld
from helpers.damage import DAMAGES, contents, mend
from lindyn.diagrams import load_diagram, load_points
from lindyn.inspection.records import OF_MODES, OF_PAIRS, RECORD, load_tracking, tracking_dataset
from lindyn.simulation.observables import Observable
from lindyn.support import storage

TASK = ld.SpikedMatrix(dim=5, rank=2, key=0)


@pytest.fixture(scope="module")
def run():
    return ld.simulate(ld.Mixed(1.0), TASK, times=[0.0, 0.5, 1.0], observables=["test_error", "matrix", "train_error"])


def a_record(path):
    """A tracker's record of two pairs, without PyTorch."""
    record = {name: np.arange(6.0).reshape(2, 3) for name in OF_MODES} | {n: np.arange(2.0) for n in OF_PAIRS}
    pair = {"d_out": 3, "d_in": 4, "width": 3, "scale": 1.0}
    info = {"every": 1, "count": 2, "seconds": 0.5}
    data = tracking_dataset({"first": pair, "second": pair}, [0, 1], [record, record], info)
    start = xr.Dataset({"first_0": (("row", "column"), np.eye(3, 4)), "second_0": (("row_2", "row"), np.eye(3))})
    storage.write(path, RECORD, {"": data, "start": start}, overwrite=True)
    return path


def whole_stores(home, run):
    return {
        "trajectory": (run.save(home / "run.zarr"), ld.Trajectory.load),
        "tracker": (a_record(home / "record.zarr"), load_tracking),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["trajectory", "tracker"])
def test_each_of_100_random_damages_is_refused_by_the_name_of_what_is_damaged(kind, run, tmp_path):
    whole, load = whole_stores(tmp_path, run)[kind]
    load(whole)
    held = contents(whole)
    rng = np.random.default_rng(0)
    for number in range(100):
        place = DAMAGES[number % len(DAMAGES)](rng, whole).relative_to(whole).as_posix()
        with pytest.raises(ld.InvalidArgument) as refusal:
            load(whole)
        assert place in str(refusal.value), f"{number}: {place}"
        mend(whole, held)


def test_observables_keep_names_order_dtypes_and_dimensions_whatever_they_are_called(tmp_path):
    """Among them the names that the dataset's coordinates, its dimensions and the last state have."""
    odd = [
        Observable("time", lambda s: 2 * s.time, (), "twice the time", "seconds"),
        Observable("step", lambda s: s.matrix[0], ("row",)),
        Observable("final_matrix", lambda s: s.matrix.sum()),
        Observable("row", lambda s: s.matrix[0, :3], ("time",)),
        Observable("mode", lambda s: s.matrix[0, 0] > 0),
    ]
    run = ld.simulate(ld.Mixed(1.0), TASK, times=[0.0, 0.5, 1.0], observables=[*odd, "singular_values", "cost"])
    back = ld.Trajectory.load(run.save(tmp_path / "run.zarr"))
    assert list(back.data) == list(run.data)
    assert back.variables == run.variables
    assert back.info == run.info
    for name, values in run.data.items():
        assert np.array_equal(back[name], values)
        assert back[name].dtype == values.dtype


def test_other_tools_open_a_store_without_a_warning(run, tmp_path):
    path = run.save(tmp_path / "run.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(path)
        members = dict(zarr.open_group(path, mode="r", use_consolidated=False).members())
    assert np.array_equal(data["test_error"].values, run["test_error"])
    assert {"manifest", "final", "test_error"} <= set(members)


def test_each_kind_of_store_is_refused_by_the_readers_of_the_others_and_told_apart(run, tmp_path):
    stores = whole_stores(tmp_path, run)
    for load in (load_tracking, load_diagram, load_points):
        with pytest.raises(ld.InvalidArgument, match=r"holds a trajectory; read it with lindyn\.Trajectory\.load"):
            load(stores["trajectory"][0])
    with pytest.raises(ld.InvalidArgument, match=r"record of a tracker; read it with lindyn\.inspection\.load_track"):
        ld.Trajectory.load(stores["tracker"][0])


@pytest.mark.parametrize("load", [ld.Trajectory.load, load_tracking, load_diagram, load_points])
def test_what_is_no_store_is_refused_in_a_sentence(load, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / ".zgroup").write_text('{"zarr_format": 2}')
    for name, told in {
        "nothing": "there is nothing at",
        "empty": "has no manifest",
        "file": "is not a folder",
        "pipe": "is not a folder",
        "old": "has no manifest",
    }.items():
        with pytest.raises(ld.InvalidArgument, match=f"`path` must hold a .* that lindyn wrote, but .*{told}"):
            load(tmp_path / name)


def forged(path, change):
    """Change the metadata of a store and write a manifest that vouches for the change."""
    change(path)
    held = storage.Manifest.read(path / "manifest" / "zarr.json")
    storage.Manifest.of(path, held.kind, held.about).write(path)


def edit(name, key, value):
    def change(path):
        data = json.loads((path / name).read_text())
        *inner, last = key
        place = data
        for part in inner:
            place = place[part]
        place[last] = value
        (path / name).write_text(json.dumps(data))

    return change


def raw(name, text):
    return lambda path: (path / name).write_text(text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (edit("test_error/zarr.json", ["data_type"], {"name": "numpy.object"}), "entries of the type"),
        (edit("test_error/zarr.json", ["codecs"], [{"name": "pickle"}]), "is coded by"),
        (edit("test_error/zarr.json", ["shape"], [10**12]), "GiB are free"),
        (edit("test_error/zarr.json", ["zarr_format"], 2), "not of zarr format 3"),
        (edit("zarr.json", ["attributes", "lindyn"], "[1, 2]"), "not a JSON object"),
        (edit("zarr.json", ["attributes", "lindyn"], 17), "cannot be read as JSON"),
        (edit("zarr.json", ["attributes", "lindyn"], "[" * 100_000), "cannot be read as JSON"),
        (edit("zarr.json", ["attributes", "lindyn"], '{"threshold": 1' + "0" * 5000 + "}"), "cannot be read as JSON"),
        (edit("zarr.json", ["attributes", "observables"], '["x"]'), "does not"),
        (edit("zarr.json", ["attributes"], [1]), "does not"),
        (raw("final/zarr.json", "[" * 100_000), "nested too deeply|not JSON"),
        (raw("final/zarr.json", "[]"), "does not hold an object"),
        (raw("final/zarr.json", "1" * 5000), "not JSON"),
    ],
    ids=["objects", "pickles", "huge", "format 2", "list", "number", "deep", "digits", "labels", "attributes",
         "deep metadata", "list metadata", "digits in metadata"],
)  # fmt: skip
def test_metadata_that_lindyn_does_not_write_are_refused_before_an_array_is_read(change, told, run, tmp_path):
    path = run.save(tmp_path / "run.zarr")
    if "metadata" in told or "JSON" in told or "object" in told:
        change(path)
        try:
            forged(path, lambda _: None)
        except ValueError:
            return _refused_for(path, "damaged")
    else:
        forged(path, change)
    return _refused_for(path, told)


def _refused_for(path, told):
    with pytest.raises(ld.InvalidArgument, match=told):
        ld.Trajectory.load(path)


def test_overwriting_deletes_only_what_lindyn_wrote(run, tmp_path):
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("words")
    (tmp_path / "file").write_text("words")
    for path in (foreign, tmp_path / "file"):
        with pytest.raises(ld.InvalidArgument, match="what lindyn wrote to be overwritten"):
            run.save(path, overwrite=True)
    assert (foreign / "chapter.tex").read_text() == "words"
    mixed = run.save(tmp_path / "run.zarr")
    (mixed / "notes.txt").write_text("mine")
    with pytest.raises(ld.InvalidArgument, match=r"also holds notes\.txt"):
        run.save(mixed, overwrite=True)
    assert (mixed / "notes.txt").read_text() == "mine"
    (mixed / "notes.txt").unlink()
    run.save(mixed, overwrite=True)


@pytest.mark.parametrize("name", ["run.nc", "run.npz", "RUN.CSV", "run.h5"])
def test_a_path_that_names_a_file_format_is_refused_and_leaves_no_folder(name, run, tmp_path):
    with pytest.raises(ld.InvalidArgument, match="must name a folder"):
        run.save(tmp_path / "deep" / name)
    assert not list(tmp_path.iterdir())


def test_the_netcdf_that_the_refusal_recommends_holds_the_same(run, tmp_path):
    run.to_xarray().to_netcdf(tmp_path / "run.nc")
    with xr.open_dataset(tmp_path / "run.nc") as back:
        assert np.array_equal(back["test_error"].values, run["test_error"])


def test_a_write_that_fails_leaves_the_store_before_and_no_folders(run, tmp_path, monkeypatch):
    path = run.save(tmp_path / "run.zarr")

    def full(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    for target in (path, tmp_path / "n1" / "n2" / "n3"):
        with pytest.raises(OSError, match="disk full"):
            run.save(target, overwrite=True)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]
    ld.Trajectory.load(path)


def test_a_replacement_cut_short_between_its_two_renames_leaves_the_store_before(run, tmp_path, monkeypatch):
    path = run.save(tmp_path / "run.zarr")
    rename = Path.rename

    def killed(source, target):
        if source.name.endswith(".partial"):
            raise KeyboardInterrupt
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        run.relabelled(law="another").save(path, overwrite=True)
    monkeypatch.undo()
    assert not path.exists()
    assert ld.Trajectory.load(path).info == run.info
    with pytest.raises(ld.InvalidArgument, match="must not exist"):
        run.save(path)
    run.relabelled(law="another").save(path, overwrite=True)
    assert ld.Trajectory.load(path).info.law == "another"
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]


def test_one_damaged_copy_of_the_manifest_is_named_and_the_other_is_read(run, tmp_path):
    path = run.save(tmp_path / "run.zarr")
    (path / "manifest" / "zarr.json").write_text("{}")
    held = storage.examine(path)
    assert held.manifest is not None
    assert dict(held.faults) == {"manifest/zarr.json": "has changed"}
    with pytest.raises(ld.InvalidArgument, match=r"damaged: manifest/zarr\.json has changed"):
        ld.Trajectory.load(path)
