"""Neural collapse and balancedness: against direct computation, the exact recursion, and a run that collapses."""

import math
import warnings

import numpy as np
import pytest

import lindyn as ld
import torch
from lindyn.torch import CollapseTracker, balancedness, neural_collapse
from lindyn.torch.tracker import TrackingWarning
from torch import nn


def classifier(head=3, d=12, hidden=16, classes=4, bias=False):
    torch.manual_seed(0)
    layers = [nn.Linear(d, hidden), nn.ReLU()]
    layers += [nn.Linear(hidden, hidden, bias=bias) for _ in range(head - 1)]
    return nn.Sequential(*layers, nn.Linear(hidden, classes, bias=bias)).double()


def data(classes=4, each=6, d=12):
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(classes).repeat(each)
    centres = torch.randn(classes, d, generator=generator, dtype=torch.float64)
    return centres[labels] + 0.3 * torch.randn(classes * each, d, generator=generator, dtype=torch.float64), labels


def descend(model, inputs, labels, *, rate, decay, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, weight_decay=decay)
    targets = nn.functional.one_hot(labels).double()
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (model(inputs) - targets).square().sum() / len(labels)).backward()
        optimizer.step()


def direct(model, inputs, labels):
    """NC1, NC2, NC3 from their definitions, sample by sample."""
    z = model[:-1](inputs).detach().numpy()
    k = labels.numpy()
    means = np.array([z[k == c].mean(0) for c in range(4)])
    within = sum(np.sum((z[i] - means[k[i]]) ** 2) for i in range(len(z)))
    between = sum(np.sum((means[c] - z.mean(0)) ** 2) for c in k)
    w = model[-1].weight.detach().numpy()
    cosines = [w[c] @ means[c] / np.linalg.norm(w[c]) / np.linalg.norm(means[c]) for c in range(4)]
    return within / between, np.linalg.cond(means), np.mean(cosines)


@pytest.mark.parametrize("bias", [False, True])
def test_measures_are_their_definitions_in_one_batch_and_in_many(bias):
    model, (inputs, labels) = classifier(bias=bias), data()
    found = neural_collapse(model, (inputs, labels))
    assert (found.nc1, found.nc2, found.nc3) == pytest.approx(direct(model, inputs, labels), rel=1e-9)
    assert (found.classes, found.samples, found.linear_layers) == (4, 24, 2)
    batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=5)
    in_batches = neural_collapse(model, batches)
    assert in_batches.nc1 == pytest.approx(found.nc1, rel=1e-9)
    assert in_batches.certificate == pytest.approx(found.certificate, rel=1e-6)


@pytest.mark.slow
def test_the_certificate_bounds_nc1_at_every_step_and_comes_near_at_the_end():
    model, (inputs, labels) = classifier(), data()
    assert neural_collapse(model, (inputs, labels)).certificate >= neural_collapse(model, (inputs, labels)).nc1
    for _ in range(12):
        descend(model, inputs, labels, rate=0.2, decay=4e-3, steps=250)
        found = neural_collapse(model, (inputs, labels))
        assert found.certificate >= found.nc1
    assert found.nc1 < 0.02
    assert found.certificate < 5 * found.nc1  # the number to meet of (11.7)
    assert 1 <= found.nc2 < 2
    condition = np.linalg.cond(model[-1].weight.detach().numpy())
    assert found.condition == pytest.approx(condition, rel=1e-9)
    assert found.nc3 == pytest.approx(found.nc3_of_weights, abs=0.01)
    assert found.nc2 == pytest.approx(condition, rel=0.06)  # (11.6) at interpolation, here up to the training error
    assert found.nc3 > 2 * condition / (1 + condition**2) - 0.01  # Kantorovich


@pytest.mark.parametrize("double", [True, False])
def test_of_large_layers_the_certificate_is_that_of_all_eigenvalues_or_a_part_in_a_thousand_above(double):
    """(11.4) in plain NumPy; ε is raised by 1e-3, and the bound is linear in √ε at most twice over; 1e-3 in float32."""
    model, (inputs, labels) = classifier(hidden=150), data()
    descend(model, inputs, labels, rate=0.2, decay=4e-3, steps=100)
    model, inputs = (model, inputs) if double else (model.float(), inputs.float())
    z2 = model[:3](inputs).detach().numpy().astype(float)
    w1, w2 = (layer.weight.detach().numpy().astype(float) for layer in model[3:5])
    target, k = np.eye(4)[labels], labels.numpy()
    error = target - z2 @ w1.T @ w2.T

    def parts(values):
        means = np.array([values[k == c].mean(0) for c in k])
        return np.linalg.norm(values - means), np.linalg.norm(means - values.mean(0))

    s, epsilon = np.linalg.svd(w2, compute_uv=False), np.linalg.norm(w2.T @ w2 - w1 @ w1.T, 2)
    room = parts(target)[1] - parts(error)[1]
    direct = (s[0] * (parts(error)[0] / s[-1] + epsilon**0.5 * parts(z2)[0]) / room) ** 2
    assert 1 - 1e-5 <= neural_collapse(model, (inputs, labels)).certificate / direct < 1.003


def test_one_linear_layer_has_no_certificate():
    model, (inputs, labels) = classifier(head=1), data()
    found = neural_collapse(model, (inputs, labels))
    assert found.certificate == math.inf
    assert found.linear_layers == 1


def test_balancedness_obeys_the_exact_recursion_of_descent():
    """(11.2): D ← (1 − ημ)²D + η²(∇₂ᵀ∇₂ − ∇₁∇₁ᵀ), checked in norm for a linear pair behind a ReLU."""
    rate, decay = 0.1, 0.01
    model, (inputs, labels) = classifier(), data()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, weight_decay=decay)
    first, second = model[3], model[4]

    def imbalance():
        return (second.weight.T @ second.weight - first.weight @ first.weight.T).detach()

    wanted = imbalance()
    for _ in range(50):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        g1, g2 = first.weight.grad.clone(), second.weight.grad.clone()
        wanted = (1 - rate * decay) ** 2 * wanted + rate**2 * (g2.T @ g2 - g1 @ g1.T)
        optimizer.step()
        pair = balancedness(model)[-1]
        assert pair.size == pytest.approx(float(wanted.norm()), rel=1e-12)
    assert (pair.first, pair.second, pair.across) == ("3", "4", "linear")


def test_across_a_relu_only_the_diagonal_is_balanced_and_the_bias_counts():
    model, (inputs, labels) = classifier(), data()
    before = {(p.first, p.across): p for p in balancedness(model)}
    assert set(before) == {("0", "ReLU"), ("2", "linear"), ("3", "linear")}
    w1, b, w2 = model[0].weight.detach(), model[0].bias.detach(), model[2].weight.detach()
    diagonal = (w2**2).sum(0) - (w1**2).sum(1) - b**2
    assert before["0", "ReLU"].size == pytest.approx(float(diagonal.norm()), rel=1e-12)
    descend(model, inputs, labels, rate=0.02, decay=0.05, steps=500)
    after = {(p.first, p.across): p for p in balancedness(model)}
    for key, pair in after.items():  # e^{−2μt}, t = 10, to first order in the rate
        assert pair.size / before[key].size == pytest.approx(math.exp(-2 * 0.05 * 10), rel=0.03)


@pytest.mark.parametrize(
    ("act", "name", "part"),
    [
        (lambda: neural_collapse(nn.Sequential(nn.ReLU()), data()), "model", "it has none"),
        (
            lambda: neural_collapse(classifier(), (data()[0], torch.zeros(24, dtype=int))),
            "data",
            "24 samples are of class 0",
        ),
        (lambda: neural_collapse(classifier(), (data()[0], data()[1] + 3)), "data", "labels 0 … 3"),
        (lambda: neural_collapse(classifier(), (data()[0], data()[1][:5])), "data", "there are 5 of type int64 for 24"),
        (lambda: neural_collapse(classifier(), (data()[0], data()[1] + 0.5)), "data", "whole number"),
        (lambda: neural_collapse(nn.Sequential(classifier(), nn.Tanh()), data()), "model", "what it puts out is not"),
        (lambda: neural_collapse(classifier(), [data()[0]]), "data", "one is Tensor"),
        (lambda: neural_collapse(classifier(), {"x": data()[0]}), "data", "have 'labels'"),
        (lambda: CollapseTracker(classifier(), data(), every=0), "every", "at least 1"),
        (lambda: CollapseTracker(nn.Sequential(nn.ReLU()), data()), "model", "it has none"),
        (lambda: tracked().step(-1), "count", "call seek"),
        (lambda: neural_collapse(classifier(), []), "data", "it is empty"),
        (lambda: neural_collapse(classifier(), 3), "data", "it is int"),
        (lambda: balancedness(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))), "model", "it holds none"),
    ],
)
def test_refusals(act, name, part):
    with pytest.raises(ld.InvalidArgument, match=part) as caught:
        act()
    assert caught.value.name == name


def tracked(**options):
    return CollapseTracker(classifier(), data(), **options)


def body_of(model, between=None):
    """The layers of `classifier` in a model that is called by name and puts out a dictionary."""

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.first, self.last = nn.Sequential(*model[:-2]), model[-2], model[-1]
            self.side, self.between = nn.Linear(16, 7).double(), between or nn.Identity()

        def forward(self, x, labels=None):
            hidden = self.body(x)
            out = self.last(input=self.between(self.first(hidden)))
            return {"logits": out, "more": (self.side(hidden),)}

    return Named()


def test_a_model_of_ones_own_gives_what_a_sequence_of_its_layers_does():
    inputs, labels = data()
    plain, own = classifier(), body_of(classifier())
    own_data = [{"x": inputs[:10], "labels": labels[:10]}, {"x": inputs[10:], "labels": labels[10:]}]
    assert neural_collapse(own, own_data) == neural_collapse(plain, (inputs, labels))
    assert neural_collapse(nn.Sequential(plain, nn.LogSoftmax(1)), (inputs, labels)) == neural_collapse(
        plain, (inputs, labels)
    )


def test_a_relu_that_works_in_place_is_seen_between_the_last_layers():
    """In place, what the first layer has put out becomes what the second takes: only a copy tells them apart."""
    for relu in (nn.ReLU(), nn.ReLU(inplace=True)):
        found = neural_collapse(body_of(classifier(), relu), [{"x": data()[0], "labels": data()[1]}])
        assert (found.linear_layers, found.certificate) == (1, math.inf)


def test_a_compiled_model_is_measured_as_it_is():
    model, given = classifier(), data()
    compiled = torch.compile(model, backend="eager")
    compiled(given[0])  # compiled before any hook
    assert neural_collapse(compiled, given) == neural_collapse(model, given)


def test_a_record_changes_no_random_state_and_weights_that_are_not_finite_are_said():
    model, (inputs, labels) = classifier(), data()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=8, shuffle=True)
    before = torch.random.get_rng_state()
    tracker = CollapseTracker(model, loader, every=2)
    assert torch.equal(before, torch.random.get_rng_state())
    with torch.no_grad():
        model[2].weight[0, 0] = float("nan")
    with pytest.warns(TrackingWarning, match="at step 2 are not finite"):
        for _ in range(4):
            tracker.step()
    assert tracker.dataset["step"].values.tolist() == [0, 2, 4]
    assert np.isnan(tracker.dataset["nc1"][1:]).all() and np.isinf(tracker.dataset["certificate"][1:]).all()


def test_the_tracker_records_what_the_functions_say_and_goes_back():
    model, (inputs, labels) = classifier(), data()
    tracker = CollapseTracker(model, iter([(inputs, labels)]), every=3)  # an iterator that could be read only once
    for _ in range(7):
        descend(model, inputs, labels, rate=0.1, decay=0.01, steps=1)
        tracker.step()
        if tracker.count == 6:
            found, pairs = neural_collapse(model, (inputs, labels)), balancedness(model)
    records = tracker.dataset
    assert records["step"].values.tolist() == [0, 3, 6]
    assert [float(records[name][2]) for name in ("nc1", "certificate")] == [found.nc1, found.certificate]
    np.testing.assert_array_equal(records["imbalance"][2], [pair.size for pair in pairs])
    assert records["across"].values.tolist() == ["ReLU", "linear", "linear"]
    assert tracker.summary()["lindyn/balancedness"] == max(p.relative for p in pairs if p.across == "linear")
    tracker.seek(4)
    assert (tracker.count, tracker.records) == (4, 2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_both_trainers_log_what_a_bare_loop_records(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lightning.pytorch as pl
        from transformers import Trainer, TrainingArguments

        from lindyn.torch import huggingface, lightning

    inputs, labels = data()
    rows = [{"x": x, "labels": y} for x, y in zip(inputs, labels, strict=True)]  # one batch: any order is the same
    whole = [{"x": inputs, "labels": labels}]
    own = body_of(classifier())
    own.forward = own_loss(own.forward)
    tracker = CollapseTracker(own, whole, every=2)
    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=24, report_to=[], learning_rate=0.1,
        lr_scheduler_type="constant", optim="sgd", weight_decay=0.0, max_grad_norm=1e9, use_cpu=True,
        disable_tqdm=True, logging_steps=2, dataloader_pin_memory=False, save_strategy="no",
    )  # fmt: skip
    callback = huggingface.CollapseCallback(tracker)
    trainer = Trainer(model=own, args=arguments, train_dataset=rows, callbacks=[callback])
    trainer.train()
    logged = [entry["lindyn/nc1"] for entry in trainer.state.log_history if "loss" in entry]

    bare = classifier()
    expected = []
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.1)
    for step in range(1, 7):
        optimizer.zero_grad()
        nn.functional.cross_entropy(bare(inputs), labels).backward()
        optimizer.step()
        if step % 2 == 0:
            expected.append(neural_collapse(bare, (inputs, labels)).nc1)
    assert logged == pytest.approx(expected, rel=1e-9)  # batches in another order of summation

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = classifier()

        def training_step(self, batch, _):
            return nn.functional.cross_entropy(self.net(batch["x"]), batch["labels"])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Module()
    tracker = CollapseTracker(module.net, (inputs, labels), every=2)
    pl.Trainer(
        max_steps=6, accelerator="cpu", logger=pl.loggers.CSVLogger(tmp_path), enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, callbacks=[lightning.CollapseCallback(tracker)],
    ).fit(module, torch.utils.data.DataLoader(rows, batch_size=24))  # fmt: skip
    assert tracker.dataset["nc1"][1:].values == pytest.approx(expected, rel=1e-9)
    lines = next(tmp_path.rglob("metrics.csv")).read_text(encoding="utf-8").splitlines()
    assert float(lines[-1].split(",")[lines[0].split(",").index("lindyn/nc1")]) == pytest.approx(expected[-1])


def own_loss(forward):
    """The Trainer wants the loss among what is put out."""

    def with_loss(x, labels):
        found = forward(x, labels)
        return {"loss": nn.functional.cross_entropy(found["logits"], labels), **found}

    return with_loss


def test_a_model_in_training_mode_stays_in_it_and_keeps_no_hooks():
    model = classifier()
    model[1].eval()
    neural_collapse(model, data())
    assert model.training and not model[1].training
    assert not any(m._forward_hooks for m in model.modules())
