"""The layouts in the order in which they are asked; the first that recognises a file reads it."""

from __future__ import annotations

from pathlib import Path

from lindyn.inspection.adapter_config import CONFIG, check_kind
from lindyn.inspection.files import TensorFiles, read_json
from lindyn.inspection.formats.diffusers import Diffusers
from lindyn.inspection.formats.kohya import Kohya
from lindyn.inspection.formats.layout import AdapterSource, Format, Reading
from lindyn.inspection.formats.litgpt import Litgpt
from lindyn.inspection.formats.loralib import Loralib
from lindyn.inspection.formats.lycoris import Lycoris
from lindyn.inspection.formats.mlx import Mlx
from lindyn.inspection.formats.peft import Peft
from lindyn.inspection.formats.torchtune import Torchtune
from lindyn.inspection.pairs import some
from lindyn.support import checks

LAYOUTS: tuple[Format, ...] = (
    Lycoris(), Kohya(), Diffusers(), Peft(), Mlx(), Torchtune(), Litgpt(), Loralib(),
)  # fmt: skip


def read_adapter(path: Path, scale: float | None) -> Reading:
    """Return the pairs of an adapter's file by the layout that it is in.

    Raises:
        InvalidArgument: no layout knows its names; the sentence lists them.
    """
    files = TensorFiles(path)
    config = path.parent / CONFIG
    content = read_json(config) if config.is_file() else {}
    check_kind(content)
    source = AdapterSource(files, content, scale)
    for layout in LAYOUTS:
        if layout.recognises(source):
            return layout.read(source)
    near = [name for name in files.names if "lora" in name.lower()]
    if near:
        raise checks.InvalidArgument(
            "source", "hold LoRA factors in a known layout",
            f"{path.name} holds {some(near)}, which are none of {', '.join(one.name for one in LAYOUTS)}",
            "name the factors with `pair`",
        )  # fmt: skip
    raise checks.InvalidArgument(
        "source", "be a LoRA adapter, or come with `pair`",
        f"{path.name} holds no LoRA tensors, only {some(files.names)}",
        "name the factors, as in first=encoder.weight,second=decoder.weight",
    )  # fmt: skip
