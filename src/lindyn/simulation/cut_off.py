"""The error of a cut-off, measured: the same run once more, with one generation of reachable directions added.

From three layers on a network is held on directions that are cut off after some generations (theory 7.1). The error
falls faster than exponentially in their number, so the difference that one more makes is the error of one less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from lindyn.networks.network import Network
from lindyn.simulation.observables import Observable
from lindyn.simulation.trajectory import Trajectory

PROBE = "probe of the matrix"
# columns by which A is compared: all of them for d_in ≤ 8, else a mean square to some 10 %
_PROBES = 8
_ROUNDS = 8  # generations added at most


def probe(d_in: int, dtype: np.dtype) -> Observable:
    """Return an observable A·Z whose differences have the Frobenius norm of those of A: exactly for few inputs."""
    rng = np.random.default_rng(0)
    count = min(d_in, _PROBES)
    directions = np.linalg.qr(rng.standard_normal((d_in, count)))[0] * np.sqrt(d_in / count)
    columns = directions.astype(dtype)
    return Observable(PROBE, lambda s: s.matrix @ columns, ("row", "probe"))


def without_cut_off(system: Any, run: Callable[[Any, tuple[Observable, ...]], Trajectory]) -> Trajectory:
    """Run a system; where it is a network that is cut off, add generations until its tolerance holds, and say so.

    Args:
        system: a network or a dynamics.
        run: runs a system with more observables.

    References:
        theory (7.1).
    """
    finer = system.refined() if isinstance(system, Network) else None
    if finer is None:
        return run(system, ())
    extra = (probe(system.shape[1], system.dtype),)
    result = run(system, extra)
    for _ in range(_ROUNDS):
        better = run(finer, extra)
        error = _difference(result, better)
        if not error > finer.cut_off_tolerance:
            break
        system, result = finer, better
        finer = system.refined()
        if finer is None:  # all directions are held
            return _stripped(result)
    return _with_error(_stripped(result), system, error)


def _difference(first: Trajectory, second: Trajectory) -> float:
    """Largest ‖A − B‖_F along both, relative to the largest ‖B‖_op."""
    count = min(len(first), len(second))
    apart = np.linalg.norm(first[PROBE][:count] - second[PROBE][:count], axis=(1, 2))
    size = max(float(np.linalg.norm(a, 2)) for a in second[PROBE][:count])
    return float(apart.max()) / size if size > 0 else float(apart.max())


def _stripped(run: Trajectory) -> Trajectory:
    data = {name: values for name, values in run.data.items() if name != PROBE}
    return replace(run, data=data, variables={name: run.variables[name] for name in data})


def _with_error(run: Trajectory, network: Network, error: float) -> Trajectory:
    held = ", ".join(f"{units:,}" for units in network.reduced_widths)
    limit = network.cut_off_tolerance
    note = f"held on {held} reachable directions: one generation more changes A by {error:.1e} of its size"
    note += f" (tolerance {limit:.0e})" if error <= limit else f", above the tolerance {limit:.0e}"
    return replace(run, info=replace(run.info, reduction_error=error, notes=(*run.info.notes, note)))
