from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.recorded_attention import attention_layers, recorded_attention

X = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")


class Model(keras.Model):
    """Subclassed, so that nothing but the call itself shows how the layers are used."""

    def __init__(self):
        super().__init__()
        self.first = keras.layers.MultiHeadAttention(2, 3)
        self.second = keras.layers.GroupQueryAttention(3, 4, 2)

    def call(self, x):
        x = self.first(x, x, use_causal_mask=True)
        return self.second(x, x, return_attention_scores=True)[0]


@pytest.fixture(scope="module")
def model():
    model = Model()
    model(X)
    return model


def test_probabilities_and_results_of_every_call(model):
    layers = attention_layers(model)
    assert layers == [model.first, model.second]
    expected = ops.convert_to_numpy(model(X))
    with recorded_attention(layers) as calls:
        found = ops.convert_to_numpy(model(X))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(calls) == 2
    for call, heads in zip(calls, (2, 4), strict=True):
        scores = ops.convert_to_numpy(call.scores)
        assert scores.shape == (2, heads, 5, 5)
        np.testing.assert_allclose(scores.sum(axis=-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(calls[0].query), X)
    np.testing.assert_allclose(ops.convert_to_numpy(calls[1].output), expected, atol=1e-6)
    # The causal mask is respected.
    assert np.abs(np.triu(ops.convert_to_numpy(calls[0].scores), 1)).max() < 1e-6


def test_nothing_stays_behind(model):
    with recorded_attention([model.first]) as calls:
        pass
    model(X)
    assert not calls
    assert "call" not in vars(model.first)
