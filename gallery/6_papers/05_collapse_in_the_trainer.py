"""
Neural collapse in the Hugging Face Trainer
===========================================

A model of one's own on 500 handwritten digits: any body, then two linear layers in a row. Weight decay balances them,
NC1 falls, and the certificate (works 11.4) stays above it; the numbers come out of the Trainer's own log.
"""

import tempfile

import transformers
from matplotlib import pyplot as plt

import torch
from lindyn.papers.handwritten import digits
from lindyn.torch import CollapseTracker
from lindyn.torch.huggingface import CollapseCallback
from torch import nn


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(64, 32, bias=False), nn.Linear(32, 10, bias=False))

    def forward(self, pixels, labels):
        logits = self.head(self.body(pixels))
        return {"loss": 0.5 * (logits - nn.functional.one_hot(labels, 10)).square().sum(1).mean(), "logits": logits}


torch.manual_seed(0)
data = digits(50)
pixels, labels = torch.tensor(data.images, dtype=torch.float32), torch.tensor(data.labels)
model = Classifier()
callback = CollapseCallback(CollapseTracker(model, {"pixels": pixels, "labels": labels}, every=50))
with tempfile.TemporaryDirectory() as folder:
    arguments = transformers.TrainingArguments(
        folder, max_steps=600, logging_steps=50, per_device_train_batch_size=125, optim="sgd", learning_rate=0.3,
        weight_decay=5e-3, lr_scheduler_type="constant", max_grad_norm=0.0, use_cpu=True, disable_tqdm=True,
        save_strategy="no", report_to=[], dataloader_pin_memory=False,
    )  # fmt: skip
    rows = [{"pixels": x, "labels": y} for x, y in zip(pixels, labels, strict=True)]
    trainer = transformers.Trainer(model, arguments, train_dataset=rows, callbacks=[callback])
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
log = [entry for entry in trainer.state.log_history if "loss" in entry]

figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
names = {"nc1": "NC1", "certificate": "its bound", "balancedness": "imbalance of the head"}
for name, label in names.items():
    ax.semilogy([entry["step"] for entry in log], [entry[f"lindyn/{name}"] for entry in log], label=label)
ax.set(xlabel="step")
ax.legend(frameon=False)
