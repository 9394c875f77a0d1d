"""Models on a grid for the tests of exports, without training or calibration."""

import keras
import numpy as np
from keras import layers, ops

from keras_compress.grids import AffineGrid, QuantizedMatrix
from keras_compress.grids.matrix_layout import to_matrix
from keras_compress.quantization import ActivationRange, QuantizedModel
from keras_compress.quantization.supported import matrices
from keras_reweight.core.selection import layers_by_path


def symmetric(matrix, bits=8):
    """One scale for each output, in the whole range but for the lowest code."""
    half = 2 ** (bits - 1)
    return AffineGrid(bits, scale=np.abs(matrix).max(axis=0)[None] / (half - 1), zero_point=half)


def grouped(matrix, bits=4, size=3):
    """Scales and zero points for groups of rows."""
    parts = np.array_split(matrix, range(size, len(matrix), size))
    low, high = (
        np.stack([one(part.min(axis=0), part.max(axis=0)) for part in parts])
        for one in (lambda a, b: np.minimum(a, 0.0), lambda a, b: np.maximum(b, 0.0))
    )
    scale = (high - low) / (2**bits - 1) + 1e-6
    return AffineGrid(bits, scale=scale, zero_point=np.rint(-low / scale), group_size=size)


def fill(model):
    """Weights drawn by NumPy; those of a normalization positive."""
    rng = np.random.default_rng(1)
    for variable in model.weights:
        values = rng.normal(size=variable.shape) * 0.5
        if variable.name in ("gamma", "moving_variance"):
            values = 0.5 + np.abs(values)
        variable.assign(values.astype("float32"))
    return model


def on_grid(model, grid=symmetric, ranges=None):
    """A `QuantizedModel`: `grid(matrix)`, or `grid[path of the layer](matrix)`."""
    stored = {}
    for path, layer in layers_by_path(model).items():
        if any(True for inner in layers_by_path(layer)):
            continue
        for one in matrices(layer):
            kernel = ops.convert_to_numpy(one.variable.value)
            axes = tuple(axis % kernel.ndim for axis in one.axis or ())
            matrix = to_matrix(kernel, axes)
            chosen = (grid[path] if isinstance(grid, dict) else grid)(matrix)
            if not isinstance(chosen, QuantizedMatrix):
                chosen = QuantizedMatrix(chosen.encode(matrix), chosen, kernel.shape, axes)
            one.variable.assign(chosen.values())
            stored[one.variable.path] = chosen
    return QuantizedModel(model, stored, ranges or {})


def token_model():
    inputs = keras.Input((4,), dtype="int32")
    hidden = layers.Embedding(7, 6, name="table", embeddings_initializer="zeros")(inputs)
    hidden = layers.EinsumDense("abc,cde->abde", (None, 2, 3), name="heads")(hidden)
    hidden = layers.EinsumDense("abcd,cde->abe", (None, 6), name="merged")(hidden)
    hidden = layers.Dense(6, name="hidden")(hidden)
    hidden = layers.Conv1D(4, 2, name="conv", kernel_initializer="zeros")(hidden)
    outputs = layers.Dense(3, name="head", kernel_initializer="zeros")(hidden)
    return fill(keras.Model(inputs, outputs))


def dense_model(units=5, features=8):
    head = layers.Dense(units, name="dense", kernel_initializer="zeros")
    return fill(keras.Sequential([keras.Input((features,)), head]))


TOKENS = np.random.default_rng(0).integers(0, 7, (3, 4))
ROUNDED = ActivationRange(8, 0.05)
