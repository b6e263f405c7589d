"""The commands. Each turns options into the nouns of the library, calls its one verb, and prints the result."""

from __future__ import annotations

import resource
import sys
import time as clock
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape

from lindyn._version import __version__
from lindyn.cli import options as o
from lindyn.cli.advise_command import EXAMPLES as ADVISE_EXAMPLES
from lindyn.cli.advise_command import advise
from lindyn.cli.diagram_command import EXAMPLES as DIAGRAM_EXAMPLES
from lindyn.cli.diagram_command import phase_diagram
from lindyn.cli.inspect_command import EXAMPLES as INSPECT_EXAMPLES
from lindyn.cli.inspect_command import inspect
from lindyn.cli.output import (
    console,
    curve_summary,
    errors_console,
    prepare_folder,
    print_json,
    print_summary,
    write_results,
)
from lindyn.dynamics import Balanced, Lazy, Mixed
from lindyn.methods.method import ClosedForm, Flow, GradientDescent
from lindyn.networks.two_layer import TwoLayer
from lindyn.prediction.large_d import predict as run_prediction
from lindyn.prediction.large_d import predict_cells as run_cells
from lindyn.prediction.regimes import phase_of
from lindyn.prediction.regimes import regime as split_modes
from lindyn.prediction.spectra import SpikedSpectrum, mean_signal_spectrum
from lindyn.simulation.plans import save_steps
from lindyn.simulation.simulation import simulate as run_simulation
from lindyn.simulation.trajectory import Trajectory, compare
from lindyn.support import checks
from lindyn.tasks.spiked import SpikedMatrix

app = typer.Typer(
    name="lindyn",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Simulate, predict and diagnose the training of linear networks, exactly and at any width.",
)


def main() -> None:
    """Run the command line: refusals become one line on standard error and exit code 2, never a traceback."""
    warnings.showwarning = lambda message, *_: errors_console.print(f"[yellow]Warning:[/] {message}", highlight=False)
    try:
        app()
    except (checks.InvalidArgument, OSError, ImportError, MemoryError) as error:
        told = error.told(_option, "Option {}") if isinstance(error, checks.InvalidArgument) else error
        errors_console.print("[red]Error:[/]", escape(str(told)), highlight=False, soft_wrap=True)
        sys.exit(2)


def _option(name: str) -> str:
    """Arguments are options here: say --width-exponent where Python says `width_exponent`."""
    return "--" + name.replace("_", "-")


def _version(show: bool) -> None:
    if show:
        console.print(f"lindyn {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Simulate, predict and diagnose the training of linear networks, exactly and at any width."""


@app.command(epilog="Example:  lindyn demo --out demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for figure1.png, the datasets and summary.json.")] = Path("demo"),
    dim: Annotated[int, typer.Option(help="Size d of the matrix.")] = 500,
    rank: Annotated[int, typer.Option(help="Rank K of the signal.")] = 5,
    steps: Annotated[int, typer.Option(help="Gradient-descent steps.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of task and weights; at 2, ‖A*‖, which sets the rate, is 238.")] = 2,
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
    from lindyn.plots import figure1

    prepare_folder(out, force)
    started = clock.perf_counter()
    task_key, net_key = o.keys_of(seed)
    task = SpikedMatrix(dim=dim, rank=rank, key=task_key, dtype=dtype)
    net = TwoLayer.exponents(dim, -1.85, 2.25, key=net_key, dtype=dtype)
    settings = GradientDescent(learning_rate="figure1", steps=steps, order="sequential")
    descent = run_simulation(net, task, settings)
    mixed = Mixed.matching(net)
    if euler:
        rate = descent.info.learning_rate
        assert rate is not None  # a descent has one
        formula = run_simulation(mixed, task, GradientDescent(learning_rate=rate, steps=steps))
    else:
        formula = run_simulation(mixed, task, ClosedForm(), times=descent)
    figure = figure1(descent, formula, signal_modes=rank)
    summary = {
        **curve_summary(descent, _phase(net, task, rank), None),
        "width": net.width,
        "seconds": clock.perf_counter() - started,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "formula": {name: formula[name].tolist() for name in ("train_error", "test_error")},
        "largest_difference": {n: compare(descent, formula).largest(n) for n in ("train_error", "test_error")},
        "modes_at": {
            str(k): descent["singular_values"][k, : rank + 1].tolist() for k in (20, 25, 50, 100) if k <= steps
        },
        "signal_norm": task.scale(),
    }
    write_results(out, summary, figure, "figure1.png", descent=descent, formula=formula)
    if as_json:
        print_json(summary)
        return
    _print_demo(summary, descent, rank)


def _print_demo(summary: dict[str, Any], descent: Trajectory, rank: int) -> None:
    from rich.table import Table

    d_out, d_in = summary["shape"]
    table = Table(
        "step", "train error", "formula", "test error", "formula", "signal modes", "bulk edge",
        title=f"Figure 1: {d_out} × {d_in}, width {summary['width']:,}, threshold τ = {summary['threshold']:.2f}",
    )  # fmt: skip
    last = len(descent) - 1
    for k in [k for k in (0, 10, 20, 25, 50, 75, 100) if k <= last]:
        s = descent["singular_values"][k]
        table.add_row(
            str(k),
            f"{summary['train_error'][k]:.4f}",
            f"{summary['formula']['train_error'][k]:.4f}",
            f"{summary['test_error'][k]:.4f}",
            f"{summary['formula']['test_error'][k]:.4f}",
            f"{s[rank - 1]:.0f} … {s[0]:.0f}",
            f"{s[rank]:.1f}" if s.size > rank else "–",
        )
    console.print(table)
    differences = summary["largest_difference"]
    console.print(
        f"Formula against descent, largest difference: train {differences['train_error']:.3f}, "
        f"test {differences['test_error']:.3f} (step size included; the closed form is a flow)."
    )
    if (d_out, d_in, rank) == (500, 500, 5):
        console.print("Published at step 50: train error 0.043, test error 0.648; threshold near 12, bulk near 44.")
    console.print(
        f"{summary['seconds']:.1f} s in all, peak memory {summary['peak_memory_mib']:.0f} MiB; "
        f"learning rate {summary['learning_rate']:.4g}; descent {descent.status}."
    )


def _phase(net: TwoLayer, task: SpikedMatrix, rank: int | None) -> str:
    """Phase by the signal's modes, or by the target's where no signal is known."""
    values = np.linalg.svd(task.reference(), compute_uv=False)
    if rank is not None:
        values = values[:rank]
    n0 = float(np.mean(net.matrix**2))
    return phase_of(net.threshold, values, width=net.width, start_variance=n0, rank=rank or 0)


def _stable_rank_at(run: Trajectory, again: Any) -> float | None:
    """Stable rank at the smallest test error, from a second run to that record only: no SVD at every step."""
    if "test_error" not in run.data:
        return None
    return float(again(int(np.argmin(run["test_error"])))["stable_rank"][-1])


@app.command(
    epilog="Examples:  lindyn simulate --dim 200 --rank 5 --variance-exponent -2.2 --width-exponent 1.75   |   "
    "lindyn simulate --rows 80 --columns 120 --rank 3 --variance 1e-3 --width 1e12 --steps 300 --out runs/first   |   "
    "lindyn simulate --target observed.npy --variance 1e-6 --width 1e6 --json"
)
def simulate(
    dim: o.Dim = None,
    rows: o.Rows = None,
    columns: o.Columns = None,
    rank: o.Rank = None,
    singular_values: o.SingularValues = None,
    spectrum: Annotated[
        str,
        typer.Option(help="'sampled': A* = CDᵀ; 'mean': its mean singular values.", rich_help_panel=o.TASK),
    ] = "sampled",
    noise: o.Noise = 1.0,
    scale: o.Scale = 1.0,
    target: o.Target = None,
    signal: o.Signal = None,
    variance_exponent: o.VarianceExponent = None,
    width_exponent: o.WidthExponent = None,
    variance: o.Variance = None,
    width: o.Width = None,
    dynamics: Annotated[
        str, typer.Option(help="network, or its matrix under: mixed, lazy, balanced.", rich_help_panel=o.RUN)
    ] = "network",
    method: Annotated[
        str, typer.Option(help="descent, flow, or closed-form (matrix dynamics only).", rich_help_panel=o.RUN)
    ] = "descent",
    order: Annotated[
        str, typer.Option(help="simultaneous, or sequential as in the paper's code.", rich_help_panel=o.RUN)
    ] = "simultaneous",
    momentum: Annotated[float, typer.Option(help="Heavy-ball momentum.", rich_help_panel=o.RUN)] = 0.0,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of both layers.", rich_help_panel=o.RUN)] = 0.0,
    steps: o.Steps = 750,
    learning_rate: o.LearningRate = "auto",
    save_every: o.SaveEvery = 1,
    seed: o.Seed = 0,
    dtype: o.Dtype = "float64",
    as_json: o.Json = False,
    out: o.Out = None,
    force: o.Force = False,
) -> None:
    """Train a linear network of any width on a signal in noise, exactly, and report its errors."""
    prepare_folder(out, force)
    task_key, net_key = o.keys_of(seed)
    task = o.task_of(
        dim=dim,
        rows=rows,
        columns=columns,
        rank=rank,
        singular_values=singular_values,
        spectrum=spectrum,
        noise=noise,
        scale=scale,
        target=target,
        signal=signal,
        key=task_key,
        dtype=dtype,
    )
    law = o.law_of(task.shape, variance_exponent, width_exponent, variance, width)
    net = TwoLayer.parametrized(task.shape, law, net_key, dtype=dtype)
    kinds = {"network": None, "mixed": Mixed, "lazy": Lazy, "balanced": Balanced}
    kind = kinds[checks.choice("dynamics", dynamics, list(kinds))]
    checks.choice("method", method, ("descent", "flow", "closed-form"))
    system: Any = net if kind is None else kind.matching(net, weight_decay=weight_decay)
    settings = GradientDescent(
        learning_rate=o.rate_of(learning_rate),
        steps=steps,
        order=order,  # type: ignore[arg-type]
        momentum=momentum,
        weight_decay=weight_decay if kind is None else 0.0,
    )
    run, again = _runner(system, task, settings, method, save_every)
    summary = {
        **curve_summary(run, _phase(net, task, rank), _stable_rank_at(run, again)),
        "width": net.width,
        "variance": law.variance_in,
        "seed": seed,
    }
    write_results(out, summary, run.plot().figure if out else None, "errors.png", trajectory=run)
    if as_json:
        print_json(summary)
    else:
        print_summary(f"{run.info.dynamics}, {run.info.law}", summary)


def _runner(system: Any, task: SpikedMatrix, settings: GradientDescent, method: str, save_every: int) -> Any:
    """Return the run, and a function that repeats it up to one record for the stable rank there."""
    watched = ["train_error", *(["test_error"] if task.has_truth else [])]
    if method == "descent":
        run = run_simulation(system, task, settings, save_every=save_every, observables=watched)

        def again(record: int) -> Trajectory:
            last = int(run.step[record])
            assert run.info.learning_rate is not None  # a descent has one
            shorter = replace(settings, steps=last, learning_rate=run.info.learning_rate)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the first run has said what there was to say
                return run_simulation(system, task, shorter, save_every=[last], observables=["stable_rank"])

        return run, again
    from lindyn.methods.rates import published_learning_rate

    rate = settings.learning_rate
    if isinstance(rate, str):
        rate = published_learning_rate(system, task, rate)[0]
    unused = [n for n in ("momentum",) if getattr(settings, n)]
    if unused:
        raise checks.InvalidArgument(
            unused[0], "be left out for a flow or a closed form", "it is given", "use --method descent"
        )
    steps = save_steps(settings.steps, save_every)
    solver = Flow(weight_decay=settings.weight_decay) if method == "flow" else ClosedForm()
    run = run_simulation(system, task, solver, times=steps * rate, observables=watched)
    run = replace(run, step=steps[: len(run)].astype(float)).relabelled(learning_rate=rate)

    def again_at(record: int) -> Trajectory:
        return run_simulation(system, task, solver, times=[run.time[record]], observables=["stable_rank"])

    return run, again_at


@app.command(
    epilog="Examples:  lindyn predict --dim 200 --rank 5 --variance-exponent -2.2 --width-exponent 1.75   |   "
    "lindyn predict --dim 1000000000 --rank 5 --variance-exponent -1.5 --width-exponent 2 --json   |   "
    "lindyn predict --dim 200 --rank 5 --variance 1e-5 --width 1e6 --sampled --seed 3   |   "
    "lindyn predict --dim 200 --rank 5 --cells cells.csv --out predictions.csv"
)
def predict(
    dim: o.Dim = None,
    rows: o.Rows = None,
    columns: o.Columns = None,
    rank: o.Rank = None,
    singular_values: o.SingularValues = None,
    noise: o.Noise = 1.0,
    scale: o.Scale = 1.0,
    variance_exponent: o.VarianceExponent = None,
    width_exponent: o.WidthExponent = None,
    variance: o.Variance = None,
    width: o.Width = None,
    steps: o.Steps = 750,
    learning_rate: o.LearningRate = "auto",
    save_every: o.SaveEvery = 1,
    sampled: Annotated[
        bool,
        typer.Option("--sampled", help="One drawn task and start, and the closed form on them.", rich_help_panel=o.RUN),
    ] = False,
    cells: Annotated[
        Path | None,
        typer.Option(
            help="CSV with columns variance_exponent, width_exponent, step: predict each row, write to --out.",
            rich_help_panel=o.RUN,
        ),
    ] = None,
    seed: o.Seed = 0,
    dtype: o.Dtype = "float64",
    as_json: o.Json = False,
    out: o.Out = None,
    force: o.Force = False,
) -> None:
    """Predict training by the formula: large-d theory without matrices (any d at once), or one sampled task.

    With --cells and --out FILE.csv, every row of a table of cells is predicted, and the table comes back with the
    columns train_error and test_error added.
    """
    if cells is not None:
        if any(v is not None for v in (variance_exponent, width_exponent, variance, width)) or sampled:
            raise checks.InvalidArgument("cells", "be the only description of the networks", "others are given too")
        _predict_cells(
            cells,
            out,
            force,
            o.shape_of(dim, rows, columns),
            rank=rank,
            singular_values=o.values_of(singular_values),
            noise=noise,
            scale=scale,
            learning_rate=o.rate_of(learning_rate),
        )
        return
    prepare_folder(out, force)
    shape = o.shape_of(dim, rows, columns)
    law = o.law_of(shape, variance_exponent, width_exponent, variance, width)
    rate = o.rate_of(learning_rate)
    if sampled:
        task_key, net_key = o.keys_of(seed)
        task = o.task_of(
            dim=dim,
            rows=rows,
            columns=columns,
            rank=rank,
            singular_values=singular_values,
            spectrum="sampled",
            noise=noise,
            scale=scale,
            target=None,
            signal=None,
            key=task_key,
            dtype=dtype,
        )
        net = TwoLayer.parametrized(shape, law, net_key, dtype=dtype)
        settings = GradientDescent(learning_rate=rate, steps=steps)
        run, again = _runner(Mixed.matching(net), task, settings, "closed-form", save_every)
        summary = curve_summary(run, _phase(net, task, rank), _stable_rank_at(run, again))
    else:
        values = o.values_of(singular_values)
        run = run_prediction(
            shape,
            law,
            rank=rank,
            singular_values=values,
            noise=noise,
            scale=scale,
            learning_rate=rate,
            steps=steps,
            save_every=save_every,
        )
        signal = mean_signal_spectrum(shape, rank, scale=scale) if rank is not None else values
        n0 = law.variance_in * law.variance_out * law.width
        phase = phase_of(law.threshold, signal, width=law.width, start_variance=n0)
        best = float(run["stable_rank"][np.argmin(run["test_error"])])
        summary = curve_summary(run, phase, best)
    summary |= {"width": law.width, "variance": law.variance_in, "seed": seed if sampled else None}
    figure = None
    if out is not None:
        from lindyn.plots import prediction

        figure = run.plot().figure if sampled else prediction(run)
    write_results(out, summary, figure, "prediction.png", trajectory=run)
    if as_json:
        print_json(summary)
    else:
        print_summary(f"Prediction for width {law.width:,}, variance {law.variance_in:.4g}", summary)


def _predict_cells(cells: Path, out: Path | None, force: bool, shape: tuple[int, int], **settings: Any) -> None:
    import pandas as pd

    needed = ["variance_exponent", "width_exponent", "step"]
    if out is None or out.suffix != ".csv":
        raise checks.InvalidArgument(
            "out", "be a .csv file for a table of cells", f"it is {out}", "pass --out predictions.csv"
        )
    if out.exists() and not force:
        raise FileExistsError(f"{out} exists; pass --force to replace it, or choose another --out.")
    try:
        table = pd.read_csv(cells)
    except (OSError, ValueError) as error:
        raise checks.InvalidArgument(
            "cells", "be a readable CSV file", f"reading {cells} failed: {checks.one_line(error)}"
        ) from error
    missing = [name for name in needed if name not in table]
    if missing:
        raise checks.InvalidArgument(
            "cells", f"have the columns {', '.join(needed)}", f"{cells} lacks {', '.join(missing)}"
        )
    try:
        arrays = [table[name].to_numpy(dtype=float) for name in needed]
    except ValueError as error:
        raise checks.InvalidArgument(
            "cells", "hold numbers in its columns", f"{cells} does not: {checks.one_line(error)}"
        ) from error
    found = run_cells(shape, *arrays, **settings)
    for name in ("train_error", "test_error"):
        table[name] = found[name]
    out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(out, index=False)
    errors_console.print(f"Wrote {len(table):,} predictions to {out}")


@app.command(
    epilog="Examples:  lindyn regime --dim 500 --rank 5 --variance-exponent -1.85 --width-exponent 2.25   |   "
    "lindyn regime --threshold 2 --singular-values 8,3,1   |   lindyn regime --target matrix.npy --threshold 0.5"
)
def regime(
    dim: o.Dim = None,
    rows: o.Rows = None,
    columns: o.Columns = None,
    rank: o.Rank = None,
    singular_values: o.SingularValues = None,
    noise: o.Noise = 1.0,
    scale: o.Scale = 1.0,
    target: o.Target = None,
    variance_exponent: o.VarianceExponent = None,
    width_exponent: o.WidthExponent = None,
    variance: o.Variance = None,
    width: o.Width = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="τ itself, instead of variance and width.", rich_help_panel=o.NET),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="η, to give times in steps as well.", rich_help_panel=o.RUN)
    ] = None,
    most: Annotated[int, typer.Option(help="Modes to show at the most.", rich_help_panel=o.OUT)] = 20,
    as_json: o.Json = False,
    out: o.Out = None,
    force: o.Force = False,
) -> None:
    """Say what is lazy and what is active: threshold, phase, and for each mode its activity and learning times.

    Modes are the singular values of what training sees: those given, those of --target, or where a signal of given
    rank shows in noise (and the upper edge of the noise bulk).
    """
    prepare_folder(out, force)
    labels, modes, signal, shape = _modes(dim, rows, columns, rank, singular_values, noise, scale, target)
    n0, w = None, None
    if threshold is None:
        if shape is None:
            shape = o.shape_of(dim, rows, columns)
        law = o.law_of(shape, variance_exponent, width_exponent, variance, width)
        tau, w, n0 = law.threshold, law.width, law.variance_in * law.variance_out * law.width
    else:
        given = [variance_exponent, width_exponent, variance, width]
        if any(v is not None for v in given):
            raise checks.InvalidArgument("threshold", "be given instead of variance and width", "both are given")
        tau = checks.number("threshold", threshold, above=0)
    split = split_modes(tau, modes)
    phase = phase_of(tau, signal, width=w, start_variance=n0)
    rate = None if learning_rate is None else checks.number("learning_rate", learning_rate, above=0)
    rows_out = [
        {
            "mode": label,
            "singular_value": float(s),
            "activity": float(a),
            "regime": "active" if s > tau else "lazy",
            "crossing_time": None if np.isnan(c) else float(c),
            "half_time": float(h),
            "learning_time": float(t),
            **({"learning_steps": float(t) / rate} if rate else {}),
        }
        for label, s, a, c, h, t in zip(
            labels, split.singular_values, split.activity, split.crossing_time, split.half_time, split.learning_time,
            strict=True,
        )
    ]  # fmt: skip
    summary = {
        "threshold": tau,
        "phase": phase,
        "width": w,
        "start_variance": n0,
        "active_modes": split.active_modes,
        "lazy_modes": len(modes) - split.active_modes,
        "modes": rows_out,
    }
    if out is not None:
        from lindyn.plots import mode_growth

        write_results(out, summary, mode_growth(split), "modes.png")
    if as_json:
        print_json(summary)
    else:
        _print_regime(summary, checks.integer("most", most, at_least=1))


def _modes(
    dim: int | None,
    rows: int | None,
    columns: int | None,
    rank: int | None,
    singular_values: str | None,
    noise: float,
    scale: float,
    target: Path | None,
) -> tuple[list[str], Any, Any, tuple[int, int] | None]:
    """Names and singular values of the modes that training sees, those of the signal, and the shape if known."""
    if target is not None:
        matrix = o.matrix_from("target", target)
        values = np.linalg.svd(matrix, compute_uv=False)
        values = values[values > values[0] * np.finfo(float).eps * max(matrix.shape)]
        return [str(k + 1) for k in range(values.size)], values, values, (matrix.shape[0], matrix.shape[1])
    values_given = o.values_of(singular_values)
    if values_given is not None and dim is None and rows is None:
        ordered = sorted(values_given, reverse=True)
        return [str(k + 1) for k in range(len(ordered))], ordered, ordered, None
    shape = o.shape_of(dim, rows, columns)
    if values_given is None:
        if rank is None:
            raise checks.InvalidArgument("rank", "be given, or `singular_values`, or `target`", "none of them is")
        values_given = list(mean_signal_spectrum(shape, rank, scale=scale))
    spectrum = SpikedSpectrum(shape, values_given, noise)
    shows = spectrum.overlaps > 0
    seen = list(spectrum.outliers[shows])
    labels = [f"signal {k + 1}" for k in range(len(seen))]
    if noise > 0:
        seen, labels = [*seen, spectrum.edge], [*labels, "noise edge"]
    return labels, seen, spectrum.signal, shape


def _print_regime(summary: dict[str, Any], most: int) -> None:
    from rich.table import Table

    console.print(
        f"threshold τ = {summary['threshold']:.5g}; phase: [bold]{summary['phase']}[/]; "
        f"{summary['active_modes']} active and {summary['lazy_modes']} lazy of the modes below"
        + ("" if summary["width"] is None else f"; width {summary['width']:,}, σ⁴w = {summary['start_variance']:.3g}")
    )
    in_steps = "learning_steps" in summary["modes"][0]
    table = Table(
        "mode", "s", "activity", "regime", "crosses τ at t", "s/2 at t", "0.9 s at t",
        *(["0.9 s at step"] if in_steps else []),
        caption="activity s/√(s² + τ²); t: flow time, gradient-descent step × learning rate",
    )  # fmt: skip
    for row in summary["modes"][:most]:
        crossing = row["crossing_time"]
        table.add_row(
            row["mode"],
            f"{row['singular_value']:.5g}",
            f"{row['activity']:.3f}",
            row["regime"],
            "never" if crossing is None else f"{crossing:.4g}",
            f"{row['half_time']:.4g}",
            f"{row['learning_time']:.4g}",
            *([f"{row['learning_steps']:.0f}"] if in_steps else []),
        )
    console.print(table)
    hidden = len(summary["modes"]) - most
    if hidden > 0:
        console.print(f"… and {hidden} smaller modes; --most shows more.")


app.command("phase-diagram", epilog=DIAGRAM_EXAMPLES)(phase_diagram)
app.command("inspect", epilog=INSPECT_EXAMPLES)(inspect)
app.command("advise", epilog=ADVISE_EXAMPLES)(advise)
