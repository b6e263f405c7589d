"""The handwritten digits: what is taken, its scale, and the refusal where scikit-learn is missing."""

import sys

import numpy as np
import pytest

import lindyn as ld
from lindyn.papers.handwritten import digits


def test_each_digit_comes_as_often_centred_and_of_one_norm():
    data = digits(5, norm=2.0)
    assert np.bincount(data.labels).tolist() == [5] * 10
    assert data.images.shape == (50, 64)
    np.testing.assert_allclose(np.linalg.norm(data.images, axis=1), 2.0)
    assert data.one_hot.argmax(axis=1).tolist() == data.labels.tolist()


def test_images_of_one_digit_look_more_alike_than_those_of_two():
    """Nearest neighbours among 200 images: nine of ten show the same digit; by chance one of ten would."""
    data = digits(20)
    apart = np.linalg.norm(data.images[:, None] - data.images[None], axis=2) + 1e9 * np.eye(200)
    assert np.mean(data.labels[apart.argmin(axis=1)] == data.labels) > 0.9


def test_without_scikit_learn_the_refusal_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        digits(5)
    with pytest.raises(ld.InvalidArgument, match="each"):
        digits(200)
