"""Flop rate of the compiled descent loop against plain matrix products of the same shapes, in one process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import lindyn as ld
import torch
from benchmarks.setting import PUBLISHED_WIDTH, VARIANCE, draw_setting
from lindyn.methods import Problem
from lindyn.support.precision import working_precision

LOOPS = ("simultaneous", "sequential")
SLICE_SECONDS, SLICE_STEPS = 0.1, 25  # least work between two looks at the clock
PAUSE_SECONDS = 0.03  # in which the threads of the previous contestant stop spinning
ASSUMED_RATE = 1e11  # flop/s, only to choose the number of repetitions in a slice

Contestant = Callable[[], Any]


def _loop(dim: int, dtype: str, order: str, steps: int, calls: int) -> Contestant:
    """Plain gradient descent by lindyn's engine; each call goes on by so many steps in one compiled loop."""
    _, target, rate = draw_setting(dim, dtype)
    network = ld.TwoLayer.gaussian(dim, PUBLISHED_WIDTH, VARIANCE, key=1, dtype=dtype)
    method = ld.GradientDescent(learning_rate=rate, steps=steps * calls, order=order)
    problem = Problem(network, ld.SpikedMatrix(target=target), save_every=(steps * np.arange(1, calls + 1)).tolist())
    engine = method.prepare(problem)
    record = iter(range(calls))
    return lambda: jax.block_until_ready(engine.advance(next(record)).matrix)


def _operands(dim: int, dtype: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random factors of the three products of a step: A = W2W1, W2ᵀG and W1Gᵀ, r = 2d, all in row order."""
    rng = np.random.default_rng(3)
    shapes = [((dim, 2 * dim), (2 * dim, dim))] + 2 * [((2 * dim, dim), (dim, dim))]
    return [tuple(rng.standard_normal(s).astype(dtype) for s in pair) for pair in shapes]


def _jax_products(pairs: list[Any], repeats: int) -> Contestant:
    """JAX's plain jitted product, one call for each product, waiting for the last one only."""
    product = jax.jit(jnp.matmul)
    on_device = [(jnp.asarray(a), jnp.asarray(b)) for a, b in pairs]

    def run() -> Any:
        for _ in range(repeats):
            results = [product(a, b) for a, b in on_device]
        return jax.block_until_ready(results)

    return run


def _jax_bare_loop(pairs: list[Any], repeats: int) -> Contestant:
    """The three products and nothing else in one compiled loop: what the loop costs without its updates."""

    @jax.jit
    def loop(operands: Any, count: Any) -> Any:
        def products(operands: Any) -> Any:
            return [a @ b for a, b in operands]

        def body(_: Any, carry: Any) -> Any:
            operands, results = lax.optimization_barrier(carry)  # or the products would be done once
            del results
            return operands, products(operands)

        return lax.fori_loop(0, count, body, (operands, products(operands)))[1]

    on_device = [(jnp.asarray(a), jnp.asarray(b)) for a, b in pairs]
    return lambda: jax.block_until_ready(loop(on_device, repeats - 1))


def _eager_products(pairs: list[Any], repeats: int) -> Contestant:
    def run() -> None:
        for _ in range(repeats):
            for a, b in pairs:
                a @ b

    return run


def measure(dim: int, dtype: str, rounds: int) -> dict[str, Any]:
    """Return flops per second of wall clock, and of processor time, of every contestant in every round.

    In a round they run one after the other, in turning order.
    """
    torch.set_num_threads(os.cpu_count() or 1)
    repeats = max(SLICE_STEPS, round(SLICE_SECONDS * ASSUMED_RATE / (12 * dim**3)))
    pairs = _operands(dim, dtype)
    in_torch = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in pairs]
    with working_precision(dtype):
        contestants = {order: _loop(dim, dtype, order, repeats, rounds + 1) for order in LOOPS} | {
            "jax": _jax_products(pairs, repeats),
            "jax_loop": _jax_bare_loop(pairs, repeats),
            "numpy": _eager_products(pairs, repeats),
            "torch": _eager_products(in_torch, repeats),
        }
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        per_processor: dict[str, list[float]] = {name: [] for name in contestants}
        names = list(contestants)
        for turn in range(-1, rounds):  # the first round compiles
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                time.sleep(PAUSE_SECONDS)
                started, used = time.perf_counter(), time.process_time()
                contestants[name]()
                seconds, busy = time.perf_counter() - started, time.process_time() - used
                if turn >= 0:
                    flops = (12 * repeats + 4 * (name in LOOPS)) * dim**3
                    rates[name].append(flops / seconds)
                    per_processor[name].append(flops / busy)
    return {"rates": rates, "per_processor": per_processor}
