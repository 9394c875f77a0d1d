"""The scores of layers, one function a method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.bits._rounding import rounded
from keras_compress.bits._weight_layers import WeightLayer, host_values
from keras_compress.bits.z_score_share import z_score_share
from keras_compress.structured.block_importance import block_importance
from keras_reweight.core.loss_sums import LossSums
from keras_reweight.core.selection import layers_by_path

#: `(matrix, its change by rounding) -> what it costs`, where a change has the shape of the matrix.
Cost = Callable[[keras.Variable, np.ndarray], float]


def z_score_scores(units: Sequence[WeightLayer]) -> dict[str, float]:
    """Minus the share of weights that stick out of all weights of a layer."""
    return {unit.path: -z_score_share(_pooled(unit)) for unit in units}


def input_output_scores(
    model: keras.Model, data: Any, units: Sequence[WeightLayer], blocks: Any, batch_size: int
) -> dict[str, float]:
    """Minus the mean cosine of what goes into the block of a layer and what comes out."""
    given = [unit.path for unit in units] if blocks is None else blocks
    found = block_importance(model, data, blocks=given, batch_size=batch_size)
    order = list(layers_by_path(model))
    scores: dict[str, float] = {}
    for block, importance in found.items():
        first, _, last = block.partition(" -> ")
        begin, end = order.index(first), order.index(last or first)
        inside = set(order[begin : end + 1])
        for unit in units:
            if unit.path in inside or unit.path.startswith(f"{last or first}/"):
                if unit.path in scores:
                    raise ValueError(f"`blocks`: layer {unit.path!r} is in two blocks.")
                scores[unit.path] = importance - 1.0
    return {unit.path: scores[unit.path] for unit in units if unit.path in scores}


def gradient_scores(sums: LossSums, data: Any, units: Sequence[WeightLayer]) -> dict[str, float]:
    """`sum |g w|` with the mean gradient of each batch, averaged over the samples."""
    weights = np.concatenate([host_values(variable).ravel() for variable in sums.variables])
    total, count = np.zeros(sums.size), 0
    for batch in sums.batches(data, sums.batch_size):
        total += np.abs(sums.gradient([batch]) * weights)
    count = sums.count(data)
    return _per_unit(sums, units, total / count)


def fisher_cost(sums: LossSums, data: Any) -> Cost:
    """`sum F change^2` with the mean square of the gradients of the samples."""
    fisher = _by_variable(sums, sums.squared_gradients(data) / sums.count(data))
    return lambda variable, change: float(np.sum(fisher[id(variable)] * np.square(change)))


def hessian_cost(sums: LossSums, data: Any, probes: int, seed: int) -> Cost:
    """Mean curvature, by Hutchinson's trace, times the square of the change."""
    rng = np.random.default_rng(seed)
    total = np.zeros(sums.size)
    for _ in range(probes):
        probe = rng.choice([-1.0, 1.0], size=sums.size)
        total += probe * sums.hessian_product(sums.batches(data, sums.batch_size), probe)
    diagonal = _by_variable(sums, total / (probes * sums.count(data)))
    # A noisy or truly negative curvature must not make errors welcome.
    curvature = {key: max(float(np.mean(values)), 0.0) for key, values in diagonal.items()}
    return lambda variable, change: curvature[id(variable)] * float(np.sum(np.square(change)))


def rounding_scores(
    units: Sequence[WeightLayer], bits: Sequence[int], cost: Cost, *, relative: bool = False
) -> dict[str, dict[int, float]]:
    """Path to bits to the cost of rounding the matrices of a layer; `relative` to that of all."""
    table: dict[str, dict[int, float]] = {unit.path: {} for unit in units}
    for unit in units:
        kernels = [(matrix, host_values(matrix.variable)) for matrix in unit.matrices]
        whole = sum(cost(matrix.variable, kernel) for matrix, kernel in kernels)
        for number in bits:
            value = sum(
                cost(matrix.variable, rounded(kernel, number, matrix.axis) - kernel)
                for matrix, kernel in kernels
            )
            if relative:
                value = value / whole if whole else 0.0
            table[unit.path][number] = value
    return table


def measured_scores(
    sums: LossSums, data: Any, units: Sequence[WeightLayer], bits: Sequence[int]
) -> dict[str, dict[int, float]]:
    """Path to bits to the rise of the mean loss when only this layer is rounded."""
    count, before = sums.count(data), sums.value(data)
    table: dict[str, dict[int, float]] = {unit.path: {} for unit in units}
    for unit in units:
        kept = [np.array(keras.ops.convert_to_numpy(v.value)) for v in unit.variables]
        kernels = [host_values(variable) for variable in unit.variables]
        try:
            for number in bits:
                for matrix, kernel in zip(unit.matrices, kernels, strict=True):
                    matrix.variable.assign(rounded(kernel, number, matrix.axis))
                table[unit.path][number] = (sums.value(data) - before) / count
        finally:
            for variable, values in zip(unit.variables, kept, strict=True):
                variable.assign(values)
    return table


def _pooled(unit):
    return np.concatenate([host_values(variable).ravel() for variable in unit.variables])


def _by_variable(sums, vector):
    """`id(variable)` to its part of a flat vector."""
    found, start = {}, 0
    for variable in sums.variables:
        shape = tuple(variable.shape)
        size = int(np.prod(shape))
        found[id(variable)] = vector[start : start + size].reshape(shape)
        start += size
    return found


def _per_unit(sums, units, vector):
    parts = _by_variable(sums, vector)
    return {
        unit.path: float(sum(parts[id(variable)].sum() for variable in unit.variables))
        for unit in units
    }
