"""Smaller models whose remaining weights make up for the channels that went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.calibration.collect_input_statistics import collect_input_statistics
from keras_compress.calibration.input_statistics import InputStatistics
from keras_compress.calibration.kernel_rows import kernel_of_matrix
from keras_compress.structured.added_biases import add_biases
from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.consumers import Consumer, find_consumers
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.validation import check_choice

METHODS = ("bias", "mask", "obs")
_LARGEST_FACTOR = 10.0
_MOMENTS = {"bias": ("mean",), "mask": ("gram",), "obs": ("gram",)}


def rebuild_compensated(
    graph: ChannelGraph,
    keep: Mapping[str, np.ndarray],
    method: str | None,
    data: Any = None,
    *,
    batch_size: int = 32,
    ridge: float = 0.01,
    statistics: Mapping[str, InputStatistics] | None = None,
) -> keras.Model:
    """`graph.rebuild(keep)` in which the layers that read dropped channels make up for them.

    With inputs `x` of such a layer in the original model, kernel rows `W`, kept rows `K` and
    dropped rows `D`:

    - `"bias"` (FLAP): `b += mean(x_D) W_D`; a layer without a bias gets one. What varies is lost.
      Convolutions take the mean over what each kernel position sees, padding included: the best
      constant, and exact for constant channels with `padding="valid"`.
    - `"obs"` (OBSPA): `W_K += (H_KK + lambda I)^-1 H_KD W_D` with `H = E[x x^T]` and `lambda` the
      share `ridge` of its mean diagonal: what the kept inputs can predict of the dropped ones.
    - `"mask"` (Kwon et al.): one factor a kept channel, `W_K = m W_K`, the least-squares solution;
      a layer whose factors leave [-10, 10] is left alone.

    All statistics come from the original model, so the results do not depend on an order. Layers
    that are neither dense nor convolutions (recurrent ones) are not compensated; behind a layer
    normalization over the channels themselves (`graph.inexact`) the statistics fit less well.

    Args:
        graph: The `ChannelGraph` of the model.
        keep: Dict from group name to bool array of shape `(group.size,)`; others keep all.
        method: `"bias"`, `"obs"`, `"mask"` or `None` (plain rebuild).
        data: Calibration inputs; not needed with `statistics`.
        batch_size: Integer, for arrays.
        ridge: Float > 0, of `"obs"`.
        statistics: Dict from layer path to `InputStatistics` with the moments of the method.

    Returns:
        A new `keras.Model`.
    """
    check_choice("method", method, [None, *METHODS])
    if method is None:
        return graph.rebuild(keep)
    keep = {name: np.asarray(mask, bool) for name, mask in keep.items()}
    consumers = cut_consumers(graph, keep)
    if not consumers:
        return graph.rebuild(keep)
    if statistics is None:
        layers = [consumer.layer for consumer in consumers.values()]
        statistics = collect_input_statistics(
            graph.model, data, layers=layers, moments=_MOMENTS[method], batch_size=batch_size
        )
    positions = graph.kept_positions(keep)
    shifts, matrices = {}, {}
    for path, consumer in consumers.items():
        kept, matrix = consumer.kept(keep), consumer.matrix()
        outputs = _kept_outputs(consumer, positions)
        if method == "bias":
            shifts[path] = (statistics[path].mean[~kept] @ matrix[~kept])[outputs]
        elif method == "obs":
            gram = statistics[path].gram / statistics[path].count
            matrices[path] = reconstructed(matrix, kept, gram, ridge)
        else:
            gram = statistics[path].gram / statistics[path].count
            factors = mask_factors(matrix[:, outputs], kept, consumer.units(), gram)
            matrices[path] = factors[:, None] * matrix
    small = graph.rebuild(keep)
    if shifts:
        small = add_biases(small, list(shifts))
    targets = layers_by_path(small)
    for path, matrix in matrices.items():
        kernel = kernel_of_matrix(consumers[path].layer, matrix)
        targets[path].kernel.assign(_sliced(consumers[path], positions, kernel))
    for path, shift in shifts.items():
        _add_to_bias(targets[path], shift)
    return small


def cut_consumers(graph: ChannelGraph, keep: Mapping[str, np.ndarray]) -> dict[str, Consumer]:
    """The layers that lose inputs."""
    groups = [group for group in graph.groups if group.name in keep]
    found = find_consumers(graph, groups)
    return {path: one for path, one in found.items() if not one.kept(keep).all()}


def reconstructed(matrix, kept, gram, ridge):
    """The matrix whose kept rows reproduce the outputs of all rows best; dropped rows as before."""
    result = matrix.copy()
    damping = ridge * np.mean(np.diagonal(gram))
    inner = gram[np.ix_(kept, kept)] + damping * np.eye(int(kept.sum()))
    wanted = gram[np.ix_(kept, ~kept)] @ matrix[~kept]
    if damping > 0.0:
        result[kept] += np.linalg.solve(inner, wanted)
    return result


def mask_factors(matrix, kept, units, gram, ridge=1e-6):
    """One factor a row, the same for the rows of a unit, that reproduces the outputs best.

    The least-squares problem `(X^T X) o (W W^T)` summed over the rows of each unit, with a trace of
    ridge towards one, so that the error never grows on the data it is fitted to.
    """
    names, number = np.unique(units[kept], return_inverse=True)
    belongs = np.eye(len(names))[number]
    inner = (gram * (matrix @ matrix.T))[np.ix_(kept, kept)]
    target = np.sum((gram @ matrix) * matrix, axis=1)[kept]
    inner, target = belongs.T @ inner @ belongs, belongs.T @ target
    damping = ridge * np.mean(np.diagonal(inner))
    factors = np.ones(len(matrix))
    if not damping > 0.0:
        return factors
    change = np.linalg.solve(
        inner + damping * np.eye(len(names)), target - inner @ np.ones(len(names))
    )
    if np.abs(1.0 + change).max() <= _LARGEST_FACTOR:
        factors[kept] = (1.0 + change)[number]
    return factors


def _sliced(consumer, positions, array):
    """An array of the shape of the kernel without what goes, on all its axes."""
    for (key, axis), stays in positions.items():
        if key == consumer.key:
            array = np.take(array, stays, axis=axis)
    return array


def _kept_outputs(consumer, positions):
    """Columns of the matrix that stay."""
    shape = consumer.matrix().shape
    columns = np.broadcast_to(np.arange(shape[1], dtype="float64"), shape)
    return np.unique(
        _sliced(consumer, positions, kernel_of_matrix(consumer.layer, columns))
    ).astype(int)


def _add_to_bias(target, shift):
    bias = np.asarray(ops.convert_to_numpy(target.bias), "float64")
    if bias.size != shift.size:
        raise ValueError(
            f"compensate='bias': the bias of layer {target.path!r}, of shape {bias.shape}, is "
            f"shared by several of its {shift.size} outputs and cannot take up a mean."
        )
    target.bias.assign(bias + shift.reshape(bias.shape))
