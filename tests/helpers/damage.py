"""Seeded damage to stored folders: what disks, copies and hands do to files."""

import json
import shutil


def files_of(root):
    return sorted(p for p in root.rglob("*") if p.is_file())


def contents(root):
    return {p: p.read_bytes() for p in files_of(root)}


def mend(root, whole):
    """Put back the contents that a folder had."""
    for path in set(files_of(root)) - set(whole):
        path.unlink()
    for path, data in whole.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)


def flip(rng, root):
    """Flip one bit of one file."""
    chosen = rng.choice([p for p in files_of(root) if p.stat().st_size])
    data = bytearray(chosen.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    chosen.write_bytes(data)
    return chosen


def cut(rng, root):
    """Cut one file short."""
    chosen = rng.choice([p for p in files_of(root) if p.stat().st_size])
    data = chosen.read_bytes()
    chosen.write_bytes(data[: rng.integers(len(data))])
    return chosen


def lose(rng, root):
    """Delete one file."""
    chosen = rng.choice(files_of(root))
    chosen.unlink()
    return chosen


def lose_array(rng, root):
    """Delete one array, coordinates among them."""
    chosen = rng.choice(sorted(p.parent for p in root.rglob("zarr.json") if p.parent != root))
    shutil.rmtree(chosen)
    return chosen


def lose_attribute(rng, root):
    """Delete one attribute of the store or of one of its arrays."""
    places = [(p, json.loads(p.read_text())) for p in files_of(root) if p.name == "zarr.json"]
    chosen, data = [(p, d) for p, d in places if d["attributes"]][rng.integers(len(places)) % 3]
    del data["attributes"][rng.choice(sorted(data["attributes"]))]
    chosen.write_text(json.dumps(data, indent=2))
    return chosen


def swap(rng, root):
    """Exchange two chunks of one length, as a mistaken copy does."""
    chunks = {p: p.read_bytes() for p in files_of(root) if "c" in p.relative_to(root).parts}
    one = rng.choice(sorted(chunks))
    other = rng.choice([p for p in sorted(chunks) if chunks[p] != chunks[one]])
    first, second = chunks[one], chunks[other]
    one.write_bytes(second)
    other.write_bytes(first)
    return one


DAMAGES = (flip, cut, lose, lose_array, lose_attribute, swap)
