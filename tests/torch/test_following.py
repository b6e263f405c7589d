"""Did training follow? PyTorch's SGD on a pair against its prediction, AdamW named as outside the law."""

import warnings

import numpy as np
import pytest

import lindyn as ld
import torch
from lindyn.inspection import Following, follow, load_tracking
from lindyn.torch import RegimeTracker, lora_init_
from torch import nn

D_OUT, D_IN, RANK, STEPS = 20, 24, 4, 400


class LoRALinear(nn.Linear):
    def __init__(self):
        super().__init__(D_IN, D_OUT, bias=False)
        self.lora_A, self.lora_B = nn.Parameter(torch.randn(RANK, D_IN)), nn.Parameter(torch.zeros(D_OUT, RANK))
        self.scaling = 2.0


def trained(rule, rate, threshold=0.5, **options):
    torch.manual_seed(0)
    layer = LoRALinear().double()
    lora_init_(layer, threshold=threshold, seed=1)
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((n, 2)))[0] for n in (D_OUT, D_IN))
    target = (left * [2.0, 0.5]) @ right.T
    prediction = ld.predict_factors(layer, target, learning_rate=rate, steps=STEPS, save_every=10, **options)
    optimizer = rule([layer.lora_A, layer.lora_B], lr=rate)
    tracker = RegimeTracker(layer, every=10, optimizer=optimizer)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (0.5 * (layer.scaling * layer.lora_B @ layer.lora_A - torch.tensor(target)).square().sum()).backward()
        optimizer.step()
        tracker.step()
    return prediction, tracker, target, layer


def test_sgd_follows_within_a_fiftieth_of_the_largest_singular_value():
    prediction, tracker, target, layer = trained(torch.optim.SGD, 0.01)
    found = ld.compare(prediction, tracker)
    assert isinstance(found, Following)
    assert found.followed
    assert found.deviation <= 0.02
    assert found.verdict.startswith("Training followed: ")
    dense = np.linalg.svd((layer.scaling * layer.lora_B @ layer.lora_A).detach().numpy(), compute_uv=False)[:RANK]
    np.testing.assert_allclose(found.measured[-1], dense, atol=1e-10)
    by_pair = ld.predict_factors(
        (layer.lora_A * 0 + torch.eye(RANK, D_IN), layer.lora_B * 0), target, scale=2.0, learning_rate=0.01, steps=STEPS
    )
    other = ld.compare(by_pair, tracker)  # of another start: the answer is no
    assert not other.followed
    assert "Training did not follow: a singular value departs by" in str(other)


def test_a_figure_shows_prediction_and_training():
    prediction, tracker, _, _ = trained(torch.optim.SGD, 0.01)
    found = ld.compare(prediction, tracker)
    above, below = found.plot().axes
    lines = [line.get_ydata() for line in above.lines]
    assert any(np.array_equal(y, found.predicted[:, 0]) for y in lines)
    assert any(np.array_equal(y, found.measured[:, 0]) for y in lines)
    largest = max(np.abs(line.get_ydata()).max() for line in below.lines if len(line.get_ydata()) > 2)
    assert largest == pytest.approx(found.deviation)


def test_adamw_is_outside_the_law_and_measured_on_its_clock():
    prediction, tracker, _, _ = trained(torch.optim.AdamW, 0.003)
    found = ld.compare(prediction, tracker)
    assert not found.inside_the_law and not found.followed
    assert found.verdict.startswith("Outside the law: AdamW does not conserve")
    assert "Adam's clock stands at x = " in found.verdict
    deviation = np.sqrt(2 * 0.5 / (2.0 * D_IN))  # of orthonormal rows of size √(2τ/s)
    np.testing.assert_allclose(found.adam_clock, 0.003 * found.steps / deviation, rtol=1e-9)


def test_without_a_name_the_drift_tells(tmp_path):
    prediction, tracker, _, _ = trained(torch.optim.AdamW, 0.003)
    tracker.save(tmp_path / "regime.zarr")
    data = load_tracking(tmp_path / "regime.zarr")
    assert follow(prediction, data).optimizer == "AdamW"
    data.attrs["lindyn"] = "{}"
    found = follow(prediction, data)
    assert found.optimizer is None and not found.inside_the_law
    assert "training has not conserved" in found.verdict


def two_layers():
    return nn.Sequential(LoRALinear(), LoRALinear())


@pytest.mark.parametrize(
    ("act", "name", "part"),
    [
        (lambda p, t: ld.compare(p, t, pair="other"), "pair", "be one of"),
        (lambda p, t: ld.compare(p, p, pair="x"), "pair", "come with a tracker"),
        (lambda p, t: ld.compare(t, t), "prediction", "singular values"),
        (lambda p, t: t.against(p, tolerance=0), "tolerance", "greater than 0"),
        (lambda p, t: ld.compare(p, RegimeTracker(two_layers())), "pair", "there are 2"),
        (lambda p, t: ld.predict_factors(two_layers(), np.eye(20, 24), learning_rate=0.1, steps=1), "start", "2: 0"),
        (lambda p, t: ld.predict_factors(nn.ReLU(), np.eye(3), learning_rate=0.1, steps=1), "start", "holds none"),
        (
            lambda p, t: ld.predict_factors(LoRALinear(), np.eye(20, 24), scale=3.0, learning_rate=0.1, steps=1),
            "scale", "its own",
        ),
    ],
)  # fmt: skip
def test_refusals(act, name, part):
    tracker = RegimeTracker(LoRALinear(), every=1)
    start = np.eye(RANK, D_IN), np.zeros((D_OUT, RANK))
    prediction = ld.predict_factors(start, np.eye(D_OUT, D_IN), learning_rate=0.1, steps=2)
    with pytest.raises(ld.InvalidArgument, match=part) as caught:
        act(prediction, tracker)
    assert caught.value.name == name


@pytest.mark.slow
def test_a_layer_of_peft_gives_its_factors_and_scale():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import peft

    model = peft.get_peft_model(
        nn.Sequential(nn.Linear(D_IN, D_OUT)), peft.LoraConfig(r=4, lora_alpha=12, target_modules=["0"])
    )
    layer = model.base_model.model[0]
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    target = np.eye(D_OUT, D_IN)
    options = {"learning_rate": 0.01, "steps": 50}
    wanted = ld.predict_factors((a, b), target, scale=3.0, **options)
    for start in (layer, model):
        got = ld.predict_factors(start, target, **options)
        np.testing.assert_array_equal(got["singular_values"], wanted["singular_values"])
