"""A formula of your own, put to the test: two rivals of the mixed formula that fail, against exact descent.

Both rivals have the right lazy and the right balanced limit and change only what lies between. Where the hidden width
grows, descent approaches the mixed formula and keeps its distance from the rivals.
"""

from pathlib import Path

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import lindyn as ld

DIM, THRESHOLD = 20, 3.0
WIDTHS = [10**2, 10**3, 10**4, 10**5, 10**6, 10**8]
STEPS, RATE = 2000, 2e-4  # a step is first order in η: the floor of every distance
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "own_formula.png"


class OneRoot(ld.Dynamics):
    """Ȧ = −√(AAᵀ + τ²) G − G (√(AᵀA) + τ): the sum under one root only."""

    def drive(self, matrix, gradient, threshold):
        """Return the right-hand side."""
        u, s, vt = jnp.linalg.svd(matrix, full_matrices=False)
        left = threshold * gradient + (u * (jnp.hypot(s, threshold) - threshold)) @ (u.T @ gradient)
        right = threshold * gradient + ((gradient @ vt.T) * s) @ vt
        return -left - right


class SumOfParts(ld.Dynamics):
    """Ȧ = −(√(AAᵀ) + τ) G − G (√(AᵀA) + τ): balanced plus lazy."""

    def drive(self, matrix, gradient, threshold):
        """Return the right-hand side."""
        u, s, vt = jnp.linalg.svd(matrix, full_matrices=False)
        return -2 * threshold * gradient - (u * s) @ (u.T @ gradient) - ((gradient @ vt.T) * s) @ vt


FORMULAS = {
    "mixed: √(AAᵀ + τ²) on both sides": ld.Mixed,
    "rival: √(AᵀA) + τ on one side": OneRoot,
    "rival: √(AAᵀ) + τ on both sides": SumOfParts,
}


def main() -> dict[str, list[float]]:
    """Return the largest ‖A − B‖_F/‖A*‖_F along the run, for each formula B and width."""
    task = ld.SpikedMatrix(dim=DIM, rank=3, noise=0.3, key=0)
    size = float(np.linalg.norm(task.signal))
    distances: dict[str, list[float]] = {name: [] for name in FORMULAS}
    for width in WIDTHS:
        net = ld.TwoLayer.gaussian(DIM, width=width, variance=THRESHOLD / width, key=1)
        steps = ld.GradientDescent(learning_rate=RATE, steps=STEPS)
        descent = ld.simulate(net, task, steps, save_every=100, observables="matrix")
        for name, formula in FORMULAS.items():
            run = ld.simulate(formula(net.threshold, net.matrix), task, steps, save_every=100, observables="matrix")
            apart = ld.compare(descent, run).distance  # squared, per entry
            distances[name].append(DIM * float(np.sqrt(apart.max())) / size)
        print(f"w = {width:>11,}: " + ", ".join(f"{d[-1]:.4f}" for d in distances.values()))
    return distances


def draw(distances: dict[str, list[float]]) -> None:
    """Draw the distance of each formula against the width."""
    figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    for (name, values), mark in zip(distances.items(), "os^", strict=True):
        ax.loglog(WIDTHS, values, marker=mark, label=name)
    guide = next(iter(distances.values()))[1] * np.sqrt(WIDTHS[1] / np.array(WIDTHS[:5]))
    ax.loglog(WIDTHS[:5], guide, color="0.6", linestyle=":", label="∝ 1/√w")
    ax.set(xlabel="hidden width w (σ²w = τ held)", ylabel="largest ‖A − formula‖ / ‖A*‖")
    ax.legend(fontsize=8)
    figure.savefig(FIGURE, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    draw(main())
