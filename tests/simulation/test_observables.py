"""Observables against NumPy on the recorded layers and matrices."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lindyn as ld
from helpers.reference import layers, matrix_with, relative, roots, target_of
from lindyn.simulation.observables import BUILT_IN, State
from lindyn.support.precision import working_precision

SHAPE = (3, 4)
TARGET, SIGNAL = target_of(SHAPE), np.outer([1.0, 1.0, 0.0], [1.0, -1.0, 2.0, 0.0])
TASK = ld.SpikedMatrix(target=TARGET, signal=SIGNAL)
TAU = 0.4


def observed(function, matrix, **fields):
    """Evaluate a built-in observable on a bare state."""
    blank = dict.fromkeys(("layers", "kernel_terms", "time", "task"), None)
    with working_precision(np.float64):
        state = State(jnp.asarray(matrix), **{**blank, "threshold": TAU, **fields})
        return np.asarray(function.function(state))


@pytest.fixture(scope="module")
def network_run():
    """A network of width 20 with everything recorded, layers included."""
    net = ld.TwoLayer.from_weights(*layers(SHAPE, 20))
    method = ld.GradientDescent(learning_rate=0.02, steps=40)
    names = [*BUILT_IN, ld.simulation.alignment(TARGET, rank=2)]
    return ld.simulate(net, TASK, method, save_every=10, observables=names)


@pytest.fixture(scope="module")
def layer_pairs(network_run):
    return list(zip(network_run["w1"], network_run["w2"], strict=True))


@pytest.mark.slow
def test_errors_and_singular_values(network_run):
    matrices = network_run["matrix"]
    assert network_run["train_error"] == pytest.approx(np.mean((matrices - TARGET) ** 2, axis=(1, 2)))
    assert network_run["test_error"] == pytest.approx(np.mean((matrices - SIGNAL) ** 2, axis=(1, 2)))
    assert network_run["cost"] == pytest.approx(0.5 * np.sum((matrices - TARGET) ** 2, axis=(1, 2)))
    values = np.linalg.svd(matrices, compute_uv=False)
    assert network_run["singular_values"] == pytest.approx(values)
    assert network_run["stable_rank"] == pytest.approx(np.sum(matrices**2, axis=(1, 2)) / values[:, 0] ** 2)
    share = values / values.sum(axis=1, keepdims=True)
    assert network_run["effective_rank"] == pytest.approx(np.exp(-np.sum(share * np.log(share), axis=1)))


@pytest.mark.slow
def test_activity_uses_the_threshold(network_run):
    values, tau = network_run["singular_values"], network_run.info.threshold
    assert network_run["activity"] == pytest.approx(values / np.sqrt(values**2 + tau**2))


def test_balancedness_and_imbalance_drift(network_run, layer_pairs):
    def imbalance(w1, w2):
        return w1 @ w1.T - w2.T @ w2

    size = [np.sum(w1**2) + np.sum(w2**2) for w1, w2 in layer_pairs]
    now = [np.linalg.norm(imbalance(*p)) / s for p, s in zip(layer_pairs, size, strict=True)]
    drift = [ld.networks.imbalance_drift(pair, layer_pairs[0]) for pair in layer_pairs]
    assert network_run["balancedness"] == pytest.approx(np.array(now))
    assert network_run["imbalance_drift"] == pytest.approx(np.array(drift), abs=1e-15)


def tangent_kernel(gram_in, gram_out):
    """The matrix, of order d_out d_in, of G ↦ C2 G + G C1 on row-major vectors."""
    return np.kron(gram_out, np.eye(len(gram_in))) + np.kron(np.eye(len(gram_out)), gram_in.T)


@pytest.mark.slow
def test_kernel_drift_of_a_network_against_the_kernel_built_from_its_jacobian(network_run, layer_pairs):
    """Θ = JJᵀ with J the derivative of A by all weights, entry by entry."""

    def kernel(w1, w2):
        columns = []
        for k in range(len(w1)):
            columns += [np.outer(w2[:, k], np.eye(4)[j]).ravel() for j in range(4)]  # ∂A/∂W1[k, j]
            columns += [np.outer(np.eye(3)[i], w1[k]).ravel() for i in range(3)]  # ∂A/∂W2[i, k]
        jacobian = np.array(columns).T
        return jacobian @ jacobian.T

    kernels = [kernel(*pair) for pair in layer_pairs]
    drift = [np.linalg.norm(k - kernels[0]) / np.linalg.norm(kernels[0]) for k in kernels]
    assert drift[-1] > 0.1
    assert network_run["ntk_drift"] == pytest.approx(np.array(drift), abs=1e-14)


def test_kernel_drift_of_the_formula_is_counted_from_time_zero():
    for times in ([0.0, 0.5, 1.0], [0.5, 1.0]):
        run = ld.simulate(ld.Mixed(TAU), TASK, times=times, observables=["ntk_drift", "matrix"])
        start = tangent_kernel(TAU * np.eye(4), TAU * np.eye(3))
        kernels = [tangent_kernel(*reversed(roots(a, TAU))) for a in run["matrix"]]
        expected = [np.linalg.norm(k - start) / np.linalg.norm(start) for k in kernels]
        assert run["ntk_drift"] == pytest.approx(np.array(expected), abs=1e-14)


def test_drifts_are_counted_from_step_zero_whichever_steps_are_saved():
    net = ld.TwoLayer.from_weights(*layers(SHAPE, 20))
    method = ld.GradientDescent(learning_rate=0.02, steps=20)
    names = ["ntk_drift", "imbalance_drift"]
    every, late = (ld.simulate(net, TASK, method, save_every=s, observables=names) for s in ([0, 10, 20], [10, 20]))
    for name in names:
        assert late[name] == pytest.approx(every[name][1:])


def test_alignment_of_known_subspaces():
    reference = np.diag([3.0, 2.0, 1.0])[:, :3]
    swapped = np.diag([3.0, 1.0, 2.0])  # the second leading pair is the reference's third
    turned = np.diag([3.0, 2.0, 1.0])[:, [1, 0, 2]]  # U as the reference's, V within the leading plane
    two = ld.simulation.alignment(reference, rank=2)
    assert observed(two, reference) == pytest.approx([1, 1])
    assert observed(two, swapped) == pytest.approx([1, 0], abs=1e-12)
    assert observed(two, turned) == pytest.approx([1, 1])
    assert observed(ld.simulation.alignment(np.outer([1.0, 0, 0], [1.0, 0, 0])), turned).shape == (1,)


def test_alignment_of_a_random_matrix_has_its_mean():
    """A random K-plane in d dimensions contains K/d of a direction's square, on each side."""
    rng = np.random.default_rng(1)
    observable = ld.simulation.alignment(matrix_with([2.0, 1.0], (20, 30), rng))
    seen = [observed(observable, rng.standard_normal((20, 30))) for _ in range(40)]
    assert np.mean(np.square(seen)) == pytest.approx(2 / 20 * 2 / 30, rel=0.35)


def test_alignment_of_the_run_is_recorded_under_its_name(network_run):
    u, _, vt = np.linalg.svd(TARGET)
    a_u, _, a_vt = np.linalg.svd(network_run["matrix"][-1])
    expected = np.linalg.norm(a_u[:, :2].T @ u[:, :2], axis=0) * np.linalg.norm(a_vt[:2] @ vt[:2].T, axis=0)
    assert network_run["alignment"][-1] == pytest.approx(expected)


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(1, 3))
def test_ranks_of_matrices_with_equal_singular_values(seed, rank):
    a = matrix_with([2.0] * rank, SHAPE, np.random.default_rng(seed))
    assert observed(BUILT_IN["stable_rank"], a) == pytest.approx(rank)
    assert observed(BUILT_IN["effective_rank"], a) == pytest.approx(rank)


def test_ranks_and_activity_of_zero_are_zero():
    zero = np.zeros(SHAPE)
    assert observed(BUILT_IN["stable_rank"], zero) == 0
    assert observed(BUILT_IN["effective_rank"], zero) == 0
    assert np.all(observed(BUILT_IN["activity"], zero, threshold=0.0) == 0)


def test_distance_to_another_run():
    times = [0.0, 0.3, 1.0]
    mixed = ld.simulate(ld.Mixed(TAU), TASK, times=times, observables=["matrix"])
    lazy = ld.simulate(ld.Lazy(TAU), TASK, times=times, observables=["matrix", ld.simulation.distance_to(mixed)])
    expected = np.mean((lazy["matrix"] - mixed["matrix"]) ** 2, axis=(1, 2))
    assert expected[-1] > 0
    assert lazy["distance"] == pytest.approx(expected)
    with pytest.raises(ld.InvalidArgument, match=r"state at time 0\.7"):
        ld.simulate(ld.Lazy(TAU), TASK, times=[0.0, 0.7], observables=[ld.simulation.distance_to(mixed)])


def test_users_add_functions_of_the_state():
    def trace(state):
        """Trace of the kernel."""
        return 4 * jnp.trace(state.gram_out) + 3 * jnp.trace(state.gram_in)

    column = ld.simulation.Observable("first_column", lambda s: s.matrix[:, 0], ("row",), "first column of A", "target")
    run = ld.simulate(ld.Mixed(TAU), TASK, times=[0.0, 1.0], observables=[trace, column, "matrix"])
    assert run["trace"][0] == pytest.approx(TAU * 24)
    assert relative(run["first_column"], run["matrix"][:, :, 0]) < 1e-15
    assert run.variables["trace"].description == "Trace of the kernel."
    assert run.to_xarray()["first_column"].dims == ("time", "row")


def test_the_top_singular_values_only():
    run = ld.simulate(ld.Mixed(TAU), TASK, times=[0.0, 1.0], observables=[ld.simulation.singular_values(2), "matrix"])
    expected = np.linalg.svd(run["matrix"], compute_uv=False)[:, :2]
    assert run["singular_values"] == pytest.approx(expected, abs=1e-15)


def test_weight_decay_lowers_the_threshold_that_observables_see():
    system = ld.Mixed(TAU, weight_decay=0.5)
    method = ld.GradientDescent(learning_rate=0.05, steps=20)
    run = ld.simulate(system, TASK, method, observables=["activity", "singular_values"])
    values = run["singular_values"]
    assert run["activity"] == pytest.approx(values / np.hypot(values, TAU * np.exp(-run.time[:, None])), abs=1e-12)
