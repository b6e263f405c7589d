"""One layer of storage for trajectories, diagrams, refinements and trackers: folders that notice every change.

A store is a zarr folder (format 3) of one or more labelled datasets, and a manifest: the kind of the store, shape and
dtype of every array, a checksum of every file, and a checksum of the manifest itself. Zarr takes a chunk that is absent
for one that holds the fill value, so only the manifest can tell a chunk that was never written from one that was lost.
It is written last and atomically: what it does not list does not count. A second copy of it lies beside the first, so
that one damaged byte there does not cost everything that the manifest vouches for.

Files are checked before zarr reads them, and metadata are read as plain JSON of known types and codecs only: an array
of Python objects would run code when it is decoded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lindyn._version import __version__
from lindyn.support import checks
from lindyn.support.checks import InvalidArgument, one_line

if TYPE_CHECKING:
    import xarray as xr

# kind of a store → the function that reads it
READERS: Mapping[str, str] = {
    "trajectory": "lindyn.Trajectory.load",
    "phase diagram": "lindyn.diagrams.load_diagram",
    "refinement": "lindyn.diagrams.load_points",
    "record of a tracker": "lindyn.inspection.load_tracking",
}
_MANIFESTS = ("manifest/zarr.json", "manifest_copy/zarr.json")
_METADATA = "zarr.json"
FOREIGN = "was not written by lindyn"  # a fault: a file that would be read, and that the manifest does not list
_TYPES = re.compile(r"bool|string|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)")
_CODECS = {"bytes", "zstd", "vlen-utf8", "crc32c"}
_OTHER_FORMATS = {".nc", ".npz", ".npy", ".h5", ".hdf5", ".csv", ".tsv", ".json", ".mat", ".txt", ".zip", ".pkl"}
_LARGEST_METADATA = 64 * 2**20  # bytes; a manifest of 10⁵ files has 8 MiB


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        ValueError: it is too large, too deep, holds numbers of thousands of digits, is not JSON or not an object.
        OSError: it cannot be read.
    """
    if path.stat().st_size > _LARGEST_METADATA:
        raise ValueError(f"{path.name} has more than {_LARGEST_METADATA // 2**20} MiB")
    try:
        data = json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {one_line(error)}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path.name} does not hold an object")
    return data


def json_object(text: Any, what: str) -> dict[str, Any]:
    """Read an attribute that holds one JSON object as text.

    Raises:
        ValueError: it does not; the message calls it `what`.
    """
    try:
        data = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"its {what} cannot be read as JSON: {one_line(error)}") from error
    if not isinstance(data, dict):
        raise ValueError(f"its {what} is not a JSON object")
    return data


def checksum(data: bytes) -> str:
    """Return a 128-bit checksum (BLAKE2b) as 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What a store holds.

    Attributes:
        kind: a key of `READERS`.
        about: text by which the owner of the store tells what it is of, such as the settings of a diagram.
        arrays: name → [shape, dtype].
        files: path inside the store → checksum; a file that is not listed does not count.
        lindyn_version: version that wrote the store.
    """

    kind: str
    about: str = ""
    arrays: Mapping[str, list[Any]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    lindyn_version: str = __version__

    @classmethod
    def of(cls, folder: Path, kind: str, about: str = "") -> Self:
        """Return the manifest of all files that lie in a folder."""
        files = {name: checksum((folder / name).read_bytes()) for name in _files(folder)}
        arrays = {}
        for name in files:
            node = read_json(folder / name) if Path(name).name == _METADATA else {}
            if node.get("node_type") == "array":
                arrays[str(Path(name).parent.as_posix())] = [node["shape"], node["data_type"]]
        return cls(kind, about, arrays, files)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read one copy of a manifest.

        Raises:
            ValueError: it is damaged.
            OSError: it is not there.
        """
        held = read_json(path).get("attributes")
        if not isinstance(held, dict):
            raise ValueError("it has no attributes")
        written = held.pop("checksum", None)
        if written != checksum(_canonical(held)):
            raise ValueError("its checksum does not fit")
        manifest = cls(**held)
        if path.read_bytes() != manifest.text():  # a change outside of what the checksum covers
            raise ValueError("it is not written as lindyn writes it")
        parts = (manifest.kind, manifest.about, manifest.lindyn_version, *manifest.files, *manifest.files.values())
        if not all(isinstance(part, str) for part in parts):
            raise ValueError("it holds other than names and checksums")
        return manifest

    def text(self) -> bytes:
        """Return the file: the metadata of a zarr group without arrays, so that other tools do not stumble over it."""
        held: dict[str, Any] = {
            "kind": self.kind,
            "about": self.about,
            "arrays": dict(self.arrays),
            "files": dict(self.files),
            "lindyn_version": self.lindyn_version,
        }
        held["checksum"] = checksum(_canonical(held))
        return _canonical({"zarr_format": 3, "node_type": "group", "attributes": held})

    def write(self, folder: Path) -> None:
        """Write both copies, each atomically."""
        text = self.text()
        for name in _MANIFESTS:
            place = folder / name
            place.parent.mkdir(exist_ok=True)
            scratch = place.with_suffix(".partial")
            scratch.write_bytes(text)
            scratch.replace(place)

    def faults(self, folder: Path) -> dict[str, str]:
        """Return what differs from the manifest: path inside the store → "is missing", "has changed" …"""
        found = {}
        present = set(_files(folder))
        for name, expected in self.files.items():
            if name not in present:
                found[name] = "is missing"
            elif checksum((folder / name).read_bytes()) != expected:
                found[name] = "has changed"
        for name in present - set(self.files):
            if Path(name).name == _METADATA or "c" in Path(name).parts:
                found[name] = FOREIGN
        return found


def _canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _files(folder: Path) -> Iterator[str]:
    """Files of a store apart from manifests and what a killed writer left, as paths inside it."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in _MANIFESTS and path.suffix != ".partial":
            yield name


@dataclass(frozen=True)
class Held:
    """What lies at a path.

    Attributes:
        folder: where the store stands.
        manifest: the first copy of its manifest that is whole, or None.
        faults: path inside the store → what is wrong with it.
    """

    folder: Path
    manifest: Manifest | None
    faults: Mapping[str, str]

    def told(self) -> str:
        """Return the faults in words, the first three by name."""
        named = [f"{name} {fault}" for name, fault in list(self.faults.items())[:3]]
        left = len(self.faults) - len(named)
        return ", ".join(named) + (f" and {left} more" if left else "")


def standing(path: Path) -> Path:
    """Return where the store of a path stands: a replacement cut short leaves the earlier one under another name."""
    before = _before(path)
    return before if before.exists() and not path.exists() else path


def _before(path: Path) -> Path:
    return path.with_name(f".{path.name}.before")


def examine(path: Path) -> Held:
    """Compare the store at a path with its manifest, without reading any array."""
    folder = standing(path)
    manifest, faults = None, {}
    for name in _MANIFESTS:
        try:
            manifest = manifest or Manifest.read(folder / name)
            Manifest.read(folder / name)
        except FileNotFoundError:
            faults[name] = "is missing"
        except (OSError, TypeError, ValueError):
            faults[name] = "has changed"
    if manifest is not None:
        faults |= manifest.faults(folder)
    return Held(folder, manifest, faults)


def require(path: Path, kind: str) -> Held:
    """Return what lies at a path if it is a store of a kind, whole or damaged.

    Raises:
        InvalidArgument: nothing is there, or something else.
    """
    must = f"hold a {kind} that lindyn wrote"
    folder = standing(path)
    if not folder.exists():
        raise InvalidArgument("path", must, f"there is nothing at {path}")
    if not folder.is_dir():
        raise InvalidArgument("path", must, f"{path} is not a folder")
    held = examine(path)
    if held.manifest is None:
        told = "has no manifest" if all(f == "is missing" for f in held.faults.values()) else "has a damaged manifest"
        raise InvalidArgument("path", must, f"{path} {told}")
    if held.manifest.kind != kind:
        other = held.manifest.kind
        remedy = f"read it with {READERS[other]}" if other in READERS else ""
        raise InvalidArgument("path", must, f"{path} holds a {other}", remedy)
    return held


def read(path: str | Path, kind: str, *, groups: tuple[str, ...] = ("",)) -> list[xr.Dataset]:
    """Read the datasets of a store after comparing every file with its checksum.

    Raises:
        InvalidArgument: nothing is there, something else, or a store of which parts are damaged; the message names
            them.
    """
    path = checks.path("path", path)
    held = require(path, kind)
    if held.faults:
        raise InvalidArgument(
            "path", f"hold a whole {kind}", f"parts of {path} are damaged: {held.told()}", "restore it from a copy"
        )
    return load(held.folder, kind, groups)


def load(folder: Path, kind: str, groups: tuple[str, ...] = ("",)) -> list[xr.Dataset]:
    """Read the datasets of a folder whose files have been checked.

    Raises:
        InvalidArgument: its metadata name types or codecs that lindyn does not write, or more than fits in memory.
    """
    import xarray as xr

    try:
        _require_plain(folder)
        # units such as "seconds" are labels here: nothing is decoded to dates
        return [
            xr.open_zarr(
                folder, group=group or None, consolidated=False, chunks=None, zarr_format=3, decode_times=False
            ).load()
            for group in groups
        ]
    except Exception as error:
        raise unreadable(folder, kind, error) from error


def unreadable(path: Path, kind: str, error: Exception) -> InvalidArgument:
    """Return the refusal of a store whose contents cannot be understood."""
    return InvalidArgument("path", f"hold a {kind} that lindyn wrote", f"{path} does not: {one_line(error)}")


def _require_plain(folder: Path) -> None:
    import psutil

    total = 0
    for name in _files(folder):
        if Path(name).name != _METADATA:
            continue
        node = read_json(folder / name)
        if node.get("zarr_format") != 3 or node.get("node_type") not in ("group", "array"):
            raise ValueError(f"{name} is not of zarr format 3")
        if node["node_type"] == "array":
            total += _bytes_of(name, node)
    free = psutil.virtual_memory().available
    if total > free:
        raise ValueError(f"its arrays need {total / 2**30:,.1f} GiB, and {free / 2**30:,.1f} GiB are free")


def _bytes_of(name: str, node: dict[str, Any]) -> int:
    """Bytes of an array by its metadata, which must name plain types and codecs."""
    kind, shape = node.get("data_type"), node.get("shape")
    if not isinstance(kind, str) or not _TYPES.fullmatch(kind):
        raise ValueError(f"{name} has entries of the type {kind!r:.40}")
    codecs = node.get("codecs")
    names = {c.get("name") for c in codecs if isinstance(c, dict)} if isinstance(codecs, list) else {None}
    if not names <= _CODECS or node.get("storage_transformers"):
        raise ValueError(f"{name} is coded by {names!r:.60}")
    if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"{name} has the shape {shape!r:.40}")
    size = 8
    for n in shape:
        size *= n
    return size


def fill(folder: Path, datasets: Mapping[str, xr.Dataset], *, encoding: Mapping[str, Any] | None = None) -> None:
    """Write datasets, group by group, into a folder that does not exist yet; without a manifest."""
    from zarr.codecs import ZstdCodec

    for group, data in datasets.items():
        plain: dict[str, Any] = {str(n): {"compressors": (ZstdCodec(checksum=True),)} for n in data.variables}
        for name, more in (encoding or {}).items():
            plain[name] |= more
        with warnings.catch_warnings():
            # consolidated metadata are an extension of format 3: xarray.open_zarr looks for them and warns without
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
            data.to_zarr(
                folder, group=group or None, mode="a", zarr_format=3, encoding=plain, consolidated=not group
            )  # fmt: skip


def write(path: Path, kind: str, datasets: Mapping[str, xr.Dataset], *, overwrite: bool, about: str = "") -> None:
    """Write a store, whole or not at all.

    Args:
        path: the folder.
        kind: a key of `READERS`.
        datasets: group → dataset; "" is the root.
        overwrite: replace a store that lindyn wrote.
        about: see `Manifest`.

    Raises:
        InvalidArgument: the path names a file format, exists, or may be overwritten but holds what lindyn did not
            write.
        OSError: the folder cannot be written.
    """
    require_free(path, overwrite=overwrite)
    with replacing(path) as part:
        fill(part, datasets)
        Manifest.of(part, kind, about).write(part)


def require_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a path that a store must not be written to."""
    if path.suffix.lower() in _OTHER_FORMATS:
        raise InvalidArgument(
            "path",
            "name a folder, by habit one that ends in .zarr",
            f"{path.name!r} is the name of a {path.suffix} file",
            "of a trajectory, `run.to_xarray().to_netcdf(…)` writes NetCDF" if path.suffix == ".nc" else "",
        )
    folder = standing(path)
    if not (folder.exists() or folder.is_symlink()):
        return
    if not overwrite:
        raise InvalidArgument("path", "not exist", f"{path} does", "pass overwrite=True or another path")
    held = examine(path) if folder.is_dir() else None
    if held is None or held.manifest is None:
        raise InvalidArgument(
            "path", "hold what lindyn wrote to be overwritten", f"{path} does not", "remove it by hand"
        )
    foreign = set(_files(folder)) - set(held.manifest.files)
    if foreign:
        raise InvalidArgument(
            "path", "hold only what lindyn wrote to be overwritten", f"{path} also holds {min(foreign)}", "move it away"
        )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a place to write a folder to, and move it to `path`, in place of what was there, once that has succeeded.

    Cut short between the two renames, the folder before stands under the name that `standing` knows.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as home:
        ...     with replacing(Path(home) / "results") as part:
        ...         part.mkdir()
        ...     [p.name for p in Path(home).iterdir()]
        ['results']
    """
    with parents_of(path):
        _sweep(path)
        part = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            yield part
            before = _before(path)
            if path.exists():
                shutil.rmtree(before, ignore_errors=True)
                path.rename(before)
            part.rename(path)
            shutil.rmtree(before, ignore_errors=True)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove what writers of this path that no longer live have left."""
    import psutil

    for left in path.parent.glob(f".{path.name}.*.partial"):
        pid = left.name.removesuffix(".partial").rpartition(".")[2]
        if pid.isdigit() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def parents_of(path: Path) -> Iterator[None]:
    """Make the folders above a path, and remove those made, if they are empty, when the body fails."""
    missing = [p for p in (path.parent, *path.parent.parents) if not p.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in missing:
                folder.rmdir()
        raise


def vouch(folder: Path, manifest: Manifest, names: Iterable[str]) -> Manifest:
    """Add files that have been written to the manifest of a store, or take from it those that are absent."""
    files = dict(manifest.files)
    for name in names:
        place = folder / name
        files.pop(name, None)
        if place.exists():
            files[name] = checksum(place.read_bytes())
    changed = replace(manifest, files=files)
    changed.write(folder)
    return changed


def as_object_array(values: Iterable[str]) -> np.ndarray:
    """Return strings as the array of which xarray makes variable-length text."""
    return np.array(list(values), dtype=object)
