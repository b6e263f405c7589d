"""`lindyn demo`: the paper's Figure 1 at its published size."""

from __future__ import annotations

import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lindyn.cli import options as o
from lindyn.cli import output

if TYPE_CHECKING:
    from lindyn.simulation.trajectory import Trajectory

EXAMPLES = ("lindyn demo", "lindyn demo --dim 100 --out small")

PUBLISHED_STEPS = (0, 10, 20, 25, 50, 75, 100)
# A record costs a closed form and two decompositions, several times a step: close where the curves turn, then far.
_TURNING = 30
_CLOSE, _FAR = 2, 5  # steps between records


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for figure1.png, the datasets and summary.json.", metavar="FOLDER")
    ] = Path("demo"),
    dim: Annotated[int, typer.Option(help="Size d of the matrix.")] = 500,
    rank: Annotated[int, typer.Option(help="Rank K of the signal.")] = 5,
    steps: Annotated[int, typer.Option(help="Gradient-descent steps.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of task and weights; at 18, ‖A*‖, which sets the rate, is 238.")] = 18,
    dtype: o.Dtype = "float64",
    euler: Annotated[
        bool, typer.Option("--euler", help="Euler steps of the formula, as published, not its closed form.")
    ] = False,
    as_json: o.Json = False,
    force: o.Force = False,
) -> None:
    """Reproduce Figure 1: gradient descent at width 1,182,177, exactly, and the unifying formula laid over it.

    Settings of the paper: σ² = d^-1.85, w = d^2.25, η = 1/(5‖A*‖), 100 steps, sequential updates.
    """
    import numpy as np

    from lindyn.cli.run_summary import summary_of
    from lindyn.dynamics import Mixed
    from lindyn.methods import ClosedForm, GradientDescent
    from lindyn.networks import TwoLayer
    from lindyn.plots import figure1
    from lindyn.simulation import compare, simulate
    from lindyn.support import checks
    from lindyn.support.memory import require_memory
    from lindyn.tasks import SpikedMatrix

    output.prepare_folder(out, force)
    started = clock.perf_counter()
    key = checks.integer("seed", seed, at_least=0)
    precision = checks.precision("dtype", dtype)
    task = SpikedMatrix(dim=checks.integer("dim", dim, at_least=1), rank=rank, key=key, dtype=precision)
    net = TwoLayer.exponents(dim, -1.85, 2.25, key=key, dtype=precision)
    settings = GradientDescent(learning_rate="figure1", steps=steps, order="sequential")
    records = settings.steps / _FAR + _TURNING
    # its number three times over (in lists of Python), all singular values twice
    require_memory("steps", settings.steps, records * (200 + 16 * dim), "the records of so many steps", "use fewer")
    spaced = {*range(0, _TURNING, _CLOSE), *range(_TURNING, settings.steps, _FAR)}
    marks = sorted({k for k in spaced.union(PUBLISHED_STEPS) if k < settings.steps} | {settings.steps})
    descent = simulate(net, task, settings, save_every=marks)
    mixed = Mixed.matching(net)
    if euler:
        rate = descent.info.learning_rate
        assert rate is not None  # a descent has one
        formula = simulate(mixed, task, GradientDescent(learning_rate=rate, steps=steps), save_every=marks)
    else:
        formula = simulate(mixed, task, ClosedForm(), times=descent)
    difference = compare(descent, formula)
    modes = np.linalg.svd(task.reference(), compute_uv=False)[:rank]
    summary = {
        **summary_of(descent, o.phase_in(net, modes, rank), None),
        "width": net.width,
        "seconds": clock.perf_counter() - started,
        "peak_memory_mib": _peak_mib(),
        "formula": {name: formula[name].tolist() for name in ("train_error", "test_error")},
        "largest_difference": {n: difference.largest(n) for n in ("train_error", "test_error")},
        "modes_at": {
            str(k): descent["singular_values"][marks.index(k), : rank + 1].tolist()
            for k in (20, 25, 50, 100)
            if k <= descent.step[-1]
        },
        "signal_norm": task.scale(),
    }
    figure = figure1(descent, formula, signal_modes=rank)
    output.write_results(out, summary, {"figure1.png": figure}, descent=descent, formula=formula)
    if as_json:
        output.print_json(summary)
    else:
        _print(summary, descent, rank)
    output.finish(descent.status)


def _peak_mib() -> float | None:
    """Return the largest resident memory of this process in MiB, where the operating system says it."""
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    import sys

    unit = 1 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _print(summary: dict[str, Any], descent: Trajectory, rank: int) -> None:
    d_out, d_in = summary["shape"]
    rows = []
    for step in [step for step in PUBLISHED_STEPS if step <= descent.step[-1]]:
        k = summary["step"].index(step)
        s = descent["singular_values"][k]
        rows.append(
            [
                str(step),
                f"{summary['train_error'][k]:.4f}",
                f"{summary['formula']['train_error'][k]:.4f}" if k < len(summary["formula"]["train_error"]) else "–",
                f"{summary['test_error'][k]:.4f}",
                f"{summary['formula']['test_error'][k]:.4f}" if k < len(summary["formula"]["test_error"]) else "–",
                f"{s[rank - 1]:.0f} … {s[0]:.0f}",
                f"{s[rank]:.1f}" if s.size > rank else "–",
            ]
        )
    output.print_table(
        f"Figure 1: {d_out} × {d_in}, width {summary['width']:,}, threshold τ = {summary['threshold']:.2f}",
        ["step", "train error", "train by formula", "test error", "test by formula", "signal modes", "bulk edge"],
        rows,
    )
    differences = summary["largest_difference"]
    output.say(
        f"Formula against descent, largest difference: train {differences['train_error']:.3f}, "
        f"test {differences['test_error']:.3f} (step size included; the closed form is a flow)."
    )
    if (d_out, d_in, rank) == (500, 500, 5):
        output.say("Published at step 50: train error 0.043, test error 0.648; threshold near 12, bulk near 44.")
    peak = summary["peak_memory_mib"]
    output.say(
        f"{summary['seconds']:.1f} s in all{'' if peak is None else f', peak memory {peak:.0f} MiB'}; "
        f"learning rate {summary['learning_rate']:.4g}; descent {descent.status}."
    )
