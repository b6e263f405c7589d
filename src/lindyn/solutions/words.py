"""The tree of words by which training reaches the hidden units of a Gaussian network of any depth.

The step of W_l moves it along (W_L ⋯ W_{l+1})ᵀ G (W_{l−1} ⋯ W_1)ᵀ. So training leaves fixed every direction of hidden
layer l outside the smallest subspaces S_l that hold the images of the inputs (ran W_1 ⊂ S_1) and of the outputs
(ran W_Lᵀ ⊂ S_{L−1}) and are closed under every W_l and W_lᵀ (7.1). They are reached by *words*: walks on the layers
0, 1, …, L that begin at the inputs (layer 0) or at the outputs (layer L), go up by W_l and down by W_lᵀ, and stay
within the hidden layers 1 … L − 1. W_lᵀ does not undo W_l (W_lᵀW_l is not the identity of a Gaussian layer): each
step, the step back included, reaches a new direction.

A word of g + 1 steps is of generation g. Words of g steps come into A(t) with the g-th power of the training time
over g!, or so: cut off after g generations, the error falls faster than exponentially in g.

At infinite width every word is a direction of its own and the layers are sparse matrices of known entries, "up" one
and "down" one (7.3): a scalar network, from which the deep mode curves come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

INPUTS, OUTPUTS = 0, 1  # the two words of no step: all of layer 0 and all of layer L


class Step(NamedTuple):
    """The last step of a word: `parent` is carried by W_l (up) or W_lᵀ (down) to `child`; l is `matrix`."""

    child: int
    parent: int
    matrix: int
    up: bool


@dataclass(frozen=True)
class Words:
    """A set of words that holds the beginning of each of its words, in the order in which they are reached.

    Attributes:
        depth: L, number of layers of weights.
        layer: layer 0 … L at which each word ends; words 0 and 1 are the inputs and the outputs.
        parent: the word without its last step; −1 for words 0 and 1.
        generation: steps less one; −1 for words 0 and 1.

    References:
        theory (7.1).

    Examples:
        >>> Words.full(depth=3, generations=2)
        Words(depth=3, generations=2, words a hidden layer: 3, 3)
        >>> Words.full(depth=2, generations=0).counts  # inputs and outputs: two layers need no more
        (2,)
    """

    depth: int
    layer: tuple[int, ...]
    parent: tuple[int, ...]
    generation: tuple[int, ...]

    @staticmethod
    def roots(depth: int) -> Words:
        """Return the two words of no step."""
        return Words(depth, (0, depth), (-1, -1), (-1, -1))

    @staticmethod
    def full(depth: int, generations: int) -> Words:
        """Return all words of at most `generations` + 1 steps."""
        words = Words.roots(depth)
        for _ in range(generations + 1):
            words = words.grown()
        return words

    def grown(self) -> Words:
        """Return these words and every word that is one step longer than one of them.

        Examples:
            >>> Words.full(4, 2).grown() == Words.full(4, 3)
            True
        """
        layer, parent, generation = list(self.layer), list(self.parent), list(self.generation)
        have = {(p, layer[c]) for c, p in enumerate(parent)}
        for word in range(len(self.layer)):
            for end in (layer[word] + 1, layer[word] - 1):
                if 0 < end < self.depth and (word, end) not in have:
                    layer.append(end)
                    parent.append(word)
                    generation.append(generation[word] + 1)
        return Words(self.depth, tuple(layer), tuple(parent), tuple(generation))

    def keeping(self, chosen: Sequence[int] | np.ndarray) -> Words:
        """Return the chosen words, the beginnings of each included, in the present order."""
        keep = np.zeros(len(self.layer), bool)
        keep[[INPUTS, OUTPUTS]] = True
        keep[np.asarray(chosen, int)] = True
        for word in range(len(keep) - 1, OUTPUTS, -1):  # the longest first: each keeps its beginning
            if keep[word]:
                keep[self.parent[word]] = True
        rank = np.cumsum(keep) - 1
        kept = np.flatnonzero(keep)
        parent = tuple(-1 if self.parent[w] < 0 else int(rank[self.parent[w]]) for w in kept)
        return Words(self.depth, tuple(self.layer[w] for w in kept), parent, tuple(self.generation[w] for w in kept))

    @property
    def generations(self) -> int:
        """Generation of the longest word."""
        return max(self.generation)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Words that end at each hidden layer."""
        return tuple(self.layer.count(end) for end in range(1, self.depth))

    def units(self, shape: tuple[int, int]) -> tuple[int, ...]:
        """Return the hidden units of each layer, for matrices A of a shape (d_out, d_in), where the width allows them.

        Examples:
            >>> Words.full(3, 4).units((10, 10))
            (50, 50)
        """
        units = [0] * (self.depth + 1)
        for word, end in enumerate(self.layer):
            units[end] += shape[0] if self.origin(word) == OUTPUTS else shape[1]
        return tuple(units[1:-1])

    def origin(self, word: int) -> int:
        """Return the word of no step from which a word begins."""
        while self.parent[word] >= 0:
            word = self.parent[word]
        return word

    def steps(self) -> Iterator[Step]:
        """Yield the last step of each word, in order."""
        for child, parent in enumerate(self.parent):
            if parent >= 0:
                start, end = self.layer[parent], self.layer[child]
                yield Step(child, parent, max(start, end), end > start)

    def __repr__(self) -> str:
        """How many words end at each hidden layer."""
        counts = ", ".join(map(str, self.counts)) or "no hidden layer"
        return f"Words(depth={self.depth}, generations={self.generations}, words a hidden layer: {counts})"


def scalar_layers(
    words: Words, up: Sequence[float], down: Sequence[float]
) -> tuple[Float[np.ndarray, "words_l words_l_minus_1"], ...]:
    """Return the layers of the scalar network of infinite width: one hidden unit a word.

        (W_l)_{word·up, word} = u_l = √(σ_l² w_l),      (W_l)_{word, word·down} = v_l = √(σ_l² w_{l−1}).

    Args:
        words: which words.
        up: u_1 … u_L; the last is not used.
        down: v_1 … v_L; the first is not used.

    References:
        theory (7.3).

    Examples:
        >>> [w.tolist() for w in scalar_layers(Words.full(3, 1), [1, 2, 0], [0, 3, 4])]
        [[[1.0], [0.0]], [[0.0, 3.0], [2.0, 0.0]], [[4.0, 0.0]]]
    """
    place, sizes = places(words)
    layers = [np.zeros((sizes[k], sizes[k - 1])) for k in range(1, words.depth + 1)]
    if words.depth == 1:
        return tuple(layers)
    for step in words.steps():
        if step.up:
            layers[step.matrix - 1][place[step.child], place[step.parent]] = up[step.matrix - 1]
        else:
            layers[step.matrix - 1][place[step.parent], place[step.child]] = down[step.matrix - 1]
    return tuple(layers)


def places(words: Words) -> tuple[list[int], list[int]]:
    """Return the place of each word within its layer, and the number of words of layers 0 … L."""
    sizes = [0] * (words.depth + 1)
    place = []
    for end in words.layer:
        place.append(sizes[end])
        sizes[end] += 1
    return place, sizes
