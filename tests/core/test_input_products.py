"""Input times gradient, layer by layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.input_products import make_input_products


def test_products_of_each_sample_also_for_layers_called_twice():
    entry = keras.Input((3,))
    shared, last = layers.Dense(3, activation="tanh"), layers.Dense(2)
    model = keras.Model(entry, last(shared(shared(entry))))
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    products = make_input_products(
        lambda x: ops.sum(ops.square(model(x))), [shared, last], lambda number, product: product
    )
    found = [ops.convert_to_numpy(part) for part in products(x)]
    assert "call" not in vars(shared)
    (w, b), (v, c) = (
        [np.asarray(value, "float64") for value in layer.get_weights()] for layer in (shared, last)
    )
    one = np.tanh(x @ w + b)
    two = np.tanh(one @ w + b)
    down = 2.0 * (two @ v + c) @ v.T
    middle = (down * (1 - two**2)) @ w.T
    first = (middle * (1 - one**2)) @ w.T
    np.testing.assert_allclose(found[1], two * down, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[0], one * middle + x * first, rtol=1e-4, atol=1e-5)


def test_layers_that_are_not_called_are_refused():
    unused = layers.Dense(2)
    products = make_input_products(lambda x: ops.sum(x), [unused], lambda number, product: product)
    with pytest.raises(ValueError, match="not called"):
        products(np.ones((2, 2), "float32"))
