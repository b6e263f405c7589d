"""Hidden units that training can reach: given weights compressed to them, and Gaussian weights drawn on them alone.

`lindyn.solutions.words` tells which directions of each hidden layer training moves. `compress` finds them for given
weights, word by word, by orthogonal projection. `draw` never has the weights: it reveals each Gaussian W_l on the
directions reached so far (7.2). A step of a word *explores* a direction: a column v of W_l (W_l v becomes known) or a
row u (W_lᵀu becomes known). The entries of a new column on rows not yet explored are fresh N(0, 1); on explored rows
they are known already (zero, or the triangle that made v); what is left spans new directions of layer l, whose
coordinates are an upper triangle of N(0, 1) with diagonal √χ²(w_l − n_l − i), n_l directions being known. Rows are
the transpose. So the law is exact at any width, and the width is a parameter of a χ² distribution and nothing else.

A set of words and the set with one generation more give nested draws: every block of random numbers is keyed by its
pair of words, whatever comes after it. This is how the error of a cut-off is measured.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from lindyn.solutions.words import INPUTS, OUTPUTS, Words
from lindyn.support.linalg import rounding_floor
from lindyn.support.values import Value

Layers = tuple[Float[np.ndarray, "rows columns"], ...]


class Reached(NamedTuple):
    """Layers on the directions that words reach.

    Attributes:
        layers: W_1 … W_L on them.
        directions: how many directions each word adds to its layer.
        frames: for each hidden layer, orthonormal rows that span them (r_l, w_l); None where they were drawn.
    """

    layers: Layers
    directions: tuple[int, ...]
    frames: tuple[Float[np.ndarray, "r w"] | None, ...]


def compress(words: Words, weights: Layers) -> Reached:
    """Return given weights on the directions that words reach.

    Args:
        words: which.
        weights: W_1 … W_L, full.

    References:
        theory (7.1).

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> weights = tuple(rng.standard_normal(s) for s in ((50, 2), (40, 50), (3, 40)))
        >>> [layer.shape for layer in compress(Words.full(3, 1), weights).layers]
        [(5, 2), (5, 5), (3, 5)]
    """
    depth, dtype = words.depth, weights[0].dtype
    sizes = (weights[0].shape[1], *(w.shape[0] for w in weights))
    spans = [np.zeros((size, 0), dtype) for size in sizes]
    own = {INPUTS: np.eye(sizes[0], dtype=dtype), OUTPUTS: np.eye(sizes[-1], dtype=dtype)}
    spans[0], spans[-1] = own[INPUTS], own[OUTPUTS]
    directions = [sizes[0], sizes[-1]]
    for step in words.steps():
        layer = words.layer[step.child]
        carrier = weights[step.matrix - 1] if step.up else weights[step.matrix - 1].T
        fresh = _beyond(spans[layer], carrier @ own[step.parent])
        own[step.child] = fresh
        directions.append(fresh.shape[1])
        spans[layer] = np.concatenate([spans[layer], fresh], axis=1)
    layers = tuple(spans[k + 1].T @ w @ spans[k] for k, w in enumerate(weights))
    return Reached(layers, tuple(directions), tuple(spans[k].T for k in range(1, depth)))


def _beyond(span: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of what vectors add to a span, without what is rounding."""
    if vectors.shape[1] == 0 or span.shape[1] >= span.shape[0]:
        return np.zeros((span.shape[0], 0), span.dtype)
    size = np.linalg.norm(vectors, axis=0).max(initial=0.0)
    rest = vectors - span @ (span.T @ vectors)
    rest -= span @ (span.T @ rest)  # twice is enough: what the first pass left of the span is rounding
    u, s, _ = np.linalg.svd(rest, full_matrices=False)
    fresh = u[:, s > rounding_floor(4 * size, rest.shape, rest.dtype)]
    fresh = fresh[:, : span.shape[0] - span.shape[1]]
    fresh = fresh - span @ (span.T @ fresh)
    return np.linalg.qr(fresh)[0]


def draw(words: Words, widths: tuple[int, ...], entropy: int) -> Reached:
    """Draw layers of iid N(0, 1) weights on the directions that words reach, exactly in law, at any width.

    Args:
        words: which.
        widths: w_0 = d_in, w_1, …, w_L = d_out.
        entropy: of the random numbers, below 2⁶⁴.

    References:
        theory (7.2).

    Examples:
        >>> drawn = draw(Words.full(3, 1), (2, 10**15, 10**15, 3), entropy=1)
        >>> [layer.shape for layer in drawn.layers]
        [(5, 2), (5, 5), (3, 5)]
    """
    spans = _Spans(words, widths)
    layers = [np.zeros((0, 0))] * words.depth
    blocks: list[dict[tuple[int, int], np.ndarray]] = [{} for _ in range(words.depth)]
    explored_up, explored_down = {OUTPUTS}, {INPUTS}
    for step in words.steps():
        matrix, parent = step.matrix - 1, step.parent
        done, other = (explored_up, explored_down) if step.up else (explored_down, explored_up)
        for word in spans.words_at(step.matrix if step.up else step.matrix - 1):
            if word not in other:
                pair = (word, parent) if step.up else (parent, word)
                _fill(blocks[matrix], pair, spans, entropy, matrix)
        done.add(parent)
        layer = words.layer[step.child]
        freedom = widths[layer] - spans.reached[layer]
        size = spans.sizes[parent]
        triangle = _triangle(min(size, freedom), size, freedom, _stream(entropy, matrix, step.child, parent))
        spans.add(step.child, triangle.shape[0])
        pair = (step.child, parent) if step.up else (parent, step.child)
        blocks[matrix][pair] = triangle if step.up else triangle.T
    for matrix in range(words.depth):
        for row in spans.words_at(matrix + 1):
            for column in spans.words_at(matrix):
                if row not in explored_down and column not in explored_up:
                    _fill(blocks[matrix], (row, column), spans, entropy, matrix)
        layers[matrix] = spans.assembled(matrix, blocks[matrix])
    return Reached(tuple(layers), tuple(spans.sizes), (None,) * (words.depth - 1))


class _Spans:
    """Which directions of each layer are known, word by word."""

    def __init__(self, words: Words, widths: tuple[int, ...]):
        self._layer = words.layer
        self._at: list[list[int]] = [[] for _ in widths]
        self.reached = [0] * len(widths)
        self.sizes: list[int] = []
        self.add(INPUTS, widths[0])
        self.add(OUTPUTS, widths[-1])

    def add(self, word: int, size: int) -> None:
        layer = self._layer[word]
        self._at[layer].append(word)
        self.reached[layer] += size
        self.sizes.append(size)

    def words_at(self, layer: int) -> list[int]:
        return self._at[layer]

    def assembled(self, matrix: int, blocks: dict[tuple[int, int], np.ndarray]) -> np.ndarray:
        rows, columns = self._at[matrix + 1], self._at[matrix]
        out = np.zeros((self.reached[matrix + 1], self.reached[matrix]))
        row_at = dict(zip(rows, np.cumsum([0, *(self.sizes[w] for w in rows)]), strict=False))
        column_at = dict(zip(columns, np.cumsum([0, *(self.sizes[w] for w in columns)]), strict=False))
        for (row, column), block in blocks.items():
            i, j = row_at[row], column_at[column]
            out[i : i + block.shape[0], j : j + block.shape[1]] = block
        return out


def _fill(
    blocks: dict[tuple[int, int], np.ndarray], pair: tuple[int, int], spans: _Spans, entropy: int, matrix: int
) -> None:
    """Reveal fresh N(0, 1) entries between two words."""
    size = spans.sizes[pair[0]], spans.sizes[pair[1]]
    blocks[pair] = _stream(entropy, matrix, *pair).standard_normal(size)


def _stream(entropy: int, matrix: int, row: int, column: int) -> np.random.Generator:
    """Random numbers of one pair of words of one layer, whatever else is drawn."""
    return np.random.Generator(np.random.Philox(key=[entropy, (matrix << 52) | (row << 26) | column]))


def _triangle(rows: int, columns: int, freedom: int, rng: np.random.Generator) -> Float[np.ndarray, "rows columns"]:
    """Coordinates of `columns` Gaussian vectors of dimension `freedom` in the basis that they make themselves.

    Fewer dimensions than vectors (a bottleneck): the space is used up, and its basis is free to be the standard one.
    """
    gaussian = rng.standard_normal((rows, columns))
    if rows < columns:
        return gaussian
    upper = np.triu(gaussian, 1)
    diagonal = np.arange(rows)
    upper[diagonal, diagonal] = np.sqrt(rng.chisquare(float(freedom) - diagonal))
    return upper


class Recipe(abc.ABC):
    """Where reduced layers come from, so that more directions can be revealed, and the rest of the weights."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in) of A."""

    @abc.abstractmethod
    def reach(self, words: Words) -> Reached:
        """Return the layers on the directions that words reach; more words extend the layers of fewer."""

    @abc.abstractmethod
    def scaled(self, factors: tuple[float, ...]) -> Recipe:
        """Return the recipe of the same weights, each layer multiplied by a factor."""

    @abc.abstractmethod
    def beyond(
        self, words: Words, reached: Reached, frames: tuple[np.ndarray, ...], rng: np.random.Generator
    ) -> Layers:
        """Return what the full layers have beyond the reached directions, where training never looks."""


@dataclass(frozen=True, eq=False)
class GivenWeights(Value, Recipe):
    """Given weights W_1 … W_L."""

    weights: Layers

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in) of A."""
        return self.weights[-1].shape[0], self.weights[0].shape[1]

    def reach(self, words: Words) -> Reached:
        """Compress the weights (7.1)."""
        return compress(words, self.weights)

    def scaled(self, factors: tuple[float, ...]) -> GivenWeights:
        """Multiply each layer by a factor."""
        return GivenWeights(tuple(w * w.dtype.type(f) for w, f in zip(self.weights, factors, strict=True)))

    def beyond(
        self, words: Words, reached: Reached, frames: tuple[np.ndarray, ...], rng: np.random.Generator
    ) -> Layers:
        """Return W_l − Q_lᵀQ_lW_lQ_{l−1}ᵀQ_{l−1}."""
        del words, reached, rng
        return tuple(
            w - _project_rows(above, _project_rows(below, w.T).T)
            for w, below, above in zip(self.weights, (None, *frames), (*frames, None), strict=True)
        )


@dataclass(frozen=True, eq=False)
class GaussianWeights(Value, Recipe):
    """Weights drawn from N(0, deviation_l²), of widths w_0 = d_in, w_1, …, w_L = d_out."""

    widths: tuple[int, ...]
    deviations: tuple[float, ...]
    entropy: int

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in) of A."""
        return self.widths[-1], self.widths[0]

    def reach(self, words: Words) -> Reached:
        """Draw the layers (7.2)."""
        drawn = draw(words, self.widths, self.entropy)
        layers = tuple(w * s for w, s in zip(drawn.layers, self.deviations, strict=True))
        return drawn._replace(layers=layers)

    def scaled(self, factors: tuple[float, ...]) -> GaussianWeights:
        """Multiply each deviation by a factor."""
        return replace(self, deviations=tuple(s * f for s, f in zip(self.deviations, factors, strict=True)))

    def beyond(
        self, words: Words, reached: Reached, frames: tuple[np.ndarray, ...], rng: np.random.Generator
    ) -> Layers:
        """Draw what is left: fresh numbers, except in explored columns and rows and among the reached directions."""
        spans = (np.eye(self.widths[0]), *frames, np.eye(self.widths[-1]))
        explored = {(step.matrix, step.up, step.parent) for step in words.steps()}
        rest = []
        for matrix, deviation in enumerate(self.deviations, start=1):
            rows, columns = (self._split(words, reached, explored, matrix, spans, up=up) for up in (False, True))
            fresh = rng.standard_normal((self.widths[matrix], self.widths[matrix - 1]))
            fresh = fresh - _project_rows(rows.known, fresh)
            fresh = fresh - _project_rows(columns.known, fresh.T).T
            among = _project_rows(rows.open, _project_rows(columns.open, fresh.T).T)
            rest.append(deviation * (fresh - among))
        return tuple(rest)

    def _split(
        self, words: Words, reached: Reached, explored: set[Any], matrix: int, spans: tuple[Any, ...], *, up: bool
    ) -> _Split:
        """Explored and unexplored directions of the columns (`up`) or rows of one layer."""
        layer = matrix - 1 if up else matrix
        here = [w for w, end in enumerate(words.layer) if end == layer]
        known = np.concatenate(
            [np.full(reached.directions[w], (matrix, up, w) in explored) for w in here] or [np.zeros(0, bool)]
        )
        return _Split(spans[layer][known], spans[layer][~known])


class _Split(NamedTuple):
    """Orthonormal rows: directions along which a layer is known, and reached ones along which it is not."""

    known: Float[np.ndarray, "k w"]
    open: Float[np.ndarray, "m w"]


def _project_rows(frame: np.ndarray | None, matrix: np.ndarray) -> np.ndarray:
    """Project the columns of a matrix on the rows of a frame; None stands for all of the space."""
    return matrix if frame is None else frame.T @ (frame @ matrix)
