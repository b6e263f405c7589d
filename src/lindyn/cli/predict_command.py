"""`lindyn predict`: the errors of training without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lindyn.cli import options as o
from lindyn.cli import output
from lindyn.support.errors import InvalidArgument

if TYPE_CHECKING:
    from lindyn.networks import Parametrization
    from lindyn.networks.deep_laws import DeepParametrization
    from lindyn.simulation.trajectory import Trajectory

EXAMPLES = (
    "lindyn predict --dim 200 --rank 5 --variance-exponent -2.2 --width-exponent 1.75",
    "lindyn predict --dim 1000000000 --rank 5 --variance-exponent -1.5 --width-exponent 2 --json",
    "lindyn predict --dim 200 --rank 5 --variance 1e-5 --width 1e6 --sampled --seed 3",
    "lindyn predict --dim 200 --rank 5 --variance-exponent -1.6 --width-exponent 2 --depth 3",
    "lindyn predict --dim 200 --rank 5 --cells cells.csv --out predictions.csv",
)

CELL_COLUMNS = ("variance_exponent", "width_exponent", "step")


def predict(
    ctx: typer.Context,
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
    depth: o.Depth = 2,
    steps: o.Steps = 750,
    learning_rate: o.LearningRate = "auto",
    save_every: o.SaveEvery = 1,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of both layers.", rich_help_panel=o.RUN)] = 0.0,
    sampled: Annotated[
        bool,
        typer.Option("--sampled", help="One drawn task and start, and the closed form on them.", rich_help_panel=o.RUN),
    ] = False,
    seed: Annotated[int, typer.Option(help="With --sampled: seed of task and start.", rich_help_panel=o.RUN)] = 0,
    dtype: Annotated[
        str, typer.Option(help="With --sampled: precision, float64 or float32.", rich_help_panel=o.RUN)
    ] = "float64",
    cells: Annotated[
        Path | None,
        typer.Option(
            help="CSV with columns variance_exponent, width_exponent, step: predict each row, write to --out FILE.csv.",
            rich_help_panel=o.RUN,
            metavar="FILE",
        ),
    ] = None,
    as_json: o.Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the dataset, the figure and summary.json; with --cells, a .csv file.",
            rich_help_panel=o.OUT,
            metavar="PATH",
        ),
    ] = None,
    force: o.Force = False,
) -> None:
    """Predict training by the formula: large-d theory without matrices (any d at once), or one sampled task.

    With --cells and --out FILE.csv, every row of a table of cells is predicted, and the table comes back with the
    columns train_error and test_error added.
    """
    typed = o.given(ctx)
    _check_options(typed)
    shape = o.shape_of(dim, rows, columns)
    if cells is not None:
        _predict_cells(
            cells, out, force, shape, rank=rank, singular_values=o.values_of(singular_values), noise=noise, scale=scale,
            learning_rate=o.rate_of(learning_rate),
        )  # fmt: skip
        return
    output.prepare_folder(out, force)
    law = o.law_of(shape, variance_exponent, width_exponent, variance, width)
    signal: dict[str, Any] = {"rank": rank, "noise": noise, "scale": scale}
    training: dict[str, Any] = {"learning_rate": o.rate_of(learning_rate), "steps": steps}
    deep = o.deep_law_of(law, shape, depth)
    if sampled:
        run, summary = _sampled(shape, law, seed, dtype, save_every, singular_values, signal, training)
    else:
        training["weight_decay"] = weight_decay
        run, summary = _predicted(shape, law, deep, save_every, o.values_of(singular_values), signal, training)
    summary |= {"width": law.width, "variance": law.variance_in, "seed": seed if sampled else None}
    _report(run, summary, sampled=sampled, as_json=as_json, out=out)
    output.finish(run.status)


def _check_options(typed: set[str]) -> None:
    """Refuse options that are missing, or that would change nothing beside the others."""
    if "out" not in typed:
        o.idle(typed, ("force",), "without `out`")
    if "singular_values" in typed:
        o.idle(typed, ("scale",), "with `singular_values`")
    if "cells" in typed:
        o.idle(
            typed,
            ("variance_exponent", "width_exponent", "variance", "width", "depth", "steps", "save_every", "weight_decay",
             "sampled", "seed", "dtype", "as_json"),
            "with `cells`, whose rows say it all",
        )  # fmt: skip
        o.require(o.has_size(typed), o.has_signal(typed), ("out" in typed, "`out` FILE.csv"))
        return
    o.require(o.has_size(typed), o.has_signal(typed), *o.has_law(typed))
    if "sampled" in typed:
        o.idle(typed, ("depth", "weight_decay"), "with `sampled`, the closed form of two layers")
    else:
        o.idle(typed, ("seed", "dtype"), "without `sampled`")


def _sampled(
    shape: tuple[int, int], law: Parametrization, seed: int, dtype: str, save_every: int, singular_values: str | None,
    signal: dict[str, Any], training: dict[str, Any],
) -> tuple[Trajectory, dict[str, Any]]:  # fmt: skip
    """Run the closed form on one drawn task from one drawn start."""
    import numpy as np

    from lindyn.cli.run_summary import summary_of
    from lindyn.cli.simulate_command import run_by, stable_rank_at_minimum
    from lindyn.dynamics import Mixed
    from lindyn.methods import GradientDescent
    from lindyn.networks import TwoLayer
    from lindyn.support import checks
    from lindyn.support.linalg import numerical_rank

    key = checks.integer("seed", seed, at_least=0)
    task = o.drawn_task(shape, singular_values=singular_values, key=key, dtype=dtype, **signal)
    net = TwoLayer.parametrized(shape, law, key, dtype=checks.precision("dtype", dtype))
    run = run_by(Mixed.matching(net), task, GradientDescent(**training), "closed-form", save_every, [])
    values = np.linalg.svd(task.reference(), compute_uv=False)
    values = values[: numerical_rank(values, shape)]
    return run, summary_of(run, o.phase_in(net, values, values.size), stable_rank_at_minimum(run))


def _predicted(
    shape: tuple[int, int], law: Parametrization, deep: DeepParametrization, save_every: int,
    values: list[float] | None, signal: dict[str, Any], training: dict[str, Any],
) -> tuple[Trajectory, dict[str, Any]]:  # fmt: skip
    """Evaluate the large-d theory."""
    from lindyn.cli.run_summary import summary_of
    from lindyn.prediction import predict as run_prediction
    from lindyn.prediction.regimes import phase_of
    from lindyn.prediction.spectra import mean_signal_spectrum

    chosen = law if deep.depth == 2 else deep
    run = run_prediction(shape, chosen, singular_values=values, save_every=save_every, **signal, **training)
    modes: Any = values if values is not None else mean_signal_spectrum(shape, signal["rank"], scale=signal["scale"])
    phase = phase_of(chosen.threshold, modes, width=law.width, start_variance=deep.start_variance)
    return run, summary_of(run, phase, float(run["stable_rank"][run["test_error"].argmin()]))


def _report(run: Trajectory, summary: dict[str, Any], *, sampled: bool, as_json: bool, out: Path | None) -> None:
    from lindyn.cli.run_summary import print_curves, print_run

    if out is not None:
        from lindyn.plots import prediction

        figure: Any = run.plot().figure if sampled else prediction(run)
        output.write_results(out, summary, {"prediction.png": figure}, trajectory=run)
    if as_json:
        output.print_json(summary)
        return
    print_run(f"Prediction for width {summary['width']:,}, variance {summary['variance']:.4g}", summary)
    print_curves(run)
    if "signal_modes" in run.data:
        _print_signal_modes(run)


def _print_signal_modes(run: Trajectory) -> None:
    from lindyn.cli.run_summary import shown_records

    modes = run["signal_modes"]
    shown = min(6, modes.shape[1])
    rows = [[f"{run.step[k]:.0f}", *(f"{m:.4g}" for m in modes[k, :shown])] for k in shown_records(len(run))]
    hidden = modes.shape[1] - shown
    output.print_table(
        "Learned strength of the signal's modes",
        ["step", *(f"mode {k}" for k in range(1, shown + 1))],
        rows,
        caption=f"{hidden} weaker modes are not shown" if hidden else "",
    )


def _predict_cells(cells: Path, out: Path | None, force: bool, shape: tuple[int, int], **settings: Any) -> None:
    from lindyn.cli.matrix_files import read_table
    from lindyn.prediction import predict_cells
    from lindyn.support import checks

    if out is None or out.suffix != ".csv":
        raise InvalidArgument(
            "out", "be a .csv file for a table of cells", f"it is {out}", "pass --out predictions.csv"
        )
    if out.exists() and not force:
        raise FileExistsError(f"{out} exists; pass --force to replace it, or choose another --out.")
    table = read_table("cells", cells)
    missing = [name for name in CELL_COLUMNS if name not in table]
    if missing:
        raise InvalidArgument(
            "cells", f"have the columns {', '.join(CELL_COLUMNS)}", f"{cells} lacks {', '.join(missing)}"
        )
    try:
        arrays = [table[name].to_numpy(dtype=float) for name in CELL_COLUMNS]
    except ValueError as error:
        raise InvalidArgument(
            "cells", "hold numbers in its columns", f"{cells} does not: {checks.one_line(error)}"
        ) from error
    for name, values in zip(CELL_COLUMNS, arrays, strict=True):
        _refuse_gaps(cells, name, values)
    found = predict_cells(shape, *arrays, **settings)
    for name in ("train_error", "test_error"):
        table[name] = found[name]
    out.parent.mkdir(parents=True, exist_ok=True)
    for name in table.columns[[not _is_numeric(table[c]) for c in table.columns]]:
        table[name] = table[name].map(lambda v: output.csv_cell(v) if isinstance(v, str) else v)
    table.to_csv(out, index=False)
    output.tell(f"Wrote {len(table):,} predictions to {out}")


def _is_numeric(column: Any) -> bool:
    return column.dtype.kind in "biuf"


def _refuse_gaps(cells: Path, name: str, values: Any) -> None:
    """Refuse a table with NaN or infinity in a column, with the numbers of its first such lines."""
    import numpy as np

    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        lines = ", ".join(str(k + 2) for k in bad[:5])  # line 1 holds the names
        raise InvalidArgument(
            "cells",
            "hold finite numbers in its columns",
            f"{name} is empty or infinite in {bad.size} of {len(values)} rows of {cells} (line {lines}"
            f"{', …' if bad.size > 5 else ''})",
            "fill or drop those rows",
        )
    if len(values) == 0:
        raise InvalidArgument("cells", "hold at least one row", f"{cells} holds only the names of its columns")
