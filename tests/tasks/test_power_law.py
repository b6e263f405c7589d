"""Power-law data: the task against plain NumPy, merged modes against single ones, floors against draws and formula."""

import numpy as np
import pytest

from helpers.reference import relative
from helpers.refusals import refused
from lindyn.tasks import DiagonalRegression, PowerLaw, Regression


def spectrum(modes, capacity, source):
    k = np.arange(1.0, modes + 1)
    return k**-capacity, np.sqrt(k ** (-capacity * source - 1) / k**-capacity)


def test_variances_and_weights_are_those_of_the_definition():
    task, (variances, weights) = PowerLaw(1.5, 0.5, 150), spectrum(150, 1.5, 0.5)
    assert relative(task.variances, variances) < 1e-14
    assert relative(task.weights, weights) < 1e-14


def test_it_is_regression_on_uncorrelated_inputs():
    task, row = PowerLaw(1.5, 0.5, 5), np.arange(5.0)[None]
    inputs = np.diag(np.sqrt(5 * np.asarray(task.variances)))
    regression = Regression(inputs, inputs @ task.weights[:, None])
    assert float(task.cost(row)) == pytest.approx(float(regression.cost(row)), rel=1e-13)
    assert relative(task.gradient(row), regression.gradient(row)) < 1e-13
    assert float(task.train_error(row)) == pytest.approx(float(regression.train_error(row)), rel=1e-13)
    assert task.curvature() == pytest.approx(regression.curvature())


@pytest.mark.parametrize(("capacity", "source"), [(1.5, 0.5), (2.0, 1.5)])
def test_merged_modes_learn_as_single_ones(capacity, source):
    """Lazy training, in closed form: the loss of 50,000 modes and of their bins at eleven times."""
    merged, (variances, weights) = PowerLaw(capacity, source, 50_000), spectrum(50_000, capacity, source)
    assert merged.counts.sum() == pytest.approx(50_000)
    for time in np.geomspace(1, 1e5, 11):
        loss = np.sum(variances * weights**2 * np.exp(-2 * time * variances))
        bins = np.sum(merged.variances * merged.weights**2 * np.exp(-2 * time * merged.variances))
        assert abs(bins / loss - 1) < 2e-3  # works (10.3)


def test_features_of_merged_inputs_have_the_law_of_single_ones():
    """Two variances, counts 3 and 7: mean floor of 300 draws either way, within four standard errors."""
    merged = DiagonalRegression([1.0, 0.3], [1.0, 2.0], counts=[3, 7])
    single = DiagonalRegression([1.0] * 3 + [0.3] * 7, [3**-0.5] * 3 + [2 * 7**-0.5] * 7)
    floors = [[float(task.random_features(4, key=key).floor) for key in range(300)] for task in (merged, single)]
    means, errors = np.mean(floors, axis=1), np.std(floors, axis=1) / np.sqrt(300)
    assert abs(means[0] - means[1]) < 4 * np.hypot(*errors)
    assert means[0] > 20 * errors[0]


def test_the_best_predictor_on_features_has_the_floor():
    """Against the loss of an explicit feature matrix, and as many features as inputs leave nothing."""
    task = PowerLaw(1.5, 0.5, 40)
    features = task.random_features(8, key=3)
    assert float(features.train_error(features.minimiser())) == pytest.approx(float(features.floor), rel=1e-12)
    assert float(features.train_error(0 * features.signal)) == pytest.approx(float(task.train_error(0 * task.signal)))
    assert float(task.random_features(40, key=3).floor) < 1e-9
    assert task.expected_floor(40) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("capacity", "source"), [(1.5, 0.5), (1.25, 1.5), (1.25, 2.5)])
def test_floors_of_draws_follow_the_formula_and_not_the_power_min_2(capacity, source):
    """Explicit draws of the feature matrix, eight a size: within three standard errors and 10 % of (10.6)."""
    modes, rng = 4000, np.random.default_rng(0)
    variances, weights = spectrum(modes, capacity, source)
    task = DiagonalRegression(variances, weights)
    means = []
    for n in (16, 64):
        floors = []
        for _ in range(8):
            features = rng.standard_normal((n, modes)) * np.sqrt(variances)
            toward = features @ (np.sqrt(variances) * weights)
            floors.append(variances @ weights**2 - toward @ np.linalg.solve(features @ features.T, toward))
        means.append(np.mean(floors))
        expected = task.expected_floor(n)
        assert abs(means[-1] - expected) < 3 * np.std(floors) / np.sqrt(8) + 0.1 * expected
    if source > 1:  # α min(2, β) would make the floor fall over twice as fast in N
        assert np.log(means[0] / means[1]) / np.log(4) < 0.75 * capacity * min(2, source)


@pytest.mark.parametrize(("capacity", "source"), [(1.5, 0.5), (1.25, 1.5), (1.25, 2.5), (2.0, 1.5)])
def test_the_floor_falls_with_the_power_alpha_min_1_beta(capacity, source):
    """Local powers between N = 10⁴ and 10⁶ of 10¹⁴ modes."""
    task = PowerLaw(capacity, source, 10**14)
    floors = [task.expected_floor(n) for n in (10**4, 10**5, 10**6)]
    powers = -np.diff(np.log10(floors))
    assert np.abs(powers - capacity * min(1, source)).max() < 0.02
    assert task.floor_exponent() == capacity * min(1, source)


@refused(
    [
        (lambda: PowerLaw(1.0, 0.5), "capacity", "greater than 1"),
        (lambda: PowerLaw(1.5, 0.0), "source", "greater than 0"),
        (lambda: PowerLaw(1.5, 0.5, 0), "modes", "at least 1"),
        (lambda: PowerLaw(1.5, 0.5, 10**19), "modes", "at most"),
        (lambda: PowerLaw(1.5, 0.5, bins=0), "bins", "at least 1"),
        (lambda: PowerLaw(1.5, 0.5, 10).random_features(11), "features", "not exceed the number of inputs"),
        (lambda: PowerLaw(1.5, 0.5, 10).expected_floor(11), "features", "not exceed the number of inputs"),
        (lambda: DiagonalRegression([1.0, 0.0], [1.0, 1.0]), "variances", "positive"),
        (lambda: DiagonalRegression([1.0], [1.0, 1.0]), "weights", "shape"),
        (lambda: DiagonalRegression([1.0], [1.0], counts=[0.5]), "counts", "at least 1"),
        (lambda: DiagonalRegression([1.0], [1.0], floor=-1.0), "floor", "at least 0"),
    ]
)
def test_tasks_without_meaning_are_refused(refusal):
    refusal.check()
