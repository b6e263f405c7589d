"""The command line: what it prints, writes and refuses."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

import lindyn as ld
from helpers.commands import as_json, lindyn

SMALL = ["--dim", "40", "--rank", "2", "--variance-exponent", "-2", "--width-exponent", "2"]


def in_a_process(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-c", "from lindyn.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=cwd,
        check=False,
        timeout=300,
    )


FIELDS = {
    "threshold",
    "phase",
    "learning_rate",
    "min_test_error",
    "steps_to_min",
    "stable_rank_at_min",
    "step",
    "train_error",
    "test_error",
}


@pytest.mark.slow
@pytest.mark.parametrize("command", [("predict",), ("predict", "--sampled"), ("simulate",)], ids=" ".join)
def test_json_has_the_promised_fields_and_is_consistent(command):
    out = as_json(*command, *SMALL, "--steps", 60)
    assert set(out) >= FIELDS
    assert out["step"] == list(range(61))
    assert out["min_test_error"] == min(out["test_error"])
    assert out["steps_to_min"] == int(np.argmin(out["test_error"]))
    assert out["threshold"] == pytest.approx(1.0)
    assert out["phase"] == "active"


@pytest.mark.slow
def test_simulate_equals_the_library():
    out = as_json("simulate", *SMALL, "--steps", 30, "--seed", 5, "--order", "sequential", "--learning-rate", 0.001)
    task = ld.SpikedMatrix(dim=40, rank=2, key=5)
    net = ld.TwoLayer.exponents(40, -2, 2, key=5)
    method = ld.GradientDescent(learning_rate=0.001, steps=30, order="sequential")
    run = ld.simulate(net, task, method, observables=["test_error", "stable_rank"])
    assert out["test_error"] == pytest.approx(run["test_error"].tolist(), rel=1e-12)
    assert out["stable_rank_at_min"] == pytest.approx(run["stable_rank"][np.argmin(run["test_error"])], rel=1e-9)


def test_tables_are_for_people_and_files_reload(tmp_path):
    done = lindyn("simulate", *SMALL, "--steps", 20, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "threshold" in done.stdout
    assert "modes below it are lazy" in done.stdout
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["errors.png", "summary.json", "trajectory.zarr"]
    run = ld.Trajectory.load(tmp_path / "run" / "trajectory.zarr")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert run["train_error"].tolist() == summary["train_error"]
    again = lindyn("simulate", *SMALL, "--steps", 20, "--out", tmp_path / "run")
    assert again.returncode == 2
    assert "--force" in again.stderr
    forced = lindyn("simulate", *SMALL, "--steps", 10, "--out", tmp_path / "run", "--force")
    assert forced.returncode == 0, forced.stderr
    assert len(ld.Trajectory.load(tmp_path / "run" / "trajectory.zarr")) == 11


@pytest.mark.slow
def test_a_matrix_from_a_file_is_learned(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "t.npy", rng.standard_normal((12, 8)))
    np.savetxt(tmp_path / "t.csv", rng.standard_normal((12, 8)), delimiter=",")
    for name in ("t.npy", "t.csv"):
        out = as_json("simulate", "--target", tmp_path / name, "--variance", 1e-6, "--width", 1e6, "--steps", 5)
        assert out["shape"] == [12, 8]
        assert out["test_error"] is None
    assert as_json("regime", "--target", tmp_path / "t.npy", "--threshold", 1)["lazy_modes"] < 8


@pytest.mark.parametrize("dynamics", ["mixed", "lazy"])
@pytest.mark.parametrize("method", ["descent", "flow", "closed-form"])
@pytest.mark.slow
def test_matrix_dynamics_by_every_method(dynamics, method):
    options = ["--steps", 40, "--dynamics", dynamics, "--save-every", 20]
    out = as_json("simulate", *SMALL, *options, "--method", method)
    exact = as_json("simulate", *SMALL, *options, "--method", "closed-form")
    tolerance = 0.05 if method == "descent" else 1e-7
    assert out["train_error"] == pytest.approx(exact["train_error"], abs=tolerance)


def test_cells_of_a_table_are_predicted_and_the_table_kept(tmp_path):
    cells = tmp_path / "cells.csv"
    cells.write_text("name,variance_exponent,width_exponent,step\na,-2.2,1.75,100\nb,-1.5,2.5,20\n")
    done = lindyn("predict", "--dim", 200, "--rank", 5, "--cells", cells, "--out", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    header, first, _ = (tmp_path / "out.csv").read_text().split()
    assert header == "name,variance_exponent,width_exponent,step,train_error,test_error"
    single = as_json("predict", "--dim", 200, "--rank", 5, "--variance-exponent", -2.2, "--width-exponent", 1.75)
    assert float(first.split(",")[-1]) == pytest.approx(single["test_error"][100])
    wrong = {
        "step\n1\n": "lacks variance_exponent",
        "": "readable CSV",
        "variance_exponent,width_exponent,step\nx,1,2\n": "numbers",
    }
    for bad, word in wrong.items():
        cells.write_text(bad)
        done = lindyn("predict", "--dim", 9, "--rank", 2, "--cells", cells, "--out", tmp_path / "other.csv")
        assert done.returncode == 2
        assert word in done.stderr


@pytest.mark.slow
def test_a_phase_diagram_is_written_drawn_and_resumed(tmp_path):
    command = ["phase-diagram", "--dim", 30, "--rank", 2, "--points", 3, "--source", "predict", "--out", tmp_path / "d"]
    done = lindyn(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[2:4] == ["cells", "9"]
    assert sorted(p.name for p in (tmp_path / "d").glob("[!.]*")) == ["diagram.zarr", "predict.png"]
    assert lindyn(*command).returncode == 0
    changed = lindyn(*command, "--noise", 2)
    assert changed.returncode == 2
    assert "--noise must be 1.0" in changed.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--preset", "figure3"], "--preset must be one of 'figure2'"),
        (["--preset", "figure2", "--rank", 900], "--rank must be at most 200"),
        (["--dim", 9], "Missing: --rank (or --singular-values)."),
        (["--dim", 9, "--rank", 2, "--variance-range", "1"], "--variance-range must be two numbers"),
        (["--dim", 9, "--rank", 2, "--source", "magic"], "--source must be one of"),
    ],
)
def test_bad_diagrams_are_one_sentence(arguments, expected, tmp_path):
    done = lindyn("phase-diagram", *arguments, "--out", tmp_path / "d")
    assert done.returncode == 2
    assert expected in done.stderr
    assert not (tmp_path / "d").exists()


def test_regime_writes_its_figure(tmp_path):
    done = lindyn("regime", "--threshold", 2, "--singular-values", "8,3,1", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["modes.png", "summary.json"]


def test_regime_splits_modes():
    out = as_json("regime", "--threshold", 2, "--singular-values", "8,3,1", "--learning-rate", 0.01)
    assert [m["regime"] for m in out["modes"]] == ["active", "active", "lazy"]
    assert out["phase"] == "mixed"
    assert out["modes"][2]["crossing_time"] is None
    first = out["modes"][0]
    assert ld.solutions.mode_curve(8.0, 2.0, first["learning_time"]) == pytest.approx(7.2)
    assert first["learning_steps"] == pytest.approx(100 * first["learning_time"])


def test_a_demo_of_endless_steps_is_refused_before_it_takes_memory(tmp_path):
    done = lindyn("demo", "--dim", 8, "--rank", 2, "--steps", 10**12, "--out", tmp_path / "demo")
    assert done.returncode == 2
    assert "--steps must be small enough for the records of so many steps to fit in memory" in done.stderr


@pytest.mark.slow
def test_demo_reproduces_figure_1_in_small(tmp_path):
    done = lindyn("demo", "--dim", 60, "--out", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo" / "figure1.png").stat().st_size > 10_000
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert summary["width"] == round(60**2.25)
    assert summary["largest_difference"]["test_error"] < 0.1
    euler = lindyn("demo", "--dim", 60, "--euler", "--out", tmp_path / "demo", "--force")
    assert euler.returncode == 0, euler.stderr
    again = json.loads((tmp_path / "demo" / "summary.json").read_text())
    assert again["formula"]["test_error"] != summary["formula"]["test_error"]


@pytest.mark.parametrize(
    ("name", "value"), [("JAX_PLATFORMS", "nope"), ("JAX_ENABLE_X64", "maybe")], ids=["platform", "truth value"]
)
@pytest.mark.slow
def test_an_environment_variable_that_jax_refuses_is_named_in_a_sentence(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    done = in_a_process("simulate", *SMALL, "--steps", 2)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    told = " ".join(done.stderr.split())
    assert f"Environment variable {name} must be one that JAX takes, but it is '{value}'" in told


@pytest.mark.parametrize(
    "command",
    [["simulate", *SMALL, "--steps", 9], ["phase-diagram", "--dim", 60, "--rank", 2, "--points", 3]],
    ids=["a run keeps its records", "a diagram ends"],
)
def test_an_interrupted_command_exits_with_130(command, monkeypatch):
    def interrupt(bar, done):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("lindyn.support.progress.Progress.update", interrupt)
    done = lindyn(*command)
    assert done.returncode == 130
    assert "nterrupted" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_smallest_error_at_the_last_step_is_said_to_be_still_falling():
    short, whole = (lindyn("predict", *SMALL, "--steps", steps) for steps in (20, 2000))
    assert "still falling; raise --steps" in short.stdout
    assert "still falling" not in whole.stdout


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", [["--help"], ["regime", "--help"], ["predict", *SMALL, "--steps", 9]], ids=str)
def test_terminals_that_are_not_utf_8_get_their_text(command, encoding, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    monkeypatch.setenv("PYTHONUTF8", "0")
    done = in_a_process(*command)
    assert done.returncode == 0
    assert done.stdout
    assert "Traceback" not in done.stderr


def test_a_run_that_diverges_exits_with_3(recwarn):
    assert lindyn("simulate", *SMALL, "--steps", 100, "--learning-rate", 1).returncode == 3


@pytest.mark.slow
def test_divergence_is_reported_at_its_step_with_a_warning():
    done = in_a_process("simulate", *SMALL, "--steps", 100, "--learning-rate", 1, "--json")
    assert done.returncode == 3
    assert "above the stability bound" in done.stderr
    out = json.loads(done.stdout)
    assert out["status"].startswith("diverged at step ")
    assert np.all(np.isfinite(out["train_error"]))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["simulate", "--dim", 9, "--rank", 2, "--variance", 1, "--width", 0], "--width must be at least 1"),
        (["simulate", "--dim", 9, "--rank", 2, "--variance", -1, "--width", 9], "--variance must be greater than 0"),
        (["simulate", "--dim", 9, "--rank", 20, "--variance", 1, "--width", 9], "--rank must be at most 9"),
        (["simulate", "--rows", 9, "--rank", 2, "--variance", 1, "--width", 9], "--rows must come with --columns"),
        (["simulate", *SMALL, "--learning-rate", "fast"], "--learning-rate must be a positive number"),
        (["simulate", *SMALL, "--dynamics", "mixed", "--momentum", 0.9], "--momentum must be left out"),
        (["simulate", *SMALL, "--dtype", "int8"], "dtype"),
        (["simulate", *SMALL, "--method", "flow", "--save-every", 0], "--save-every must be at least 1"),
        (["simulate", *SMALL, "--out", "/proc/nowhere"], "Cannot write to /proc/nowhere"),
        (["simulate", "--target", "missing.npy", "--variance", 1, "--width", 9], "--target must be a readable"),
        (["predict", "--dim", 9, "--variance", 1, "--width", 9], "Missing: --rank (or --singular-values)."),
        (["predict", "--dim", 9, "--rank", 2], "Missing: --variance (or --variance-exponent); and --width (or --width"),
        (["regime", "--threshold", -1, "--singular-values", "3"], "--threshold must be greater than 0, but it is -1"),
        (["regime", "--threshold", 1, "--singular-values", "3,x"], "--singular-values must be numbers"),
        (["demo", "--dim", 3, "--rank", 5, "--out", "never"], "--rank must be at most 3"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_no_traceback(arguments, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = lindyn(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stderr.strip().endswith("..")
    assert list(tmp_path.iterdir()) == []  # a refusal leaves nothing behind


@pytest.mark.slow
def test_a_refusal_in_a_process_of_its_own_has_no_traceback(tmp_path):
    done = in_a_process("simulate", *SMALL, "--steps", -1, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: Option --steps must be at least 0, but it is -1.\n"


def test_help_shows_examples():
    for command in ("simulate", "predict", "regime", "demo"):
        text = lindyn(command, "--help").stdout
        assert "Example" in text
        assert f"lindyn {command}" in text


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    done = lindyn("explore", "--out", tmp_path / "file" / "page.html")
    assert done.returncode == 2
    assert "Cannot write" in done.stderr
    assert "choose another --out" in done.stderr
