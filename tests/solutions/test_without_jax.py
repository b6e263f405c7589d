"""Closed forms, spectra and error curves where JAX is not installed: the same numbers."""

import json
from contextlib import redirect_stdout
from io import StringIO

import pytest

from helpers.bare_environment import python_with, run_in

# all that these calls need; xarray and psutil serve the trajectory that `predict` returns
NEEDED = "numpy scipy array-api-compat lazy-loader jaxtyping psutil xarray"
CODE = """
import json
import numpy as np
import lindyn as ld
from lindyn.prediction import ModeSpectrum, SpikedSpectrum, mean_signal_spectrum, regime
from lindyn.solutions import (FactorFlow, MixedSolution, NarrowSolution, deep_mode_curve, deep_mode_time, figure2_rate,
                              mode_curve, mode_time, stability_limit, wide_threshold)

s, times = np.array([0.5, 1.0, 2.0]), np.linspace(0.0, 3.0, 7)[:, None]
target = np.array([[3.0, 0.5, 0.0], [0.1, 1.0, 0.2]])
pair = np.array([[0.3, 0.1, 0.0]]), np.array([[0.2], [-0.4]])
spiked = SpikedSpectrum((40, 30), [5.0, 2.0], 0.1)
found = {
    "mode_curve": mode_curve(s, 0.1, times),
    "mode_time": mode_time(s, 0.1, 0.9 * s),
    "deep_mode_curve": deep_mode_curve(s, 0.1, times, depth=4),
    "deep_mode_time": deep_mode_time(s, 0.1, 0.9 * s, depth=4),
    "published step": figure2_rate([1.0, 100.0], top=10.0, size=20.0, bound=[0.1, 0.01]),
    "stability": stability_limit(1.0, 2.0, 10.0, 0.1),
    "threshold": wide_threshold(1e-4, 1e-4, 1e4),
    "mean spectrum": mean_signal_spectrum(40, 3),
    "outliers": spiked.outliers,
    "overlaps": spiked.overlaps,
    "mixed": MixedSolution(target, 0.1)(1.0),
    "narrow": NarrowSolution(target, *pair)(1.0),
    "factor flow": FactorFlow(target, *pair)(1.0),
    "learned": regime(0.5, [3.0, 1.0]).learning_time,
}
for name, value in spiked.curves(0.1, times[:, 0], start_variance=1e-3).items():
    found["spiked " + name] = value
observed, places = ModeSpectrum.of(target, np.round(target)), np.broadcast_arrays(0.1, times[:, 0], 1e-3)
for name, value in observed.errors(*places).items():
    found["observed " + name] = value
run = ld.predict(40, ld.laws.exponents(40, variance_exponent=-1.5, width_exponent=2.0), rank=2)
found["predicted"] = run["test_error"]
print(json.dumps({name: np.asarray(value).tolist() for name, value in found.items()}))
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return python_with(tmp_path_factory.mktemp("bare"), *NEEDED.split())


@pytest.mark.slow
def test_the_numbers_are_the_same_where_jax_is_not_installed(bare):
    absent = run_in(bare, "from importlib.util import find_spec\nprint(find_spec('jax'), find_spec('equinox'))")
    assert absent.split() == ["None", "None"]
    here = StringIO()
    with redirect_stdout(here):
        exec(CODE, {})
    found = json.loads(run_in(bare, CODE))
    assert found == json.loads(here.getvalue())  # to the last digit: the same arithmetic of the same NumPy
