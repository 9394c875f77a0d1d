"""FLAP scores: the published numbers, and the formulas on small networks."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from keras_compress.calibration.input_statistics import InputStatistics
from keras_compress.structured.importances.fluctuation import row_scores, zscores
from tests.compress.calibration.test_collect_input_statistics import windows
from tests.compress.structured.networks import dense, numbered

SEQUENCES = np.array(
    [[[1, 0, 2], [3, 1, 2]], [[2, 2, 0], [0, 4, 4]], [[1, 1, 1], [5, 0, 1]]], "float32"
)
KERNEL = np.array([[1, 2, 3], [-1, 0, 1]], "float32").T
X = np.random.default_rng(3).normal(size=(40, 5)).astype("float32")


def reference_official_update(sequences):
    """The running update of the official code: the old mean it subtracts is the new one already."""
    mean = fluctuation = 0.0
    for number, sequence in enumerate(np.asarray(sequences, "float64")):
        mean = (mean * number + sequence.mean(axis=0)) / (number + 1)
        if number:
            grown = fluctuation * (number - 1) / number
            fluctuation = grown + np.square(sequence - mean).sum(axis=0) / (number + 1)
    return mean, fluctuation


def reference_scores(rows, matrix, metric="WIFV", standardize=True):
    """Scores of inputs `(count, channels)` of a dense layer with kernel `(channels, outputs)`."""
    rows, matrix = np.asarray(rows, "float64"), np.asarray(matrix, "float64")
    scores = {
        "IFV": rows.var(axis=0),
        "WIFV": rows.var(axis=0) * np.square(matrix).sum(axis=1),
        "WIFN": np.abs(matrix).mean(axis=1) * np.sqrt(np.square(rows).mean(axis=0)),
    }[metric]
    return (scores - scores.mean()) / scores.std(ddof=1) if standardize else scores


def reference_of_dense(x, units, **options):
    """Group name -> scores of the network `dense(units)`, its activations by NumPy."""
    model = dense(units, inputs=x.shape[-1])
    weights = [np.asarray(value, "float64") for value in model.get_weights()]
    found, rows = {}, x
    for number in range(len(units)):
        rows = np.maximum(rows @ weights[2 * number] + weights[2 * number + 1], 0.0)
        found[f"hidden{number}"] = reference_scores(rows, weights[2 * number + 2], **options)
    return found


def scores_of(importance, model):
    graph = kc.structured.ChannelGraph(model)
    return importance.scores(graph, graph.groups)


def test_published_numbers_of_the_official_update():
    mean, fluctuation = reference_official_update(SEQUENCES)
    np.testing.assert_allclose(mean, [2, 1.333333, 1.666667], atol=1e-6)
    np.testing.assert_allclose(fluctuation, [3.958333, 1.910880, 2.296296], atol=1e-6)
    weighted = row_scores(KERNEL, InputStatistics(3, var=fluctuation), "WIFV")
    np.testing.assert_allclose(weighted, [7.916667, 7.643518, 22.962963], atol=1e-5)


def test_ours_is_the_true_variance():
    entry = keras.Input((2, 3))
    model = keras.Model(entry, layers.Dense(2, name="reader")(entry))
    found = kc.calibration.collect_input_statistics(model, SEQUENCES, batch_size=1)["reader"]
    np.testing.assert_allclose(found.mean, [2, 1.333333, 1.666667], atol=1e-6)
    np.testing.assert_allclose(found.var, [2.666667, 1.888889, 1.555556], atol=1e-6)
    np.testing.assert_allclose(found.var * 6 / 5, [3.2, 2.266667, 1.866667], atol=1e-6)


@pytest.mark.parametrize("metric", ["IFV", "WIFV", "WIFN"])
def test_units(metric):
    found = scores_of(kc.structured.Fluctuation(X, metric=metric, batch_size=7), dense((8, 6)))
    expected = reference_of_dense(X, (8, 6), metric=metric)
    assert list(found) == list(expected)
    for name, scores in expected.items():
        np.testing.assert_allclose(found[name], scores, rtol=1e-4, atol=1e-5)


def test_heads_are_squared_standardized_by_row_and_averaged():
    entry = keras.Input((4, 6))
    attention = layers.MultiHeadAttention(3, 2, name="attention")
    model = numbered(keras.Model(entry, layers.Dense(2)(attention(entry, entry))))
    x = np.random.default_rng(0).normal(size=(9, 4, 6)).astype("float32")
    graph = kc.structured.ChannelGraph(model)
    heads = [group for group in graph.groups if group.kind == "heads"]
    projection = attention.output_dense
    statistics = kc.calibration.collect_input_statistics(model, x, layers=[projection])
    ((_, found),) = statistics.items()
    kernel = ops.convert_to_numpy(projection.kernel).reshape(6, -1)
    rows = np.square(found.var * np.square(kernel).sum(axis=1))
    expected = {
        True: zscores(rows).reshape(3, 2).mean(axis=1),
        False: rows.reshape(3, 2).sum(axis=1),
    }
    for standardize, scores in expected.items():
        importance = kc.structured.Fluctuation(x, standardize=standardize)
        (value,) = importance.scores(graph, heads).values()
        np.testing.assert_allclose(value, scores, rtol=1e-4, atol=1e-6)


def test_rows_of_a_channel_add_up_and_equal_scores_are_zero():
    model = numbered(
        keras.Sequential(
            [
                keras.Input((3, 3, 1)),
                layers.Conv2D(2, 2, name="first"),
                layers.Flatten(),
                layers.Dense(2, name="head"),
            ]
        )
    )
    x = np.random.default_rng(0).normal(size=(9, 3, 3, 1)).astype("float32")
    found = scores_of(kc.structured.Fluctuation(x, standardize=False), model)["first"]
    kernel, bias = model.layers[0].get_weights()
    rows = (windows(x, 2).reshape(9, 2, 2, 4) @ kernel.reshape(4, 2) + bias).reshape(9, 8)
    single = reference_scores(rows, model.get_layer("head").get_weights()[0], standardize=False)
    np.testing.assert_allclose(found, single.reshape(4, 2).sum(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(zscores(np.ones(3)), 0.0)
    np.testing.assert_array_equal(zscores(np.ones(1)), 0.0)


def test_groups_that_only_a_recurrent_layer_reads_are_refused():
    model = keras.Sequential(
        [keras.Input((3, 2)), layers.Dense(4, name="first"), layers.GRU(2, name="reader")]
    )
    with pytest.raises(ValueError, match="first"):
        scores_of(kc.structured.Fluctuation(np.ones((2, 3, 2), "float32")), model)
