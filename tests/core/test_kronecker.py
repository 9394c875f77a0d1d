"""Kronecker factors of every kind of layer against NumPy, and the two orders of a kernel."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.kronecker import (
    kernel_from_matrix,
    kernel_matrix,
    kronecker_refusal,
    make_kronecker_sums,
)
from tests.core.gradients.references import set_weights

X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
WEIGHTS = np.array([1.0, 0.0, 2.0], "float32")
#: Functional weights of the loss, so that every gradient at the outputs differs.
COTANGENT = np.random.default_rng(1).normal(size=(3, 59)).astype("float32")


@functools.cache
def parallel():
    """One layer of every kind beside the others, on the same sequences."""
    entry = keras.Input((4, 2))
    image = layers.Reshape((4, 2, 1))(entry)
    treated = [
        layers.Dense(3, activation="tanh"),
        layers.EinsumDense("abc,cde->abde", (None, 2, 2), bias_axes="e"),
        layers.EinsumDense("abc,dbc->ad", (3,)),
        layers.Conv1D(3, 2, padding="causal", dilation_rate=2),
        layers.Conv2D(2, (3, 2), strides=2, padding="same"),
    ]
    outputs = [layer(image if index == 4 else entry) for index, layer in enumerate(treated)]
    # The dense layer runs a second time, on what the convolution gives.
    outputs.append(layers.ZeroPadding1D((0, 0))(treated[0](layers.Dense(2)(outputs[3]))))
    flat = [layers.Flatten()(output) for output in outputs]
    model = keras.Model(entry, layers.Concatenate()(flat))
    set_weights(model)
    return model, treated


def patches(x, size, strides, pads):
    """`(batch, positions, kernel elements)` of images of shape `(batch, h, w, channels)`."""
    x = np.pad(x, ((0, 0), *pads, (0, 0)))
    rows = range(0, x.shape[1] - size[0] + 1, strides[0])
    columns = range(0, x.shape[2] - size[1] + 1, strides[1])
    found = [x[:, i : i + size[0], j : j + size[1]] for i in rows for j in columns]
    return np.stack([part.reshape(len(x), -1) for part in found], axis=1)


def reference():
    """Rows that each kernel multiplies and gradients at its outputs, `(batch, positions, ...)`."""
    model, treated = parallel()
    x, cotangent = X.astype("float64"), COTANGENT.astype("float64")
    dense, _, _, conv, _ = treated
    parts = np.split(cotangent, np.cumsum([12, 16, 3, 12, 4, 12])[:-1], axis=1)
    kernel, bias = (np.asarray(v, "float64") for v in dense.get_weights())
    causal = np.stack([np.concatenate([np.zeros((3, 2, 2)), x[:, :2]], axis=1), x], axis=2)
    causal = causal.reshape(3, 4, 4)
    conv_kernel, conv_bias = (np.asarray(v, "float64") for v in conv.get_weights())
    last = next(
        layer for layer in model.layers if type(layer) is layers.Dense and layer is not dense
    )
    last_kernel, last_bias = (np.asarray(v, "float64") for v in last.get_weights())
    second = (causal @ conv_kernel.reshape(4, 3) + conv_bias) @ last_kernel + last_bias
    outer = parts[5].reshape(3, 4, 3) * (1 - np.tanh(second @ kernel + bias) ** 2)
    first = parts[0].reshape(3, 4, 3) * (1 - np.tanh(x @ kernel + bias) ** 2)
    through = outer @ kernel.T @ last_kernel.T
    return [
        [(x, first), (second, outer)],
        [(x, parts[1].reshape(3, 4, 4))],
        [(x.reshape(3, 1, 8), parts[2].reshape(3, 1, 3))],
        [(causal, parts[3].reshape(3, 4, 3) + through)],
        [(patches(x[..., None], (3, 2), (2, 2), ((0, 1), (0, 0))), parts[4].reshape(3, 2, 2))],
    ]


def test_sums_of_every_kind_of_layer_and_of_both_calls():
    model, treated = parallel()
    sums = make_kronecker_sums(
        lambda x, cotangent: ops.sum(model(x, training=False) * cotangent, axis=1),
        treated,
        model.variables,
    )
    found = sums(WEIGHTS, X, COTANGENT)
    for layer, parts, calls in zip(treated, found, reference(), strict=True):
        expected = [
            sum(np.einsum("bti,b,btj->ij", rows, WEIGHTS, rows) for rows in side)
            for side in zip(*calls, strict=True)
        ]
        for part, wanted in zip(parts, expected, strict=False):
            np.testing.assert_allclose(
                ops.convert_to_numpy(part), wanted, rtol=1e-4, atol=1e-4, err_msg=layer.path
            )
        total = sum(WEIGHTS.sum() * rows.shape[1] for rows, _ in calls)
        np.testing.assert_allclose(ops.convert_to_numpy(parts[2]), total, rtol=1e-6)
    assert all("call" not in vars(layer) for layer in treated)
    assert all(type(layer.activation).__name__ == "function" for layer in treated)


def test_matrices_of_kernels_multiply_the_rows():
    """`rows @ matrix` is the output without bias: both are in the order of the factors."""
    _, treated = parallel()
    for layer, calls in zip(treated, reference(), strict=True):
        kernel = np.asarray(layer.get_weights()[0], "float64")
        matrix = kernel_matrix(layer, kernel)
        rows = calls[0][0]
        if layer is treated[1]:
            expected = np.einsum("abc,cde->abde", X, kernel).reshape(3, 4, 4)
        elif layer is treated[2]:
            expected = np.einsum("abc,dbc->ad", X, kernel)[:, None]
        else:
            expected = rows @ kernel.reshape(-1, kernel.shape[-1])
        np.testing.assert_allclose(rows @ matrix, expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(kernel_from_matrix(layer, matrix), kernel)


def test_masked_positions_and_weights_of_positions_do_not_count():
    entry = keras.Input((3, 2))
    dense = layers.Dense(2)
    model = keras.Model(entry, dense(layers.Masking()(entry)))
    set_weights(model)
    x = X[:, :3].copy()
    x[0, 2] = 0.0
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.0]], "float32")
    sums = make_kronecker_sums(
        lambda x: ops.sum(ops.square(model(x)), axis=(1, 2)), [dense], model.variables
    )
    ((inner, outer, total),) = sums(weights, x)
    counted = weights.copy()
    counted[0, 2] = 0.0
    gradient = 2.0 * (x @ dense.get_weights()[0] + dense.get_weights()[1])
    for found, rows in ((inner, x), (outer, gradient)):
        expected = np.einsum("bti,bt,btj->ij", rows, counted, rows)
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5, atol=1e-6)
    assert float(total) == counted.sum()
    with pytest.raises(ValueError, match="2 positions a sample"):
        sums(weights[:, :2], x)


def test_what_has_no_factors_is_told_why():
    cell = layers.Dense(2)
    model = keras.Sequential(
        [
            keras.Input((4, 2)),
            layers.TimeDistributed(cell),
            layers.LayerNormalization(),
            layers.Conv1D(2, 2, groups=2),
        ]
    )
    refusal = kronecker_refusal(model)
    assert "step by step" in refusal(cell)
    assert "no Kronecker factors" in refusal(model.layers[1])
    assert "grouped" in refusal(model.layers[2])
    assert refusal(parallel()[1][0]) is None
