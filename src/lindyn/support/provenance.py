"""The record of a result: what was run, how, why so, and how it ended. One frozen value, whatever computed it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from lindyn._version import __version__


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What was run and how; the `info` of every trajectory.

    Args:
        dynamics: what moved, such as "network of width 1,000".
        method: how its motion was computed.
        why: why this method, and what is exact about it.
        law: how the start was made.
        task: name of the task.
        shape: (d_out, d_in).
        threshold: τ at the start.
        dtype: working precision.
        state_bytes: bytes of the state that the method holds.
        learning_rate: η, or None for a motion without steps.
        stability_bound: learning rate from which descent diverges, or None where it is not known.
        weight_decay: μ.
        clock: factor from η·step to flow time.
        rtol: relative tolerance of an adaptive integration.
        atol: absolute tolerance of an adaptive integration.
        reduction_error: largest change of A, relative to its size, that one generation more of reachable directions
            makes; None where nothing is cut off.
        notes: sentences that a reader of the result needs.
        sources: keys of `lindyn.cite`.
        status: "completed", or a sentence on what ended the run and where.
        seconds_compile: seconds spent compiling.
        seconds_run: seconds spent computing.
        lindyn_version: version of this library.
        jax_version: version of JAX, or None for a result that did not need it.

    Examples:
        >>> info = Provenance(
        ...     dynamics="mixed dynamics", method="closed form", why="as asked", law="start of zeros",
        ...     task="SpikedMatrix", shape=(2, 3), threshold=1.0, dtype="float64", state_bytes=48,
        ... )
        >>> info.threshold, info.status, Provenance.from_dict(info.as_dict()) == info
        (1.0, 'completed', True)
    """

    dynamics: str
    method: str
    why: str
    law: str
    task: str
    shape: tuple[int, ...]
    threshold: float
    dtype: str
    state_bytes: int
    learning_rate: float | None = None
    stability_bound: float | None = None
    weight_decay: float = 0.0
    clock: float = 1.0
    rtol: float | None = None
    atol: float | None = None
    reduction_error: float | None = None
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ("tu2024mixed",)
    status: str = "completed"
    seconds_compile: float = 0.0
    seconds_run: float = 0.0
    lindyn_version: str = __version__
    jax_version: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists, fit for JSON; NumPy's numbers become Python's."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the record from `as_dict`.

        Raises:
            ValueError: a field is missing, unknown or of another type; the message names it.
        """
        known = {f.name: str(f.type) for f in fields(cls)}
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise ValueError(f"its record has no field {unknown[0]!r}")
        values: dict[str, Any] = {}
        for name, value in data.items():
            endless = known[name].startswith("float") and value in ("inf", "-inf", "nan")
            values[name] = float(value) if endless else tuple(value) if isinstance(value, list) else value
            if not _fits(values[name], known[name]):
                raise ValueError(f"its record has {value!r:.60} for {name!r}, which is of type {known[name]}")
        missing = [f.name for f in fields(cls) if f.name not in data and f.name in _REQUIRED]
        if missing:
            raise ValueError(f"its record lacks {missing[0]!r}")
        return cls(**values)


_REQUIRED = ("dynamics", "method", "why", "law", "task", "shape", "threshold", "dtype", "state_bytes")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    number = value.item() if hasattr(value, "item") else value
    # JSON has no infinity: a bound that is infinite is written as the word that `float` reads
    return str(number) if isinstance(number, float) and not math.isfinite(number) else number


def _fits(value: Any, kind: str) -> bool:
    """Whether a value read from JSON is of a field's type, as it is written in the class."""
    if value is None:
        return kind.endswith("| None")
    if kind.startswith("tuple"):
        inside = int if "int" in kind else str
        return isinstance(value, tuple) and all(isinstance(v, inside) and not isinstance(v, bool) for v in value)
    if kind.startswith("str"):
        return isinstance(value, str)
    return isinstance(value, int | float) and not isinstance(value, bool)
