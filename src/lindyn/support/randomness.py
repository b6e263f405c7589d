"""Random streams: every draw of the package names its purpose, so that equal seeds give independent draws.

A seed alone would give one stream to everything: a signal and a network drawn with the same seed, 0 by default, would
then hold the same numbers. A stream is therefore seeded by the seed *and* its purpose (NumPy's SeedSequence mixes the
two), and a generator that is passed in gives a fresh seed of its own.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from lindyn.support import checks

Seed = int | np.random.Generator
Purpose = Literal[
    "signal",  # A* of a task
    "noise",  # what stands on A* in what training sees
    "entries",  # which entries of a matrix are observed
    "weights",  # layers drawn from a law
    "rest",  # what lies beyond the reached directions of deep layers
    "frame",  # the rotation of the hidden units that completes a reduced factor
    "directions",  # orthonormal directions of a construction
    "starts",  # several starts drawn one after the other
    "cells",  # networks of a phase diagram
    "spectrum",  # averages of spectra over draws
    "curvature",  # first direction of a power iteration
    "probe",  # test inputs of an update rule
]
PURPOSES: tuple[str, ...] = get_args(Purpose)
_REMEDY = "pass a seed (a whole number from 0) or a numpy Generator"


def stream(name: str, key: Seed, purpose: Purpose, *place: int) -> np.random.Generator:
    """Return the random stream of one purpose.

    Args:
        name: the argument that `key` came by, for its refusal.
        key: a seed; or a Generator, from which a seed is drawn (it moves on by four words, whatever is drawn after).
        purpose: what the numbers are for.
        place: whole numbers ≥ 0 that tell several streams of one purpose apart, such as the place of a cell.

    Raises:
        InvalidArgument: a seed that is negative, no whole number, a bool or a string.

    Examples:
        >>> signal, weights = (stream("key", 0, purpose).standard_normal(3) for purpose in ("signal", "weights"))
        >>> bool(np.any(signal == weights))
        False
    """
    # The name itself, so that a new purpose leaves the draws of the others as they are; in the spawn key, since zeros
    # at the end of the entropy are not seen.
    where = (*purpose.encode(), *place)
    return np.random.default_rng(np.random.SeedSequence(_entropy(name, key), spawn_key=where))


def _entropy(name: str, key: Seed) -> list[int]:
    if isinstance(key, np.random.Generator):
        return [int(word) for word in key.integers(2**32, size=4)]
    if isinstance(key, bool | np.bool_) or not isinstance(key, int | np.integer):
        raise checks.InvalidArgument(name, "be a seed or a numpy Generator", f"it is {checks.shown(key)}", _REMEDY)
    if key < 0:
        raise checks.InvalidArgument(name, "be at least 0", f"it is {checks.shown(key)}", _REMEDY)
    return [int(key)]
