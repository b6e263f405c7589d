"""Generated command lines, right and wrong: what is promised of every one of them holds."""

import json
import re
import shutil
import warnings

import numpy as np
import pytest
import typer

from helpers.commands import lindyn
from helpers.hostile import BAD_FILES, GOOD_FILES, INTEGERS, LISTS, NUMBERS, WORDS, write_files
from lindyn.cli.app import app

COUNT, SEED = 520, 20261125

# option → (right values, wrong ones); one draw in five is a wrong one
COUNTS, REALS = (["1", "2", "4"], INTEGERS), (["0.5", "1", "3"], NUMBERS)
SIZE = {"dim": (["8"], INTEGERS), "rows": (["6"], INTEGERS), "columns": (["9"], INTEGERS)}
SIGNAL = {"rank": COUNTS, "singular-values": (["9,5", "30"], LISTS)}
LEVELS = {"noise": REALS, "scale": REALS}
LAW = {
    "variance": (["0.01", "1e-5"], NUMBERS), "width": (["1", "50", "1e12"], NUMBERS),
    "variance-exponent": (["-2", "-1"], NUMBERS), "width-exponent": (["0", "2"], NUMBERS),
}  # fmt: skip
MATRIX = {"target": (GOOD_FILES, BAD_FILES), "signal": (["m.npy"], BAD_FILES)}
RATE = {"learning-rate": (["auto", "figure1", "0.01"], NUMBERS + WORDS)}
STEPS = {"steps": (["4"], INTEGERS), "save-every": (["2"], INTEGERS)}
DRAW = {
    "seed": (["3"], INTEGERS),
    "dtype": (["float32", "float64"], [*WORDS, "int8", "object", "float16", "datetime64"]),
}
OUT = {
    "json": ([None], [None]),
    "out": (["out", "a/b/c"], ["m.npy", "/proc/x", "m.npy/x", "", "a" * 300]),
    "force": ([None], [None]),
}
OPTIONS = {
    "demo": {"dim": (["8"], INTEGERS), "rank": COUNTS, "steps": (["3"], INTEGERS), **DRAW, "euler": ([None], [None]),
             **OUT},
    "simulate": {
        **SIZE, **SIGNAL, **LEVELS, **MATRIX, **LAW, **RATE, **STEPS, **DRAW, **OUT,
        "spectrum": (["sampled", "mean"], WORDS), "dynamics": (["network", "mixed", "lazy"], WORDS),
        "method": (["descent", "closed-form"], WORDS), "order": (["sequential"], WORDS),
        "momentum": (["0.5"], NUMBERS), "weight-decay": (["0.1"], NUMBERS), "formula": ([None], [None]),
        "observables": (["singular_values", "stable_rank", "activity,cost"], WORDS),
    },
    "predict": {
        **SIZE, **SIGNAL, **LEVELS, **LAW, **RATE, **STEPS, **DRAW, **OUT, "sampled": ([None], [None]),
        "cells": (["cells.csv"], BAD_FILES), "weight-decay": (["0.1"], NUMBERS),
    },
    "regime": {
        **SIZE, **SIGNAL, **LEVELS, "target": MATRIX["target"], **LAW, "threshold": (["2"], NUMBERS),
        "learning-rate": (["0.01"], NUMBERS), "most": COUNTS, **OUT,
    },
    "advise": {
        **SIZE, **SIGNAL, **LEVELS, "target": MATRIX["target"], "gradient": (["m.npy"], BAD_FILES),
        "width": (["3", "60000"], NUMBERS), "optimizer": (["sgd"], [*WORDS, "adam"]), "momentum": (["0.5"], NUMBERS),
        "curvature": (["0.5"], NUMBERS), "learning-rate": (["0.001"], NUMBERS), "steps": (["40"], INTEGERS), **OUT,
    },
    "phase-diagram": {
        "preset": (["figure2"], WORDS), **SIZE, "rank": COUNTS, **LEVELS, "spectrum": (["mean"], WORDS),
        "variance-range": (["-3,0"], LISTS), "width-range": (["1,2"], LISTS), "variances": (["1e-4,1e-2"], LISTS),
        "widths": (["10,1000"], LISTS), "spacing": (["log", "linear"], WORDS),
        "source": (["predict", "spectral"], WORDS),
        "points": (["2"], [*INTEGERS, "100000000"]), "seed": (["3"], INTEGERS), "learning-rate": RATE["learning-rate"],
        "steps": (["9"], INTEGERS), "dtype": DRAW["dtype"], "workers": (["0"], INTEGERS), "refine": ([], WORDS),
        "level": (["0.5"], NUMBERS), "cells": (["12"], [*INTEGERS, "1000000000000"]), "json": OUT["json"],
        "out": OUT["out"],
    },
    "inspect": {
        "pair": ([], [*WORDS, "first=a,second=b", "first=(a+)+$,second=b", "first=a", "first=*,second=*"]),
        "start": ([], BAD_FILES), "scale": (["2"], NUMBERS), **OUT, "csv": ([None], [None]),
    },
}  # fmt: skip
# what makes a line complete, added to four lines in five
NEEDS = {
    "simulate": [["--dim=8", "--rank=2", "--variance=0.01", "--width=50", "--steps=4"],
                 ["--target=m.npy", "--variance=1e-4", "--width=1e6", "--steps=4"]],
    "predict": [["--dim=60", "--rank=2", "--variance=1e-4", "--width=5000", "--steps=9"]],
    "regime": [["--dim=60", "--rank=2", "--variance=1e-4", "--width=5000"], ["--threshold=2", "--singular-values=8,3"]],
    "advise": [["--dim=60", "--rank=2"], ["--target=m.npy"]],
    "phase-diagram": [["--dim=60", "--rank=2", "--points=2"]],
    "demo": [["--dim=8", "--rank=2", "--steps=3"]],
    "inspect": [[]],
}  # fmt: skip
SHARES = {"simulate": 4, "predict": 5, "regime": 6, "advise": 3, "phase-diagram": 3, "demo": 1, "inspect": 3}


def generated(count, seed):
    """Return command lines: what is needed, and up to four more options, some of them wrong."""
    rng = np.random.default_rng(seed)
    commands = [c for c, share in SHARES.items() for _ in range(share)]
    for _ in range(count):
        command = commands[rng.integers(len(commands))]
        complete = command == "demo" or rng.random() < 0.85  # a bare demo takes twenty seconds
        line = list(NEEDS[command][rng.integers(len(NEEDS[command]))]) if complete else []
        if command == "inspect":
            line.append([*BAD_FILES, *GOOD_FILES][rng.integers(len(BAD_FILES) + len(GOOD_FILES))])
        names = list(OPTIONS[command])
        for name in rng.permutation(names)[: rng.integers(0, 4)]:
            right, wrong = OPTIONS[command][name]
            pool = right if right and rng.random() < 0.7 else wrong
            value = pool[rng.integers(len(pool))]
            line = [word for word in line if not word.startswith(f"--{name}=")]
            line.append(f"--{name}" if value is None else f"--{name}={value}")
        yield [command, *line]


def faults(line, done, options, before, after):
    """Return what a command line did against its promises."""
    code = done.returncode
    if code not in (0, 2, 3):
        yield f"exit code {code}"
    if "Traceback" in done.stderr + done.stdout:
        yield "a traceback"
    if code == 2:
        if done.stdout and line[0] != "inspect":
            yield "a refusal that prints on standard output"
        if "Error" not in done.stderr:
            yield "a refusal without a sentence"
        if before != after:
            yield f"files left: {sorted(after - before)}"
        named = set(re.findall(r"(?<![\w'/=-])--([a-z][a-z-]*)", done.stderr.split("Error")[-1]))
        if strange := named - options:
            yield f"options that do not exist: {strange}"
    elif "--json" in line and "--cells" not in " ".join(line):
        json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


@pytest.mark.slow
def test_no_command_line_breaks_a_promise(tmp_path, monkeypatch):
    write_files(tmp_path)
    (tmp_path / "cells.csv").write_text("variance_exponent,width_exponent,step\n-2,2,5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    group = typer.main.get_command(app)
    options = {
        command: {opt.removeprefix("--") for p in group.get_command(None, command).params for opt in p.opts} | {"help"}
        for command in OPTIONS
    }
    found = []
    inputs = {p.name for p in tmp_path.iterdir()}
    for line in generated(COUNT, SEED):
        before = {str(p) for p in tmp_path.rglob("*")}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                done = lindyn(*line)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            found.append((" ".join(line), f"{type(error).__name__}: {error}"[:200]))
            continue
        after = {str(p) for p in tmp_path.rglob("*")}
        found += [(" ".join(line), fault) for fault in faults(line, done, options[line[0]], before, after)]
        for path in tmp_path.iterdir():
            if path.name not in inputs:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert found == []
