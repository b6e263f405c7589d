"""The regime tracker, against dense singular value decompositions, across restarts and inside two trainers."""

import importlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

import lindyn as ld
import torch
from lindyn import plots
from lindyn.inspection.records import crossings, load_tracking
from lindyn.torch import RegimeTracker, TrackingWarning
from torch import nn

HERE = Path(__file__).parent


def layers(d_in=7, width=3, d_out=5, *, bias=False, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(d_in, width, bias=bias), nn.Linear(width, d_out, bias=False)).double()


def descend(model, target, steps, tracker, rate=0.02, rule=torch.optim.SGD):
    optimizer = rule(model.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (model[1].weight @ model[0].weight - target) ** 2).sum().backward()
        optimizer.step()
        tracker.step()


def dense(first, second, scale, start):
    """What the tracker should record, from the d_out × d_in product and its dense decomposition."""
    w1, w2 = (np.sqrt(scale) * np.asarray(w, dtype=np.float64) for w in (first, second))
    b1, b2 = (np.sqrt(scale) * np.asarray(w, dtype=np.float64) for w in start)
    u, m, vt = np.linalg.svd(w2 @ w1)
    k = min(*w1.shape, w2.shape[0])
    m = m[:k]
    g = np.array([np.sum((w1 @ vt[i]) ** 2) + np.sum((u[:, i] @ w2) ** 2) for i in range(k)])
    change = (w1 @ w1.T - w2.T @ w2) - (b1 @ b1.T - b2.T @ b2)
    return {
        "singular_values": m,
        "thresholds": 0.5 * np.sqrt(np.maximum(g**2 - 4 * m**2, 0)),
        "activities": 2 * m / g,
        "imbalance_drift": np.linalg.norm(change) / (np.linalg.norm(b1 @ b1.T) + np.linalg.norm(b2.T @ b2)),
        "stable_rank": np.sum(m**2) / m[0] ** 2,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", [lambda p: torch.optim.SGD(p, lr=0.02), lambda p: torch.optim.AdamW(p, lr=2e-3)], ids=["SGD", "AdamW"]
)
def test_adapters_in_a_transformer_agree_with_dense_decompositions(rule):
    import helpers.adapters as reference

    model = reference.adapted()
    found = [(name, m) for name, m in model.named_modules() if hasattr(m, "lora_A") and hasattr(m, "scaling")]
    tracker = RegimeTracker(model, every=20)
    assert tracker.dataset.sizes["pair"] == len(found) == 2 * reference.LAYERS

    def weights():
        return [
            tuple(getattr(m, s)["default"].weight.detach().numpy().copy() for s in ("lora_A", "lora_B"))
            for _, m in found
        ]

    starts, snapshots = weights(), {}

    def each_step(step):
        tracker.step()
        if (step + 1) % 20 == 0:
            snapshots[step + 1] = weights()

    reference.train(model, rule, steps=60, each_step=each_step)
    records = tracker.dataset
    assert records["step"].values.tolist() == [0, *snapshots]
    scale = reference.ALPHA / reference.RANK
    assert records["scale"].values.tolist() == [scale] * len(found)
    for step, pairs in snapshots.items():
        for i, (factors, start) in enumerate(zip(pairs, starts, strict=True)):
            for name, wanted in dense(*factors, scale, start).items():
                got = records[name].sel(step=step).isel(pair=i).values
                unit = wanted.max() if np.ndim(wanted) else 1.0
                np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6 * unit, err_msg=f"{name}, step {step}")


@pytest.mark.parametrize("width", [3, 9, 20], ids=["narrow", "wide", "wider than both"])
def test_plain_layers_agree_with_dense_decompositions(width):
    model = layers(width=width)
    start = [m.weight.detach().numpy().copy() for m in model]
    tracker = RegimeTracker({"pair": (model[0], model[1].weight)}, every=5)
    descend(model, torch.ones(5, 7).double(), 5, tracker)
    wanted = dense(*(m.weight.detach().numpy() for m in model), 1.0, start)
    now = tracker.dataset.isel(pair=0, step=-1)
    for name, value in wanted.items():
        np.testing.assert_allclose(now[name].values, value, rtol=1e-8, atol=1e-8)


def test_the_bias_of_the_hidden_layer_is_a_last_column():
    model = layers(bias=True)
    first = torch.cat([model[0].weight, model[0].bias[:, None]], dim=1)
    by_layer, by_hand = (RegimeTracker([(f, model[1])]) for f in (model[0], first))
    assert by_layer.dataset["singular_values"].equals(by_hand.dataset["singular_values"])
    assert by_layer.dataset["d_in"].values.tolist() == [8]


def test_pairs_of_different_sizes_are_padded_and_labelled():
    one, two = layers(width=2), layers(width=4)
    tracker = RegimeTracker({"one": (*one, 2.0), "two": tuple(two)}, every=1)
    data = tracker.dataset
    assert data["singular_values"].dims == ("pair", "step", "mode")
    assert data["singular_values"].attrs["units"] == "target"
    assert data["scale"].values.tolist() == [2.0, 1.0]
    assert np.isfinite(data["singular_values"].values).sum(axis=2).tolist() == [[2], [4]]
    assert data["stable_rank"].dims == ("pair", "step")


def test_modes_cross_where_the_mode_equation_says():
    """From a balanced LoRA-like start with exact λ = 2τ, small steps: the crossing time of (3.2), here of one mode."""
    tau, s, d, rate = 0.05, 1.0, 6, 1e-2
    model = nn.Sequential(nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)).double()
    with torch.no_grad():  # one-sided orthogonal start (2.4): the mixed formula holds exactly
        model[0].weight.copy_(np.sqrt(2 * tau) * torch.eye(d))
        model[1].weight.zero_()
    target = torch.zeros(d, d).double()
    target[0, 0] = s
    tracker = RegimeTracker(model, every=10)
    descend(model, target, 400, tracker, rate=rate)
    expected = float(ld.solutions.mode_time(s, tau, tau)) / rate
    found = tracker.crossings
    assert float(found[0, 0]) == pytest.approx(expected, rel=0.02)
    assert np.isnan(found.values[0, 1:]).all()
    np.testing.assert_allclose(tracker.dataset["thresholds"].values[0, :, 0], tau, rtol=0.02)
    assert float(tracker.dataset["imbalance_drift"][0, -1]) < 0.02


def test_steps_are_counted_once_and_can_jump():
    model = layers()
    tracker = RegimeTracker(model, every=10)
    for count in (3, 3, 9, 10, 10, 27, 30):
        tracker.step(count)
    assert tracker.dataset["step"].values.tolist() == [0, 10, 27, 30]
    with pytest.raises(ld.InvalidArgument, match="call seek"):
        tracker.step(5)
    tracker.seek(12)
    assert tracker.dataset["step"].values.tolist() == [0, 10]
    tracker.step()
    assert tracker.count == 13
    late = RegimeTracker(model)
    late.seek(100)
    assert late.dataset["step"].values.tolist() == [100]
    with pytest.raises(ld.InvalidArgument, match="be at least 100"):
        late.seek(99)


@pytest.mark.slow
def test_a_killed_run_goes_on_in_another_process_without_loss_or_duplicates(tmp_path):
    from helpers import tracker_process

    killed_folder, whole_folder = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed_folder, whole_folder):
        folder.mkdir()
    command = [sys.executable, "-W", "error", HERE.parent / "helpers" / "tracker_process.py", killed_folder, "60", "37"]
    killed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert killed.returncode == 9, killed.stderr
    assert load_tracking(killed_folder / "regime.zarr")["step"].values.tolist() == list(range(0, 30, 4))
    tracker_process.train(killed_folder, 60)
    found = load_tracking(killed_folder / "regime.zarr")
    uninterrupted = tracker_process.train(whole_folder, 60)
    assert found["step"].values.tolist() == list(range(0, 61, 4))
    xr.testing.assert_equal(found, uninterrupted.dataset)


def test_a_resumed_tracker_keeps_its_start_and_refuses_other_pairs(tmp_path):
    path = tmp_path / "regime.zarr"
    model = layers()
    tracker = RegimeTracker({"a": tuple(model)}, every=2, path=path)
    descend(model, torch.ones(5, 7).double(), 4, tracker)
    assert tracker.save() == path
    again = RegimeTracker({"a": tuple(model)}, every=2, path=path, resume=True)
    assert again.count == 4
    again.record()
    xr.testing.assert_allclose(again.dataset, tracker.dataset)
    with pytest.raises(ld.InvalidArgument, match="resume=True"):
        RegimeTracker({"a": tuple(model)}, path=path)
    with pytest.raises(ld.InvalidArgument, match="'b' differs"):
        RegimeTracker({"a": tuple(model), "b": tuple(layers())}, path=path, resume=True)
    with pytest.raises(ld.InvalidArgument, match="width of a was 3, is 4"):
        RegimeTracker({"a": tuple(layers(width=4))}, path=path, resume=True)
    (tmp_path / "other").mkdir()
    with pytest.raises(ld.InvalidArgument, match="must hold a record of a tracker that lindyn wrote"):
        load_tracking(tmp_path / "other")
    with pytest.raises(ld.InvalidArgument, match="there is nothing at"):
        load_tracking(tmp_path / "nothing")
    with pytest.raises(ld.InvalidArgument, match="`path` must be given to save"):
        RegimeTracker(model).save()


class Regression(nn.Module):
    """A linear bottleneck with the loss that the Trainer asks for."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(6, 2, bias=False)
        self.outer = nn.Linear(2, 4, bias=False)

    def forward(self, x, labels):
        return {"loss": ((self.outer(self.inner(x)) - labels) ** 2).mean()}


def examples(count=64):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 6, generator=generator)
    return [{"x": row, "labels": row[:4]} for row in x]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_callback_of_the_hugging_face_trainer_records_saves_and_resumes(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import Trainer, TrainingArguments

        from lindyn.torch.huggingface import TrackerCallback

    def run(folder, steps, *, resume):
        model = Regression()
        tracker = RegimeTracker(model, pair=("inner", "outer"), every=2, path=folder / "regime.zarr", resume=True)
        arguments = TrainingArguments(
            output_dir=str(folder / "out"), max_steps=steps, save_steps=3, per_device_train_batch_size=8, report_to=[],
            learning_rate=0.05, lr_scheduler_type="constant_with_warmup", warmup_steps=4, optim="sgd",
            use_cpu=True, disable_tqdm=True, seed=3,
            logging_strategy="no", dataloader_pin_memory=False, gradient_accumulation_steps=2,
        )  # fmt: skip
        trainer = Trainer(model=model, args=arguments, train_dataset=examples(), callbacks=[TrackerCallback(tracker)])
        trainer.train(resume_from_checkpoint=resume)
        logs.append(trainer.state.log_history)
        return model, tracker

    logs = []
    model, whole = run(tmp_path / "whole", 12, resume=False)
    last = logs[0][-1]
    assert last["lindyn/active_modes"] == float(whole.dataset["active_modes"][0, -1])
    assert last["lindyn/imbalance_drift"] == float(whole.dataset["imbalance_drift"][0, -1])
    larger = max(whole._starts["inner → outer"], key=np.linalg.norm)
    np.testing.assert_allclose(  # four steps of warm-up: step k at 0.05·k/4
        whole.dataset["adam_clock"][0] * np.sqrt(np.mean(larger**2)),
        [0.05 * sum(min(k / 4, 1) for k in range(n)) for n in range(0, 13, 2)],
        rtol=1e-6,
    )
    wanted = np.linalg.svd(model.outer.weight.detach().numpy() @ model.inner.weight.detach().numpy(), compute_uv=False)
    np.testing.assert_allclose(whole.dataset["singular_values"][0, -1], wanted[:2], rtol=1e-5)
    run(tmp_path / "cut", 7, resume=False)  # its last checkpoint is that of step 6 or 7
    run(tmp_path / "cut", 12, resume=True)
    found = load_tracking(tmp_path / "cut" / "regime.zarr")
    assert found["step"].values.tolist() == whole.dataset["step"].values.tolist() == [0, 2, 4, 6, 8, 10, 12]
    np.testing.assert_allclose(found["singular_values"], whole.dataset["singular_values"], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_callback_of_lightning_records_saves_and_resumes(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lightning.pytorch as pl

        from lindyn.torch.lightning import TrackerCallback

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = Regression()

        def training_step(self, batch, _):
            return self.net(batch["x"], batch["labels"])["loss"]

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.05)

    def run(folder, steps, checkpoint=None):
        module = Module()
        pairs = {"bottleneck": (module.net.inner, module.net.outer)}
        tracker = RegimeTracker(pairs, every=2, path=folder / "regime.zarr", resume=True)
        loader = torch.utils.data.DataLoader(examples(8) * 8, batch_size=8)  # the same batch, wherever it goes on
        saver = pl.callbacks.ModelCheckpoint(dirpath=folder / "out", save_last=True, every_n_train_steps=3)
        logger = pl.loggers.CSVLogger(folder)
        trainer = pl.Trainer(
            max_steps=steps, accelerator="cpu", logger=logger, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[TrackerCallback(tracker), saver], accumulate_grad_batches=2, default_root_dir=folder,
        )  # fmt: skip
        trainer.fit(module, loader, ckpt_path=checkpoint)
        return module, tracker

    module, whole = run(tmp_path / "whole", 10)
    logged = next((tmp_path / "whole").rglob("metrics.csv")).read_text(encoding="utf-8").splitlines()
    columns = logged[0].split(",")
    assert {"lindyn/active_modes", "lindyn/imbalance_drift", "lindyn/turn", "lindyn/adam_clock"} <= set(columns)
    drift = float(logged[-1].split(",")[columns.index("lindyn/imbalance_drift")])
    assert drift == pytest.approx(float(whole.dataset["imbalance_drift"][0, -1]))
    product = module.net.outer.weight.detach().numpy() @ module.net.inner.weight.detach().numpy()
    wanted = np.linalg.svd(product, compute_uv=False)
    np.testing.assert_allclose(whole.dataset["singular_values"][0, -1], wanted[:2], rtol=1e-5)
    run(tmp_path / "cut", 5)
    run(tmp_path / "cut", 10, checkpoint=str(tmp_path / "cut" / "out" / "last.ckpt"))
    found = load_tracking(tmp_path / "cut" / "regime.zarr")
    assert found["step"].values.tolist() == whole.dataset["step"].values.tolist() == [0, 2, 4, 6, 8, 10]
    np.testing.assert_allclose(found["singular_values"], whole.dataset["singular_values"], rtol=1e-5)


def test_weights_that_become_nan_are_recorded_as_nan_with_one_warning():
    good, bad = layers(), layers(seed=1)
    tracker = RegimeTracker({"good": tuple(good), "bad": tuple(bad)}, every=1)
    with torch.no_grad():
        bad[0].weight[0, 0] = float("nan")
    with pytest.warns(TrackingWarning, match="bad at step 1 is recorded as NaN") as caught:
        for _ in range(2):
            with torch.no_grad():
                good[0].weight += 0.1
            tracker.step()
    assert len(caught) == 1
    now = tracker.dataset.isel(step=-1)
    assert np.isfinite(now["singular_values"].sel(pair="good")).all()
    assert np.isnan(now["singular_values"].sel(pair="bad")).all()
    tracker.table()


@pytest.mark.parametrize(
    ("make", "argument", "fragment"),
    [
        (lambda: RegimeTracker(3), "pairs", "it is int"),
        (lambda: RegimeTracker({}), "pairs", "it is empty"),
        (lambda: RegimeTracker([3]), "pairs", "(first, second)"),
        (lambda: RegimeTracker({"a": (nn.ReLU(), nn.Linear(2, 2))}), "pairs", "the first of 'a' is ReLU"),
        (lambda: RegimeTracker(layers(), every=0), "every", "at least 1"),
        (lambda: RegimeTracker(layers(), scale=0), "scale", "greater than 0"),
        (lambda: RegimeTracker(list(layers()), pair="first=a,second=b"), "pair", "come with a model"),
        (lambda: RegimeTracker(layers(), pair=("one", "two")), "pair", "nothing is named 'one'"),
        (lambda: RegimeTracker([(nn.Linear(3, 4), nn.Linear(5, 2))]), "pairs", "its second factor must have 4 columns"),
        (lambda: RegimeTracker(nn.Sequential(nn.Linear(3, 3), nn.ReLU())), "source", "two linear layers in a row"),
    ],
)
def test_refusals_name_the_argument(make, argument, fragment):
    with pytest.raises(ld.InvalidArgument) as caught:
        make()
    assert str(caught.value).startswith(f"Argument `{argument}` must ")
    assert fragment in str(caught.value)


def test_one_tensor_twice_is_no_pair():
    layer = nn.Linear(3, 3, bias=False)
    with pytest.raises(ld.InvalidArgument, match="tied"):
        RegimeTracker([(layer, layer)])


@pytest.mark.parametrize(
    ("module", "package"), [("huggingface", "transformers"), ("lightning", "lightning.pytorch.callbacks")]
)
def test_a_callback_without_its_trainer_names_the_package(module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"lindyn.torch.{module}", raising=False)
    with pytest.raises(ImportError, match=f"pip install {package.split('.')[0]}"):
        importlib.import_module(f"lindyn.torch.{module}")


def test_the_live_table_shows_the_last_record_and_ends(monkeypatch):
    console = Console(record=True, width=120, force_terminal=True)
    monkeypatch.setattr("rich.live.get_console", lambda: console)
    model = layers()
    with RegimeTracker(model, every=1, live=True) as tracker:
        tracker.step()
    text = console.export_text()
    assert "step 1" in text
    assert "stable rank" in text
    tracker.step()
    assert tracker.dataset.sizes["step"] == 3


def test_the_figure_shows_modes_thresholds_and_crossings():
    model = layers(d_in=6, width=6, d_out=6)
    with torch.no_grad():
        model[0].weight.copy_(0.3 * torch.eye(6))
        model[1].weight.zero_()
    tracker = RegimeTracker({"pair": tuple(model)}, every=5)
    target = torch.diag(torch.tensor([3.0, 2.0, 0, 0, 0, 0])).double()
    descend(model, target, 200, tracker)
    data = tracker.dataset
    ax = tracker.plot().axes[0]
    drawn = [line.get_ydata() for line in ax.lines]
    wanted = data["singular_values"].values[0, :, 0]
    assert any(len(y) == wanted.size and np.array_equal(y[1:], wanted[1:]) for y in drawn)
    dots = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]
    at = crossings(data).values
    assert sorted(dots) == sorted(at[np.isfinite(at)].tolist())
    assert len(dots) == 2
    with pytest.raises(ld.InvalidArgument, match="`pairs` must be one of"):
        plots.who_crossed_when(data, ["other"])


def test_the_dataset_says_what_it_cost():
    tracker = RegimeTracker(layers(), every=3)
    info = json.loads(tracker.dataset.attrs["lindyn"])
    assert info["seconds"] == tracker.seconds > 0
    assert (info["every"], info["count"]) == (3, 0)
    assert "1 records at steps 0 … 0, one in 3" in repr(tracker)
