"""k-means of numbers."""

import numpy as np
import pytest

from keras_compress.quantizers.cluster_centers import INITIALIZATIONS, cluster_centers
from tests.compress.quantization.common import normal


def error(values, centers):
    return np.sum(np.min(np.abs(values[:, None] - centers), axis=1) ** 2)


def test_the_vector_of_the_specification():
    found = cluster_centers(np.array([[0.0], [0.1], [0.9], [1.0], [5.0]]), 3)
    np.testing.assert_allclose(found, [[0.05, 0.95, 5.0]])


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_the_error_never_grows_and_columns_are_independent(initialization):
    values = normal(200, 2).astype("float64")
    errors = []
    for iterations in (0, 1, 2, 5, 40):
        found = cluster_centers(values, 8, initialization=initialization, iterations=iterations)
        assert found.shape == (2, 8) and np.all(np.diff(found) >= 0)
        errors.append([error(*pair) for pair in zip(values.T, found, strict=True)])
    assert np.all(np.diff(errors, axis=0) <= 1e-9)
    assert np.all(np.array(errors[-1]) < np.array(errors[0]))


def test_first_centers():
    values = np.arange(101.0)[:, None]

    def first(name):
        return cluster_centers(values, 5, initialization=name, iterations=0)[0]

    np.testing.assert_allclose(first("linear"), [0, 25, 50, 75, 100])
    np.testing.assert_allclose(first("density"), [10, 30, 50, 70, 90])
    assert set(first("kmeans++")) <= set(values[:, 0]) and len(set(first("kmeans++"))) == 5
    assert 0 <= first("random").min() and first("random").max() <= 100


def test_few_different_values_are_kept_as_they_are():
    values = np.array([0.3, -1.0, 0.3, 7.0])[:, None]
    np.testing.assert_array_equal(cluster_centers(values, 4), [[-1.0, 0.3, 7.0, 7.0]])
    with_zero = cluster_centers(values, 4, fixed_zero=True)
    np.testing.assert_array_equal(with_zero, [[-1.0, 0.0, 0.3, 7.0]])


def test_zero_can_be_fixed():
    found = cluster_centers(1.0 + np.abs(normal(50, 1)), 4, fixed_zero=True)[0]
    assert found[0] == 0.0 and np.all(found[1:] > 1.0)
