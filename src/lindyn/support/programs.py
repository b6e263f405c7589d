"""Compiled programs: arrays are traced, everything else is part of the program, and few programs are kept.

JAX keeps every program of a jitted function for ever, one for each user function, cost or setting that it has seen.
Here each program is a jitted function of its own in a bounded table: one that falls out of the table is freed.
"""

from __future__ import annotations

import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# programs kept: a simulation uses three or four of 0.5 to 3 MiB each
KEPT = 24

_ARRAYS = (jax.Array, np.ndarray, np.generic)
# told apart by their value, or never changed in place
_CONSTANTS = (bool, int, float, complex, str, bytes, Enum, type, types.FunctionType, types.BuiltinFunctionType)


@dataclass(frozen=True, eq=False)
class Opaque:
    """An object that may be changed in place: equal to itself only, so that no program made for it is used again."""

    value: Any


def on_device(tree: Any, dtype: np.dtype) -> Any:
    """Return a tree ready for `run_compiled`: real numbers and arrays as JAX arrays, floating ones of one dtype.

    Parameters of a task or a dynamics are traced so, and a program serves all their values. Whole numbers, words and
    functions stay as they are and belong to the program; any other object makes the program its own.
    """

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, _ARRAYS) or type(leaf) is float:
            array = jnp.asarray(leaf)
            return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array
        return leaf if leaf is None or isinstance(leaf, _CONSTANTS) else Opaque(leaf)

    return jax.tree.map(convert, tree)


@dataclass
class CompileTime:
    """Seconds spent compiling."""

    seconds: float = 0.0


_clock: ContextVar[CompileTime | None] = ContextVar("compile time", default=None)


@contextmanager
def counting_compilation() -> Iterator[CompileTime]:
    """Count the seconds that `run_compiled` spends compiling inside the block."""
    counted = CompileTime()
    token = _clock.set(counted)
    try:
        yield counted
    finally:
        _clock.reset(token)


def run_compiled(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return function(*arguments), compiled once for each structure, shape and dtype of the arguments.

    Examples:
        >>> import numpy as np
        >>> float(run_compiled(lambda x, power: (x**power).sum(), np.float32([1.0, 2.0]), 2))
        5.0
    """
    leaves, structure = jax.tree.flatten(arguments)
    arrays = [leaf for leaf in leaves if isinstance(leaf, _ARRAYS)]
    shapes = tuple((leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)) for leaf in arrays)
    # the type beside the value, since 1 == 1.0 == True
    constants = tuple(None if isinstance(leaf, _ARRAYS) else (type(leaf), leaf) for leaf in leaves)
    return _program(function, structure, constants, shapes, jax.config.jax_enable_x64)(arrays)  # type: ignore[attr-defined]


@lru_cache(maxsize=KEPT)
def _program(function: Callable[..., Any], structure: Any, constants: Any, shapes: Any, wide: bool) -> Any:
    del wide  # a part of the key: the same shapes mean another program in another mode

    def flat(arrays: list[Any]) -> Any:
        remaining = iter(arrays)
        leaves = [next(remaining) if constant is None else _plain(constant[1]) for constant in constants]
        return function(*jax.tree.unflatten(structure, leaves))

    specimens = [jax.ShapeDtypeStruct(shape, dtype, weak_type=weak) for shape, dtype, weak in shapes]
    began = time.perf_counter()
    program = jax.jit(flat).lower(specimens).compile()
    counted = _clock.get()
    if counted is not None:
        counted.seconds += time.perf_counter() - began
    return program


def _plain(constant: Any) -> Any:
    return constant.value if isinstance(constant, Opaque) else constant
