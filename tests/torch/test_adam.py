"""Adam's clock (2.10): its arithmetic, its table on a linear teacher, and its bound in a small transformer."""

import numpy as np
import pytest

import lindyn as ld
import torch
from lindyn.prediction import adam_clock
from lindyn.prediction.adam import TABLE
from lindyn.torch import RegimeTracker

slow = pytest.mark.slow

# d, r, σ_A, η, gradient noise over the gradient's size, scale of the target: those of (2.10)
SETTINGS = [
    (128, 8, 0.051, 5e-4, 0.0, 1.0),
    (128, 8, 0.051, 5e-4, 2.0, 1.0),
    (384, 16, 0.029, 2e-4, 0.5, 1.0),
    (384, 8, 0.125, 1e-3, 0.5, 1.0),
    (256, 4, 0.25, 2e-3, 0.5, 1.0),
    (256, 8, 0.036, 1e-4, 1.0, 0.1),
    (256, 8, 0.036, 1e-4, 1.0, 10.0),
    (256, 32, 0.036, 1e-4, 5.0, 1.0),
]
ALLOWED = (0.5, 1.5)  # of x: the relative move of A, as the table says


def train(d, r, deviation, rate, noise, size):
    """Full-batch Adam of PyTorch on ½‖BA − T‖² with noise on the gradient, tracked at the table's x."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    left, right = (torch.linalg.qr(normal(d, 4)).Q for _ in range(2))
    target = size * (left * torch.tensor([1.0, 0.8, 0.6, 0.5], dtype=torch.float64)) @ right.T
    a = torch.nn.Parameter(deviation * normal(r, d))
    b = torch.nn.Parameter(torch.zeros(d, r, dtype=torch.float64))
    optimizer = torch.optim.Adam([a, b], lr=rate, eps=1e-12)
    tracker = RegimeTracker({"pair": (a, b)}, every=10**9, optimizer=optimizer)
    at = {round(row.x * deviation / rate) for row in TABLE}
    for step in range(1, max(at) + 1):
        with torch.no_grad():
            g = b @ a - target + noise * target.norm() / d * normal(d, d)
            a.grad, b.grad = b.T @ g, g @ a.T
        optimizer.step()
        tracker.step()
        if step in at:
            tracker.record()
    return tracker.dataset.isel(pair=0)


@slow
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_table_of_the_clock_is_what_adam_does_on_a_linear_teacher(setting):
    """Relative move of A within [0.5 x, 1.5 x] for x ≤ 1, share outside row(A₀) below 5 % at x = 0.1."""
    records = train(*setting)
    x, turn = records["adam_clock"].values, records["turn"].values
    share = records["share_outside_rows"].values
    for row in TABLE:
        i = int(np.argmin(np.abs(x - row.x)))
        assert x[i] == pytest.approx(row.x, rel=0.05)  # the entries of one draw, and whole steps
        assert ALLOWED[0] * x[i] <= turn[i] <= ALLOWED[1] * x[i]
        # two digits of the table, and another draw than its eight; the shares rise by 0.1 in a tenth of x
        assert row.turn[0] - 0.03 <= turn[i] <= row.turn[1] + 0.05
        assert row.share_outside[0] - 0.08 <= share[i] <= row.share_outside[1] + 0.08
    assert share[1] < 0.05


def test_sgd_turns_by_the_scale_of_the_loss_and_adam_does_not():
    """The bound is of Adam: ten times the loss, and SGD turns a hundred times as far, Adam as far as before."""
    turns = {}
    for rule in (torch.optim.Adam, torch.optim.SGD):
        for size in (1.0, 10.0):
            torch.manual_seed(0)
            a, b = torch.nn.Parameter(0.1 * torch.randn(4, 20)), torch.nn.Parameter(torch.zeros(20, 4))
            target = size * torch.randn(20, 20)
            optimizer = rule([a, b], lr=1e-3)
            tracker = RegimeTracker({"pair": (a, b)}, every=1, optimizer=optimizer)
            for _ in range(10):
                optimizer.zero_grad()
                (0.5 * (b @ a - target).square().sum()).backward()
                optimizer.step()
                tracker.step()
            turns[rule.__name__, size] = float(tracker.dataset["turn"][0, -1] / tracker.dataset["adam_clock"][0, -1])
    assert turns["Adam", 10.0] == pytest.approx(turns["Adam", 1.0], rel=0.1)
    assert turns["SGD", 10.0] > 30 * turns["SGD", 1.0]


@slow
@pytest.mark.parametrize("init", [True, "gaussian"])
def test_the_clock_bounds_adamw_in_a_small_transformer(init):
    from helpers import adapters

    model = adapters.adapted(init)
    made = []

    def rule(parameters):
        made.append(torch.optim.AdamW(parameters, lr=5e-4))
        return made[0]

    tracker = RegimeTracker(model, every=2)

    def each_step(_):
        tracker.watch(made[0])
        tracker.step()

    adapters.train(model, rule, steps=60, each_step=each_step)
    records = tracker.dataset
    x, turn, share = (records[n].values for n in ("adam_clock", "turn", "share_outside_rows"))
    lazy = (x > 0) & (x <= 0.2)
    assert lazy.sum() >= 4
    assert (turn <= ALLOWED[1] * x + 1e-12).all()
    assert (share[lazy] <= TABLE[1].share_outside[1]).all()
    deviation = 1 / np.sqrt(3 * 384) if init is True else 1 / adapters.RANK
    np.testing.assert_allclose(x[:, -1], 60 * 5e-4 / deviation, rtol=0.05)  # of 3,072 drawn entries
    until = adam_clock(deviation, 5e-4).lazy_until
    assert (share[:, 1 : until // 2] < 0.15).all()


def test_a_schedule_is_the_sum_of_its_rates():
    rates = np.linspace(0, 1e-3, 101)
    clock = adam_clock(0.05, rates)
    assert clock.steps == 101
    assert clock.at(101) == pytest.approx(rates.sum() / 0.05)
    assert clock.at(50) == pytest.approx(rates[:50].sum() / 0.05)
    n = clock.lazy_until
    assert clock.at(n) <= 0.2 < clock.at(n + 1)
    n = clock.turned_from
    assert clock.at(n) <= 1.0 < clock.at(n + 1)
    assert adam_clock(0.05, 1e-3, steps=10).turned_from is None
    assert adam_clock(1 / np.sqrt(3 * 4096), 2e-4).lazy_until == 9  # the numbers of (2.10)
    assert adam_clock(1 / 16, 2e-4).turned_from == pytest.approx(310, abs=3)


@pytest.mark.parametrize(
    ("arguments", "name", "part"),
    [
        ((0.0, 1e-3), "deviation", "no clock of its own"),
        ((0.1, 0.0), "learning_rate", "greater than 0"),
        ((0.1, [0.0, 0.0]), "learning_rate", "nor 0 throughout"),
        ((0.1, [1e-3, -1e-3]), "learning_rate", "not be negative"),
        ((0.1, [1e-3], 4), "steps", "a rate for each step"),
        ((0.1, 1e-3, 0), "steps", "at least 1"),
    ],
)
def test_refusals(arguments, name, part):
    with pytest.raises(ld.InvalidArgument, match=f"`{name}`.*{part}"):
        adam_clock(*arguments)
