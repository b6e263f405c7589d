"""Predicted runs: the error curves of modes that train independently, followed step by step until they stop."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lindyn.diagrams.stopping import Watch, begin, note
from lindyn.prediction.spectra import ModeSpectrum, mode_errors
from lindyn.prediction.validity import residue_step
from lindyn.solutions.modes import ModeOfLayers, mode_fraction, step_in_turn
from lindyn.support.precision import working_precision

_BLOCK = 2000  # cells followed together, until the last of them has stopped


@jax.jit
def _follow(modes: tuple[Any, ...], entries: Any, law: tuple[Any, Any, Any], steps: Any, unit: Any) -> Watch:
    values, counts, projections, energy = modes
    tau, rate, n0 = law
    psi = jnp.hypot(values, tau[:, None])
    a, b = values / psi, tau[:, None] / psi
    decay, start_decay = jnp.exp(-2 * psi * rate[:, None]), jnp.exp(-4 * tau * rate)

    def errors(remaining: Any, residue: Any) -> tuple[Any, Any]:
        learned = values * mode_fraction(a, b, remaining, 1 - remaining)
        train = ((values - learned) ** 2) @ counts / entries + residue
        test = (energy - 2 * learned @ projections + learned**2 @ counts) / entries + residue
        return train, test

    def body(carry: tuple[Any, Any, Any, Watch]) -> tuple[Any, Any, Any, Watch]:
        step, remaining, residue, watch = carry
        step, remaining, residue = step + 1, remaining * decay, residue * start_decay
        return step, remaining, residue, note(watch, step, *errors(remaining, residue), unit)[0]

    ones = jnp.ones_like(psi)
    first = (jnp.zeros((), jnp.int32), ones, n0, begin(*errors(ones, n0), unit))
    return lax.while_loop(lambda c: (c[0] < steps) & c[3].running.any(), body, first)[3]


@jax.jit
def _descend(modes: tuple[Any, ...], entries: Any, law: tuple[Any, Any, Any], steps: Any, unit: Any) -> Watch:
    """The same by the steps of descent at infinite width, where they are not small; in turn, as simulated cells."""
    values, counts, projections, energy = modes
    tau, rate, n0 = law

    def errors(learned: Any, residue: Any) -> tuple[Any, Any]:
        train, test, _ = mode_errors(learned, values, counts, projections, energy, entries)
        return train + residue, test + residue

    def body(carry: tuple[Any, ModeOfLayers, Any, Watch]) -> tuple[Any, ModeOfLayers, Any, Watch]:
        step, mode, residue, watch = carry
        step, mode, residue = step + 1, step_in_turn(mode, values, rate[:, None]), residue_step(residue, tau, rate)
        return step, mode, residue, note(watch, step, *errors(mode.learned, residue), unit)[0]

    start = jnp.broadcast_to(tau[:, None], (tau.size, values.size))
    mode = ModeOfLayers(start, start, jnp.zeros_like(start))
    first = (jnp.zeros((), jnp.int32), mode, n0, begin(*errors(mode.learned, n0), unit))
    return lax.while_loop(lambda c: (c[0] < steps) & c[3].running.any(), body, first)[3]


def follow_modes(
    modes: ModeSpectrum,
    tau: np.ndarray,
    rate: np.ndarray,
    n0: np.ndarray,
    *,
    steps: int,
    unit: float = 1.0,
    stepped: np.ndarray | None = None,
) -> Watch:
    """Follow the curves of `ModeSpectrum.errors` at t = η·step until the published rules end them, for many cells.

    Args:
        modes: the modes and how they project on the true matrix.
        tau: thresholds τ > 0, (cells,).
        rate: learning rates, (cells,).
        n0: variances σ⁴w of an entry of A(0), (cells,).
        steps: largest number of steps.
        unit: square of the signal's scale, in which the thresholds of the rules are measured.
        stepped: cells whose steps are not small, (cells,): those of descent are followed instead of the flow.

    Returns:
        The last watch of every cell, as NumPy arrays.

    References:
        theory (3.2), sections 4 and 5.
    """
    if stepped is not None and stepped.any():
        parts = [
            _watched(program, modes, tau[here], rate[here], n0[here], steps, unit)
            for program, here in ((_follow, ~stepped), (_descend, stepped))
            if here.any()
        ]
        back = np.argsort(np.concatenate([np.flatnonzero(~stepped), np.flatnonzero(stepped)]))
        return Watch(*(np.concatenate(fields)[back] for fields in zip(*parts, strict=True)))
    return _watched(_follow, modes, tau, rate, n0, steps, unit)


def _watched(
    program: Any, modes: ModeSpectrum, tau: np.ndarray, rate: np.ndarray, n0: np.ndarray, steps: int, unit: float
) -> Watch:
    """Run a program over cells, block by block, in an order in which those of a block stop together."""
    order = _alike(tau, n0)
    law = np.stack([tau, rate, n0])[:, order]
    block = min(_BLOCK, tau.size)
    law = np.pad(law, ((0, 0), (0, -tau.size % block)), mode="edge")
    with working_precision(np.float64):
        parts = tuple(jnp.asarray(v) for v in (modes.values, modes.counts, modes.projections, modes.energy))
        entries = jnp.asarray(float(modes.shape[0]) * modes.shape[1])
        ends = [
            program(
                parts,
                entries,
                tuple(jnp.asarray(row[i : i + block]) for row in law),
                jnp.asarray(steps),
                jnp.asarray(unit),
            )
            for i in range(0, law.shape[1], block)
        ]
    joined = (np.concatenate([np.asarray(e) for e in fields])[: tau.size] for fields in zip(*ends, strict=True))
    back = np.argsort(order)
    return Watch(*(field[back] for field in joined))


def _alike(tau: np.ndarray, n0: np.ndarray) -> np.ndarray:
    """Return an order in which cells that stop at similar steps stand together: tiles in (τ, n₀)."""
    stripes = max(1, round(np.sqrt(tau.size / _BLOCK)))
    stripe = np.argsort(np.argsort(tau)) * stripes // tau.size
    return np.lexsort((n0, stripe))
