"""What no task can be made of is refused in one sentence."""

import jax
import jax.numpy as jnp
import numpy as np

import lindyn as ld
from helpers.refusals import refused

NAN, INF = np.nan, np.inf
EYE, WIDE = np.eye(3), np.ones((3, 4))
TASK = ld.SpikedMatrix(target=EYE)
RECORD = np.zeros((2, 2), [("a", float), ("b", float)])


def fails(a):
    raise RuntimeError("line one\nline two")


TABLE = {
    "arrays": [
        (
            lambda: ld.SpikedMatrix(target=[[1.0, NAN], [INF, 2.0]]),
            "target",
            "2 of its 4 entries are NaN or infinite",
        ),
        (lambda: ld.SpikedMatrix(target=[1.0, 2.0]), "target", "its shape is (2,)"),
        (lambda: ld.SpikedMatrix(target=np.zeros((0, 3))), "target", "its shape is (0, 3)"),
        (lambda: ld.SpikedMatrix(target="abc"), "target", "array"),
        (lambda: ld.SpikedMatrix(target=[[1.0 + 2.0j]]), "target", "real"),
        (lambda: ld.SpikedMatrix(target=EYE, signal=WIDE), "signal", "have shape (3, 3), but its shape is (3, 4)"),
        (lambda: ld.SpikedMatrix(target=EYE, signal=NAN * EYE), "signal", "9 of its 9 entries"),
        (lambda: ld.Regression(WIDE, np.ones((4, 2))), "outputs", "one row for each of the 3 inputs, but it has 4"),
        (lambda: ld.Regression(NAN * WIDE, WIDE), "inputs", "12 of its 12 entries"),
        (lambda: ld.Regression(WIDE, INF * WIDE), "outputs", "12 of its 12 entries"),
        (lambda: ld.Regression(np.zeros((4, 3)), np.ones((4, 2))), "inputs", "zero"),
        (lambda: ld.Regression(WIDE, WIDE, signal=EYE), "signal", "(4, 4)"),
        (lambda: ld.Regression(WIDE, EYE, held_out=(WIDE, np.ones((2, 3)))), "held_out[1]", "(3, 3)"),
        (lambda: ld.Regression(WIDE, EYE, held_out=(EYE, EYE)), "held_out[0]", "(any, 4)"),
        (
            lambda: ld.SpikedMatrix(target=np.ma.masked_greater(EYE, 0)),
            "target",
            "3 of its 9 are masked; fill them",
        ),
        (lambda: ld.SpikedMatrix(target=RECORD), "target", "entries of type"),
        (lambda: ld.SpikedMatrix(target=np.zeros((2, 2), "M8[D]")), "target", "it holds dates"),
        (lambda: ld.SpikedMatrix(target=np.array([[1, None]], object)), "target", "it holds Python objects"),
        (lambda: ld.SpikedMatrix(target=[["1", "2"]]), "target", "it holds text"),
        (lambda: ld.SpikedMatrix(target=1e200 * EYE), "target", "below 2e+308"),
        (lambda: ld.SpikedMatrix(target=EYE, noise=2.0), "noise", "be left out beside `target`"),
        (lambda: ld.SpikedMatrix(target=EYE, scale=2.0), "scale", "be left out"),
        (lambda: ld.SpikedMatrix(target=EYE, key=1), "key", "be left out"),
        (lambda: ld.SpikedMatrix(target=EYE, dtype=np.float32), "dtype", "cast the target"),
        (lambda: ld.Regression(WIDE, EYE, held_out=3), "held_out", "be a pair (X, Y)"),
        (lambda: ld.Regression(WIDE, EYE, signal=np.ma.masked_less(WIDE, 2)), "signal", "12 of its 12 are masked"),
    ],
    "masks": [
        (lambda: ld.Completion([[INF, 1.0]]), "target", "infinite"),
        (lambda: ld.Completion([[NAN, NAN]]), "observed", "at least one entry"),
        (lambda: ld.Completion(EYE, np.ones((3, 4), bool)), "observed", "shape (3, 3)"),
        (lambda: ld.Completion(EYE, np.ones((3, 3))), "observed", "it is float64"),
        (lambda: ld.Completion([[NAN, 1.0]], np.ones((1, 2), bool)), "observed", "it covers a NaN"),
        (lambda: ld.Completion(EYE, held_out=np.zeros((3, 3), bool)), "held_out", "at least one entry"),
        (lambda: ld.Completion(EYE, signal=EYE, held_out=EYE > 0), "held_out", "both are given"),
        (lambda: ld.Completion([1.0, 2.0]), "target", "2-dimensional"),
        (lambda: ld.Completion.from_entries([0, 3], [0, 1], [1.0, 2.0], (2, 2)), "rows", "from 0 to 1, but it holds 3"),
        (lambda: ld.Completion.from_entries([0, 1], [0, -1], [1.0, 2.0], (2, 2)), "columns", "from 0 to 1"),
        (lambda: ld.Completion.from_entries([0, 1], [0, 1], [1.0], (2, 2)), "rows", "(1,)"),
        (lambda: TASK.observe(0.0), "fraction", "greater than 0"),
        (lambda: TASK.observe(1.5), "fraction", "at most 1"),
        (lambda: ld.Completion(EYE, EYE > 0, held_out=EYE > -1), "held_out", "3 entries are in both"),
        (lambda: ld.Completion(EYE, held_out=EYE > -1), "observed", "at least one entry"),
        (lambda: ld.Completion(np.ma.masked_all((2, 2))), "observed", "at least one entry"),
        (lambda: ld.Completion(np.ma.masked_greater(EYE, 0), EYE > 0), "observed", "it covers a NaN"),
        (lambda: ld.Completion.from_entries([0.5, 1], [0, 1], [1.0, 2.0], (2, 2)), "rows", "it holds 0.5"),
        (lambda: ld.Completion.from_entries([0, 0], [1, 1], [1.0, 2.0], (2, 2)), "rows", "(0, 1) comes more than once"),
        (lambda: ld.Completion.from_entries([True, False], [0, 1], [1.0, 2.0], (2, 2)), "rows", "it is a mask"),
        (lambda: ld.Completion.from_entries([0], [0], [1.0], (10**9, 10**9)), "shape", "GiB are available"),
    ],
    "sizes and numbers of tasks": [
        (lambda: ld.SpikedMatrix(dim=0, rank=1), "dim", "at least 1, but it is 0"),
        (lambda: ld.SpikedMatrix(dim=2.5, rank=1), "dim", "whole number"),
        (lambda: ld.SpikedMatrix(dim=5), "rank", "be given"),
        (lambda: ld.SpikedMatrix(dim=5, rank=6), "rank", "at most 5"),
        (lambda: ld.SpikedMatrix(dim=5, rank=0), "rank", "at least 1"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, singular_values=[1.0]), "rank", "instead of `singular_values`"),
        (lambda: ld.SpikedMatrix(dim=5, shape=(5, 5), rank=1), "dim", "instead of `shape`"),
        (lambda: ld.SpikedMatrix(rank=1), "dim", "pass dim=d"),
        (lambda: ld.SpikedMatrix(shape=(5, 5, 5), rank=1), "shape", "pair (d_out, d_in)"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, noise=-1), "noise", "at least 0, but it is -1"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, noise=NAN), "noise", "finite"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, scale=0), "scale", "greater than 0"),
        (lambda: ld.SpikedMatrix(dim=2, singular_values=[1.0, 2.0, 3.0]), "singular_values", "at most 2"),
        (lambda: ld.SpikedMatrix(dim=2, singular_values=[-1.0]), "singular_values", "-1"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, key=-1), "key", "at least 0"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, key="seed"), "key", "'seed'; pass a seed"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, dtype="int32"), "dtype", "float32 or float64, but it is 'int32'"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, dtype="float46"), "dtype", "'float46'"),
        (lambda: ld.SpikedMatrix(target=EYE, rank=1), "target", "given too"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, signal=EYE), "signal", "pass both"),
        (lambda: ld.CustomCost(lambda a: a, shape=3), "function", "real scalar"),
        (lambda: ld.CustomCost(lambda a: jnp.sum(a @ np.ones((7, 7))), shape=3), "function", "(3, 3)"),
        (lambda: ld.CustomCost(fails, shape=3), "function", "RuntimeError"),
        (lambda: ld.SpikedMatrix(dim=10**7, rank=1), "dim", "large-d theory"),
        (lambda: ld.SpikedMatrix(dim=10**20, rank=1), "dim", "at most 1000000000000000000"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, noise="1"), "noise", "be a number, but it is '1'"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, noise=True), "noise", "be a number, but it is True"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, noise=1e300), "noise", "a sum of squares below"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, scale=1e30, dtype="float32"), "scale", "a sum of squares below"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, key=1.5), "key", "be a seed or a numpy Generator, but it is 1.5"),
        (lambda: ld.SpikedMatrix(dim=5, rank=1, key=True), "key", "it is True"),
        (lambda: ld.CustomCost(3.0, shape=3), "function", "be a function of a matrix"),
    ],
    "matrices of another shape": [
        (lambda: TASK.train_error(np.ones((1, 3))), "matrix", "have shape (3, 3), but its shape is (1, 3)"),
        (lambda: TASK.test_error(np.ones((3, 1))), "matrix", "its shape is (3, 1)"),
        (lambda: TASK.cost(1.0), "matrix", "2-dimensional"),
        (lambda: ld.Regression(WIDE, EYE).gradient(EYE), "matrix", "have shape (3, 4)"),
        (lambda: ld.Completion(EYE).train_error(np.ones((1, 1))), "matrix", "its shape is (1, 1)"),
        (lambda: ld.CustomCost(jnp.sum, shape=3).cost(WIDE), "matrix", "its shape is (3, 4)"),
        (lambda: jax.jit(TASK.train_error)(jnp.ones((1, 3))), "matrix", "its shape is (1, 3)"),
    ],
}


@refused(TABLE)
def test_one_sentence_names_the_argument_and_the_remedy(refusal):
    refusal.check()
