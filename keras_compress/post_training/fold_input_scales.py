"""Move input scales into the layers that make the inputs."""

from __future__ import annotations

import dataclasses

import numpy as np
from keras import ops

from keras_compress._copy_model import copy_model
from keras_compress.calibration.kernel_rows import kernel_matrix, kernel_of_matrix
from keras_compress.grids.affine_grid import AffineGrid
from keras_compress.grids.power_grid import PowerGrid
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.grids.table_grid import TableGrid
from keras_compress.post_training._scale_pairs import gain_of, is_normalization, scale_pairs
from keras_compress.quantization.quantized_model import QuantizedModel


def fold_input_scales(quantized: QuantizedModel) -> QuantizedModel:
    """Move the input scales of `AWQ` into the layers before, where nothing else reads their output.

    For export: a kernel without `input_scale` is an ordinary grid of codes, which every runtime
    knows. The scale `s` of a layer goes into what makes its input: gain and offset of a
    normalization over the last axis, or kernel columns and bias of a linear layer without
    activation or with ReLU, are divided by `s`, through dropout and ReLU layers. A quantized kernel
    stays on its grid: its scales are divided. Inside `MultiHeadAttention`, scales of the output
    projection go into the value projection.

    Where several layers read the same features, such as queries, keys and values, all must have the
    same scale, as `AWQ` gives it unless its `objective` is `"layer"`. What cannot be folded keeps
    its `input_scale`, which costs nothing in quality. The model computes the same as before.

    Args:
        quantized: `QuantizedModel` of `post_training.quantize`, with a Functional or Sequential
            model; in other models only attention layers are folded.

    Returns:
        A new `QuantizedModel` with a copy of the model.

    Raises:
        TypeError: If `quantized` is no `QuantizedModel`.
        ValueError: If it has activation `ranges`, which belong to the inputs as they were.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([
        keras.Input((8,)), keras.layers.LayerNormalization(), keras.layers.Dense(4, name="dense")
    ])
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    solver = kc.post_training.AWQ()
    quantized = kc.post_training.quantize(model, x, solver=solver, bits=3)
    folded = kc.post_training.fold_input_scales(quantized)
    assert all(matrix.input_scale is None for matrix in folded.matrices.values())
    assert np.allclose(folded.model.predict(x, verbose=0),
                       quantized.model.predict(x, verbose=0), atol=1e-5)
    ```

    Reference:
        Lin et al., "AWQ", MLSys 2024, arXiv 2306.00978, section 3.2; official code
        github.com/mit-han-lab/llm-awq (`apply_scale`).

    Deviations:
        The official code knows the layers of a list of models; here the graph is followed. It also
        folds through GELU by an extra layer, which is not done here.

    Cost:
        A copy of the model; no forward pass.
    """
    if not isinstance(quantized, QuantizedModel):
        raise TypeError(f"`quantized` must be a QuantizedModel, got {quantized!r}.")
    if quantized.ranges:
        raise ValueError(
            f"`quantized` has activation ranges for {list(quantized.ranges)}, which do not fit "
            "folded inputs. Fold first, then calibrate activations."
        )
    model = copy_model(quantized.model, "fold_input_scales")
    new_path = {
        old.path: new.path for old, new in zip(quantized.model.weights, model.weights, strict=True)
    }
    matrices = {new_path[path]: matrix for path, matrix in quantized.matrices.items()}
    for producer, readers in scale_pairs(model):
        scale = _common_scale(readers, matrices)
        if scale is None or not _divide(producer, scale, matrices):
            continue
        for reader in readers:
            path = reader.kernel.path
            matrices[path] = _unscaled(matrices[path])
            reader.kernel.assign(matrices[path].values())
    return dataclasses.replace(quantized, model=model, matrices=matrices)


def _common_scale(readers, matrices):
    found = [matrices.get(reader.kernel.path) for reader in readers]
    scales = [None if matrix is None else matrix.input_scale for matrix in found]
    if any(scale is None for scale in scales):
        return None
    first = scales[0]
    alike = all(len(scale) == len(first) and np.allclose(scale, first) for scale in scales)
    return np.asarray(first, "float64") if alike else None


def _divide(layer, scale, matrices):
    """Divide the features that `layer` gives by `scale`; false if that cannot be."""
    if is_normalization(layer):
        parts = [gain_of(layer), getattr(layer, "beta", None)]
        if len(scale) != parts[0].shape[0]:
            return False
    else:
        matrix = kernel_matrix(layer)
        if matrix.ndim != 2 or matrix.shape[1] != len(scale):
            return False
        parts = [layer.bias]
        if layer.bias is not None and int(np.prod(layer.bias.shape)) != len(scale):
            return False
        path = layer.kernel.path
        if path in matrices:
            divided = divided_outputs(matrices[path], scale)
            if divided is None:
                return False
            matrices[path] = divided
            layer.kernel.assign(divided.values())
        else:
            layer.kernel.assign(kernel_of_matrix(layer, matrix / scale))
    for variable in parts:
        if variable is not None:
            values = ops.convert_to_numpy(ops.convert_to_tensor(variable)).astype("float64")
            variable.assign((values.reshape(-1) / scale).reshape(values.shape))
    return True


def divided_outputs(matrix: QuantizedMatrix, scale: np.ndarray) -> QuantizedMatrix | None:
    """The same codes for a kernel whose outputs are divided by `scale` `(outputs,)`."""
    grid = matrix.grid
    if isinstance(grid, AffineGrid):
        if grid.group_axis == 1:
            return None
        grid = AffineGrid(
            grid.bits,
            scale=_quotient(grid.scale, scale),
            zero_point=grid.zero_point,
            group_size=grid.group_size,
            levels=grid.levels,
        )
    elif isinstance(grid, TableGrid):
        grid = TableGrid(
            grid.bits,
            table=grid.table,
            assignment=grid.assignment,
            scale=_quotient(grid.scale, scale),
            group_size=grid.group_size,
        )
    elif isinstance(grid, PowerGrid):
        grid = PowerGrid(
            grid.bits,
            scale=_quotient(grid.scale, scale**grid.exponent),
            exponent=grid.exponent,
        )
    else:
        return None
    outliers = matrix.outliers
    if outliers is not None:
        outputs = np.asarray(outliers.positions) % matrix.codes.shape[1]
        outliers = (outliers.positions, outliers.values.astype("float32") / scale[outputs])
    return dataclasses.replace(matrix, grid=grid, outliers=outliers)


def _quotient(array, divisor):
    return (np.atleast_2d(array).astype("float64") / divisor).astype(array.dtype)


def _unscaled(matrix):
    """The same codes for a kernel whose rows are not divided any more."""
    outliers = matrix.outliers
    if outliers is not None:
        rows = np.asarray(outliers.positions) // matrix.codes.shape[1]
        values = outliers.values.astype("float64") * np.asarray(matrix.input_scale)[rows]
        outliers = (outliers.positions, values)
    return dataclasses.replace(matrix, input_scale=None, outliers=outliers)
