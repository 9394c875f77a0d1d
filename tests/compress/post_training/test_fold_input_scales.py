from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_compress.calibration.kernel_rows import channel_axes
from keras_compress.grids import AffineGrid, PowerGrid, QuantizedMatrix, TableGrid
from keras_compress.grids.matrix_layout import to_matrix
from keras_compress.post_training import fold_input_scales
from keras_compress.post_training.fold_input_scales import divided_outputs
from keras_compress.quantization.quantized_model import ActivationRange, QuantizedModel
from keras_reweight.core.selection import all_layers

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(2, 5, 8)).astype("float32")


def filled(model):
    for variable in model.weights:
        values = np.random.default_rng(len(variable.path)).normal(size=variable.shape)
        variable.assign(np.abs(values) + 0.5 if len(variable.shape) == 1 else values)
    return model


def transformer():
    x = inputs = keras.Input((5, 8))
    y = layers.LayerNormalization(name="norm")(x)
    y = layers.MultiHeadAttention(2, 3, name="attention")(y, y)
    x = layers.Add()([x, y])
    y = layers.RMSNormalization(name="rms")(x)
    y = layers.Dropout(0.1)(y)
    y = layers.Dense(12, name="up")(y)
    y = layers.ReLU()(y)
    y = layers.Dense(8, name="down")(y)
    x = layers.Add()([x, y])
    x = layers.Dense(4, "gelu", name="gelu")(x)
    return filled(keras.Model(inputs, layers.Dense(2, name="last")(x)))


def scaled(model, outliers=False):
    """The model with every kernel on a grid of 4 bits and an input scale, alike for all of a size.

    With `outliers`, the first weight of every kernel is kept outside the grid.
    """
    matrices = {}
    for variable in model.weights:
        if variable.name != "kernel":
            continue
        layer = next(one for one in all_layers(model) if getattr(one, "kernel", None) is variable)
        axes = channel_axes(layer)
        weight = to_matrix(ops.convert_to_numpy(variable), axes)
        scale = np.linspace(0.5, 2.0, len(weight)).astype("float32")
        grid = AffineGrid(4, scale=np.full((1, weight.shape[1]), 0.3), zero_point=8)
        matrix = QuantizedMatrix(
            grid.encode(weight * scale[:, None]),
            grid,
            tuple(variable.shape),
            axes,
            input_scale=scale,
            outliers=(np.array([0]), weight.ravel()[:1]) if outliers else None,
        )
        variable.assign(matrix.values())
        matrices[variable.path] = matrix
    return QuantizedModel(model, matrices)


@pytest.fixture(scope="module")
def quantized():
    return scaled(transformer())


@pytest.fixture(scope="module")
def folded(quantized):
    return fold_input_scales(quantized)


def scaled_paths(quantized):
    return {path for path, found in quantized.matrices.items() if found.input_scale is not None}


def values(model):
    return {variable.path: ops.convert_to_numpy(variable) for variable in model.weights}


def test_the_model_computes_the_same(quantized, folded):
    before = values(quantized.model)
    found, expected = (ops.convert_to_numpy(one.model(X)) for one in (folded, quantized))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    fold_input_scales(quantized)
    for path, value in values(quantized.model).items():
        np.testing.assert_array_equal(value, before[path])


def test_scales_go_where_the_graph_allows_it(quantized, folded):
    assert scaled_paths(quantized) == set(quantized.matrices)
    # What goes through an addition or GELU has other readers, or is not linear.
    assert scaled_paths(folded) == {"gelu/kernel", "last/kernel"}
    for name in ("norm/gamma", "norm/beta"):
        np.testing.assert_allclose(
            values(folded.model)[name],
            values(quantized.model)[name] / np.linspace(0.5, 2.0, 8),
            rtol=1e-6,
        )


def test_kernels_are_on_their_grids(quantized, folded):
    found = values(folded.model)
    for path, matrix in folded.matrices.items():
        np.testing.assert_array_equal(found[path], matrix.values())
        np.testing.assert_array_equal(matrix.codes, quantized.matrices[path].codes)


def test_different_scales_of_queries_and_keys_stay(quantized):
    matrices = dict(quantized.matrices)
    query = next(path for path in matrices if path.endswith("query/kernel"))
    matrices[query] = dataclasses.replace(
        matrices[query], input_scale=2.0 * matrices[query].input_scale
    )
    found = fold_input_scales(dataclasses.replace(quantized, matrices=matrices))
    left = {path for path in scaled_paths(found) if path.startswith("attention")}
    assert len(left) == 3


def test_outputs_and_shared_layers_stay():
    inputs = keras.Input((6,))
    x = layers.LayerNormalization(name="norm")(inputs)
    returned = layers.Dense(4, name="returned")(x)
    shared = layers.Dense(4, name="shared")
    model = filled(keras.Model(inputs, [shared(returned), shared(inputs[:, :4]), returned]))
    assert scaled_paths(fold_input_scales(scaled(model))) == {"shared/kernel"}


def test_outliers_are_scaled_with_their_rows_and_outputs():
    inputs = keras.Input((6,))
    x = layers.BatchNormalization(name="norm")(inputs)
    x = layers.Dense(7, "relu", name="first")(x)
    model = filled(keras.Model(inputs, layers.Dense(3, name="second")(x)))
    quantized = scaled(model, outliers=True)
    folded = fold_input_scales(quantized)
    assert not scaled_paths(folded)
    old, new = values(quantized.model), values(folded.model)
    rows, hidden = np.linspace(0.5, 2.0, 6), np.linspace(0.5, 2.0, 7)
    for path, expected in (
        ("norm/gamma", old["norm/gamma"] / rows),
        ("norm/beta", old["norm/beta"] / rows),
        ("first/kernel", old["first/kernel"] * rows[:, None] / hidden),
        ("first/bias", old["first/bias"] / hidden),
        ("second/kernel", old["second/kernel"] * hidden[:, None]),
    ):
        # Outliers have 11 significant bits.
        np.testing.assert_allclose(new[path], expected, rtol=1e-3, atol=1e-6, err_msg=path)


@pytest.mark.parametrize(
    "grid",
    [
        AffineGrid(3, scale=np.full((2, 4), 0.3), zero_point=3.0, group_size=3),
        PowerGrid(3, scale=0.4, exponent=np.array([[0.5, 0.7, 1.0, 1.1]])),
        TableGrid(2, table=np.array([-1.0, 0.0, 0.2, 2.0])),
    ],
    ids=lambda grid: grid.kind,
)
def test_outputs_of_every_grid_are_divided(grid):
    weight = np.random.default_rng(2).normal(size=(6, 4))
    matrix = QuantizedMatrix(grid.encode(weight), grid, (6, 4), (1,))
    scale = np.array([0.5, 1.0, 3.0, 7.0])
    found = divided_outputs(matrix, scale)
    np.testing.assert_allclose(found.values(), matrix.values() / scale, rtol=1e-5)
    by_input = AffineGrid(2, scale=np.ones((6, 2)), zero_point=1, group_size=2, group_axis=1)
    assert divided_outputs(dataclasses.replace(matrix, grid=by_input), scale) is None


def test_wrong_arguments(quantized):
    with pytest.raises(TypeError, match="`quantized`"):
        fold_input_scales(quantized.model)
    ranges = {"up": ActivationRange(bits=8, scale=0.1)}
    with pytest.raises(ValueError, match="`quantized`.*'up'"):
        fold_input_scales(dataclasses.replace(quantized, ranges=ranges))
