"""Label-free first-order scores against NumPy and against weight gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from keras_compress.structured._width_objective import entropies
from keras_reweight.core.gradients import make_value_and_grad
from tests.compress.structured.importances.test_fluctuation import X, scores_of
from tests.compress.structured.networks import dense, numbered


def reference_scores(x, weights, absolute=True):
    """Scores of the last hidden layer of a network of two dense layers with logits."""
    w, b, v, c = (np.asarray(value, "float64") for value in weights)
    hidden = np.maximum(x @ w + b, 0.0)
    logits = hidden @ v + c
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    p = np.exp(logs)
    entropy = -(p * logs).sum(axis=1, keepdims=True)
    gradient = -p * (logs + entropy)
    products = hidden * (gradient @ v.T)
    return (np.abs(products) if absolute else products).mean(axis=0)


def test_units():
    model = dense((8,))
    importance = kc.structured.EntropyTaylor(X, batch_size=16)
    expected = reference_scores(X, model.get_weights())
    np.testing.assert_allclose(
        scores_of(importance, model)["hidden0"], expected, rtol=1e-4, atol=1e-6
    )


def test_signed_scores_are_weights_times_their_gradients():
    entry = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 2, activation="relu", name="first")(entry)
    x = layers.Conv2D(4, 2, name="second")(x)
    model = numbered(keras.Model(entry, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
    data = np.random.default_rng(0).normal(size=(6, 4, 4, 2)).astype("float32")
    graph = kc.structured.ChannelGraph(model)
    importance = kc.structured.EntropyTaylor(data, absolute=False)
    found = importance.scores(graph, [graph.group("first")])["first"]
    kernel = model.get_layer("second").kernel
    function = make_value_and_grad(lambda x: ops.mean(entropies(model, model(x))), [kernel])
    _, (gradient,), _ = function(data)
    product = ops.convert_to_numpy(kernel) * ops.convert_to_numpy(gradient)
    np.testing.assert_allclose(found, product.sum(axis=(0, 1, 3)), rtol=1e-3, atol=1e-6)


def test_features_of_heads_and_an_objective_that_mixes_samples():
    entry = keras.Input((3, 4))
    attended = layers.MultiHeadAttention(2, 3, name="attention")(entry, entry)
    model = numbered(keras.Model(entry, layers.Flatten()(attended)))
    data = np.random.default_rng(0).normal(size=(6, 3, 4)).astype("float32")
    graph = kc.structured.ChannelGraph(model)
    heads = [group for group in graph.groups if group.kind == "heads"]
    objective = kc.structured.similarity_entropy
    importance = kc.structured.EntropyTaylor(data, objective=objective, absolute=False)
    (found,) = importance.scores(graph, heads).values()
    kernel = model.get_layer("attention").output_dense.kernel
    function = make_value_and_grad(lambda x: ops.mean(objective(model(x))), [kernel])
    _, (gradient,), _ = function(data)
    product = ops.convert_to_numpy(kernel) * ops.convert_to_numpy(gradient)
    np.testing.assert_allclose(found, product.sum(axis=(1, 2)), rtol=1e-3, atol=1e-5)


def test_probabilities_of_one_unit_and_what_says_nothing():
    sigmoid = numbered(
        keras.Sequential(
            [
                keras.Input((5,)),
                layers.Dense(4, name="hidden"),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
    )
    assert np.isfinite(scores_of(kc.structured.EntropyTaylor(X), sigmoid)["hidden"]).all()
    constant = kc.structured.EntropyTaylor(X, objective=lambda outputs: 0.0 * outputs[:, 0])
    with pytest.raises(ValueError, match="gradient is zero"):
        scores_of(constant, sigmoid)
    with pytest.raises(TypeError, match="objective"):
        scores_of(kc.structured.EntropyTaylor(X, objective="entropy"), sigmoid)
