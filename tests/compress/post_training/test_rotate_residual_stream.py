from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_compress.post_training import rotate_residual_stream

IDS = np.array([[0, 1, 5, 2, 4], [3, 3, 6, 1, 1]])


def transformer(norm):
    """A pre-norm block over embedded ids, one channel far larger than the others."""
    ids = keras.Input((5,), dtype="int32")
    x = layers.Embedding(7, 8, name="tokens")(ids)
    y = norm(name="norm")(x)
    y = layers.MultiHeadAttention(2, 3, name="attention")(y, y, use_causal_mask=True)
    x = layers.Add()([x, layers.Dropout(0.1)(y)])
    y = norm(name="second_norm")(x)
    y = layers.Dense(12, "gelu", name="up")(y)
    x = x + layers.Dense(8, name="down")(y)
    x = norm(name="last_norm")(x)
    return filled(keras.Model(ids, layers.Dense(5, name="head")(x)))


def filled(model):
    generator = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(generator.normal(size=variable.shape) * 0.4)
    return model


def large(model):
    table = ops.convert_to_numpy(model.get_layer("tokens").embeddings)
    table[:, 3] += 15.0
    model.get_layer("tokens").embeddings.assign(table)
    return model


def outputs(model, x=IDS):
    return ops.convert_to_numpy(model(x))


@pytest.mark.parametrize("norm", [layers.LayerNormalization, layers.RMSNormalization])
def test_the_model_computes_the_same(norm):
    model = large(transformer(norm))
    expected = outputs(model)
    before = [ops.convert_to_numpy(variable) for variable in model.weights]
    turned = rotate_residual_stream(model, seed=1)
    np.testing.assert_allclose(outputs(turned), expected, rtol=1e-4, atol=1e-4)
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
    for layer in turned.layers:
        if "norm" in layer.name:
            assert type(layer) is layers.RMSNormalization
            np.testing.assert_array_equal(ops.convert_to_numpy(layer.scale), np.ones(8))
    table = ops.convert_to_numpy(turned.get_layer("tokens").embeddings)
    assert np.abs(table).max() < 0.7 * np.abs(before[0]).max()


def small(read_after=False, activation=None, normalized=True):
    inputs = keras.Input((3,))
    x = layers.Dense(4, activation, name="first")(inputs)
    y = layers.LayerNormalization(name="norm")(x) if normalized else x
    x = layers.Add(name="add")([x, layers.Dense(4, name="block")(y)])
    last = layers.Dense(2, name="last")(x if read_after else layers.LayerNormalization()(x))
    return filled(keras.Model(inputs, last))


def test_a_stream_without_normalization():
    model = small(read_after=True, normalized=False)
    x = np.ones((2, 3), "float32")
    np.testing.assert_allclose(
        outputs(rotate_residual_stream(model), x), outputs(model, x), atol=1e-5
    )


def post_norm():
    inputs = keras.Input((3,))
    x = layers.Dense(4, name="first")(inputs)
    x = layers.LayerNormalization(name="norm")(layers.Add()([x, layers.Dense(4)(x)]))
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(4)(x)]))
    return filled(keras.Model(inputs, x))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: small(read_after=True), "takes its mean"),
        (lambda: small(activation="relu"), "'first', which writes to it"),
        (lambda: small(activation="tanh"), "'first', which writes to it"),
        (post_norm, "what 'norm' gives is read by others"),
        (lambda: keras.Sequential([keras.Input((3,)), layers.Dense(2)]), "cannot be followed"),
    ],
)
def test_streams_that_cannot_be_turned(make, reason):
    with pytest.raises(ValueError, match=reason):
        rotate_residual_stream(make())


def test_offsets_need_a_bias_behind_them():
    inputs = keras.Input((3,))
    x = layers.Dense(4)(inputs)
    y = layers.LayerNormalization(name="norm")(x)
    x = layers.Add()([x, layers.Dense(4, use_bias=False)(y)])
    model = filled(keras.Model(inputs, layers.Dense(2)(layers.LayerNormalization()(x))))
    with pytest.raises(ValueError, match="a layer behind 'norm' has no bias"):
        rotate_residual_stream(model)
    model.get_layer("norm").beta.assign(np.zeros(4))
    x = np.ones((2, 3), "float32")
    np.testing.assert_allclose(
        outputs(rotate_residual_stream(model), x), outputs(model, x), atol=1e-5
    )
