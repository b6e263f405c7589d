"""Prediction of factor pairs against SGD in PyTorch: LoRA, LoRA+, weight decay, momentum, wide pairs."""

import warnings

import numpy as np
import pytest

import lindyn as ld
import torch
from helpers.reference import integrate, mixed_flow, relative, target_of
from helpers.refusals import refused
from helpers.torch_reference import tensor
from lindyn import plots
from lindyn.networks.laws import lora, standard

slow = pytest.mark.slow


def teacher(d, values, seed=0):
    """A linear teacher by its factors."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((d, len(values))))[0] for _ in range(2))
    return left * np.asarray(values), right.T


def kaiming(d, rank, seed=0):
    """LoRA's default start, made by PyTorch."""
    torch.manual_seed(seed)
    a = torch.empty(rank, d)
    torch.nn.init.kaiming_uniform_(a, a=5**0.5)
    return a.double().numpy(), np.zeros((d, rank))


def sgd(start, target, steps, every, *, rate, scale=1.0, ratio=1.0, decay=0.0, momentum=0.0, curvature=1.0):
    """Singular values of scale·BA and the mean imbalance, in PyTorch's SGD with a rate for each layer."""
    a, b = (torch.nn.Parameter(tensor(w)) for w in start)
    goal = tensor(target[0] @ target[1] if isinstance(target, tuple) else target)
    groups = [{"params": [a], "lr": rate}, {"params": [b], "lr": ratio * rate}]
    rule = torch.optim.SGD(groups, momentum=momentum, weight_decay=decay)
    values, thresholds = [], []
    for step in range(steps + 1):
        if step % every == 0:
            x, y = a.detach().numpy(), b.detach().numpy()
            r = np.linalg.qr(y, mode="r") @ np.linalg.qr(x.T, mode="r").T
            values.append(scale * np.linalg.svd(r, compute_uv=False))
            thresholds.append(0.5 * scale * (ratio**0.5 * np.sum(x**2) - ratio**-0.5 * np.sum(y**2)) / len(x))
        rule.zero_grad()
        (0.5 * curvature * ((scale * b @ a - goal) ** 2).sum()).backward()
        rule.step()
    return np.array(values), np.array(thresholds)


def setting(d, rank, values, *, scale=2.0, ratio=1.0, span=6.0, product=0.01):
    """η with η·2ψ = `product` on the clock of ΔW, and enough steps for every mode."""
    tau = scale * ratio**0.5 / 6
    clock = scale * ratio**0.5
    rate = product / (2 * np.hypot(values[0], tau) * clock)
    steps = int(span / (np.hypot(values[-1], tau) * rate * clock)) // 20 * 20
    return {"rate": rate, "scale": scale, "ratio": ratio}, steps


def predicted(start, target, steps, options, **more):
    names = {"rate": "learning_rate", "ratio": "rate_ratio", "decay": "weight_decay"}
    given = {names.get(k, k): v for k, v in options.items()}
    return ld.predict_factors(start, target, steps=steps, save_every=steps // 20, **given, **more)


@slow
@pytest.mark.parametrize(("ratio", "bound", "mean_bound"), [(1, 0.004, 0.02), (4, 0.004, 0.02), (16, 0.004, 0.02)])
def test_lora_on_a_linear_teacher(ratio, bound, mean_bound):
    """d = 512, r = 8, Kaiming A, B = 0, η·2ψ = 0.01; LoRA+ with η_B/η_A = 4 and 16."""
    values = [1.0, 0.9, 0.8, 0.7]
    target, start = teacher(512, values), kaiming(512, 8)
    options, steps = setting(512, 8, values, ratio=ratio, span=5.0)
    trained, thresholds = sgd(start, target, steps, steps // 20, **options)
    run = predicted(start, target, steps, options)
    assert "flow of these factors" in run.info.why
    assert np.max(np.abs(run["singular_values"] - trained)) < bound * values[0]
    np.testing.assert_allclose(run["threshold"], thresholds, rtol=1e-3)
    closed = predicted(start, target, steps, options, formula="narrow")  # (3.4) with these factors and the mean τ
    assert np.max(np.abs(closed["singular_values"] - trained)) < mean_bound * values[0]
    wide = ld.solutions.mode_curve(
        np.array(values), thresholds[0], run.time[:, None]
    )  # (3.2), which a narrow pair is not
    assert np.max(np.abs(wide - trained[:, :4])) > 0.5 * values[0]


@slow
def test_weight_decay_moves_the_threshold():
    values = [1.0, 0.7]
    target, start = teacher(96, values), kaiming(96, 4)
    options, steps = setting(96, 4, values)
    options["decay"] = 0.1
    trained, thresholds = sgd(start, target, steps, steps // 20, **options)
    run = predicted(start, target, steps, options)
    decayed = thresholds[0] * np.exp(-2 * 0.1 * options["rate"] * run.step)
    assert decayed[-1] < 0.6 * decayed[0]
    np.testing.assert_allclose(thresholds, decayed, rtol=5e-3)
    np.testing.assert_allclose(run["threshold"], decayed, rtol=1e-9)
    assert np.max(np.abs(run["singular_values"] - trained)) < 0.004


@slow
def test_weight_decay_with_unequal_rates():
    values = [1.0, 0.7]
    target, start = teacher(96, values), kaiming(96, 4)
    options, steps = setting(96, 4, values, ratio=4.0)
    options["decay"] = 0.1
    trained, thresholds = sgd(start, target, steps, steps // 20, **options)
    run = predicted(start, target, steps, options)
    assert np.max(np.abs(run["singular_values"] - trained)) < 0.004
    np.testing.assert_allclose(run["threshold"], thresholds, rtol=5e-3)


@slow
@pytest.mark.parametrize("momentum", [0.5, 0.8])
def test_momentum_runs_at_the_effective_rate_within_the_stated_error(momentum):
    values, errors, stated = [1.0, 0.7], [], []
    target, start = teacher(24, values), kaiming(24, 4)
    for product in (2e-2, 1e-2):
        options, steps = setting(24, 4, values, product=product * (1 - momentum) ** 2, span=6 * (1 - momentum))
        options["momentum"] = momentum
        trained, _ = sgd(start, target, steps, steps // 20, **options)
        run = predicted(start, target, steps, options)
        errors.append(np.max(np.abs(run["singular_values"] - trained)))
        stated.append(float(run.info.notes[0].split()[-1].rstrip("%")) / 100)
        assert any(f"momentum {momentum:g}: effective rate" in note for note in run.info.notes)
    assert stated == pytest.approx([0.5 * p * (1 + momentum) for p in (2e-2, 1e-2)], rel=0.02)
    assert errors[0] < 2 * stated[0]
    assert 1.7 < errors[0] / errors[1] < 2.3


def test_from_the_gradient_at_the_start_and_a_curvature():
    target, rng = target_of((6, 8), largest=1.0), np.random.default_rng(0)
    a, b = 0.4 * rng.standard_normal((3, 8)), 0.2 * rng.standard_normal((6, 3))
    settings = {"scale": 1.5, "learning_rate": 0.01, "steps": 300, "save_every": 50}
    run = ld.predict_factors((a, b), target, curvature=2.0, **settings)
    slope = ld.predict_factors((a, b), gradient=2.0 * (1.5 * b @ a - target), curvature=2.0, **settings)
    twice = ld.predict_factors((a, b), target, **{**settings, "learning_rate": 0.02})
    np.testing.assert_allclose(slope["singular_values"], run["singular_values"], atol=1e-9)
    np.testing.assert_allclose(twice["singular_values"], run["singular_values"], atol=1e-9)
    trained, _ = sgd((a, b), target, 300, 50, rate=0.01, scale=1.5, curvature=2.0)
    assert np.max(np.abs(run["singular_values"] - trained)) < 0.02
    assert run["train_error"][0] == pytest.approx(np.mean((1.5 * b @ a - target) ** 2))


def test_balanced_pairs_take_the_closed_form():
    a, b, _ = ld.networks.lora_weights((6, 8), 3, threshold=0.2, scale=4.0)
    run = ld.predict_factors((a, b), target_of((6, 8)), scale=4.0, learning_rate=1e-3, steps=200, save_every=100)
    assert "(3.4)" in run.info.why
    np.testing.assert_allclose(run["threshold"], 0.2)
    flow = ld.predict_factors(
        (a, b), target_of((6, 8)), scale=4.0, learning_rate=1e-3, steps=200, save_every=100, formula="flow"
    )
    np.testing.assert_allclose(run["singular_values"], flow["singular_values"], atol=1e-9)


@slow
def test_wide_pairs_take_the_mixed_dynamics():
    target = target_of((5, 7), largest=1.0)
    w1, w2, _ = ld.networks.mixed_weights((5, 7), 14, threshold=0.3)
    run = ld.predict_factors((w1, w2), target, learning_rate=0.002, steps=2000, save_every=100)
    trained, _ = sgd((w1, w2), target, 2000, 100, rate=0.002)
    assert "(3.1)" in run.info.why
    assert run["threshold"][0] == pytest.approx(0.3)
    assert np.max(np.abs(run["singular_values"] - trained[:, :5])) < 0.002
    decayed = ld.predict_factors((w1, w2), target, learning_rate=0.002, steps=2000, save_every=1000, weight_decay=0.2)
    expected = mixed_flow(lambda a: a - target, 0.3, w2 @ w1, decayed.time, decay=0.2)
    np.testing.assert_allclose(decayed["singular_values"], np.linalg.svd(expected)[1], atol=1e-8)
    np.testing.assert_allclose(decayed["threshold"], 0.3 * np.exp(-0.4 * decayed.time))


@slow
def test_wide_gaussian_pairs_within_the_noted_error():
    target, rng = target_of((4, 4), largest=1.0), np.random.default_rng(0)
    for width in (800, 12_800):
        w1, w2 = (np.sqrt(0.4 / width) * rng.standard_normal(shape) for shape in ((width, 4), (4, width)))
        run = ld.predict_factors((w1, w2), target, learning_rate=0.002, steps=2000, save_every=100)
        net = ld.TwoLayer.from_weights(w1, w2)
        descent = ld.simulate(
            net, ld.SpikedMatrix(target=target), ld.GradientDescent(learning_rate=0.002, steps=2000), save_every=100
        )
        gap = np.max(np.abs(run["singular_values"] - descent["singular_values"]))
        assert gap < np.sqrt(8 / width) + 0.002


def test_a_network_and_its_law():
    target = target_of((8, 8), largest=1.0)
    net = ld.TwoLayer.lora(8, rank=2, scale=2.0, rate_ratio=4.0, key=3)
    a, b = net.weights()
    settings = {"learning_rate": 0.01, "steps": 200, "save_every": 50, "weight_decay": 0.1}
    ours = ld.predict_factors(net, target, **settings)
    pair = ld.predict_factors((a, b), target, scale=2.0, rate_ratio=4.0, **settings)
    np.testing.assert_allclose(ours["singular_values"], pair["singular_values"], atol=1e-9)
    np.testing.assert_allclose(ours["threshold"], pair["threshold"])


@slow
def test_a_law_gives_a_statistical_prediction():
    """Mean and deviation over starts, against starts drawn and integrated here."""
    d, rank, target = 24, 3, target_of((24, 24), largest=1.0)[:, :]
    law = lora(d, rank, scale=2.0)
    settings = {"learning_rate": 0.01, "steps": 400, "save_every": 200}
    run = ld.predict_factors(law, target, draws=40, key=5, **settings)
    assert run.info.notes[-1].startswith("statistical: ")
    rng, ours = np.random.default_rng(11), []
    for _ in range(40):
        first = np.sqrt(2.0) * rng.uniform(-1, 1, (rank, d)) / np.sqrt(d)

        def velocity(_, rows):
            w1, w2t = rows[:, :d], rows[:, d:]
            gradient = w2t.T @ w1 - target
            return np.concatenate([-w2t @ gradient, -w1 @ gradient.T], axis=1)

        (end,) = integrate(velocity, np.concatenate([first, np.zeros((rank, d))], 1), [run.time[-1]], rtol=1e-8)
        ours.append(np.linalg.svd(end[:, d:].T @ end[:, :d])[1][:rank])
    mean, spread = np.mean(ours, 0), np.std(ours, 0)
    np.testing.assert_allclose(run["singular_values"][-1], mean, atol=5 * np.max(spread) / np.sqrt(40) * np.sqrt(2))
    np.testing.assert_allclose(run["singular_values_std"][-1], spread, rtol=0.5)
    again = ld.predict_factors(law, target, draws=40, key=5, **settings)
    assert np.array_equal(again["singular_values"], run["singular_values"])


@slow
def test_the_threshold_of_a_narrow_law():
    run = ld.predict_factors(
        lora(200, 4, scale=3.0), (np.ones((200, 1)), np.ones((1, 200))), learning_rate=1e-5, steps=2
    )
    assert run["threshold"][0] == pytest.approx(0.5, rel=0.05)  # s/6
    wide = ld.predict_factors(standard(width=10**8, variance=2e-8), target_of((4, 4)), learning_rate=1e-3, steps=2)
    assert wide["threshold"][0] == pytest.approx(2.0)


@slow
def test_the_trajectory_prints_plots_and_saves(tmp_path):
    run = ld.predict_factors(kaiming(6, 2), target_of((6, 6)), learning_rate=1e-3, steps=50, save_every=10)
    assert "flow of these factors" in str(run) and "first order in the learning rate" in str(run)
    loaded = ld.Trajectory.load(run.save(tmp_path / "run.zarr"))
    assert relative(loaded["singular_values"], run["singular_values"]) == 0
    assert plots.singular_values(run, signal_modes=2).get_xlabel() == "gradient-descent step"


def test_an_unstable_learning_rate_warns():
    with pytest.warns(ld.StabilityWarning, match="above the stability bound"):
        ld.predict_factors(kaiming(6, 2), target_of((6, 6)), learning_rate=1.0, steps=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ld.predict_factors(kaiming(6, 2), target_of((6, 6)), learning_rate=0.9, steps=2, curvature=0.1)


GOOD, EYE = (np.ones((2, 3)), np.zeros((3, 2))), np.eye(3)


def ask(start=GOOD, target=EYE, **options):
    return ld.predict_factors(start, target, **{"learning_rate": 0.01, "steps": 2, **options})


REFUSALS = [
    (lambda: ask((np.ones((2, 3)), np.zeros((3, 4)))), "start[1]", "have 2 columns"),
    (lambda: ask((np.full((2, 3), np.nan), np.zeros((3, 2)))), "start[0]", "6 of its 6 entries"),
    (lambda: ask((np.ones((2, 3)), np.full((3, 2), np.inf))), "start[1]", "NaN or infinite"),
    (lambda: ask((np.zeros((2, 3)), np.zeros((3, 2)))), "start", "both are zero"),
    (lambda: ask("lora"), "start", "it is str"),
    (lambda: ask(target=np.eye(4)), "target", "have the shape (3, 3)"),
    (lambda: ask(target=None), "target", "or `gradient`"),
    (lambda: ask(gradient=EYE), "target", "both are given"),
    (lambda: ask(target=None, gradient=np.eye(4)), "gradient", "have the shape (3, 3)"),
    (lambda: ask(lora(3, 2), None, gradient=EYE), "start", "it is a law"),
    (lambda: ask(lora(3, 2), scale=2.0), "scale", "be left out"),
    (lambda: ask(lora(3, 2), draws=1), "draws", "at least 2"),
    (lambda: ask(optimizer="Adam"), "optimizer", "it is Adam, which does not; follow the thresholds"),
    (lambda: ask(optimizer=torch.optim.AdamW([torch.ones(1)])), "optimizer", "lindyn.torch.RegimeTracker"),
    (lambda: ask(momentum=1.0), "momentum", "below 1"),
    (lambda: ask(learning_rate=0.0), "learning_rate", "greater than 0"),
    (lambda: ask(steps=-1), "steps", "at least 0"),
    (lambda: ask(scale=-1.0), "scale", "greater than 0"),
    (lambda: ask(curvature=0.0), "curvature", "greater than 0"),
    (lambda: ask(weight_decay=-0.1), "weight_decay", "at least 0"),
    (lambda: ask(formula="wide"), "formula", "'mixed'"),
    (lambda: ask(formula="narrow", weight_decay=0.1), "formula", "'flow'"),
    (
        lambda: ask((np.ones((6, 3)), np.ones((3, 6))), weight_decay=0.1, rate_ratio=2.0),
        "weight_decay",
        "unequal",
    ),
]


@refused(REFUSALS)
def test_refusals_are_one_sentence(refusal):
    refusal.check()


def test_sgd_by_name_or_object_is_accepted():
    assert ask(optimizer=torch.optim.SGD([torch.ones(1)])).completed
    assert ask(optimizer="SGD").completed
