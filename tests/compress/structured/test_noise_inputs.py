"""Noise of the shapes of the inputs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc


def test_shapes_range_and_seed():
    model = keras.Sequential([keras.Input((None, 3)), layers.Dense(2)])
    noise = kc.structured.noise_inputs(model, 5, seed=1)
    assert noise.shape == (5, 16, 3) and noise.dtype == "float32"
    assert 0.0 <= noise.min() < 0.1 and 0.9 < noise.max() < 1.0
    np.testing.assert_array_equal(noise, kc.structured.noise_inputs(model, 5, seed=1))
    assert not np.array_equal(noise, kc.structured.noise_inputs(model, 5, seed=2))


def test_several_inputs_are_data_for_calibration():
    one, two = keras.Input((2,)), keras.Input((3,))
    model = keras.Model([one, two], layers.Dense(2, name="d")(layers.Concatenate()([one, two])))
    noise = kc.structured.noise_inputs(model, 4)
    found = kc.calibration.collect_input_statistics(model, noise)
    assert found["d"].count == 4 and found["d"].mean.shape == (5,)


def test_refusals():
    entry = keras.Input((2,), dtype="int32")
    tokens = keras.Model(entry, layers.Embedding(3, 2)(entry))
    with pytest.raises(ValueError, match="int32"):
        kc.structured.noise_inputs(tokens)

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(np.ones((1, 2), "float32"))
    with pytest.raises(ValueError, match="inputs"):
        kc.structured.noise_inputs(model)
