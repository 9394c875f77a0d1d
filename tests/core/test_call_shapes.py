"""Shapes of calls, traced without computing."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_reweight.core.call_shapes import call_shapes, symbolic_inputs


def test_calls_in_order_with_their_arguments():
    query, value = keras.Input((4, 6)), keras.Input((5, 6))
    attention = layers.MultiHeadAttention(2, 3)
    dense = layers.Dense(6)
    model = keras.Model([query, value], attention(dense(query), value=dense(value)))
    calls = call_shapes(model, [dense, attention])
    assert [call.layer for call in calls] == [dense, dense, attention]
    assert calls[1].first == (1, 5, 6) and calls[1].outputs == [(1, 5, 6)]
    assert calls[2].inputs == {"query": [(1, 4, 6)], "value": [(1, 5, 6)]}
    assert "call" not in vars(dense)


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs["a"])


def test_subclassed_models_and_inputs_by_name():
    model = Own()
    model({"a": np.zeros((3, 4), "float32")})
    (call,) = call_shapes(model, [model.dense], {"a": (7, 4)})
    assert call.first == (1, 7, 4)


def test_an_error_inside_leaves_the_layers_as_they_were():
    model = keras.Sequential([keras.Input((None, 3)), layers.Dense(2)])
    with pytest.raises(ValueError):
        call_shapes(model, model.layers, (5, 4))
    assert "call" not in vars(model.layers[0])


def test_symbolic_inputs():
    model = keras.Sequential([keras.Input((None,), dtype="int32"), layers.Embedding(5, 2)])
    assert symbolic_inputs(model, (4,)).dtype == "int32"
    assert symbolic_inputs(model, keras.KerasTensor((2, 4), "int64")).shape == (2, 4)
    for wrong, error in (((None,), ValueError), (None, ValueError), ("4", TypeError)):
        with pytest.raises(error, match="input_shapes"):
            symbolic_inputs(model, wrong)
    pair = keras.Model(two := [keras.Input((3,)), keras.Input((3,))], two[0] + two[1])
    assert [each.shape for each in symbolic_inputs(pair)] == [(1, 3), (1, 3)]
    with pytest.raises(ValueError, match="2 inputs"):
        symbolic_inputs(pair, [(3,)])
