"""Checks of arguments: every refusal is one sentence that names the argument, its value and the remedy."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn.support.bounds import LARGEST_SIDE
from lindyn.support.errors import InvalidArgument
from lindyn.support.precision import result_dtype

if TYPE_CHECKING:
    from jaxtyping import Float


def one_line(error: Exception) -> str:
    """Return an error's message as the end of a sentence: its first line, without a full stop."""
    return str(error).strip().partition("\n")[0].rstrip(".")


def shown(value: Any, most: int = 60) -> str:
    """Return a value's text for a sentence, on one line and cut short: what a file holds may be millions of digits.

    Examples:
        >>> shown("a" * 100, most=20), shown(3), shown(np.ones((2, 3)))
        ("'aaaaaaaaaaaaaa…", '3', 'of type ndarray and shape (2, 3)')
    """
    shape = getattr(value, "shape", ())
    if isinstance(shape, tuple) and shape:
        return f"of type {type(value).__name__} and shape {tuple(shape)}"
    try:
        text = " ".join(repr(value).split())
    except (ValueError, RecursionError):  # Python refuses to print integers of more than 4,300 digits
        return f"a {type(value).__name__} too large to print"
    return text if len(text) <= most else text[: most - 5] + "…"


def array(
    name: str,
    value: Any,
    ndim: int,
    *,
    dtype: Any = None,
    shape: tuple[int | None, ...] | None = None,
    finite: bool = True,
) -> Float[np.ndarray, "..."]:
    """Return `value` as a finite, non-empty floating-point NumPy array of `ndim` dimensions.

    Accepts numbers in whatever NumPy can convert, and PyTorch tensors that require gradients. float32 stays float32;
    half precision becomes float32; everything else becomes float64. Masked entries are refused: what an array hides
    is not to be learned.
    """
    out = numbers(name, value)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
        out = out.astype(dtype or result_dtype(out), copy=False)
    if out.ndim != ndim or out.size == 0:
        raise InvalidArgument(name, f"be a non-empty {ndim}-dimensional array", f"its shape is {out.shape}")
    if shape is not None and any(want is not None and want != got for want, got in zip(shape, out.shape, strict=True)):
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + (",)" if len(shape) == 1 else ")")
        raise InvalidArgument(name, f"have shape {wanted}", f"its shape is {out.shape}")
    if finite and not np.all(np.isfinite(out)):
        count = int(np.size(out) - np.count_nonzero(np.isfinite(out)))
        raise InvalidArgument(
            name,
            "contain finite numbers only",
            f"{count} of its {out.size} entries are NaN or infinite",
            "remove or replace them",
        )
    return out


def _is_masked(value: Any) -> bool:
    """Whether masked arrays are in use at all, and this is one: to load `numpy.ma` costs as much as half of NumPy."""
    return "numpy.ma" in sys.modules and np.ma.isMaskedArray(value)


def numbers(name: str, value: Any) -> np.ndarray:
    """Return `value` as an array of booleans, integers or real floats, or refuse it by what it holds."""
    if _is_masked(value):
        hidden = int(np.ma.count_masked(value))
        if hidden:
            raise InvalidArgument(
                name,
                "show all its entries",
                f"{hidden} of its {value.size} are masked",
                "fill them, or make a `Completion` task of the others",
            )
        value = value.data
    try:
        if hasattr(value, "detach"):  # a PyTorch tensor; NumPy has no bfloat16
            value = value.detach().cpu()
            value = value.float() if "bfloat16" in str(value.dtype) else value
        out = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        raise InvalidArgument(
            name, "be an array of real numbers", f"it is {type(value).__name__}: {one_line(error)}"
        ) from error
    if out.dtype.kind not in "biuf" and out.dtype.name != "bfloat16":  # JAX's is a type of its own
        kinds = {"c": "complex numbers", "O": "Python objects", "U": "text", "S": "text", "M": "dates"}
        held = kinds.get(out.dtype.kind, f"entries of type {out.dtype}")
        raise InvalidArgument(name, "be an array of real numbers", f"it holds {held}")
    return out


def squarable(name: str, data: np.ndarray) -> np.ndarray:
    """Return data whose sum of squares fits its precision, or refuse it: costs are quadratic.

    Examples:
        >>> squarable("target", np.full((2, 2), 1e30, np.float32))
        Traceback (most recent call last):
            ...
        lindyn.support.errors.InvalidArgument: Argument `target` must have a sum of squares below 3e+38, the largest ...
    """
    most = float(np.finfo(data.dtype).max)
    largest = float(np.abs(data).max())
    if not largest <= 0.5 * math.sqrt(most / data.size):
        raise InvalidArgument(
            name,
            f"have a sum of squares below {most:.0e}, the largest {data.dtype} number",
            f"its largest entry is {largest:.3g}",
            "use other units",
        )
    return data


def number_in(name: str, text: str, **bounds: Any) -> float:
    """Return the number that a text holds, as `number` does.

    Examples:
        >>> number_in("noise", "0.5", above=0)
        0.5
    """
    try:
        return number(name, float(text), **bounds)
    except ValueError as error:
        raise (
            error
            if isinstance(error, InvalidArgument)
            else InvalidArgument(name, "be a number", f"it is {shown(text)}")
        ) from None


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    remedy: str = "",
) -> float:
    """Return `value` as a finite float within bounds; text, booleans, masked values and arrays are refused."""
    try:
        if isinstance(value, bool | np.bool_ | str | bytes) or _is_masked(value) or np.ndim(value) > 0:
            raise TypeError("not a single number")
        out = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument(name, "be a number", f"it is {shown(value)}", remedy) from error
    if not math.isfinite(out):
        raise InvalidArgument(name, "be finite", f"it is {out}", remedy)
    if above is not None and not out > above:
        raise InvalidArgument(name, f"be greater than {above:g}", f"it is {out:g}", remedy)
    if at_least is not None and not out >= at_least:
        raise InvalidArgument(name, f"be at least {at_least:g}", f"it is {out:g}", remedy)
    if at_most is not None and not out <= at_most:
        raise InvalidArgument(name, f"be at most {at_most:g}", f"it is {out:g}", remedy)
    return out


def integer(name: str, value: Any, *, at_least: int | None = None, at_most: int | None = None, remedy: str = "") -> int:
    """Return `value` as an int within bounds; 2.5 and "3" are refused, 1e12 and NumPy integers accepted."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating) or value % 1 != 0:
        raise InvalidArgument(name, "be a whole number", f"it is {shown(value)}", remedy)
    out = int(value)
    if at_least is not None and out < at_least:
        raise InvalidArgument(name, f"be at least {at_least}", f"it is {shown(out)}", remedy)
    if at_most is not None and out > at_most:
        raise InvalidArgument(name, f"be at most {at_most}", f"it is {shown(out)}", remedy)
    return out


def exactly_one(name: str, value: Any, other: str, other_value: Any, remedy: str = "") -> None:
    """Refuse unless exactly one of two arguments is given (is not None)."""
    if value is None and other_value is None:
        raise InvalidArgument(name, f"be given, or `{other}`", "neither is", remedy)
    if value is not None and other_value is not None:
        raise InvalidArgument(name, f"be given instead of `{other}`", "both are given", remedy)


def flag(name: str, value: Any, *, remedy: str = "") -> bool:
    """Return True or False; 1, "false" and arrays are refused, whose truth is not what their writer meant."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidArgument(name, "be True or False", f"it is {shown(value)}", remedy)
    return bool(value)


def path(name: str, value: Any) -> Path:
    """Return the path that a text or a Path names."""
    try:
        found = Path(value)
    except TypeError:
        raise InvalidArgument(name, "be a path", f"it is {shown(value)}") from None
    if not found.name or "\0" in str(found):
        raise InvalidArgument(name, "name a file or a folder", f"it is {shown(value)}")
    return found


def instance(name: str, value: Any, kind: type | tuple[type, ...], what: str, remedy: str = "") -> Any:
    """Return an object of a kind, "a Trajectory", or refuse it."""
    if not isinstance(value, kind):
        raise InvalidArgument(name, f"be {what}", f"it is {shown(value)}", remedy)
    return value


def answering(name: str, value: Any, method: str, what: str) -> Any:
    """Return an object that has a method, as "a task" has, or refuse it."""
    if isinstance(value, type) or not callable(getattr(value, method, None)):
        raise InvalidArgument(name, f"be {what}", f"it is {shown(value)}")
    return value


def text(name: str, value: Any) -> str:
    """Return a text."""
    return str(instance(name, value, str, "a text"))


def listed(name: str, value: Any, what: str = "a list") -> list[Any]:
    """Return the entries of a list, a tuple or a vector, whatever they are; a text is not a list."""
    if not isinstance(value, list | tuple | range) and getattr(value, "ndim", None) != 1:
        raise InvalidArgument(name, f"be {what}", f"it is {shown(value)}")
    return list(value)


def choice(name: str, value: Any, options: Sequence[str]) -> str:
    """Return `value` if it is one of `options`."""
    if not isinstance(value, str) or value not in options:
        raise InvalidArgument(name, f"be one of {', '.join(map(repr, options))}", f"it is {shown(value)}")
    return str(value)


def matrix_shape(name: str, value: Any) -> tuple[int, int]:
    """Return a matrix shape (d_out, d_in); one integer means square."""
    if isinstance(value, int | np.integer | float):
        side = integer(name, value, at_least=1, at_most=LARGEST_SIDE)
        return side, side
    try:
        rows, columns = value
    except (TypeError, ValueError) as error:
        raise InvalidArgument(name, "be one size or a pair (d_out, d_in)", f"it is {shown(value)}") from error
    return tuple(  # type: ignore[return-value]
        integer(f"{name}[{k}]", side, at_least=1, at_most=LARGEST_SIDE) for k, side in enumerate((rows, columns))
    )


def times(name: str, value: Any) -> Float[np.ndarray, " times"]:
    """Return non-negative, non-decreasing times as a float64 vector; a scalar becomes a vector of one."""
    out = array(name, np.atleast_1d(numbers(name, value)), 1, dtype=np.float64)
    if out[0] < 0:
        raise InvalidArgument(name, "be non-negative", f"the first is {out[0]:g}", "training starts at time 0")
    falls = np.flatnonzero(np.diff(out) < 0)
    if falls.size:
        k = int(falls[0])
        raise InvalidArgument(
            name,
            "be sorted in increasing order",
            f"entry {k + 1} ({out[k + 1]:g}) is below entry {k} ({out[k]:g})",
            "sort them",
        )
    return out


def precision(name: str, dtype: Any) -> np.dtype:
    """Return a supported dtype: float32 or float64."""
    try:
        chosen = np.dtype(dtype if isinstance(dtype, str | type | np.dtype) else object)
    except TypeError:
        chosen = np.dtype(object)
    if chosen not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise InvalidArgument(name, "be float32 or float64", f"it is {shown(dtype)}")
    return chosen
