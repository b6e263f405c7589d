"""What a prediction at depth says of its own error, against descents of drawn networks and against two layers."""

import numpy as np
import pytest

import lindyn as ld
from lindyn.diagrams import DiagramSettings, compute
from lindyn.prediction.deep_accuracy import deep_error_estimate
from lindyn.prediction.spectra import SpikedSpectrum
from lindyn.prediction.validity import ValidityWarning, cells_error


def test_at_two_layers_the_statement_is_that_of_two_layers():
    spectrum, rate = SpikedSpectrum((40, 60), [60.0, 40.0]), 1e-9  # steps too small to lag
    tau, time, n0, width, share = (np.array(v) for v in ([3.0, 0.1], [0.02, 0.06], [1e-3, 0.01], [1e3, 1e5], [0, 0.5]))
    ours = deep_error_estimate(
        spectrum, 2, threshold=tau, time=time, start_variance=n0, width=width, rate=rate, share=share
    )
    theirs = cells_error(spectrum, tau, np.full(2, rate), time / rate, n0, width, share)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)  # slopes by differences of 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "theta", "width", "share"), [(3, 4.0, 10**6, 0.03), (3, 2.5, 400, 0.1), (4, 4.0, 10**6, 0.1)]
)
def test_the_statement_covers_descents_of_drawn_networks(depth, theta, width, share):
    signal, tau = theta * np.sqrt(20) * np.array([1.0, 0.9]), 1.0
    law = ld.laws.standard(width=width, variance=tau ** (2 / depth) / width)
    known = {"depth": depth, "singular_values": signal}
    bound = ld.predict(20, law, **known, steps=1).info.stability_bound
    rate = share * bound
    theory = ld.predict(20, law, **known, learning_rate=rate, steps=300, save_every=10)
    found = []
    for seed in range(3):
        task = ld.SpikedMatrix(shape=(20, 20), singular_values=signal, key=seed)
        net = ld.DeepLinear.gaussian(
            20, depth=depth, width=width, variance=law.variance_in, key=seed, generations=3, tolerance=np.inf
        )
        method = ld.GradientDescent(learning_rate=rate, steps=300)
        found.append(ld.simulate(net, task, method, save_every=10, observables="test_error")["test_error"])
    simulated = np.sqrt(np.mean((np.array(found) - theory["test_error"]) ** 2, axis=0)).max()
    # over the table of docs/validity.md the ratio lies between 0.5 and 9
    assert 0.5 < theory["error_estimate"].max() / simulated < 10


@pytest.mark.slow
def test_a_prediction_at_depth_states_its_error_everywhere():
    law = ld.laws.standard(width=10**6, variance=1e-6)
    run = ld.predict(60, law, depth=3, singular_values=[60.0, 45.0], steps=100)
    assert np.all(run["error_estimate"] > 0)
    assert any("for one run" in note for note in run.info.notes)
    assert "may be off by" in {t.get_text() for t in ld.plots.prediction(run).axes[0].get_legend().get_texts()}
    with pytest.warns(ValidityWarning, match="not large beside"):
        ld.predict(60, ld.laws.standard(width=100, variance=0.01), depth=3, singular_values=[60.0], steps=100)
    settings = DiagramSettings(
        variance_exponents=(-2.5, -1.0), width_exponents=(1.0, 2.5), shape=(30, 30), rank=3, spectrum="mean",
        sources=("predict",), depth=3, steps=300,
    )  # fmt: skip
    found = compute(settings, 0, np.array([-2.5, -1.0]), np.array([2.5, 1.0]))["predict"]
    assert np.all(found["error_estimate"] > 0)
    assert found["valid"].tolist() == [1.0, 0.0]  # the second is narrow
