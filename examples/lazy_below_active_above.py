"""Claim 1 of the paper: one network learns lazily below the threshold τ = σ²w and actively above it.

A target with modes far below, near and far above τ. A lazy mode approaches exponentially, s(1 − e^{−2τt}), at a rate
that does not depend on s; an active one follows a sigmoid, s/(1 + (2s/τ)e^{−2st}). The largest distance of each
simulated mode from both limits, relative to s, says which it is.
"""

import numpy as np

import lindyn as ld

THRESHOLD = 1.0
MODES = np.array([100.0, 10.0, 1.0, 0.1, 0.01])


def main() -> dict[str, np.ndarray]:
    """Train a network of width 10¹² and compare each mode with its lazy and its active limit."""
    target = np.diag(MODES)
    net = ld.TwoLayer.gaussian(MODES.size, width=10**12, variance=THRESHOLD / 10**12, key=0)
    lazy, active = np.empty(MODES.size), np.empty(MODES.size)
    for k, s in enumerate(MODES):
        times = np.linspace(0.0, 8 / (2 * np.hypot(s, THRESHOLD)), 41)  # each mode on its own time scale
        flow = ld.simulate(net, ld.SpikedMatrix(target=target), ld.Flow(), times=times, observables="matrix")
        learned = flow["matrix"][:, k, k]
        lazy[k] = np.abs(learned - s * (1 - np.exp(-2 * THRESHOLD * times))).max() / s
        active[k] = np.abs(learned - s / (1 + 2 * s / THRESHOLD * np.exp(-2 * s * times))).max() / s
    print(f"threshold τ = {net.threshold:g}, width {net.width:,}")
    print("mode s    distance from lazy curve   from active curve   regime")
    for s, from_lazy, from_active in zip(MODES, lazy, active, strict=True):
        verdict = "active" if from_active < from_lazy else "lazy"
        print(f"{s:7g}   {from_lazy:22.4f}   {from_active:17.4f}   {verdict}")
    return {"lazy": lazy, "active": active}


if __name__ == "__main__":
    main()
