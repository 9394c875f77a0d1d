"""Layers that stand in for others: the private names of Keras that this rests on."""

import keras
import numpy as np
import pytest

from keras_reweight.core.call_signature import adopt_call_signature, symbolic_like


class Anything(keras.layers.Layer):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        adopt_call_signature(self, layer)

    def call(self, *args, **kwargs):
        self.got = (len(args), sorted(kwargs))
        return self.layer(*args, **kwargs)


class Inner(keras.layers.Layer):
    def call(self, first, second=None, first_mask=None, training=None, flag=False):
        return first if flag else -first


def test_arguments_masks_and_training_are_those_of_the_other_layer():
    layer = Anything(Inner())
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layer(x, second=x, flag=True, training=True)), x
    )
    assert layer.got == (1, ["first_mask", "flag", "second", "training"])
    with pytest.raises(TypeError, match="third"):
        layer(x, third=x)
    assert vars(layer)["call_signature_parameters"][:2] == ["first", "second"]


def test_symbols_have_shape_and_dtype():
    values = {"a": np.ones((2, 3), "int32"), "b": [keras.ops.ones((4,)), None, True]}
    found = symbolic_like(values)
    assert (found["a"].shape, found["a"].dtype) == ((2, 3), "int32")
    assert found["b"][0].shape == (4,) and found["b"][1:] == [None, True]
    symbol = keras.Input((4,))
    again = symbolic_like(symbol)
    assert again is not symbol and again.shape == (None, 4)
