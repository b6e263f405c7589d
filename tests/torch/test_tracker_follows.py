"""The tracker reads what is trained now: it follows a parameter that was replaced, or stops and says so."""

import warnings

import numpy as np
import pytest

import lindyn as ld
import torch
from lindyn.torch import RegimeTracker, TrackingWarning
from torch import nn

slow = pytest.mark.slow


def bottleneck():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 3, bias=False), nn.Linear(3, 5, bias=False))


class LoRALinear(nn.Linear):
    def __init__(self, d_in, d_out, r=3):
        super().__init__(d_in, d_out)
        self.lora_A, self.lora_B = nn.Parameter(torch.randn(r, d_in)), nn.Parameter(torch.randn(d_out, r))
        self.scaling = 1.0


def adapted():
    torch.manual_seed(0)
    return nn.Sequential(nn.Identity(), LoRALinear(7, 5))


def new_parameter(model):
    layer = model[-1]
    name = "lora_B" if hasattr(layer, "lora_B") else "weight"
    setattr(layer, name, nn.Parameter(torch.randn_like(getattr(layer, name))))


def new_layer(model):
    model[-1] = type(model[-1])(*((7, 5) if hasattr(model[-1], "lora_B") else (3, 5)))


def assigned_state(model):
    model.load_state_dict({k: torch.randn_like(v) for k, v in model.state_dict().items()}, assign=True)


def new_data(model):
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter)


def converted(model):
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        model.double()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.7)


def parametrised_and_back(model):
    layer = model[-1]
    name = "lora_B" if hasattr(layer, "lora_B") else "weight"
    nn.utils.parametrize.register_parametrization(layer, name, nn.Identity())
    nn.utils.parametrize.remove_parametrizations(layer, name)
    with torch.no_grad():
        getattr(layer, name).mul_(2.5)


REPLACEMENTS = [new_parameter, new_layer, assigned_state, new_data, converted, parametrised_and_back]


def product(model):
    layer = model[-1]
    a, b = (layer.lora_A, layer.lora_B) if hasattr(layer, "lora_A") else (model[0].weight, layer.weight)
    return (b @ a).detach().double().numpy()


@pytest.mark.parametrize("make", [bottleneck, adapted])
@pytest.mark.parametrize("replace", REPLACEMENTS)
def test_a_replaced_parameter_is_followed(make, replace):
    model = make()
    tracker = RegimeTracker(model, every=1)
    replace(model)
    tracker.step()
    wanted = np.linalg.svd(product(model), compute_uv=False)[:3]
    now = tracker.dataset["singular_values"].values[0, -1]
    np.testing.assert_allclose(now, wanted, rtol=1e-5)  # float32 weights
    assert abs(tracker.dataset["singular_values"].values[0, 0] - wanted).max() > 0.01


def gone(model):
    del model[-1].lora_B


def wider(model):
    model[-1] = LoRALinear(7, 5, r=4)


def plain(model):
    model[-1] = nn.Linear(7, 5)


def quantised(model):
    model[-1].lora_B = nn.Parameter(torch.ones(5, 3, dtype=torch.int8), requires_grad=False)


def normed(model):
    nn.utils.parametrize.register_parametrization(model[-1], "lora_B", nn.Identity())


def shorter(model):
    del model[-1]


STOPS = {
    "a factor deleted": (gone, "has no `lora_B`"),
    "another rank": (wider, "keep the shapes"),
    "merged into a plain layer": (plain, "has no `lora_A`"),
    "quantised": (quantised, "quantised tensor"),
    "parametrised": (normed, "computed from other tensors"),
    "the layer removed": (shorter, "no such layer any more"),
}


@pytest.mark.parametrize(("change", "cause"), STOPS.values(), ids=STOPS)
def test_the_tracker_stops_once_with_a_sentence_where_it_cannot_follow(change, cause):
    model = adapted()
    tracker = RegimeTracker(model, every=1)
    change(model)
    with pytest.raises(ld.InvalidArgument, match=cause) as caught:
        tracker.step()
    assert str(caught.value).startswith("The tracker has stopped at step 1, at 1: ")
    tracker.step()
    assert tracker.count == 2
    assert tracker.dataset["step"].values.tolist() == [0]
    assert "stopped" in repr(tracker)


@pytest.mark.parametrize("give", [lambda m: (m[0].weight, m[1].weight), lambda m: (m[0], m[1])])
def test_parameters_given_one_by_one_that_stand_still_are_noticed(give):
    model = bottleneck()
    tracker = RegimeTracker({"pair": give(model)}, every=1)
    model[0], model[1] = nn.Linear(7, 3, bias=False), nn.Linear(3, 5, bias=False)
    with pytest.warns(TrackingWarning, match="pair at step 1 has not moved since step 0") as caught:
        tracker.step()
        tracker.step()
    assert len(caught) == 1


def test_one_unreadable_layer_is_named_and_can_be_left_out():
    model = nn.Sequential(LoRALinear(7, 5), LoRALinear(5, 6))
    model[1].lora_mid = nn.Parameter(torch.ones(3, 3))
    with pytest.raises(ld.InvalidArgument, match=r"1 cannot: the model must hold plain products.*leave_out=\['1'\]"):
        RegimeTracker(model)
    assert RegimeTracker(model, leave_out="1").dataset["pair"].values.tolist() == ["0"]
    with pytest.raises(ld.InvalidArgument, match="nothing is named 'x'"):
        RegimeTracker(model, leave_out="x")
    with pytest.raises(ld.InvalidArgument, match="it is empty"):
        RegimeTracker(model, leave_out="*")


# Adam's clock: which rates were used


def test_rates_are_summed_by_group_and_schedule():
    """x = Σ η/σ of the factor that starts larger, whose group's rate counts: here A of the adapter."""
    model = adapted()
    with torch.no_grad():
        model[1].lora_B.zero_()
    groups = [{"params": [model[1].lora_A], "lr": 0.1}, {"params": [model[1].lora_B], "lr": 1.6}]
    optimizer = torch.optim.SGD(groups)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    deviation = float(model[1].lora_A.detach().square().mean().sqrt())
    tracker = RegimeTracker(model, every=1, optimizer=optimizer)
    for _ in range(3):
        model[1].lora_A.grad = torch.ones_like(model[1].lora_A)
        optimizer.step()
        tracker.step()
        schedule.step()
    wanted = np.array([0.0, 0.1, 0.15, 0.175])
    np.testing.assert_allclose(tracker.dataset["adam_clock"].values[0] * deviation, wanted, rtol=1e-6)
    size = float(model[1].lora_A.numel()) ** 0.5
    np.testing.assert_allclose(tracker.dataset["turn"].values[0] * deviation * size, wanted * size, rtol=1e-5)
    tracker.seek(2)
    np.testing.assert_allclose(tracker._rates.sums, 0.15, rtol=1e-6)


def test_without_the_optimiser_the_clock_is_unknown_and_the_turn_is_not():
    model = bottleneck()
    tracker = RegimeTracker(model, every=1)
    with torch.no_grad():
        model[0].weight *= 1.5
        model[1].weight *= 1.5
    tracker.step()
    assert np.isnan(tracker.dataset["adam_clock"].values[0, -1])
    assert tracker.dataset["turn"].values[0, -1] == pytest.approx(0.5, rel=1e-6)


@slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_adapter_of_peft_is_followed_until_it_is_merged_or_deleted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import peft

    def make():
        model = peft.get_peft_model(nn.Sequential(nn.Linear(7, 5)), peft.LoraConfig(r=2, target_modules=["0"]))
        with torch.no_grad():
            model.base_model.model[0].lora_B["default"].weight.normal_()
        return model, RegimeTracker(model, every=1)

    model, tracker = make()
    state = {k: torch.randn_like(v) for k, v in peft.get_peft_model_state_dict(model).items()}
    peft.set_peft_model_state_dict(model, state)
    tracker.step()
    delta = model.base_model.model[0].get_delta_weight("default").detach().numpy()
    wanted = np.linalg.svd(delta, compute_uv=False)[:2]
    np.testing.assert_allclose(tracker.dataset["singular_values"].values[0, -1], wanted, rtol=1e-5)
    model.add_adapter("second", peft.LoraConfig(r=2, target_modules=["0"]))
    model.delete_adapter("default")
    with pytest.raises(ld.InvalidArgument, match="still hold the adapter 'default'"):
        tracker.step()
    model, tracker = make()
    model.merge_and_unload()
    with pytest.raises(ld.InvalidArgument, match="stopped"):
        tracker.step()
