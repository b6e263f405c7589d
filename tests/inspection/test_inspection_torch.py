"""Inspection of PEFT's adapters on a real transformer, and of live modules: against dense float64 computation."""

import copy

import numpy as np
import pytest

import lindyn as ld

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def adapters():
    """The helper that wraps and trains; imported here, since transformers takes seconds."""
    from helpers import adapters as adapters_reference

    return adapters_reference


STARTS = {
    "kaiming": {"init": True},
    "gaussian": {"init": "gaussian"},
    "orthogonal": {"init": "orthogonal"},
    "pissa": {"init": "pissa"},
    "rslora": {"init": True, "use_rslora": True},
    "rank 16": {"init": True, "r": 16, "lora_alpha": 8.0},
}


@pytest.mark.parametrize("name", STARTS)
def test_starts_of_peft_are_recognised_and_their_thresholds_right(adapters, tmp_path, name):
    model = adapters.adapted(**STARTS[name])
    model.save_pretrained(tmp_path)
    report = ld.inspect(tmp_path)
    law = name if name in ("gaussian", "orthogonal", "pissa") else "kaiming"
    assert not report.failures
    assert [(p.law, p.recognised) for p in report.pairs] == [(law, law)] * 2 * adapters.LAYERS
    d, (r, s) = 384, {"rslora": (8, 16 / np.sqrt(8)), "rank 16": (16, 0.5)}.get(name, (8, 2.0))
    assert {(p.shape, p.rank) for p in report.pairs} == {((d, d), r)}
    assert [p.scale for p in report.pairs] == pytest.approx([s] * len(report.pairs))
    measured = np.array([p.nominal_threshold for p in report.pairs])
    if law == "pissa":
        weights = adapters.base_model().state_dict()
        for pair in report.pairs:
            top = np.linalg.svd(weights[f"{pair.name}.weight"].numpy().astype(float), compute_uv=False)[:r]
            assert pair.singular_values == pytest.approx(top, rel=1e-5)
            assert pair.nominal_threshold < 1e-5 * top[0]
            assert pair.active_modes == r
        return
    expected = {"kaiming": s / 6, "gaussian": s * d / (2 * r**2), "orthogonal": s * 2 * d / 400}[law]
    assert measured.mean() == pytest.approx(expected, rel=0.05)
    assert measured == pytest.approx(np.full(len(measured), expected), rel=0.05 if law == "kaiming" else 0.1)
    assert all(p.expected_threshold == pytest.approx(expected) for p in report.pairs)


def dense(model, start):
    """Name → singular values, τ_k, share outside row(A₀) and drift, from the whole matrices in float64."""
    now, before, out = dict(model.named_parameters()), dict(start.named_parameters()), {}
    for first in (name for name in now if ".lora_A." in name):
        names, s = (first, first.replace(".lora_A.", ".lora_B.")), 2.0
        a, b, a0, b0 = (params[n].detach().numpy().astype(float) for params in (now, before) for n in names)
        u, m, vt = np.linalg.svd(s * b @ a)
        u, m, vt = u[:, :8], m[:8], vt[:8]
        g = s * (np.sum((a @ vt.T) ** 2, axis=0) + np.sum((b.T @ u) ** 2, axis=0))
        inside = b @ a @ np.linalg.pinv(a0) @ a0
        d, d0 = a @ a.T - b.T @ b, a0 @ a0.T - b0.T @ b0
        out[first.removeprefix("base_model.model.").partition(".lora_A")[0]] = (
            m,
            0.5 * np.sqrt(g**2 - 4 * m**2),
            np.linalg.norm(b @ a - inside) ** 2 / np.linalg.norm(b @ a) ** 2,
            np.linalg.norm(d - d0) / np.linalg.norm(d0),
        )
    return out


@pytest.fixture(scope="module")
def runs(adapters, tmp_path_factory):
    """Optimiser and start → losses, trained model, its start, and the report from the saved files."""
    out = {}
    for key in RUNS:
        folder = tmp_path_factory.mktemp("-".join(key))
        losses, start, model = adapters.run_and_save(key, folder)
        out[key] = losses, model, start, ld.inspect(folder / "trained", start=folder / "start")
    return out


RUNS = [("sgd", "kaiming"), ("adamw", "kaiming"), ("adamw", "gaussian")]


@pytest.mark.parametrize("key", RUNS, ids="-".join)
def test_reports_agree_with_direct_computation(runs, key):
    losses, model, start, report = runs[key]
    assert losses[-1] < 0.3 * losses[0]
    direct = dense(model, start)
    assert {p.name for p in report.pairs} == set(direct)
    live = ld.inspect(model, start=start)
    for pair in report.pairs:
        m, tau, share, drift = direct[pair.name]
        assert pair.singular_values == pytest.approx(m, rel=1e-6)
        assert pair.thresholds == pytest.approx(tau, rel=1e-6)
        assert pair.activities == pytest.approx(m / np.hypot(m, tau), rel=1e-6)
        assert pair.share_outside_rows == pytest.approx(share, rel=1e-6)
        assert pair.imbalance_drift == pytest.approx(drift, rel=1e-6)
        same = live[pair.name]
        assert same.singular_values.tolist() == pair.singular_values.tolist()
        assert (same.law, same.share_outside_rows) == (pair.law, pair.share_outside_rows)


def test_descent_keeps_the_imbalance_within_a_percent(runs):
    report = runs["sgd", "kaiming"][3]
    assert max(p.imbalance_drift for p in report.pairs) <= 0.01
    assert {p.recognised for p in report.pairs} == {"kaiming"}


def test_adamw_leaves_the_rows_of_a_small_start_not_of_a_large_one(runs):
    small, large = (runs["adamw", law][3] for law in ("kaiming", "gaussian"))
    for pair in small.pairs:
        assert pair.share_outside_rows >= 4 * large[pair.name].share_outside_rows
    assert "3 of 4 pairs have at least one active mode" in small.explanation
    assert "which has turned towards what it learned" in small.explanation
    assert "4 of 4 pairs have no active mode, so lazy" in large.explanation
    assert "which has hardly turned" in large.explanation
    assert small.verdict.startswith(f"{sum(p.active_modes for p in small.pairs)} of 32 modes active")


def test_the_command_reads_what_peft_writes(adapters, tmp_path):
    from helpers.commands import as_json

    model = adapters.adapted(True, rank_pattern={"value": 4}, alpha_pattern={"value": 4.0})
    model.save_pretrained(tmp_path)
    pairs = {p["name"]: p for p in as_json("inspect", tmp_path)["pairs"]}
    for name, layer in model.named_modules():
        if hasattr(layer, "lora_A"):
            pair = pairs[name.removeprefix("base_model.model.")]
            assert pair["rank"] == layer.r["default"]
            assert pair["scale"] == pytest.approx(layer.scaling["default"])


def test_other_layers_of_peft():
    """Embeddings (A = 0, B random) and convolutions, live."""
    import peft

    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.filter = torch.nn.Embedding(90, 300), torch.nn.Conv2d(20, 60, 5)

    torch.manual_seed(0)
    model = peft.get_peft_model(Net(), peft.LoraConfig(r=4, lora_alpha=4, target_modules=["table", "filter"]))
    report = ld.inspect(model)
    table, conv = report["table"], report["filter"]
    assert (table.shape, table.law, table.recognised) == ((300, 90), "embedding", "embedding")
    assert table.nominal_threshold == pytest.approx(150, rel=0.1)
    assert (conv.shape, conv.rank) == ((60, 500), 4)
    layer = model.base_model.model.filter
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_()
    update = layer.get_delta_weight("default").detach().numpy().astype(float).reshape(60, 500)
    found = ld.inspect(model)["filter"].singular_values
    assert found == pytest.approx(np.linalg.svd(update, compute_uv=False)[:4], rel=1e-5)


def test_live_linear_layers():
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.ModuleDict({"body": nn.Sequential(nn.Linear(9, 4), nn.Dropout(0.1), nn.Linear(4, 7))})
    pair = ld.inspect(model).pairs[0]
    assert pair.name == "body.0 → body.2"
    first, second = model["body"][0], model["body"][2]
    w1 = torch.cat([first.weight, first.bias[:, None]], dim=1).detach().numpy()
    expected = ld.networks.factor_modes(w1, second.weight)
    assert pair.singular_values == pytest.approx(expected.singular_values, rel=1e-12)
    named = ld.inspect(model, pair="first=body.0,second=body.2").pairs[0]
    assert named.thresholds.tolist() == pair.thresholds.tolist()
    half = ld.inspect(copy.deepcopy(model).bfloat16()).pairs[0]
    assert half.singular_values == pytest.approx(pair.singular_values, rel=0.02)


def chain(*layers):
    from torch import nn

    return nn.Sequential(*(getattr(nn, name)(*sizes) for name, *sizes in layers))


def tied_net():
    from torch import nn

    net = nn.ModuleDict({"a": nn.Linear(5, 5, bias=False), "b": nn.Linear(5, 5, bias=False)})
    net["b"].weight = net["a"].weight
    return net


def quantised():
    import torch
    from torch import nn

    net = chain(("Linear", 4, 2), ("Linear", 2, 4))
    net[0].weight = nn.Parameter(torch.ones(2, 4, dtype=torch.int8), requires_grad=False)
    return net


LIVE = [
    (lambda: chain(("Linear", 4, 2), ("ReLU",), ("Linear", 2, 4)), None, "ReLU lies between '0' and '2'"),
    (lambda: chain(("Linear", 4, 2), ("LayerNorm", 2), ("Linear", 2, 4)), "first=0,second=2", "LayerNorm ('1') lies"),
    (lambda: chain(("Linear", 4, 2), ("Linear", 2, 4)), "first=1,second=0", "the second comes before the first"),
    (lambda: chain(("Linear", 4, 2), ("Linear", 2, 2), ("Linear", 2, 4)), None, "a product of 3 matrices"),
    (tied_net, "first=a,second=b", "are tied, one tensor"),
    (quantised, None, "a quantised tensor"),
    (lambda: chain(("ReLU",)), None, "but it has none"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "spec", "fragment"), LIVE, ids=[c[2] for c in LIVE])
def test_live_modules_that_are_no_products(make, spec, fragment):
    try:
        report = ld.inspect(make(), pair=spec)
    except ld.InvalidArgument as error:
        assert fragment in str(error)
    else:
        assert not report.pairs
        assert fragment in report.failures[0].reason


@pytest.mark.filterwarnings("ignore:The following rank_pattern:RuntimeWarning")  # parameters are not counted there
def test_stacked_experts_as_peft_saves_them_are_its_own_updates(adapters, tmp_path):
    """Two parameters of one module, nested, with patterns of their own: against `get_delta_weight`."""
    from torch import nn

    torch, peft = adapters.torch, adapters.peft

    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate_up_proj = nn.Parameter(torch.randn(3, 12, 10))
            self.down_proj = nn.Parameter(torch.randn(3, 10, 6))

    torch.manual_seed(0)
    parameters = {"experts.gate_up_proj": 2, "experts.down_proj": 3}
    config = peft.LoraConfig(
        r=6, lora_alpha=12, target_modules=["q"], target_parameters=list(parameters), rank_pattern=parameters,
        init_lora_weights=False,
    )  # fmt: skip
    base = nn.ModuleDict({"experts": Experts(), "q": nn.Linear(10, 10)})
    model = peft.get_peft_model(base, config)
    model.save_pretrained(tmp_path)
    report = ld.inspect(tmp_path)
    assert not report.failures
    wrappers = {m.parameter_name: m for m in model.modules() if type(m).__name__ == "ParamWrapper"}
    assert set(wrappers) == {"gate_up_proj", "down_proj"}
    for name, wrapper in wrappers.items():
        for i, update in enumerate(wrapper.get_delta_weight("default").detach().double().numpy()):
            pair = report[f"experts.{name}[{i}]"]
            values = np.linalg.svd(update, compute_uv=False)[: pair.rank]
            # PEFT multiplies in float32
            assert pair.singular_values == pytest.approx(values, rel=1e-5)
