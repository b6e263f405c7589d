"""Tables and verdicts from the raw numbers of a run."""

from __future__ import annotations

import statistics
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.setting import DIM, PUBLISHED_WIDTH
from benchmarks.sharing import BESIDE_BUSY, BY_HAND, DEMO_SECONDS
from benchmarks.startup import LIMITS, PLAIN

FASTER, SMALLER, OF_JAX, OF_PRODUCTS = 500, 100, 0.8, 0.85  # the acceptance ratios
PAIR_SECONDS, ADAPTER_SECONDS = 0.01, 10  # to inspect a pair, and the adapter of a large model
BUSY = 0.2  # cores used by others, above which the figures are called disturbed
EVERY = 10  # steps between records of the tracker, its default
COLLAPSE_EVERY, COLLAPSE_SHARE = 50, 0.05  # steps between records of the tracker of collapse, and its share of them
MIB = 2**20
LOOPS = ("simultaneous", "sequential")


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _growth(result: dict[str, Any]) -> int:
    return result["peak_bytes"] - result["imported_bytes"]


def memory(result: dict[str, Any], fixed: dict[str, Any]) -> dict[str, float]:
    """Return peak bytes by three counts: whole process, since the imports, and due to the size of the problem."""
    return {
        "process": result["peak_bytes"],
        "since imports": _growth(result),
        "of the problem": max(_growth(result) - _growth(fixed), 1),
    }


def ratios(row: dict[str, Any], fixed: dict[str, Any], dtype: str) -> dict[str, float]:
    """Return published over lindyn at one width: time of a step, start-up, and memory by every count."""
    ours, theirs = row[dtype], row["published"]
    mine, other = memory(ours, fixed[dtype]), memory(theirs, fixed["published"])
    return {
        "step": _median(theirs["seconds"]) / _median(ours["seconds"]),
        "lean step": theirs["lean_seconds"] / _median(ours["seconds"]),
        "start-up": theirs["seconds_startup"] / ours["seconds_startup"],
        **{count: other[count] / mine[count] for count in mine},
    }


def loop_ratios(result: dict[str, Any], loop: str) -> dict[str, float]:
    """Return the loop's flop rate over those of plain products.

    Of JAX's products by processor time, fastest round to fastest: other processes only ever make a round slower. By
    wall clock, and of NumPy and PyTorch, whose threads are busy while they wait, the median over rounds of the ratio.
    """
    rates, best = result["rates"], {name: max(values) for name, values in result["per_processor"].items()}

    def over(*names: str) -> float:
        return _median([r / max(others) for r, *others in zip(rates[loop], *(rates[n] for n in names), strict=True)])

    return {
        "jax": best[loop] / best["jax"],
        "jax, wall": over("jax"),
        "jax_loop": best[loop] / best["jax_loop"],
        "numpy, torch": over("numpy", "torch"),
    }


def _disturbed(results: dict[str, Any]) -> float:
    against = results["against_published"]
    parts = [r[k] for r in against["widths"] for k in ("published", "float32", "float64")]
    for name in ("inner_loops", "closed_forms", "inspections", "trackers", "collapses"):
        parts += results[name]
    return max(part.get("other_cores", 0.0) for part in parts)


def verdicts(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the acceptance lines: what is claimed, what was measured, and whether it is met (None: not measured)."""
    against = results["against_published"]
    row = next(r for r in against["widths"] if r["width"] == PUBLISHED_WIDTH)
    found = []
    if "skipped" in row["published"]:
        reason = row["published"]["skipped"]
        found.append({"claim": "time and memory at the published size", "measured": reason, "met": None})
    else:
        same = ratios(row, against["fixed"], "float32")

        limits = {"step": FASTER, "of the problem": SMALLER, "since imports": SMALLER, "process": SMALLER}
        claims = {
            "step": f"a step ≥ {FASTER} × faster at width {PUBLISHED_WIDTH:,}, float32",
            "of the problem": f"memory ≥ {SMALLER} × smaller there, above the same processes at d = 4",
            "since imports": f"memory ≥ {SMALLER} × smaller there, since the imports",
            "process": f"memory ≥ {SMALLER} × smaller there, whole processes",
        }
        for key, limit in limits.items():
            found.append({"claim": claims[key], "measured": f"{same[key]:.0f} ×", "met": same[key] >= limit})
    for result in results["inner_loops"]:
        worst = min(loop_ratios(result, loop)["jax"] for loop in LOOPS)
        claim = f"loop ≥ {OF_JAX:.0%} of JAX's product, d = {result['dim']}, {result['dtype']}"
        found.append({"claim": claim, "measured": f"{worst:.0%}", "met": worst >= OF_JAX})
    for result in results["inspections"]:
        each = result["seconds"] / result["pairs"]
        if result.get("dim") is None:
            claim = f"an adapter of {result['pairs']} pairs for 7 · 10⁹ parameters inspected in {ADAPTER_SECONDS} s"
            measured, met = _seconds(result["seconds"]), result["seconds"] <= ADAPTER_SECONDS
        elif (result["dim"], result["rank"]) == (4096, 16):
            claim = f"a pair of d = 4096, r = 16 inspected in {1e3 * PAIR_SECONDS:.0f} ms"
            measured, met = _seconds(each), each <= PAIR_SECONDS
        else:
            continue
        found.append({"claim": claim, "measured": measured, "met": met})
    for name, ratio in results["startup"]["ratios"].items():
        plain, limit = LIMITS[name]
        claim = f"{name}: processor time ≤ {limit:g} × that of `{PLAIN[plain]}`"
        found.append({"claim": claim, "measured": f"{ratio:.2f} ×", "met": ratio <= limit})
    for result in results["collapses"]:
        share = result["seconds_record"] / COLLAPSE_EVERY / result["seconds_step"]
        claim = (
            f"collapse recorded once in {COLLAPSE_EVERY} steps ≤ {COLLAPSE_SHARE:.0%} of them, width {result['width']}"
        )
        found.append({"claim": claim, "measured": f"{share:.1%}", "met": share <= COLLAPSE_SHARE})
    found += _shared(results["sharing"])
    for row in results["diagrams"]["lanes"]:
        if row["lanes"] == 1:
            rate = _efficiency(row, "processor")
            claim = f"step of a diagram ≥ {OF_PRODUCTS:.0%} of its plain products, {row['dtype']}"
            found.append({"claim": claim, "measured": f"{rate:.0%}", "met": rate >= OF_PRODUCTS})
    return found


def _shared(sharing: dict[str, Any]) -> list[dict[str, Any]]:
    alone = min(sharing["alone"])
    busy = statistics.median(b / a for a, b in zip(sharing["alone"], sharing["beside"], strict=True))
    hand = sharing["diagrams"]["as it is"] / min(sharing["diagrams"].values())
    return [
        {
            "claim": f"demo in {DEMO_SECONDS:g} s, alone on this machine",
            "measured": _seconds(alone),
            "met": alone <= DEMO_SECONDS,
        },
        {
            "claim": f"demo beside one busy process ≤ {BESIDE_BUSY:g} × alone",
            "measured": f"{busy:.2f} ×",
            "met": busy <= BESIDE_BUSY,
        },
        {
            "claim": f"diagram of descents ≤ {BY_HAND:g} × its best setting by hand",
            "measured": f"{hand:.2f} ×",
            "met": hand <= BY_HAND,
        },
    ]


def _table(title: str, *columns: str, caption: str | None = None) -> Table:
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    return table


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def _mib(value: float) -> str:
    return f"{value / MIB:,.0f}"


def _times_and_memory(against: dict[str, Any]) -> list[Table]:
    times = _table(
        f"Against the published algorithm, d = {DIM}: time",
        "width",
        "contestant",
        "step",
        "faster",
        "imports",
        "drawing",
        "start-up",
        "faster",
        "‖A‖ then",
        "others",
        caption="faster: published over lindyn; lean: the published step with its updates folded into the products; "
        "start-up: from starting the process to the end of the first step; ‖A‖ then: after the timed steps, the same "
        "in law, each of its own draw; others: processor cores kept busy by other processes meanwhile.",
    )
    sizes = _table(
        f"Against the published algorithm, d = {DIM}: peak memory in MiB",
        "width",
        "contestant",
        "weights",
        "process",
        "smaller",
        "since imports",
        "smaller",
        "of the problem",
        "smaller",
        caption="of the problem: growth since the imports, less that of the same process at d = 4 (runtime, compiler).",
    )
    for row in against["widths"]:
        theirs, width = row["published"], f"{row['width']:,}"
        if "skipped" in theirs:
            times.add_row(width, "published", theirs["skipped"])
            sizes.add_row(width, "published", "skipped")
        else:
            _contestant(times, width, "published, float32", theirs, None)
            times.add_row("", "  lean step", _seconds(theirs["lean_seconds"]))
            counts = memory(theirs, against["fixed"]["published"])
            weights = _mib(theirs["array_bytes"])
            sizes.add_row(width, "published, float32", weights, *(c for v in counts.values() for c in (_mib(v), "")))
        for dtype in ("float32", "float64"):
            ratio = None if "skipped" in theirs else ratios(row, against["fixed"], dtype)
            _contestant(times, "", f"lindyn, {dtype}", row[dtype], ratio)
            counts = memory(row[dtype], against["fixed"][dtype])
            cells = [c for k, v in counts.items() for c in (_mib(v), f"{ratio[k]:.1f} ×" if ratio else "")]
            sizes.add_row("", f"lindyn, {dtype}", _mib(row[dtype]["array_bytes"]), *cells)
        times.add_section()
        sizes.add_section()
    return [times, sizes]


def _contestant(table: Table, width: str, name: str, result: dict[str, Any], ratio: dict[str, float] | None) -> None:
    table.add_row(
        width,
        name,
        _seconds(_median(result["seconds"])),
        f"{ratio['step']:.1f} × (lean {ratio['lean step']:.1f})" if ratio else "",
        _seconds(result["seconds_imports"]),
        _seconds(result["seconds_drawing"]),
        _seconds(result["seconds_startup"]),
        f"{ratio['start-up']:.1f} ×" if ratio else "",
        f"{result['matrix_norm']:.4f}",
        f"{result['other_cores']:.1f}",
    )


def _inner_loops(loops: list[dict[str, Any]]) -> Table:
    table = _table(
        "Inner loop of exact descent (12 d³ flops a step): GFLOP/s, and its ratio to plain products of the same shapes",
        "d",
        "precision",
        "order",
        "loop",
        "JAX",
        "JAX, one loop",
        "NumPy",
        "PyTorch",
        "to JAX",
        "by wall clock",
        "to JAX, one loop",
        "to NumPy, PyTorch",
        "others",
        caption="rates: medians over rounds, by wall clock; ratios to JAX: of processor time, fastest round to "
        "fastest; by wall clock, and to NumPy and PyTorch: medians of the ratio in each round; "
        "JAX: one jitted call for each product; JAX, one loop: the three products alone in a compiled loop.",
    )
    for result in loops:
        rates = {name: f"{_median(values) / 1e9:.0f}" for name, values in result["rates"].items()}
        others = f"{result['other_cores']:.1f}"
        for loop in LOOPS:
            found = loop_ratios(result, loop)
            plain = (rates[name] for name in ("jax", "jax_loop", "numpy", "torch"))
            shown = (f"{found[name]:.2f}" for name in ("jax", "jax, wall", "jax_loop", "numpy, torch"))
            table.add_row(str(result["dim"]), result["dtype"], loop, rates[loop], *plain, *shown, others)
    return table


def _closed_forms(results: list[dict[str, Any]]) -> Table:
    table = _table(
        "Closed forms, float64",
        "d",
        "set-up",
        "matrix at a time",
        "exact step",
        "a time costs",
        "modes × times a second",
        "others",
    )
    for r in results:
        steps = r["seconds_time"] / r["seconds_step"]
        table.add_row(
            str(r["dim"]),
            *(_seconds(r[f"seconds_{k}"]) for k in ("setup", "time", "step")),
            f"{steps:.1f} steps",
            f"{1 / r['seconds_mode']:.3g}",
            f"{r['other_cores']:.1f}",
        )
    return table


def _inspections(results: list[dict[str, Any]]) -> Table:
    table = _table(
        "Inspection of LoRA adapters, thin QR decompositions in float64",
        "layers",
        "r",
        "pairs",
        "a pair",
        "all",
        "file, MiB",
        "grown, MiB",
        "others",
        caption="grown: peak memory above what the process held before, mapped pages of the file included.",
    )
    for r in results:
        table.add_row(
            "7 · 10⁹ parameters, bfloat16" if r.get("dim") is None else f"{r['dim']:,} × {r['dim']:,}, float32",
            str(r["rank"]),
            str(r["pairs"]),
            _seconds(r["seconds"] / r["pairs"]),
            _seconds(r["seconds"]),
            _mib(r["file_bytes"]),
            _mib(r["grown_bytes"]),
            f"{r['other_cores']:.1f}",
        )
    return table


def _trackers(results: list[dict[str, Any]]) -> Table:
    table = _table(
        "Regime tracker on LoRA adapters of a transformer, AdamW",
        "d",
        "r",
        "pairs",
        "tokens a step",
        "step",
        "record",
        "a pair",
        f"share at one record in {EVERY} steps",
        "others",
    )
    for r in results:
        table.add_row(
            *(f"{r[k]:,}" for k in ("dim", "rank", "pairs", "tokens")),
            _seconds(r["seconds_step"]),
            _seconds(r["seconds_record"]),
            _seconds(r["seconds_record"] / r["pairs"]),
            f"{r['seconds_record'] / EVERY / r['seconds_step']:.2%}",
            f"{r['other_cores']:.1f}",
        )
    return table


def _startups(found: dict[str, Any]) -> Table:
    table = _table(
        "Starting up: processor time of a whole process",
        "process",
        "median",
        "ratio",
        "against",
        "others",
        caption="ratio: median over rounds of the ratio in each round.",
    )
    for name in found["seconds"][0]:
        ratio, against = "", ""
        if name in LIMITS:
            ratio, against = f"{found['ratios'][name]:.2f} ×", PLAIN[LIMITS[name][0]]
        seconds = _median([row[name] for row in found["seconds"]])
        table.add_row(PLAIN.get(name, name), _seconds(seconds), ratio, against, f"{found['other_cores']:.1f}")
    return table


def _diagrams(found: dict[str, Any]) -> list[Table]:
    sources = _table(
        "Phase diagram, d = 200: cells per second of each source",
        "source",
        "precision",
        "cells",
        "seconds",
        "cells/s",
        "steps/s",
        "first call",
        caption="descend and formula: 30 cells along a diagonal of the grid; formula follows the network too. First "
        "call: with compilation. Steps/s: gradient-descent steps made, or followed by the theory.",
    )
    for row in found["sources"]:
        sources.add_row(
            row["source"],
            row["dtype"],
            f"{row['cells']:,}",
            f"{row['seconds']:.2f}",
            f"{row['cells'] / row['seconds']:,.1f}",
            f"{row['steps'] / row['seconds']:,.0f}",
            _seconds(row["first_seconds"]),
        )
    lanes = _table(
        "Step of network and formula, d = 200, against its six plain products of the same batch in the same process",
        "lanes",
        "precision",
        "processor time",
        "wall clock",
        "GFLOP/s",
        caption="shares: fastest round of the products over fastest round of the steps; "
        "GFLOP/s: of the fastest round, by wall clock.",
    )
    for row in found["lanes"]:
        shares = (f"{_efficiency(row, clock):.0%}" for clock in ("processor", "wall"))
        rate = row["flops"] / min(row["seconds"]["wall"]["ours"])
        lanes.add_row(str(row["lanes"]), row["dtype"], *shares, f"{rate / 1e9:.0f}")
    grid, ours = found["grid"], _our_grid_seconds(found)
    hours, faster = grid["seconds"] / 3600, grid["seconds"] / ours
    published = _table(
        "Published algorithm, d = 200: time of a step",
        "width",
        "step",
        caption=f"Fitted as {1e3 * grid['fixed']:.2g} ms + {1e9 * grid['per_unit']:,.0f} ns × width, over "
        f"{grid['steps']:,.0f} steps of the 900 cells: {hours:.0f} hours, {faster:,.0f} × "
        f"the {ours:.0f} s of descend in float32 (its cells/s above × 900), which follows the formula beside.",
    )
    for row in found["published"]:
        published.add_row(f"{row['width']:,}", _seconds(_median(row["seconds"])))
    return [sources, lanes, published]


def _efficiency(row: dict[str, Any], clock: str) -> float:
    """Fastest round against fastest round: other processes only ever make a round slower."""
    seconds = row["seconds"][clock]
    return float(min(seconds["plain"]) / min(seconds["ours"]))


def _our_grid_seconds(found: dict[str, Any]) -> float:
    row = next(r for r in found["sources"] if (r["source"], r["dtype"]) == ("descend", "float32"))
    return 900 * row["seconds"] / row["cells"]


def show(console: Console, results: dict[str, Any]) -> None:
    """Print every table and the verdicts."""
    against = results["against_published"]
    agreement = against["agreement"]
    for table in (
        *_times_and_memory(against),
        _inner_loops(results["inner_loops"]),
        _closed_forms(results["closed_forms"]),
        _inspections(results["inspections"]),
        _trackers(results["trackers"]),
        _startups(results["startup"]),
        *_diagrams(results["diagrams"]),
    ):
        console.print()
        console.print(table)
    console.print(
        f"\nFrom the same weights (width {agreement['width']:,}) the matrices differ after {agreement['steps']} steps "
        f"by {agreement['float32']:.1e} in float32 and {agreement['float64']:.1e} in float64, relative."
    )
    for result in results["inner_loops"]:
        _explain(console, result)
    others = _disturbed(results)
    if others > BUSY:
        console.print(f"[yellow]Other processes kept up to {others:.1f} cores busy: run again on a quiet machine.[/]")
    console.print()
    for verdict in results["verdicts"]:
        word = {True: "[green]met[/]", False: "[red]not met[/]", None: "[yellow]not measured[/]"}[verdict["met"]]
        console.print(f"{word}: {verdict['claim']}: {verdict['measured']}", highlight=False)


def _explain(console: Console, result: dict[str, Any]) -> None:
    """Say where the time of a slow loop goes: into its updates, or into products that are slow in any loop."""
    for loop in LOOPS:
        found = loop_ratios(result, loop)
        if found["jax"] < OF_JAX:
            bare = found["jax"] / found["jax_loop"]
            console.print(
                f"d = {result['dim']}, {result['dtype']}, {loop}: the products alone in a compiled loop run at "
                f"{bare:.0%} of JAX's calls; the updates take {max(1 - found['jax_loop'], 0):.0%} of the loop's time."
            )
