"""Cost of the regime tracker: a record of all LoRA pairs of a transformer, against a step of its training."""

from __future__ import annotations

import statistics
import time
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other packages' imports
    import peft
    import transformers

    import torch

from lindyn.torch import RegimeTracker

TOKENS = 64


def _adapted(dim: int, layers: int, rank: int) -> Any:
    """An encoder of random weights (BERT's shape) with LoRA on its queries and values."""
    config = transformers.BertConfig(
        hidden_size=dim, num_hidden_layers=layers, num_attention_heads=dim // 32, intermediate_size=4 * dim
    )
    adapters = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["query", "value"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a deprecated attribute
        return peft.get_peft_model(transformers.BertModel(config), adapters)


def measure(dim: int, layers: int, rank: int, batch: int, rounds: int) -> dict[str, Any]:
    """Return median seconds of a training step with AdamW and of a record, in turns, and the number of pairs."""
    torch.manual_seed(0)
    model = _adapted(dim, layers, rank)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    tokens = torch.randint(0, 30_000, (batch, TOKENS))
    tracker = RegimeTracker(model, every=1)
    steps, records = [], []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        optimizer.zero_grad()
        model(tokens).last_hidden_state.square().mean().backward()
        optimizer.step()
        steps.append(time.perf_counter() - started)
        started = time.perf_counter()
        tracker.step()
        records.append(time.perf_counter() - started)
    return {
        "pairs": tracker.dataset.sizes["pair"],
        "tokens": batch * TOKENS,
        "seconds_step": statistics.median(steps[1:]),
        "seconds_record": statistics.median(records[1:]),
    }
