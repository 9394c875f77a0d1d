from __future__ import annotations

import numpy as np
import pytest

from keras_compress.grids.hadamard import hadamard_transform
from keras_compress.post_training import hadamard_matrix
from keras_compress.post_training.hadamard_matrix import has_hadamard_matrix

SIZES = (1, 2, 4, 8, 12, 20, 24, 28, 36, 40, 44, 48, 60, 64, 72, 96, 108, 140, 148)
NONE = (3, 6, 7, 10, 52, 92, 156, 172)


@pytest.mark.parametrize("n", SIZES)
def test_rows_are_orthogonal(n):
    matrix = hadamard_matrix(n)
    assert set(np.unique(matrix)) <= {-1.0, 1.0}
    np.testing.assert_array_equal(matrix @ matrix.T, n * np.eye(n))


@pytest.mark.parametrize("n", [2, 16, 64])
def test_powers_of_two_are_the_fast_transform(n):
    np.testing.assert_allclose(
        hadamard_transform(np.eye(n)), hadamard_matrix(n) / np.sqrt(n), atol=1e-12
    )


def test_sizes_without_a_construction():
    for n in NONE:
        assert not has_hadamard_matrix(n)
        with pytest.raises(ValueError, match=f"`n`={n}"):
            hadamard_matrix(n)
    assert all(has_hadamard_matrix(n) for n in SIZES)


def test_wrong_sizes():
    with pytest.raises(ValueError, match="`n`"):
        hadamard_matrix(0)
    with pytest.raises(TypeError, match="`n`"):
        hadamard_matrix(4.0)
