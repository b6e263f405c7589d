"""`lindyn simulate`: train one network, exactly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lindyn.cli import options as o
from lindyn.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from lindyn.methods import GradientDescent
    from lindyn.networks import DeepLinear
    from lindyn.networks.deep_laws import DeepParametrization
    from lindyn.networks.network import Network
    from lindyn.simulation.trajectory import Trajectory
    from lindyn.tasks import SpikedMatrix

EXAMPLES = (
    "lindyn simulate --dim 200 --rank 5 --variance-exponent -2.2 --width-exponent 1.75",
    "lindyn simulate --rows 80 --columns 120 --rank 3 --variance 1e-3 --width 1e12 --steps 300",
    "lindyn simulate --dim 200 --rank 5 --variance 1e-5 --width 1e6 --formula --out runs/first",
    "lindyn simulate --target observed.npy --variance 1e-6 --width 1e6 --json",
)

DYNAMICS, METHODS = ("network", "mixed", "lazy", "balanced"), ("descent", "flow", "closed-form")


def simulate(
    ctx: typer.Context,
    dim: o.Dim = None,
    rows: o.Rows = None,
    columns: o.Columns = None,
    rank: o.Rank = None,
    singular_values: o.SingularValues = None,
    spectrum: Annotated[
        str,
        typer.Option(
            help="'sampled': the signal is CDᵀ; 'mean': it has the mean singular values.", rich_help_panel=o.TASK
        ),
    ] = "sampled",
    noise: o.Noise = 1.0,
    scale: o.Scale = 1.0,
    target: o.Target = None,
    signal: o.Signal = None,
    variance_exponent: o.VarianceExponent = None,
    width_exponent: o.WidthExponent = None,
    variance: o.Variance = None,
    width: o.Width = None,
    depth: o.Depth = 2,
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
    observables: Annotated[
        str | None,
        typer.Option(
            help="Record these as well, separated by commas: singular_values, stable_rank, effective_rank, activity, "
            "balancedness, imbalance_drift, ntk_drift, cost, matrix.",
            rich_help_panel=o.RUN,
            metavar="NAMES",
        ),
    ] = None,
    formula: Annotated[
        bool,
        typer.Option(
            "--formula", help="Lay the unifying formula over the descent, and draw Figure 1.", rich_help_panel=o.RUN
        ),
    ] = False,
    seed: o.Seed = 0,
    dtype: o.Dtype = "float64",
    as_json: o.Json = False,
    out: o.Out = None,
    force: o.Force = False,
) -> None:
    """Train a linear network of any width on a signal in noise, exactly, and report its errors.

    The task is drawn (--dim, --rank) or read (--target, whose rank and noise are then estimated). The network is given
    by the variance σ² of its weights and its width w.
    """
    from lindyn.networks import TwoLayer
    from lindyn.support import checks

    typed = o.given(ctx)
    _check_options(typed, dynamics=dynamics, method=method, spectrum=spectrum)
    recorded = _recorded(observables, formula)
    output.prepare_folder(out, force)
    key = checks.integer("seed", seed, at_least=0)
    task, known = _task(
        target, signal,
        lambda: o.drawn_task(
            o.shape_of(dim, rows, columns), rank=rank, singular_values=singular_values, spectrum=spectrum, noise=noise,
            scale=scale, key=key, dtype=dtype,
        ),
        checks.precision("dtype", dtype),
    )  # fmt: skip
    law = o.law_of(task.shape, variance_exponent, width_exponent, variance, width)
    precision = checks.precision("dtype", dtype)
    deep = o.deep_law_of(law, task.shape, depth)
    net: Network
    if deep.depth == 2:
        net = TwoLayer.parametrized(task.shape, law, key, dtype=precision)
    else:
        net = _deep_network(
            deep, task, key, o.rate_of(learning_rate), steps / (1 - momentum) if momentum < 1 else steps
        )
    run, laid_over = _run(
        net, task, dynamics, method, formula, save_every, recorded,
        learning_rate=o.rate_of(learning_rate), steps=steps, order=order, momentum=momentum, weight_decay=weight_decay,
    )  # fmt: skip
    from lindyn.cli.run_summary import summary_of

    modes, count = _signal_modes(task, known, rank)
    summary = {
        **summary_of(run, o.phase_in(net, modes, count), stable_rank_at_minimum(run)),
        "width": law.width,
        "depth": net.depth,
        "variance": law.variance_in,
        "seed": seed,
        **known,
    }
    _report(run, laid_over, summary, known, count, as_json=as_json, out=out)
    output.finish(run.status)


def _check_options(typed: set[str], *, dynamics: str, method: str, spectrum: str) -> None:
    """Refuse options that are missing, or that would change nothing beside the others."""
    from lindyn.support import checks

    checks.choice("dynamics", dynamics, DYNAMICS)
    checks.choice("method", method, METHODS)
    checks.choice("spectrum", spectrum, ("sampled", "mean"))
    if "target" in typed:
        o.idle(typed, ("dim", "rows", "columns", "rank", "singular_values", "spectrum", "noise", "scale"),
               "with `target`, which is the whole task")  # fmt: skip
        o.require(*o.has_law(typed))
    else:
        o.idle(typed, ("signal",), "without `target`")
        size, _ = o.has_size(typed)
        o.require(
            (size, "`dim` (or `rows` and `columns`, or `target`)"),
            (o.has_signal(typed)[0], "`rank` (or `singular_values`)"),
            *o.has_law(typed),
        )
    if "singular_values" in typed:
        o.idle(typed, ("spectrum", "scale"), "with `singular_values`")
    if method != "descent":
        o.idle(typed, ("order", "momentum"), "for a flow or a closed form", "use --method descent")
    if dynamics != "network":
        o.idle(typed, ("order", "depth"), "for a dynamics of the matrix")
    if "depth" in typed:
        o.idle(typed, ("formula",), "with `depth`, since the formula is that of two layers")
    if "formula" in typed:
        if dynamics != "network":
            o.idle(typed, ("formula",), f"with --dynamics {dynamics}, which is a formula itself")
        o.idle(typed, ("momentum",), "for the formula, which has no momentum", "leave out one of them")
    if "out" not in typed:
        o.idle(typed, ("force",), "without `out`")


def _recorded(observables: str | None, formula: bool) -> list[str]:
    names = [] if observables is None else [n.strip() for n in observables.split(",")]
    return names if not formula or "singular_values" in names else ["singular_values", *names]


def _task(
    target: Path | None, signal: Path | None, drawn: Callable[[], SpikedMatrix], precision: Any
) -> tuple[SpikedMatrix, dict[str, Any]]:
    """Return the task, and what a matrix without a known signal says about its signal and noise."""
    from lindyn.prediction.estimation import estimate_spectrum
    from lindyn.tasks import SpikedMatrix

    observed, truth = o.matrix_from("target", target), o.matrix_from("signal", signal)
    if observed is None:
        return drawn(), {}
    if truth is not None:
        return SpikedMatrix(target=observed.astype(precision), signal=truth.astype(precision)), {}
    found = estimate_spectrum(observed)
    known = {"estimated_noise": found.noise, "estimated_signal": found.signal.tolist()}
    return SpikedMatrix(target=observed.astype(precision)), known


def _signal_modes(task: SpikedMatrix, known: dict[str, Any], rank: int | None) -> tuple[Any, int]:
    """Return the singular values that decide the phase, and how many of them there are."""
    import numpy as np

    from lindyn.support.linalg import numerical_rank

    if known.get("estimated_signal"):
        return np.asarray(known["estimated_signal"]), len(known["estimated_signal"])
    values = np.linalg.svd(task.reference(), compute_uv=False)
    if rank is None:  # of rank as rounding allows
        rank = numerical_rank(values, task.shape)
    return values[: max(rank, 1)], rank


def _deep_network(law: DeepParametrization, task: SpikedMatrix, key: int, rate: Any, steps: float) -> DeepLinear:
    """Draw a network that is held on as many generations of directions as the planned run needs."""
    import numpy as np

    from lindyn.methods import published_learning_rate
    from lindyn.networks import DeepLinear

    if isinstance(rate, str):  # a network of few directions has the same threshold and clock
        few = DeepLinear.parametrized(task.shape, law, key, generations=0, tolerance=np.inf)
        rate = published_learning_rate(few, task, rate)[0]
    top = float(np.linalg.norm(task.minimiser(), 2))
    longest = (top, rate * law.clock * max(steps, 1)) if top > 0 else None
    return DeepLinear.parametrized(task.shape, law, key, longest=longest, dtype=task.dtype)


def _run(
    net: Network, task: SpikedMatrix, dynamics: str, method: str, formula: bool, save_every: int, recorded: list[str],
    **options: Any,
) -> tuple[Trajectory, Trajectory | None]:  # fmt: skip
    """Return the run, and the formula's run if it is asked for."""
    from lindyn.dynamics import Balanced, Lazy, Mixed
    from lindyn.methods import GradientDescent
    from lindyn.simulation import simulate as run_simulation

    kinds: dict[str, Any] = {"mixed": Mixed, "lazy": Lazy, "balanced": Balanced}
    decay = options["weight_decay"]
    system: Any = net
    if dynamics != "network":
        system = kinds[dynamics].matching(net, weight_decay=decay)
        options["weight_decay"] = 0.0
    settings = GradientDescent(**options)
    run = run_by(system, task, settings, method, save_every, recorded)
    if not formula:
        return run, None
    errors = [n for n in ("train_error", "test_error") if n in run.data]
    mixed = Mixed.matching(net, weight_decay=decay)
    return run, run_simulation(mixed, task, times=run, observables=[*errors, "singular_values"])


def run_by(
    system: Any, task: SpikedMatrix, settings: GradientDescent, method: str, save_every: int, recorded: list[str]
) -> Trajectory:
    """Run a descent, or a flow or closed form at the times of its records."""
    from dataclasses import replace

    from lindyn.methods import ClosedForm, Flow, published_learning_rate
    from lindyn.methods.recorded_steps import save_steps
    from lindyn.simulation import simulate as run_simulation

    errors = ["train_error", *(["test_error"] if task.has_truth else [])]
    watched = [*errors, *(n for n in recorded if n not in errors)]
    if method == "descent":
        return run_simulation(system, task, settings, save_every=save_every, observables=watched)
    rate: Any = settings.learning_rate
    if isinstance(rate, str):
        rate = published_learning_rate(system, task, rate)[0]
    steps = save_steps(settings.steps, save_every)
    solver = Flow(weight_decay=settings.weight_decay) if method == "flow" else ClosedForm()
    run = run_simulation(system, task, solver, times=steps * rate, observables=watched)
    return replace(run, step=steps[: len(run)].astype(float)).relabelled(learning_rate=rate)


def stable_rank_at_minimum(run: Trajectory) -> float | None:
    """Return the stable rank at the smallest test error, or None where there is no test error.

    The run is repeated up to there: at every step, all singular values would cost more than the training.
    """
    from lindyn.simulation import replay

    if "test_error" not in run.data:
        return None
    return float(replay(run, int(run["test_error"].argmin()), "stable_rank")["stable_rank"][-1])


def _report(
    run: Trajectory, formula: Trajectory | None, summary: dict[str, Any], known: dict[str, Any], rank: int, *,
    as_json: bool, out: Path | None,
) -> None:  # fmt: skip
    from lindyn.cli.run_summary import print_curves, print_modes, print_run

    if formula is not None:
        from lindyn.simulation import compare

        difference = compare(run, formula)
        names = [n for n in ("train_error", "test_error") if n in run.data]
        summary["largest_difference"] = {n: difference.largest(n) for n in names}
    if "singular_values" in run.data:
        summary["singular_values"] = run["singular_values"].tolist()
    if out is not None:
        runs = {"trajectory": run} if formula is None else {"trajectory": run, "formula": formula}
        output.write_results(out, summary, _figures(run, formula, rank), **runs)
    if as_json:
        output.print_json(summary)
        return
    print_run(f"{run.info.dynamics}, {run.info.law}", summary, _facts(known))
    print_curves(run, formula)
    print_modes(run)
    if formula is not None:
        told = ", ".join(f"{n.replace('_', ' ')} {d:.3g}" for n, d in summary["largest_difference"].items())
        output.say(f"Formula against descent, largest difference: {told}.")


def _facts(known: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is estimated of a matrix that was read."""
    if not known:
        return []
    modes = known["estimated_signal"]
    strengths = f": singular values {', '.join(f'{s:.4g}' for s in modes[:5])}{', …' if len(modes) > 5 else ''}"
    return [
        ("noise, estimated", f"{known['estimated_noise']:.4g} (standard deviation of an entry)"),
        ("rank of the signal, estimated", f"{len(modes)}{strengths if modes else ': no mode stands out of the noise'}"),
    ]


def _figures(run: Trajectory, formula: Trajectory | None, rank: int) -> dict[str, Any]:
    from lindyn.plots import figure1, singular_values

    figures: dict[str, Any] = {"errors.png": run.plot().figure}
    if formula is not None:
        figures["figure1.png"] = figure1(run, formula, signal_modes=rank)
    elif "singular_values" in run.data:
        figures["singular_values.png"] = singular_values(run, signal_modes=rank).figure
    return figures
