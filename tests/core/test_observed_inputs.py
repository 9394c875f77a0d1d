"""Inputs of layers, and the masks that attention layers take off them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_reweight.core.forward import make_forward
from keras_reweight.core.observed_inputs import (
    called_in_training_mode,
    observed_inputs,
    steps_inside,
)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.MultiHeadAttention(2, 3),
        lambda: layers.GroupQueryAttention(3, 2, 1),
    ],
)
def test_projections_hear_of_the_masks_of_their_inputs(make):
    attention = make()
    attention.build((1, 2, 4), (1, 3, 4))
    names = ["_query_dense", "_key_dense", "_value_dense", "_output_dense"]
    projections = [getattr(attention, name) for name in names]
    lengths = {}

    def observe(number, inputs, mask):
        assert inputs.shape[1] == mask.shape[1]
        lengths[names[number]] = mask.shape[1]

    def attend(query, value):
        masks = [keras.ops.ones(part.shape[:2], "bool") for part in (query, value)]
        return attention(query, value, query_mask=masks[0], value_mask=masks[1])

    with observed_inputs(attention, projections, observe):
        make_forward(attend)(np.ones((1, 2, 4), "float32"), np.ones((1, 3, 4), "float32"))
    assert lengths == dict(zip(names, [2, 3, 3, 2], strict=True))
    assert "call" not in vars(attention)


def test_layers_called_in_training_mode():
    norm = layers.BatchNormalization()
    norm.build((None, 1))
    x = np.array([[1.0], [3.0]], "float32")
    with called_in_training_mode([norm]):
        found = keras.ops.convert_to_numpy(norm(x, training=False))
    np.testing.assert_allclose(found, [[-1.0], [1.0]], atol=1e-3)


def test_layers_inside_loops():
    stepped, loop = layers.TimeDistributed(layers.Dense(2)), layers.GRU(2)
    found = steps_inside(keras.Sequential([stepped, loop]))
    assert id(stepped.layer) in found and id(loop.cell) in found
    assert not {id(stepped), id(loop)} & set(found)
