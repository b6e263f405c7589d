"""What an inspection found: a report for each pair, and the pairs that could not be read."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lindyn.support import checks

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class PairReport:
    """One pair A = s W2 W1 (LoRA: ΔW = s·BA).

    Attributes:
        name: of the adapted module, or of both factors.
        shape: (d_out, d_in).
        rank: r, the hidden width.
        scale: s.
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
        start_threshold: τ measured at the start, or None if that is not known.
        share_outside_rows: share of ‖ΔW‖_F² outside the rows of W1(0), or None.
        imbalance_drift: relative change of W1W1ᵀ − W2ᵀW2 since the start, or None.
        notes: what the theory does not cover here.
    """

    name: str
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
    start_threshold: float | None = None
    share_outside_rows: float | None = None
    imbalance_drift: float | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists, fit for JSON."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}


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
        pairs: reports, in the source's order.
        failures: pairs that could not be inspected.
        seconds: how long it took.
    """

    source: str
    pairs: tuple[PairReport, ...]
    failures: tuple[PairFailure, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    def __repr__(self) -> str:
        """One line: how many pairs, modes and active modes."""
        modes = sum(p.singular_values.size for p in self.pairs)
        active = [p.active_modes for p in self.pairs if p.active_modes is not None]
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"Inspection({self.source}: {len(self.pairs)} pairs, {modes} modes, {sum(active)} active{failed})"

    def __getitem__(self, name: str) -> PairReport:
        """Return the report of a pair by its name."""
        by_name = {p.name: p for p in self.pairs}
        return by_name[checks.choice("name", name, list(by_name))]

    @property
    def explanation(self) -> str | None:
        """Return why updates lie inside or outside the rows of the start, by the thresholds; None without a start."""
        known = [p for p in self.pairs if p.share_outside_rows is not None and p.start_threshold is not None]
        if not known:
            return None
        share = float(np.median([p.share_outside_rows for p in known if p.share_outside_rows is not None]))
        ratios = [p.singular_values[0] / p.start_threshold if p.start_threshold else math.inf for p in known]
        above = float(np.median(ratios))
        text = (
            f"{share:.1%} of ‖ΔW‖_F² lies outside the rows that the first factor (LoRA's A) started with (median); "
            "the largest singular value is "
        )
        if math.isinf(above):
            return text + "above a threshold of zero: both factors learn."
        text += f"{above:.3g} times the threshold of the start: "
        if above > 1:
            return text + "active, so that factor has turned towards what it learned."
        return text + "lazy, so the second factor (B) has learned on those rows."

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and sentences, fit for JSON."""
        return {
            "source": self.source,
            "seconds": self.seconds,
            "explanation": self.explanation,
            "pairs": [p.to_dict() for p in self.pairs],
            "failures": [vars(f) for f in self.failures],
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
        """Return one row for each mode, with its pair's numbers repeated."""
        shared = (
            "rank", "scale", "law", "recognised", "nominal_threshold", "expected_threshold", "active_modes",
            "stable_rank", "effective_rank", "share_outside_rows", "imbalance_drift",
        )  # fmt: skip
        return [
            {
                "pair": p.name,
                "mode": k,
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
        """Return the rows of `to_rows` as CSV text."""
        rows, text = self.to_rows(), io.StringIO()
        if rows:
            writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return text.getvalue()

    def to_frame(self) -> pandas.DataFrame:
        """Return the rows of `to_rows` as a table."""
        import pandas as pd

        return pd.DataFrame(self.to_rows())

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw singular values against thresholds, pair by pair; see `lindyn.plots.pair_modes`."""
        from lindyn.plots import pair_modes

        return pair_modes(self, ax=ax)
