"""The pages of the API reference, one a public name, written from the package's own lists."""

import importlib
import inspect
from pathlib import Path

import lindyn as ld

# rooms in the order in which a reader meets them, and what each is for
ROOMS = {
    "tasks": "What is learned",
    "networks": "What moves: networks",
    "dynamics": "What moves: formulas of the matrix",
    "methods": "How the motion is computed",
    "simulation": "Run, record, compare",
    "prediction": "Predict without simulating",
    "diagrams": "Phase diagrams",
    "advice": "Before training",
    "inspection": "Adapters and checkpoints",
    "solutions": "Closed forms",
    "plots": "Figures",
    "papers": "The works around the paper",
    "torch": "PyTorch",
    "support": "Errors and citations",
}


def rooms() -> dict[str, list[tuple[str, str]]]:
    """Return, for each room, its public names and the address by which a user writes them."""
    found: dict[str, list[tuple[str, str]]] = {room: [] for room in ROOMS}
    top = {}
    for name in ld.__all__:
        value = getattr(ld, name)
        if not inspect.ismodule(value) and hasattr(value, "__module__"):
            top[id(value)] = name
            room = value.__module__.split(".")[1]
            if room in found:
                found[room].append((name, f"lindyn.{name}"))
    for room in ROOMS:
        try:
            module = importlib.import_module(f"lindyn.{room}")
        except ModuleNotFoundError:
            continue
        names = getattr(module, "__all__", [])
        for name in names:
            value = getattr(module, name)
            if id(value) in top:
                continue
            if inspect.ismodule(value):
                found[room] += _of_module(room, name, value, {*names, *ld.__all__})
            elif inspect.isclass(value) or inspect.isroutine(value):
                found[room].append((name, f"lindyn.{room}.{name}"))
    return found


def _of_module(room: str, name: str, module: object, elsewhere: set[str]) -> list[tuple[str, str]]:
    """Return what a public module, such as `lindyn.laws`, defines itself and no page of `elsewhere` shows."""
    own = [
        (f"{name}.{member}", f"lindyn.{room}.{name}.{member}")
        for member, value in vars(module).items()
        if not member.startswith("_")
        and (inspect.isroutine(value) or inspect.isclass(value))
        and getattr(value, "__module__", "") == module.__name__
        and member not in elsewhere
    ]
    return sorted(own)


def write(folder: Path) -> None:
    """Write an index and a page a name; fail on a name without a docstring."""
    folder.mkdir(exist_ok=True)
    kept = set()
    index = ["# API reference", "", "Every public name, by what it is for.", ""]
    for room, names in rooms().items():
        if not names:
            continue
        index += [f"## {ROOMS[room]}", "", "| name | computes |", "|---|---|"]
        pages = []
        for shown, address in sorted(set(names), key=lambda pair: pair[0].lower()):
            parent, _, last = address.rpartition(".")
            value = getattr(importlib.import_module(parent), last)
            text = inspect.getdoc(value)
            if not text:
                raise RuntimeError(f"{address} is public and has no docstring.")
            first = " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")
            page = address.removeprefix("lindyn.")
            index.append(f"| [`{shown}`]({page}.md) | {first} |")
            pages.append(page)
            directive = "autoclass" if inspect.isclass(value) else "autofunction"
            body = f"# {shown}\n\n```{{eval-rst}}\n.. {directive}:: {address}\n```\n"
            _update(folder / f"{page}.md", body)
            kept.add(f"{page}.md")
        index += ["", "```{toctree}", ":hidden:", "", *pages, "```", ""]
    _update(folder / "index.md", "\n".join(index))
    for old in folder.glob("*.md"):
        if old.name not in kept | {"index.md"}:
            old.unlink()


def _update(path: Path, text: str) -> None:
    """Write only what has changed, so that a second build is quick."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
