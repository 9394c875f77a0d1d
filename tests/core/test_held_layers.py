"""Layers in attributes: found where Keras' files look, and exchanged in built layers."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_reweight.core.held_layers import held_layers, put_layer, refresh_holders
from keras_reweight.core.replaced_methods import on_first_input, replaced_methods


class Holder(keras.Model):
    def __init__(self):
        super().__init__()
        self.one = layers.Dense(2)
        self.several = [layers.Dense(2), layers.ReLU()]
        self.pair = (layers.Dense(2), 3)
        self.named = {"x": [layers.Dense(2)]}

    def call(self, x):
        x = self.several[0](self.one(x))
        return self.named["x"][0](self.pair[0](x))


@pytest.fixture
def holder():
    made = Holder()
    made(np.ones((1, 2), "float32"))
    return made


def test_places(holder):
    assert [place for place, _ in held_layers(holder)] == [
        ("named", ("x", 0)),
        ("one", ()),
        ("pair", (0,)),
        ("several", (0,)),
        ("several", (1,)),
    ]
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    assert [place for place, _ in held_layers(model)] == [("layers", (0,))]


def test_layers_of_built_models_are_exchanged(holder):
    x = np.ones((1, 2), "float32")
    with pytest.raises(ValueError, match="already built"):
        holder.one = layers.Dense(2)
    for place, layer in held_layers(holder):
        if isinstance(layer, layers.Dense):
            new = layers.Dense(2, kernel_initializer="ones")
            new.build((None, 2))
            put_layer(holder, place, new)
            assert not any(layer is other for other in holder.layers)
    refresh_holders(holder)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(holder(x)), [[16.0, 16.0]])
    assert len(holder.trainable_variables) == 8
    holder.compile(keras.optimizers.SGD(0.01), "mse")
    holder.fit(x, x, verbose=0)
    assert all(
        np.any(keras.ops.convert_to_numpy(layer.kernel.value) != 1.0)
        for _, layer in held_layers(holder)
        if isinstance(layer, layers.Dense)
    )
    with pytest.raises(ValueError, match="already built"):
        holder.more = layers.Dense(2)


def test_methods_are_others_for_a_while():
    dense = layers.Dense(2, use_bias=False, kernel_initializer="ones")
    x = np.ones((1, 2), "float32")
    with replaced_methods([(dense, "call", on_first_input(lambda value: 3 * value))]):
        inside = keras.ops.convert_to_numpy(dense(x))
        by_keyword = keras.ops.convert_to_numpy(dense(inputs=x))
    np.testing.assert_array_equal(inside, [[6.0, 6.0]])
    np.testing.assert_array_equal(by_keyword, inside)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(dense(x)), [[2.0, 2.0]])
    assert "call" not in vars(dense)
