"""A tanh network that learns handwritten digits from 200 images, for a paper's claims beyond linear networks.

Four layers without biases, 64–100–100–100–10, start at weights c·N(0, 1/fan-in); images are centred and of length 8;
the cost is the mean squared error to one-hot labels; AdamW takes all 200 images at every step.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lindyn.papers.handwritten import digits
from lindyn.support.precision import working_precision
from lindyn.support.programs import run_compiled

RATE = 1e-3
_TRAINED, _EVERY = 200, 25
_KNOWS_TRAIN, _KNOWS_TEST = 0.95, 0.85


class Learned(NamedTuple):
    """When a network has learned the digits.

    Attributes:
        train_step: first record at which over 95 % of the training images are classified correctly; NaN if never.
        test_step: likewise 85 % of the others.
        steps: of each record.
        train_accuracy: at each record.
        test_accuracy: at each record.
    """

    train_step: float
    test_step: float
    steps: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray


def learn(scale: float, decay: float, most_steps: int, *, seed: int = 0, width: int = 100) -> Learned:
    """Train until both accuracies are reached, or to the last step.

    Args:
        scale: c.
        decay: AdamW's weight decay; a step shrinks every weight by the share RATE·decay.
        most_steps: where to stop at the latest.
        seed: of the split and the weights.
        width: of the hidden layers.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    (images, labels), rng = digits(174, norm=8.0), np.random.default_rng(seed)
    order, sides = rng.permutation(len(labels)), [images.shape[1], width, width, width, 10]
    layers = tuple(
        (scale * rng.standard_normal((above, below)) / math.sqrt(below)).astype(np.float32)
        for below, above in pairwise(sides)
    )
    with working_precision(np.float32):
        x, y = jnp.asarray(images[order], jnp.float32), jnp.asarray(labels[order])
        shrink = jnp.asarray(decay, jnp.float32)
        state = (layers, optax.adamw(RATE).init(layers))
        records = []
        for step in range(0, most_steps + 1, _EVERY):
            state = run_compiled(_advance, state, x[:_TRAINED], y[:_TRAINED], shrink, _EVERY) if step else state
            right = np.asarray(run_compiled(_right, state[0], x, y))
            records.append((step, right[:_TRAINED].mean(), right[_TRAINED:].mean()))
            if records[-1][1] > _KNOWS_TRAIN and records[-1][2] > _KNOWS_TEST:
                break
    steps, train, test = np.array(records).T
    return Learned(_first(steps, train > _KNOWS_TRAIN), _first(steps, test > _KNOWS_TEST), steps, train, test)


def _output(layers: Any, x: Any) -> Any:
    for layer in layers[:-1]:
        x = jnp.tanh(x @ layer.T)
    return x @ layers[-1].T


def _right(layers: Any, x: Any, y: Any) -> Any:
    return jnp.argmax(_output(layers, x), axis=1) == y


def _advance(state: Any, x: Any, y: Any, decay: Any, count: int) -> Any:
    rule, wanted = optax.adamw(RATE, weight_decay=decay), jax.nn.one_hot(y, 10)

    def step(_: int, state: Any) -> Any:
        layers, memory = state
        slope = jax.grad(lambda w: jnp.mean((_output(w, x) - wanted) ** 2))(layers)
        change, memory = rule.update(slope, memory, layers)
        return optax.apply_updates(layers, change), memory

    return jax.lax.fori_loop(0, count, step, state)


def _first(steps: np.ndarray, reached: np.ndarray) -> float:
    return float(steps[int(np.argmax(reached))]) if reached.any() else math.nan
