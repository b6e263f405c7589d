"""Values: objects that are equal where their fields are, arrays compared entry by entry."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np


def _comparable(value: Any) -> Any:
    """Turn a field into something hashable that tells it apart: an array into its shape, dtype and bytes."""
    if isinstance(value, np.ndarray) or (hasattr(value, "__array__") and hasattr(value, "dtype")):
        array = np.asarray(value)
        return array.shape, array.dtype.str, array.tobytes()
    if isinstance(value, float) and math.isnan(value):
        return "not a number"  # NaN is not equal to itself, and an unknown number is the same unknown number
    if isinstance(value, tuple | list):
        return type(value).__name__, tuple(_comparable(item) for item in value)
    if isinstance(value, dict):
        return "dict", tuple((key, _comparable(item)) for key, item in value.items())
    return value


class Value:
    """Equality and hash of a dataclass by its type and fields; for classes made with `eq=False`.

    Examples:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, eq=False)
        ... class Point(Value):
        ...     place: np.ndarray
        >>> Point(np.ones(2)) == Point(np.ones(2)), Point(np.ones(2)) == Point(np.zeros(2))
        (True, False)
    """

    def _identity(self) -> tuple[Any, ...]:
        return type(self), *(_comparable(getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self._identity() == other._identity())

    def __hash__(self) -> int:
        return hash(self._identity())
