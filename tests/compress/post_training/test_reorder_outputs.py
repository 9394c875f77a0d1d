"""Outputs in the order of their codebooks: the same model, and no map in the file."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_compress.grids import AffineGrid, LevelsGrid, PowerGrid, QuantizedMatrix, TableGrid
from keras_compress.post_training import GPTQ, Codebook, quantize, reorder_outputs
from keras_compress.post_training._permuted_matrix import permuted_matrix
from keras_compress.quantization import load_packed, save_packed

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=(3, 6, 6, 2)).astype("float32")


def drawn(model):
    """Outputs that are wide and narrow in turn, statistics of normalizations as after training."""
    generator = np.random.default_rng(1)
    for variable in model.weights:
        values = generator.normal(size=tuple(variable.shape))
        if "kernel" in variable.path:
            values *= np.where(np.arange(values.shape[-1]) % 3 == 0, 0.1, 1.0)
        variable.assign(np.abs(values) + 0.5 if "moving" in variable.path else values)
    return model


def convolutions():
    x = inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(8, 3, name="first")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU()(x)
    y = layers.Conv2D(8, 1, activation="gelu", name="second")(x)
    x = layers.Flatten()(layers.MaxPooling2D()(layers.Add()([x, y])))
    x = layers.Dense(6, "tanh", name="hidden")(x)
    return drawn(keras.Model(inputs, layers.Dense(3, name="last")(x)))


def numbers(tensor):
    return ops.convert_to_numpy(ops.convert_to_tensor(tensor)).astype("float64")


@pytest.fixture(scope="module")
def pair():
    quantized = quantize(convolutions(), solver=Codebook(groups=2), bits=2)
    return quantized, reorder_outputs(quantized)


def kernels(quantized):
    return {path: (one.values(), one) for path, one in quantized.matrices.items()}


def test_the_model_computes_the_same(pair):
    before = [numbers(variable) for variable in pair[0].model.weights]
    found, expected = (numbers(one.model(IMAGES)) for one in reversed(pair))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    reorder_outputs(pair[0])
    for old, variable in zip(before, pair[0].model.weights, strict=True):
        np.testing.assert_array_equal(numbers(variable), old)
    for path, (values, _) in kernels(pair[1]).items():
        variable = next(one for one in pair[1].model.weights if one.path == path)
        np.testing.assert_array_equal(numbers(variable), values)


def test_weights_are_those_of_the_reference_order(pair):
    (old, new) = map(kernels, pair)
    order = np.argsort(old["first/kernel"][1].grid.assignment, kind="stable")
    hidden = np.argsort(old["hidden/kernel"][1].grid.assignment, kind="stable")
    # Rows behind the flattening are place by place, 2 * 2 of them, each with all channels.
    rows = old["hidden/kernel"][0].reshape(4, 8, 6)[:, order].reshape(32, 6)
    expected = {
        "first/kernel": old["first/kernel"][0][..., order],
        "second/kernel": old["second/kernel"][0][..., order, :][..., order],
        "hidden/kernel": rows[:, hidden],
        "last/kernel": old["last/kernel"][0][hidden],
    }
    assert not np.array_equal(order, np.arange(8)) and not np.array_equal(hidden, np.arange(6))
    for path, values in expected.items():
        np.testing.assert_array_equal(new[path][0], values)
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        values = [numbers(getattr(one.model.get_layer("norm"), name)) for one in pair]
        np.testing.assert_array_equal(values[1], values[0][order])


def test_no_map_is_left_where_the_order_is_free(pair, tmp_path):
    stored = {path: one.grid.arrays() for path, (_, one) in kernels(pair[1]).items()}
    assert {path for path, arrays in stored.items() if "assignment" in arrays} <= {
        "second/kernel",
        "last/kernel",
    }
    for path in ("first/kernel", "hidden/kernel"):
        assert stored[path]["sizes"].shape == (2,)
    fewer = pair[0].num_bytes - pair[1].num_bytes
    assert fewer >= 4 * (8 + 6) - 2 * 4 * 2
    save_packed(pair[1], tmp_path / "model.safetensors")
    again = load_packed(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(numbers(again(IMAGES)), numbers(pair[1].model(IMAGES)))


def test_readers_with_scales_for_groups_keep_the_order():
    inputs = keras.Input((4,))
    y = layers.Dense(6, "relu", name="a")(inputs)
    model = drawn(keras.Model(inputs, layers.Dense(3, name="b")(y)))
    x = GENERATOR.normal(size=(20, 4)).astype("float32")
    first = quantize(model, solver=Codebook(groups=2), bits=2, layers="a")
    second = quantize(first.model, x, solver=GPTQ(), bits=3, group_size=2, layers="b")
    mixed = type(first)(second.model, {**first.matrices, **second.matrices})
    kept = reorder_outputs(mixed)
    np.testing.assert_array_equal(
        kept.matrices["a/kernel"].values(), mixed.matrices["a/kernel"].values()
    )
    free = reorder_outputs(type(first)(first.model, first.matrices))
    assert "assignment" in kept.matrices["a/kernel"].grid.arrays()
    assert "sizes" in free.matrices["a/kernel"].grid.arrays()
    np.testing.assert_allclose(
        numbers(free.model(x)), numbers(first.model(x)), rtol=1e-4, atol=1e-5
    )


SHAPE, CHANNELS = (2, 4, 3, 2), (1, 3)
RNG = np.random.default_rng(2)
GRIDS = {
    "affine": AffineGrid(3, scale=RNG.uniform(0.1, 1, (1, 8)), zero_point=np.arange(8)[None]),
    "inputs": AffineGrid(
        3, scale=RNG.uniform(0.1, 1, (6, 1)), zero_point=3, levels=np.arange(3, 9)
    ),
    "table": TableGrid(3, table=RNG.normal(size=(2, 8)), assignment=np.arange(8) % 2),
    "power": PowerGrid(3, scale=RNG.uniform(0.1, 1, (1, 8)), exponent=0.7),
    "levels": LevelsGrid(3, levels=np.arange(3, 9), low=-np.arange(1.0, 9.0), high=np.ones(8)),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("axis", range(4))
def test_a_matrix_follows_its_variable(name, axis):
    codes = RNG.integers(0, 3, (6, 8)).astype("uint8")
    matrix = QuantizedMatrix(
        codes,
        GRIDS[name],
        SHAPE,
        CHANNELS,
        input_scale=RNG.uniform(1.0, 2.0, 6),
        outliers=(np.array([3, 17, 40]), np.array([5.0, 6.0, 7.0])),
    )
    index = RNG.permutation(SHAPE[axis])
    found = permuted_matrix(matrix, axis, index)
    np.testing.assert_array_equal(found.values(), np.take(matrix.values(), index, axis=axis))


def test_what_cannot_be_said_is_not():
    def made(grid, **parts):
        return QuantizedMatrix(np.zeros((4, 2), "uint8"), grid, (4, 2), (1,), **parts)

    grouped = [
        AffineGrid(3, scale=np.ones((2, 2)), group_size=2),
        TableGrid(3, table=np.arange(8.0), scale=np.ones((2, 2)), group_size=2),
    ]
    for matrix in (*map(made, grouped), made(AffineGrid(3, scale=1.0), signs=np.ones(4, "int8"))):
        assert permuted_matrix(matrix, 0, np.array([1, 0, 2, 3])) is None
        assert permuted_matrix(matrix, 1, np.array([1, 0])) is not None
    of_outputs = AffineGrid(3, scale=np.ones((4, 1)) * [[1.0]], group_size=2, group_axis=1)
    assert permuted_matrix(made(of_outputs), 1, np.array([1, 0])) is not None


def test_subclassed_models_are_refused():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

        def get_config(self):
            return {}

    model = Own()
    model(np.ones((1, 3), "float32"))
    quantized = quantize(model, solver=Codebook(groups=1), bits=2, copy=False)
    with pytest.raises(ValueError, match="subclassed|cannot"):
        reorder_outputs(quantized)
    with pytest.raises(TypeError, match="`quantized`"):
        reorder_outputs(model)
