"""The store and the engines of phase diagrams, with real processes: killed, locked out, full disks, damage."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

import lindyn as ld
from helpers.damage import DAMAGES, contents
from helpers.killed_diagrams import SETTINGS, made_up
from lindyn import plots
from lindyn.diagrams import DamagedWarning, DiagramSettings, load_diagram, phase_diagram
from lindyn.diagrams.chunks import Work

SMALL = DiagramSettings(
    variance_exponents=(-2.5, -1.5, -0.5),
    width_exponents=(0.0, 1.0, 2.5),
    shape=(20, 24),
    rank=2,
    sources=("predict", "descend"),
    steps=60,
    dtype="float64",
)
SCRIPT = """
import json, os, sys, resource, time
from lindyn.diagrams import DiagramSettings, phase_diagram
from lindyn.diagrams.chunks import Work
compute = Work.compute
def patched(work, *a):
    {patch}
    return compute(work, *a)
Work.compute = patched
if __name__ == "__main__":
    phase_diagram(DiagramSettings.from_dict(json.loads(sys.argv[1])), path=sys.argv[2])
"""


@pytest.fixture(scope="module")
def whole():
    return phase_diagram(SMALL)


def in_a_process(path, patch="pass", settings=SMALL, **options):
    """Run a diagram in a process of its own, in which `patch` runs before every piece of work."""
    command = [sys.executable, "-c", SCRIPT.format(patch=patch), json.dumps(settings.as_dict()), str(path)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


def same_bytes(one, other):
    """Tell whether two folders hold the same files with the same bytes."""
    files = [
        {p.relative_to(root): p.read_bytes() for p in Path(root).rglob("*") if p.is_file()} for root in (one, other)
    ]
    return files[0] == files[1]


@pytest.mark.slow
def test_a_killed_run_resumes_and_ends_with_the_same_bytes(tmp_path, whole):
    """kill -9 in the middle: units done are kept, the others are computed, and nothing shows that it happened."""
    run = in_a_process(tmp_path / "killed.zarr", "work.unit.first == 2 and os.kill(os.getpid(), 9)")
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    half = load_diagram(tmp_path / "killed.zarr")
    assert (half["status"].isel(source=0, seed=0).values > 0).tolist() == [[True] * 3, [True] * 3, [False] * 3]
    assert "3 cells missing" in plots.phase_panels(half)._suptitle.get_text()
    phase_diagram(SMALL, path=tmp_path / "killed.zarr")
    phase_diagram(SMALL, path=tmp_path / "whole.zarr")
    assert load_diagram(tmp_path / "killed.zarr").equals(whole)
    assert same_bytes(tmp_path / "killed.zarr", tmp_path / "whole.zarr")


@pytest.mark.slow
def test_a_second_writer_is_refused_and_the_first_is_undisturbed(tmp_path, whole):
    path = tmp_path / "d.zarr"
    first = in_a_process(path, f"open({str(tmp_path / 'begun')!r}, 'w').close(); time.sleep(1)")
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
        assert first.poll() is None, first.communicate()[1]
    with pytest.raises(OSError, match=r"Another process is writing .*d\.zarr"):
        phase_diagram(SMALL, path=path)
    assert int((load_diagram(path)["status"] == 0).sum()) > 0  # readable while it is written
    assert first.communicate()[1] == ""
    assert load_diagram(path).equals(whole)


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_keeps_what_is_stored(tmp_path, whole):
    """A limit of the operating system on file sizes stands for the full disk: writing fails half-way."""
    patch = "work.unit.first == 1 and resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))"
    run = in_a_process(tmp_path / "d.zarr", patch)
    told = run.communicate()[1].strip().splitlines()[-1]
    assert run.returncode == 1
    assert "make room and run the same again" in told
    assert "File too large" in told
    status = load_diagram(tmp_path / "d.zarr")["status"].isel(source=0, seed=0).values
    assert (status[:, 0] > 0).tolist() == [True, False, False]
    phase_diagram(SMALL, path=tmp_path / "d.zarr")
    assert load_diagram(tmp_path / "d.zarr").equals(whole)


@pytest.mark.slow
def test_changed_settings_are_refused_by_name(tmp_path):
    tiny = dataclasses.replace(SMALL, sources=("predict",))
    phase_diagram(tiny, path=tmp_path / "d.zarr")
    with pytest.raises(ld.InvalidArgument, match=r"`noise` must be 1\.0.*steps differ"):
        phase_diagram(dataclasses.replace(tiny, noise=2.0, steps=7), path=tmp_path / "d.zarr")
    (tmp_path / "other").mkdir()
    with pytest.raises(ld.InvalidArgument, match="hold a phase diagram that lindyn wrote"):
        phase_diagram(tiny, path=tmp_path / "other")


@pytest.mark.slow
def test_cells_that_diverge_are_recorded_with_their_reason(tmp_path):
    """At one learning rate for all cells, those of a high threshold are unstable; the others are as ever."""
    settings = dataclasses.replace(SMALL, learning_rate=0.01)
    diagram = phase_diagram(settings, path=tmp_path / "d.zarr").sel(source="descend").isel(seed=0)
    reasons = diagram["reason"].values
    assert (diagram["status"].values == 2).tolist() == [[False] * 3, [False] * 3, [False, False, True]]
    assert "diverged at step" in reasons[2, 2]
    assert "stability bound" in reasons[2, 2]
    assert np.isnan(diagram["min_test_error"].values[2, 2])
    assert np.isfinite(diagram["min_test_error"].values[reasons == ""]).all()
    assert (
        "1 cells failed" in plots.phase_panels(load_diagram(tmp_path / "d.zarr"), source="descend")._suptitle.get_text()
    )


@pytest.mark.slow
def test_a_cell_that_fails_three_times_is_recorded_and_the_rest_goes_on(monkeypatch, whole):
    compute, tried = Work.compute, []

    def out_of_memory(work, settings, lanes):
        if work.unit.first == 1 and work.cell in (None, 2):
            tried.append(work.cell)
            raise MemoryError("no room for the layers")
        return compute(work, settings, lanes)

    monkeypatch.setattr(Work, "compute", out_of_memory)
    diagram = phase_diagram(SMALL)
    assert tried == [None, 2, 2]
    status = diagram["status"].isel(seed=0).values
    assert [place.tolist() for place in np.argwhere(status == 2)] == [[0, 1, 2], [1, 1, 2]]
    told = diagram["reason"].values[0, 0, 1, 2]
    assert told == "failed 3 times, at last with MemoryError: no room for the layers"
    fine = status != 2
    expected, found = (d["min_test_error"].isel(seed=0).values for d in (whole, diagram))
    assert np.array_equal(found[fine], expected[fine])


@pytest.mark.slow
def test_local_workers_give_the_same_data(tmp_path, whole):
    """Two spawned processes of one thread each, through the command that `--workers 2` runs."""
    script = (
        "import json, sys\nfrom lindyn.diagrams import DiagramSettings, phase_diagram\n"
        "if __name__ == '__main__':\n"
        "    phase_diagram(DiagramSettings.from_dict(json.loads(sys.argv[1])), path=sys.argv[2], workers=2)\n"
    )
    (tmp_path / "main.py").write_text(script)
    command = [sys.executable, tmp_path / "main.py", json.dumps(SMALL.as_dict()), tmp_path / "d.zarr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = load_diagram(tmp_path / "d.zarr")
    for name in whole.data_vars:
        if name != "reason":
            np.testing.assert_allclose(found[name].values, whole[name].values, rtol=1e-9, equal_nan=True)


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_refused():
    with pytest.raises(ld.InvalidArgument, match="`dask` must be the address of a running scheduler"):
        phase_diagram(SMALL, dask="tcp://127.0.0.1:1")


@pytest.mark.slow
def test_a_cluster_survives_its_workers(tmp_path, whole):
    """A real scheduler and worker. The worker dies once in one unit, and whenever it computes one cell of another."""
    preload = tmp_path / "deaths.py"
    preload.write_text(
        "import os\nfrom lindyn.diagrams.chunks import Work\n"
        "if not hasattr(Work, 'original'):\n"  # the nanny and the worker both load this, and load it twice
        "    Work.original = Work.compute\n"
        "def deadly(work, *a):\n"
        f"    once = {str(tmp_path / 'died')!r}\n"
        "    if work.unit.first == 0 and not os.path.exists(once):\n"
        "        open(once, 'w').close()\n"
        "        os.kill(os.getpid(), 9)\n"
        "    if work.unit.first == 1 and work.cell in (None, 2):\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return Work.original(work, *a)\n"
        "Work.compute = deadly\n"
    )
    environment = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    address = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": tmp_path}
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", address, "--host", "127.0.0.1"],
        **quiet,
    )
    worker = subprocess.Popen(
        [*dask, "worker", "--scheduler-file", address, "--nthreads", "1", "--no-dashboard", "--preload", preload],
        **quiet,
    )
    try:
        while not address.exists():
            time.sleep(0.1)
            assert scheduler.poll() is None
        tcp = json.loads(address.read_text())["address"]
        with Client(tcp) as client:
            client.wait_for_workers(1, timeout=60)
        time.sleep(1)  # a worker that dies while its nanny still starts it is not started again
        diagram = phase_diagram(SMALL, path=tmp_path / "d.zarr", dask=tcp)
    finally:
        for process in (worker, scheduler):
            process.terminate()
            process.wait()
    assert (tmp_path / "died").exists()
    status = diagram["status"].isel(seed=0).values
    assert [place.tolist() for place in np.argwhere(status == 2)] == [[0, 1, 2], [1, 1, 2]]
    assert "the worker died" in diagram["reason"].values[0, 0, 1, 2]
    fine = status != 2
    expected, found = (d["min_test_error"].isel(seed=0).values for d in (whole, load_diagram(tmp_path / "d.zarr")))
    np.testing.assert_allclose(found[fine], expected[fine], rtol=1e-9)


def test_engines_that_cannot_be_are_refused_and_leave_nothing_behind(tmp_path):
    for arguments, name in [
        ({"workers": 2, "dask": "tcp://x"}, "workers"),
        ({"workers": 0}, "workers"),
        ({"lanes": 0}, "lanes"),
    ]:
        with pytest.raises(ld.InvalidArgument, match=f"`{name}`"):
            phase_diagram(SMALL, path=tmp_path / "out" / "d.zarr", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_each_of_100_random_damages_is_named_and_mended_on_resume_with_the_same_bytes(tmp_path, monkeypatch):
    """Of flipped bits, files cut short or lost, arrays, coordinates and attributes lost, chunks exchanged."""
    monkeypatch.setattr(Work, "compute", made_up)
    path = tmp_path / "d.zarr"
    phase_diagram(SETTINGS, path=path)
    held = contents(path)
    rng = np.random.default_rng(0)
    for number in range(100):
        place = DAMAGES[number % len(DAMAGES)](rng, path).relative_to(path).as_posix()
        with pytest.raises(ld.InvalidArgument, match=r"damaged: .*; run it again to mend them") as refusal:
            load_diagram(path)
        assert place in str(refusal.value), f"{number}: {place}"
        with pytest.warns(DamagedWarning, match=r"parts of .* are damaged and are computed again: "):
            phase_diagram(SETTINGS, path=path)
        assert contents(path) == held, f"{number}: {place}"


@pytest.mark.slow
def test_kill_9_at_20_moments_shows_nowhere_after_resuming(tmp_path):
    command = [sys.executable, "-m", "helpers.killed_diagrams", tmp_path, "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 20, done.stderr
    for line in lines:
        assert "killed True, resumed True, same bytes True, left behind []" in line


def test_a_cell_without_numbers_is_never_stored_as_done(tmp_path, monkeypatch):
    def with_a_hole(work, settings, lanes):
        found = made_up(work, settings, lanes)
        found["descend"]["train_error"][1] = np.nan
        return found

    monkeypatch.setattr(Work, "compute", with_a_hole)
    phase_diagram(SETTINGS, path=tmp_path / "d.zarr")
    diagram = load_diagram(tmp_path / "d.zarr").isel(source=0)
    assert diagram["status"].values[:, :, 1].tolist() == [[2] * 2] * 2
    assert (diagram["status"].values[:, :, [0, 2]] == 1).all()
    assert set(diagram["reason"].values[:, :, 1].ravel()) == {"its train_error is not finite"}


def test_a_refused_cluster_or_unit_leaves_nothing_on_disk(tmp_path, monkeypatch):
    with pytest.raises(ld.InvalidArgument, match="`dask` must be the address of a running scheduler"):
        phase_diagram(SETTINGS, path=tmp_path / "n1" / "n2" / "d.zarr", dask="nonsense")

    def refuse(work, settings, lanes):
        raise ld.InvalidArgument("rank", "be lower", "it is not")

    monkeypatch.setattr(Work, "compute", refuse)
    with pytest.raises(ld.InvalidArgument, match="`rank` must be lower"):
        phase_diagram(SETTINGS, path=tmp_path / "n1" / "n2" / "d.zarr")
    assert not list(tmp_path.iterdir())
    ld.simulate(ld.Mixed(1.0), ld.SpikedMatrix(4, rank=1), times=[0.0]).save(tmp_path / "run")
    with pytest.raises(ld.InvalidArgument, match="holds a trajectory"):
        phase_diagram(SETTINGS, path=tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]  # no lock beside it either


def test_what_is_not_settings_is_refused():
    for wrong in ("figure2", None, {"rank": 5}):
        with pytest.raises(ld.InvalidArgument, match="`settings` must be DiagramSettings"):
            phase_diagram(wrong)
