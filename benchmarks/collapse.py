"""Cost of the tracker of neural collapse: a record on as many samples as a batch, against a step of training."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from lindyn.torch import CollapseTracker
from torch import nn

INPUTS, CLASSES = 784, 10  # of MNIST


def measure(width: int, batch: int, rounds: int) -> dict[str, Any]:
    """Return median seconds of a training step of two ReLU and two linear layers, and of a record, in turns."""
    torch.manual_seed(0)
    layers = [nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, width, bias=False), nn.Linear(width, CLASSES, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, weight_decay=1e-3)
    inputs, labels = torch.randn(batch, INPUTS), torch.arange(batch) % CLASSES
    tracker = CollapseTracker(model, (inputs, labels), every=1)
    steps, records = [], []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        steps.append(time.perf_counter() - started)
        started = time.perf_counter()
        tracker.step()
        records.append(time.perf_counter() - started)
    return {
        "width": width,
        "samples": batch,
        "seconds_step": statistics.median(steps[1:]),
        "seconds_record": statistics.median(records[1:]),
    }
