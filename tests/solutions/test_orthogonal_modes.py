"""Modes from orthogonal layers against integration of the layers themselves by SciPy."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import lindyn as ld
from lindyn.solutions import mode_curve, mode_time, orthogonal_kernel, orthogonal_mode_curve, orthogonal_mode_time


def layers_at(s, tau, time, depth):
    """Layers of a net of one input and output and two hidden units, from orthogonal ones of product size τ."""
    size = tau ** (1 / depth)
    start = [size * np.eye(2)[:, :1], *[size * np.eye(2)] * (depth - 2), size * np.eye(2)[1:]]
    shapes = [w.shape for w in start]
    ends = np.cumsum([w.size for w in start])[:-1]

    def unpack(flat):
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]

    def motion(_, flat):
        slopes, product = slopes_of(unpack(flat))
        return np.concatenate([(s - product) * g.ravel() for g in slopes])

    run = solve_ivp(motion, [0, time], np.concatenate([w.ravel() for w in start]), rtol=1e-10, atol=1e-13 * size)
    return unpack(run.y[:, -1])


def slopes_of(layers):
    """∂A/∂W_l of each layer, and A."""
    slopes = []
    for k in range(len(layers)):
        above, below = np.eye(1), np.eye(1)
        for w in reversed(layers[k + 1 :]):
            above = above @ w
        for w in layers[:k]:
            below = w @ below
        slopes.append(above.T @ below.T)
    product = np.eye(1)
    for w in layers:
        product = w @ product
    return slopes, product[0, 0]


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize(("s", "tau"), [(1.0, 5.0), (2.0, 0.7), (1.0, 1e-3)])
def test_curve_and_kernel_are_those_of_the_layers(s, tau, depth):
    for share in (0.1, 0.7):
        time = float(orthogonal_mode_time(s, tau, share * s, depth))
        slopes, learned = slopes_of(layers_at(s, tau, time, depth))
        # the integration to 1e-10 a step is good to 1e-8, and its error grows as the escape e^{…} does
        assert learned == pytest.approx(share * s, rel=3e-6)
        kernel = sum(float(np.sum(g**2)) for g in slopes)
        assert kernel == pytest.approx(float(orthogonal_kernel(learned, tau, depth)), rel=1e-7)


def test_two_layers_have_the_mode_curve_and_its_kernel():
    for s, tau in ((3.0, 0.1), (1.0, 1.0), (0.1, 3.0), (1.0, 1e-6)):
        times = np.logspace(-3, 3, 30) / np.hypot(s, tau)
        np.testing.assert_allclose(  # the interpolation is said to be off by 1e-7 s
            orthogonal_mode_curve(s, tau, times, 2), mode_curve(s, tau, times), atol=1e-7 * s
        )
        levels = s * np.array([1e-3, 0.3, 0.5, 0.999])
        np.testing.assert_allclose(orthogonal_mode_time(s, tau, levels, 2), mode_time(s, tau, levels), rtol=1e-6)
        learned = np.logspace(-6, 6, 30) * tau
        np.testing.assert_allclose(orthogonal_kernel(learned, tau, 2), 2 * np.hypot(learned, tau), rtol=1e-8)


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_the_kernel_goes_from_its_lazy_to_its_rich_limit(depth):
    lazy, rich = (float(orthogonal_kernel(m, 1.0, depth)) for m in (0.0, 1e12))
    assert lazy == pytest.approx(depth, rel=1e-12)
    assert rich == pytest.approx(depth * 1e12 ** (2 - 2 / depth), rel=depth * 1e12 ** (-2 / depth))


@pytest.mark.parametrize(("depth", "constant"), [(3, 1.1997), (4, 0.6392), (6, 0.3364)])
def test_the_escape_takes_a_constant_times_gamma_over_s(depth, constant):
    gamma, s = 1e9, 0.5
    steps = float(orthogonal_mode_time(s, 1 / gamma, s / 2, depth)) * gamma ** (2 / depth)
    assert steps * s / gamma == pytest.approx(constant, rel=3e-3)  # the limit is approached as γ^{2/L−1}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: orthogonal_kernel(1.0, 0.0, 3), "threshold"),
        (lambda: orthogonal_kernel(1.0, 1.0, 1), "depth"),
        (lambda: orthogonal_kernel(-1.0, 1.0, 3), "learned"),
        (lambda: orthogonal_mode_time(1.0, 1.0, 1.0, 3), "level"),
        (lambda: orthogonal_mode_curve(1.0, 1.0, -1.0, 3), "time"),
        (lambda: orthogonal_mode_curve(1.0, 1e-14, 1.0, 3), "singular_value"),
    ],
)
def test_arguments_out_of_range_are_refused(call, name):
    with pytest.raises(ld.InvalidArgument, match=f"`{name}`"):
        call()
