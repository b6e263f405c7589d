"""The store: one labelled dataset on disk, made whole at the start and filled row by row, so that any run resumes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn._version import __version__
from lindyn.checks import InvalidArgument
from lindyn.phase_diagram.settings import DiagramSettings
from lindyn.phase_diagram.sources import QUANTITIES, Row

if TYPE_CHECKING:
    import xarray as xr

MISSING, DONE = 0, 1


def empty_dataset(settings: DiagramSettings) -> xr.Dataset:
    """Return the dataset of a diagram with every cell missing."""
    import xarray as xr

    sizes = (
        len(settings.sources),
        len(settings.seeds),
        len(settings.width_exponents),
        len(settings.variance_exponents),
    )
    dims = ("source", "seed", "width_exponent", "variance_exponent")
    variables: dict[str, Any] = {
        name: (dims, np.full(sizes, np.nan), {"long_name": text, "units": unit})
        for name, (text, unit) in QUANTITIES.items()
    }
    variables["status"] = (dims, np.full(sizes, MISSING, np.int8), {"long_name": "0 missing, 1 done", "units": "1"})
    coordinates = {
        "source": np.array(settings.sources, dtype=object),
        "seed": list(settings.seeds),
        "width_exponent": ("width_exponent", list(settings.width_exponents), {"long_name": "γ_w", "units": "1"}),
        "variance_exponent": (
            "variance_exponent",
            list(settings.variance_exponents),
            {"long_name": "γ_σ²", "units": "1"},
        ),
    }
    attributes = {"settings": json.dumps(settings.as_dict()), "lindyn_version": __version__}
    return xr.Dataset(variables, coords=coordinates, attrs=attributes)


class MemoryStore:
    """A diagram in memory."""

    def __init__(self, settings: DiagramSettings):
        self.dataset = empty_dataset(settings)

    def pending(self) -> Iterator[tuple[int, int]]:
        """Yield (seed number, row number) of rows that are not done."""
        done = (self.dataset["status"] == DONE).all(("source", "variance_exponent")).values
        yield from ((int(seed), int(number)) for seed, number in np.argwhere(~done))

    def write(self, seed: int, number: int, row: Row) -> None:
        """Fill one row: the numbers, then the status that vouches for them."""
        for source, quantities in row.items():
            k = list(self.dataset["source"].values).index(source)
            for name, values in quantities.items():
                self.dataset[name].values[k, seed, number] = values
        self.dataset["status"].values[:, seed, number] = DONE


class DiskStore(MemoryStore):
    """A diagram in a zarr folder: a chunk for each row, so that an interrupted run loses the row in flight only.

    Raises:
        InvalidArgument: the folder holds a diagram of other settings; the message names them.
        ValueError: the folder holds no diagram.
    """

    def __init__(self, settings: DiagramSettings, path: str | Path):
        self.path = Path(path)
        if self.path.exists():
            self.dataset = load_diagram(self.path)
            _require_same(settings, self.path, json.loads(self.dataset.attrs["settings"]))
            return
        super().__init__(settings)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        row = (len(settings.sources), 1, 1, len(settings.variance_exponents))
        encoding = {str(name): {"chunks": row} for name in self.dataset.data_vars}
        self.dataset.to_zarr(self.path, mode="w-", encoding=encoding, consolidated=False)

    def write(self, seed: int, number: int, row: Row) -> None:
        """Fill one row in memory and on disk: the numbers first, then the status."""
        super().write(seed, number, row)
        region = {"seed": slice(seed, seed + 1), "width_exponent": slice(number, number + 1)}
        part = self.dataset.isel(region).drop_vars(list(self.dataset.coords))
        for piece in (part.drop_vars("status"), part[["status"]]):
            piece.to_zarr(self.path, region=region, mode="r+", consolidated=False)


def load_diagram(path: str | Path) -> xr.Dataset:
    """Read a diagram, finished or not, from its folder.

    Raises:
        ValueError: the folder holds no diagram.
    """
    import xarray as xr

    try:
        dataset = xr.open_zarr(path, consolidated=False).load()
        json.loads(dataset.attrs["settings"])
    except Exception as error:
        raise ValueError(f"{path} holds no phase diagram that lindyn wrote: {error}") from error
    return dataset


def _require_same(settings: DiagramSettings, path: Path, stored: dict[str, Any]) -> None:
    wanted = settings.as_dict()
    changed = [name for name in wanted if wanted[name] != stored.get(name)]
    if changed:
        name = changed[0]
        raise InvalidArgument(
            f"Argument `{name}` must be {stored.get(name)}, that of the diagram in {path}, but it is {wanted[name]}"
            + (f" (and {', '.join(changed[1:])} differ too)" if changed[1:] else "")
            + "; resume with the same settings or write to another folder."
        )
