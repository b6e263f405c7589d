"""From what a user types to the file with the weights: folders, `~`, ids of the Hugging Face Hub, its cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lindyn.inspection.adapter_config import CONFIG
from lindyn.inspection.files import PICKLED, refuse_foreign
from lindyn.support import checks

# file names under which adapters are saved: PEFT, MLX, diffusers
_ADAPTERS = ("adapter_model", "adapters", "pytorch_lora_weights")
_DEEPEST, _MOST = 4, 6  # levels of folders searched for adapters, and adapters listed, in a refusal


def locate(source: str | Path) -> Path:
    """Return the safetensors file (or index) that a path or the id of a downloaded Hub repository stands for.

    Raises:
        InvalidArgument: there is none; the sentence lists what is there instead.
    """
    try:
        path = Path(source).expanduser()
        if not str(source):
            raise checks.InvalidArgument("source", "be a file or folder", "it is empty")
        if not path.exists():
            path = _downloaded(str(source), path)
        if path.is_dir():
            return _in_folder(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no user of that name after ~
        raise checks.InvalidArgument(
            "source", "be a file or folder that can be read", f"looking at it failed: {checks.one_line(error)[:200]}"
        ) from error
    if path.suffix == ".json" and not path.name.endswith(".index.json"):
        raise checks.InvalidArgument(
            "source", "be the weights, or the folder that holds them", f"{path.name} is a config", "pass its folder"
        )
    if not path.name.endswith(".index.json"):
        refuse_foreign(path)
    return path


def _downloaded(text: str, path: Path) -> Path:
    """The snapshot of a Hub repository in the local cache; nothing is ever downloaded."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        raise checks.InvalidArgument("source", "be a file or folder that exists", f"there is no {path}")
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub")) / f"models--{text.replace('/', '--')}"
    snapshots = _snapshots(cache)
    if not snapshots:
        raise checks.InvalidArgument(
            "source", "be a file or folder that exists",
            f"there is no {path}; if it is a repository of the Hugging Face Hub, it is not in the cache {cache.parent}",
            f"download it first: hf download {text}",
        )  # fmt: skip
    return snapshots[0]


def _snapshots(repository: Path) -> list[Path]:
    """Snapshots of a repository in the Hub's cache, that of the main branch first."""
    folder = repository / "snapshots"
    found = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    main = repository / "refs" / "main"
    current = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    return sorted(found, key=lambda p: p.name != current)


def _in_folder(folder: Path) -> Path:
    stems = _ADAPTERS if (folder / CONFIG).is_file() else (*_ADAPTERS, "model")
    for stem in stems:
        for name in (f"{stem}.safetensors", f"{stem}.safetensors.index.json"):
            if (folder / name).is_file():
                return folder / name
    files = sorted(p for p in folder.iterdir() if p.is_file() or p.is_symlink())
    loose = [p for p in files if p.suffix == ".safetensors"]
    if len(loose) == 1:
        return loose[0]
    must = "hold " + " or ".join(f"{stem}.safetensors" for stem in ("adapter_model", "model"))
    if loose:
        raise checks.InvalidArgument(
            "source", must, f"{folder} holds {_listed([p.name for p in loose])}", "pass one of these files"
        )
    _refuse_others(folder, files, must)
    inside = _adapters_below(folder)
    if inside:
        raise checks.InvalidArgument(
            "source", must, f"{folder} has none itself, and there are adapters in {_listed(inside)}", "pass one of them"
        )  # fmt: skip
    there = _listed([p.name + ("/" if p.is_dir() else "") for p in sorted(folder.iterdir())])
    raise checks.InvalidArgument("source", must, f"{folder} has no such file; it holds {there or 'nothing'}")


def _refuse_others(folder: Path, files: list[Path], must: str) -> None:
    """Name the weights of another format that stand in a folder without safetensors."""
    beside = ("training_args", "optimizer", "rng_", "scheduler")  # of a trainer: no weights
    pickled = [p for p in files if p.suffix in PICKLED and not p.name.startswith(beside)]
    if pickled:
        raise checks.InvalidArgument(
            "source", must, f"{folder} holds {pickled[0].name} only, which is pickled and never opened",
            "save it as safetensors",
        )  # fmt: skip
    for path in files:
        if path.suffix in (".gguf", ".npz"):
            refuse_foreign(path)


def _adapters_below(folder: Path) -> list[str]:
    """Folders below that hold an adapter: named adapters, a trainer's checkpoints, snapshots of the Hub's cache."""
    found, level = [], [folder]
    for _ in range(_DEEPEST):
        level = [p for parent in level for p in parent.iterdir() if p.is_dir() and not p.is_symlink()]
        for path in level:
            holds = any((path / f"{stem}{end}").is_file() for stem in _ADAPTERS for end in (".safetensors", ".bin"))
            if holds or (path / CONFIG).is_file():
                found.append(str(path.relative_to(folder)))
    # checkpoint-90 before checkpoint-100
    return sorted(found, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + rest
