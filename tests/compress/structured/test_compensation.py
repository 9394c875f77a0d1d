"""Layers that make up for dropped channels, against the formulas and by what they preserve."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from keras_compress.structured.compensation import (
    mask_factors,
    rebuild_compensated,
    reconstructed,
)
from keras_reweight.core.forward import make_forward
from tests.compress.structured.networks import dense, numbered

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 5)).astype("float32")
KEEP = {
    "hidden0": np.array([1, 0, 1, 1, 0, 1, 1, 0], bool),
    "hidden1": np.array([1, 1, 0, 1, 0, 1], bool),
}


def reference_obs_steps(matrix, kept, second_moments, ridge):
    """Optimal Brain Surgeon one row after the other, with the inverse updated."""
    damping = ridge * np.mean(np.diagonal(second_moments))
    inverse = np.linalg.inv(second_moments + damping * np.eye(len(matrix)))
    weights = np.array(matrix, "float64")
    for row in np.flatnonzero(~kept):
        column = inverse[:, row] / inverse[row, row]
        weights -= np.outer(column, weights[row])
        inverse = inverse - np.outer(column, inverse[row])
    return weights


def reference_mask(rows, matrix, kept):
    """The factors by brute force: one column of all outputs a kept row."""
    columns = [np.outer(rows[:, row], matrix[row]).ravel() for row in np.flatnonzero(kept)]
    target = (rows @ matrix).ravel()
    return np.linalg.lstsq(np.stack(columns, axis=1), target, rcond=None)[0]


def problem(seed=0, rows=6, outputs=3):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(50, rows)) @ rng.normal(size=(rows, rows)) + 1.0
    kept = np.arange(rows) % 3 != 1
    return inputs, rng.normal(size=(rows, outputs)), kept


def outputs_of(model):
    """What a network of dense layers gives for `X`."""
    x = X.astype("float64")
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        x = x @ kernel + bias
        x = x if layer.name == "head" else np.maximum(x, 0.0)
    return x


@pytest.fixture(scope="module")
def graph():
    return kc.structured.ChannelGraph(dense())


@pytest.fixture(scope="module")
def hidden(graph):
    """Inputs of `hidden1` and `head` in the original model."""
    first, second, _ = graph.model.layers
    outputs = [X]
    for layer in (first, second):
        kernel, bias = layer.get_weights()
        outputs.append(np.maximum(outputs[-1] @ kernel + bias, 0.0))
    return outputs[1:]


def test_obs_in_closed_form_is_obs_step_by_step():
    rows, matrix, kept = problem()
    moments = rows.T @ rows / len(rows)
    found = reconstructed(matrix, kept, moments, 0.01)
    expected = reference_obs_steps(matrix, kept, moments, 0.01)
    np.testing.assert_allclose(found[kept], expected[kept], rtol=1e-8)
    np.testing.assert_array_equal(reconstructed(matrix, np.ones(6, bool), moments, 0.01), matrix)


def test_mask_factors_are_the_least_squares_solution():
    rows, matrix, kept = problem(1)
    found = mask_factors(matrix, kept, np.arange(6), rows.T @ rows / 50)
    np.testing.assert_allclose(found[kept], reference_mask(rows, matrix, kept), rtol=1e-4)
    np.testing.assert_array_equal(found[~kept], 1.0)


def test_rows_of_a_unit_share_their_factor():
    rows, matrix, kept = problem(2)
    kept = np.array([True, True, False, False, True, True])
    found = mask_factors(matrix, kept, np.array([0, 0, 1, 1, 2, 2]), rows.T @ rows)
    assert found[0] == found[1] != found[4] == found[5]


def test_wild_mask_factors_are_refused():
    matrix = np.array([[1.0], [20.0]])
    rows = np.array([[1.0, 1.0], [2.0, 2.0]])
    factors = mask_factors(matrix, np.array([True, False]), np.arange(2), rows.T @ rows)
    np.testing.assert_array_equal(factors, 1.0)


def test_bias_takes_up_the_means(graph, hidden):
    small = rebuild_compensated(graph, KEEP, "bias", X, batch_size=16)
    for name, key, inputs in (("hidden1", "hidden0", hidden[0]), ("head", "hidden1", hidden[1])):
        kernel, bias = graph.model.get_layer(name).get_weights()
        gone = ~KEEP[key]
        outputs = KEEP.get(name, slice(None))
        expected = (bias + inputs.astype("float64").mean(0)[gone] @ kernel[gone])[outputs]
        new_kernel, new_bias = small.get_layer(name).get_weights()
        np.testing.assert_allclose(new_bias, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(new_kernel, kernel[~gone][:, outputs])


@pytest.mark.parametrize("method", ["obs", "mask"])
def test_kernels_by_statistics_of_the_original(graph, hidden, method):
    small = rebuild_compensated(graph, KEEP, method, X)
    kernel, bias = graph.model.get_layer("hidden1").get_weights()
    kept, outputs = KEEP["hidden0"], KEEP["hidden1"]
    rows, matrix = hidden[0].astype("float64"), kernel.astype("float64")[:, outputs]
    if method == "obs":
        expected = reference_obs_steps(matrix, kept, rows.T @ rows / len(rows), 0.01)[kept]
    else:
        expected = reference_mask(rows, matrix, kept)[:, None] * matrix[kept]
    new_kernel, new_bias = small.get_layer("hidden1").get_weights()
    np.testing.assert_allclose(new_kernel, expected, rtol=2e-3, atol=2e-4)
    np.testing.assert_array_equal(new_bias, bias[outputs])


def test_every_method_beats_none_on_the_data(graph):
    keep = {"hidden1": KEEP["hidden1"]}
    before, errors = outputs_of(graph.model), {}
    statistics = kc.calibration.collect_input_statistics(
        graph.model, X, layers="head", moments=["mean", "gram"]
    )
    for method in (None, "bias", "obs", "mask"):
        small = rebuild_compensated(graph, keep, method, statistics=statistics)
        errors[method] = np.mean(np.square(outputs_of(small) - before))
    assert max(errors["bias"], errors["obs"], errors["mask"]) < errors[None]


def test_constant_channels_go_without_a_trace_and_biases_are_made():
    model = numbered(
        keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                layers.Conv2D(4, 3, activation="relu", name="first"),
                layers.Conv2D(3, 2, use_bias=False, name="second"),
                layers.BatchNormalization(name="norm"),
                layers.Flatten(),
                layers.Dense(2, name="head"),
            ]
        )
    )
    kernel, bias = model.layers[0].get_weights()
    kernel[..., [0, 2]] = 0.0
    bias[:] = 0.7
    model.layers[0].set_weights([kernel, bias])
    graph = kc.structured.ChannelGraph(model)
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")
    keep = {"first": np.array([False, True, False, True])}
    small = rebuild_compensated(graph, keep, "bias", x)
    found, expected = (make_forward(one)(x) for one in (small, model))
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(expected), rtol=1e-4, atol=1e-4
    )
    assert small.get_layer("second").use_bias and not model.get_layer("second").use_bias
    assert rebuild_compensated(graph, keep, None).get_layer("second").bias is None


def test_a_channel_that_follows_from_others_goes_without_a_trace():
    model = dense()
    kernel, bias = model.layers[0].get_weights()
    kernel[:, 1], bias[1] = 0.5 * kernel[:, 3], 0.5 * bias[3]
    model.layers[0].set_weights([kernel, bias])
    graph = kc.structured.ChannelGraph(model)
    small = rebuild_compensated(graph, {"hidden0": np.arange(8) != 1}, "obs", X, ridge=1e-6)
    np.testing.assert_allclose(outputs_of(small), outputs_of(model), rtol=1e-3, atol=1e-3)


def test_heads_leave_their_mean_behind_also_without_biases():
    entry = keras.Input((4, 6))
    attended = layers.MultiHeadAttention(3, 2, use_bias=False, name="attention")(entry, entry)
    model = numbered(keras.Model(entry, layers.Dense(2, name="head")(attended)))
    graph = kc.structured.ChannelGraph(model)
    (group,) = [group for group in graph.groups if group.kind == "heads"]
    mean = np.linspace(-1.0, 1.0, 6)
    statistics = {"attention/attention_output": kc.calibration.InputStatistics(20, mean=mean)}
    keep = {group.name: np.array([True, False, True])}
    small = rebuild_compensated(graph, keep, "bias", statistics=statistics)
    layer = small.get_layer("attention")
    assert layer.num_heads == 2
    kernel = ops.convert_to_numpy(model.get_layer("attention").output_dense.kernel)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer.output_dense.bias), mean[2:4] @ kernel[1], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.output_dense.kernel), kernel[[0, 2]])
    assert not ops.convert_to_numpy(layer.query_dense.bias).any()


def test_nothing_dropped_and_bad_method(graph):
    small = rebuild_compensated(graph, {}, "obs", X)
    np.testing.assert_array_equal(outputs_of(small), outputs_of(graph.model))
    with pytest.raises(ValueError, match="method"):
        rebuild_compensated(graph, KEEP, "average", X)
