"""Time of `lindyn.inspect` per pair against d and r, and for the adapter of a model of seven billion parameters."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

import lindyn as ld
from benchmarks.process import peak_bytes, resident_bytes

PAIRS = 8
# a decoder of seven billion parameters: d_out, d_in of the seven projections of each layer
LAYERS, HIDDEN, INNER = 32, 4096, 11008
PROJECTIONS = [(HIDDEN, HIDDEN)] * 4 + [(INNER, HIDDEN)] * 2 + [(HIDDEN, INNER)]


def _write(folder: Path, shapes: list[tuple[int, int]], rank: int, dtype: Any) -> int:
    """Write an adapter with random factors as PEFT does; return the size of its file."""
    rng, factors = np.random.default_rng(0), {}
    for d_out, d_in in set(shapes):
        first, second = rng.standard_normal((rank, d_in)) / d_in**0.5, rng.standard_normal((d_out, rank)) / d_out
        factors[d_out, d_in] = {"A": first.astype(dtype), "B": second.astype(dtype)}
    tensors = {
        f"base_model.model.layers.{i}.proj.lora_{side}.weight": factor
        for i, shape in enumerate(shapes)
        for side, factor in factors[shape].items()
    }
    file = folder / "adapter_model.safetensors"
    save_file(tensors, file)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "init_lora_weights": True}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return file.stat().st_size


def measure(rank: int, rounds: int, dim: int | None = None) -> dict[str, Any]:
    """Return seconds to inspect an adapter: float32 pairs of d × d layers, or all of a large model in bfloat16."""
    shapes, dtype = ([(dim, dim)] * PAIRS, np.float32) if dim else (PROJECTIONS * LAYERS, ml_dtypes.bfloat16)
    with tempfile.TemporaryDirectory() as folder:
        size = _write(Path(folder), shapes, rank, dtype)
        before = resident_bytes()
        seconds = [ld.inspect(folder).seconds for _ in range(rounds + 1)][1:]  # the first one warms up
        grown = max(peak_bytes() - before, 0)
    return {"pairs": len(shapes), "seconds": statistics.median(seconds), "file_bytes": size, "grown_bytes": grown}
