"""A tracker of regimes: singular values of factor pairs against their thresholds, while a model is training."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lindyn.inspection.following import NEAR, Following, follow
from lindyn.inspection.modules import module_pairs, without
from lindyn.inspection.pairs import Factors, Pair, PairSpec, tied, with_column
from lindyn.inspection.records import OF_MODES, OF_PAIRS, RECORD, crossings, load_with_start, tracking_dataset
from lindyn.networks.live_layers import entry_deviation, numbers, share_memory, stored
from lindyn.networks.pair_modes import FactorModes, factor_modes, imbalance_drift, share_outside_rows
from lindyn.support import checks, storage
from lindyn.support.bounds import MOST_STEPS
from lindyn.support.linalg import numerical_rank
from lindyn.torch.rate_sums import RateSums

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("lindyn.torch needs PyTorch; install it with: pip install 'lindyn[torch]'.") from error

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure
    from rich.live import Live
    from rich.table import Table

    from lindyn.simulation.trajectory import Trajectory

_PAIR_FIELDS = ("d_out", "d_in", "width", "scale")


class TrackingWarning(UserWarning):
    """A pair could not be measured; its record is NaN, and training goes on."""


class RegimeTracker:
    """Records which modes of factor pairs are lazy and which active while a model trains, by any optimiser.

    One line in the loop, `tracker.step()` after each step of the optimiser. Every `every` steps, for each pair
    A = s W2 W1, from its thin factors alone (float64, on the CPU): singular values m_k, thresholds
    τ_k = ½√(g² − 4m²), activities m_k/√(m_k² + τ_k²), the drift of W1W1ᵀ − W2ᵀW2 since the start, which gradient
    flow conserves and Adam does not, the stable rank, how far the first factor has turned, ‖W1 − W1(0)‖/‖W1(0)‖, and
    the share of the update outside its rows. The start itself is the first record. Given the optimiser, also Adam's
    clock x = (sum of the learning rates)/σ_A (2.10).

    Pairs of a model are looked up again at every record: a parameter or a layer that was replaced is followed. Where
    it cannot be (the adapter was merged or removed, another rank), the tracker stops and says so.

    Args:
        pairs: a model that holds LoRA layers (PEFT, or of one's own) or two linear layers in a row; or name →
            (first, second), or (first, second, scale), each factor an `nn.Linear` or a parameter: first (r, d_in),
            second (d_out, r).
        every: steps between records.
        pair: names of factors in a model, "first=NAME,second=NAME", as for `lindyn.inspect`.
        scale: s, instead of the model's own (1 for plain layers).
        leave_out: names of pairs to leave out, or patterns such as ``"*.embed_tokens"``.
        optimizer: the optimiser that trains them; its learning rates are read at each step, schedules included.
        path: zarr folder for `save`.
        resume: go on with what is saved at `path`, if there is anything; the start stays that of the first run.
        live: show a table in the terminal, refreshed at each record, until `close`.

    Raises:
        InvalidArgument: no pairs, factors that do not chain or cannot be read (named, with the remedy to leave them
            out); a record at `path` without `resume`; on resuming, a record of other pairs, or one of which parts are
            damaged; from `step` and `record`, a pair that has gone.

    Warns:
        TrackingWarning: weights have become NaN or infinite, and the record holds NaN there; or parameters that were
            given one by one have not moved at all since the last record, as when the model trains others.

    References:
        theory (2.7), (2.9), (2.10).

    Examples:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Linear(6, 4, bias=False), torch.nn.Linear(4, 5, bias=False))
        >>> tracker = RegimeTracker(model, every=2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> for _ in range(4):
        ...     optimizer.zero_grad()
        ...     model(torch.eye(6)).square().sum().backward()
        ...     optimizer.step()
        ...     tracker.step()
        >>> tracker.dataset["singular_values"].sizes["step"], tracker.dataset["step"].values.tolist()
        (3, [0, 2, 4])
    """

    def __init__(
        self,
        pairs: nn.Module | Mapping[str, Any] | Sequence[Any],
        *,
        every: int = 10,
        pair: PairSpec | Sequence[PairSpec] | None = None,
        scale: float | None = None,
        leave_out: str | Sequence[str] = (),
        optimizer: Any = None,
        path: str | Path | None = None,
        resume: bool = False,
        live: bool = False,
    ):
        self.every = checks.integer("every", every, at_least=1)
        if scale is not None:
            scale = checks.number("scale", scale, above=0)
        found = _pairs_of(pairs, pair, scale)
        self._pairs = without(found, leave_out, lambda p: (p.name, p.module))
        if not self._pairs:
            raise checks.InvalidArgument("pairs", "hold at least one pair", "it is empty")
        self._follows = isinstance(pairs, nn.Module)
        self.path = None if path is None else checks.path("path", path)
        self._steps: list[int] = []
        self._records: list[dict[str, np.ndarray]] = []
        self._sums: list[np.ndarray] = []  # of learning rates, at each record
        self._faulty: set[str] = set()
        self._bases: dict[str, np.ndarray] = {}  # orthonormal, of the rows of W1(0)
        self._seen: dict[str, tuple[float, ...]] = {}
        self.seconds = 0.0
        self._live: Live | None = None
        self._wants_live = live
        self.count = 0
        self.stopped: str | None = None
        loaded, measured = _first_reading(self._pairs)
        sizes = ((*m.shape, m.width, m.scale) for m in measured.values())
        self._info: dict[str, dict[str, Any]] = {
            name: dict(zip(_PAIR_FIELDS, size, strict=True)) for name, size in zip(measured, sizes, strict=True)
        }
        self._modes = max(len(m.singular_values) for m in measured.values())
        self._optimizer_before: str | None = None  # of the run that is resumed
        self._rates = RateSums(len(self._pairs), optimizer, self._parameters)
        exists = self.path is not None and storage.standing(self.path).exists()
        if exists and not resume:
            raise checks.InvalidArgument(
                "path", "not hold a record", f"{self.path} does", "pass resume=True to go on with it, or another path"
            )
        if exists and self.path is not None:
            self._restore(self.path)
        else:
            self._starts = {name: (np.copy(f.first), np.copy(f.second)) for name, f in loaded.items()}
            self.record()

    def step(self, count: int | None = None) -> None:
        """Count a step of the optimiser, and record the pairs if it is time to.

        Args:
            count: number of steps made so far, if the caller counts them; the same number twice counts once.

        Raises:
            InvalidArgument: a count below the last one; see `seek`. A pair that has gone: said once, after which
                further steps are counted and not recorded.
        """
        before = self.count
        self.count = self.count + 1 if count is None else checks.integer(
            "count", count, at_least=self.count, at_most=MOST_STEPS, remedy="call seek() to go back"
        )  # fmt: skip
        self._rates.add(self.count - before)
        if self.stopped is None and self.count // self.every > self._steps[-1] // self.every:
            self.record()

    def watch(self, optimizer: Any) -> None:
        """Read learning rates from this optimiser from now on, for Adam's clock; the callbacks do it."""
        self._rates.watch(optimizer)

    def note_rates(self) -> None:
        """Keep the present learning rates for the next step, where a schedule moves on before the step is counted."""
        self._rates.note()

    @property
    def records(self) -> int:
        """Number of records made so far, the start included."""
        return len(self._records)

    def record(self) -> None:
        """Record all pairs now, under the present count of steps; a second record of one step replaces the first.

        Raises:
            InvalidArgument: a pair has gone, or has another shape; the tracker has then stopped.
        """
        begun = time.perf_counter()
        now: dict[str, np.ndarray] = {n: np.full((len(self._pairs), self._modes), np.nan) for n in OF_MODES}
        now |= {name: np.full(len(self._pairs), np.nan) for name in OF_PAIRS}
        with torch.no_grad():
            for i, pair in enumerate(self._pairs):
                try:
                    self._measure(i, pair, now)
                except checks.InvalidArgument as error:
                    self.stopped = f"The tracker has stopped at step {self.count}, at {pair.name}: {_said_of(error)}"
                    raise checks.InvalidArgument.sentence(self.stopped) from error
        if self._steps and self._steps[-1] == self.count:
            self._steps.pop()
            self._records.pop()
            self._sums.pop()
        self._steps.append(self.count)
        self._records.append(now)
        self._sums.append(self._rates.sums)
        self.seconds += time.perf_counter() - begun
        if self._wants_live:
            self._show()

    def _measure(self, i: int, pair: Pair, now: dict[str, np.ndarray]) -> None:
        first, second, scale, _ = pair.load()
        start = self._starts[pair.name]
        if (first.shape, second.shape) != (start[0].shape, start[1].shape):
            shapes = f"its factors have the shapes {first.shape} and {second.shape}"
            raise checks.InvalidArgument(
                "pairs", f"keep the shapes {start[0].shape} and {start[1].shape} of the start", shapes
            )
        try:
            modes = factor_modes(first, second, abs(scale))  # a subtracted adapter has s < 0
        except checks.InvalidArgument as error:
            self._warn(pair.name, f"is recorded as NaN: {error}")
            return
        k = len(modes.singular_values)
        for name in OF_MODES:
            now[name][i, :k] = getattr(modes, name)
        for name in ("nominal_threshold", "active_modes", "stable_rank"):
            now[name][i] = getattr(modes, name)
        now["imbalance_drift"][i] = imbalance_drift((first, second), start)
        now["share_outside_rows"][i] = self._share_outside(pair.name, first, second)
        larger = self._larger(pair.name)
        now["turn"][i] = np.linalg.norm((first, second)[larger] - start[larger]) / np.linalg.norm(start[larger])
        now["adam_clock"][i] = self._rates.sums[i] / entry_deviation(start[larger])
        if not self._follows:
            self._notice_what_stands_still(pair.name, first, second)

    def _share_outside(self, name: str, first: np.ndarray, second: np.ndarray) -> float:
        """`share_outside_rows`, from r × r Grams and a basis kept from the start where W2(0) = 0, as in LoRA."""
        start = self._starts[name]
        if not start[0].any():
            return np.nan
        if start[1].any():
            return share_outside_rows((first, second), *start)
        if name not in self._bases:
            rows, size, _ = np.linalg.svd(start[0].T.astype(np.float64), full_matrices=False)
            self._bases[name] = rows[:, : numerical_rank(size, rows.shape)]
        basis, w1, w2 = self._bases[name], first.astype(np.float64), second.astype(np.float64)
        outside, gram = w1 - (w1 @ basis) @ basis.T, w2.T @ w2
        total = float(np.sum(gram * (w1 @ w1.T)))  # ‖W2W1‖_F²
        return float(np.sum(gram * (outside @ outside.T))) / total if total > 0 else np.nan

    def _notice_what_stands_still(self, name: str, first: np.ndarray, second: np.ndarray) -> None:
        """Warn where parameters that were given one by one have not changed in any digit between two records."""
        now = (float(np.sum(first)), float(np.sum(second)), float(np.sum(first**2)), float(np.sum(second**2)))
        still = self._seen.get(name) == now and self._steps[-1] < self.count
        if still and any(p is not None and p.requires_grad for p in self._parameters_of(name)):
            self._warn(
                name,
                f"has not moved since step {self._steps[-1]}: its learning rate is 0, or the model now trains other "
                "parameters in place of those that were given; give the model itself, so that they can be followed",
            )
        self._seen[name] = now

    def _parameters_of(self, name: str) -> tuple[Any, ...]:
        given = next(p.parameters for p in self._pairs if p.name == name)
        return () if given is None else given()

    def _warn(self, name: str, text: str) -> None:
        """Warn once of each pair."""
        if name not in self._faulty:
            self._faulty.add(name)
            warnings.warn(f"{name} at step {self.count} {text}", TrackingWarning, stacklevel=5)

    def _larger(self, name: str) -> int:
        """Which factor starts larger, and whose turn is measured: 0 the first (LoRA's A), 1 the second."""
        first, second = self._starts[name]
        return int(np.linalg.norm(second) > np.linalg.norm(first))

    def _parameters(self) -> list[Any]:
        """The parameter of each pair whose turn is measured, to look up its learning rate; None where it has none."""
        return [None if p.parameters is None else p.parameters()[self._larger(p.name)] for p in self._pairs]

    def seek(self, step: int) -> None:
        """Go to a step, as when training goes on from a checkpoint: later records are dropped, the count is set.

        A tracker that has only its start takes `step` as that of the start.

        Raises:
            InvalidArgument: a negative step, or one before the first record.
        """
        step = checks.integer("step", step, at_least=0)
        if len(self._steps) == 1 and step > self.count:
            self._steps = [step]
        elif step < self._steps[0]:
            raise checks.InvalidArgument(
                "step", f"be at least {self._steps[0]}, that of the first record", f"it is {step}"
            )
        self._rates.seek(step, self._steps, self.count, self._sums)
        kept = sum(s <= step for s in self._steps)
        del self._steps[kept:], self._records[kept:], self._sums[kept:]
        self.count = step

    @property
    def dataset(self) -> xarray.Dataset:
        """All records, with dimensions pair, step and mode (largest first; NaN beyond a pair's own modes)."""
        info = {
            "every": self.every,
            "count": self.count,
            "seconds": self.seconds,
            "optimizer": self._rates.kind or self._optimizer_before,
            "rate_sums": [None if np.isnan(s) else s for s in self._rates.sums.tolist()],
        }
        return tracking_dataset(self._info, self._steps, self._records, info)

    @property
    def crossings(self) -> xarray.DataArray:
        """Step at which each mode crossed its threshold: see `lindyn.inspection.records.crossings`."""
        return crossings(self.dataset)

    @property
    def seconds_per_record(self) -> float:
        """Mean seconds that a record has taken, reading the factors included."""
        return self.seconds / len(self._records)

    def save(self, path: str | Path | None = None) -> Path:
        """Write records and start as a zarr folder, whole or not at all, in place of an earlier one.

        Save it with every checkpoint of the model: a tracker resumed from it then goes on without loss.

        Raises:
            InvalidArgument: no path, here or at the beginning, or one that holds what no tracker wrote.
        """
        import xarray as xr

        target = self.path if path is None else checks.path("path", path)
        if target is None:
            raise checks.InvalidArgument("path", "be given to save", "it is not", "pass it here or to RegimeTracker")
        starts = {
            f"{side}_{i}": ((f"row_{side}_{i}", f"column_{side}_{i}"), factor)
            for i, factors in enumerate(self._starts.values())
            for side, factor in zip(("first", "second"), factors, strict=True)
        }
        storage.write(target, RECORD, {"": self.dataset, "start": xr.Dataset(starts)}, overwrite=True)
        return target

    def _restore(self, path: Path) -> None:
        saved, starts = load_with_start(path)
        names = [str(name) for name in saved["pair"].values]
        if names != list(self._info):
            other = next((n for n in (*names, *self._info) if (n in names) != (n in self._info)), names[0])
            raise checks.InvalidArgument(
                "pairs", f"be those of the record in {path}", f"{other!r} differs", "use another path"
            )
        for i, (name, info) in enumerate(self._info.items()):
            there = {field: saved[field].values[i].item() for field in _PAIR_FIELDS}
            if there != info:
                field = next(f for f in _PAIR_FIELDS if there[f] != info[f])
                raise checks.InvalidArgument(
                    "pairs",
                    f"be those of the record in {path}",
                    f"{field} of {name} was {there[field]}, is {info[field]}",
                )
        self._starts = {
            name: (starts[f"first_{i}"].values, starts[f"second_{i}"].values) for i, name in enumerate(names)
        }
        self._steps = saved["step"].values.tolist()
        fields = {
            name: np.moveaxis(saved[name].transpose("pair", "step", ...).values, 1, 0)
            for name in (*OF_MODES, *OF_PAIRS)
        }
        self._records = [{name: values[i] for name, values in fields.items()} for i in range(len(self._steps))]
        info = json.loads(saved.attrs["lindyn"])
        self._optimizer_before = info.get("optimizer")
        self._rates.sums = np.array([np.nan if s is None else s for s in info["rate_sums"]])
        deviations = np.array([entry_deviation(self._starts[n][self._larger(n)]) for n in names])
        self._sums = [record["adam_clock"] * deviations for record in self._records]
        self.count, self.seconds = int(info["count"]), float(info["seconds"])

    def plot(self, pairs: Sequence[str] | None = None) -> Figure:
        """Draw who crossed when: see `lindyn.plots.who_crossed_when`."""
        from lindyn.plots import who_crossed_when

        return who_crossed_when(self.dataset, pairs)

    def against(self, prediction: Trajectory, *, pair: str | None = None, tolerance: float = NEAR) -> Following:
        """Say whether training followed a prediction of `predict_factors`: `lindyn.compare(prediction, tracker)`.

        Args:
            prediction: of this pair, from its start.
            pair: name of the pair, where several are tracked.
            tolerance: largest difference that counts as followed, in units of the largest predicted singular value.
        """
        return follow(prediction, self.dataset, pair=pair, tolerance=tolerance)

    def summary(self) -> dict[str, float]:
        """Return the last record in a few numbers, for a trainer's log: active modes, and the largest of the rest."""
        now = self._records[-1]
        out = {"lindyn/active_modes": float(np.nansum(now["active_modes"]))}
        for name in ("imbalance_drift", "turn", "adam_clock"):
            known = now[name][np.isfinite(now[name])]
            if known.size:
                out[f"lindyn/{name}"] = float(known.max())
        return out

    def table(self) -> Table:
        """Return the last record as a rich table: for each pair its leading modes, their thresholds, active modes."""
        from rich.table import Table

        table = Table("pair", "m₁", "τ₁", "a₁", "active", "stable rank", "drift", title=f"step {self._steps[-1]:,}")
        now = self._records[-1]
        for i, name in enumerate(self._info):
            lead = (f"{now[key][i, 0]:.3g}" for key in OF_MODES)
            modes = int(np.sum(np.isfinite(now["singular_values"][i])))
            active = "–" if np.isnan(now["active_modes"][i]) else f"{now['active_modes'][i]:.0f} of {modes}"
            rest = (f"{now['stable_rank'][i]:.2f}", f"{now['imbalance_drift'][i]:.2g}")
            table.add_row(name, *lead, active, *rest)
        return table

    def _show(self) -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(self.table(), auto_refresh=False)
            self._live.start()
        self._live.update(self.table(), refresh=True)

    def close(self) -> None:
        """End the live table; further steps are still recorded."""
        if self._live is not None:
            self._live.stop()
            self._live, self._wants_live = None, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Pairs, records and what they cost, in one line."""
        end = "" if self.stopped is None else ", stopped"
        return (
            f"RegimeTracker({len(self._pairs)} pairs, {len(self._steps)} records at steps {self._steps[0]} … "
            f"{self._steps[-1]}, one in {self.every}, {1e3 * self.seconds_per_record:.3g} ms each{end})"
        )


def _first_reading(pairs: list[Pair]) -> tuple[dict[str, Factors], dict[str, FactorModes]]:
    """Read and measure all pairs, or refuse with the names of those that cannot be read."""
    loaded: dict[str, Factors] = {}
    measured: dict[str, FactorModes] = {}
    refused: dict[str, checks.InvalidArgument] = {}
    for pair in pairs:
        try:
            loaded[pair.name] = pair.load()
            first, second, scale, _ = loaded[pair.name]
            measured[pair.name] = factor_modes(first, second, abs(scale))
        except checks.InvalidArgument as error:
            refused[pair.name] = error
    if refused:
        name, cause = next(iter(refused.items()))
        others = f" (and {len(refused) - 1} more pairs)" if len(refused) > 1 else ""
        raise checks.InvalidArgument(
            "pairs",
            "hold pairs that can be read",
            f"{name}{others} cannot: {_said_of(cause).rstrip('.')}",
            f"leave out what cannot be read, as in leave_out={list(refused)[:3]}",
        ) from cause
    return loaded, measured


def _pairs_of(
    pairs: nn.Module | Mapping[str, Any] | Sequence[Any],
    pair: PairSpec | Sequence[PairSpec] | None,
    scale: float | None,
) -> list[Pair]:
    if isinstance(pairs, nn.Module):
        single = isinstance(pair, str) or (isinstance(pair, tuple) and all(isinstance(p, str) for p in pair))
        specs: list[Any] = [] if pair is None else [pair] if single else checks.listed("pair", pair)
        for spec in specs:
            if not isinstance(spec, str | tuple | list):
                raise checks.InvalidArgument("pair", "read first=NAME,second=NAME", f"it holds {checks.shown(spec)}")
        found = module_pairs(pairs, specs, scale)
    elif pair is not None:
        raise checks.InvalidArgument("pair", "come with a model", "`pairs` lists the factors themselves")
    elif isinstance(pairs, Mapping) or (isinstance(pairs, Sequence) and not isinstance(pairs, str)):
        items = pairs.items() if isinstance(pairs, Mapping) else ((f"pair {i}", p) for i, p in enumerate(pairs, 1))
        found = [_given(str(name), factors, scale) for name, factors in items]
    else:
        raise checks.InvalidArgument(
            "pairs", "be a model, or pairs of layers or parameters", f"it is {type(pairs).__name__}"
        )
    return found


_SUBJECTS = {"first": "its first factor", "second": "its second factor", "source": "the model", "pairs": "the pair"}


def _said_of(error: checks.InvalidArgument) -> str:
    """The sentence of a refusal as it reads within another: "its second factor must …"."""
    return str(error.about(_SUBJECTS.get(error.name, f"its {error.name}")) if error.must else error)


def _given(name: str, factors: Any, scale: float | None) -> Pair:
    if not isinstance(factors, Sequence) or len(factors) not in {2, 3}:
        raise checks.InvalidArgument(
            "pairs", "hold (first, second) or (first, second, scale)", f"{name!r} is {factors!r}"
        )
    layers, own = factors[:2], factors[2] if len(factors) == 3 else 1.0
    for side, layer in zip(("first", "second"), layers, strict=True):
        if not isinstance(layer, nn.Linear | torch.Tensor):
            raise checks.InvalidArgument(
                "pairs", "hold nn.Linear layers or parameters", f"the {side} of {name!r} is {type(layer).__name__}"
            )
    s = checks.number("scale", own if scale is None else scale, above=0)
    parameters = partial(_given_parameters, name, layers)
    if share_memory(*parameters()):
        raise tied(f"the first of {name}", "the second")
    return Pair(name, partial(_load, name, layers, s), parameters=parameters)


def _given_parameters(name: str, layers: Sequence[Any]) -> tuple[Any, ...]:
    first, second = (
        stored(layer, f"{name}, {side}") if isinstance(layer, nn.Linear) else layer
        for side, layer in zip(("first", "second"), layers, strict=True)
    )
    return first, second


def _load(name: str, layers: Sequence[Any], scale: float) -> Factors:
    first, second = (
        numbers(parameter, f"{name}, {side}")
        for side, parameter in zip(("first", "second"), _given_parameters(name, layers), strict=True)
    )
    if isinstance(layers[0], nn.Linear) and layers[0].bias is not None:
        first = with_column(first, numbers(layers[0].bias, f"{name}, bias"))
    return Factors(first, second, scale)
