"""Keras' own layers with our codes: the same values, or the reason why not."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from keras_compress.grids import AffineGrid, QuantizedMatrix, TableGrid
from keras_compress.quantization import ActivationRange
from tests.compress.export.quantized import (
    ROUNDED,
    TOKENS,
    dense_model,
    grouped,
    on_grid,
    symmetric,
    token_model,
)

X = np.random.default_rng(3).normal(size=(6, 8)).astype("float32")


def outputs(model, x):
    return ops.convert_to_numpy(model(x))


def test_every_layer_keras_has():
    def four(matrix):
        return symmetric(matrix, 4)

    grids = {
        "table": four,
        "heads": grouped,
        "merged": symmetric,
        "hidden": lambda matrix: TableGrid(2, table=[-1.0, 0.0, 1.0], scale=0.3),
        "conv": four,
        "head": lambda matrix: AffineGrid(4, scale=0.01, zero_point=2),
    }
    quantized = on_grid(token_model(), grids)
    found = kc.export.to_keras_layers(quantized)
    policies = {row.path: row.policy for row in found.layers}
    assert policies == {
        "table": "int4/-1_from_float32",
        "heads": "int4/3_from_float32",
        "merged": "int8_from_float32",
        "hidden": "int4/-1_from_float32",
        "conv": None,
        "head": "int4/4_from_float32",
    }
    assert found.left_float == {"conv/kernel": "Keras has no quantized Conv1D"}
    assert max(row.difference for row in found.layers) <= 2e-7
    assert "conv/kernel" in str(found)
    # What the layers compute, not only what is in their variables.
    expected = outputs(quantized.model, TOKENS)
    np.testing.assert_allclose(outputs(found.model, TOKENS), expected, rtol=1e-5, atol=1e-6)
    # The given model is left as it was.
    assert quantized.model.get_layer("head").quantization_mode is None


@pytest.mark.parametrize(
    ("range_", "inputs"),
    [
        (ROUNDED, "static"),
        (ActivationRange(4, 0.4), "static"),
        (ActivationRange(7, 0.05, signed=False), "static"),
        (ActivationRange(8, 0.05, signed=False), "float"),
        (ActivationRange(8, 0.05, 3), "float"),
        (None, "float"),
    ],
)
def test_static_inputs_where_keras_has_them(range_, inputs):
    quantized = on_grid(dense_model(), ranges=range_ and {"dense": range_})
    found = kc.export.to_keras_layers(quantized)
    (row,) = found.layers
    assert row.inputs == inputs
    x = X
    if inputs == "static":
        low, high = range_.code_range
        x = np.clip(np.rint(X / np.float32(range_.scale)), low, high) * np.float32(range_.scale)
    else:
        assert bool(row.reason) == (range_ is not None)
    expected = outputs(quantized.model, x)
    np.testing.assert_allclose(outputs(found.model, X), expected, rtol=1e-5, atol=1e-5)


def test_inputs_as_asked():
    quantized = on_grid(dense_model(), ranges={"dense": ROUNDED})
    for asked in ("float", "dynamic"):
        (row,) = kc.export.to_keras_layers(quantized, activations=asked).layers
        assert row.inputs == asked


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda grid: {"signs": np.ones(8)}, "rotated"),
        (lambda grid: {"outliers": ([1], [2.0])}, "outliers"),
        (lambda grid: {"input_scale": np.full(8, 2.0)}, "scales of their own"),
    ],
)
def test_what_keras_cannot_say_stays_float(change, reason):
    def stored(matrix):
        grid = symmetric(matrix)
        return QuantizedMatrix(grid.encode(matrix), grid, (8, 5), (1,), **change(grid))

    quantized = on_grid(dense_model(), stored)
    found = kc.export.to_keras_layers(quantized)
    assert reason in found.left_float["dense/kernel"]
    np.testing.assert_array_equal(outputs(found.model, X), outputs(quantized.model, X))


def test_scales_that_differ_inside_an_output_stay_float():
    quantized = on_grid(dense_model(), lambda matrix: grouped(matrix, 8))
    found = kc.export.to_keras_layers(quantized)
    assert "one scale for each output" in found.left_float["dense/kernel"]


def test_a_trained_model_and_its_file(tmp_path):
    """Half codes (StatsQ) have integers of twice as many levels."""
    aware = kc.quantize_aware(dense_model(), weights=3, method="stats")
    found = kc.export.to_keras_layers(aware)
    assert found.layers[0].policy == "int4/-1_from_float32"
    np.testing.assert_allclose(outputs(found.model, X), outputs(aware, X), rtol=1e-5, atol=1e-6)
    found.model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(again, X), outputs(found.model, X))


def test_subclassed_models_in_place_or_from_their_configuration():
    @keras.saving.register_keras_serializable(package="tests.to_keras_layers")
    class Model(keras.Model):
        def __init__(self, units=3, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.head = layers.Dense(units, name="head", kernel_initializer="ones")

        def build(self, input_shape):
            self.head.build(input_shape)

        def call(self, inputs):
            return self.head(inputs)

        def get_config(self):
            return {"units": self.units}

    model = Model()
    model(X)
    quantized = on_grid(model)
    found = kc.export.to_keras_layers(quantized)
    assert found.model is not model and model.head.quantization_mode is None
    assert kc.export.to_keras_layers(quantized, copy=False).model is model
    np.testing.assert_array_equal(outputs(found.model, X), outputs(model, X))


def test_half_precision_stays_float():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(5, name="dense", dtype="float16")])
    model.layers[0].kernel.assign(np.ones((8, 5), "float16"))
    grid = AffineGrid(4, scale=0.25)
    found = kc.export.to_keras_layers(on_grid(model, lambda matrix: grid))
    assert "float16" in found.left_float["dense/kernel"]
