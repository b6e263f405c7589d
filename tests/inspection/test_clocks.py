"""Adam's clock of inspected adapters: σ_A from the config's law, or from the start itself."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import lindyn as ld
from helpers.commands import as_json, lindyn


def save(folder, first, second, init=True):
    folder.mkdir()
    names = ("base_model.model.layer.lora_A.weight", "base_model.model.layer.lora_B.weight")
    save_file(dict(zip(names, (first, second), strict=True)), folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": len(first), "lora_alpha": len(first), "init_lora_weights": init}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture
def adapter(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, 48)).astype("float32"), rng.standard_normal((32, 4)).astype("float32")
    return {
        "trained": save(tmp_path / "trained", 0.3 * a, b),
        "gaussian": save(tmp_path / "gaussian", 0.3 * a, b, "gaussian"),
        "pissa": save(tmp_path / "pissa", 0.3 * a, b, "pissa"),
        "start": save(tmp_path / "start", 0.1 * a, 0 * b),
        "deviation": 0.1 * float(np.sqrt(np.mean(a**2))),
    }


def test_the_deviation_is_that_of_the_start_or_of_its_law(adapter):
    for name, wanted in (("trained", 1 / np.sqrt(3 * 48)), ("gaussian", 1 / 4)):
        clock = ld.inspect(adapter[name]).adam_clocks(1e-3)["layer"]
        assert clock.deviation == pytest.approx(wanted)
        assert clock.lazy_until == int(0.2 * wanted / 1e-3 + 1e-9)
    known = ld.inspect(adapter["pissa"], start=adapter["start"]).adam_clocks([1e-3] * 40)["layer"]
    assert known.deviation == pytest.approx(adapter["deviation"], rel=1e-6)
    assert known.turned_from is None
    with pytest.raises(ld.InvalidArgument, match="no config names one; pass `start`"):
        ld.inspect(adapter["pissa"]).adam_clocks(1e-3)


def test_the_command_says_until_when_an_adapter_must_be_lazy(adapter):
    found = as_json("inspect", adapter["gaussian"], "--learning-rate", 1e-3, "--steps", 100)
    assert found["adam_clocks"]["layer"] == {"deviation": 0.25, "lazy_until": 50, "turned_from": None}
    shown = " ".join(lindyn("inspect", adapter["gaussian"], "--learning-rate", 1e-3, "--steps", 100).stdout.split())
    assert "a bound, no prediction of times" in shown
    assert "not within them" in shown
    assert lindyn("inspect", adapter["gaussian"], "--steps", 5).returncode != 0
