"""Shared linear algebra: random frames and Wishart factors by their laws, the bulk by drawn matrices, ranks."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from lindyn.support import linalg


def frames(draw, count=1500, rows=4, columns=2):
    rng = np.random.default_rng(0)
    return np.array([draw(rows, columns, rng) for _ in range(count)])


def plain_qr(rows, columns, rng):
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


def smallest_p(drawn):
    """Worst agreement of entries and of pairs of them with SciPy's orthogonal group, by Kolmogorov and Smirnov."""
    theirs = scipy.stats.ortho_group.rvs(4, size=len(drawn), random_state=1)[:, :, :2]
    pairs = [(f[:, 0, 0], f[:, 3, 1], f[:, 0, 0] + f[:, 1, 1], f[:, 0, 0] * f[:, 1, 0]) for f in (drawn, theirs)]
    return min(scipy.stats.ks_2samp(a, b).pvalue for a, b in zip(*pairs, strict=True))


def test_random_frames_are_uniform():
    assert smallest_p(frames(linalg.haar_frame)) > 0.005
    assert smallest_p(frames(plain_qr)) < 1e-6  # whose first entries are of one sign: the test can tell


def test_random_frames_beside_others_are_uniform_in_what_is_left():
    beside = linalg.haar_frame(6, 2, np.random.default_rng(3))
    complement = np.linalg.svd(beside, full_matrices=True)[0][:, 2:]
    drawn = frames(lambda rows, columns, rng: complement.T @ linalg.haar_frame(6, columns, rng, beside=beside))
    assert np.allclose(np.swapaxes(drawn, 1, 2) @ drawn, np.eye(2), atol=1e-12)
    assert smallest_p(drawn) > 0.005
    assert np.array_equal(linalg.haar_frame(6, 6, np.random.default_rng(1), beside=np.zeros((6, 0))).shape, (6, 6))


def test_bartlett_factors_have_the_spectra_of_explicit_matrices():
    rng = np.random.default_rng(0)
    gaussian = rng.standard_normal((3000, 3, 5))
    factors = linalg.bartlett(3, 5, rng, batch=(3000,))
    assert np.array_equal(factors, np.tril(factors))
    ours, theirs = (np.linalg.eigvalsh(m @ np.swapaxes(m, 1, 2)) for m in (factors, gaussian))
    assert min(scipy.stats.ks_2samp(ours[:, k], theirs[:, k]).pvalue for k in range(3)) > 0.005


@pytest.mark.parametrize("shape", [(300, 300), (150, 600)])
def test_the_bulk_is_that_of_a_drawn_matrix(shape):
    """Quantiles at d = 300: the spectrum is rigid, and fluctuates by about 1/d."""
    drawn = np.sort(np.linalg.svd(np.random.default_rng(0).standard_normal(shape), compute_uv=False))
    bulk = linalg.marchenko_pastur(shape, 2000)
    quantiles = np.interp([0.1, 0.25, 0.5, 0.75, 0.9], np.cumsum(bulk.shares[::-1]), bulk.values[::-1])
    assert np.quantile(drawn, [0.1, 0.25, 0.5, 0.75, 0.9]) == pytest.approx(quantiles, abs=0.01 * bulk.values[0])
    assert np.median(drawn) == pytest.approx(linalg.marchenko_pastur_median(shape), rel=0.02)


def test_the_quadrature_equals_the_density_integrated():
    """Mean of log(1 + λ) over the Marchenko–Pastur density on [(1 − √c)², (1 + √c)²], by adaptive quadrature."""
    c = 0.25
    low, high = (1 - c**0.5) ** 2, (1 + c**0.5) ** 2

    def density(x):
        return np.sqrt((high - x) * (x - low)) / (2 * np.pi * c * x)

    expected, _ = scipy.integrate.quad(lambda x: density(x) * np.log1p(x), low, high, epsabs=1e-12)
    bulk = linalg.marchenko_pastur((100, 400), 32)
    assert bulk.shares @ np.log1p(bulk.values**2 / 400) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_numerical_rank_is_that_of_numpy(dtype):
    rng = np.random.default_rng(0)
    for rank in (0, 1, 3):
        matrix = (rng.standard_normal((5, rank)) @ rng.standard_normal((rank, 7))).astype(dtype)
        s = np.linalg.svd(matrix, compute_uv=False)
        assert linalg.numerical_rank(s, matrix.shape) == np.linalg.matrix_rank(matrix) == rank


def test_ranks_are_those_of_the_norms_and_of_the_entropy_at_any_scale():
    rng = np.random.default_rng(0)
    for scale in (1e-150, 1.0, 1e150):  # whose squares are not finite, or zero, beyond 1e±154
        a = scale * rng.standard_normal((3, 5, 4))
        s = np.linalg.svd(a, compute_uv=False)
        direct = np.linalg.norm(a / scale, axis=(1, 2)) ** 2 / np.linalg.norm(a / scale, 2, axis=(1, 2)) ** 2
        np.testing.assert_allclose(linalg.stable_rank(s), direct, rtol=1e-12)
        np.testing.assert_allclose(linalg.energy_rank(np.sum(s**2, axis=1), s[:, 0]), direct, rtol=1e-12)
        entropy = scipy.stats.entropy(s, axis=1)
        np.testing.assert_allclose(linalg.effective_rank(s), np.exp(entropy), rtol=1e-12)
    assert linalg.stable_rank(np.zeros(2)) == linalg.effective_rank(np.zeros(2)) == 0
