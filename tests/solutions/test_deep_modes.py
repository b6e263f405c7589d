"""The deep mode curve against scalar networks integrated by SciPy, its limits, its inverse, JAX."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import lindyn as ld
from lindyn.solutions import deep_balanced_time, deep_mode_curve, deep_mode_time, deep_threshold
from lindyn.solutions.deep_modes import ACCURACY, equal_layers
from lindyn.solutions.scalar_nets import follow_modes, level_grid, sufficient_words
from lindyn.solutions.thresholds import start_variance
from lindyn.solutions.words import Words, scalar_layers


def scalar_network(s, norm, times, words):
    """m(t) of the flow of a scalar network over a tree of words with σ²w = `norm`, by DOP853."""
    depth = words.depth
    layers = scalar_layers(words, [norm**0.5] * depth, [norm**0.5] * depth)
    shapes = [w.shape for w in layers]
    cuts = np.cumsum([0, *(w.size for w in layers)])

    def split(flat):
        return [flat[a:b].reshape(n) for a, b, n in zip(cuts, cuts[1:], shapes, strict=False)]

    def field(_, flat):
        own = split(flat)
        forward = [np.ones(1)]
        for w in own:
            forward.append(w @ forward[-1])
        signal, out = s - forward[-1], []
        for w, f in zip(reversed(own), reversed(forward[:-1]), strict=True):
            out.append(np.outer(signal, f))
            signal = w.T @ signal
        return np.concatenate([g.ravel() for g in reversed(out)])

    flat = np.concatenate([w.ravel() for w in layers])
    found = solve_ivp(field, (0, times[-1]), flat, "DOP853", times, rtol=1e-11, atol=1e-13)
    out = []
    for column in found.y.T:
        m = np.ones(1)
        for w in split(column):
            m = w @ m
        out.append(m[0])
    return np.array(out)


@pytest.mark.parametrize(("depth", "generations"), [(3, 9), (4, 9)])
def test_curve_is_the_scalar_network_of_infinite_width_for_every_variance(depth, generations):
    for norm in (0.3, 1.0, 2.0):  # one curve in s/τ and t·τ^{2−2/L}
        tau = norm ** (depth / 2)
        for ratio in (0.05, 1.0, 20.0):
            s = ratio * tau
            times = deep_mode_time(s, tau, s * np.array([0.02, 0.2, 0.5, 0.8, 0.98]), depth)
            exact = scalar_network(s, norm, np.append(0.0, times), Words.full(depth, generations))[1:]
            np.testing.assert_allclose(deep_mode_curve(s, tau, times, depth), exact, atol=1e-6 * s)


@pytest.mark.parametrize("depth", [3, 4, 5, 6])
def test_lazy_limit_far_below_the_threshold(depth):
    t = np.linspace(0.02, 1, 9)
    lazy = -np.expm1(-depth * t)
    np.testing.assert_allclose(deep_mode_curve(1e-3, 1.0, t, depth) / 1e-3, lazy, rtol=1e-4)  # corrections ∝ (s/τ)²
    np.testing.assert_allclose(deep_mode_curve(1e-6, 1.0, t, depth) / 1e-6, lazy, rtol=1e-8)  # below the table
    assert np.abs(deep_mode_curve(1.0, 1.0, t, depth) - lazy).max() > 0.03  # and it is a limit, not the curve


@pytest.mark.parametrize("depth", [3, 4, 5, 6])
def test_balanced_limit_far_above_the_threshold(depth):
    s = 1e5
    levels = s * np.array([0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
    times = deep_mode_time(s, 1.0, levels, depth)
    after_half = deep_balanced_time(s, levels[2], levels[3:], depth)
    # what σ²w leaves in the layers changes the rate by (τ/s)^{2/L} or less
    np.testing.assert_allclose(times[3:] - times[2], after_half, rtol=0.01)
    assert abs(deep_mode_time(2 * s, 1.0, s, depth) / times[2] - 0.5) < 0.01  # the escape takes 1/s


def test_balanced_time_is_the_integral_of_its_equation():
    for depth, s, m0, m in ((3, 2.0, 1e-4, 1.5), (4, 0.5, 1e-2, 0.49), (6, 3.0, 0.5, 2.9)):
        with mpmath.workdps(30):
            exact = mpmath.quad(
                lambda x, n=depth, top=s: 1 / (n * x ** (2 - mpmath.mpf(2) / n) * (top - x)),
                [m0, *np.geomspace(m0, m, 8)[1:-1], m],
            )
        assert abs(deep_balanced_time(s, m0, m, depth) / float(exact) - 1) < 1e-9


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 6])
def test_time_and_curve_are_inverse(depth):
    s = np.geomspace(1e-7, 1e9, 33)[:, None]
    levels = s * np.array([1e-12, 1e-6, 0.01, 0.5, 0.9, 1 - 1e-9])
    times = deep_mode_time(s, 1.0, levels, depth)
    assert np.all(np.diff(times, axis=1) > 0)
    # an escape within 10⁻⁴ of the time before it turns rounding of t into 10⁴ times as much of m
    np.testing.assert_allclose(deep_mode_curve(s, 1.0, times, depth), levels, rtol=1e-6)


def test_two_layers_are_the_mode_curve_and_one_is_an_exponential():
    t = np.array([0.0, 0.3, np.inf])
    np.testing.assert_array_equal(deep_mode_curve(2.0, 0.5, t, 2), ld.solutions.mode_curve(2.0, 0.5, t))
    np.testing.assert_allclose(deep_mode_curve(2.0, 0.5, t, 1), 2 * -np.expm1(-t))


@pytest.mark.parametrize("depth", [3, 6])
def test_ends_of_the_arguments(depth):
    assert deep_mode_curve([0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0], [1.0, 5.0, 0.0, np.inf], depth).tolist() == [
        0,
        0,
        0,
        1,
    ]
    assert deep_mode_time(1.0, [1.0, 0.0, 1.0], [0.0, 0.5, 1.0], depth).tolist() == [0.0, np.inf, np.inf]


@pytest.mark.parametrize(("depth", "tolerance"), [(3, 1e-9), pytest.param(5, 1e-4, marks=pytest.mark.slow)])
def test_table_is_what_its_words_give(depth, tolerance):
    one = (1.0,) * depth
    words = sufficient_words(depth, one, one, (0.3, 30.0), np.inf, tolerance)
    ratios = np.array([0.013, 0.37, 2.3, 71.0])  # not those of the table
    path = follow_modes(words, *(np.ones(depth),) * 2, ratios, level_grid(97))
    found = deep_mode_curve(ratios, 1.0, path.times, depth) / ratios
    assert np.abs(found + np.expm1(-level_grid(97))[:, None]).max() < max(ACCURACY[depth][0], 3 * tolerance)


@pytest.mark.slow  # the compilation
def test_curve_is_compiled_and_differentiated_by_jax():
    with jax.enable_x64(True):
        t = jnp.asarray([0.05, 0.2])
        np.testing.assert_allclose(
            jax.jit(lambda t: deep_mode_curve(3.0, 1.0, t, 3))(t), deep_mode_curve(3.0, 1.0, [0.05, 0.2], 3), rtol=1e-12
        )
        slope = jax.jit(jax.grad(lambda s: deep_mode_curve(s, 1.0, 0.1, 4)))(3.0)
        rise = deep_mode_curve([2.999, 3.001], 1.0, 0.1, 4)
        assert abs(slope / ((rise[1] - rise[0]) / 0.002) - 1) < 1e-5
        assert np.isnan(jax.jit(lambda s: deep_mode_curve(s, 1.0, 0.1, 1))(-1.0))


def test_threshold_of_layers():
    assert deep_threshold([0.2, 0.2, 0.2], [50, 50]) == pytest.approx(10**1.5)
    assert deep_threshold([0.1, 0.3], [50]) == pytest.approx(10.0)
    a, g, b = 2.0, 5.0, 3.0  # L = 3: rate ab + ag + bg at the start, 3τ^{4/3}
    assert deep_threshold([a / 7, g / 7, b / 7], [7, 7]) == pytest.approx(((a * b + a * g + b * g) / 3) ** 0.75)
    assert deep_threshold([1e-60] * 4, [10**6] * 3) == pytest.approx(1e-108)
    assert deep_threshold([0.0, 1.0, 0.0], [5, 5]) == 0.0 and deep_threshold([3.0], []) == 0.0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [((1.0, 1.0, -1.0, 3), "`time`"), ((1.0, -1.0, 1.0, 3), "`threshold`"), ((1.0, 1.0, 1.0, 7), "`depth`")],
)
def test_refusals(arguments, sentence):
    with pytest.raises(ld.InvalidArgument, match=sentence):
        deep_mode_curve(*arguments)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_scales_of_equal_layers_are_those_of_any_layers(depth):
    variance, width = 3e-4, 700
    tau, start = equal_layers(variance, width, depth)
    assert tau == pytest.approx(deep_threshold([variance] * depth, [width] * (depth - 1)), rel=1e-12)
    assert start == pytest.approx(start_variance([variance] * depth, [width] * (depth - 1)), rel=1e-12)
