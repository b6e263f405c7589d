"""The store: one labelled dataset on disk, made whole at the start and filled unit by unit, so that any run resumes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lindyn._version import __version__
from lindyn.diagrams.chunks import Unit, rows_of_a_unit
from lindyn.diagrams.settings import DiagramSettings, with_theory
from lindyn.diagrams.sources import Found
from lindyn.support.checks import InvalidArgument, one_line
from lindyn.support.labels import OF_CELLS

if TYPE_CHECKING:
    import xarray as xr

MISSING, DONE, FAILED = 0, 1, 2
_MAY_BE_NAN = ("distance",)


class DamagedWarning(UserWarning):
    """Parts of a stored diagram cannot be read and are computed again; the message says how many."""


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
        for name, (text, unit) in OF_CELLS.items()
    }
    meaning = {"long_name": "0 missing, 1 done, 2 failed", "units": "1"}
    variables["status"] = (dims, np.full(sizes, MISSING, np.int8), meaning)
    variables["reason"] = (dims, np.full(sizes, "", dtype=object), {"long_name": "why a cell failed"})
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
        self.settings = settings
        self.dataset = empty_dataset(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def units(self) -> Iterator[Unit]:
        """Yield all units of the grid."""
        rows, step = len(self.settings.width_exponents), rows_of_a_unit(self.settings)
        for seed in range(len(self.settings.seeds)):
            for first in range(0, rows, step):
                yield Unit(seed, first, min(first + step, rows))

    def pending(self) -> Iterator[Unit]:
        """Yield the units that are not done."""
        status = self.dataset["status"].values
        yield from (u for u in self.units() if (status[:, u.seed, u.first : u.stop] == MISSING).any())

    def write(self, unit: Unit, found: Found) -> None:
        """Fill one unit: the numbers, then the status that vouches for them."""
        for k, source in enumerate(self.settings.sources):
            place = (k, unit.seed, slice(unit.first, unit.stop))
            for name, values in found[source].items():
                held = self.dataset[name].values
                held[place] = values.reshape(held[place].shape)
            reasons = self.dataset["reason"].values[place]
            self.dataset["status"].values[place] = np.where(reasons == "", DONE, FAILED)


class DiskStore(MemoryStore):
    """A diagram in a zarr folder: a chunk for each unit, so that an interrupted run loses the units in flight only.

    One process writes at a time, held by a lock file beside the folder. Units that cannot be read are taken for
    missing, with a `DamagedWarning`.

    Raises:
        InvalidArgument: the folder holds a diagram of other settings (the message names them), or no diagram.
        OSError: another process writes it, or it cannot be written.
    """

    def __init__(self, settings: DiagramSettings, path: str | Path):
        self.path = Path(path)
        self._stack = ExitStack()
        super().__init__(settings)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock(stack)
            if self.path.exists():
                self._resume()
            else:
                self._create()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _lock(self, stack: ExitStack) -> None:
        from filelock import FileLock, Timeout

        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            stack.enter_context(FileLock(lock, timeout=0))
        except Timeout as error:
            raise OSError(
                f"Another process is writing {self.path}; wait until it has ended, or write to another folder."
            ) from error

    def _create(self) -> None:
        from zarr.codecs import ZstdCodec

        chunk = (len(self.settings.sources), 1, rows_of_a_unit(self.settings), len(self.settings.variance_exponents))
        checked = {"chunks": chunk, "compressors": (ZstdCodec(checksum=True),)}
        encoding = {str(name): checked for name in self.dataset.data_vars}
        partial = self.path.with_name(self.path.name + ".partial")  # a run killed here leaves no half-made folder
        self.dataset.to_zarr(partial, mode="w", encoding=encoding, consolidated=False)
        partial.rename(self.path)

    def _resume(self) -> None:
        stored = _open(self.path)
        _require_same(self.settings, self.path, json.loads(stored.attrs["settings"]))
        damaged = [unit for unit in self.units() if not self._read(stored, unit)]
        if damaged:
            warnings.warn(
                f"{len(damaged)} of {len(list(self.units()))} parts of {self.path} are damaged and are computed again.",
                DamagedWarning,
                stacklevel=4,
            )

    def _read(self, stored: xr.Dataset, unit: Unit) -> bool:
        region = self._region(unit)
        try:
            part = stored.isel(region).load()
        except Exception:
            return False
        if not _is_whole(part):
            return False
        for name in self.dataset.data_vars:
            self.dataset[name][region] = part[name].values
        return True

    @staticmethod
    def _region(unit: Unit) -> dict[str, slice]:
        return {"seed": slice(unit.seed, unit.seed + 1), "width_exponent": slice(unit.first, unit.stop)}

    def write(self, unit: Unit, found: Found) -> None:
        """Fill one unit in memory and on disk: the numbers first, then the status."""
        super().write(unit, found)
        region = self._region(unit)
        part = self.dataset.isel(region).drop_vars(list(self.dataset.coords))
        try:
            for piece in (part.drop_vars("status"), part[["status"]]):
                piece.to_zarr(self.path, region=region, mode="r+", consolidated=False)
        except OSError as error:
            left = len(list(self.pending()))
            raise OSError(
                f"Cannot write to {self.path}: {error.strerror or one_line(error)}; make room and run the same again, "
                f"what is stored is kept ({left} of {len(list(self.units()))} parts were still to come)."
            ) from error


def load_diagram(path: str | Path) -> xr.Dataset:
    """Read a diagram, finished or not, from its folder.

    Raises:
        InvalidArgument: the folder holds no diagram, or parts of it are damaged.
    """
    dataset = _open(Path(path))
    try:
        dataset = dataset.load()
        whole = _is_whole(dataset)
    except Exception:
        whole = False
    if not whole:
        raise InvalidArgument(
            "path", "hold a whole phase diagram", f"parts of {path} are damaged", "run it again to mend them"
        )
    return with_theory(dataset)


def _open(path: Path) -> xr.Dataset:
    import xarray as xr

    try:
        dataset = xr.open_zarr(path, consolidated=False, chunks=None)
        json.loads(dataset.attrs["settings"])
        for name in [*OF_CELLS, "status", "reason"]:
            dataset[name]
    except Exception as error:
        must = "hold a phase diagram that lindyn wrote"
        raise InvalidArgument("path", must, f"{path} does not: {one_line(error)}", "name another folder") from error
    return dataset


def _is_whole(part: xr.Dataset) -> bool:
    """Tell whether every cell that is called done has its numbers."""
    done = part["status"].values == DONE
    return all(np.isfinite(part[name].values[done]).all() for name in OF_CELLS if name not in _MAY_BE_NAN)


def _require_same(settings: DiagramSettings, path: Path, stored: dict[str, Any]) -> None:
    wanted = settings.as_dict()
    changed = [name for name in wanted if wanted[name] != stored.get(name)]
    if changed:
        name = changed[0]
        raise InvalidArgument(
            name,
            f"be {stored.get(name)}, that of the diagram in {path}",
            f"it is {wanted[name]}" + (f" (and {', '.join(changed[1:])} differ too)" if changed[1:] else ""),
            "resume with the same settings or write to another folder",
        )
