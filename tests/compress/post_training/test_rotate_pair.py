from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keras_compress.post_training import random_rotation, rotate_pair


def filled(*layers):
    """Weights by NumPy, with an output of the first layer that stands out."""
    generator = np.random.default_rng(1)
    for layer in layers:
        for variable in layer.weights:
            variable.assign(generator.normal(size=variable.shape) / np.sqrt(6.0))
    return layers


def host(variable):
    return ops.convert_to_numpy(ops.convert_to_tensor(variable)).astype("float64")


def test_dense_layers_compute_the_same():
    first, second = keras.layers.Dense(8), keras.layers.Dense(3, "relu")
    first.build((None, 6))
    second.build((None, 8))
    filled(first, second)
    kernel, bias, reader = host(first.kernel), host(first.bias), host(second.kernel)
    rotation = rotate_pair(first, second, seed=2)
    np.testing.assert_array_equal(rotation, random_rotation(8, seed=2))
    np.testing.assert_allclose(host(first.kernel), kernel @ rotation, atol=1e-6)
    np.testing.assert_allclose(host(first.bias), bias @ rotation, atol=1e-6)
    np.testing.assert_allclose(host(second.kernel), rotation.T @ reader, atol=1e-6)


def test_value_and_output_projections_of_attention():
    attention = keras.layers.MultiHeadAttention(2, 4)
    attention.build((None, 4, 6), (None, 4, 6))
    value, output = filled(attention.value_dense, attention.output_dense)
    before = [np.einsum("d...k,...ke->...de", host(value.kernel), host(output.kernel))]
    before.append(np.einsum("hk,hke->he", host(value.bias), host(output.kernel)))
    kernel = host(value.kernel)
    rotation = rotate_pair(value, output, size=4)
    after = [np.einsum("d...k,...ke->...de", host(value.kernel), host(output.kernel))]
    after.append(np.einsum("hk,hke->he", host(value.bias), host(output.kernel)))
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new, old, atol=1e-5)
    np.testing.assert_allclose(host(value.kernel), kernel @ rotation, atol=1e-6)


def test_a_large_output_is_spread():
    first, second = keras.layers.Dense(16, use_bias=False), keras.layers.Dense(2)
    first.build((None, 6))
    second.build((None, 16))
    kernel = np.full((6, 16), 0.1, "float32")
    kernel[:, 3] = 10.0
    first.kernel.assign(kernel)
    rotate_pair(first, second)
    assert np.abs(ops.convert_to_numpy(first.kernel)).max() < 3.0


def test_what_cannot_be_rotated_stays():
    first, second = keras.layers.Dense(8, "relu"), keras.layers.Dense(3)
    first.build((None, 6))
    second.build((None, 8))
    kernel = ops.convert_to_numpy(first.kernel)
    with pytest.raises(ValueError, match="`first`.*activation"):
        rotate_pair(first, second)
    first.activation = keras.activations.linear
    with pytest.raises(ValueError, match="`size`.*got 3"):
        rotate_pair(first, second, size=3)
    with pytest.raises(TypeError, match="`second`"):
        rotate_pair(first, keras.layers.ReLU())
    with pytest.raises(ValueError, match="not built"):
        rotate_pair(first, keras.layers.Dense(2))
    with pytest.raises(ValueError, match="`second`.*3 inputs"):
        other = keras.layers.Dense(2)
        other.build((None, 3))
        rotate_pair(first, other)
    np.testing.assert_array_equal(ops.convert_to_numpy(first.kernel), kernel)
