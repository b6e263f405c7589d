"""The lines of Python that a recommendation prints set what it recommends; with Adam they set its clock."""

import json
import warnings

import numpy as np
import pytest

import lindyn as ld
import torch
from helpers.commands import as_json, lindyn
from lindyn.advice import AdamAdvice


@pytest.mark.slow
def test_the_lines_for_two_layers_set_the_threshold_and_the_rate():
    advice = ld.advise((12, 16), rank=2, noise=0.1, scale=3.0, momentum=0.5)
    names = {}
    exec(advice.code, names)
    pair = ld.inspect(torch.nn.Sequential(names["first"], names["second"])).pairs[0]
    assert pair.nominal_threshold == pytest.approx(advice.threshold, rel=1e-5)
    group = names["optimizer"].param_groups[0]
    assert group["lr"] == pytest.approx(advice.learning_rate, rel=1e-5)
    assert group["momentum"] == 0.5
    assert f"stop at step {advice.steps}" in advice.code
    assert advice.code in json.dumps(advice.as_dict()["code"]).encode().decode("unicode_escape")


@pytest.mark.slow
def test_the_lines_for_lora_set_the_threshold_and_the_rate():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import peft  # noqa: F401
    advice = ld.advise((48, 64), rank=2, width=4, noise=0.1, scale=3.0)
    names = {"model": torch.nn.Sequential(torch.nn.Linear(64, 48))}
    exec(advice.code.replace('["..."]', '["0"]'), names)
    pair = ld.inspect(names["model"]).pairs[0]
    assert (pair.rank, pair.scale) == (4, 1.0)
    assert pair.nominal_threshold == pytest.approx(advice.threshold, rel=1e-5)
    assert pair.imbalance == pytest.approx(np.full(4, advice.threshold), rel=1e-4)
    assert names["optimizer"].param_groups[0]["lr"] == pytest.approx(advice.learning_rate, rel=1e-5)


@pytest.mark.slow
def test_the_lines_for_adam_set_the_clock():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import peft  # noqa: F401
    advice = ld.advise((48, 64), width=4, optimizer="AdamW", learning_rate=1e-3, steps=50)
    assert isinstance(advice, AdamAdvice)
    blocks = advice.code.split("\n\n")
    for start, block in zip(advice.starts, blocks[1:], strict=True):
        torch.manual_seed(0)
        names = {"model": torch.nn.Sequential(torch.nn.Linear(64, 48))}
        exec(blocks[0] + "\n" + block.replace("lora_alpha=4", 'lora_alpha=4, target_modules=["0"]'), names)
        a = names["model"].get_submodule("base_model.model.0").lora_A["default"].weight.detach().numpy()
        # exact for prescribed rows; 256 drawn entries have a deviation good to 1/√512
        tolerance = 0.15 if start.threshold is None else 1e-5
        assert np.sqrt(np.mean(a**2)) == pytest.approx(start.clock.deviation, rel=tolerance)
    ends = {start.name: start.clock.at(50) for start in advice.starts}
    assert ends["lazy throughout"] == pytest.approx(0.2)
    assert ends["can turn by the last step"] == pytest.approx(1.0)


def test_a_schedule_and_a_matrix_give_the_same_clock():
    rates = [1e-3] * 50
    by_shape = ld.advise((48, 64), width=4, optimizer="adam", learning_rate=rates)
    by_matrix = ld.advise(target=np.ones((48, 64)), width=4, optimizer="adam", learning_rate=1e-3, steps=50)
    assert by_shape.rows() == by_matrix.rows()
    assert by_shape.steps == 50


@pytest.mark.slow
def test_the_command_prints_code_and_clock():
    found = as_json("advise", "--dim", 64, "--width", 4, "--optimizer", "adamw", "--learning-rate", 1e-3, "--steps", 50)
    assert found["starts"][0]["lazy_until"] == int(0.2 / np.sqrt(3 * 64) / 1e-3)
    assert "lora_init_(model, threshold=" in found["code"]
    shown = lindyn("advise", "--dim", 40, "--rank", 2, "--width", 4, "--steps", 100)
    assert "lora_init_(model, threshold=" in shown.stdout
    clock = lindyn("advise", "--dim", 64, "--width", 4, "--optimizer", "adamw", "--learning-rate", 1e-3, "--steps", 50)
    assert "a bound, no prediction of times" in " ".join(clock.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "name", "part"),
    [
        ({"width": 4}, "learning_rate", "Adam's clock is x = ηn/σ_A"),
        ({"width": 20, "learning_rate": 1e-3}, "width", "LoRA's rank, below 20"),
        ({"width": 4, "learning_rate": 1e-3, "momentum": 0.9}, "momentum", "has its own"),
        ({"width": 4, "learning_rate": 1e-3, "shape": None}, "shape", "it is not"),
        ({"learning_rate": 1e-3}, "optimizer", "for Adam's clock give `width`"),
    ],
)
def test_adam_without_what_its_clock_needs_is_refused(arguments, name, part):
    with pytest.raises(ld.InvalidArgument, match=part) as caught:
        ld.advise(**{"shape": 20, "optimizer": "adam", **arguments})
    assert caught.value.name == name
