"""Live modules: one reading, whatever stands around a model, and refusals by name."""

import os
import warnings

import numpy as np
import pytest
from torch.nn.utils import parametrizations

import lindyn as ld
import torch
from lindyn.networks.live_layers import lora_layers, share_memory
from torch import nn

slow = pytest.mark.slow


class LoRALinear(nn.Linear):
    """As loralib, LitGPT and many a project write it: bare parameters and a number."""

    def __init__(self, d_in, d_out, r=3, scaling=2.0):
        super().__init__(d_in, d_out)
        self.lora_A, self.lora_B = nn.Parameter(torch.randn(r, d_in)), nn.Parameter(torch.randn(d_out, r))
        self.scaling = scaling

    def update(self):
        return self.scaling * self.lora_B @ self.lora_A


class Turned(nn.Module):
    """Factors the other way round: x ↦ x A B."""

    def __init__(self, d_in, d_out, r=3):
        super().__init__()
        self.lora_a, self.lora_b = nn.Parameter(torch.randn(d_in, r)), nn.Parameter(torch.randn(r, d_out))
        self.alpha, self.rank = 6.0, r

    def update(self):
        return 2.0 * (self.lora_a @ self.lora_b).T


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.dec = nn.Linear(8, 3), nn.Linear(3, 8)

    def forward(self, x):
        return self.dec(self.enc(x))


class Torchtune(nn.Module):
    def __init__(self, d_in, d_out, r=3):
        super().__init__()
        self.lora_a, self.lora_b = nn.Linear(d_in, r, bias=False), nn.Linear(r, d_out, bias=False)
        self.alpha, self.rank = 6.0, r

    def update(self):
        return 2.0 * self.lora_b.weight @ self.lora_a.weight


@pytest.mark.parametrize("kind", [LoRALinear, Turned, Torchtune])
@pytest.mark.parametrize("shape", [(9, 7), (8, 8)])
def test_factors_of_any_library_give_the_dense_singular_values(kind, shape):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Identity(), kind(*shape))
    pair = ld.inspect(model).pairs[0]
    wanted = np.linalg.svd(model[1].update().detach().numpy(), compute_uv=False)[:3]
    assert pair.name == "1"
    assert pair.scale == 2.0
    np.testing.assert_allclose(pair.singular_values, wanted, rtol=1e-5)  # float32 factors


def test_a_layer_without_a_scale_asks_for_it():
    layer = LoRALinear(6, 5)
    del layer.scaling
    failure = ld.inspect(nn.Sequential(layer)).failures[0]
    assert "neither `scaling` nor `alpha` and `rank`" in failure.reason
    assert ld.inspect(nn.Sequential(layer), scale=0.5).pairs[0].scale == 0.5


def merged_projections():
    layer = LoRALinear(6, 12)
    layer.enable_lora = [True, False, True]
    return layer


def third_factor():
    layer = LoRALinear(6, 5)
    layer.lora_mid = nn.Parameter(torch.ones(3, 3))
    return layer


def tied_factors():
    one, two = LoRALinear(6, 5), LoRALinear(6, 5)
    two.lora_A = nn.Parameter(one.lora_A.detach())  # another parameter of the same memory
    return nn.Sequential(one, two)


def turned_tie():
    one = LoRALinear(6, 6)
    one.lora_B = nn.Parameter(one.lora_A.detach().T)
    return one


def normed_factor():
    layer = Torchtune(6, 5)
    parametrizations.weight_norm(layer.lora_a)
    return layer


def grouped():
    layer = nn.Module()
    layer.lora_A = nn.ModuleDict({"default": nn.Conv2d(6, 4, 3, bias=False)})
    layer.lora_B = nn.ModuleDict({"default": nn.Conv2d(4, 10, 1, groups=2, bias=False)})
    layer.scaling = {"default": 1.0}
    return layer


REFUSED = {
    "several projections": (merged_projections, "enable_lora"),
    "third factor": (third_factor, "lora_mid"),
    "one memory in two layers": (tied_factors, "are tied, one tensor"),
    "a factor that is the other's transpose": (turned_tie, "are tied, one tensor"),
    "weight norm": (normed_factor, "weight or spectral norm"),
    "grouped convolution": (grouped, "grouped convolution"),
}


@pytest.mark.parametrize(("make", "cause"), REFUSED.values(), ids=REFUSED)
def test_a_layer_that_does_not_form_a_product_is_refused_by_its_cause(make, cause):
    report = ld.inspect(nn.ModuleDict({"block": make()}))
    assert not report.pairs
    assert all(cause in failure.reason and "block" in failure.name for failure in report.failures)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize(
    "norm",
    [parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal, nn.utils.weight_norm],
)
@pytest.mark.parametrize("spec", [None, "first=0,second=1"])
def test_computed_weights_are_refused_found_or_named(norm, spec):
    model = nn.Sequential(norm(nn.Linear(8, 4, bias=False)), nn.Linear(4, 6, bias=False))
    report = ld.inspect(model, pair=spec)
    assert not report.pairs
    assert "computed from other tensors" in report.failures[0].reason


def test_tied_is_what_shares_memory_not_what_is_named_alike():
    weight = nn.Parameter(torch.randn(6, 6))
    assert share_memory(weight, nn.Parameter(weight.detach().T))
    assert not share_memory(weight, nn.Parameter(weight.detach().clone()))
    flat = torch.zeros(72)  # two parameters in one buffer, as flattened models have them, are two
    assert not share_memory(nn.Parameter(flat[:36].view(6, 6)), nn.Parameter(flat[36:].view(6, 6)))
    net = nn.ModuleDict({"a": nn.Linear(6, 6, bias=False), "b": nn.Linear(6, 6, bias=False)})
    net["b"].weight = nn.Parameter(net["a"].weight.detach().T)
    assert "are tied" in ld.inspect(net, pair="first=a,second=b").failures[0].reason


def test_fused_attention_is_read_by_the_slices_of_one_head_only():
    """Value to output of a head: rows 2d + h·size of in_proj_weight, columns h·size of out_proj."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"attn": nn.MultiheadAttention(16, 2, bias=False)})
    spec = "first=attn.in_proj_weight[{}:{}],second=attn.out_proj.weight[:,{}:{}]"
    pair = ld.inspect(model, pair=spec.format(40, 48, 8, 16)).pairs[0]
    v, o = model["attn"].in_proj_weight[40:48].detach(), model["attn"].out_proj.weight[:, 8:16].detach()
    np.testing.assert_allclose(pair.singular_values, np.linalg.svd((o @ v).numpy(), compute_uv=False)[:8], rtol=1e-4)
    assert pair.active_modes is None
    for rows, columns in (((0, 8), (0, 8)), ((16, 24), (0, 8)), ((32, 40), (8, 16)), ((34, 42), (0, 8))):
        report = ld.inspect(model, pair=spec.format(*rows, *columns))
        assert "the values of head 0 are attn.in_proj_weight[32:40]" in report.failures[0].reason


def test_layers_that_chain_by_attribute_only_are_named_in_the_refusal():
    with pytest.raises(ld.InvalidArgument, match="'enc' and 'dec' chain by their shapes only"):
        ld.inspect(Autoencoder())
    assert ld.inspect(Autoencoder(), pair="first=enc,second=dec").pairs[0].shape == (8, 9)


def test_two_adapted_models_in_one_parent_keep_their_names_apart():
    both = nn.ModuleDict({"one": nn.Sequential(LoRALinear(6, 5)), "two": nn.Sequential(LoRALinear(6, 5))})
    assert [p.name for p in ld.inspect(both).pairs] == ["one.0", "two.0"]


# one reading, whatever stands around


def wrapped_in_a_parent(model):
    parent = nn.Module()
    parent.net = model
    return parent


def sharded(model):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(model, mesh=init_device_mesh("cpu", (1,)))


def distributed(model):
    return nn.parallel.DistributedDataParallel(model)


def compiled(model):
    return torch.compile(model, backend="eager")


def in_lightning(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lightning.pytorch as pl

    module = pl.LightningModule()
    module.net = model
    return module


WRAPPERS = {
    "parent": wrapped_in_a_parent,
    "Lightning": in_lightning,
    "DDP": distributed,
    "torch.compile": compiled,
    "FSDP2": sharded,
    "compiled DDP": lambda m: compiled(distributed(m)),
    "parent of a compiled model": lambda m: wrapped_in_a_parent(compiled(m)),
}


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """A process group of one."""
    store = tmp_path_factory.mktemp("group") / "store"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def peft_model():
    """Linear, Conv1D, embedding and grouped convolution, with dropout, a second adapter, and values that are not 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of transformers and what it imports
        import peft
        from transformers.pytorch_utils import Conv1D

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.body = nn.Embedding(30, 12), nn.Sequential(nn.Linear(12, 9), nn.ReLU())
            self.head, self.filter = Conv1D(8, 9), nn.Conv2d(8, 8, 3, groups=2)

        def forward(self, x):
            return self.head(self.body(self.table(x)))

    torch.manual_seed(0)
    settings = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "fan_in_fan_out": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Conv1D sets fan_in_fan_out itself, and says so
        model = peft.get_peft_model(
            Net(), peft.LoraConfig(target_modules=["table", "body.0", "head", "filter"], **settings)
        )
        model.add_adapter("second", peft.LoraConfig(target_modules=["body.0"], init_lora_weights="gaussian", r=2))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or "embedding_A" in name:
                parameter.normal_()
    return model


MODELS = {
    "PEFT": (peft_model, None),
    "parameters": (lambda: nn.Sequential(LoRALinear(9, 7), LoRALinear(7, 5)), None),
    "linear layers": (lambda: nn.Sequential(nn.Linear(9, 4), nn.Dropout(0.1), nn.Linear(4, 7)), None),
    "named": (Autoencoder, "first=*enc,second=*dec"),
    "an activation between": (
        lambda: nn.Sequential(nn.Linear(9, 4), nn.Tanh(), nn.Linear(4, 7)), "first=*0,second=*2",
    ),
    "nothing there": (lambda: nn.Sequential(nn.Linear(9, 4), nn.Tanh(), nn.Linear(4, 7)), None),
}  # fmt: skip


def outcome(model, spec):
    """All that a report says of the pairs, or the refusal."""
    try:
        report = ld.inspect(model, pair=spec).to_dict()
    except ld.InvalidArgument as error:
        return str(error)
    return report["pairs"], report["failures"], report["explanation"]


def without(prefix, found):
    """The same with a parent's name taken out, which belongs to the names of plain layers."""
    return repr(found).replace(prefix, "")


@slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_report_is_that_of_the_bare_model(one_process, kind, wrapper):
    make, spec = MODELS[kind]
    torch.manual_seed(1)
    bare = outcome(make(), spec)
    torch.manual_seed(1)
    wrapped = outcome(WRAPPERS[wrapper](make()), spec)
    if kind == "PEFT":
        assert len(bare[0]) == 4 and len(bare[1]) == 1  # the grouped convolution
        assert wrapped == bare
    else:
        for pair in (*bare[0], *wrapped[0]) if isinstance(bare, tuple) else ():
            del pair["kind"]  # by the name, to which the parent's belongs
        assert without("net.", wrapped) == without("net.", bare)


@slow
def test_layers_inside_a_model_carry_the_config_around_them():
    found = lora_layers(wrapped_in_a_parent(peft_model()))
    assert {layer.name for layer in found} == {"table", "body.0", "head", "filter"}
    assert all(layer.config is not None for layer in found)
    assert {layer.dropout for layer in found} == {0.1, 0.0}
