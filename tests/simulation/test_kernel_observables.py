"""Observables of the tangent kernel and of layers, against explicit Kronecker products and Hessians."""

import itertools

import jax
import numpy as np
import pytest

import lindyn as ld

RNG = np.random.default_rng(0)
TARGET = RNG.standard_normal((3, 4))
TASK = ld.SpikedMatrix(target=TARGET)
NAMES = ["ntk_distance", "kernel_alignment", "sharpness", "layer_singular_values", "imbalance", "gram_in", "gram_out"]


def layers_of(depth):
    sizes = (4, *(5,) * (depth - 1), 3)
    return [0.6 * RNG.standard_normal((b, a)) for a, b in itertools.pairwise(sizes)]


def kernel(layers):
    """Σ_l (S_lS_lᵀ) ⊗ (P_lᵀP_l) on row-major vec(G)."""
    total = 0
    for k in range(len(layers)):
        above, below = np.eye(3), np.eye(4)
        for w in layers[k + 1 :][::-1]:
            above = above @ w
        for w in layers[:k]:
            below = w @ below
        total = total + np.kron(above @ above.T, below.T @ below)
    return total


@pytest.mark.slow
def test_observables_are_those_of_explicit_matrices():
    depth = 3
    net = ld.DeepLinear.from_weights(layers_of(depth), generations=9, tolerance=np.inf)
    names = [*NAMES, *(f"w{k}" for k in range(1, depth + 1))]
    run = ld.simulate(net, TASK, ld.GradientDescent(learning_rate=0.05, steps=30), save_every=15, observables=names)
    start = kernel([run[f"w{k}"][0] for k in range(1, depth + 1)])
    for record in range(3):
        layers = [run[f"w{k}"][record] for k in range(1, depth + 1)]
        now = kernel(layers)
        cosine = (now * start).sum() / np.linalg.norm(now) / np.linalg.norm(start)
        assert abs(run["ntk_distance"][record] - (1 - cosine)) < 1e-12
        goal = TARGET.ravel()
        aligned = goal @ now @ goal / np.linalg.norm(now) / (goal @ goal)
        assert abs(run["kernel_alignment"][record] - aligned) < 1e-12
        first, last = np.linalg.multi_dot(layers[-2::-1]), np.linalg.multi_dot(layers[:0:-1])
        np.testing.assert_allclose(run["gram_in"][record], first.T @ first, atol=1e-13)
        np.testing.assert_allclose(run["gram_out"][record], last @ last.T, atol=1e-13)
        values = [np.linalg.svd(w, compute_uv=False)[:3] for w in layers]
        np.testing.assert_allclose(run["layer_singular_values"][record], values, atol=1e-12)
        gaps = [np.linalg.norm(a @ a.T - b.T @ b) for a, b in itertools.pairwise(layers)]
        np.testing.assert_allclose(run["imbalance"][record], gaps, rtol=1e-12)
        assert abs(run["sharpness"][record] / hessian(layers)[-1] - 1) < 1e-10


def hessian(layers):
    """Eigenvalues of the Hessian of ½‖A − T‖² over all entries of the layers, by automatic differentiation."""
    sizes = np.cumsum([0, *(w.size for w in layers)])

    def cost(flat):
        matrix = np.eye(4)
        for w, a, b in zip(layers, sizes, sizes[1:], strict=False):
            matrix = flat[a:b].reshape(w.shape) @ matrix
        return 0.5 * ((matrix - TARGET) ** 2).sum()

    with jax.enable_x64(True):
        return np.linalg.eigvalsh(jax.hessian(cost)(np.concatenate([w.ravel() for w in layers])))


@pytest.mark.slow
def test_sharpness_is_the_largest_eigenvalue_where_the_most_negative_is_larger():
    for _ in range(4):
        layers = [0.01 * w for w in layers_of(3)]  # near the saddle: eigenvalues ± almost the same
        layers[1] *= 60
        values = hessian(layers)
        net = ld.DeepLinear.from_weights(layers, generations=9, tolerance=np.inf)
        run = ld.simulate(net, TASK, ld.GradientDescent(learning_rate=0.05, steps=0), observables="sharpness")
        assert values[0] < -0.99 * values[-1]
        assert abs(run["sharpness"][0] / values[-1] - 1) < 1e-10


@pytest.mark.slow
def test_alignment_rises_from_a_small_start_and_stays_in_a_lazy_one():
    target = np.outer(np.arange(1.0, 5.0), np.ones(4)) / 5
    task = ld.SpikedMatrix(target=target)
    found = {}
    for name, scale, times in (("rich", 1e-3, [0.0, 3000.0]), ("lazy", 30.0, [0.0, 0.3])):
        net = ld.DeepLinear.orthogonal(4, depth=3, output_scale=scale)
        found[name] = ld.simulate(net, task, ld.Flow(), times=times, observables=["kernel_alignment", "train_error"])
    assert found["rich"]["kernel_alignment"][-1] > 2 * found["rich"]["kernel_alignment"][0]
    assert abs(np.ptp(found["lazy"]["kernel_alignment"])) < 0.01
