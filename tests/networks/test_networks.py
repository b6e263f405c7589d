"""Networks: what their flow conserves and obeys, the laws of their weights, and other parametrisations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

import lindyn as ld
import torch
from helpers.reference import layers, mixed_flow, relative, roots, slope, target_of, worst
from helpers.torch_reference import squared_error, train
from lindyn.networks import laws as law
from lindyn.networks.network import Network
from lindyn.support.linalg import bartlett

# equal tolerances and shapes, so that the compiled solver serves many tests
FLOW, SHAPE, TIMES = ld.Flow(rtol=1e-11, atol=1e-13), (3, 4), [0.0, 0.3, 1.0, 2.0]
N = sum(SHAPE)
TARGET = target_of(SHAPE)
TASK = ld.SpikedMatrix(target=TARGET)
MASK = np.random.default_rng(0).random(SHAPE) < 0.7
INPUTS = np.random.default_rng(1).standard_normal((9, 4)) * [1.0, 2.0, 0.5, 1.5]
COVARIANCE = INPUTS.T @ INPUTS / 9


def start_matrix(scale=0.3):
    return scale * np.random.default_rng(2).standard_normal(SHAPE)


def matrices(system, task=TASK, times=TIMES, method=FLOW):
    return ld.simulate(system, task, method, times=times, observables=["matrix"])["matrix"]


COSTS = {
    "quadratic": (TASK, lambda a: a - TARGET),
    "masked": (ld.Completion(TARGET, MASK), lambda a: (a - TARGET) * MASK),
    "regression": (ld.Regression(INPUTS, INPUTS @ TARGET.T), lambda a: (a - TARGET) @ COVARIANCE),
}
by_cost = pytest.mark.parametrize(("task", "gradient"), COSTS.values(), ids=COSTS)
STARTS = {
    "both sides": ld.TwoLayer.orthogonal(SHAPE, threshold=0.4),
    "both sides, wider": ld.TwoLayer.from_weights(
        *ld.TwoLayer.orthogonal(SHAPE, threshold=0.4, width=30).weights(key=1)
    ),
    "inputs": ld.TwoLayer.orthogonal(SHAPE, threshold=0.4, side="in"),
    "outputs": ld.TwoLayer.orthogonal(SHAPE, threshold=0.4, side="out", width=20),
    "given start": ld.TwoLayer.orthogonal(threshold=0.4, start=start_matrix()),
    "balanced, as wide as the inputs": ld.TwoLayer.balanced(threshold=0.4, width=4, start=start_matrix()),
    "balanced, as wide as the outputs": ld.TwoLayer.balanced(threshold=0.4, width=3, side="out", start=start_matrix()),
}
# a solver is compiled for each cost and reduced width: the fast lane takes those that other tests share
FAST = [("quadratic", "both sides"), ("quadratic", "given start"), ("masked", "both sides")]
STARTS_BY_COST = [
    pytest.param(
        *cost,
        net,
        id=f"{name} cost, {start}",
        marks=() if (name, start) in FAST else pytest.mark.slow,
    )
    for name, cost in COSTS.items()
    for start, net in STARTS.items()
]


class TestExactStarts:
    """From weights with MJM = τ²J the network's flow is the mixed formula, for any cost (2.4), (2.6)."""

    @pytest.mark.parametrize(("task", "gradient", "net"), STARTS_BY_COST)
    @pytest.mark.slow
    def test_the_flow_equals_the_formula(self, task, gradient, net):
        assert net.threshold == pytest.approx(0.4, rel=1e-12)
        assert worst(matrices(net, task)[1:], mixed_flow(gradient, 0.4, net.matrix, TIMES)[1:]) < 1e-8

    @pytest.mark.parametrize("net", STARTS.values(), ids=STARTS)
    def test_the_full_weights_have_the_property(self, net):
        """W1W1ᵀ, W2ᵀW2 and A of the weights written out: C1² − 2bC1 = AᵀA + τ² − b², C2² + 2bC2 = AAᵀ + τ² − b²."""
        w1, w2 = net.weights(key=1)
        assert (w1.shape, w2.shape) == ((net.width, 4), (3, net.width))
        assert np.allclose(w2 @ w1, net.matrix, atol=1e-14)
        left, right = roots(net.matrix, 0.4)
        offset = (np.sum(w1**2) - np.trace(right)) / 4
        assert np.allclose(w1.T @ w1, right + offset * np.eye(4), atol=1e-13)
        assert np.allclose(w2 @ w2.T, left - offset * np.eye(3), atol=1e-13)

    @pytest.mark.slow
    @pytest.mark.parametrize("net", STARTS.values(), ids=STARTS)
    def test_the_closed_form_is_taken_for_the_network(self, net):
        expected = mixed_flow(COSTS["quadratic"][1], 0.4, net.matrix, TIMES)
        assert worst(matrices(net, method=ld.ClosedForm())[1:], expected[1:]) < 1e-8

    @pytest.mark.slow
    @pytest.mark.parametrize("mu", [0.1, 0.5])
    def test_weight_decay_lowers_the_threshold(self, mu):
        """(2.8): the formula with τe^{−2μt} and −2μA, in SciPy and as the library has it."""
        net = STARTS["given start"]
        flow = ld.Flow(rtol=1e-11, atol=1e-13, weight_decay=mu)
        expected = mixed_flow(COSTS["masked"][1], 0.4, net.matrix, TIMES, decay=mu)
        task = COSTS["masked"][0]
        assert worst(matrices(net, task, method=flow), expected) < 1e-8
        assert worst(matrices(ld.Mixed.matching(net, weight_decay=mu), task), expected) < 1e-8

    @pytest.mark.parametrize("side", ["in", "out"])
    @pytest.mark.parametrize(
        "start", [None, np.outer([0.1, 0.2, -0.3], [1.0, 2.0, 0.0, -1.0])], ids=["zero", "rank one"]
    )
    def test_lambda_balance(self, side, start):
        net = ld.TwoLayer.balanced(SHAPE, threshold=0.4, width=3, side=side, start=start)
        sign = {"in": 1, "out": -1}[side]
        assert np.allclose(net.w1 @ net.w1.T - net.w2.T @ net.w2, sign * 2 * 0.4 * np.eye(3), atol=1e-14)
        assert np.allclose(net.matrix, 0 if start is None else start, atol=1e-14)
        assert net.measured_threshold() == pytest.approx(0.4)

    @pytest.mark.slow
    def test_balanced_layers_follow_the_formula_with_their_lambda(self):
        """(2.6) with hidden units to spare: λ = −0.6 on the outputs is τ = 0.3."""
        net = ld.TwoLayer.balanced(SHAPE, threshold=0.3, width=3, side="out", key=5)
        assert np.allclose(net.imbalance(), -0.6 * np.eye(3), atol=1e-14)
        expected = mixed_flow(COSTS["regression"][1], 0.3, np.zeros(SHAPE), TIMES)
        assert worst(matrices(net, COSTS["regression"][0])[1:], expected[1:]) < 1e-8


class TestGaussianStarts:
    """Wide networks follow the formula up to O(√(d/w)) (2.3), (2.5)."""

    @staticmethod
    def errors(widths, seeds, **variances):
        """Mean over seeds of the largest distance to the formula from A(0), relative to ‖T‖."""
        out = []
        for width in widths:
            nets = [
                ld.TwoLayer.gaussian(SHAPE, width, key=seed, **{k: v / width for k, v in variances.items()})
                for seed in seeds
            ]
            pairs = [(matrices(net), ld.solutions.MixedSolution(TARGET, 0.4, net.matrix)(TIMES)) for net in nets]
            out.append(np.mean([np.linalg.norm(a - b, axis=(1, 2)).max() for a, b in pairs]) / np.linalg.norm(TARGET))
        return out

    @pytest.mark.slow
    def test_the_error_falls_as_the_root_of_the_width(self):
        widths = [10.0**k for k in range(3, 13)]
        errors = self.errors(widths, seeds=range(3), variance=0.4)
        assert slope(widths, errors) == pytest.approx(-0.5, abs=0.05)
        assert errors[0] < 0.2

    @pytest.mark.slow
    @pytest.mark.parametrize(("first", "second"), [(2, 0), (0.5, 1.5)])
    def test_unequal_layers_share_their_mean_variance(self, first, second):
        """(2.5): τ = w(σ₁² + σ₂²)/2, and C1, C2 differ from the roots by ±w(σ₁² − σ₂²)/2."""
        widths = [1e5, 1e7, 1e9]
        errors = self.errors(widths, seeds=range(3), variance_in=0.4 * first, variance_out=0.4 * second)
        assert slope(widths, errors) == pytest.approx(-0.5, abs=0.05)
        net = ld.TwoLayer.gaussian(SHAPE, 10**12, variance_in=0.4e-12 * first, variance_out=0.4e-12 * second)
        assert net.threshold == pytest.approx(0.4)
        end = ld.simulate(net, TASK, FLOW, times=[0.5]).final
        left, right = roots(end.matrix, 0.4)
        offset = 0.4 * (first - second) / 2
        assert relative(end.w1.T @ end.w1, right + offset * np.eye(4)) < 1e-5
        assert relative(end.w2 @ end.w2.T, left - offset * np.eye(3)) < 1e-5

    @pytest.mark.parametrize(
        ("task", "gradient"),
        [pytest.param(*v, id=k, marks=() if k == "quadratic" else pytest.mark.slow) for k, v in COSTS.items()],
    )
    @pytest.mark.parametrize("width", [20, pytest.param(3, marks=pytest.mark.slow)])
    def test_the_flow_conserves_the_imbalance(self, task, gradient, width):
        del gradient
        net = ld.TwoLayer.from_weights(*layers(SHAPE, width))
        end = ld.simulate(net, task, FLOW, times=[2.0]).final
        w1, w2 = end.weights()
        first, second = layers(SHAPE, width)
        before = first @ first.T - second.T @ second
        assert relative(w1 @ w1.T - w2.T @ w2, before) < 1e-9
        assert relative(w1, first) > 0.1  # it moved
        assert end.measured_threshold() == pytest.approx(net.measured_threshold(), rel=1e-9)

    @pytest.mark.slow
    def test_descent_converges_to_the_flow_at_first_order(self):
        net = ld.TwoLayer.from_weights(*layers(SHAPE, 20))
        exact, rates = matrices(net, times=[0.6])[0], 0.6 / np.array([100, 200, 400])
        for order in ("simultaneous", "sequential"):
            ends = [
                ld.simulate(
                    net, TASK, ld.GradientDescent(learning_rate=r, steps=round(0.6 / r), order=order)
                ).final.matrix
                for r in rates
            ]
            assert slope(rates, [relative(end, exact) for end in ends]) == pytest.approx(1, abs=0.05)


def bartlett_law(width, draws, seed):
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield ld.TwoLayer.gaussian((2, 3), width, 1.0, rng).factor


def explicit_law(width, draws, seed):
    yield from np.random.default_rng(seed).standard_normal((draws, 5, width))


def too_free_law(width, draws, seed):
    """A Bartlett factor with w degrees of freedom on every row, where row i must have w − i."""
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        rows = np.tril(rng.standard_normal((5, 5)), -1)
        np.fill_diagonal(rows, np.sqrt(rng.chisquare(width, 5)))
        yield rows


def statistics(factors):
    """Entries of A, norms and the spectrum of VVᵀ: columns of a table with one row a draw."""
    rows = []
    for v in factors:
        m = v @ v.T
        a, e = m[3:, :3], np.linalg.eigvalsh(m)
        rows.append([a[0, 0], a[1, 2], np.linalg.norm(a), m[0, 1], np.trace(m[3:, 3:]), e[0], e[2], e[-1]])
    return np.array(rows).T


class TestBartlett:
    """The reduced factor has exactly the law of iid weights (1.4)."""

    @staticmethod
    def smallest_p(first, second):
        return min(scipy.stats.ks_2samp(a, b).pvalue for a, b in zip(first, second, strict=True))

    @pytest.mark.parametrize("width", [5, 6, 8])  # n = 5
    @pytest.mark.slow
    def test_kolmogorov_smirnov_against_explicit_weights(self, width):
        """The smallest of 24 p-values is below 4e-4 in one run of a hundred."""
        explicit = statistics(explicit_law(width, 4000, seed=1))
        assert self.smallest_p(statistics(bartlett_law(width, 4000, seed=2)), explicit) > 4e-4
        assert self.smallest_p(statistics(too_free_law(width, 4000, seed=3)), explicit) < 1e-6  # the test can tell

    @pytest.mark.slow
    @pytest.mark.parametrize("width", [2, 4])
    def test_below_n_the_weights_themselves_are_drawn(self, width):
        explicit = statistics(explicit_law(width, 2000, seed=1))
        assert self.smallest_p(statistics(bartlett_law(width, 2000, seed=2)), explicit) > 0.005

    @pytest.mark.slow
    def test_moments_at_width_ten_to_the_fifteen(self):
        """VVᵀ/(σ²w) = I + w^-1/2·(symmetric Gaussian, variance 2 on the diagonal and 1 off it)."""
        width, rng = 10**15, np.random.default_rng(4)
        deviations = []
        for _ in range(3000):
            net = ld.TwoLayer.gaussian((2, 3), width, 2e-15, rng)
            deviations.append((net.factor @ net.factor.T / 2 - np.eye(5)) * np.sqrt(width))
        d = np.array(deviations)
        variance = 1 + np.eye(5)
        assert np.all(np.abs(d.mean(axis=0)) < 4 * np.sqrt(variance / 3000) + 0.5 * np.eye(5))  # eps·√w = 0.007 … 0.2
        assert np.all(np.abs(d.var(axis=0) / variance - 1) < 5 * np.sqrt(2 / 3000))

    def test_a_key_completes_the_factor_to_iid_weights(self):
        nets = (ld.TwoLayer.gaussian((2, 3), 7, 1.0, key) for key in range(1500))
        w1, w2 = map(np.array, zip(*(net.weights(key=i + 5000) for i, net in enumerate(nets)), strict=True))
        for sample in (w1[:, 0, 0], w1[:, 6, 2], w2[:, 1, 3]):
            assert scipy.stats.kstest(sample, "norm").pvalue > 0.005
        for pair in ((w1[:, 0, 0], w1[:, 1, 0]), (w1[:, 0, 0], w2[:, 0, 0]), (w2[:, 0, 0], w2[:, 1, 6])):
            assert abs(np.corrcoef(*pair)[0, 1]) < 4 / np.sqrt(1500)

    def test_as_wide_as_the_factor_has_rows_the_weights_are_iid_as_they_are(self):
        """w = d_in + d_out: no key is needed, and no entry is zero, which an element-wise rule would see."""
        w1, w2 = zip(*(ld.TwoLayer.gaussian((2, 3), 5, 1.0, key).weights() for key in range(400)), strict=True)
        assert scipy.stats.kstest(np.ravel(w1), "norm").pvalue > 0.005
        assert scipy.stats.kstest(np.ravel(w2), "norm").pvalue > 0.005
        corner = np.array(w1)[:, 4, 0]  # of a lower triangle V it is the entry that is zero
        assert scipy.stats.kstest(corner, "norm").pvalue > 0.005

    @pytest.mark.slow
    def test_adam_at_that_width_trains_as_from_explicit_weights(self):
        """Mean error after 15 steps over 3,000 starts each, within four deviations of the difference of the means."""

        def trained(w1, w2):
            def step(carry, _):
                (a, b), state = carry
                gradient = (b.T @ (b @ a - TARGET), (b @ a - TARGET) @ a.T)
                updates, state = rule.update(gradient, state)
                return (optax.apply_updates((a, b), updates), state), None

            ((a, b), _), _ = jax.lax.scan(step, ((w1, w2), rule.init((w1, w2))), length=15)
            return jnp.mean((b @ a - TARGET) ** 2)

        def errors(factors):
            return np.asarray(jax.vmap(trained)(jnp.swapaxes(factors[:, :4], 1, 2), factors[:, 4:]), float)

        rule, rng = optax.adam(0.03), np.random.default_rng(0)
        drawn = [ld.TwoLayer.gaussian(SHAPE, N, 0.3, key).weights() for key in range(3000)]
        ours = errors(np.array([np.concatenate([w1.T, w2]) for w1, w2 in drawn]))
        explicit = errors(0.3**0.5 * rng.standard_normal((3000, N, N)))
        triangular = errors(0.3**0.5 * bartlett(N, N, rng, batch=(3000,)))  # the same law of VVᵀ
        spread = np.hypot(ours.std(), explicit.std()) / np.sqrt(3000)
        assert abs(ours.mean() - explicit.mean()) < 4 * spread < 0.5 * abs(triangular.mean() - explicit.mean())

    def test_generated_networks_repeat_by_key(self):
        first, again, other = (ld.TwoLayer.gaussian(SHAPE, 50, 1.0, key) for key in (1, 1, 2))
        assert np.array_equal(first.factor, again.factor)
        assert not np.array_equal(first.factor, other.factor)


class TestGivenWeights:
    @pytest.mark.parametrize("width", [3, N, 40])
    def test_the_reduction_keeps_the_products(self, width):
        w1, w2 = layers(SHAPE, width)
        net = ld.TwoLayer.from_weights(w1, jnp.asarray(w2, jnp.float32) if width == 3 else w2)
        assert net.reduced_width == min(width, N)
        assert relative(net.matrix, w2 @ w1) < (1e-6 if width == 3 else 1e-14)
        assert relative(net.w1.T @ net.w1, w1.T @ w1) < 1e-14
        back = net.weights()
        assert relative(back[0], w1) < 1e-14
        assert back[1].shape == w2.shape

    def test_measured_thresholds(self):
        wide = ld.TwoLayer.gaussian(SHAPE, 10**10, variance_in=1.5e-10, variance_out=0.5e-10)
        assert wide.measured_threshold() == pytest.approx(1.0, rel=1e-3)
        w1, w2 = layers((400, 600), 4, threshold=0.02)  # narrow: σ² = 0.005
        assert ld.TwoLayer.from_weights(w1, w2).threshold == pytest.approx(0.005 * (600 - 400) / 2, rel=0.15)


def trained_by_torch(parametrization, w1, w2, rate, steps):
    """A along training in the parametrisation itself: multiplier in the product, a learning rate for each layer."""

    def optimizer(parameters):
        rates = (parametrization.rate_in, parametrization.rate_out)
        return torch.optim.SGD(
            [{"params": [p], "lr": rate * r} for p, r in zip(parameters, rates, strict=True)], momentum=0.5
        )

    return train(w1, w2, squared_error(TARGET), optimizer, steps, multiplier=parametrization.multiplier)


def lora_law(width):
    return law.Parametrization("LoRA+", width, 1 / 12, 0.0, multiplier=2.0, rate_out=4.0, distribution="uniform")


PARAMETRIZATIONS = {
    "pytorch": lambda width: law.pytorch_default(SHAPE, width=width),
    "ntk": lambda width: law.ntk(SHAPE, width=width),
    "mean field": lambda width: law.mean_field(SHAPE, width=width),
    "mup": lambda width: law.mup(SHAPE, width=width),
    "lora plus": lora_law,
}


class TestParametrizations:
    @pytest.mark.parametrize("make", PARAMETRIZATIONS.values(), ids=PARAMETRIZATIONS)
    @pytest.mark.parametrize("width", [5, 50])
    @pytest.mark.slow
    def test_training_in_it_equals_training_in_the_plain_form(self, make, width):
        parametrization = make(width)
        net = ld.TwoLayer.parametrized(SHAPE, parametrization, key=3)
        w1, w2 = net.weights(key=4)
        assert (w1.shape, w2.shape) == ((width, 4), (3, width))
        rate = 0.02 / parametrization.clock
        descent = ld.GradientDescent(learning_rate=rate, steps=100, momentum=0.5)
        run = ld.simulate(net, TASK, descent, observables=["matrix"], save_every=10)
        path, first, second = trained_by_torch(parametrization, w1, w2, rate, steps=100)
        assert worst(run["matrix"][1:], path[10::10]) < 1e-10
        assert run.time[-1] == pytest.approx(2.0)
        ends = run.final.weights(key=4)
        assert relative(ends[0], first) < 1e-10
        assert relative(ends[1], second) < 1e-10

    def test_thresholds(self):
        """τ of each law, from the variances of weights drawn by it, in the units of the plain form (2.5)."""
        width = 20_000
        for make in PARAMETRIZATIONS.values():
            parametrization = make(width)
            w1, w2 = ld.TwoLayer.parametrized(SHAPE, parametrization, key=1).weights(key=2)
            u1, u2 = (
                np.sqrt(parametrization.multiplier) * (parametrization.rate_out / parametrization.rate_in) ** p
                for p in (0.25, -0.25)
            )
            measured = width / 2 * (u1**2 * np.mean(w1**2) + u2**2 * np.mean(w2**2))
            assert parametrization.threshold == pytest.approx(measured, rel=0.02)
        assert law.ntk(SHAPE, width=width).threshold == pytest.approx(np.sqrt(width / 4))
        assert law.mean_field(SHAPE, width=width).threshold == pytest.approx(1 / np.sqrt(4))
        assert law.mup(SHAPE, width=width).threshold == pytest.approx((1 + 1 / 4) / 2)
        assert law.pytorch_default(SHAPE, width=width).threshold == pytest.approx((width / 4 + 1) / 6)
        assert law.standard(width=width, variance=0.3).threshold == pytest.approx(0.3 * width)

    def test_pytorch_default_is_what_linear_layers_start_from(self):
        torch.manual_seed(0)
        theirs = [torch.nn.Linear(*s, bias=False).weight.detach().numpy().ravel() for s in ((4, 3000), (3000, 3))]
        ours = [w.ravel() for w in ld.TwoLayer.pytorch_default(SHAPE, width=3000, key=1).weights()]
        for a, b in zip(ours, theirs, strict=True):
            assert scipy.stats.ks_2samp(a, b).pvalue > 0.005

    def test_exponents(self):
        net = ld.TwoLayer.exponents((4, 9), variance_exponent=-1.5, width_exponent=3.0)
        assert net.width == 216  # d = √36
        assert net.threshold == pytest.approx(216 * 6**-1.5)
        assert law.exponents(500, variance_exponent=-1.85, width_exponent=2.25).width == 1_182_177

    def test_feature_learning_strength(self):
        assert law.standard(width=100, variance=0.04).feature_learning(3.0) == pytest.approx(0.6)
        assert law.standard(width=100, variance=0.04).feature_learning(0.0) == 0.0


class TestLora:
    @pytest.mark.parametrize("scale", [0.5, 2.0])
    def test_the_default_threshold_is_a_sixth_of_the_scale(self, scale):
        net = ld.TwoLayer.lora((300, 500), rank=8, scale=scale, key=0)
        assert net.threshold == pytest.approx(scale / 6)
        assert net.measured_threshold() == pytest.approx(scale / 6, rel=0.05)
        a, b = net.weights()
        assert np.all(b == 0)
        bound = 1 / np.sqrt(500)  # Kaiming uniform with a = √5
        assert scipy.stats.kstest(a.ravel(), "uniform", args=(-bound, 2 * bound)).pvalue > 0.005

    def test_gaussian_variance_and_rate_ratio(self):
        net = ld.TwoLayer.lora((300, 500), rank=8, scale=2.0, variance=1 / 64, rate_ratio=16.0)
        assert net.threshold == pytest.approx(np.sqrt(16) * 2.0 * 500 / 64 / 2)
        assert np.var(net.weights()[0]) == pytest.approx(1 / 64, rel=0.1)

    def test_training_an_adapter_in_torch(self):
        net = ld.TwoLayer.lora(SHAPE, rank=2, scale=1.5, rate_ratio=4.0, key=1)
        a, b = net.weights()

        def optimizer(parameters):
            return torch.optim.SGD([{"params": [p], "lr": r} for p, r in zip(parameters, (0.02, 0.08), strict=True)])

        path, *_ = train(a, b, squared_error(TARGET), optimizer, 100, multiplier=1.5)
        run = ld.simulate(net, TASK, ld.GradientDescent(learning_rate=0.02, steps=100), observables=["matrix"])
        assert worst(run["matrix"][1:], path[1:]) < 1e-10


def test_networks_are_equal_where_their_layers_are():
    """Values: equal and of one hash for equal draws, told apart by one entry, by the law, or by the class."""
    net, again, other = (ld.TwoLayer.gaussian((3, 4), width=50, variance=0.1, key=k) for k in (0, 0, 1))
    assert net == again
    assert hash(net) == hash(again)
    assert net != other
    assert net != dataclasses.replace(net, threshold=1.0)
    assert len({net, again, other}) == 2


class ThreeLayer(Network):
    """The base class with nothing added, to see what it gives at any depth."""


def test_a_network_of_any_depth_reduces_expands_and_measures_itself():
    rng = np.random.default_rng(0)
    w1, w2, w3 = (rng.standard_normal(s) for s in ((5, 3), (6, 5), (2, 6)))
    net = ThreeLayer.holding((w1, w2, w3), (40, 6), 1.0, "given", units=(2.0, 1.0, 1.0))
    assert (net.shape, net.depth, net.reduced_widths) == ((2, 3), 3, (5, 6))
    assert relative(net.matrix, w3 @ w2 @ w1) < 1e-14
    first, second, third = net.weights(key=1)  # the first hidden layer of 40 units is held as 5
    assert (first.shape, second.shape, third.shape) == ((40, 3), (6, 40), (2, 6))
    assert relative(third @ second @ (2 * first), net.matrix) < 1e-14
    assert relative(4 * first.T @ first, w1.T @ w1) < 1e-14
    assert relative(net.unreduced(key=1).matrix, net.matrix) < 1e-14
    assert relative(net.imbalances()[1], w2 @ w2.T - w3.T @ w3) < 1e-14
    # the tangent kernel applied to G, against the sum over layers of (1.1) written out
    g = rng.standard_normal((2, 3))
    ours = sum(
        (g if out is None else out @ g) @ (np.eye(3) if into is None else into) for out, into in net.kernel_terms()
    )
    by_hand = (w3 @ w2) @ (w3 @ w2).T @ g + w3 @ w3.T @ g @ w1.T @ w1 + g @ (w2 @ w1).T @ (w2 @ w1)
    assert relative(ours, by_hand) < 1e-14
