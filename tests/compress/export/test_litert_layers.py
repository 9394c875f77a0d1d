"""Layers as the converter wants them: on every backend the same values as before."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_compress.export import litert_layers
from keras_compress.export.integer_form import integer_form
from keras_compress.grids import AffineGrid
from keras_compress.quantization import ActivationRange
from tests.compress.export.quantized import fill, grouped, on_grid

RNG = np.random.default_rng(5)
OF_ROWS = np.full((6, 1), 0.2)
LAYERS = {
    "dense": (lambda: layers.Dense(3, activation="relu", kernel_initializer="zeros"), (4, 6)),
    "heads": (
        lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 3), kernel_initializer="zeros"),
        (4, 6),
    ),
    "output": (
        lambda: layers.EinsumDense(
            "abcd,cde->abe", (None, 5), bias_axes="e", kernel_initializer="zeros"
        ),
        (4, 2, 3),
    ),
    "conv": (
        lambda: layers.Conv2D(3, 2, strides=2, padding="same", kernel_initializer="zeros"),
        (5, 4, 2),
    ),
    "depthwise": (
        lambda: layers.DepthwiseConv2D(
            2, depth_multiplier=2, use_bias=False, depthwise_initializer="zeros"
        ),
        (5, 4, 3),
    ),
}


def one_layer(name):
    make, shape = LAYERS[name]
    model = fill(keras.Sequential([keras.Input(shape), make()]))
    return model, RNG.normal(size=(2, *shape)).astype("float32")


@pytest.mark.parametrize("name", LAYERS)
def test_the_outputs_are_those_of_the_layer(name):
    model, x = one_layer(name)
    expected = ops.convert_to_numpy(model(x))
    quantized = on_grid(model)
    exact = ops.convert_to_numpy(model(x))
    assert np.abs(expected - exact).max() > 1e-4
    (matrix,) = quantized.matrices.values()
    form, layer = integer_form(matrix), model.layers[0]
    assert litert_layers.refusal(layer, matrix, form) is None
    found = ops.convert_to_numpy(litert_layers.call(layer, form)(x))
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "grid", "reason"),
    [
        ("dense", lambda matrix: grouped(matrix, 4, 2), "several scales"),
        ("dense", lambda matrix: AffineGrid(8, scale=0.01), "do not fit"),
        (
            "heads",
            lambda matrix: AffineGrid(4, scale=OF_ROWS, zero_point=8),
            "several",
        ),
    ],
)
def test_reasons(name, grid, reason):
    model, _ = one_layer(name)
    (matrix,) = on_grid(model, grid).matrices.values()
    if reason == "do not fit":
        matrix.codes[0, 0] = 255
    assert reason in litert_layers.refusal(model.layers[0], matrix, integer_form(matrix))


def test_layers_without_a_form():
    model = fill(keras.Sequential([keras.Input((5, 2)), layers.Conv1D(3, 2)]))
    (matrix,) = on_grid(model).matrices.values()
    assert "Conv1D" in litert_layers.refusal(model.layers[0], matrix, integer_form(matrix))
    other = fill(
        keras.Sequential([keras.Input((4, 6)), layers.EinsumDense("abc,dc->abd", (None, 3))])
    )
    (matrix,) = on_grid(other).matrices.values()
    assert "equation" in litert_layers.refusal(other.layers[0], matrix, integer_form(matrix))


@pytest.mark.parametrize(
    "range_",
    [
        ActivationRange(8, 0.1),
        ActivationRange(8, 0.1, 100, signed=False),
        ActivationRange(4, 0.3),
        ActivationRange(3, 0.5, signed=False),
    ],
)
def test_inputs_are_rounded_to_their_range(range_):
    x = 3.0 * RNG.normal(size=200).astype("float32")
    low, high = range_.code_range
    codes = np.clip(np.rint(x / range_.scale) + range_.zero_point, low, high)
    expected = (codes - range_.zero_point) * range_.scale
    found = ops.convert_to_numpy(litert_layers.rounded_input(x, range_))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
