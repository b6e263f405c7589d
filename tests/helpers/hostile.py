"""Right and wrong inputs for generated calls and command lines: numbers past every bound, files that lie."""

import contextlib
import os
import zipfile

import numpy as np

INTEGERS = ["0", "-1", "1", "3", "2.5", "1e3", "99999999999999999999", "1000000000000", "abc", ""]
NUMBERS = ["0", "-1", "0.5", "3", "1e308", "1e-308", "1000", "-1000", "nan", "inf", "-inf", "1e999", "x", ""]
LISTS = ["9,5", "3", "0,0", "-1,2", "nan", "inf,1", "1e400,1", "3,x", ",", "", "1e308,1e308", "5,9"]
WORDS = ["nope", "", "[red]x[/]", "[/]", "é€τ", "figure9", "a" * 300]

GOOD_FILES = ["m.npy", "m32.npy", "m.csv", "header.csv", "index.csv", "m.tsv", "one.npz", "named.npz", "half.npy"]
BAD_FILES = [
    "missing.npy", "folder", "empty.npy", "empty.csv", "text.npy", "object.npy", "complex.npy", "vector.npy",
    "cube.npy",
    "nan.npy", "dates.npy", "words.npy", "record.npy", "short.npy", "giant.npy", "sparse.npy", "pipe.npy", "loop.npy",
    "device.npy", "ragged.csv", "words.csv", "latin.csv", "binary.csv", "header_only.csv", "two.npz", "none.npz",
    "broken.npz", "no_suffix", "picture.png", "zeros.npy", "gaps.csv",
]  # fmt: skip


def write_files(folder):
    """Write every file named above, but the missing one."""
    rng = np.random.default_rng(0)
    matrix = 20 * np.outer(rng.standard_normal(8), rng.standard_normal(8)) / 8 + rng.standard_normal((8, 8))
    save = lambda name, value, **more: np.save(folder / name, value, **more)  # noqa: E731 - one word for twelve lines
    save("m.npy", matrix)
    save("m32.npy", matrix.astype(np.float32))
    save("half.npy", matrix.astype(np.float16))
    save("zeros.npy", np.zeros((8, 8)))
    save("object.npy", np.array([[1, "a"]], dtype=object), allow_pickle=True)
    save("complex.npy", matrix + 1j)
    save("vector.npy", matrix[0])
    save("cube.npy", matrix[None])
    save("nan.npy", np.full((8, 8), np.nan))
    save("dates.npy", np.zeros((2, 2), dtype="datetime64[s]"))
    save("words.npy", np.array([["a", "b"]]))
    save("record.npy", np.zeros((2, 2), dtype=[("a", float)]))
    rows = [",".join(map(repr, row)) for row in matrix.tolist()]
    names = [f"x{k}" for k in range(8)]
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    (folder / "m.tsv").write_text("\n".join(rows).replace(",", "\t"))
    (folder / "header.csv").write_text("\n".join([",".join(names), *rows]))
    indexed = [f"row{k},{row}" for k, row in enumerate(rows)]
    (folder / "index.csv").write_text("\n".join([",".join(["", *names]), *indexed]))
    (folder / "ragged.csv").write_text("1,2\n3\n")
    (folder / "gaps.csv").write_text("1,2\n3,\n")
    (folder / "words.csv").write_text("a,b\nc,d\n")
    (folder / "latin.csv").write_bytes(b"\xe9,\xe8\n1,2\n")
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 4)
    (folder / "header_only.csv").write_text(",".join(names))
    for name in ("empty.npy", "empty.csv"):
        (folder / name).touch()
    (folder / "text.npy").write_text("1,2\n3,4\n")
    whole = (folder / "m.npy").read_bytes()
    (folder / "short.npy").write_bytes(whole[:200])
    (folder / "giant.npy").write_bytes(whole.replace(b"(8, 8)", b"(9999999, 9999999)".ljust(6))[:128] + b"\0" * 64)
    with (folder / "sparse.npy").open("wb") as file:
        file.write(whole[:128])
        file.truncate(1 << 42)  # 4 TiB that take no room
    np.savez(folder / "one.npz", a=matrix)
    np.savez(folder / "named.npz", target=matrix, signal=matrix, gradient=matrix, other=matrix)
    np.savez(folder / "two.npz", a=matrix, b=matrix)
    with zipfile.ZipFile(folder / "none.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    (folder / "broken.npz").write_bytes((folder / "one.npz").read_bytes()[:300])
    (folder / "no_suffix").write_bytes(whole)
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "folder").mkdir()
    with contextlib.suppress(OSError, AttributeError):  # not on every system
        os.mkfifo(folder / "pipe.npy")
        (folder / "loop.npy").symlink_to(folder / "loop.npy")
        (folder / "device.npy").symlink_to("/dev/zero")
    return folder


def hostile_values():
    """Values that are wrong almost everywhere."""
    return [
        None, "x", "", -1, 0, 2.5, True, float("nan"), float("inf"), 1e308, -1e308, 10**30, 10**400, [], [[]], {}, (),
        {1}, b"x", 1j, object(), len, np.zeros((0, 3)), np.zeros(3), np.full((3, 3), np.nan), np.zeros((2, 2, 2)),
        np.array([[1j]]), np.array([["a"]]), np.array([[None]]), np.array(7.0), np.float32(3),
        np.ma.masked_array(np.ones((6, 6)), mask=np.eye(6)), np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.zeros(2, dtype=[("a", float)]), [1, "a"], [[1, 2], [3]], [3.0, float("nan")], [1e308, 1e308], range(3),
        "auto", (6, 6), (6, -6), (6,), (6, 6, 6), (10**20, 10**20), 10**12,
        1e200, -1e-300, np.ma.masked, np.ones((1, 1)),
    ]  # fmt: skip
