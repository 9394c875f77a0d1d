import keras
import numpy as np
import pytest

from keras_compress.sparse_training import input_strength


def reference_strength(kernel):
    return np.array([sum(abs(value) for value in np.ravel(row)) for row in kernel])


def test_sums_of_magnitudes():
    kernel = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_allclose(input_strength(kernel), reference_strength(kernel))
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    found = input_strength(layer.kernel)
    np.testing.assert_allclose(found, np.abs(keras.ops.convert_to_numpy(layer.kernel)).sum(axis=1))


def test_weak_weights_do_not_count():
    kernel = np.array([[3.0, -0.1], [0.2, -2.0], [0.0, 0.0]])
    assert input_strength(kernel, fraction=0.4).tolist() == [3.0, 2.0, 0.0]


@pytest.mark.parametrize("kernel", [np.ones(3), np.full((2, 2), np.nan)])
def test_bad_kernels(kernel):
    with pytest.raises(ValueError, match="kernel"):
        input_strength(kernel)
