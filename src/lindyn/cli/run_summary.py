"""What a run says for itself: its numbers as plain data, and as tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from lindyn.cli import output
from lindyn.simulation.trajectory import Trajectory

_ROWS = 12  # points of the curves that a table shows
_SHOWN_MODES = 6
_ERRORS = ("train_error", "test_error")


def summary_of(run: Trajectory, phase: str, stable_rank: float | None) -> dict[str, Any]:
    """Return the numbers of a run as plain data; None where there is no test error."""
    step = None if np.isnan(run.step).any() else run.step.astype(np.int64).tolist()
    best = int(np.argmin(run["test_error"])) if "test_error" in run.data else None
    return {
        "threshold": run.info.threshold,
        "phase": phase,
        "learning_rate": run.info.learning_rate,
        "min_test_error": None if best is None else float(run["test_error"][best]),
        "steps_to_min": None if best is None or step is None else step[best],
        "still_falling": best is not None and 0 < best == len(run) - 1,
        "stable_rank_at_min": stable_rank,
        "status": run.status,
        "method": f"{run.info.method}: {run.info.why}",
        "notes": list(run.info.notes),
        "shape": list(run.info.shape),
        "dtype": run.info.dtype,
        "step": step,
        "time": run.time.tolist(),
        "train_error": run["train_error"].tolist(),
        "test_error": None if best is None else run["test_error"].tolist(),
    }


def print_run(title: str, summary: dict[str, Any], more: list[tuple[str, str]] | None = None) -> None:
    """Print the main numbers, and a dozen points of the curves.

    Args:
        title: above the numbers.
        summary: what `summary_of` returns.
        more: further labels and values.
    """
    d_out, d_in = summary["shape"]
    facts = [
        ("shape d_out × d_in", f"{d_out:,} × {d_in:,}"),
        ("threshold τ", f"{summary['threshold']:.5g}; modes below it are lazy"),
        ("phase", summary["phase"]),
        *(more or []),
    ]
    if summary["learning_rate"] is not None:
        facts.append(("learning rate η", f"{summary['learning_rate']:.5g}"))
    if summary["min_test_error"] is not None:
        facts.append(("smallest test error (per entry)", f"{summary['min_test_error']:.5g}"))
        if summary["steps_to_min"] is not None:
            falling = "  (the last: still falling; raise --steps)" if summary["still_falling"] else ""
            facts.append(("at step", f"{summary['steps_to_min']:,}{falling}"))
    if summary["stable_rank_at_min"] is not None:
        facts.append(("stable rank there", f"{summary['stable_rank_at_min']:.4g}"))
    facts += [("method", summary["method"]), ("status", summary["status"])]
    output.print_facts(title, [*facts, *(("note", note) for note in summary["notes"])])


def shown_records(count: int) -> list[int]:
    """Return which of so many records a table shows, first and last included.

    Examples:
        >>> shown_records(3), len(shown_records(1000))
        ([0, 1, 2], 12)
    """
    return [int(k) for k in np.unique(np.linspace(0, count - 1, min(count, _ROWS)).round())]


def print_curves(run: Trajectory, formula: Trajectory | None = None) -> None:
    """Print errors and other recorded numbers against step, beside the formula's if there is one."""
    has_steps = not np.isnan(run.step).any()
    scalars = [n for n in run.data if run[n].ndim == 1]
    names = [n for n in _ERRORS if n in scalars] + [n for n in scalars if n not in _ERRORS]
    heads = (["step"] if has_steps else []) + ["flow time t = ηn"]
    for name in names:
        heads.append(name.replace("_", " "))
        if formula is not None and name in formula.data:
            heads.append(f"{name.split('_')[0]} by formula")
    rows = []
    for k in shown_records(len(run)):
        row = ([f"{run.step[k]:.0f}"] if has_steps else []) + [f"{run.time[k]:.4g}"]
        for name in names:
            row.append(f"{run[name][k]:.5g}")
            if formula is not None and name in formula.data:
                row.append(f"{formula[name][k]:.5g}" if k < len(formula) else "–")
        rows.append(row)
    output.print_table("Along the run", heads, rows)


def print_modes(run: Trajectory) -> None:
    """Print the leading singular values of A against step, numbered from 1, if they were recorded."""
    if "singular_values" not in run.data:
        return
    values = run["singular_values"]
    shown = min(_SHOWN_MODES, values.shape[1])
    tau = run.info.threshold
    has_steps = not np.isnan(run.step).any()
    rows = [
        [
            f"{run.step[k]:.0f}" if has_steps else f"{run.time[k]:.4g}",
            *(f"{v:.4g}" for v in values[k, :shown]),
            str(int(np.sum(values[k] > tau))),
        ]
        for k in shown_records(len(run))
    ]
    hidden = f"; {values.shape[1] - shown} smaller modes are not shown" if values.shape[1] > shown else ""
    output.print_table(
        "Learned singular values",
        ["step" if has_steps else "time", *(f"mode {k}" for k in range(1, shown + 1)), "above τ"],
        rows,
        caption=f"above τ: modes that have crossed the threshold{hidden}",
    )
