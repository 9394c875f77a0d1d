from __future__ import annotations

import numpy as np
import pytest

from keras_compress.post_training import random_rotation


@pytest.mark.parametrize("n", [1, 7, 12, 16, 52])
def test_orthogonal_and_reproducible(n):
    rotation = random_rotation(n, seed=3)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(n), atol=1e-12)
    np.testing.assert_array_equal(rotation, random_rotation(n, seed=3))
    if n > 1:
        assert not np.array_equal(rotation, random_rotation(n, seed=4))


def test_entries_of_one_size_where_there_is_a_hadamard_matrix():
    np.testing.assert_allclose(np.abs(random_rotation(12)), 1.0 / np.sqrt(12.0))


def test_other_sizes_favor_no_direction():
    """The mean of the entries of many rotations is 0: the sign fix of the QR decomposition."""
    mean = np.mean([random_rotation(3, seed=seed) for seed in range(300)], axis=0)
    assert np.abs(mean).max() < 0.12
