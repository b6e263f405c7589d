"""Scaling of the boundary of the active phase: do diagrams of all dimensions collapse when drawn against σ²w/d?

    python -m benchmarks.boundary [--out build/boundary.png] [--largest 400]

Widths are w = 1000 d², so that σ⁴w is small all along the boundary; then the smallest test error depends on σ²w and d
alone. Predicted for d = 100 … 10⁶, simulated exactly for d = 100, 200, 400 (published settings, two draws each).

As d → ∞ at fixed u = σ²w/d, the signal's modes s_k = d a_k follow (3.2) in the time dt, and the noise bulk, of order
√d ≪ τ, is lazy and learned by the share 1 − e^{−2τt}: the test error tends to

    min over t of  Σ_k (a_k − m_k(t)/d)² + (1 − e^{−2τt})²,

a function of u alone. For small u the last signal mode arrives at t = ln(2s_K/τ)/(2s_K), and what is missing of it then
decays as e^{−2s_K t}; the best moment is when that is as small as the share v = 2τt of the bulk learned by then:
v = (u/a_K) ln(2a_K²/(u v)). The error falls as v², so the contour at ε does not stand at u ∝ √ε, but is shifted by two
logarithms, v ≈ (2u/a_K) ln(1/u). At finite d the learned signal modes carry noise, a floor of 2K/d, so that contours
move as 1/d.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from lindyn.diagrams import DiagramSettings, compute
from lindyn.plots import save_figure
from lindyn.solutions.modes import mode_curve

RANK, LEVELS = 5, (0.1, 0.2, 0.3, 0.4)  # the lazy phase reaches 0.5
PREDICTED, SIMULATED = (100, 200, 400, 1000, 10_000, 100_000, 1_000_000), (100, 200, 400)


def smallest_errors(dim: int, source: str, u: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the smallest test error of published training at σ²w = u d, w = 1000 d²."""
    width = 1000.0 * dim**2
    settings = DiagramSettings(
        variance_exponents=(-3.0, 0.0), width_exponents=(0.0, 1.0), shape=(dim, dim), rank=RANK, spectrum="mean",
        sources=(source,), steps=2000,
    )  # fmt: skip
    gamma_v, gamma_w = np.log(u * dim / width) / np.log(dim), np.full(u.shape, np.log(width) / np.log(dim))
    return compute(settings, seed, gamma_v, gamma_w)[source]["min_test_error"]


def limit_errors(u: np.ndarray) -> np.ndarray:
    """Return the limit d → ∞ of the smallest test error."""
    a = _limit_signal()
    t = np.geomspace(1e-3, 1e3, 40_000)[:, None]
    found = [(((a - mode_curve(a, v, t)) ** 2).sum(axis=1) + np.expm1(-2 * v * t[:, 0]) ** 2).min() for v in u]
    return np.array(found)


def crossing(u: np.ndarray, errors: np.ndarray, level: float) -> float:
    """Return u where the error rises through a level, by linear interpolation in ln u; NaN if it does not."""
    rises = np.flatnonzero((errors[:-1] < level) & (errors[1:] >= level))
    if rises.size == 0:
        return float("nan")
    k = int(rises[0])
    share = (level - errors[k]) / (errors[k + 1] - errors[k])
    return float(np.exp(np.log(u[k]) + share * np.log(u[k + 1] / u[k])))


def measure(largest: int) -> dict[str, Any]:
    """Compute all curves and where they cross the levels."""
    fine, coarse = np.geomspace(2e-3, 5, 120), np.geomspace(0.01, 3, 16)
    curves = {("limit", 0): (fine, limit_errors(fine))}
    for dim in PREDICTED:
        curves["predicted", dim] = fine, smallest_errors(dim, "predict", fine)
    for dim in (d for d in SIMULATED if d <= largest):
        draws = [smallest_errors(dim, "descend", coarse, seed) for seed in (0, 1)]
        curves["simulated", dim] = coarse, np.mean(draws, axis=0)
    crossings = {key: [crossing(u, e, level) for level in LEVELS] for key, (u, e) in curves.items()}
    return {"curves": curves, "crossings": crossings}


def logarithmic_law(u: np.ndarray) -> np.ndarray:
    """Return v², v = (u/a_K) ln(2a_K²/(u v)): what the limit is for small u."""
    last = _limit_signal()[-1]
    v = u.copy()
    for _ in range(100):
        v = (u / last) * np.log(2 * last**2 / (u * v))
    return v**2


def logarithm_slope() -> float:
    """Return the slope of √ε a_K/u against ln(1/u) of the limit at small u, which tends to 2 by the logarithmic law."""
    u = np.geomspace(1e-6, 1e-4, 9)
    return float(np.polyfit(np.log(1 / u), np.sqrt(limit_errors(u)) * _limit_signal()[-1] / u, 1)[0])


def _limit_signal() -> np.ndarray:
    dim = 10**12
    settings = DiagramSettings(variance_exponents=(0.0,), width_exponents=(1.0,), shape=(dim, dim), rank=RANK)
    return settings.signal_spectrum() / dim


def shifts(found: dict[str, Any], kind: str, k: int) -> tuple[list[int], np.ndarray]:
    """Return dimensions and |u/u_limit − 1| of contour k."""
    dims = [d for (which, d) in found["crossings"] if which == kind]
    limit = found["crossings"]["limit", 0][k]
    return dims, np.abs(np.array([found["crossings"][kind, d][k] for d in dims]) / limit - 1)


def draw(found: dict[str, Any]) -> Figure:
    """Draw the curves against u, and how far their contours are from the limit's."""
    figure = Figure(figsize=(10.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = {dim: f"C{k}" for k, dim in enumerate(PREDICTED)}
    for (kind, dim), (u, errors) in found["curves"].items():
        if kind == "limit":
            left.plot(u, errors, color="black", linewidth=1.8, label="limit $d \\to \\infty$")
        elif kind == "predicted":
            left.plot(u, errors, color=colours[dim], linewidth=1.1, label=f"predicted, d = {dim:,}")
        else:
            left.plot(u, errors, "o", color=colours[dim], markersize=4, label=f"simulated, d = {dim}")
    small = np.geomspace(2e-3, 0.08, 50)
    left.plot(small, logarithmic_law(small), ":", color="black", label="$v^2$, $v = (u/a_K)\\ln(2a_K^2/uv)$")
    for level in LEVELS:
        left.axhline(level, color="#bbbbbb", linewidth=0.6)
    left.set(xscale="log", xlabel="$u = \\sigma^2 w / d$", ylabel="smallest test error (per entry)", ylim=(0, 0.52))
    left.legend(frameon=False, fontsize=7)
    for k, level in enumerate(LEVELS):
        right.plot(*shifts(found, "predicted", k), color=f"C{k}", label=f"predicted, error {level:g}")
        right.plot(*shifts(found, "simulated", k), "o", color=f"C{k}", markersize=5)
    right.plot([], [], "o", color="grey", label="simulated")
    dims = np.array(PREDICTED, dtype=float)
    right.plot(dims, 20 / dims, ":", color="black", label="slope $1/d$")
    right.set(
        xscale="log", yscale="log", xlabel="dimension $d$", ylim=(1e-5, 1),
        ylabel="|$\\sigma^2 w/d$ of the contour over the limit's − 1|",
    )  # fmt: skip
    right.legend(frameon=False, fontsize=7)
    return figure


def main() -> None:
    """Print where the contours stand and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/boundary.png"))
    parser.add_argument("--largest", type=int, default=400, help="largest dimension that is simulated")
    options = parser.parse_args()
    found = measure(options.largest)
    table = Table("d", *(f"{level:g}" for level in LEVELS), title="σ²w/d at the contours of the smallest test error")
    for (kind, dim), places in found["crossings"].items():
        table.add_row(f"{kind} {dim:,}" if dim else kind, *(f"{u:.4f}" for u in places))
    Console().print(table)
    print(f"{logarithm_slope():.3f}: slope of √ε a_K/u against ln(1/u) in the limit, u = 1e-6 … 1e-4 (law: → 2)")
    save_figure(draw(found), options.out)
    print(f"figure in {options.out}")


if __name__ == "__main__":
    main()
