"""Tensors in safetensors files: memory-mapped, read one by one, never unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lindyn.support import checks

FLOATS = ("F64", "F32", "F16", "BF16")
# a zip archive, as PyTorch writes; pickle of protocols 2 to 5
_PICKLED_HEADS = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


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
        if path.name.endswith(".index.json"):
            content = read_json(path)
            shards = content.get("weight_map")
            if not isinstance(shards, dict):
                raise checks.InvalidArgument("source", "be an index with a weight_map", f"{path} has none")
            self._where = {name: path.parent / str(shard) for name, shard in shards.items()}
        else:
            self._where = dict.fromkeys(self._open(path).keys(), path)

    @property
    def names(self) -> list[str]:
        """Names of all tensors, in the file's order."""
        return list(self._where)

    def between(self, first: str, second: str) -> str | None:
        """Return None: a file does not say how its layers are joined."""

    def read(self, name: str, *parts: slice) -> np.ndarray:
        """Return a tensor, or the rows (and columns) asked for.

        Raises:
            InvalidArgument: a dtype that is not fp64, fp32, fp16 or bf16: a quantised tensor.
        """
        view = self._slice(name)
        dtype = view.get_dtype()
        if dtype not in FLOATS:
            raise checks.InvalidArgument(
                "source",
                "hold fp64, fp32, fp16 or bf16 factors",
                f"'{name}' is of type {dtype}, as quantised tensors are",
                "save the factors unquantised",
            )
        if 0 in view.get_shape():
            raise checks.InvalidArgument(
                "source", "hold factors of rank 1 or more", f"'{name}' is empty: its shape is {tuple(view.get_shape())}"
            )
        from safetensors import SafetensorError

        try:
            return np.asarray(view[parts] if parts else view[:])
        except SafetensorError as error:
            raise checks.InvalidArgument(
                "source", f"hold what is asked of '{name}'", f"reading it failed: {checks.one_line(error)}"
            ) from error

    def _slice(self, name: str) -> Any:
        try:
            return self._open(self._where[name]).get_slice(name)
        except KeyError:
            raise checks.InvalidArgument("source", f"hold a tensor '{name}'", "it has no such tensor") from None

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
    if not path.is_file():
        raise checks.InvalidArgument("source", "be a file or folder that exists", f"there is no {path}")
    if path.suffix in PICKLED or _head(path) in _PICKLED_HEADS:
        raise checks.InvalidArgument(
            "source",
            "be a safetensors file",
            f"{path.name} is pickled, and unpickling runs whatever code it holds",
            "save it as safetensors",
        )
    try:
        return safetensors.safe_open(str(path), framework="np")
    except (safetensors.SafetensorError, OSError) as error:
        raise checks.InvalidArgument(
            "source", "be a readable safetensors file", f"reading {path.name} failed: {checks.one_line(error)}"
        ) from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or refuse in a sentence."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise checks.InvalidArgument(
            "source", "come with a readable JSON config", f"reading {path.name} failed: {checks.one_line(error)}"
        ) from error
    if not isinstance(content, dict):
        raise checks.InvalidArgument("source", "come with a JSON object as config", f"{path.name} holds something else")
    return content


def weights_file(folder: Path, *stems: str) -> Path:
    """Return the safetensors file (or index) of a folder, or say which pickled file stands in its place."""
    for stem in stems:
        for name in (f"{stem}.safetensors", f"{stem}.safetensors.index.json"):
            if (folder / name).is_file():
                return folder / name
    pickled = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLED)
    wanted = " or ".join(f"{stem}.safetensors" for stem in stems)
    if pickled:
        raise checks.InvalidArgument(
            "source",
            f"hold {wanted}",
            f"{folder} holds {pickled[0]} only, which is pickled and never opened",
            "save it as safetensors",
        )
    raise checks.InvalidArgument("source", f"hold {wanted}", f"{folder} has no such file")
