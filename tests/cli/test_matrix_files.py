"""A matrix is read from whatever text or NumPy file holds it, or refused in one sentence before memory is taken."""

import numpy as np
import pytest

from helpers.hostile import BAD_FILES, GOOD_FILES, write_files
from lindyn.cli.matrix_files import read_matrix
from lindyn.support.checks import InvalidArgument


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("name", GOOD_FILES)
def test_every_layout_holds_the_same_matrix(folder, name):
    matrix, found = np.load(folder / "m.npy"), read_matrix("target", folder / name)
    digits = {"m32.npy": 1e-6, "half.npy": 1e-3}.get(name, 0)  # half and single precision round, text does not
    assert found == pytest.approx(matrix, rel=digits, abs=digits)


@pytest.mark.parametrize("name", [n for n in BAD_FILES if n != "zeros.npy"])
def test_what_holds_no_matrix_is_refused_in_one_sentence(folder, name):
    with pytest.raises(InvalidArgument) as refusal:
        read_matrix("target", folder / name)
    assert str(refusal.value).startswith("Argument `target` must ")
    assert "\n" not in str(refusal.value)
