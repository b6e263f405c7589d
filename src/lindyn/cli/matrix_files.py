"""Reading a matrix from a file that somebody else made (.npy, .npz, .csv, .tsv): never unpickled, never too large.

The one hard idea: everything that can go wrong is found before memory is taken. A file must be a regular one (a pipe or
a device may never end), its header must agree with its length, and its name with its content.
"""

from __future__ import annotations

import csv
import stat
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from lindyn.support import checks

TEXTS = {".csv": ",", ".tsv": "\t", ".txt": None}  # the separator; None: what the first line shows
KNOWN = (".npy", ".npz", *TEXTS)
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_SHARE = 4  # of the free memory, a quarter: the matrix is copied, decomposed and trained on
_LONGEST_LINE = 10_000_000


def read_matrix(name: str, path: Path) -> np.ndarray:
    """Read a matrix of finite numbers.

    Args:
        name: the option that names the file, for messages.
        path: .npy; .npz with one matrix, or one called as the option; .csv, .tsv or .txt, with or without a line of
            names above and a column of names or of row numbers at the left.

    Returns:
        The matrix, float32 if the file holds float32 or less, else float64.

    Raises:
        InvalidArgument: what is read is no such file, holds no such matrix, or would not fit into memory.
    """
    try:
        matrix = _read(name, path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, csv.Error, NotImplementedError) as error:
        if isinstance(error, checks.InvalidArgument):
            raise
        told = getattr(error, "strerror", None) or checks.one_line(error).partition("; use `usecols`")[0]
        raise checks.InvalidArgument(
            name, "be a readable .npy, .npz, .csv or .tsv file of numbers", f"reading {path} failed: {told}"
        ) from error
    return checks.array(name, matrix, 2)


def _read(name: str, path: Path) -> np.ndarray:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise checks.InvalidArgument(name, "be a regular file", f"{path} is {_kind(status.st_mode)}")
    if status.st_size == 0:
        raise checks.InvalidArgument(name, "hold a matrix", f"{path} is empty")
    _check_size(name, path, status.st_size)
    with path.open("rb") as file:
        start = file.read(8)
    suffix = path.suffix.lower()
    if suffix not in KNOWN:
        raise checks.InvalidArgument(name, f"be a file named {', '.join(KNOWN)}", f"it is {path}")
    found = ".npy" if start.startswith(_NPY) else ".npz" if start.startswith(_ZIP) else "text"
    if found != (suffix if suffix in (".npy", ".npz") else "text"):
        told = {"text": "neither NumPy's format nor a zip archive"}.get(found, f"that of a {found} file")
        raise checks.InvalidArgument(name, "hold what its name says", f"the content of {path} is {told}")
    if found == "text":
        return _text(name, path, TEXTS[suffix])
    return _npy(name, path) if found == ".npy" else _npz(name, path)


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((told for is_it, told in kinds if is_it(mode)), "a device")


def _check_size(name: str, path: Path, size: int) -> None:
    import psutil

    free = psutil.virtual_memory().available
    if size > free / _SHARE:
        raise checks.InvalidArgument(
            name,
            f"fit into a quarter of the free memory ({free / _SHARE / 2**30:.1f} GiB)",
            f"{path} holds {size / 2**30:.1f} GiB",
        )


def _npy(name: str, path: Path) -> np.ndarray:
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)  # a header that promises too much fails here
    return _of_numbers(name, path, mapped)


def _npz(name: str, path: Path) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        _check_size(name, path, sum(info.file_size for info in archive.infolist()))
        inside = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        shapes = {key: _shape_in(archive, info) for key, info in inside.items() if info.filename.endswith(".npy")}
    matrices = [key for key, shape in shapes.items() if len(shape) == 2]
    if name not in matrices and len(matrices) != 1:
        told = f"it holds {len(matrices)}: {', '.join(sorted(shapes))}" if shapes else "it holds no array"
        raise checks.InvalidArgument(name, f"hold one matrix, or one named {name!r}", told)
    chosen = name if name in matrices else matrices[0]
    size, promised = inside[chosen].file_size, int(np.prod(shapes[chosen], dtype=object))
    if promised > size:  # an entry takes a byte at least
        raise checks.InvalidArgument(name, "hold all its entries", f"{path} ends before the last of {promised}")
    with np.load(path, allow_pickle=False) as file:
        return _of_numbers(name, path, file[chosen])


def _shape_in(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[int, ...]:
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return read(file)[0]


def _of_numbers(name: str, path: Path, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "biuf":
        raise checks.InvalidArgument(
            name, "hold real numbers", f"{path} holds entries of type {values.dtype.name or values.dtype}"
        )
    return values


def _text(name: str, path: Path, separator: str | None) -> np.ndarray:
    """Read text: the first lines tell the separator, a line of names and a column of names or row numbers."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = [line for line in (file.readline(_LONGEST_LINE) for _ in range(3)) if line.strip()]
    if any("\0" in line for line in lines):
        raise checks.InvalidArgument(name, "hold text", f"{path} holds other bytes")
    if not lines:
        raise checks.InvalidArgument(name, "hold a matrix", f"{path} holds no numbers")
    separator = _separator(lines[0]) if separator is None or separator not in lines[0] else separator
    rows = [line.split() if separator == " " else next(csv.reader([line], delimiter=separator)) for line in lines]
    head, first = rows[0], rows[-1]
    counted = len(head) > 2 and [c.strip() for c in head] == [str(k) for k in range(len(head))]
    has_names = counted or all(map(_is_name, head[1:] or head))
    if counted:
        warnings.warn(f"The first line of {path}, 0, 1, 2, …, is taken for the names of its columns.", stacklevel=2)
    has_index = len(first) > 1 and ((has_names and not head[0].strip()) or not _is_number(first[0]))
    has_index = has_index or len(first) == len(head) + 1  # R writes no head above the names of the rows
    if has_names and len(rows) == 1:
        raise checks.InvalidArgument(name, "hold numbers below its line of names", f"{path} holds one line")
    options: dict[str, Any] = {"delimiter": None if separator == " " else separator, "quotechar": '"', "ndmin": 2}
    columns = range(1, len(first)) if has_index else None
    with path.open(encoding="utf-8-sig", newline="") as file:
        return np.loadtxt(file, comments=None, skiprows=int(has_names), usecols=columns, **options)


def _separator(line: str) -> str:
    return next((s for s in ("\t", ";", ",") if s in line), " ")


def _is_name(cell: str) -> bool:
    """Whether a cell names a column: text, and not one of the marks of a missing number."""
    return not _is_number(cell) and cell.strip().lower() not in ("", "na", "n/a", "null", "none", "-")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_table(name: str, path: Path) -> Any:
    """Read a CSV file with named columns as a pandas table, from a regular file that fits into memory.

    Raises:
        InvalidArgument: it cannot be read.
    """
    import pandas as pd

    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise checks.InvalidArgument(name, "be a regular file", f"{path} is {_kind(status.st_mode)}")
        _check_size(name, path, status.st_size)
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        if isinstance(error, checks.InvalidArgument):
            raise
        told = getattr(error, "strerror", None) or checks.one_line(error)
        raise checks.InvalidArgument(name, "be a readable CSV file", f"reading {path} failed: {told}") from error
