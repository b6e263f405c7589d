"""The store: one labelled dataset on disk, made whole at the start and filled unit by unit, so that any run resumes.

The manifest (see support/storage) vouches for a unit once all of its chunks are written. A chunk that no longer fits
its checksum is computed again; where the frame is damaged, metadata or coordinates, it is written anew, and the chunks
that still fit theirs are taken over byte for byte.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lindyn._version import __version__
from lindyn.diagrams.chunks import Unit
from lindyn.diagrams.grid import Found, GridSettings
from lindyn.diagrams.portrait import PortraitSettings
from lindyn.diagrams.settings import DiagramSettings
from lindyn.support import checks, storage
from lindyn.support.checks import InvalidArgument, one_line
from lindyn.support.labels import OF_GRIDS

if TYPE_CHECKING:
    import xarray as xr

KIND = "phase diagram"
MISSING, DONE, FAILED, OVER_BUDGET = 0, 1, 2, 3
_KINDS: dict[str, type[GridSettings]] = {cls.kind: cls for cls in (DiagramSettings, PortraitSettings)}


class DamagedWarning(UserWarning):
    """Parts of a stored diagram cannot be read and are computed again; the message says how many and which."""


def _variables(settings: GridSettings) -> tuple[str, ...]:
    return (*settings.quantities, "status", "reason")


def empty_dataset(settings: GridSettings) -> xr.Dataset:
    """Return the dataset of a diagram with every cell missing."""
    import xarray as xr

    axes = (settings.rows, settings.columns)
    dims = ("source", "seed", *(axis.name for axis in axes))
    sizes = (len(settings.sources), len(settings.seeds), *(len(axis.values) for axis in axes))
    variables: dict[str, Any] = {
        name: (dims, np.full(sizes, np.nan), label.attributes) for name, label in settings.quantities.items()
    }
    variables["status"] = (dims, np.full(sizes, MISSING, np.int8), OF_GRIDS["status"].attributes)
    variables["reason"] = (dims, np.full(sizes, "", dtype=object), OF_GRIDS["reason"].attributes)
    coordinates: dict[str, Any] = {
        "source": storage.as_object_array(settings.sources),
        "seed": list(settings.seeds),
    }
    for axis in axes:
        coordinates[axis.name] = (axis.name, list(axis.values), OF_GRIDS[axis.name].attributes)
    attributes = {
        "diagram": settings.kind,
        "settings": json.dumps(settings.as_dict()),
        "lindyn_version": __version__,
    }
    return xr.Dataset(variables, coords=coordinates, attrs=attributes)


class MemoryStore:
    """A diagram in memory."""

    def __init__(self, settings: GridSettings):
        self.settings = settings
        self.dataset = empty_dataset(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def prepare(self) -> None:
        """Make room for what is to be written; called once it is certain that something will be."""

    def units(self) -> Iterator[Unit]:
        """Yield all units of the grid."""
        rows, step = len(self.settings.rows.values), self.settings.rows_of_a_unit
        for seed in range(len(self.settings.seeds)):
            for first in range(0, rows, step):
                yield Unit(seed, first, min(first + step, rows))

    def pending(self) -> Iterator[Unit]:
        """Yield the units that are not done."""
        status = self.dataset["status"].values
        yield from (u for u in self.units() if (status[:, u.seed, u.first : u.stop] == MISSING).any())

    def write(self, unit: Unit, found: Found) -> None:
        """Fill one unit; a cell whose numbers are not finite has failed, whatever computed it."""
        for k, source in enumerate(self.settings.sources):
            place = (k, unit.seed, slice(unit.first, unit.stop))
            for name, values in found[source].items():
                held = self.dataset[name].values
                held[place] = values.reshape(held[place].shape)
            reasons = self.dataset["reason"].values[place]
            for name in self.settings.quantities:
                lost = (reasons == "") & ~np.isfinite(self.dataset[name].values[place])
                if name not in self.settings.may_be_nan:
                    reasons[lost] = f"its {name} is not finite"
            ended = np.where(self.dataset["unfinished"].values[place] == 1, OVER_BUDGET, DONE)
            self.dataset["status"].values[place] = np.where(reasons == "", ended, FAILED)


class DiskStore(MemoryStore):
    """A diagram in a zarr folder: a chunk for each unit, so that an interrupted run loses the units in flight only.

    One process writes at a time, held by a lock file beside the folder. Units that are damaged are taken for missing,
    with a `DamagedWarning`.

    Raises:
        InvalidArgument: the folder holds a diagram of other settings (the message names them), or no diagram.
        OSError: another process writes it, or it cannot be written.
    """

    def __init__(self, settings: GridSettings, path: str | Path):
        self.path = checks.path("path", path)
        self._stack = ExitStack()
        self._manifest: storage.Manifest | None = None
        self._empty = False
        self._rows = settings.rows_of_a_unit
        super().__init__(settings)

    def __enter__(self) -> Self:
        if storage.standing(self.path).exists():
            with ExitStack() as stack:
                self._lock(stack)
                self._resume()
                self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: Any) -> None:
        if self._empty and isinstance(details[1], InvalidArgument):  # nothing but the frame of a refused diagram
            shutil.rmtree(self.path, ignore_errors=True)
        self._stack.__exit__(*details)

    def prepare(self) -> None:
        """Make the folder, or take up one that another process has made meanwhile."""
        if self._manifest is not None:
            return
        storage.require_free(self.path, overwrite=False)
        with ExitStack() as stack:
            stack.enter_context(storage.parents_of(self.path))
            self._lock(stack)
            if self.path.exists():
                self._resume()
            else:
                self._empty = True
                self._create({})
            self._stack = stack.pop_all()

    def _lock(self, stack: ExitStack) -> None:
        from filelock import FileLock, Timeout

        lock = self.path.with_name(f".{self.path.name}.lock")

        def unlock_empty() -> None:
            if self._manifest is None or not self.path.exists():  # nothing of ours stands there
                lock.unlink(missing_ok=True)

        stack.callback(unlock_empty)
        try:
            stack.enter_context(FileLock(lock, timeout=0))
        except Timeout as error:
            raise OSError(
                f"Another process is writing {self.path}; wait until it has ended, or write to another folder."
            ) from error

    def _create(self, chunks: Mapping[str, Path]) -> None:
        """Write the frame, with chunks that are taken over: name inside the store → file."""
        size = (len(self.settings.sources), 1, self._rows, len(self.settings.columns.values))
        encoding = {name: {"chunks": size} for name in _variables(self.settings)}
        with storage.replacing(self.path) as part:
            storage.fill(part, {"": empty_dataset(self.settings)}, encoding=encoding)
            for name, file in chunks.items():
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, part / name)
            self._manifest = storage.Manifest.of(part, KIND, json.dumps(self.settings.as_dict()))
            self._manifest.write(part)

    def _files(self, unit: Unit) -> list[str]:
        row = unit.first // self._rows
        return [f"{name}/c/0/{unit.seed}/{row}/0" for name in _variables(self.settings)]

    def _resume(self) -> None:
        held = storage.require(self.path, KIND)
        assert held.manifest is not None
        _require_same(self.settings, self.path, storage.json_object(held.manifest.about, "settings"))
        if held.folder != self.path:  # a replacement was cut short
            held.folder.rename(self.path)
        self._manifest = held.manifest
        units = {name: unit for unit in self.units() for name in self._files(unit)}
        done = {unit for unit in self.units() if _vouched(held.manifest, unit.seed, unit.first // self._rows)}
        hurt = {units[name] for name in held.faults if name in units} & done
        intact = [name for unit in done - hurt for name in self._files(unit) if name in held.manifest.files]
        if not held.faults.keys() <= units.keys():
            self._create({name: self.path / name for name in intact})
        else:
            lost = set(units) - set(intact)  # also what was being written when a run was killed
            for name in lost:
                (self.path / name).unlink(missing_ok=True)
            if hurt:
                self._manifest = storage.vouch(self.path, held.manifest, lost)
        for left in self.path.rglob("*.partial"):
            left.unlink()
        self._warn(held, hurt)
        (stored,) = storage.load(self.path, KIND)
        for name in _variables(self.settings):
            self.dataset[name].values[...] = stored[name].values

    def _warn(self, held: storage.Held, hurt: set[Unit]) -> None:
        told = [f"{name} {fault}" for name, fault in held.faults.items() if fault != storage.FOREIGN]
        if told or hurt:
            count = len(list(self.units()))
            warnings.warn(
                f"{len(hurt)} of {count} parts of {self.path} are damaged and are computed again: "
                + ", ".join(told[:3])
                + (f" and {len(told) - 3} more files" if len(told) > 3 else ""),
                DamagedWarning,
                stacklevel=5,
            )

    def write(self, unit: Unit, found: Found) -> None:
        """Fill one unit in memory and on disk: the numbers first, then the manifest that vouches for them."""
        import zarr

        super().write(unit, found)
        assert self._manifest is not None
        self._empty = False
        region = (slice(None), slice(unit.seed, unit.seed + 1), slice(unit.first, unit.stop))
        try:
            group = zarr.open_group(self.path, mode="r+", zarr_format=3, use_consolidated=False)
            for name in _variables(self.settings):
                array: Any = group[name]
                array[region] = self.dataset[name].values[region]
            self._manifest = storage.vouch(self.path, self._manifest, self._files(unit))
        except OSError as error:
            left = len(list(self.pending())) + 1
            raise OSError(
                f"Cannot write to {self.path}: {error.strerror or one_line(error)}; make room and run the same again, "
                f"what is stored is kept ({left} of {len(list(self.units()))} parts were still to come)."
            ) from error


def _vouched(manifest: storage.Manifest, seed: int, row: int) -> bool:
    """Whether a unit has been stored: its status is never that of an empty chunk, so that it has a file."""
    return f"status/c/0/{seed}/{row}/0" in manifest.files


def load_diagram(path: str | Path) -> xr.Dataset:
    """Read a diagram, finished or not, from its folder; every part is compared with its checksum.

    Raises:
        InvalidArgument: the folder holds no diagram, or parts of it are damaged; the message names them.
    """
    path = checks.path("path", path)
    held = storage.require(path, KIND)
    assert held.manifest is not None
    # chunks of a unit that is being written, or was when the run was killed, do not count yet
    flying = {n for n, fault in held.faults.items() if fault == storage.FOREIGN and _in_flight(held.manifest, n)}
    if held.faults.keys() - flying:
        told = storage.Held(held.folder, held.manifest, {n: f for n, f in held.faults.items() if n not in flying})
        raise InvalidArgument(
            "path", f"hold a whole {KIND}", f"parts of {path} are damaged: {told.told()}", "run it again to mend them"
        )
    (dataset,) = storage.load(held.folder, KIND)
    try:
        kind = _KINDS[dataset.attrs.get("diagram", DiagramSettings.kind)]
        settings = kind.from_dict(storage.json_object(dataset.attrs["settings"], "settings"))
        _mask(dataset, (n.split("/c/0/")[1] for n in flying), settings)
        needed = [name for name in settings.quantities if name not in settings.may_be_nan]
        done = np.isin(dataset["status"].values, (DONE, OVER_BUDGET))
        if not all(np.isfinite(dataset[name].values[done]).all() for name in needed):
            raise ValueError("cells that it calls done have no numbers")
        return settings.described(dataset)
    except Exception as error:
        raise storage.unreadable(path, KIND, error) from error


def _in_flight(manifest: storage.Manifest, name: str) -> bool:
    place = name.rsplit("/c/0/", maxsplit=1)[-1].split("/")
    return place[0].isdigit() and len(place) == 3 and not _vouched(manifest, int(place[0]), int(place[1]))


def _mask(dataset: xr.Dataset, places: Iterable[str], settings: GridSettings) -> None:
    """Take the cells of units, named "seed/row/0", for missing."""
    for place in places:
        seed, row = (int(n) for n in place.split("/")[:2])
        region = (slice(None), seed, slice(row * settings.rows_of_a_unit, (row + 1) * settings.rows_of_a_unit))
        for name in settings.quantities:
            dataset[name].values[region] = np.nan
        dataset["status"].values[region], dataset["reason"].values[region] = MISSING, ""


def _require_same(settings: GridSettings, path: Path, stored: Mapping[str, Any]) -> None:
    wanted = json.loads(json.dumps(settings.as_dict()))
    if next(iter(wanted)) not in stored:  # the values of an axis, which no other kind of diagram has
        remedy = "write to another folder"
        raise InvalidArgument("path", f"hold a {settings.kind}", f"{path} holds a diagram of other axes", remedy)
    changed = [name for name in wanted if wanted[name] != stored.get(name)]
    if changed:
        name = changed[0]
        raise InvalidArgument(
            name,
            f"be {stored.get(name)}, that of the diagram in {path}",
            f"it is {wanted[name]}" + (f" (and {', '.join(changed[1:])} differ too)" if changed[1:] else ""),
            "resume with the same settings or write to another folder",
        )
