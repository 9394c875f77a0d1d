"""OBS scores against the definition: the error that is left after the best replacement."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

import keras_compress as kc
from keras_compress.structured.compensation import reconstructed
from tests.compress.calibration.test_collect_input_statistics import windows
from tests.compress.structured.importances.test_fluctuation import X, scores_of
from tests.compress.structured.networks import dense, numbered


def reference_errors(rows, matrix, channels, ridge=0.01):
    """Damped error of the best replacement of each channel, solved one by one."""
    rows, matrix = np.asarray(rows, "float64"), np.asarray(matrix, "float64")
    gram = rows.T @ rows / len(rows)
    damped = gram + ridge * np.mean(np.diagonal(gram)) * np.eye(len(gram))
    errors = []
    for channel in range(channels.max() + 1):
        kept = channels != channel
        replaced = reconstructed(matrix, kept, gram, ridge) * kept[:, None]
        change = replaced - matrix
        errors.append(np.trace(change.T @ damped @ change))
    return np.array(errors)


def test_units_are_worth_the_error_they_leave():
    model = dense((8, 6))
    found = scores_of(kc.structured.OBSImportance(X, normalizer="none"), model)
    kernel, bias = model.layers[0].get_weights()
    rows = np.maximum(X @ kernel + bias, 0.0)
    expected = reference_errors(rows, model.layers[1].get_weights()[0], np.arange(8))
    np.testing.assert_allclose(found["hidden0"], expected, rtol=2e-3)


def test_all_kernel_positions_of_a_channel_go_together():
    model = numbered(
        keras.Sequential(
            [
                keras.Input((4, 4, 2)),
                layers.Conv2D(3, 2, name="first"),
                layers.Conv2D(2, 2, name="second"),
                layers.Flatten(),
                layers.Dense(2),
            ]
        )
    )
    x = np.random.default_rng(0).normal(size=(20, 4, 4, 2)).astype("float32")
    graph = kc.structured.ChannelGraph(model)
    importance = kc.structured.OBSImportance(x, normalizer="none")
    found = importance.scores(graph, [graph.group("first")])["first"]
    kernel, bias = model.layers[0].get_weights()
    maps = windows(x, 2).reshape(20, 3, 3, 8) @ kernel.reshape(8, 3) + bias
    rows = windows(maps, 2).reshape(80, 12)
    matrix = model.layers[1].get_weights()[0].reshape(12, 2)
    np.testing.assert_allclose(
        found, reference_errors(rows, matrix, np.tile(np.arange(3), 4)), rtol=2e-3
    )


def test_a_large_copy_is_worth_nothing():
    model = dense((8,))
    kernel, bias = model.layers[0].get_weights()
    kernel[:, 1], bias[1] = 9.0 * kernel[:, 3], 9.0 * bias[3]
    model.layers[0].set_weights([kernel, bias])
    copied = scores_of(kc.structured.OBSImportance(X, ridge=1e-6), model)["hidden0"]
    largest = scores_of(kc.structured.Fluctuation(X), model)["hidden0"]
    assert np.argsort(copied)[:2].tolist() in ([1, 3], [3, 1]) and largest.argmax() == 1


def test_noise_stands_in_for_data_and_dead_inputs_are_finite():
    model = dense((8,))
    default = scores_of(kc.structured.OBSImportance(), model)["hidden0"]
    noise = kc.structured.OBSImportance(kc.structured.noise_inputs(model))
    np.testing.assert_array_equal(default, scores_of(noise, model)["hidden0"])
    model.layers[0].set_weights([np.zeros((5, 8)), -np.ones(8)])
    assert np.isfinite(scores_of(kc.structured.OBSImportance(X), model)["hidden0"]).all()
