"""One formula for NumPy and JAX: which library a call computes in, and how it answers for arguments out of range.

A function that takes `xp, (a, b) = arrays(a, b)` and then uses `xp` alone gives NumPy for NumPy, without JAX being
loaded, and can be differentiated, vmapped and compiled under JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array

from lindyn.support import checks
from lindyn.support.bounds import SQUARED
from lindyn.support.errors import InvalidArgument


def _foreign(value: Any) -> bool:
    """Whether an array belongs to another library than NumPy, which computes with it."""
    return is_array_api_obj(value) and not is_numpy_array(value) and not isinstance(value, np.generic)


def arrays(*values: Any) -> tuple[Any, list[Any]]:
    """Return the library of the given arrays, and all of them as its arrays of one floating dtype.

    Lists, numbers and NumPy arrays become float64 NumPy arrays. One JAX array (or tracer) among them makes all of
    them JAX arrays, of the dtype that it has.

    Examples:
        >>> xp, (a, b) = arrays([1, 2], 0.5)
        >>> xp.__name__, a.dtype.name, b.shape
        ('numpy', 'float64', ())
    """
    foreign = [v for v in values if _foreign(v)]
    if not foreign:
        return np, [np.asarray(v, dtype=np.float64) for v in values]
    xp = array_namespace(*foreign)
    dtype = xp.result_type(*foreign)
    if not xp.isdtype(dtype, "real floating"):
        dtype = xp.asarray(1.0).dtype
    return xp, [xp.asarray(v, dtype=dtype) for v in values]


def quantities(**named: Any) -> tuple[Any, list[Any]]:
    """Return what `arrays` does, for arguments that a user named: refused unless real numbers that broadcast.

    Examples:
        >>> quantities(time=["soon"])
        Traceback (most recent call last):
            ...
        lindyn.support.errors.InvalidArgument: Argument `time` must be an array of real numbers, but it holds text.
    """
    plain = {name: value for name, value in named.items() if not _foreign(value)}
    checked = {name: checks.numbers(name, value) for name, value in plain.items()}
    shape: tuple[int, ...] = ()
    for name, value in named.items():
        own = np.shape(checked.get(name, value))
        try:
            shape = np.broadcast_shapes(shape, own)
        except ValueError:
            raise InvalidArgument(name, f"broadcast with the others, of shape {shape}", f"its shape is {own}") from None
    return arrays(*(checked.get(name, value) for name, value in named.items()))


def within(most: float = SQUARED, **named: Any) -> None:
    """Refuse quantities that are negative, or so large that their squares are no numbers."""
    for name, value in named.items():
        demand(name, value, value >= 0)
        reachable(most, **{name: value})


def reachable(most: float = SQUARED, **named: Any) -> None:
    """Refuse quantities, of either sign, so large that their squares are no numbers."""
    for name, value in named.items():
        demand(name, value, abs(value) <= most, f"be at most {most:g} in size")


def demand(name: str, value: Any, fine: Any, must: str = "be non-negative") -> None:
    """Refuse NumPy entries that are not `fine`; what JAX traces has no entries yet, and `or_nan` answers for it."""
    if isinstance(fine, np.ndarray | np.generic) and not np.all(fine):
        bad = np.broadcast_to(value, np.shape(fine))[~np.asarray(fine)]
        raise InvalidArgument(name, must, f"it holds {float(bad.flat[0]):g}")


def or_nan(xp: Any, fine: Any, value: Any) -> Any:
    """Return the value, NaN where it has no meaning: NumPy arguments were refused before, JAX cannot refuse."""
    return value if isinstance(fine, np.ndarray | np.generic) else xp.where(fine, value, xp.nan)


def by_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let NumPy divide by zero and overflow quietly inside a formula whose limits are meant."""
    return np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore")(function)
