"""No option is taken without meaning: beside every other option it changes the result, or it is refused.

What a command asks of the simulator is compared, not what the simulator answers: its place is taken by a stand-in whose
numbers are a hash of everything it was given. That the simulator heeds what it is given is tested where it lives.
"""

import dataclasses
import hashlib
import itertools
import json
import re
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from safetensors.numpy import save_file

import lindyn as ld
from helpers.commands import lindyn
from lindyn.cli.app import COMMANDS, app

VARYING = ("seconds", "peak_memory_mib")  # of the machine, not of the result

# an option → what is typed; None: the option is a switch. Values differ from the defaults and from FILLERS.
VALUES = {
    "demo": {
        "out": "{tmp}/out", "dim": "7", "rank": "2", "steps": "5", "seed": "3", "dtype": "float32", "euler": None,
        "json": None, "force": None,
    },
    "simulate": {
        "dim": "7", "rows": "5", "columns": "8", "rank": "3", "singular-values": "9,5", "spectrum": "mean",
        "noise": "0.5", "scale": "2", "target": "{in}/target.npy", "signal": "{in}/signal.npy",
        "variance-exponent": "-2", "width-exponent": "2.5", "variance": "0.002", "width": "70", "depth": "3",
        "dynamics": "mixed", "method": "flow", "order": "sequential", "momentum": "0.5", "weight-decay": "0.1",
        "steps": "5", "learning-rate": "0.002", "save-every": "3", "observables": "stable_rank",
        "formula": None, "seed": "3",
        "dtype": "float32", "json": None, "out": "{tmp}/out", "force": None,
    },
    "predict": {
        "dim": "70", "rows": "50", "columns": "80", "rank": "3", "singular-values": "90,50", "noise": "0.5",
        "scale": "2", "variance-exponent": "-2", "width-exponent": "2.5", "variance": "0.0002", "width": "700",
        "depth": "3", "steps": "5", "learning-rate": "0.002", "save-every": "3", "weight-decay": "0.1", "sampled": None,
        "seed": "3", "dtype": "float32", "cells": "{in}/cells.csv", "json": None, "out": "{tmp}/out.csv", "force": None,
    },
    "regime": {
        "dim": "70", "rows": "50", "columns": "80", "rank": "3", "singular-values": "90,50", "noise": "0.5",
        "scale": "2", "target": "{in}/target.npy", "variance-exponent": "-2", "width-exponent": "2.5",
        "variance": "0.0002", "width": "700", "depth": "3", "threshold": "3", "learning-rate": "0.01", "most": "1",
        "weight-decay": "0.1", "critical-threshold": "0.5",
        "json": None, "out": "{tmp}/out", "force": None,
    },
    "advise": {
        "dim": "70", "rows": "50", "columns": "80", "rank": "3", "singular-values": "90,50",
        "target": "{in}/target.npy", "gradient": "{in}/gradient.npy", "noise": "0.5", "scale": "2", "width": "70000",
        "optimizer": "sgd", "momentum": "0.5", "curvature": "0.5", "loss": "mse",
        "learning-rate": "0.0005", "steps": "50", "weight-decay": "0.1", "critical-threshold": "1e-9",
        "json": None, "out": "{tmp}/out", "force": None,
    },
    "phase-diagram": {
        "preset": "figure2", "dim": "70", "rows": "50", "columns": "80", "rank": "3", "noise": "0.5", "scale": "2",
        "singular-values": "60,40", "target": "{in}/target.npy",
        "spectrum": "sampled", "variance-range": "-2,-1", "width-range": "1,2", "variances": "1e-4,1e-2",
        "widths": "10,1000", "spacing": "linear", "points": "3", "depth": "3", "source": "spectral", "seed": "3",
        "richness": "0.1,10", "learning-rates": "1e-3,1",
        "learning-rate": "0.002", "steps": "50", "dtype": "float64", "workers": "2", "dask": "tcp://127.0.0.1:1",
        "refine": "stable_rank", "level": "2", "cells": "12", "json": None, "out": "{tmp}/out",
    },
    "inspect": {
        "pair": "first=m.*.lora_A.weight,second=m.*.lora_B.weight",
        "start": "{in}/start", "against": "{in}/start", "scale": "3", "most": "1",
        "sort": "m1", "json": None, "csv": None, "out": "{tmp}/out",
        "vectors": None, "force": None, "learning-rate": "0.02", "steps": "7",
    },
    "explore": {"out": "{tmp}/out.html", "serve": None, "port": "8123", "no-browser": None, "force": None},
    "reproduce": {
        "claim": "converges", "all": None, "full": None, "json": None, "out": "{tmp}/out", "force": None,
    },
}  # fmt: skip

# typed where nothing else says the same: (the options of which one is needed, what is typed, unless one of these is)
FILLERS = {
    "demo": [(("dim",), "6", ()), (("rank",), "1", ()), (("steps",), "4", ()), (("out",), "{tmp}/demo", ())],
    "simulate": [
        (("dim", "rows", "columns"), "6", ("target",)), (("rank", "singular-values"), "2", ("target",)),
        (("variance", "variance-exponent"), "0.01", ()), (("width", "width-exponent"), "50", ()),
    ],
    "predict": [
        (("dim", "rows", "columns"), "60", ()), (("rank", "singular-values"), "2", ()),
        (("variance", "variance-exponent"), "0.0001", ("cells",)), (("width", "width-exponent"), "500", ("cells",)),
        (("steps",), "6", ("cells",)), (("out",), "{tmp}/other.csv", ("no cells",)),
    ],
    "regime": [
        (("dim", "rows", "columns"), "60", ("target", "singular-values")),
        (("rank", "singular-values"), "2", ("target",)),
        (("variance", "variance-exponent"), "0.0001", ("threshold",)),
        (("width", "width-exponent"), "500", ("threshold",)),
    ],
    "advise": [
        (("dim", "rows", "columns"), "60", ("target", "gradient")),
        (("rank", "singular-values"), "2", ("target", "gradient")),
    ],
    "phase-diagram": [
        (("dim", "rows", "columns"), "60", ("preset", "target")),
        (("rank", "singular-values"), "2", ("preset", "target")), (("points",), "2", ("refine",)),
    ],
    "inspect": [(("learning-rate",), "0.001", ("csv", "pair"))],
    "reproduce": [],
    "explore": [],
}  # fmt: skip


def feed(hasher, value):
    """Hash a value by everything that it holds."""
    if isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        array = np.asarray(value)
        hasher.update(str((array.dtype, array.shape)).encode() + array.tobytes())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            feed(hasher, str(key))
            feed(hasher, value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            feed(hasher, item)
    elif hasattr(value, "__dict__") and not callable(value):
        feed(hasher, type(value).__name__)
        feed(hasher, vars(value))
    elif dataclasses.is_dataclass(value):
        feed(hasher, type(value).__name__)
        feed(hasher, {f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    else:
        hasher.update(repr(value).encode())


def numbers_of(*values):
    """A generator of numbers that depends on everything given."""
    hasher = hashlib.sha256()
    feed(hasher, values)
    return np.random.default_rng(int.from_bytes(hasher.digest()[:8]))


@pytest.fixture(scope="module")
def model():
    """A real run, whose labels the stand-in borrows."""
    task, net = ld.SpikedMatrix(dim=6, rank=2), ld.TwoLayer.gaussian(6, 50, 0.01)
    method = ld.GradientDescent(steps=4)
    return ld.simulate(net, task, method, observables=["train_error", "test_error", "stable_rank", "singular_values"])


@pytest.fixture
def stand_ins(model, monkeypatch):
    def simulate(system, task, method="auto", *, times=None, save_every=1, observables=None, progress=None):
        steps, rate = getattr(method, "steps", 4), getattr(method, "learning_rate", 0.01)
        rate = rate if isinstance(rate, float) else 0.01
        step = np.arange(0, steps + 1, save_every if isinstance(save_every, int) else max(save_every[0], 1))
        time = step * rate
        if times is not None:
            time = np.asarray(getattr(times, "time", times))
            step = np.arange(len(time))
        rng = numbers_of(system, task, method, time, save_every, observables)
        sizes = {name: (min(task.shape),) if name == "singular_values" else () for name in observables or model.data}
        data = {name: rng.random((len(time), *size)) for name, size in sizes.items()}
        info = dataclasses.replace(model.info, shape=tuple(task.shape), dtype=str(task.dtype), learning_rate=rate)
        variables = {name: model.variables.get(name, model.variables["stable_rank"]) for name in data}
        return dataclasses.replace(model, time=time, step=step.astype(float), data=data, variables=variables, info=info)

    def replay(run, record, wanted):
        return dataclasses.replace(run, data={wanted: numbers_of(run.data, record).random(1)})

    found, compute = {}, ld.advise

    def advise(*args, **options):
        """The command itself computes: each recommendation once, however it is printed and wherever it is written."""
        key = int(numbers_of(args, options).integers(2**62))
        if key not in found:
            found[key] = compute(*args, **options)
        return found[key]

    def phase_diagram(settings, *, path=None, workers=None, dask=None, **_):
        return fake_diagram(settings, numbers_of(settings, workers, dask))

    def refine(settings, *, quantity, level, cells, path=None, **_):
        import xarray as xr

        rng = numbers_of(settings, quantity, level, cells)
        names = ("variance_exponent", "width_exponent", quantity)
        return xr.Dataset({name: ("point", rng.random(cells)) for name in names})

    def save(self, path, *, overwrite=False):
        path.write_text(str(self.data))

    monkeypatch.setattr("lindyn.simulation.trajectory.Trajectory.save", save)

    def reproduce(key, *, claims=None, full=False):
        numbers = {"paper": key, "found": numbers_of(claims, full).random()}
        paper = SimpleNamespace(key=key)
        return SimpleNamespace(
            paper=paper, passed=True, plot=lambda: None, to_dict=lambda: numbers, to_json=lambda: json.dumps(numbers)
        )

    class Server:
        def __init__(self, port):
            self.address = f"http://127.0.0.1:{port}/"

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def serve_forever(self):
            raise KeyboardInterrupt

    monkeypatch.setattr("lindyn.explorer.server.Explorer", Server)
    monkeypatch.setattr("lindyn.explorer.write_page", lambda path: path.write_text("page") and path)
    monkeypatch.setattr("webbrowser.open", lambda address: sys.stdout.write(f"opens {address}\n"))
    monkeypatch.setattr("lindyn.papers.reproduce", reproduce)
    monkeypatch.setattr("lindyn.simulation.simulate", simulate)
    monkeypatch.setattr("lindyn.simulation.replay", replay)
    monkeypatch.setattr("lindyn.advice.advise", advise)
    monkeypatch.setattr("lindyn.diagrams.phase_diagram", phase_diagram)
    monkeypatch.setattr("lindyn.diagrams.refine", refine)
    monkeypatch.setattr("lindyn.diagrams.estimate", lambda _: SimpleNamespace(steps=0, seconds=0.0))
    figures = ("phase_panels", "refined_panel", "figure1", "singular_values", "errors", "mode_growth", "prediction",
               "trade_off", "pair_modes", "richness_portrait", "save_figure")  # fmt: skip
    for name in figures:
        monkeypatch.setattr(f"lindyn.plots.{name}", lambda *_, **__: SimpleNamespace(figure=None, name="figure"))


def fake_diagram(settings, rng):
    import xarray as xr

    coords = {"source": list(settings.sources), "seed": list(settings.seeds)}
    coords |= {axis.name: list(axis.values) for axis in (settings.rows, settings.columns)}
    dims, shape = tuple(coords), tuple(len(values) for values in coords.values())
    data = {name: (dims, rng.random(shape)) for name in settings.quantities}
    data["reason"] = (dims, np.full(shape, "", dtype=object))
    data["status"] = (dims, rng.integers(1, 4, shape))
    data["stability_bound"] = (dims[3:], rng.random(shape[3:]))
    return xr.Dataset(data, coords=coords)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Inputs that the options name."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((30, 30))
    matrix = 30 * np.outer(*rng.standard_normal((2, 30))) / 30 + noise
    np.save(folder / "target.npy", 3 * matrix)
    np.save(folder / "signal.npy", 3 * (matrix - noise))
    np.save(folder / "gradient.npy", -3 * matrix)
    (folder / "cells.csv").write_text("variance_exponent,width_exponent,step\n-2,2,5\n-1,2,3\n")
    for k, name in enumerate(("adapter", "start")):
        (folder / name).mkdir()
        first, second = rng.standard_normal((2, 9)).astype(np.float32), np.full((7, 2), k, dtype=np.float32)
        tensors = {"m.l.lora_A.weight": first, "m.l.lora_B.weight": 1 - second, "a": first, "b": 1 - second}
        tensors |= {"m.n.lora_A.weight": 2 * first, "m.n.lora_B.weight": 3 - second}
        save_file(tensors, folder / name / "adapter_model.safetensors")
        settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "init_lora_weights": True}
        (folder / name / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def line_of(command, chosen):
    """The command line with the chosen options, and what else is needed to run."""
    typed = dict.fromkeys(chosen)
    for names, value, unless in FILLERS[command]:
        absent = "no cells" in unless and "cells" not in chosen
        if not absent and not {*names, *unless} & {*chosen}:
            typed[names[0]] = value
    arguments = {"inspect": ["{in}/adapter"], "reproduce": [] if "all" in chosen else ["tu2024"]}
    line = [command, *arguments.get(command, [])]
    for name, filler in typed.items():
        value = VALUES[command][name] if name in chosen else filler
        line += [f"--{name}"] if value is None else [f"--{name}={value}"]
    return line


def result_of(command, chosen, files, folder, *, exists=False):
    """What a command prints and writes, into a folder that may exist before; None if it is refused."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if exists:
        for name in ("out", "out.html", "out.csv", "other.csv", "demo"):
            is_file = "cells" in chosen or name.endswith(".html")
            (folder / name).touch() if is_file else (folder / name).mkdir()
    line = [word.format(tmp=folder, **{"in": files}) for word in line_of(command, chosen)]
    if command not in ("inspect", "explore") and not {"json", "most", "cells"} & {*chosen}:
        line.append("--json")
    done = lindyn(*line)
    assert done.returncode in (0, 2), (line, done.stderr)
    if done.returncode == 2:
        assert done.stdout == "", line
        return None
    printed = done.stdout
    if printed.startswith("{"):
        printed = json.dumps({k: v for k, v in json.loads(printed).items() if k not in VARYING})
    written = {
        str(p.relative_to(folder)): p.read_bytes() if p.suffix in (".csv", ".zarr") else b""
        for p in folder.rglob("*")
        if p.is_file()
    }
    return re.sub(r"\d+\.\d+ s\b", "", printed.replace(str(folder), "")), written


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_value_here(command):
    group = typer.main.get_command(app)
    params = group.get_command(None, command).params
    options = {opt.removeprefix("--") for p in params for opt in p.opts if opt.startswith("--")}
    assert options - {"help"} == {*VALUES[command]}


# beside these the result does not change, for a reason
HARMLESS = {
    ("reproduce", "json"),
    ("simulate", "json"), ("demo", "json"), ("predict", "json"), ("regime", "json"), ("advise", "json"),
    ("phase-diagram", "json"),  # every line of this test prints JSON, but one that chooses it
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.filterwarnings("ignore")
def test_each_of_two_options_changes_the_result_or_is_refused(command, files, tmp_path, stand_ins):
    alone = {name: result_of(command, [name], files, tmp_path / "x") for name in VALUES[command]}
    silent = []
    for pair in itertools.combinations(VALUES[command], 2):
        exists = "force" in pair
        both = result_of(command, pair, files, tmp_path / "x", exists=exists)
        for kept, other in (pair, pair[::-1]) if both is not None else ():
            before = result_of(command, [kept], files, tmp_path / "x", exists=True) if exists else alone[kept]
            if before == both and (command, other) not in HARMLESS:
                silent.append(f"--{kept} makes --{other} idle")
    assert silent == []
    assert sum(result is not None for result in alone.values()) > len(alone) / 3
