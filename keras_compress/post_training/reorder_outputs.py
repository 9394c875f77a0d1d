"""Put outputs with the same codebook next to each other."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_compress._copy_model import copy_model
from keras_compress.grids.table_grid import TableGrid
from keras_compress.post_training._permuted_matrix import permuted_matrix
from keras_compress.post_training._targets import host_value
from keras_compress.quantization.quantized_model import QuantizedModel
from keras_reweight.core.channels.symmetries import Symmetries


def reorder_outputs(quantized: QuantizedModel) -> QuantizedModel:
    """Put outputs with the same codebook next to each other, so that no map of them is stored.

    For files after `Codebook(groups=...)`: a kernel whose outputs are in the order of their
    codebooks needs the number of outputs of each, not four bytes an output. The order goes into all
    weights that make, normalize or read the same channels, through activations, additions and
    flattening; the model computes the same. Layers that give the outputs of the model, or whose
    channels some layer puts to an unknown use, keep their order and their map; so do those whose
    readers are rotated or have scales for groups of inputs, which belong to the order. Where
    several kernels make the same channels, as in residual networks, the order is that of the first.

    Args:
        quantized: `QuantizedModel` of `post_training.quantize`, with a Functional or Sequential
            model.

    Returns:
        A new `QuantizedModel` with a copy of the model.

    Raises:
        TypeError: If `quantized` is no `QuantizedModel`.
        ValueError: If its model is subclassed, or has no channels that could trade places.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(32, "relu", name="hidden"),
                              keras.layers.Dense(4, name="last")])
    solver = kc.post_training.Codebook(groups=3)
    quantized = kc.post_training.quantize(model, solver=solver, bits=3)
    ordered = kc.post_training.reorder_outputs(quantized)
    assert ordered.num_bytes == quantized.num_bytes - 32 * 4 + 3 * 4
    x = np.ones((2, 8), "float32")
    before, after = (one.model.predict(x, verbose=0) for one in (quantized, ordered))
    assert np.allclose(after, before, atol=1e-5)
    ```

    Reference:
        Yvinec et al., "Network Memory Footprint Compression Through Jointly Learnable Codebooks and
        Mappings", ICLR 2024, arXiv 2309.17361 (re-ordered neurons).

    Deviations:
        The paper re-orders first and quantizes then; the result is the same, as the groups do not
        depend on the order.

    Cost:
        A copy of the model; no forward pass.
    """
    if not isinstance(quantized, QuantizedModel):
        raise TypeError(f"`quantized` must be a QuantizedModel, got {quantized!r}.")
    symmetries = Symmetries(quantized.model, "reorder_outputs", "quantized")
    model = copy_model(quantized.model, "reorder_outputs")
    paths = [old.path for old in quantized.model.weights]
    new_path = {old: new.path for old, new in zip(paths, model.weights, strict=True)}
    matrices = {new_path[path]: matrix for path, matrix in quantized.matrices.items()}
    for group in symmetries.groups.values():
        order = _order_of(group, model.weights, matrices)
        moved = None if order is None else _moved(group, order, model.weights, matrices)
        for index, (array, matrix) in (moved or {}).items():
            model.weights[index].assign(array)
            if matrix is not None:
                matrices[model.weights[index].path] = matrix
    return dataclasses.replace(quantized, model=model, matrices=matrices)


def _order_of(group, weights, matrices):
    """The order of the codebooks of the first kernel that makes the channels, if it has a map."""
    for site in group.sites:
        matrix = matrices.get(weights[site.index].path)
        if matrix is None or matrix.channel_axes != (site.axis,):
            continue
        assignment = matrix.grid.assignment if isinstance(matrix.grid, TableGrid) else None
        if assignment is None or site.positions.shape != (len(assignment), 1):
            continue
        order = np.argsort(assignment[site.positions[:, 0]], kind="stable")
        if np.any(order != np.arange(len(order))):
            return order
    return None


def _moved(group, order, weights, matrices):
    """New values and matrices of all weights with these channels; `None` if one cannot move."""
    moved: dict = {}
    for site in group.sites:
        variable = weights[site.index]
        array, matrix = moved.get(site.index, (host_value(variable), matrices.get(variable.path)))
        if matrix is None:
            moved[site.index] = (site.permuted(array, order), None)
            continue
        index = site.index_of(order, matrix.shape[site.axis])
        matrix = permuted_matrix(matrix, site.axis, index)
        if matrix is None:
            return None
        moved[site.index] = (matrix.values(), matrix)
    return moved
