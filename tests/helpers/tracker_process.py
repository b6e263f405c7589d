"""Training with a tracker in a process of its own: `python tracker_process.py FOLDER STEPS DIES_AT`.

A checkpoint, and the tracker with it, is saved every ten steps. The process goes on from what it finds, and at step
DIES_AT it ends as a killed one does: nothing is written or closed.
"""

import os
import sys
from pathlib import Path

import torch
from lindyn.torch import RegimeTracker

torch.set_num_threads(1)


def train(folder, steps, dies_at=None):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(12, 3, bias=False), torch.nn.Linear(3, 10, bias=False)).double()
    target = torch.randn(10, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    first = 0
    checkpoint = Path(folder) / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    tracker = RegimeTracker(model, every=4, path=Path(folder) / "regime.zarr", resume=True)
    tracker.seek(first)
    for step in range(first + 1, steps + 1):
        optimizer.zero_grad()
        ((model[1].weight @ model[0].weight - target) ** 2).sum().backward()
        optimizer.step()
        tracker.step()
        if step == dies_at:
            os._exit(9)
        if step % 10 == 0:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, checkpoint)
            tracker.save()
    return tracker


if __name__ == "__main__":
    train(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
