"""What an inspection found: a report for each pair, and the pairs that could not be read."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lindyn.inspection.differences import Difference
from lindyn.inspection.ranks import RULE
from lindyn.inspection.recognition import START_LAWS
from lindyn.prediction.adam import AdamClock, adam_clock
from lindyn.support import checks

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes


_REGIMES = {
    "active": "active",
    "mixed": "mixed (some modes active, some lazy)",
    "lazy": "lazy (no mode active)",
    "untrained": "untrained (ΔW = 0)",
}
_ORDER = ("q", "k", "v", "qkv", "o", "gate", "up", "gate+up", "down", "router", "embedding", "head")
_TOLD = 1 / 16  # r/d up to which a fresh start is recognised by its imbalance
_TURNED, _HELD = 0.2, 0.05  # shares outside the rows of the start that are called "turned" and "hardly turned"


@dataclass(frozen=True, eq=False)
class PairReport:
    """One pair A = s W2 W1 (LoRA: ΔW = s·BA).

    Attributes:
        name: of the adapted module, or of both factors.
        kind: of the module: q, k, v, o, gate, up, down, …
        shape: (d_out, d_in).
        rank: r, the hidden width.
        scale: s; negative for a subtracted adapter, which is measured at |s|.
        law: start that the config names, or None.
        recognised: start whose imbalance the pair still has, or None.
        nominal_threshold: τ, measured from the imbalance (2.7).
        expected_threshold: τ of a fresh start by `law`, or None.
        common_thresholds: τ of the common starts at this shape, rank and scale.
        imbalance: eigenvalues of (W1W1ᵀ − W2ᵀW2)·s/2, largest first.
        singular_values: m_k of A, largest first.
        thresholds: τ_k of each mode (2.9).
        activities: a_k = m_k/√(m_k² + τ_k²).
        active_modes: how many modes have m_k > τ_k; None where no label is due (2.9).
        stable_rank: ‖A‖_F²/‖A‖_op².
        effective_rank: exp of the entropy of the singular values.
        suggested_rank: modes worth keeping, by the rule of `lindyn.inspection.ranks`; None for an update of zero.
        start_threshold: τ measured at the start, or None if that is not known.
        share_outside_rows: share of ‖ΔW‖_F² outside the rows of W1(0), or None.
        imbalance_drift: relative change of W1W1ᵀ − W2ᵀW2 since the start, or None.
        start_deviation: σ of the entries of the random factor at the start (LoRA: σ_A), from the start or from `law`,
            or None; it sets Adam's clock (2.10).
        change: ΔW − ΔW(0) since the start, or None.
        against: ΔW − ΔW' of the source compared with, or None.
        left: singular vectors u_k in columns, (d_out, k), where they were asked for.
        right: singular vectors v_k in columns, (d_in, k), likewise.
        notes: what the theory does not cover here.
    """

    name: str
    kind: str
    shape: tuple[int, int]
    rank: int
    scale: float
    law: str | None
    recognised: str | None
    nominal_threshold: float
    expected_threshold: float | None
    common_thresholds: dict[str, float]
    imbalance: Float[np.ndarray, " r"]
    singular_values: Float[np.ndarray, " k"]
    thresholds: Float[np.ndarray, " k"]
    activities: Float[np.ndarray, " k"]
    active_modes: int | None
    stable_rank: float
    effective_rank: float
    suggested_rank: int | None
    start_threshold: float | None = None
    share_outside_rows: float | None = None
    imbalance_drift: float | None = None
    start_deviation: float | None = None
    change: Difference | None = None
    against: Difference | None = None
    left: Float[np.ndarray, "d_out k"] | None = field(default=None, repr=False)
    right: Float[np.ndarray, "d_in k"] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def regime(self) -> str:
        """ "untrained" (ΔW = 0), "lazy" (no mode above its threshold), "active" (all that are not zero), or "mixed".

        "no label" where none is due (2.9).
        """
        learned = int(np.sum(self.singular_values > 0))
        if self.active_modes is None:
            return "no label"
        if not learned:
            return "untrained"
        return "lazy" if not self.active_modes else "active" if self.active_modes == learned else "mixed"

    def to_dict(self, *, vectors: bool = True) -> dict[str, Any]:
        """Return plain numbers and lists, fit for JSON; singular vectors where recorded and asked for."""
        plain: dict[str, Any] = {}
        for name, value in vars(self).items():
            if name in ("left", "right") and (value is None or not vectors):
                continue
            plain[name] = value.tolist() if isinstance(value, np.ndarray) else value
            if isinstance(value, Difference):
                plain[name] = value.to_dict()
        return {**plain, "regime": self.regime}


@dataclass(frozen=True)
class KindSummary:
    """Pairs of one kind of module in one row.

    Attributes:
        kind: q, k, v, o, gate, up, down, …
        pairs: how many.
        modes: modes of the pairs that get labels.
        active_modes: those above their own threshold.
        largest: median of m₁.
        threshold: median of τ₁, the threshold of that mode.
        suggested_rank: the largest of the pairs, None if nothing was learned.
        share_outside_rows: median over the pairs, None without a start.
        imbalance_drift: median, likewise.
    """

    kind: str
    pairs: int
    modes: int
    active_modes: int
    largest: float
    threshold: float
    suggested_rank: int | None
    share_outside_rows: float | None
    imbalance_drift: float | None

    @staticmethod
    def of(kind: str, pairs: list[PairReport]) -> KindSummary:
        """Summarise the pairs of one kind."""
        labelled = [p for p in pairs if p.active_modes is not None]
        return KindSummary(
            kind=kind,
            pairs=len(pairs),
            modes=sum(p.singular_values.size for p in labelled),
            active_modes=sum(p.active_modes or 0 for p in labelled),
            largest=float(np.median([p.singular_values[0] for p in pairs])),
            threshold=float(np.median([p.thresholds[0] for p in pairs])),
            suggested_rank=max((p.suggested_rank for p in pairs if p.suggested_rank is not None), default=None),
            share_outside_rows=_median(p.share_outside_rows for p in pairs),
            imbalance_drift=_median(p.imbalance_drift for p in pairs),
        )


def _median(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.median(known)) if known else None


@dataclass(frozen=True)
class PairFailure:
    """A pair that could not be inspected, and why, in a sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class Inspection:
    """All pairs of an adapter, checkpoint or module; made by `lindyn.inspect`.

    Attributes:
        source: what was inspected.
        layout: the layout of adapters that it is in, "checkpoint" or "live module".
        pairs: reports, in the source's order.
        failures: pairs that could not be inspected.
        unread: names of tensors that the layout does not know, and that no report speaks of.
        seconds: how long it took.
    """

    source: str
    layout: str
    pairs: tuple[PairReport, ...]
    failures: tuple[PairFailure, ...] = ()
    unread: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    def __repr__(self) -> str:
        """One line: how many pairs, modes and active modes."""
        modes = sum(p.singular_values.size for p in self.pairs)
        active = [p.active_modes for p in self.pairs if p.active_modes is not None]
        failed = f", {len(self.failures)} failed" if self.failures else ""
        counts = f"{len(self.pairs)} pairs, {modes} modes, {sum(active)} active{failed}"
        return f"Inspection({self.source}, {self.layout}: {counts})"

    def __getitem__(self, name: str) -> PairReport:
        """Return the report of a pair by its name."""
        by_name = {p.name: p for p in self.pairs}
        return by_name[checks.choice("name", name, list(by_name))]

    @property
    def verdict(self) -> str:
        """How many modes are above their own thresholds, in one sentence that counts as the table does."""
        labelled = [p for p in self.pairs if p.active_modes is not None]
        if not labelled:
            return "No pair gets a label."
        active, modes = sum(p.active_modes or 0 for p in labelled), sum(p.singular_values.size for p in labelled)
        counts = Counter(p.regime for p in labelled)
        kinds = ", ".join(f"{counts[regime]} {text}" for regime, text in _REGIMES.items() if counts[regime])
        return f"{active} of {modes} modes active in {len(labelled)} pairs, each beside its own threshold: {kinds}."

    def adam_clocks(self, learning_rate: float | Sequence[float], steps: int | None = None) -> dict[str, AdamClock]:
        """Return Adam's clock of every pair whose start is known: until when it must be lazy, when it can have turned.

        Args:
            learning_rate: η of Adam or AdamW, or one for each step.
            steps: number of steps at a constant rate.

        Raises:
            InvalidArgument: rates that cannot be used; no pair whose start is known.

        References:
            theory (2.10): a bound, no prediction of times.
        """
        known = {p.name: p.start_deviation for p in self.pairs if p.start_deviation is not None}
        if not known:
            raise checks.InvalidArgument(
                "learning_rate", "come with pairs whose start is known", "no config names one", "pass `start`"
            )
        return {name: adam_clock(deviation, learning_rate, steps) for name, deviation in known.items()}

    @property
    def explanation(self) -> str | None:
        """Where updates lie, inside or outside the rows of the start, beside the labels; None without a start."""
        known = [p for p in self.pairs if p.share_outside_rows is not None and p.active_modes is not None]
        drifts = [p.imbalance_drift for p in self.pairs if p.imbalance_drift is not None]
        parts = []
        for active, text in ((True, "at least one active mode"), (False, "no active mode, so lazy")):
            group = [p.share_outside_rows or 0.0 for p in known if bool(p.active_modes) == active]
            if group:
                share = float(np.median(group))
                parts.append(
                    f"{len(group)} of {len(known)} pairs have {text}: of their ‖ΔW‖_F², {share:.1%} (median) lies "
                    f"outside the rows that the first factor (LoRA's A) started with, {_turned(share)}."
                )
        if drifts:
            parts.append(_drift_in_words(drifts))
        return " ".join(parts) or None

    @property
    def lost_starts(self) -> str | None:
        """Say which pairs no longer have the imbalance of the start that their config names; None if all have it."""
        known = [p for p in self.pairs if p.law in START_LAWS and p.active_modes is not None]
        lost = [p for p in known if p.recognised is None and p.imbalance.any() and p.rank <= _TOLD * min(p.shape)]
        if not lost:
            return None
        return (
            f"{len(lost)} of {len(known)} pairs no longer have the imbalance of the start that the config names, as "
            "after training with Adam: τ describes them as they are, and is no law of their training."
        )

    def by_kind(self) -> list[KindSummary]:
        """Return one summary for each kind of module, q, k, v, o, gate, up, down first."""
        kinds: dict[str, list[PairReport]] = {}
        for p in self.pairs:
            kinds.setdefault(p.kind, []).append(p)
        order = {kind: i for i, kind in enumerate(_ORDER)}
        return [KindSummary.of(kind, kinds[kind]) for kind in sorted(kinds, key=lambda k: order.get(k, len(order)))]

    def ranked(self, by: str = "file") -> list[PairReport]:
        """Return the reports in an order: "file", "name", "m1", "activity", "energy", "rank", "outside" or "drift".

        All but the first two put the largest first, and pairs that do not have the number last.

        Raises:
            InvalidArgument: another order.
        """
        checks.choice("by", by, SORTINGS)
        if by == "file":
            return list(self.pairs)
        if by == "name":
            return sorted(self.pairs, key=lambda p: [int(w) if w.isdigit() else w for w in re.split(r"(\d+)", p.name)])
        return sorted(self.pairs, key=lambda p: -_NUMBERS[by](p))

    def to_dict(self, *, vectors: bool = True) -> dict[str, Any]:
        """Return plain numbers, lists and sentences, fit for JSON; without singular vectors if not `vectors`."""
        return {
            "source": self.source,
            "layout": self.layout,
            "seconds": self.seconds,
            "verdict": self.verdict,
            "explanation": self.explanation,
            "rule": RULE,
            "kinds": [vars(k) for k in self.by_kind()],
            "pairs": [p.to_dict(vectors=vectors) for p in self.pairs],
            "failures": [vars(f) for f in self.failures],
            "unread": list(self.unread),
        }

    def to_xarray(self) -> xarray.Dataset:
        """Return the numbers of all pairs over (pair, mode), modes counted from 1 and padded with NaN."""
        import xarray as xr

        most = max((p.singular_values.size for p in self.pairs), default=0)
        padded = {
            name: np.array([np.pad(getattr(p, name), (0, most - getattr(p, name).size), constant_values=np.nan)
                            for p in self.pairs]).reshape(len(self.pairs), most)
            for name in ("singular_values", "thresholds", "activities")
        }  # fmt: skip
        modes = {
            "singular_values": (padded["singular_values"], "singular value m_k of s·W2W1", "target"),
            "thresholds": (padded["thresholds"], "threshold τ_k of the mode", "target"),
            "activities": (padded["activities"], "activity m_k/√(m_k² + τ_k²): 0 lazy, 1 active", "1"),
            "active": (padded["singular_values"] > padded["thresholds"], "whether the mode is active", "1"),
        }
        expected = [np.nan if p.expected_threshold is None else p.expected_threshold for p in self.pairs]
        of_pairs: dict[str, tuple[Any, str, str]] = {
            "nominal_threshold": ([p.nominal_threshold for p in self.pairs], "threshold τ of the pair", "target"),
            "expected_threshold": (expected, "threshold of a fresh start", "target"),
            "labelled": ([p.active_modes is not None for p in self.pairs], "whether modes get a label", "1"),
            "stable_rank": ([p.stable_rank for p in self.pairs], "stable rank ‖A‖_F²/‖A‖_op²", "1"),
        }
        variables: dict[str, Any] = {
            k: (("pair", "mode"), v, {"long_name": text, "units": u}) for k, (v, text, u) in modes.items()
        }
        variables |= {k: (("pair",), v, {"long_name": text, "units": u}) for k, (v, text, u) in of_pairs.items()}
        coordinates = {"pair": [p.name for p in self.pairs], "mode": np.arange(1, most + 1)}
        return xr.Dataset(variables, coords=coordinates, attrs={"source": self.source})

    def to_rows(self) -> list[dict[str, Any]]:
        """Return one row for each mode, counted from 1, with its pair's numbers repeated."""
        shared = (
            "rank", "scale", "law", "recognised", "nominal_threshold", "expected_threshold", "active_modes",
            "stable_rank", "effective_rank", "suggested_rank", "regime", "share_outside_rows", "imbalance_drift",
        )  # fmt: skip
        return [
            {
                "pair": p.name,
                "kind": p.kind,
                "mode": k + 1,
                "active": None if p.active_modes is None else bool(p.singular_values[k] > p.thresholds[k]),
                "singular_value": float(p.singular_values[k]),
                "threshold": float(p.thresholds[k]),
                "activity": float(p.activities[k]),
                "d_out": p.shape[0],
                "d_in": p.shape[1],
                **{name: getattr(p, name) for name in shared},
            }
            for p in self.pairs
            for k in range(len(p.singular_values))
        ]

    def to_csv(self) -> str:
        """Return the rows of `to_rows` as CSV text; no name can act as a formula in a spreadsheet."""
        rows, text = self.to_rows(), io.StringIO()
        if rows:
            writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({k: _cell(v) for k, v in row.items()} for row in rows)
        return text.getvalue()

    def save_vectors(self, path: str | Path) -> None:
        """Write the singular vectors as .npz: arrays "NAME/left" (d_out, k) and "NAME/right" (d_in, k) of each pair.

        Raises:
            InvalidArgument: they were not kept; call `inspect` with `vectors=True`.
        """
        if any(p.left is None for p in self.pairs):
            raise checks.InvalidArgument("vectors", "be True in `inspect`", "the singular vectors were not kept")
        named = {f"{p.name}/{side}": getattr(p, side) for p in self.pairs for side in ("left", "right")}
        np.savez(checks.path("path", path), **named)

    def to_frame(self) -> pandas.DataFrame:
        """Return the rows of `to_rows` as a table."""
        import pandas as pd

        return pd.DataFrame(self.to_rows())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw singular values against thresholds, pair by pair; see `lindyn.plots.pair_modes`."""
        from lindyn.plots import pair_modes

        return pair_modes(self, ax=ax)


_NUMBERS: dict[str, Callable[[PairReport], float]] = {
    "m1": lambda p: float(p.singular_values[0]),
    "activity": lambda p: float(p.activities[0]) if p.active_modes is not None else -math.inf,
    "energy": lambda p: float(np.sum(p.singular_values**2)),
    "rank": lambda p: p.stable_rank,
    "outside": lambda p: -math.inf if p.share_outside_rows is None else p.share_outside_rows,
    "drift": lambda p: -math.inf if p.imbalance_drift is None else p.imbalance_drift,
}
SORTINGS = ("file", "name", *_NUMBERS)


def _turned(share: float) -> str:
    if share >= _TURNED:
        return "which has turned towards what it learned"
    return "which has hardly turned" if share < _HELD else "which has turned a little"


def _drift_in_words(drifts: list[float]) -> str:
    """What the drift of the imbalance means for the thresholds."""
    median, largest = float(np.median(drifts)), max(drifts)
    moved = f"The imbalance has moved by {median:.1%} (median; at most {largest:.1%}) since the start"
    if largest >= 1:
        return f"{moved}, by more than it was: τ describes the pairs as they are now, and is no law of their training."
    if largest >= 0.05:
        return f"{moved}, as under Adam: τ describes the pairs, but did not hold while they were trained."
    return f"{moved}: τ has held, as the theory of SGD has it."


def _cell(value: Any) -> Any:
    """A cell that a spreadsheet takes as text: names come from foreign files, and may begin like a formula."""
    return "'" + value if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
