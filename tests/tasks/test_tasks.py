"""Tasks: how they are drawn, their errors and gradients against plain NumPy, their curvature and truth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

import lindyn as ld
from helpers.reference import matrix_with, orthogonal, relative
from lindyn.support.linalg import haar_frame

RNG = np.random.default_rng(0)
INPUTS, OUTPUTS = RNG.standard_normal((30, 4)), RNG.standard_normal((30, 3))


class TestSpikedMatrix:
    def test_the_signal_has_its_rank_and_entries_of_unit_variance(self):
        task = ld.SpikedMatrix(shape=(300, 400), rank=4, key=1)
        values = np.linalg.svd(task.signal, compute_uv=False)
        assert values[3] > 1e3 * values[4]
        assert np.var(task.signal) == pytest.approx(1, rel=0.15)
        assert values[:4] == pytest.approx(np.sqrt(300 * 400 / 4), rel=0.25)

    def test_the_noise_is_gaussian_of_its_deviation(self):
        task = ld.SpikedMatrix(shape=(60, 50), rank=2, noise=0.3, key=2)
        assert scipy.stats.kstest((task.target - task.signal).ravel() / 0.3, "norm").pvalue > 0.005

    def test_given_singular_values_and_scale(self):
        task = ld.SpikedMatrix(shape=(6, 9), singular_values=[5.0, 2.0], noise=0.0, scale=2.0)
        assert np.linalg.svd(task.target, compute_uv=False)[:3] == pytest.approx([10, 4, 0], abs=1e-13)
        assert np.array_equal(task.target, task.signal)
        assert task.scale() == pytest.approx(10)

    def test_given_singular_values_come_with_uniform_singular_vectors(self):
        """Entries of a singular vector have the law of a normalised Gaussian, of either sign."""
        signals = np.array([ld.SpikedMatrix(shape=(3, 4), singular_values=[1.0], key=k).signal for k in range(1500)])
        rng = np.random.default_rng(0)
        g, h = (rng.standard_normal((n, 1500)) for n in (3, 4))
        theirs = np.einsum("ik,jk->kij", g / np.linalg.norm(g, axis=0), h / np.linalg.norm(h, axis=0))
        for i, j in [(0, 0), (2, 3)]:
            assert scipy.stats.ks_2samp(signals[:, i, j], theirs[:, i, j]).pvalue > 0.005

    def test_draws_repeat_by_key(self):
        first, again, other = (ld.SpikedMatrix(dim=8, rank=2, key=k) for k in (3, 3, 4))
        assert np.array_equal(first.target, again.target)
        assert not np.array_equal(first.target, other.target)

    @given(seed=st.integers(0, 2**32 - 1))
    def test_errors(self, seed):
        rng = np.random.default_rng(seed)
        target, signal, a = rng.standard_normal((3, 2, 5))
        task = ld.SpikedMatrix(target=target, signal=signal)
        assert float(task.cost(a)) == pytest.approx(0.5 * np.sum((a - target) ** 2))
        assert float(task.train_error(a)) == pytest.approx(np.sum((a - target) ** 2) / 10)
        assert float(task.test_error(a)) == pytest.approx(np.sum((a - signal) ** 2) / 10)
        assert relative(task.gradient(a), a - target) < 1e-15

    def test_without_a_signal_there_is_no_test_error(self):
        task = ld.SpikedMatrix(target=np.eye(3))
        assert not task.has_truth
        assert np.isnan(task.test_error(np.eye(3)))
        assert relative(task.reference(), np.eye(3)) < 1e-14

    def test_observing_a_fraction(self):
        full = ld.SpikedMatrix(shape=(10, 20), rank=1, key=5)
        part = full.observe(0.25, key=6)
        assert part.observed.sum() == 50
        assert np.array_equal(part.target[part.observed], full.target[part.observed])
        assert np.array_equal(part.signal, full.signal)


class TestRegression:
    @pytest.mark.parametrize("samples", [3, 4, 30])
    def test_the_reduction_of_the_samples_is_exact(self, samples):
        """Cost, gradient and errors from all samples, in NumPy; N below, at and above d_in."""
        x, y = INPUTS[:samples], OUTPUTS[:samples]
        task, a = ld.Regression(x, y), RNG.standard_normal((3, 4))
        residual = x @ a.T - y
        assert task.root.shape == (min(samples, 4), 4)
        assert float(task.cost(a)) == pytest.approx(np.sum(residual**2) / (2 * samples), rel=1e-12)
        assert float(task.train_error(a)) == pytest.approx(np.mean(residual**2), rel=1e-12)
        assert relative(task.gradient(a), residual.T @ x / samples) < 1e-13

    def test_test_errors(self):
        a, signal = RNG.standard_normal((2, 3, 4))
        x, y = RNG.standard_normal((7, 4)), RNG.standard_normal((7, 3))
        assert float(ld.Regression(INPUTS, OUTPUTS, held_out=(x, y)).test_error(a)) == pytest.approx(
            np.mean((x @ a.T - y) ** 2)
        )
        assert float(ld.Regression(INPUTS, OUTPUTS, signal=signal).test_error(a)) == pytest.approx(
            np.mean((a - signal) ** 2)
        )
        assert not ld.Regression(INPUTS, OUTPUTS).has_truth

    def test_whitened_inputs_make_it_quadratic(self):
        x = 3.0 * orthogonal(30, RNG)[:, :4]
        quadratic = ld.Regression(x, OUTPUTS).quadratic()
        solution, *_ = np.linalg.lstsq(x, OUTPUTS, rcond=None)
        assert quadratic.curvature == pytest.approx(9 / 30)
        assert relative(quadratic.target, solution.T) < 1e-13

    def test_curvature(self):
        assert ld.Regression(INPUTS, OUTPUTS).curvature() == pytest.approx(
            np.linalg.eigvalsh(INPUTS.T @ INPUTS / 30).max()
        )

    def test_the_closed_form_takes_whitened_inputs_on_their_clock(self):
        """At the curvature c the flow is that of ½‖A − T‖² at time ct: the lazy one decays as e^{−2τct}."""
        x = 3.0 * orthogonal(30, RNG)[:, :4]
        solution, *_ = np.linalg.lstsq(x, OUTPUTS, rcond=None)
        run = ld.simulate(ld.Lazy(2.0), ld.Regression(x, OUTPUTS), times=[0.7], observables=["matrix"])
        assert run.info.method == "closed form"
        assert relative(run["matrix"][0], -np.expm1(-2 * 2.0 * 0.3 * 0.7) * solution.T) < 1e-12


class TestCompletion:
    TARGET = np.array([[1.0, np.nan, 3.0], [np.nan, 5.0, 6.0]])

    def test_nan_marks_what_is_not_observed(self):
        task, a = ld.Completion(self.TARGET), RNG.standard_normal((2, 3))
        difference = np.where(np.isnan(self.TARGET), 0, a - np.nan_to_num(self.TARGET))
        assert float(task.cost(a)) == pytest.approx(0.5 * np.sum(difference**2))
        assert float(task.train_error(a)) == pytest.approx(np.sum(difference**2) / 4)
        assert np.array_equal(task.gradient(a), difference)

    def test_entries_and_masks_describe_the_same_task(self):
        by_entries = ld.Completion.from_entries([0, 0, 1, 1], [0, 2, 1, 2], [1.0, 3.0, 5.0, 6.0], shape=(2, 3))
        by_mask = ld.Completion(np.nan_to_num(self.TARGET, nan=7.0), ~np.isnan(self.TARGET))
        for task in (by_entries, by_mask):
            assert np.array_equal(task.observed, ~np.isnan(self.TARGET))
            assert np.array_equal(task.target, np.nan_to_num(self.TARGET))

    def test_test_errors(self):
        full, a = np.arange(6.0).reshape(2, 3), RNG.standard_normal((2, 3))
        observed = np.array([[True, False, True], [False, True, False]])
        held_out = np.array([[False, True, False], [True, False, False]])
        task = ld.Completion(full, observed, held_out=held_out)
        assert float(task.test_error(a)) == pytest.approx(np.mean((a - full)[held_out] ** 2))
        assert float(ld.Completion(full, observed, signal=full).test_error(a)) == pytest.approx(
            np.mean((a - full) ** 2)
        )

    def test_quadratic_only_if_all_is_observed(self):
        assert np.array_equal(ld.Completion(np.eye(2)).quadratic().target, np.eye(2))


class TestCustomCost:
    def test_curvature_and_reference_of_a_known_quadratic(self):
        """Weighted squares: Hessian diag(weights), minimum T; the reference −∇C(0)/curvature by hand."""
        weights, target = np.array([[1.0, 2.0], [5.0, 0.5]]), np.array([[1.0, -1.0], [2.0, 3.0]])
        task = ld.CustomCost(lambda a: 0.5 * jnp.sum(weights * (a - target) ** 2), shape=2)
        assert task.curvature() == pytest.approx(5.0, rel=1e-6)
        assert relative(task.reference(), weights * target / 5.0) < 1e-6
        assert float(task.train_error(np.zeros((2, 2)))) == pytest.approx(0.5 * np.sum(weights * target**2))

    def test_a_signal_gives_a_test_error(self):
        task = ld.CustomCost(lambda a: jnp.sum(a**4), shape=(2, 3), signal=np.ones((2, 3)))
        assert float(task.test_error(np.zeros((2, 3)))) == 1.0
        assert task.scale() == pytest.approx(np.sqrt(6))


MATRIX = matrix_with([3.0, 1.0], (3, 4), np.random.default_rng(1))


@pytest.mark.parametrize(
    "task",
    [
        ld.SpikedMatrix(target=MATRIX.astype(np.float32)),
        ld.Regression(INPUTS.astype(np.float32), OUTPUTS.astype(np.float32)),
        ld.Completion(MATRIX.astype(np.float32), MATRIX > 0),
        ld.CustomCost(lambda a: jnp.sum(a**2), shape=(3, 4), dtype=np.float32),
        ld.SpikedMatrix(shape=(3, 4), rank=1, dtype=np.float32),
    ],
    ids=lambda t: type(t).__name__,
)
def test_single_precision_stays_single(task):
    assert task.dtype == np.float32
    assert task.gradient(MATRIX).dtype == np.float32
    assert task.cost(MATRIX).dtype == np.float32


class TestValues:
    """Tasks are equal where their data are, and can be put in sets and passed to jax.jit."""

    MADE = (
        lambda key: ld.SpikedMatrix(dim=4, rank=2, key=key),
        lambda key: ld.Regression(INPUTS + key, OUTPUTS),
        lambda key: ld.Completion(np.eye(3) + key),
        lambda key: ld.CustomCost(jnp.sum, shape=3 + key),
    )

    @pytest.mark.parametrize("make", MADE, ids=["spiked", "regression", "completion", "custom"])
    def test_equality_and_hash_are_by_content(self, make):
        assert make(0) == make(0)
        assert hash(make(0)) == hash(make(0))
        assert make(0) != make(1)
        assert len({make(0), make(0), make(1)}) == 2

    def test_a_method_can_be_compiled(self):
        task = ld.SpikedMatrix(dim=4, rank=2)
        assert jax.jit(task.train_error)(np.zeros((4, 4), np.float32)) == pytest.approx(np.mean(task.target**2), 1e-6)


class TestMaskedAndListedEntries:
    FULL = np.arange(6.0).reshape(2, 3)
    HIDDEN = np.array([[False, True, False], [False, False, True]])

    def test_masked_entries_are_those_that_are_not_observed(self):
        for target in (np.ma.array(self.FULL, mask=self.HIDDEN), np.ma.array(self.FULL.astype(int), mask=self.HIDDEN)):
            assert ld.Completion(target) == ld.Completion(self.FULL, ~self.HIDDEN)
        assert ld.SpikedMatrix(target=np.ma.array(self.FULL)) == ld.SpikedMatrix(target=self.FULL)  # nothing is hidden

    def test_held_out_entries_are_not_trained_on(self):
        task = ld.Completion(self.FULL, held_out=self.HIDDEN)
        assert np.array_equal(task.observed, ~self.HIDDEN)
        assert float(task.test_error(np.zeros((2, 3)))) == pytest.approx((1 + 25) / 2)

    def test_listed_entries_stand_at_their_places(self):
        task = ld.Completion.from_entries(np.array([1.0, 0.0]), [2, 1], [5.0, 3.0], shape=(2, 3))
        assert np.array_equal(np.argwhere(task.observed), [[0, 1], [1, 2]])
        assert (task.target[1, 2], task.target[0, 1]) == (5.0, 3.0)


def test_singular_vectors_of_a_given_spectrum_have_either_sign():
    """200 draws of an entry of u₁v₁ᵀ: 100 ± 7 are positive, so that 4 deviations are 28."""
    positive = sum(
        float(ld.SpikedMatrix(5, singular_values=[1.0], noise=0.0, key=key).signal[0, 0]) > 0 for key in range(200)
    )
    assert 72 <= positive <= 128


def test_orthonormal_frames_are_drawn_with_either_sign():
    """The first entry of each column of 100 frames: a QR decomposition alone gives it one sign."""
    rng = np.random.default_rng(0)
    first = np.concatenate([haar_frame(5, 2, rng)[0] for _ in range(100)])
    assert 72 <= np.count_nonzero(first > 0) <= 128
