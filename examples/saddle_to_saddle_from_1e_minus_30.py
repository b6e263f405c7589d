"""Saddle to saddle from layers of size 10⁻³⁰: four layers escape after 10⁶⁰ units of flow time, in 2,000 steps.

From tiny layers each mode of the target waits at zero, and escapes alone after a time ∝ 1/s: the loss is a staircase
whose steps are as far apart as 1/s. A clock of fixed steps never gets there; the geometric clock needs ln(1/α) steps.
The modes of a diagonal target decouple, so that each is followed by itself; escape times rise as α^{−(L−2)}.
"""

import numpy as np

import lindyn as ld
from lindyn.methods import GeometricFlow
from lindyn.solutions import deep_balanced_time

DEPTH, MODES = 4, (2.0, 1.0, 0.5)


def escape(size: float, strength: float) -> tuple[float, int]:
    """Return flow time and step at which a mode started from layers of this size is half learned."""
    net = ld.DeepLinear.balanced(np.array([[size**DEPTH]]), depth=DEPTH)
    task = ld.SpikedMatrix(target=np.array([[strength]]))
    run = ld.simulate(net, task, GeometricFlow(steps=2500), save_every=2, observables="singular_values")
    k = int((run["singular_values"][:, 0] > strength / 2).argmax())
    return float(run.time[k]), int(run.step[k])


def main() -> dict[str, list[float]]:
    """Escape from 10⁻³⁰, mode by mode, and from larger starts."""
    times, steps = zip(*(escape(1e-30, s) for s in MODES), strict=True)
    print(f"layers of size 1e-30, {DEPTH} layers")
    for s, t, n in zip(MODES, times, steps, strict=True):
        exact = float(deep_balanced_time(s, 1e-30**DEPTH, s / 2, DEPTH))
        print(f"mode {s:3g}: half learned at time {t:.4g} (formula {exact:.4g}), step {n}")
    sizes = (1e-3, 1e-12, 1e-30)
    escapes = [escape(a, 2.0)[0] for a in sizes]
    slopes = (np.diff(np.log(escapes)) / np.diff(np.log(sizes))).tolist()
    print(f"slopes of ln time against ln size: {np.round(slopes, 4).tolist()} (theory {2 - DEPTH})")
    return {"times": list(times), "steps": [float(n) for n in steps], "slopes": slopes}


if __name__ == "__main__":
    main()
