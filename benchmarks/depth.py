"""Depth, measured: laws of draws, cost of width, the limit of infinite width, escapes, speed, phase diagrams.

python -m benchmarks.depth law|cost|infinite|… (all: one after the other)
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from lindyn.networks.deep_linear import DeepLinear
from lindyn.networks.reachable import draw
from lindyn.solutions.words import Words


def descend(layers: list[np.ndarray], target: np.ndarray, rate: float, steps: int, every: int = 1) -> np.ndarray:
    """Return A of ½‖A − T‖² at every so many steps, by the chain rule; a leading axis holds several networks."""
    path = []
    for step in range(steps + 1):
        below = [layers[0]]
        for w in layers[1:]:
            below.append(w @ below[-1])
        if step % every == 0:
            path.append(below[-1])
        if step == steps:
            break
        signal, moved = below[-1] - target, []
        for k in range(len(layers) - 1, -1, -1):
            gradient = signal @ np.swapaxes(below[k - 1], -1, -2) if k else signal
            signal = np.swapaxes(layers[k], -1, -2) @ signal
            moved.append(layers[k] - rate * gradient)
        layers = moved[::-1]
    return np.stack(path)


def law(draws: int = 600) -> None:
    """Kolmogorov–Smirnov of nine statistics between drawn and explicit networks, and against a wrong law."""
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(0)
    target, rate, steps = np.array([[2.0, 0.3], [0.0, 1.0]]), 0.05, 45

    def statistics(layers: list[np.ndarray]) -> np.ndarray:
        path = descend(layers, target, rate, steps, steps // 3)[1:]
        size = ((path - target) ** 2).sum(axis=(-2, -1))
        return np.concatenate([size, path[..., 0, 1], np.linalg.svd(path, compute_uv=False)[..., 0]])

    for depth, generations, near in ((3, 6, 16), (4, 6, 34), (5, 6, 44)):
        words = Words.full(depth, generations)
        for width in (near, 10 * near):
            sizes = (2, *(width,) * (depth - 1), 2)
            scales = np.sqrt([0.5 / width, *(1 / width,) * (depth - 2), 0.5 / width])

            def sample(make: Callable, scales: np.ndarray = scales) -> np.ndarray:
                return _in_blocks(make, scales, statistics, draws)

            exact = sample(
                lambda sizes=sizes: tuple(rng.standard_normal(s) for s in zip(sizes[1:], sizes, strict=False))
            )
            found = sample(lambda sizes=sizes, words=words: draw(words, sizes, int(rng.integers(2**62))).layers)
            other = (2, *(2 * width,) * (depth - 1), 2)
            wrong = sample(lambda sizes=other, words=words: draw(words, sizes, int(rng.integers(2**62))).layers)
            p = [ks_2samp(a, b).pvalue for a, b in zip(exact, found, strict=True)]
            caught = min(ks_2samp(a, b).pvalue for a, b in zip(exact, wrong, strict=True))
            print(
                f"L = {depth}, w = {width}, held {words.units((2, 2))}: p from {min(p):.3f} to {max(p):.3f} "
                f"({len(p)} statistics, {draws} draws); with the law of width {2 * width}: p = {caught:.1e}",
                flush=True,
            )


def _in_blocks(make: Callable, scales: np.ndarray, statistics: Callable, draws: int, block: int = 20) -> np.ndarray:
    parts = []
    for _ in range(0, draws, block):
        layers = [
            s * np.stack(w) for s, w in zip(scales, zip(*(make() for _ in range(block)), strict=True), strict=True)
        ]
        parts.append(statistics(layers))
    return np.concatenate(parts, axis=-1)


def cost() -> None:
    """Seconds and peak memory of drawing and descending at w = 10⁴ and 10¹²."""
    target = np.random.default_rng(0).standard_normal((50, 50))
    DeepLinear.gaussian(2, depth=3, width=10**4, variance=1e-4)  # chooses the words once
    found = {}
    for width in (10**4, 10**12) * 12:
        tracemalloc.start()
        began = time.perf_counter()
        net = DeepLinear.gaussian(50, depth=3, width=width, variance=1 / width, key=0)
        descend(list(net.layers), target, 1e-3, 20)
        seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        best = min(seconds, found[width][0]) if width in found else seconds  # what others leave of the machine
        found[width] = best, peak
    for width, (seconds, peak) in found.items():
        print(f"w = {width:.0e}: {seconds:.4f} s, peak {peak / 2**20:.1f} MiB, held {net.reduced_widths}")
    ratios = np.divide(found[10**12], found[10**4])
    print(f"ratio of seconds {ratios[0]:.2f}, of memory {ratios[1]:.2f}")


def infinite() -> None:
    """Modes decouple at infinite width; the distance of width w to the limit falls as w^−½."""
    values = np.array([3.0, 1.0, 0.3, 0.1])
    target = np.diag(values)
    for depth, generations in ((3, 8), (4, 8)):
        words = Words.full(depth, generations)

        def run(
            width: int, d: int, goal: np.ndarray, seed: int, words: Words = words, depth: int = depth
        ) -> np.ndarray:
            layers = draw(words, (d, *(width,) * (depth - 1), d), seed).layers
            return descend([w * np.sqrt(0.3 / width) for w in layers], goal, 0.03, 200, 10)

        limit = np.stack([run(10**26, 1, np.array([[s]]), 0)[:, 0, 0] for s in values], axis=-1)
        far = run(10**26, 4, target, 0)
        off = np.abs(far - np.einsum("ti,ij->tij", np.einsum("tii->ti", far), np.eye(4))).max()
        print(
            f"L = {depth}, w = 1e26: modes against their scalar networks "
            f"{np.abs(np.einsum('tii->ti', far) - limit).max():.1e}, off-diagonal {off:.1e}"
        )
        widths = 10 ** np.arange(3, 11)
        gaps = [
            np.mean(
                [
                    np.abs(run(int(w), 4, target, seed) - np.einsum("ti,ij->tij", limit, np.eye(4))).max()
                    for seed in range(12)
                ]
            )
            for w in widths
        ]
        slope = np.polyfit(np.log(widths), np.log(gaps), 1)[0]
        print(
            f"L = {depth}: distance to the limit {', '.join(f'{g:.1e}' for g in gaps)} "
            f"at w = 1e3 … 1e10: slope {slope:.3f}"
        )


def given() -> None:
    """Given weights at w = 800 and 600, reduced, against PyTorch at full width; the estimate against the error."""
    import lindyn as ld
    import torch

    for depth, d, width, tolerances in ((3, 10, 800, (1e-4, 1e-8, 1e-12)), (4, 4, 600, (1e-4, 1e-8))):
        rng = np.random.default_rng(1)
        sizes = (d, *(width,) * (depth - 1), d)
        variances = (0.3 / width, *(1 / width,) * (depth - 2), 0.3 / width)
        weights = [
            np.sqrt(v) * rng.standard_normal(s)
            for v, s in zip(variances, zip(sizes[1:], sizes, strict=False), strict=True)
        ]
        target = np.diag(np.linspace(3, 0.5, d))
        task = ld.SpikedMatrix(target=target)
        rules = {
            "plain": (ld.GradientDescent(learning_rate=0.02, steps=300), lambda p: torch.optim.SGD(p, lr=0.02)),
            "momentum 0.8, decay 0.01": (
                ld.GradientDescent(learning_rate=0.005, momentum=0.8, weight_decay=0.01, steps=300),
                lambda p: torch.optim.SGD(p, lr=0.005, momentum=0.8, weight_decay=0.01),
            ),
        }
        for name, (method, rule) in rules.items():
            full = _autograd(weights, target, rule, 300, 25)
            size = np.linalg.norm(full, 2, axis=(1, 2)).max()
            for tolerance in tolerances if name == "plain" else tolerances[1:2]:
                net = DeepLinear.from_weights(weights, tolerance=tolerance)
                run = ld.simulate(net, task, method, save_every=25, observables="matrix")
                error = np.linalg.norm(run["matrix"] - full, axis=(1, 2)).max() / size
                stated = run.info.reduction_error
                print(
                    f"L = {depth}, d = {d}, w = {width}, {name}, tolerance {tolerance:.0e}: "
                    f"held {run.final.reduced_widths}, error {error:.1e}, stated {stated:.1e}, "
                    f"ratio {stated / error:.2f}",
                    flush=True,
                )


def _autograd(weights: list[np.ndarray], target: np.ndarray, rule: Callable, steps: int, every: int) -> np.ndarray:
    """Return A at every so many steps of PyTorch at full width, in float64."""
    import torch

    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
    optimizer, goal, path = rule(parameters), torch.tensor(target), []
    for step in range(steps + 1):
        optimizer.zero_grad()
        matrix = parameters[0]
        for w in parameters[1:]:
            matrix = w @ matrix
        if step % every == 0:
            path.append(matrix.detach().numpy().copy())
        if step < steps:
            (0.5 * ((matrix - goal) ** 2).sum()).backward()
            optimizer.step()
    return np.stack(path)


def curve() -> None:
    """Simulated networks (d = 50, w = 10⁸) against the deep mode curve, at three values of σ²w."""
    import lindyn as ld
    from lindyn.solutions import deep_mode_curve

    rng = np.random.default_rng(0)
    target = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 50)) / np.sqrt(3) + 0.3 * rng.standard_normal(
        (50, 50)
    )
    s = np.linalg.svd(target, compute_uv=False)
    task = ld.SpikedMatrix(target=target.astype(np.float32))
    for depth, tolerance in ((3, 1e-4), (4, 1e-3)):
        for norm in (0.5, 2.0, 8.0):
            net = DeepLinear.gaussian(
                50, depth=depth, width=10**8, variance=norm / 10**8, key=1, tolerance=tolerance, dtype=np.float32
            )
            rate = 0.02 / (depth * np.hypot(s[0], net.threshold) ** (2 - 2 / depth))
            run = ld.simulate(net, task, ld.GradientDescent(learning_rate=rate, steps=500), save_every=10)
            theory = deep_mode_curve(s, net.threshold, run.time[:, None], depth)
            gap = np.abs(run["singular_values"] - np.sort(theory)[:, ::-1]).max() / s[0]
            print(
                f"L = {depth}, σ²w = {norm}, τ = {net.threshold:.3g}, s₁/τ = {s[0] / net.threshold:.3g}: "
                f"largest difference {gap:.4f} of s₁ over {len(run)} records, "
                f"train error {run['train_error'][0]:.3g} → {run['train_error'][-1]:.3g}; "
                f"cut-off {run.info.reduction_error:.0e}",
                flush=True,
            )


def escape() -> None:
    """Escape from zero: time ∝ α^{−(L−2)}, and from 10⁻³⁰ within 5,000 steps; the speed at every depth is σ₁."""
    import lindyn as ld
    from lindyn.methods import GeometricFlow

    task = ld.SpikedMatrix(target=np.diag([2.0, 0.7]))
    for depth, sizes in ((3, (1e-3, 1e-4, 1e-6, 1e-9)), (4, (1e-3, 1e-6, 1e-12, 1e-30))):
        found = []
        for alpha in sizes:
            net = DeepLinear.gaussian(
                2, depth=depth, width=50, variance=alpha**2 / 50, key=3, generations=depth, tolerance=np.inf
            )
            run = ld.simulate(net, task, GeometricFlow(steps=5000), save_every=5, observables="singular_values")
            k = int((run["singular_values"][:, 0] > 1).argmax())
            found.append((run.time[k], int(run.step[k])))
        slopes = np.diff(np.log([t for t, _ in found])) / np.diff(np.log(sizes))
        print(
            f"L = {depth}: α = {sizes}: escape at step {[n for _, n in found]}, slopes {np.round(slopes, 4)}",
            flush=True,
        )
    # on the ray to the saddle u̇ = s u^{L−1}, u = ‖θ‖/√L: s from two records of the norm
    for depth in (2, 3, 4, 6):
        alpha = 1e-6
        net = DeepLinear.balanced(np.diag([alpha**depth, 0.0]), depth=depth)
        run = ld.simulate(net, task, GeometricFlow(steps=120), save_every=60, observables=["layer_singular_values"])
        u = np.sqrt((run["layer_singular_values"] ** 2).sum(axis=(1, 2)) / depth)
        gained = np.log(u[-1] / u[0]) if depth == 2 else (u[0] ** (2 - depth) - u[-1] ** (2 - depth)) / (depth - 2)
        print(f"L = {depth}: speed {gained / run.time[-1]:.8f}, σ₁ = 2", flush=True)


def _reduced_step(d: int, steps: int = 40, rounds: int = 4) -> dict[str, tuple[float, float]]:
    """Return seconds and processor seconds, of the fastest round, of a step of L = 3 at w = 10⁶ and of its products.

    The plain products are the six of a step, each in the form that the compiler multiplies fastest.
    """
    import jax
    import jax.numpy as jnp
    from jax import lax

    import lindyn as ld
    from lindyn.methods import Problem
    from lindyn.support.precision import working_precision

    task = ld.SpikedMatrix(target=np.random.default_rng(0).standard_normal((d, d)).astype(np.float32))
    law = {"depth": 3, "width": 10**6, "variance": 1e-6, "key": 0, "dtype": np.float32}
    generations = DeepLinear.gaussian(d, tolerance=1e-4, **law).words.generations
    net = DeepLinear.gaussian(d, generations=generations, tolerance=np.inf, **law)
    marks = steps * np.arange(1, rounds + 2)
    method = ld.GradientDescent(learning_rate=1e-4, steps=int(marks[-1]))

    @jax.jit
    def products(arrays: Any) -> Any:
        def once(arrays: Any) -> Any:
            w1_t, w2, w3, matrix, inner = arrays
            below = w1_t @ w2.T
            return below, w3 @ below.T, matrix @ w3, below @ w2, inner @ w1_t, matrix @ below

        def body(_: Any, carry: Any) -> Any:
            arrays, found = lax.optimization_barrier(carry)  # or the products would be done once
            del found
            return arrays, once(arrays)

        return lax.fori_loop(0, steps - 1, body, (arrays, once(arrays)))[1]

    best: dict[str, tuple[float, float]] = {}
    with working_precision(np.float32):
        engine = method.prepare(Problem(net, task, save_every=marks.tolist()))
        w1, w2, w3 = (jnp.asarray(w) for w in net.layers)
        arrays = w1.T, w2, w3, jnp.asarray(task.target), w3.T + 0
        for turn in range(rounds + 1):
            for name, run in (
                ("products", lambda: products(arrays)),
                ("step", lambda turn=turn: engine.advance(turn).matrix),
            ):
                began, used = time.perf_counter(), time.process_time()
                jax.block_until_ready(run())
                taken = (time.perf_counter() - began) / steps, (time.process_time() - used) / steps
                if turn:  # the first round compiles
                    best[name] = tuple(map(min, best.get(name, taken), taken))
    print(f"held {net.reduced_widths}, {net.nbytes / 2**20:.0f} MiB")
    return best


def speed(width: int = 10_000) -> None:
    """Step of L = 3 at d = 200, w = 10⁶ against PyTorch at w = 10⁴, and against products of the reduced shapes."""
    import torch

    d = 200
    found = _reduced_step(d)
    (ours, processor), (plain, plain_processor) = found["step"], found["products"]
    print(
        f"{1e3 * ours:.1f} ms a step, plain products {1e3 * plain:.1f} ms: {plain / ours:.0%}; by processor time "
        f"{1e3 * processor:.1f} ms, {1e3 * plain_processor:.1f} ms: {plain_processor / processor:.0%}"
    )
    torch.set_num_threads(1)
    layers = [torch.randn(s, dtype=torch.float32) / 100 for s in ((width, d), (width, width), (d, width))]
    goal, seconds = torch.randn((d, d)), []
    for _ in range(2):
        began = time.perf_counter()
        below = layers[1] @ layers[0]
        gradient = layers[2] @ below - goal
        back = layers[2].T @ gradient
        first = layers[1].T @ back
        layers[2].addmm_(gradient, below.T, alpha=-1e-6)
        layers[1].addmm_(back, layers[0].T, alpha=-1e-6)
        layers[0].add_(first, alpha=-1e-6)
        seconds.append(time.perf_counter() - began)
    held = sum(w.nelement() for w in layers) * 4 / 2**20
    print(
        f"PyTorch at w = {width:,}: {min(seconds):.2f} s a step (updates in place), {held:,.0f} MiB; at w = 10⁶ by w²: "
        f"{min(seconds) * 1e12 / width**2:,.0f} s, {held * 1e12 / width**2 / 2**20:.1f} TiB; "
        f"ratio {min(seconds) / ours:.0f} at w = {width:,}, {min(seconds) * 1e12 / width**2 / ours:.1e} at 10⁶"
    )


def diagram(points: int = 12, dim: int = 100, out: str = "build/depth_diagram.npz") -> None:
    """L = 3: predicted against descended smallest test errors on a grid, and the slope of the contour at 0.25."""
    from pathlib import Path

    from lindyn.diagrams import DiagramSettings, compute

    gamma_v, gamma_w = np.linspace(-3.2, -0.4, points), np.linspace(0.6, 3.4, points)
    settings = DiagramSettings(
        variance_exponents=gamma_v, width_exponents=gamma_w, shape=(dim, dim), rank=5, spectrum="mean",
        sources=("predict", "descend"), depth=3,
    )  # fmt: skip
    w, v = (x.ravel() for x in np.meshgrid(gamma_w, gamma_v, indexing="ij"))
    began = time.perf_counter()
    found = compute(settings, 0, v, w)
    variance, width = settings.law(v, w)
    predicted, descended = (found[source]["min_test_error"] for source in settings.sources)
    valid = (width >= 10 * dim) & (settings.start_variance(variance, width) < 0.1) & np.isfinite(descended)
    gap = np.abs(predicted - descended)
    lit = valid & (np.minimum(predicted, descended) < 0.9)
    print(
        f"L = 3, d = {dim}, {points} × {points} cells, {time.perf_counter() - began:.0f} s: mean difference of the "
        f"smallest test error {gap[valid].mean():.4f} over {valid.sum()} cells with w ≥ 10 d and A(0) small (largest "
        f"{gap[valid].max():.3f}); of the {lit.sum()} that learn {gap[lit].mean():.4f}; over all finite cells "
        f"{np.nanmean(gap):.4f}"
    )
    for source, errors in (("predict", predicted), ("descend", descended)):
        place = _crossings(errors.reshape(points, points), gamma_v, gamma_w, 0.25)
        wide = place[dim ** place[:, 1] >= 10 * dim]
        slopes = [np.polyfit(p[:, 1], p[:, 0], 1)[0] if len(p) > 2 else np.nan for p in (wide, place)]
        print(
            f"{source}: contour 0.25 has slope {slopes[0]:.3f} over the {len(wide)} widths of 10 d and more, "
            f"{slopes[1]:.3f} over all {len(place)} (theory: −1)"
        )
    Path(out).parent.mkdir(exist_ok=True)
    np.savez(out, gamma_v=gamma_v, gamma_w=gamma_w, predicted=predicted, descended=descended, valid=valid)


def _crossings(errors: np.ndarray, gamma_v: np.ndarray, gamma_w: np.ndarray, level: float) -> np.ndarray:
    """Return (γ_σ², γ_w) where the error rises through a level towards larger variances, row by row."""
    found = []
    for row, width in zip(errors, gamma_w, strict=True):
        rises = np.flatnonzero((row[:-1] < level) & (row[1:] >= level))
        if rises.size:
            k = int(rises[-1])
            share = (level - row[k]) / (row[k + 1] - row[k])
            found.append((gamma_v[k] + share * (gamma_v[k + 1] - gamma_v[k]), width))
    return np.array(found).reshape(-1, 2)


PARTS = {
    "law": law,
    "cost": cost,
    "infinite": infinite,
    "given": given,
    "curve": curve,
    "escape": escape,
    "speed": speed,
    "diagram": diagram,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        for part in PARTS if name == "all" else [name]:
            PARTS[part]()
