"""The handwritten digits that come with scikit-learn, for experiments on real images that need no download."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lindyn.support import checks

_FEWEST = 174  # images of the rarest digit


class Digits(NamedTuple):
    """Images of 8 × 8 pixels, a row each, and the digits they show."""

    images: Float[np.ndarray, "n 64"]
    labels: Int[np.ndarray, " n"]

    @property
    def one_hot(self) -> Float[np.ndarray, "n 10"]:
        """A row for each image: 1 for its digit, else 0."""
        return np.eye(10)[self.labels]


def digits(each: int, *, norm: float = 8**0.5) -> Digits:
    """Return the first images of every digit, each pixel centred over them and then each image scaled to one norm.

    Args:
        each: images of each digit, 1 to 174.
        norm: Euclidean norm of an image.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    each = checks.integer("each", each, at_least=1, at_most=_FEWEST)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "The handwritten digits need scikit-learn; install it with: pip install scikit-learn."
        ) from error

    pixels, labels = load_digits(return_X_y=True)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:each] for digit in range(10)])
    images = pixels[chosen] - pixels[chosen].mean(axis=0)
    return Digits(images * norm / np.linalg.norm(images, axis=1, keepdims=True), labels[chosen])
