"""Initialisers: the weights they make, and SGD from them in PyTorch against the formulas they promise."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

import lindyn as ld
import torch
from helpers.reference import integrate, matrix_with, mixed_flow, relative, roots, target_of, worst
from helpers.refusals import refused
from helpers.torch_reference import tensor, train
from lindyn.torch import lora_init_, mixed_init_

SHAPE, TAU = (5, 7), 0.4
FORMS = {  # form → width, what it must be called, which layer is zero from a zero start
    "two-sided": (12, "both", None),
    "one-sided in": (8, "in", 1),
    "one-sided out": (6, "out", 0),
    "narrow": (3, "in", 1),
}
slow = pytest.mark.slow


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pair(width, shape=SHAPE, dtype=torch.float64):
    return torch.empty(width, shape[1], dtype=dtype), torch.empty(shape[0], width, dtype=dtype)


def weights(width, threshold=TAU, **options):
    first, second = pair(width)
    report = mixed_init_(first, second, threshold=threshold, generator=seeded(), **options)
    return first.numpy(), second.numpy(), report


@pytest.mark.parametrize(("width", "side", "zero"), FORMS.values(), ids=FORMS)
def test_the_form_follows_from_the_shapes(request, width, side, zero):
    w1, w2, report = weights(width)
    form = request.node.callspec.id.split()[0]
    assert (report.form, report.side, report.width, report.shape) == (form, side, width, SHAPE)
    assert ("(3.4)" if form == "narrow" else "(3.1)") in report.exactness
    if zero is None:
        gram = np.block([[w1.T @ w1, w1.T @ w2.T], [w2 @ w1, w2 @ w2.T]])
        np.testing.assert_allclose(gram, TAU * np.eye(12), atol=1e-12)
        return
    live, other = ((w1, w2), (w2.T, w1.T))[1 - zero]
    assert not other.any()
    gram = live @ live.T if form == "narrow" else live.T @ live
    np.testing.assert_allclose(gram, 2 * TAU * np.eye(len(gram)), atol=1e-12)


@pytest.mark.parametrize("width", [12, 9, 6, 3])
def test_a_given_start_is_kept_and_balanced(width):
    start = matrix_with([0.6, 0.3, 0.1], SHAPE, np.random.default_rng(1))
    w1, w2, report = weights(width, start=start)
    assert relative(w2 @ w1, start) < 1e-12
    left, right = roots(start, TAU)
    # C1 and C2 are the roots of (2.2), up to the constant that cancels between them (2.5)
    shift = {"two-sided": 0.0, "one-sided": TAU if report.side == "in" else -TAU}.get(report.form)
    if shift is not None:
        np.testing.assert_allclose(w1.T @ w1, right + shift * np.eye(7), atol=1e-12)
        np.testing.assert_allclose(w2 @ w2.T, left - shift * np.eye(5), atol=1e-12)
    else:
        np.testing.assert_allclose(w1 @ w1.T - w2.T @ w2, 2 * TAU * np.eye(3), atol=1e-12)


def quadratic():
    target = target_of(SHAPE, largest=1.0)
    return lambda a: 0.5 * ((a - tensor(target)) ** 2).sum(), lambda a: a - target, target


def masked():
    target, seen = target_of(SHAPE, largest=1.0), np.random.default_rng(5).random(SHAPE) < 0.6
    return lambda a: 0.5 * ((a - tensor(target)) ** 2 * tensor(seen)).sum(), lambda a: seen * (a - target), target


def correlated():
    """Regression on 20 inputs whose covariance has a condition of about 20."""
    target, rng = target_of(SHAPE, largest=1.0), np.random.default_rng(6)
    inputs = np.linspace(0.3, 1.2, 7)[:, None] * rng.standard_normal((7, 20)) / np.sqrt(20)
    outputs = target @ inputs + 0.05 * rng.standard_normal((5, 20))
    return (
        lambda a: 0.5 * ((a @ tensor(inputs) - tensor(outputs)) ** 2).sum(),
        lambda a: (a @ inputs - outputs) @ inputs.T,
        target,
    )


COSTS = {"mse": quadratic, "masked": masked, "non-whitened": correlated}
TIMES = np.array([0.5, 1.0, 2.0, 4.0])


def narrow_formula(gradient, tau, start, times):
    """C2 = √(AAᵀ + τ²) − τ and C1 = (√(AᵀA + τ²) + τ) on the rows of A, where A has the rank of the hidden layer."""
    rank = np.linalg.matrix_rank(start)

    def velocity(_, a):
        left, right = roots(a, tau)
        rows = np.linalg.svd(a)[2][:rank]
        g = gradient(a)
        return -(left - tau * np.eye(len(left))) @ g - g @ rows.T @ rows @ (right + tau * np.eye(len(right)))

    return integrate(velocity, start, times, rtol=1e-12)


def formula(form, cost, start):
    """The promised A(t), and whether there is a closed form too."""
    _, gradient, target = COSTS[cost]()
    if form == "narrow" and cost == "mse":
        w1, w2, _ = weights(3, start=start)
        return ld.solutions.NarrowSolution(target, w1, w2)(TIMES)
    if form == "narrow":
        return narrow_formula(gradient, TAU, start, TIMES)
    if cost == "mse":
        return ld.solutions.MixedSolution(target, TAU, start)(TIMES)
    return mixed_flow(gradient, TAU, np.zeros(SHAPE) if start is None else start, TIMES)


def start_of(form, cost):
    """A zero start where the theory closes for one; a narrow layer on another cost needs a start of its own rank."""
    full = matrix_with([0.3, 0.2, 0.1], SHAPE, np.random.default_rng(2))
    return full if form == "narrow" and cost != "mse" else None


def runge_kutta(gradient, w1, w2, time, steps):
    """Classical Runge–Kutta of the network's own flow (1.1)."""

    def velocity(x, y):
        g = gradient(y @ x)
        return -y.T @ g, -g @ x.T

    h = time / steps
    for _ in range(steps):
        k1 = velocity(w1, w2)
        k2 = velocity(w1 + h / 2 * k1[0], w2 + h / 2 * k1[1])
        k3 = velocity(w1 + h / 2 * k2[0], w2 + h / 2 * k2[1])
        k4 = velocity(w1 + h * k3[0], w2 + h * k3[1])
        w1, w2 = (w + h / 6 * (a + 2 * b + 2 * c + d) for w, a, b, c, d in zip((w1, w2), k1, k2, k3, k4, strict=True))
    return w1, w2


combinations = [
    pytest.param(f, c, id=f"{f}-{c}", marks=() if (f, c) == ("narrow", "mse") else slow) for f in FORMS for c in COSTS
]


@pytest.mark.parametrize(("form", "cost"), combinations)
def test_flow_from_the_start_is_the_formula(form, cost):
    start = start_of(form, cost)
    w1, w2, _ = weights(FORMS[form][0], start=start)
    expected, now = formula(form, cost, start), 0.0
    for time, matrix in zip(TIMES, expected, strict=True):
        w1, w2 = runge_kutta(COSTS[cost]()[1], w1, w2, time - now, int(300 * (time - now)))
        now = time
        assert relative(w2 @ w1, matrix) < 1e-9


@slow
@pytest.mark.parametrize(("form", "cost"), combinations)
def test_sgd_follows_the_formula_to_first_order(form, cost):
    start = start_of(form, cost)
    w1, w2, _ = weights(FORMS[form][0], start=start)
    expected, loss, errors = formula(form, cost, start), COSTS[cost]()[0], []
    for rate in (0.005, 0.0025):
        steps = np.rint(TIMES / rate).astype(int)
        path, _, _ = train(w1, w2, lambda a, _: loss(a), lambda p, rate=rate: torch.optim.SGD(p, lr=rate), steps[-1])
        errors.append(worst(path[steps], expected))
    assert errors[0] <= 0.005
    assert 1.7 <= errors[0] / errors[1] <= 2.3


def test_linear_layers_in_place_with_a_hidden_bias():
    first, second = torch.nn.Linear(7, 3), torch.nn.Linear(3, 5)
    before, other = first.weight, second.bias.detach().clone()
    report = mixed_init_(first, second, threshold=TAU, generator=seeded())
    assert first.weight is before and first.weight.requires_grad and first.weight.grad is None
    augmented = torch.cat([first.weight, first.bias[:, None]], 1).detach().double()
    np.testing.assert_allclose((augmented @ augmented.T).numpy(), 2 * TAU * np.eye(3), atol=1e-6)
    assert torch.equal(second.bias, other)
    assert report.shape == (5, 8)
    assert any("last column" in note for note in report.notes)


@slow
def test_a_hidden_bias_trains_as_an_input_of_one():
    """Inputs with mean zero and identity covariance: [x; 1] is whitened too, and (3.4) holds for [W1 b1]."""
    rng = np.random.default_rng(0)
    x = np.linalg.qr(np.column_stack([np.ones(40), rng.standard_normal((40, 4))]))[0][:, 1:] * np.sqrt(40)
    target, shift = target_of((3, 4), largest=1.0), np.array([0.5, -0.3, 0.2])
    first, second = torch.nn.Linear(4, 2).double(), torch.nn.Linear(2, 3, bias=False).double()
    mixed_init_(first, second, threshold=0.3, generator=seeded())
    solution = ld.solutions.NarrowSolution(
        np.column_stack([target, shift]),
        torch.cat([first.weight, first.bias[:, None]], 1).detach(),
        second.weight.detach(),
    )
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], lr=0.002)
    inputs, outputs = tensor(x), tensor(x @ target.T + shift)
    for _ in range(1000):
        optimizer.zero_grad()
        (0.5 * ((second(first(inputs)) - outputs) ** 2).sum() / 40).backward()
        optimizer.step()
    product = second.weight @ torch.cat([first.weight, first.bias[:, None]], 1)
    assert relative(product.detach().numpy(), solution(2.0)) < 0.004


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_seed_gives_one_start_in_every_dtype(dtype):
    exact, rounded = pair(3), pair(3, dtype=dtype)
    reports = [mixed_init_(*p, threshold=TAU, generator=seeded(7)) for p in (exact, rounded)]
    for a, b in zip(exact, rounded, strict=True):
        assert b.dtype == dtype
        assert torch.equal(a.to(dtype), b)
    assert ("master" in str(reports[1])) == (dtype != torch.float32)


def test_seeds():
    generator = seeded(1)
    made = [pair(3) for _ in range(4)]
    mixed_init_(*made[0], threshold=TAU, generator=generator)
    mixed_init_(*made[1], threshold=TAU, generator=generator)  # the generator goes on
    torch.manual_seed(1)
    for p in made[2:]:
        mixed_init_(*p, threshold=TAU)
        torch.manual_seed(1)
    assert not torch.equal(made[0][0], made[1][0])
    assert torch.equal(made[2][0], made[3][0])


def test_report_reads_as_sentences():
    text = str(weights(3)[2])
    assert text.splitlines()[0] == "narrow start (in) of 5 × 7, width 3, threshold 0.4"
    assert "(3.4) exactly" in text and "Adam" in text


@pytest.fixture(scope="module")
def peft():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of transformers and what it imports
        import peft
    return peft


def adapted(peft, model=None, **settings):
    model = model or torch.nn.Sequential(torch.nn.Linear(24, 16), torch.nn.ReLU(), torch.nn.Linear(16, 12))
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["0", "2"], **settings}
    return peft.get_peft_model(model, peft.LoraConfig(**settings))


@slow
@pytest.mark.parametrize(("settings", "scale"), [({}, 2.0), ({"use_rslora": True}, 4.0), ({"lora_dropout": 0.1}, 2.0)])
def test_peft_adapters(peft, settings, scale):
    model = adapted(peft, **settings)
    x = torch.randn(3, 24)
    with model.disable_adapter():
        before = model(x)
    reports = lora_init_(model, threshold=0.25, generator=seeded())
    assert len(reports) == 2
    for name, report in reports.items():
        layer = model.get_submodule(name.removesuffix(".default"))
        a, b = layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach()
        assert layer.scaling["default"] == scale
        np.testing.assert_allclose((scale * a @ a.T).numpy(), 0.5 * np.eye(4), atol=1e-6)
        assert not b.any() and report.threshold == 0.25
        assert any("dropout" in note for note in report.notes) == ("lora_dropout" in settings)
    torch.testing.assert_close(model.eval()(x), before)


@slow
def test_one_peft_adapter_of_two(peft):
    model = adapted(peft)
    model.add_adapter("second", peft.LoraConfig(r=2, lora_alpha=2, target_modules=["0"]))
    kept = model.get_submodule("base_model.model.0").lora_A["default"].weight.detach().clone()
    reports = lora_init_(model, threshold=1.0, adapter="second")
    assert list(reports) == ["base_model.model.0.second"]
    assert torch.equal(model.get_submodule("base_model.model.0").lora_A["default"].weight, kept)


@slow
def test_peft_layers_that_are_no_product_are_refused_untouched(peft):
    def reject(model, part, **options):
        state = {k: v.clone() for k, v in model.state_dict().items()}
        with pytest.raises(ld.InvalidArgument, match=part):
            lora_init_(model, **{"threshold": 1.0, **options})
        assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())

    reject(adapted(peft, use_dora=True), "DoRA")
    conv = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Conv2d(4, 4, 1))
    reject(adapted(peft, conv, target_modules=["0", "1"]), "Conv2d")
    embedding = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Linear(4, 4))
    reject(adapted(peft, embedding, target_modules=["0", "1"]), "an embedding")
    merged = adapted(peft)
    merged.merge_adapter()
    reject(merged, "unmerge it first")
    reject(adapted(peft), "be one of default", adapter="other")
    reject(adapted(peft), "greater than 0", threshold=0.0)


@slow
@pytest.mark.parametrize("init", [True, False, "gaussian", "orthogonal", "pissa", "pissa_niter_4", "olora"])
def test_an_adapted_model_starts_as_the_base_model_or_is_refused(peft, init):
    base = torch.nn.Sequential(torch.nn.Linear(24, 16))
    x = torch.randn(5, 24)
    wanted = base(x).detach()
    model = adapted(peft, base, target_modules=["0"], init_lora_weights=init)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    if str(init).startswith(("pissa", "olora")):
        with pytest.raises(ld.InvalidArgument, match="taken s·BA out of the base weight"):
            lora_init_(model, threshold=0.1)
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        # the layer alone does not know its start: s·BA ≠ 0 is refused as well
        with pytest.raises(ld.InvalidArgument, match="pass the whole PEFT model"):
            lora_init_(model.base_model.model[0], threshold=0.1)
        return
    lora_init_(model, threshold=0.1, seed=0)
    torch.testing.assert_close(model(x), wanted, rtol=1e-5, atol=1e-6)


@slow
def test_a_bias_of_the_adapter_is_reset_and_layers_can_be_left_out(peft):
    base = torch.nn.Sequential(torch.nn.Linear(24, 16), torch.nn.Conv2d(4, 4, 1))
    model = adapted(peft, base, target_modules=["0", "1"], lora_bias=True)
    layer = model.base_model.model[0]
    with torch.no_grad():
        layer.lora_B["default"].bias.fill_(1.0)
    with pytest.raises(ld.InvalidArgument, match="leave it out with `leave_out`"):
        lora_init_(model, threshold=0.1)
    assert list(lora_init_(model, threshold=0.1, leave_out="1")) == ["base_model.model.0.default"]
    assert not layer.lora_B["default"].bias.any()


@slow
def test_without_pytorch_the_extra_is_named():
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch': raise ImportError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "try:\n    from lindyn.torch import mixed_init_\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "lindyn.torch needs PyTorch; install it with: pip install 'lindyn[torch]'."


def autoencoder(tied=False):
    model = torch.nn.Module()
    model.enc, model.dec = torch.nn.Linear(7, 3, bias=False), torch.nn.Linear(3, 7, bias=False)
    if tied:
        model.dec.weight = torch.nn.Parameter(model.enc.weight.detach().T)
    return model


def test_a_module_is_filled_as_its_two_layers_are():
    by_hand = autoencoder()
    mixed_init_(by_hand.enc, by_hand.dec, threshold=TAU, seed=4)
    named, sequence, wrapped = autoencoder(), torch.nn.Sequential(*autoencoder().children()), autoencoder()
    mixed_init_(named, threshold=TAU, pair="first=enc,second=dec", seed=4)
    mixed_init_(sequence, threshold=TAU, seed=4)
    mixed_init_(torch.nn.ModuleDict({"net": wrapped}), threshold=TAU, pair=("net.enc", "net.dec"), seed=4)
    for model in (named, sequence, wrapped):
        for a, b in zip(model.parameters(), by_hand.parameters(), strict=True):
            assert torch.equal(a, b)


def test_a_part_of_a_parameter_is_filled_through_its_detached_view():
    whole = torch.nn.Parameter(torch.zeros(6, 7))
    second = torch.nn.Parameter(torch.zeros(5, 3))
    with pytest.raises(ld.InvalidArgument, match="one step of a computation"):
        mixed_init_(whole[:3], second, threshold=TAU)
    mixed_init_(whole.detach()[:3], second, threshold=TAU)
    assert whole[:3].any() and not whole[3:].any()


class Conv1D(torch.nn.Module):
    """As GPT-2 has it: weights stored (in, out)."""

    def __init__(self, d_out, d_in):
        super().__init__()
        self.weight, self.bias = torch.nn.Parameter(torch.ones(d_in, d_out)), torch.nn.Parameter(torch.zeros(d_out))


def lora_layer(**changes):
    layer = torch.nn.Linear(7, 5)
    layer.lora_A, layer.lora_B = torch.nn.Parameter(torch.randn(3, 7)), torch.nn.Parameter(torch.zeros(5, 3))
    layer.scaling = 2.0
    for name, value in changes.items():
        setattr(layer, name, value)
    return layer


def test_layers_of_other_libraries_are_filled_too():
    layer = lora_layer()
    report = lora_init_(torch.nn.Sequential(layer), threshold=TAU, seed=0)["0"]
    a = layer.lora_A.detach()
    np.testing.assert_allclose((2 * a @ a.T).numpy(), 2 * TAU * np.eye(3), atol=1e-6)
    assert report.width == 3 and not layer.lora_B.any()
    turned = torch.nn.Module()
    turned.lora_a, turned.lora_b = torch.nn.Parameter(torch.ones(7, 3)), torch.nn.Parameter(torch.zeros(3, 5))
    turned.alpha, turned.rank = 6.0, 3
    lora_init_(turned, threshold=TAU, seed=0)
    torch.testing.assert_close(turned.lora_a.detach().T, a)


def frozen():
    layer = lora_layer()
    layer.lora_A.requires_grad_(False)
    return layer


LINEAR = torch.nn.Linear
NORMS = torch.nn.utils.parametrizations
REFUSALS = [
    (lambda: mixed_init_(NORMS.weight_norm(LINEAR(7, 3)), LINEAR(3, 5), threshold=1.0), "first", "computed from other"),
    (lambda: mixed_init_(LINEAR(7, 3), NORMS.spectral_norm(LINEAR(3, 5)), threshold=1.0), "second", "computed"),
    (lambda: mixed_init_(Conv1D(3, 7), LINEAR(3, 5), threshold=1.0), "first", "it is Conv1D"),
    (lambda: mixed_init_(torch.nn.Embedding(4, 4), LINEAR(4, 5), threshold=1.0), "first", "Embedding"),
    (lambda: mixed_init_(LINEAR(7, 3), threshold=1.0), "second", "`first` is Linear"),
    (lambda: mixed_init_(autoencoder(), threshold=1.0), "first", "'enc' and 'dec' chain by their shapes only"),
    (lambda: mixed_init_(autoencoder(), LINEAR(3, 5), threshold=1.0, pair=("enc", "dec")), "pair", "module alone"),
    (lambda: mixed_init_(autoencoder(), threshold=1.0, pair=("enc.weight[0:2]", "dec")), "pair", "whole linear layers"),
    (lambda: mixed_init_(*[LINEAR(4, 4)] * 2, threshold=1.0), "second", "not be tied"),
    (lambda: mixed_init_(*autoencoder(tied=True).children(), threshold=1.0), "second", "not be tied"),
    (lambda: mixed_init_(*pair(3), threshold=1.0, seed=1, generator=seeded()), "seed", "both are given"),
    (lambda: mixed_init_(*pair(3), threshold=1.0, seed=-1), "seed", "at least 0"),
    (lambda: lora_init_(lora_layer(lora_B=torch.nn.Parameter(torch.ones(5, 3))), threshold=1.0), "module", "B = 0"),
    (lambda: lora_init_(frozen(), threshold=1.0), "module", "A of the layer is frozen"),
    (lambda: lora_init_(lora_layer(scaling=-1.0), threshold=1.0), "module", "positive scale"),
    (lambda: lora_init_(lora_layer(), threshold=1.0, leave_out="*"), "leave_out", "nothing is left"),
    (lambda: mixed_init_(LINEAR(7, 3), LINEAR(4, 5), threshold=1.0), "second", "take the 3 outputs of `first`"),
    (lambda: mixed_init_(LINEAR(7, 3), LINEAR(3, 5), threshold=0.0), "threshold", "greater than 0"),
    (lambda: mixed_init_(LINEAR(7, 3), LINEAR(3, 5), threshold=-2.0), "threshold", "greater than 0"),
    (lambda: mixed_init_(LINEAR(7, 3), LINEAR(3, 5), threshold=np.nan), "threshold", "finite"),
    (lambda: mixed_init_(*pair(3), threshold=1.0, form="wide"), "form", "'narrow'"),
    (lambda: mixed_init_(*pair(3), threshold=1.0, side="left"), "side", "'in'"),
    (lambda: mixed_init_(*pair(3), threshold=1.0, form="two-sided"), "width", "at least 12"),
    (lambda: mixed_init_(*pair(3), threshold=1.0, form="one-sided"), "width", "at least d_in = 7 or d_out = 5"),
    (lambda: mixed_init_(*pair(6), threshold=1.0, form="narrow", side="out"), "width", "at most d_out = 5"),
    (lambda: mixed_init_(*pair(12), threshold=1.0, form="two-sided", side="in"), "side", "left out"),
    (lambda: mixed_init_(*pair(3), threshold=1.0, start=np.eye(5)), "start", "have shape (5, 7)"),
    (lambda: mixed_init_(*pair(3), threshold=1.0, start=np.full(SHAPE, np.nan)), "start", "35 of its 35"),
    (lambda: mixed_init_(*pair(3), threshold=1.0, start=target_of(SHAPE)), "width", "at least the rank 5"),
    (lambda: mixed_init_("layer", pair(3)[1], threshold=1.0), "first", "it is str"),
    (lambda: mixed_init_(torch.ones(3), pair(3)[1], threshold=1.0), "first", "of shape (3,)"),
    (lambda: mixed_init_(torch.ones(3, 7, dtype=torch.int8), pair(3)[1], threshold=1.0), "first", "torch.int8"),
    (lambda: mixed_init_(torch.ones(3, 7, device="meta"), pair(3)[1], threshold=1.0), "first", "meta"),
    (lambda: lora_init_(LINEAR(3, 3), threshold=1.0), "module", "contain a LoRA layer"),
    (lambda: lora_init_("adapter", threshold=1.0), "module", "it is str"),
    (lambda: ld.networks.lora_weights((4, 5), 6, threshold=1.0), "rank", "at most 5"),
    (lambda: ld.networks.lora_weights((4, 5), 2, threshold=1.0, scale=0.0), "scale", "greater than 0"),
]


@refused(REFUSALS)
def test_refusals_are_one_sentence(refusal):
    refusal.check()
