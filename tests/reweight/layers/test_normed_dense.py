"""NormedDense against its formula."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def reference(inputs, weights, scale=1.0):
    kernel = weights[0]
    features = inputs / np.linalg.norm(inputs, axis=-1, keepdims=True)
    return scale * features @ (kernel / np.linalg.norm(kernel, axis=0, keepdims=True))


def test_lengths_do_not_matter():
    layer = kr.layers.NormedDense(3)
    base = ops.convert_to_numpy(layer(X))
    assert (np.abs(base) <= 1 + 1e-6).all()
    np.testing.assert_allclose(ops.convert_to_numpy(layer(7 * X)), base, rtol=1e-5)
    layer.set_weights([layer.get_weights()[0] * [1.0, 10.0, 0.1]])
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), base, rtol=1e-4, atol=1e-6)


def test_zero_inputs_give_zero_and_a_finite_gradient():
    layer = kr.layers.NormedDense(3, scale=16.0)
    layer.build((None, 4))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(np.zeros((2, 4)))), np.zeros((2, 3)))
    model = keras.Sequential([keras.Input((4,)), keras.layers.ReLU(), layer])
    model.compile(keras.optimizers.SGD(0.1), kr.losses.LDAMLoss([5, 2, 1]))
    model.fit(-np.ones((4, 4)), np.array([0, 1, 2, 0]), verbose=0)
    assert np.isfinite(layer.get_weights()[0]).all()


def test_sequences():
    layer = kr.layers.NormedDense(2)
    found = ops.convert_to_numpy(layer(np.stack([X, -X])))
    np.testing.assert_allclose(found[0], -found[1], rtol=1e-6)
    assert found.shape == (2, 5, 2)


def test_an_initializer_object_is_saved():
    layer = kr.layers.NormedDense(2, kernel_initializer=keras.initializers.HeNormal(seed=3))
    twin = kr.layers.NormedDense.from_config(layer.get_config())
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(X)), ops.convert_to_numpy(twin(X)))


def test_unknown_initializer():
    with pytest.raises(ValueError, match="kernel_initializer"):
        kr.layers.NormedDense(2, kernel_initializer="nothing")
