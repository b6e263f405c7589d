"""Modes and thresholds of a factor pair: against dense singular value decompositions and the laws of the starts."""

import numpy as np
import pytest

import lindyn as ld
from helpers.reference import layers, matrix_with, orthogonal, relative
from lindyn.networks.pair_modes import factor_modes, imbalance_drift, share_outside_rows


def pair(shape, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((width, shape[1])), rng.standard_normal((shape[0], width))


def dense_modes(w1, w2, scale, count):
    """(2.9) as it stands, from the full matrix."""
    u, m, vt = np.linalg.svd(scale * w2 @ w1)
    u, m, v = u[:, :count], m[:count], vt[:count].T
    g = scale * (np.sum((w1 @ v) ** 2, axis=0) + np.sum((w2.T @ u) ** 2, axis=0))
    return m, 0.5 * np.sqrt(g**2 - 4 * m**2), 2 * m / g


@pytest.mark.parametrize(("shape", "width"), [((30, 20), 4), ((12, 40), 9), ((6, 5), 5), ((5, 7), 60)])
def test_thin_decompositions_give_what_the_full_matrix_gives(shape, width):
    w1, w2 = pair(shape, width)
    modes = factor_modes(w1, w2, 1.7)
    m, tau, activity = dense_modes(w1, w2, 1.7, min(*shape, width))
    assert relative(modes.singular_values, m) < 1e-13
    assert relative(modes.thresholds, tau) < 1e-12
    assert relative(modes.activities, activity) < 1e-12
    assert relative((modes.left * m) @ modes.right.T, 1.7 * w2 @ w1) < 1e-13
    imbalance = np.linalg.eigvalsh(1.7 * (w1 @ w1.T - w2.T @ w2) / 2)[::-1]
    nonzero = imbalance[np.abs(imbalance) > 1e-9]
    assert relative(modes.imbalance[modes.imbalance != 0], nonzero) < 1e-11
    assert modes.stable_rank == pytest.approx(np.sum(m**2) / m[0] ** 2)
    p = m / m.sum()
    assert modes.effective_rank == pytest.approx(np.exp(-np.sum(p * np.log(p))))
    assert modes.active_modes == np.sum(activity > np.sqrt(0.5))


def test_nothing_depends_on_the_hidden_basis():
    w1, w2 = pair((9, 14), 6)
    turn = orthogonal(6, np.random.default_rng(1))
    plain, turned = factor_modes(w1, w2), factor_modes(turn @ w1, w2 @ turn.T)
    for name in ("singular_values", "thresholds", "activities", "imbalance"):
        assert relative(getattr(turned, name), getattr(plain, name)) < 1e-12


def test_wide_gaussian_pair_has_the_threshold_of_its_variance():
    modes = factor_modes(*layers((20, 30), 40_000, threshold=0.7))
    assert modes.nominal_threshold == pytest.approx(0.7, rel=0.01)
    assert modes.thresholds == pytest.approx(np.full(20, 0.7), rel=0.1)
    assert len(modes.imbalance) == 50


def test_measured_threshold_of_a_network_is_the_nominal_one():
    for net in (ld.TwoLayer.gaussian((5, 9), 400, 0.01, key=2), ld.TwoLayer.lora((30, 40), rank=3, scale=2.0)):
        assert factor_modes(net.w1, net.w2).nominal_threshold == pytest.approx(net.measured_threshold(), rel=1e-9)


@pytest.mark.parametrize("tau", [1e-6, 0.3, 40.0])
def test_balanced_pair_has_its_threshold_in_every_mode(tau):
    """λ-balanced factors of a given matrix: W1W1ᵀ − W2ᵀW2 = 2τ (2.6), so that every τ_k is τ, large or small."""
    rng = np.random.default_rng(3)
    s = np.array([5.0, 1.0, 1e-3])
    u, v, turn = orthogonal(8, rng)[:, :3], orthogonal(11, rng)[:, :3], orthogonal(3, rng)
    root = np.hypot(s, tau)
    w1 = turn @ (np.sqrt(root + tau)[:, None] * v.T)
    w2 = (u * (s / np.sqrt(root + tau))) @ turn.T
    modes = factor_modes(w1, w2)
    assert modes.singular_values == pytest.approx(s, rel=1e-9)
    assert modes.thresholds == pytest.approx(np.full(3, tau), rel=1e-9, abs=1e-13)
    assert modes.activities == pytest.approx(s / root, rel=1e-9)
    assert modes.nominal_threshold == pytest.approx(tau, rel=1e-8, abs=1e-14)


def test_modes_that_are_zero_take_the_imbalance():
    w1, _ = pair((30, 50), 6)
    start = factor_modes(w1, np.zeros((30, 6)), 0.5)
    assert start.singular_values.tolist() == [0.0] * 6
    assert relative(start.thresholds, np.linalg.svd(w1, compute_uv=False) ** 2 / 4) < 1e-13
    assert start.thresholds.mean() == pytest.approx(start.nominal_threshold)
    assert (start.stable_rank, start.effective_rank, start.active_modes) == (0.0, 0.0, 0)
    # one mode learned: it has its own threshold, and the others share what is left
    u, v = np.eye(30)[0], np.linalg.svd(w1, full_matrices=False)
    learned = factor_modes(w1, 3 * np.outer(u, v[0][:, 0]), 0.5)
    assert learned.singular_values[0] == pytest.approx(1.5 * v[1][0])
    assert learned.singular_values[1:].tolist() == [0.0] * 5
    assert relative(learned.thresholds[1:], v[1][1:] ** 2 / 4) < 1e-12


def test_unlearned_modes_of_a_wide_pair_pair_the_two_signs():
    w1, w2 = layers((6, 8), 50_000, threshold=0.5)
    w2[2:] = 0.0
    modes = factor_modes(w1, w2)
    assert modes.thresholds[:2] == pytest.approx([0.5, 0.5], rel=0.05)
    assert modes.thresholds[2:] == pytest.approx([0.25] * 4, rel=0.05)


def test_share_outside_the_rows_of_the_start():
    w1, w2 = pair((7, 12), 3)
    start, first = w1.copy(), w1 + 0.3 * pair((7, 12), 3, seed=5)[0]
    update = w2 @ first
    basis = np.linalg.svd(start)[2][:3]
    expected = 1 - np.linalg.norm(update @ basis.T) ** 2 / np.linalg.norm(update) ** 2
    assert share_outside_rows((first, w2), start) == pytest.approx(expected, rel=1e-12)
    assert share_outside_rows((start, w2), start) < 1e-28
    # a start that is not zero: the update is the difference of the products
    other = pair((7, 12), 3, seed=6)[1]
    update = w2 @ first - other @ start
    inside = np.linalg.norm(update @ basis.T) ** 2
    expected = 1 - inside / np.linalg.norm(update) ** 2
    assert share_outside_rows((first, w2), start, other) == pytest.approx(expected, rel=1e-12)
    # dependent rows of the start span less
    doubled = np.concatenate([start[:1], start[:1], start[:1]])
    row = start[0] / np.linalg.norm(start[0])
    update = w2 @ first
    expected = 1 - np.linalg.norm(update @ row) ** 2 / np.linalg.norm(update) ** 2
    assert share_outside_rows((first, w2), doubled) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(share_outside_rows((first, np.zeros_like(w2)), start))


@pytest.mark.parametrize("width", [3, 40])
def test_drift_of_the_imbalance(width):
    start = pair((5, 6), width)
    now = tuple(w + 0.1 * pair((5, 6), width, seed=7)[i] for i, w in enumerate(start))

    def imbalance(w1, w2):
        return w1 @ w1.T - w2.T @ w2

    size = np.linalg.norm(start[0] @ start[0].T) + np.linalg.norm(start[1].T @ start[1])
    expected = np.linalg.norm(imbalance(*now) - imbalance(*start)) / size
    assert imbalance_drift(now, start) == pytest.approx(expected, rel=1e-12)
    assert imbalance_drift(start, start) < 1e-15


def test_descent_conserves_the_imbalance_to_first_order():
    """Halving the learning rate at equal flow time halves the drift (1.5)."""
    target = matrix_with([2.0, 1.0], (6, 9), np.random.default_rng(0))
    net = ld.TwoLayer.lora((6, 9), rank=2, scale=1.0, key=1)
    task, drifts = ld.SpikedMatrix(target=target), []
    for rate, steps in ((0.02, 100), (0.01, 200)):
        end = ld.simulate(net, task, ld.GradientDescent(learning_rate=rate, steps=steps), save_every=steps).final
        drifts.append(imbalance_drift((end.w1, end.w2), (net.w1, net.w2)))
    assert drifts[0] < 0.05
    assert drifts[0] / drifts[1] == pytest.approx(2, rel=0.1)


W1, W2 = np.ones((2, 3)), np.ones((4, 2))


@pytest.mark.parametrize(
    ("call", "fragment"),
    [
        (lambda: factor_modes(W1, W2.T), "`second` must have 2 columns, one for each row of `first`"),
        (lambda: factor_modes(np.full((2, 3), np.nan), W2), "`first` must contain finite numbers"),
        (lambda: factor_modes(np.ones((0, 3)), np.ones((4, 0))), "`first` must be a non-empty"),
        (lambda: factor_modes(W1, W2, 0), "`scale` must be greater than 0"),
        (lambda: share_outside_rows((W1, W2), np.ones((2, 4))), "`start_first` must have shape (any, 3)"),
        (lambda: imbalance_drift((W1, W2), (W1, W2[:3])), "`start` must have the shapes of `now`"),
        (lambda: imbalance_drift((W1, W2), (0 * W1, 0 * W2)), "`start` must be non-zero"),
    ],
)
def test_refusals(call, fragment):
    with pytest.raises(ld.InvalidArgument) as error:
        call()
    assert fragment in str(error.value)


class TestOneDefinitionOfAThreshold:
    @pytest.mark.parametrize(("shape", "width"), [((20, 30), 25), ((20, 30), 10), ((20, 30), 60), ((8, 8), 300)])
    def test_a_network_and_its_factors_have_one_threshold_near_that_of_their_modes(self, shape, width):
        """Modes of six draws have thresholds (2.9) whose mean is within a fifth of the pair's."""
        pairs = []
        for seed in range(6):
            rng = np.random.default_rng(seed)
            pair = 0.1 * rng.standard_normal((width, shape[1])), 0.1 * rng.standard_normal((shape[0], width))
            modes = factor_modes(*pair)
            assert ld.TwoLayer.from_weights(*pair).measured_threshold() == pytest.approx(modes.nominal_threshold)
            pairs.append((modes.nominal_threshold, modes.thresholds.mean()))
        ours, of_modes = np.mean(pairs, axis=0)
        assert ours == pytest.approx(of_modes, rel=0.2)

    def test_the_law_of_a_narrow_pair_states_the_threshold_of_its_weights(self):
        """(2.7) below d_in + d_out, where τ = σ²w of the wide formula does not hold; (2.5) above."""
        narrow = ld.laws.standard(width=4, variance=0.005)
        measured = ld.TwoLayer.parametrized((400, 1000), narrow).measured_threshold()
        assert narrow.threshold_on((400, 1000)) == pytest.approx(0.005 * 600 / 2)
        assert measured == pytest.approx(narrow.threshold_on((400, 1000)), rel=0.1)  # √(r/d) of one draw
        assert narrow.threshold == pytest.approx(0.02)
        wide = ld.laws.standard(width=10**8, variance=1e-8)
        assert wide.threshold_on(5) == wide.threshold

    def test_the_observable_of_a_run_is_the_function_of_its_layers(self):
        net, task = ld.TwoLayer.gaussian((3, 4), 5, 0.3), ld.SpikedMatrix(shape=(3, 4), rank=2)
        method = ld.GradientDescent(learning_rate=0.05, steps=20)
        run = ld.simulate(net, task, method, save_every=20, observables=["imbalance_drift"])
        pairs = ((run.final.w1, run.final.w2), (net.w1, net.w2))
        assert float(run["imbalance_drift"][-1]) == pytest.approx(ld.networks.imbalance_drift(*pairs), rel=1e-9)

    def test_the_variance_of_an_entry_at_the_start_is_that_of_drawn_networks(self):
        law = ld.laws.ntk((40, 50), width=60)
        drawn = [ld.TwoLayer.parametrized((40, 50), law, key).matrix for key in range(20)]
        assert np.mean(np.square(drawn)) == pytest.approx(law.start_variance, rel=0.05)  # of 40,000 entries, dependent
