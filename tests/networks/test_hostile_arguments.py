"""Whatever is passed to a task or a network in place of an argument is used, or refused in one sentence.

Every argument of every public entrance is replaced by every hostile value, one at a time. Warnings are errors.
"""

import re

import jax
import numpy as np
import pytest
import scipy.sparse

import lindyn as ld
import torch
from helpers.refusals import SENTENCE
from lindyn.networks import laws

EYE, WIDE = np.eye(3), np.arange(12.0).reshape(3, 4)
HALF = np.array([[True, False, True], [True, True, False], [False, True, True]])
TASK = ld.SpikedMatrix(target=EYE)
NET = ld.TwoLayer.gaussian(3, 100, 0.01)

# entrance → (function, arguments with which it works)
ENTRANCES = {
    "SpikedMatrix": (
        ld.SpikedMatrix,
        {"dim": 5, "rank": 2, "noise": 1.0, "scale": 1.0, "key": 0, "dtype": np.float64},
    ),
    "SpikedMatrix, singular values": (ld.SpikedMatrix, {"shape": (3, 4), "singular_values": [2.0, 1.0]}),
    "SpikedMatrix, data": (ld.SpikedMatrix, {"target": WIDE, "signal": WIDE}),
    "SpikedMatrix.observe": (TASK.observe, {"fraction": 0.5, "key": 0}),
    "SpikedMatrix.test_error": (ld.SpikedMatrix(target=EYE, signal=EYE).test_error, {"matrix": EYE}),
    "SpikedMatrix.gradient": (TASK.gradient, {"matrix": EYE}),
    "Regression": (ld.Regression, {"inputs": WIDE, "outputs": EYE, "signal": WIDE}),
    "Regression, held out": (ld.Regression, {"inputs": WIDE, "outputs": EYE, "held_out": (WIDE, EYE)}),
    "Regression.train_error": (ld.Regression(WIDE, EYE).train_error, {"matrix": WIDE}),
    "Completion": (ld.Completion, {"target": EYE, "observed": HALF, "signal": EYE}),
    "Completion, held out": (ld.Completion, {"target": EYE, "observed": HALF, "held_out": ~HALF}),
    "Completion.from_entries": (
        ld.Completion.from_entries,
        {"rows": [0, 1], "columns": [1, 2], "values": [1.0, 2.0], "shape": (2, 3), "signal": np.ones((2, 3))},
    ),
    "Completion.cost": (ld.Completion(EYE).cost, {"matrix": EYE}),
    "CustomCost": (
        ld.CustomCost,
        {"function": lambda a: (a**2).sum(), "shape": 3, "signal": EYE, "dtype": np.float64},
    ),
    "TwoLayer.gaussian": (ld.TwoLayer.gaussian, {"shape": 3, "width": 9, "variance": 1.0, "dtype": "float64"}),
    "TwoLayer.gaussian, two variances": (
        ld.TwoLayer.gaussian,
        {"shape": 3, "width": 9, "variance_in": 1.0, "variance_out": 2.0},
    ),
    "TwoLayer.exponents": (ld.TwoLayer.exponents, {"shape": 3, "variance_exponent": -1.0, "width_exponent": 1.0}),
    "TwoLayer.parametrized": (ld.TwoLayer.parametrized, {"shape": 3, "law": laws.ntk(3, width=9), "key": 0}),
    "TwoLayer.pytorch_default": (ld.TwoLayer.pytorch_default, {"shape": 3, "width": 9, "key": 0}),
    "TwoLayer.orthogonal": (
        ld.TwoLayer.orthogonal,
        {"shape": 3, "threshold": 1.0, "width": 9, "side": "both", "start": EYE},
    ),
    "TwoLayer.balanced": (
        ld.TwoLayer.balanced,
        {"shape": 3, "threshold": 1.0, "width": 3, "side": "in", "start": EYE, "key": 0},
    ),
    "TwoLayer.lora": (ld.TwoLayer.lora, {"shape": 3, "rank": 2, "scale": 1.0, "variance": 1.0, "rate_ratio": 1.0}),
    "TwoLayer.from_weights": (ld.TwoLayer.from_weights, {"w1": WIDE, "w2": EYE, "threshold": 1.0}),
    "TwoLayer.weights": (NET.weights, {"key": 0}),
    "Parametrization": (
        ld.networks.Parametrization,
        {
            "name": "mine", "width": 9, "variance_in": 1.0, "variance_out": 1.0, "multiplier": 1.0, "rate_in": 1.0,
            "rate_out": 1.0, "distribution": "normal",
        },
    ),
    "standard": (laws.standard, {"width": 9, "variance": 1.0, "variance_in": 1.0, "variance_out": 1.0}),
    "exponents": (laws.exponents, {"shape": 3, "variance_exponent": -1.0, "width_exponent": 1.0}),
    "ntk": (laws.ntk, {"shape": 3, "width": 9}),
    "mean_field": (laws.mean_field, {"shape": 3, "width": 9}),
    "mup": (laws.mup, {"shape": 3, "width": 9}),
    "pytorch_default": (laws.pytorch_default, {"shape": 3, "width": 9}),
    "lora": (laws.lora, {"shape": 3, "rank": 2, "scale": 1.0, "variance": 1.0, "rate_ratio": 1.0}),
    "mixed_weights": (
        ld.networks.mixed_weights,
        {"shape": 3, "width": 6, "threshold": 1.0, "form": "two-sided", "start": EYE, "key": 0},
    ),
    "mixed_weights, side": (ld.networks.mixed_weights, {"shape": 3, "width": 2, "threshold": 1.0, "side": "in"}),
    "lora_weights": (ld.networks.lora_weights, {"shape": 3, "rank": 2, "threshold": 1.0, "scale": 1.0, "key": 0}),
    "factor_modes": (ld.networks.factor_modes, {"first": WIDE, "second": EYE, "scale": 1.0}),
    "imbalance_drift": (ld.networks.imbalance_drift, {"now": (WIDE, EYE), "start": (WIDE, EYE)}),
    "share_outside_rows": (
        ld.networks.share_outside_rows,
        {"factors": (WIDE, EYE), "start_first": WIDE, "start_second": EYE},
    ),
}  # fmt: skip

ARRAYS = {
    "one entry": np.ones((1, 1)),
    "a vector": np.ones(3),
    "three axes": np.ones((3, 3, 3)),
    "nothing": np.zeros((0, 3)),
    "a list of nothing": [],
    "ragged": [[1.0, 2.0], [3.0]],
    "huge": np.full((3, 3), 1e200),
    "huge in float32": np.full((3, 3), 1e30, np.float32),
    "NaN": np.full((3, 3), np.nan),
    "complex": EYE + 1j,
    "dates": np.full((3, 3), "2020-01-01", "M8[D]"),
    "durations": np.ones((3, 3), "m8[s]"),
    "objects": np.array([[1, None], [2, 3]], object),
    "text": np.array([["1", "2"], ["3", "4"]]),
    "structured": np.zeros((3, 3), [("a", float), ("b", int)]),
    "masked": np.ma.masked_greater(WIDE, 5.0),
    "all masked": np.ma.masked_all((3, 3)),
    "sparse": scipy.sparse.eye(3),
    "a meta tensor": torch.ones(3, 3, device="meta"),
    "a sparse tensor": torch.eye(3).to_sparse(),
    "a complex tensor": torch.ones(3, 3, dtype=torch.complex64),
    "a mask": HALF,
}
SCALARS = {
    **{repr(v): v for v in (None, True, -1, 0, 2, 1.5, 10**30, 1e308, -1e-300, "normal", "33", b"x", ())},
    **{repr(v): v for v in (float("nan"), float("inf"), -float("inf"), 1j, (3,), (3, 4), (3, 4, 5), (3, -1), {})},
    "10 to the 400": 10**400,
    "an object": object(),
    "a function": lambda *_: None,
    "a NumPy scalar": np.float32(2.0),
    "an array of one": np.array([2.0]),
    "masked scalar": np.ma.masked,
    "a JAX key": jax.random.key(0),
    "a legacy generator": np.random.RandomState(0),
}
HOSTILE = {**SCALARS, **ARRAYS}
CASES = [(entrance, name) for entrance, (_, good) in ENTRANCES.items() for name in good]


@pytest.mark.parametrize(("entrance", "name"), CASES, ids=[f"{e}: {n}" for e, n in CASES])
def test_an_argument_is_used_or_refused_in_one_sentence(entrance, name):
    function, good = ENTRANCES[entrance]
    faults = []
    for label, value in HOSTILE.items():
        try:
            function(**{**good, name: value})
        except ld.InvalidArgument as error:
            if not re.fullmatch(SENTENCE, str(error)):
                faults.append((label, str(error)))
        except Exception as error:  # whatever else is raised is what this test looks for
            faults.append((label, f"{type(error).__name__}: {error}"))
    assert not faults, "\n".join(f"{label}: {what}" for label, what in faults)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_the_arguments_that_are_replaced_work_as_they_are(entrance):
    function, good = ENTRANCES[entrance]
    if entrance == "standard":
        good = {"width": 9, "variance": 1.0}
    function(**good)
