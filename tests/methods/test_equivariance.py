"""Which optax rules act on the reduced factor, decided by trying them; and what happens to those that do not."""

import numpy as np
import optax
import pytest

import lindyn as ld
from helpers.reference import layers, target_of, worst
from helpers.torch_reference import squared_error, train
from lindyn.methods.equivariance import probe_equivariance

EQUIVARIANT = {
    "sgd": optax.sgd(0.1),
    "momentum": optax.sgd(0.1, momentum=0.9),
    "nesterov": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "global clip": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)),
    "decay": optax.sgd(optax.exponential_decay(0.1, 2, 0.5), momentum=0.5),
}
ELEMENTWISE = {
    "adam": optax.adam(0.1),
    "sign": optax.sign_sgd(0.1),
    # rules that act on large gradients only
    "element clip": optax.chain(optax.clip(10.0), optax.sgd(0.1)),
    "element clip, far": optax.chain(optax.clip(1e4), optax.sgd(0.1)),
    "unit clip": optax.chain(optax.adaptive_grad_clip(100.0), optax.sgd(0.1)),
}


@pytest.mark.parametrize("rule", EQUIVARIANT.values(), ids=EQUIVARIANT)
def test_equivariant_rules_are_recognised(rule):
    assert probe_equivariance(rule).equivariant


@pytest.mark.slow
@pytest.mark.parametrize("rule", ELEMENTWISE.values(), ids=ELEMENTWISE)
def test_elementwise_rules_are_recognised(rule):
    assert not probe_equivariance(rule).equivariant


@pytest.mark.slow
def test_a_rule_that_clips_elements_of_large_gradients_is_exact():
    """Gradients of size 100 clipped to 30 entry by entry, at full width, against the same written out in NumPy."""
    shape, target = (4, 7), 100 * target_of((4, 7))
    w1, w2 = layers(shape, 40)
    rule = optax.chain(optax.clip(30.0), optax.sgd(1e-4))
    run = ld.simulate(
        ld.TwoLayer.from_weights(w1, w2),
        ld.SpikedMatrix(target=target),
        ld.methods.Optimizer(rule=rule, steps=50),
        observables=["matrix"],
    )

    class ClippedDescent:
        def __init__(self, parameters):
            self.parameters = parameters

        def zero_grad(self):
            for p in self.parameters:
                p.grad = None

        def step(self):
            for p in self.parameters:
                p.data -= 1e-4 * p.grad.clamp(-30, 30)

    path, *_ = train(w1, w2, squared_error(target), ClippedDescent, 50)
    assert worst(run["matrix"], path) < 1e-10


@pytest.mark.slow
def test_the_deviation_is_a_number_of_rounding_for_equivariant_rules():
    assert probe_equivariance(optax.sgd(0.1, momentum=0.9)).deviation < 1e-13
    assert probe_equivariance(optax.adam(0.1)).deviation > 1e-3
    assert np.isfinite(probe_equivariance(optax.sign_sgd(0.1)).deviation)
