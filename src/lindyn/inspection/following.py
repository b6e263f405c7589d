"""Did training follow? Singular values that were predicted for a pair of factors against those that were recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lindyn.inspection.records import require_record
from lindyn.support import checks

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from lindyn.simulation.trajectory import Trajectory

NEAR = 0.02  # of s₁: what first order in the learning rate leaves at a tenth of the stability bound (2.7)
# drift of the imbalance above which no run of small SGD steps is at work: those were seen at 0.001 to 0.01
_CONSERVED = 0.05


@dataclass(frozen=True, eq=False)
class Following:
    """A prediction beside what training did; made by `lindyn.compare(prediction, tracker)`.

    Attributes:
        pair: name of the tracked pair.
        steps: steps of the records that the prediction covers.
        predicted: singular values there, shape (records, modes).
        measured: those that were recorded.
        tolerance: largest difference, in units of the largest predicted singular value, that counts as followed.
        optimizer: class name of the optimiser, None if the tracker does not know it.
        drift: drift of the imbalance at the last record.
        turn: ‖W − W(0)‖/‖W(0)‖ of the factor that started larger, at each record.
        adam_clock: Adam's clock x at each record, NaN where no learning rates were given.
        share_outside_rows: share of the update outside row(W1(0)) at each record.
    """

    pair: str
    steps: Float[np.ndarray, " records"]
    predicted: Float[np.ndarray, "records modes"] = field(repr=False)
    measured: Float[np.ndarray, "records modes"] = field(repr=False)
    tolerance: float
    optimizer: str | None
    drift: float
    turn: Float[np.ndarray, " records"] = field(repr=False)
    adam_clock: Float[np.ndarray, " records"] = field(repr=False)
    share_outside_rows: Float[np.ndarray, " records"] = field(repr=False)

    @property
    def deviation(self) -> float:
        """Largest difference of a singular value at any record, over the largest predicted one; NaN is infinite."""
        gap = np.nan_to_num(np.abs(self.measured - self.predicted), nan=np.inf)
        return float(gap.max() / self.predicted.max()) if self.predicted.max() > 0 else float(gap.max())

    @property
    def inside_the_law(self) -> bool:
        """Whether training conserves the imbalance, on which the prediction rests: SGD, and a drift as small as its."""
        named = self.optimizer is None or self.optimizer.lower() == "sgd"
        return named and not self.drift > _CONSERVED

    @property
    def followed(self) -> bool:
        """Whether training is inside the law and stayed within the tolerance."""
        return self.inside_the_law and self.deviation <= self.tolerance

    @property
    def verdict(self) -> str:
        """The answer in a sentence or two, with its numbers."""
        gap = np.nan_to_num(np.abs(self.measured - self.predicted), nan=np.inf)
        record, mode = np.unravel_index(int(np.argmax(gap)), gap.shape)
        at = f"at step {self.steps[record]:.0f} (mode {mode + 1})"
        if self.followed:
            return f"Training followed: no singular value departs by more than {self.deviation:.3g} of s₁, {at}."
        if self.inside_the_law:
            return (
                f"Training did not follow: a singular value departs by {self.deviation:.3g} of s₁ {at}, and "
                f"{self.tolerance:g} is allowed; the imbalance has drifted by {self.drift:.2%}."
            )
        who = f"{self.optimizer} does not conserve" if self.optimizer else "training has not conserved"
        text = (
            f"Outside the law: {who} W1W1ᵀ − W2ᵀW2, which has drifted by {self.drift:.1%}, and on which the prediction "
            f"rests; the singular values depart by {self.deviation:.3g} of s₁ {at}."
        )
        return f"{text} {self.turned}" if self.turned else text

    @property
    def turned(self) -> str:
        """How far the random factor has turned, against Adam's clock where that is known; "" if nothing is."""
        turn, share, x = self.turn[-1], self.share_outside_rows[-1], self.adam_clock[-1]
        if np.isnan(turn):
            return ""
        text = f"The random factor has turned by {turn:.0%}"
        text += f", {share:.0%} of the update lies outside its rows" if np.isfinite(share) else ""
        clock = f"; Adam's clock stands at x = {x:.2g}, which bounds the turn (2.10)" if np.isfinite(x) else ""
        return f"{text}{clock}."

    def __str__(self) -> str:
        """The pair and the verdict."""
        return f"{self.pair}: {self.verdict}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and the verdict, fit for JSON."""
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}
        return {**plain, "deviation": self.deviation, "followed": self.followed, "verdict": self.verdict}

    def plot(self) -> Figure:
        """Draw prediction and training on one axis: see `lindyn.plots.followed`."""
        from lindyn.plots.agreement import followed

        return followed(self.steps, self.predicted, self.measured, title=self.pair, verdict=self.verdict)


def follow(
    prediction: Trajectory, dataset: xarray.Dataset, *, pair: str | None = None, tolerance: float = NEAR
) -> Following:
    """Compare the singular values that were predicted with those that were recorded, at the records' steps.

    Args:
        prediction: from `lindyn.predict_factors`, or any trajectory with steps and "singular_values".
        dataset: from `RegimeTracker.dataset` or `load_tracking`.
        pair: which pair; may be left out where there is only one.
        tolerance: largest difference that counts as followed, in units of the largest predicted singular value.

    Returns:
        What was predicted, what was recorded, and the verdict. Between recorded steps of the prediction its values are
        interpolated linearly.

    Raises:
        InvalidArgument: an unknown pair, or several and none named; another number of modes; no step in common.

    References:
        theory (2.7), (2.10), (3.4).
    """
    if not isinstance(getattr(prediction, "data", None), dict) or "singular_values" not in prediction.data:
        what = "be a trajectory with singular values, as from predict_factors"
        raise checks.InvalidArgument("prediction", what, f"it is {checks.shown(prediction)}")
    require_record(dataset)
    known = [str(name) for name in dataset["pair"].values]
    if pair is None and len(known) > 1:
        raise checks.InvalidArgument("pair", "name one of the tracked pairs", f"there are {len(known)}: {known[0]} …")
    name = known[0] if pair is None else checks.choice("pair", pair, known)
    row = dataset.isel(pair=known.index(name))
    steps, predicted = row["step"].values.astype(float), prediction["singular_values"]
    covered = (steps >= prediction.step[0]) & (steps <= prediction.step[-1])
    if not covered.any():
        raise checks.InvalidArgument(
            "prediction", "cover some recorded step", f"it has steps {prediction.step[0]:g} … {prediction.step[-1]:g}"
        )
    measured = row["singular_values"].transpose("step", "mode").values[covered]
    count = min(int(row["d_out"]), int(row["d_in"]), int(row["width"]))
    if predicted.shape[1] < count:
        raise checks.InvalidArgument(
            "prediction", f"have the {count} modes of {name}", f"it has {predicted.shape[1]}", "predict this pair"
        )
    inside = [np.interp(steps[covered], prediction.step, column) for column in predicted.T[:count]]
    info = json.loads(dataset.attrs.get("lindyn", "{}"))
    return Following(
        pair=name,
        steps=steps[covered],
        predicted=np.stack(inside, axis=1),
        measured=measured[:, :count],
        tolerance=checks.number("tolerance", tolerance, above=0),
        optimizer=info.get("optimizer"),
        drift=float(row["imbalance_drift"].values[covered][-1]),
        **{key: row[key].values[covered] for key in ("turn", "adam_clock", "share_outside_rows")},
    )
