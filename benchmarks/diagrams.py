"""Phase diagrams: cells per second of every source, the batched step against batched products, the published cost.

The published algorithm's time of a step at d = 200 is measured at a few widths, fitted as a + b·width, and summed over
the 900 cells of Figure 2 with the steps that each of them makes until its stopping rules end it (by the theory, whose
last steps agree with the published log to some per cent).
"""

from __future__ import annotations

import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lindyn.diagrams import compute, figure2
from lindyn.diagrams.simulated import Cell, run_cells
from lindyn.support.precision import working_precision


def _cells(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return exponents of `count` cells spread over the published range."""
    side = int(np.sqrt(count))
    if side**2 == count:
        grid = np.meshgrid(np.linspace(0, 2.8, side), np.linspace(-3, 0, side), indexing="ij")
        return grid[1].ravel(), grid[0].ravel()
    whole = _cells(900)
    chosen = np.arange(900)[:: 900 // count] + np.arange(count)  # along a diagonal of the rows
    return whole[0][chosen % 900], whole[1][chosen % 900]


def _source(source: str, dtype: str, cells: int) -> dict[str, Any]:
    settings = figure2(sources=[source], dtype=dtype)
    places = _cells(cells)
    started = time.perf_counter()
    compute(settings, 0, *places)
    first = time.perf_counter() - started
    started = time.perf_counter()
    found = compute(settings, 0, *places)[source]
    seconds = time.perf_counter() - started
    return {
        "cells": places[0].size,
        "first_seconds": first,
        "seconds": seconds,
        "steps": float(found["last_step"].sum()),
    }


def _lanes(dim: int, lanes: int, dtype: str, steps: int, rounds: int) -> dict[str, Any]:
    """Time steps of lanes (network of width 2d and its twin of width d) against the products that a step must make."""
    settings = figure2(dtype=dtype, shape=(dim, dim))
    rng = np.random.default_rng(0)
    with working_precision(dtype):
        task = jax.tree.map(jnp.asarray, settings.task(0))

        def layers(width: int) -> tuple[np.ndarray, np.ndarray]:
            draw = 0.01 * rng.standard_normal((2, dim, width))
            return draw[0].astype(dtype), draw[1].astype(dtype)

        cells = [Cell(np.dtype(dtype).type(1e-7), layers(2 * dim), layers(dim)) for _ in range(lanes)]

        def ours() -> None:
            list(run_cells(task, cells, steps=steps, lanes=lanes))

        pairs = [
            tuple(jnp.asarray(np.stack([layers[side] for layers in group]).squeeze()) for side in (0, 1))
            for group in ([c.network for c in cells], [c.twin for c in cells])
        ]  # without a batch where there is one lane: a batch of one product is slower than the product

        @jax.jit
        def products(pairs: Any, count: Any) -> Any:
            def once(pairs: Any) -> Any:
                found = []
                for w1_t, w2 in pairs:
                    matrix = w2 @ w1_t.swapaxes(-1, -2)
                    found += [matrix, matrix @ w2, matrix @ w1_t]
                return found

            def body(_: Any, carry: Any) -> Any:
                pairs, found = lax.optimization_barrier(carry)
                del found
                return pairs, once(pairs)

            return lax.fori_loop(0, count, body, (pairs, once(pairs)))[1]

        def plain() -> None:
            jax.block_until_ready(products(pairs, steps - 1))

        clocks = {"wall": time.perf_counter, "processor": time.process_time}
        seconds: dict[str, dict[str, list[float]]] = {clock: {"ours": [], "plain": []} for clock in clocks}
        for turn in range(-1, rounds):  # the first round compiles
            for name, run in (("plain", plain), ("ours", ours)):
                started = {clock: read() for clock, read in clocks.items()}
                run()
                if turn >= 0:
                    for clock, read in clocks.items():
                        seconds[clock][name].append(read() - started[clock])
    return {"seconds": seconds, "flops": 6 * 3 * dim**3 * lanes * steps}


def _published(dim: int, width: int, repeats: int) -> dict[str, Any]:
    import torch
    from benchmarks.published import published_step
    from benchmarks.setting import draw_setting

    torch.set_num_threads(os.cpu_count() or 1)
    setting = draw_setting(dim, "float32")
    target = torch.from_numpy(setting.target)
    w1, w2 = 1e-3 * torch.randn(width, dim), 1e-3 * torch.randn(dim, width)
    published_step(w1, w2, target, 1e-6)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        published_step(w1, w2, target, 1e-6)
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds}


def measure(what: str, **settings: Any) -> dict[str, Any]:
    """Measure a source, lanes or the published step, by name."""
    return {"source": _source, "lanes": _lanes, "published": _published}[what](**settings)


def extrapolate(samples: list[dict[str, Any]]) -> dict[str, float]:
    """Return the published algorithm's time over the whole grid, from its time of a step at a few widths."""
    widths = np.array([s["width"] for s in samples], dtype=float)
    seconds = np.array([np.median(s["seconds"]) for s in samples])
    weights = np.stack([np.ones(widths.size), widths], axis=1) / seconds[:, None]  # relative least squares
    fixed, slope = np.linalg.lstsq(weights, np.ones(widths.size), rcond=None)[0]
    places = _cells(900)
    settings = figure2(sources=["predict"])
    steps = compute(settings, 0, *places)["predict"]["last_step"]
    _, width = settings.law(*places)
    total = float((steps * (max(fixed, 0.0) + slope * width)).sum())
    return {"seconds": total, "steps": float(steps.sum()), "fixed": float(fixed), "per_unit": float(slope)}
