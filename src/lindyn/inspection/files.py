"""Tensors in safetensors files: memory-mapped, read one by one, never unpickled."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from lindyn.support import checks

FLOATS = ("F64", "F32", "F16", "BF16")
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
# the first bytes of what is found under the name of a safetensors file, and what to do with it
_UNPICKLE = "pickled, and unpickling runs whatever code it holds"
_HEADS = (
    (b"\x80\x02", _UNPICKLE, "save it as safetensors"),
    (b"\x80\x03", _UNPICKLE, "save it as safetensors"),
    (b"\x80\x04", _UNPICKLE, "save it as safetensors"),
    (b"\x80\x05", _UNPICKLE, "save it as safetensors"),
    (b"version https://git-lfs", "a pointer of git-lfs, and the weights were not downloaded", "run `git lfs pull`"),
    (b"GGUF", "a GGUF file, whose tensors are renamed and mostly quantised", "use the adapter it was made from"),
    (b"\x93NUMPY", "a .npy file with one unnamed array", "save the factors by name as safetensors"),
    (b"\x89HDF", "an HDF5 file", "save the factors as safetensors"),
    (b"<", "a web page, as a download without permission leaves it", "download it again"),
    (b"\x1f\x8b", "compressed by gzip", "unpack it"),
)


class TensorFiles:
    """Named tensors of one safetensors file, or of the shards that an index lists.

    Opening reads headers only; `read` maps the file and copies the part asked for.

    Args:
        path: a .safetensors file, or a .safetensors.index.json.

    Raises:
        InvalidArgument: no such file, one that is pickled or corrupt, or an index that names missing shards.
        ImportError: safetensors is not installed.
    """

    def __init__(self, path: Path):
        self.path = path
        self._handles: dict[Path, Any] = {}
        self._kept: dict[str, np.ndarray] = {}
        if path.name.endswith(".index.json"):
            content = read_json(path)
            shards = content.get("weight_map")
            if not isinstance(shards, dict):
                raise checks.InvalidArgument("source", "be an index with a weight_map", f"{path} has none")
            outside = [shard for shard in shards.values() if Path(str(shard)).name != str(shard)]
            if outside:
                raise checks.InvalidArgument(
                    "source", "be an index of files beside it", f"it names {checks.shown(outside[0])}"
                )
            self._where = {name: path.parent / str(shard) for name, shard in shards.items()}
        else:
            self._where = dict.fromkeys(self._open(path).keys(), path)

    @property
    def names(self) -> list[str]:
        """Names of all tensors, in the file's order."""
        return list(self._where)

    def __contains__(self, name: str) -> bool:
        """Return whether there is a tensor of that name."""
        return name in self._where

    @property
    def metadata(self) -> dict[str, str]:
        """What the header says beside the tensors; of the first file, if there are several."""
        return dict(next(iter(self._handles.values())).metadata() or {}) if self._handles else {}

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape, from the header.

        Raises:
            InvalidArgument: no such tensor.
        """
        return tuple(self._view(name).get_shape())

    def between(self, first: str, second: str) -> str | None:
        """Return None: a file does not say how its layers are joined."""

    def read(self, name: str, *parts: slice) -> np.ndarray:
        """Return a tensor, or the rows (and columns) asked for.

        Raises:
            InvalidArgument: a dtype that is not fp64, fp32, fp16 or bf16: a quantised tensor.
        """
        view = self._view(name)
        if view.get_dtype() not in FLOATS:
            raise checks.InvalidArgument(
                "source",
                "hold fp64, fp32, fp16 or bf16 factors",
                f"'{name}' is of type {view.get_dtype()}, as quantised tensors are",
                "save the factors unquantised",
            )
        if 0 in view.get_shape():
            raise checks.InvalidArgument(
                "source", "hold factors of rank 1 or more", f"'{name}' is empty: its shape is {tuple(view.get_shape())}"
            )
        from safetensors import SafetensorError

        try:
            if not view.get_shape():
                return np.asarray(self._open(self._where[name]).get_tensor(name))
            return np.asarray(view[parts] if parts else view[:])
        except SafetensorError as error:
            raise checks.InvalidArgument(
                "source", f"hold what is asked of '{name}'", f"reading it failed: {checks.one_line(error)}"
            ) from error

    def number(self, name: str) -> float:
        """Return the one number of a tensor, of any type: kohya's files hold α as a float or as an integer.

        Raises:
            InvalidArgument: no such tensor, or one of several numbers.
        """
        shape = self.shape(name)
        if any(n != 1 for n in shape):
            raise checks.InvalidArgument("source", f"hold one number as '{name}'", f"its shape is {shape}")
        return float(np.asarray(self._open(self._where[name]).get_tensor(name)).reshape(-1)[0])

    def whole(self, name: str) -> np.ndarray:
        """Return a tensor that several pairs share, such as stacked experts; the last two are kept."""
        if name not in self._kept:
            while len(self._kept) > 1:
                self._kept.pop(next(iter(self._kept)))
            self._kept[name] = self.read(name)
        return self._kept[name]

    def _view(self, name: str) -> Any:
        from safetensors import SafetensorError

        try:
            return self._open(self._where[name]).get_slice(name)
        except KeyError:
            raise checks.InvalidArgument("source", f"hold a tensor '{name}'", "it has no such tensor") from None
        except SafetensorError:
            where = f"its index says that {self._where[name].name} holds it, which it does not"
            raise checks.InvalidArgument("source", f"hold a tensor '{name}'", where) from None

    def _open(self, path: Path) -> Any:
        if path not in self._handles:
            self._handles[path] = _open_safetensors(path)
        return self._handles[path]


def _open_safetensors(path: Path) -> Any:
    try:
        import ml_dtypes  # noqa: F401  # lets NumPy know bfloat16
        import safetensors
    except ImportError as error:
        raise ImportError(
            "Reading adapters and checkpoints needs safetensors; install it with: pip install 'lindyn[adapters]'."
        ) from error
    refuse_foreign(path)
    try:
        return safetensors.safe_open(str(path), framework="np")
    except (safetensors.SafetensorError, OSError) as error:
        raise checks.InvalidArgument(
            "source", "be a readable safetensors file", f"reading {path.name} failed: {checks.one_line(error)}"
        ) from error


def refuse_foreign(path: Path) -> None:
    """Refuse what is no safetensors file, by its first bytes, and say what it is.

    Raises:
        InvalidArgument: no file, or one of another format.
    """
    try:
        if not path.exists():
            raise checks.InvalidArgument("source", "be a file or folder that exists", f"there is no {path}")
        if not path.is_file():
            kind = "folder" if path.is_dir() else "pipe, a socket or a device"
            raise checks.InvalidArgument("source", "be a file or a folder", f"{path} is a {kind}")
        with path.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        raise checks.InvalidArgument(
            "source", "be a file that can be read", f"opening it failed: {checks.one_line(error)}"
        ) from error
    what, remedy = _foreign(path, head)
    if what:
        raise checks.InvalidArgument("source", "be a safetensors file", f"{path.name} is {what}", remedy)


def _foreign(path: Path, head: bytes) -> tuple[str, str]:
    """What a file is that is no safetensors file, and the remedy; two empty texts if nothing speaks against it."""
    if not head:
        return "empty", "copy or download it again"
    for start, what, remedy in _HEADS:
        if head.startswith(start):
            return what, remedy
    if head.startswith(b"PK"):  # a zip archive: of arrays (MLX's old adapters), or PyTorch's pickle
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError):
            names = []
        if names and all(name.endswith(".npy") for name in names):
            return "an .npz archive of arrays, as old MLX adapters are", "save the factors as safetensors"
        return _UNPICKLE, "save it as safetensors"
    if path.suffix in PICKLED:
        return _UNPICKLE, "save it as safetensors"
    if head[:1] in b"{[" and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "JSON text, a config perhaps", "pass the folder that holds it and the weights"
    return "", ""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or refuse in a sentence; a byte-order mark, as Windows editors leave it, is no error."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else checks.one_line(error)
        raise checks.InvalidArgument(
            "source", "come with a readable JSON config", f"reading {path.name} failed: {reason}"
        ) from error
    if not isinstance(content, dict):
        raise checks.InvalidArgument("source", "come with a JSON object as config", f"{path.name} holds something else")
    return content


def yaml_numbers(path: Path, *names: str) -> dict[str, float]:
    """Return numbers that a YAML file sets in lines `name: 8`, at any depth; of those names that are there."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return {}
    found = {name: re.search(rf"^[ \t]*{name}:[ \t]*(-?\d+(?:\.\d+)?)[ \t\r]*(?:#.*)?$", text, re.M) for name in names}
    return {name: float(match[1]) for name, match in found.items() if match}
