"""The house stands: rooms on floors, imports that go down only, no circle, no name that hides another."""

import ast
from pathlib import Path

import pytest

import lindyn as ld

SOURCE = Path(ld.__file__).parent
# ground floor first; a room takes from rooms below it, and a file from its own room
FLOORS = [
    "_version", "support", "solutions", "plots", "tasks", "networks", "dynamics", "methods", "simulation", "prediction",
    "diagrams", "advice", "inspection", "papers", "explorer", "torch", "cli", "__main__",
]  # fmt: skip
FILES = sorted(p for p in SOURCE.rglob("*.py") if p.name != "__init__.py")


def module_of(path):
    return ".".join(("lindyn", *path.relative_to(SOURCE).with_suffix("").parts))


MODULES = {module_of(p) for p in FILES}


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "lindyn"


def imports_of(path):
    """Every module of the package that a file names, at any depth of the code, for type checking too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inside]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "lindyn")


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_down(path):
    module = module_of(path)
    here = FLOORS.index(room_of(module))
    named = list(imports_of(path))
    if room_of(module) == "papers":  # papers use the public names, through the front door
        named = [name for name in named if name != "lindyn"]
    above = [name for name in named if room_of(name) == "lindyn" or FLOORS.index(room_of(name)) > here]
    assert not above, f"{module} takes from above: {sorted(set(above))}"
    through_itself = [n for n in imports_of(path) if n not in MODULES and room_of(n) == room_of(module)]
    assert not through_itself, f"{module} takes from its own room's door: {through_itself}"


def test_no_circle():
    graph = {module_of(p): {n for n in imports_of(p) if n in MODULES} for p in FILES}
    while free := {m for m, needs in graph.items() if not needs & graph.keys()}:
        graph = {m: needs for m, needs in graph.items() if m not in free}
    assert not graph, f"these import one another: {sorted(graph)}"


def test_no_module_hides_a_public_name_and_no_two_files_share_one():
    names = [p.stem for p in FILES]
    assert sorted(names) == sorted(set(names))
    rooms = {p.stem for p in SOURCE.iterdir()}
    public = set(ld.__all__) - rooms - {"laws", "starts", "observables"}  # these three are modules of a room
    assert not public & ({*names} | rooms)
