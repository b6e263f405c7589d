"""`lindyn regime`: which modes are lazy and which active."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lindyn.cli import options as o
from lindyn.cli import output

if TYPE_CHECKING:
    from lindyn.prediction.regimes import Regime

EXAMPLES = (
    "lindyn regime --dim 500 --rank 5 --variance-exponent -1.85 --width-exponent 2.25",
    "lindyn regime --threshold 2 --singular-values 8,3,1",
    "lindyn regime --dim 500 --rank 5 --variance-exponent -1.85 --width-exponent 2.25 --depth 3",
    "lindyn regime --target matrix.npy --threshold 0.5",
    "lindyn regime --threshold 10 --singular-values 1,0.8 --weight-decay 0.01 --critical-threshold 0.0115",
)


def regime(
    ctx: typer.Context,
    dim: o.Dim = None,
    rows: o.Rows = None,
    columns: o.Columns = None,
    rank: o.Rank = None,
    singular_values: o.SingularValues = None,
    noise: o.Noise = 1.0,
    scale: o.Scale = 1.0,
    target: Annotated[
        Path | None,
        typer.Option(
            help="Matrix whose singular values are the modes, instead: .npy, .npz, .csv or .tsv.",
            rich_help_panel=o.TASK,
            metavar="FILE",
        ),
    ] = None,
    variance_exponent: o.VarianceExponent = None,
    width_exponent: o.WidthExponent = None,
    variance: o.Variance = None,
    width: o.Width = None,
    depth: o.Depth = 2,
    threshold: Annotated[
        float | None,
        typer.Option(help="τ itself, instead of variance and width.", rich_help_panel=o.NET),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="η, to give times in steps as well.", rich_help_panel=o.RUN)
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(help="μ of both layers: when do lazy modes turn active?", rich_help_panel=o.RUN),
    ] = None,
    critical_threshold: Annotated[
        float | None,
        typer.Option(help="τ_c of the task: when does a lazy start generalise (grokking)?", rich_help_panel=o.RUN),
    ] = None,
    most: Annotated[int, typer.Option(help="Modes to print at the most.", rich_help_panel=o.OUT)] = 20,
    as_json: o.Json = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for modes.png and summary.json.", rich_help_panel=o.OUT, metavar="FOLDER"),
    ] = None,
    force: o.Force = False,
) -> None:
    """Say what is lazy and what is active: threshold, phase, and for each mode its activity and learning times.

    Modes are the singular values of what training sees: those given, those of --target, or where a signal of given
    rank shows in noise (and the upper edge of the noise bulk).
    """
    from lindyn.prediction.regimes import regime as split_modes
    from lindyn.support import checks

    _check_options(o.given(ctx))
    most = checks.integer("most", most, at_least=1)
    rate = None if learning_rate is None else checks.number("learning_rate", learning_rate, above=0)
    output.prepare_folder(out, force)
    labels, modes, signal, shape = _modes(dim, rows, columns, rank, singular_values, noise, scale, target)
    if threshold is None:
        law = o.law_of(shape or o.shape_of(dim, rows, columns), variance_exponent, width_exponent, variance, width)
        deep = o.deep_law_of(law, (1, 1), depth)
        tau, w, n0 = deep.threshold, law.width, deep.start_variance
    else:
        tau, w, n0 = checks.number("threshold", threshold, above=0), None, None
    split = split_modes(tau, modes, depth=depth)
    summary = _summary(split, labels, signal, w, n0, rate) | _decay(split, weight_decay, critical_threshold, rate)
    if out is not None:
        from lindyn.plots import mode_growth

        output.write_results(out, summary, {"modes.png": mode_growth(split)})
    if as_json:
        output.print_json(summary)
    else:
        _print(summary, most, in_steps=rate is not None)


def _check_options(typed: set[str]) -> None:
    """Refuse options that are missing, or that would change nothing beside the others."""
    if "out" not in typed:
        o.idle(typed, ("force",), "without `out`")
    if "as_json" in typed:
        o.idle(typed, ("most",), "with `json`, which gives all modes")
    sized = bool(typed & {"dim", "rows", "columns"})
    if "target" in typed:
        o.idle(typed, ("dim", "rows", "columns", "rank", "singular_values", "noise", "scale"), "with `target`")
    elif "singular_values" in typed:
        o.idle(typed, ("rank", "scale"), "with `singular_values`")
        if not sized:
            o.idle(typed, ("noise",), "with the singular values alone", "give the size, as in --dim 200")
    if "weight_decay" not in typed:
        o.idle(typed, ("critical_threshold",), "without `weight_decay`", "a start without decay never generalises late")
    if "threshold" in typed:
        o.idle(typed, ("variance_exponent", "width_exponent", "variance", "width"), "with `threshold`")
    described = bool(typed & {"target", "singular_values", "rank"})
    needs_size = "rank" in typed or ("threshold" not in typed and "target" not in typed)
    o.require(
        (described, "`rank` (or `singular_values`, or `target`)"),
        *([(sized, "`dim` (or `rows` and `columns`)")] if needs_size else []),
        *([] if "threshold" in typed else o.has_law(typed)),
    )


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
    import numpy as np

    from lindyn.prediction.spectra import SpikedSpectrum, mean_signal_spectrum
    from lindyn.support.linalg import numerical_rank

    matrix = o.matrix_from("target", target)
    if matrix is not None:
        values = np.linalg.svd(matrix, compute_uv=False)
        values = values[: numerical_rank(values, matrix.shape)]
        return [str(k + 1) for k in range(values.size)], values, values, (matrix.shape[0], matrix.shape[1])
    given = o.values_of(singular_values)
    if given is not None and dim is None and rows is None and columns is None:
        ordered = sorted(given, reverse=True)
        return [str(k + 1) for k in range(len(ordered))], ordered, ordered, None
    shape = o.shape_of(dim, rows, columns)
    if given is None:
        given = list(mean_signal_spectrum(shape, rank or 0, scale=scale))
    spectrum = SpikedSpectrum(shape, given, noise)
    shows = spectrum.overlaps > 0
    seen = list(spectrum.outliers[shows])
    labels = [f"signal {k + 1}" for k in range(len(seen))]
    if noise > 0:
        seen, labels = [*seen, spectrum.edge], [*labels, "noise edge"]
    return labels, seen, spectrum.signal, shape


def _summary(
    split: Regime, labels: list[str], signal: Any, width: int | None, n0: float | None, rate: float | None
) -> dict[str, Any]:
    from lindyn.prediction.regimes import phase_of

    tau = split.threshold
    modes = [
        {
            "mode": label,
            "singular_value": float(s),
            "activity": float(a),
            "regime": "active" if s > tau else "lazy",
            "crossing_time": None if math.isnan(c) else float(c),
            "half_time": float(h),
            "learning_time": float(t),
            **({"learning_steps": float(t) / rate} if rate else {}),
        }
        for label, s, a, c, h, t in zip(
            labels, split.singular_values, split.activity, split.crossing_time, split.half_time, split.learning_time,
            strict=True,
        )
    ]  # fmt: skip
    return {
        "depth": split.depth,
        "threshold": tau,
        "phase": phase_of(tau, signal, width=width, start_variance=n0),
        "width": width,
        "start_variance": n0,
        "active_modes": split.active_modes,
        "lazy_modes": len(modes) - split.active_modes,
        "modes": modes,
    }


def _decay(split: Regime, decay: float | None, critical: float | None, rate: float | None) -> dict[str, Any]:
    """When weight decay turns each lazy mode active, τ₀e^{−2μt} = s (2.8), and when the start generalises (12.6)."""
    from lindyn.prediction.grokking import grokking_delay
    from lindyn.support import checks

    if decay is None:
        return {}
    mu, tau = checks.number("weight_decay", decay, above=0), split.threshold
    if split.depth != 2:
        raise checks.InvalidArgument(
            "weight_decay", "be left out beyond two layers", f"the depth is {split.depth}", "leave one of them out"
        )
    turns = [max(math.log(tau / float(s)), 0.0) / (2 * mu) for s in split.singular_values]
    found: dict[str, Any] = {"weight_decay": mu, "active_times": turns}
    if critical is None:
        return found
    delay = grokking_delay(
        tau,
        mu,
        checks.number("critical_threshold", critical, above=0),
        signal=float(split.singular_values[-1]),
        learning_rate=rate,
    )
    return found | {
        "critical_threshold": delay.critical,
        "fit_time": delay.fit_time,
        "test_time": delay.test_time,
        "test_step": delay.test_step,
        "grokking": str(delay),
    }


def _print(summary: dict[str, Any], most: int, *, in_steps: bool) -> None:
    facts = [
        ("threshold τ", f"{summary['threshold']:.5g}"),
        ("phase", summary["phase"]),
        ("modes", f"{summary['active_modes']} active, {summary['lazy_modes']} lazy"),
    ]
    if summary["width"] is not None:
        facts += [("width w", f"{summary['width']:,}"), ("σ⁴w, of A(0)", f"{summary['start_variance']:.3g}")]
    turns = summary.get("active_times")
    if turns is not None:
        facts.append(
            ("weight decay μ", f"{summary['weight_decay']:.4g}: τ(t) = τ·exp(−2μt); its pull on A is left out")
        )
    if "grokking" in summary:
        facts.append(("grokking", summary["grokking"]))
    output.print_facts("Regime", facts)
    heads = ["mode", "s", "activity", "regime", "crosses τ at t", "s/2 at t", "0.9 s at t"]
    rows = [
        [
            row["mode"],
            f"{row['singular_value']:.5g}",
            f"{row['activity']:.3f}",
            row["regime"],
            "never" if row["crossing_time"] is None else f"{row['crossing_time']:.4g}",
            f"{row['half_time']:.4g}",
            f"{row['learning_time']:.4g}",
            *([f"{row['learning_steps']:.0f}"] if in_steps else []),
            *([f"{turns[k]:.4g}" if turns[k] else "at once"] if turns is not None else []),
        ]
        for k, row in enumerate(summary["modes"][:most])
    ]
    hidden = len(summary["modes"]) - most
    output.print_table(
        "Modes of the target",
        [*heads, *(["0.9 s at step"] if in_steps else []), *(["active from t"] if turns is not None else [])],
        rows,
        caption="activity s/√(s² + τ²): 0 lazy, 1 active; t: flow time, step × learning rate"
        + (f"; {hidden} smaller modes are not shown, --most shows more" if hidden > 0 else ""),
    )
