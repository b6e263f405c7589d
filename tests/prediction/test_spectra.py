"""The large-d theory against sampled matrices, exact simulation and rows logged by the paper's own run."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lindyn as ld
from lindyn.networks.laws import exponents
from lindyn.prediction.large_d import predict, predict_cells
from lindyn.prediction.spectra import SpikedSpectrum, mean_signal_spectrum
from lindyn.prediction.validity import ValidityWarning

LOG = np.genfromtxt(Path(__file__).parents[1] / "data" / "figure2_rows.csv", delimiter=",", names=True)
CELLS = sorted({(float(a), float(b)) for a, b in zip(LOG["variance_exponent"], LOG["width_exponent"], strict=True)})


def logged(cell):
    chosen = (LOG["variance_exponent"] == cell[0]) & (LOG["width_exponent"] == cell[1])
    return LOG[chosen]


def start_variance(cell):
    return 200.0 ** (2 * cell[0] + cell[1])


def test_mean_spectrum_is_that_of_sampled_signals():
    rng = np.random.default_rng(1)
    samples = []
    for _ in range(400):
        c, d = rng.standard_normal((60, 4)), rng.standard_normal((90, 4))
        samples.append(np.linalg.svd(c @ d.T, compute_uv=False)[:4] / 2)
    mean, error = np.mean(samples, axis=0), np.std(samples, axis=0) / 20
    assert np.all(np.abs(mean_signal_spectrum((60, 90), 4) - mean) < 4 * error)


@pytest.mark.parametrize("shape", [(400, 400), (300, 500), (500, 300)])
@pytest.mark.slow
def test_outliers_overlaps_and_bulk_of_a_sampled_matrix(shape):
    signal = np.array([150.0, 110.0, 80.0])
    theory = SpikedSpectrum(shape, signal)
    places, overlaps, bulk = [], [], []
    for key in range(12):
        task = ld.SpikedMatrix(shape=shape, singular_values=signal, key=key)
        u, s, vt = np.linalg.svd(task.target, full_matrices=False)
        u0, _, v0t = np.linalg.svd(task.signal, full_matrices=False)
        places.append(s[:3])
        overlaps.append([abs(u[:, k] @ u0[:, k]) * abs(vt[k] @ v0t[k]) for k in range(3)])
        bulk.append([np.sum(s[3:] ** 2), np.sum(s[3:] ** 4), s[3]])
    # an outlier fluctuates by about one noise entry, whatever d
    assert np.all(np.abs(np.mean(places, axis=0) - theory.outliers) < 4 / np.sqrt(len(places)))
    np.testing.assert_allclose(np.mean(overlaps, axis=0), theory.overlaps, rtol=0.02)
    x, count = theory.bulk
    np.testing.assert_allclose(count @ x**2, np.mean(bulk, axis=0)[0], rtol=0.005)
    np.testing.assert_allclose(count @ x**4, np.mean(bulk, axis=0)[1], rtol=0.01)
    np.testing.assert_allclose(theory.edge, np.mean(bulk, axis=0)[2], rtol=0.03)


def test_a_signal_below_the_edge_of_detectability_does_not_show():
    theory = SpikedSpectrum(10_000, [99.0, 101.0])
    assert theory.signal.tolist() == [101.0, 99.0]
    assert theory.overlaps[0] > 0
    assert theory.overlaps[1] == 0
    assert theory.outliers[1] == theory.edge == 200.0


@pytest.mark.slow
@settings(deadline=None, derandomize=True)
@given(
    rows=st.integers(5, 10**9),
    columns=st.integers(5, 10**9),
    strength=st.floats(0.0, 100.0),
    noise=st.floats(0.01, 10.0),
)
def test_energy_is_that_of_signal_and_noise(rows, columns, strength, noise):
    """‖T‖_F² = ‖A*‖_F² + noise² d_out d_in up to a relative O(1/d)."""
    s = strength * noise * (rows * columns) ** 0.25
    theory = SpikedSpectrum((rows, columns), [s], noise)
    x, count = theory.bulk
    energy = np.sum(theory.outliers[theory.overlaps > 0] ** 2) + count @ x**2
    assert energy == pytest.approx(s**2 + noise**2 * rows * columns, rel=3 / min(rows, columns))


def test_noiseless_limit_is_the_signal_alone():
    curves = SpikedSpectrum((30, 20), [5.0, 2.0], noise=0.0).curves(1.0, [0.0, 1.0, np.float64(1e3)])
    np.testing.assert_allclose(curves["train_error"], curves["test_error"], rtol=1e-12, atol=1e-16)
    assert curves["test_error"][0] == pytest.approx(29 / 600)
    assert curves["test_error"][-1] == pytest.approx(0, abs=1e-16)


@pytest.mark.parametrize("threshold", [0.5, 30.0, 3000.0])
@pytest.mark.slow
def test_curves_agree_with_one_sampled_matrix(threshold):
    """Self-averaging: at d = 500 one draw is within a few per cent of the theory."""
    signal = np.array([250.0, 220.0, 180.0])
    task = ld.SpikedMatrix(shape=(400, 600), singular_values=signal, key=3)
    times = np.linspace(0, 6 / np.hypot(180.0, threshold), 5)
    run = ld.simulate(ld.Mixed(threshold), task, times=times, observables=["train_error", "test_error", "stable_rank"])
    theory = SpikedSpectrum((400, 600), signal).curves(threshold, times)
    for name in ("train_error", "test_error"):
        np.testing.assert_allclose(run[name], theory[name], atol=0.02)
    np.testing.assert_allclose(run["stable_rank"][1:], theory["stable_rank"][1:], rtol=0.05)


@pytest.mark.slow
def test_infinite_noise_start_agrees_with_the_closed_form_from_a_sampled_start():
    task = ld.SpikedMatrix(dim=300, rank=3, key=0)
    net = ld.TwoLayer.gaussian(300, width=10**8, variance=2e-4, key=1)
    rate = 1 / (50 * net.threshold)
    times = rate * np.array([0, 10, 25, 50])
    run = ld.simulate(
        ld.Mixed.matching(net), task, times=times, observables=["train_error", "test_error", "stable_rank"]
    )
    signal = np.linalg.svd(task.signal, compute_uv=False)[:3]
    theory = SpikedSpectrum(300, signal).curves(net.threshold, times, start_variance=4.0)
    for name in ("train_error", "test_error", "stable_rank"):
        np.testing.assert_allclose(run[name], theory[name], rtol=0.04)


@pytest.mark.parametrize("infinite_noise", [False, True])
def test_prediction_agrees_with_the_published_log(infinite_noise):
    """Mean absolute difference of the test error at most 0.02 (relative where A(0) is large)."""
    differences = []
    for cell in CELLS:
        if (start_variance(cell) >= 0.1) != infinite_noise:
            continue
        rows = logged(cell)
        run = predict(200, exponents(200, variance_exponent=cell[0], width_exponent=cell[1]), rank=5)
        gap = np.abs(run["test_error"][rows["step"].astype(int)] - rows["test_error"])
        differences.extend(gap / rows["test_error"] if infinite_noise else gap)
    assert len(differences) > 10
    assert np.mean(differences) <= 0.02


@pytest.mark.slow
def test_exact_simulation_agrees_with_the_published_log():
    """Twenty cells with the published settings and the mean signal spectrum, infinite-noise side included."""
    task = ld.SpikedMatrix(shape=(200, 200), singular_values=mean_signal_spectrum(200, 5), key=0, dtype=np.float32)
    relative, absolute = [], []
    for number, cell in enumerate(CELLS):
        rows = logged(cell)
        steps = rows["step"].astype(int)
        net = ld.TwoLayer.exponents(200, *cell, key=number, dtype=np.float32)
        method = ld.GradientDescent(steps=int(steps[-1]), order="sequential")
        run = ld.simulate(net, task, method, save_every=list(steps), observables="test_error")
        gap = np.abs(run["test_error"] - rows["test_error"])
        (relative if start_variance(cell) >= 0.1 else absolute).extend(
            gap / rows["test_error"] if start_variance(cell) >= 0.1 else gap
        )
    assert len(CELLS) == 20
    assert np.mean(absolute) <= 0.03
    assert np.mean(relative) <= 0.03


@pytest.mark.filterwarnings("ignore::lindyn.prediction.validity.ValidityWarning")  # cells of every width
def test_cells_are_the_curves_of_single_predictions():
    rng = np.random.default_rng(0)
    cells = np.stack([rng.uniform(-2.5, -0.5, 40), rng.uniform(0, 2.8, 40), rng.integers(0, 300, 40)], axis=1)
    found = predict_cells(200, *cells.T, rank=5)
    for k, (variance_exponent, width_exponent, step) in enumerate(cells):
        law = exponents(200, variance_exponent=variance_exponent, width_exponent=width_exponent)
        run = predict(200, law, rank=5, steps=300)
        for name in ("train_error", "test_error", "stable_rank"):
            assert found[name][k] == pytest.approx(run[name][int(step)], rel=1e-9)


def test_quadrature_over_the_bulk_has_converged(monkeypatch):
    signal, times = [250.0, 200.0], [0.001, 0.01, 0.05]
    coarse = [SpikedSpectrum((300, 500), signal).curves(tau, times) for tau in (1e-3, 10.0, 1e3)]
    monkeypatch.setattr("lindyn.prediction.spectra._BULK_NODES", 2000)
    for tau, found in zip((1e-3, 10.0, 1e3), coarse, strict=True):
        fine = SpikedSpectrum((300, 500), signal).curves(tau, times)
        for name in ("train_error", "test_error"):
            np.testing.assert_allclose(found[name], fine[name], rtol=1e-7, atol=1e-15)


def test_prediction_covers_any_size_and_says_where_it_leaves_the_theory():
    run = predict(10**9, exponents(10**9, variance_exponent=-1.5, width_exponent=2.0), rank=5, steps=10)
    assert run["test_error"].shape == (11,)
    assert not any("outside the theory" in note for note in run.info.notes)
    with pytest.warns(ValidityWarning, match="more than 10%"):
        narrow = predict(100, exponents(100, variance_exponent=-0.5, width_exponent=0.5), rank=5, steps=300)
    assert any("outside the theory" in note for note in narrow.info.notes)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "rank"),
        ({"rank": 5, "singular_values": [1.0]}, "rank"),
        ({"rank": 500}, "rank"),
        ({"singular_values": [-1.0]}, "signal"),
        ({"rank": 2, "noise": -1.0}, "noise"),
        ({"rank": 2, "steps": -1}, "steps"),
        ({"rank": 2, "learning_rate": 0.0}, "learning_rate"),
    ],
)
def test_bad_predictions_are_refused_by_name(arguments, word):
    law = exponents(100, variance_exponent=-2.0, width_exponent=1.5)
    with pytest.raises(ld.InvalidArgument, match=f"`{word}`"):
        predict(100, law, **arguments)
