"""Records of a regime tracker as a labelled dataset: made, read, and asked which mode crossed its threshold when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn._version import __version__
from lindyn.support import checks, storage
from lindyn.support.labels import OF_STATES

if TYPE_CHECKING:
    import xarray

RECORD = "record of a tracker"
OF_MODES = ("singular_values", "thresholds", "activities")
OF_PAIRS = (
    "nominal_threshold", "active_modes", "imbalance_drift", "stable_rank", "turn", "share_outside_rows", "adam_clock",
)  # fmt: skip


def tracking_dataset(
    pairs: dict[str, dict[str, Any]], steps: list[int], records: list[dict[str, np.ndarray]], info: dict[str, Any]
) -> xarray.Dataset:
    """Return records as a dataset with dimensions pair, step and mode, and the step at which each mode crossed.

    Args:
        pairs: name → "d_out", "d_in", "width", "scale".
        steps: optimiser steps at which records were made, increasing.
        records: for each step the quantities of `OF_MODES`, (pairs, modes), and of `OF_PAIRS`, (pairs,).
        info: plain data kept as the attribute "lindyn".

    References:
        theory (2.9).
    """
    import xarray as xr

    variables: dict[str, Any] = {}
    for quantities, dims in ((OF_MODES, ("pair", "step", "mode")), (OF_PAIRS, ("pair", "step"))):
        for name in quantities:
            stacked = np.stack([record[name] for record in records], axis=1)
            variables[name] = (dims, stacked, OF_STATES[name].attributes)
    modes = variables["singular_values"][1].shape[2]
    coordinates: dict[str, Any] = {
        "pair": ("pair", storage.as_object_array(pairs)),
        "step": ("step", np.array(steps, dtype=np.int64), OF_STATES["step"].attributes),
        "mode": ("mode", np.arange(1, modes + 1), OF_STATES["mode"].attributes),
    }
    for name in ("d_out", "d_in", "width", "scale"):
        coordinates[name] = ("pair", np.array([pair[name] for pair in pairs.values()]), {"units": "1"})
    attributes = {"lindyn": json.dumps({**info, "lindyn_version": __version__})}
    dataset = xr.Dataset(variables, coords=coordinates, attrs=attributes)
    return dataset.assign(crossing_step=crossings(dataset))


def load_tracking(path: str | Path) -> xarray.Dataset:
    """Read the records that a tracker has saved; needs no PyTorch. Every part is compared with its checksum.

    Raises:
        InvalidArgument: there is nothing at the path, something else, or a record of which parts are damaged; the
            message names them.
    """
    return load_with_start(path)[0]


def load_with_start(path: str | Path) -> tuple[xarray.Dataset, xarray.Dataset]:
    """Read the records, and the factors with which they began: "first_0", "second_0", "first_1" …"""
    dataset, start = storage.read(path, RECORD, groups=("", "start"))
    try:
        info = storage.json_object(dataset.attrs["lindyn"], "record")
        if not all(isinstance(info[name], int | float) for name in ("every", "count", "seconds")):
            raise ValueError("its counts are not numbers")
        for name in (*OF_MODES, *OF_PAIRS, "crossing_step", "d_out", "d_in", "width", "scale"):
            dataset[name]
    except Exception as error:
        raise storage.unreadable(Path(path), RECORD, error) from error
    return dataset, start


def require_record(dataset: Any) -> xarray.Dataset:
    """Return the dataset of a tracker, or refuse what is none."""
    import xarray as xr

    found: xr.Dataset = checks.instance("dataset", dataset, xr.Dataset, "the dataset of a RegimeTracker")
    for name in ("step", "pair", "singular_values", "thresholds"):
        if name not in found:
            raise checks.InvalidArgument("dataset", f"hold {name}", "it does not", "take it from a RegimeTracker")
    return found


def crossings(dataset: xarray.Dataset) -> xarray.DataArray:
    """Return the step at which each mode crossed its threshold, dimensions (pair, mode).

    The first time that m_k passes τ_k from below, by linear interpolation of m_k − τ_k between records; the first
    record's step for a mode that is active from the start; NaN for one that has not crossed.

    Args:
        dataset: from `RegimeTracker.dataset` or `load_tracking`.

    References:
        theory (2.9).

    Examples:
        >>> import numpy as np
        >>> values = {name: np.zeros((1, 1)) for name in OF_MODES} | {name: np.zeros(1) for name in OF_PAIRS}
        >>> records = [values | {"singular_values": np.array([[m]]), "thresholds": np.ones((1, 1))} for m in (0.5, 1.5)]
        >>> pair = {"layer": {"d_out": 1, "d_in": 1, "width": 1, "scale": 1.0}}
        >>> float(crossings(tracking_dataset(pair, [0, 10], records, {}))[0, 0])
        5.0
    """
    step = require_record(dataset)["step"].values.astype(float)
    ahead = (dataset["singular_values"] - dataset["thresholds"]).transpose("pair", "mode", "step")
    values = ahead.values
    found = np.full(values.shape[:2], np.nan)
    for index in np.ndindex(*found.shape):
        above = np.flatnonzero(values[index] > 0)
        if above.size:
            i = int(above[0])
            before = values[index][i - 1] if i else np.nan
            found[index] = step[i]
            if np.isfinite(before):
                found[index] -= (step[i] - step[i - 1]) * values[index][i] / (values[index][i] - before)
    out = ahead.isel(step=0, drop=True).copy(data=found)
    out.attrs = {"long_name": "step at which the mode crosses its threshold", "units": "1"}
    return out.rename("crossing_step")
