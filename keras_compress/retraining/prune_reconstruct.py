"""Prune layer by layer and let the surviving weights make up for the pruned."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.calibration.collect_input_statistics import (
    calibrated_layers,
    collect_input_statistics,
)
from keras_compress.calibration.kernel_rows import kernel_matrix, kernel_of_matrix
from keras_compress.pruning.allocations.uniform_allocation import UniformAllocation
from keras_compress.pruning.context import PruningContext, check_pattern
from keras_compress.pruning.lowest_masks import next_masks
from keras_compress.pruning.patterns.pattern import Pattern
from keras_compress.pruning.pruning_report import PruningReport
from keras_compress.retraining._layer_rows import first_batch, order_of_calls
from keras_compress.retraining._obs_sweep import inverse_factor, obs_sweep
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import (
    check_built,
    check_integer,
    check_number,
    check_sparsity,
)


def prune_reconstruct(
    model: keras.Model,
    data: Any,
    sparsity: float,
    *,
    pattern: Pattern | None = None,
    layers: Any = None,
    damping: float = 0.01,
    block_size: int = 128,
    batch_size: int = 32,
) -> PruningReport:
    """Prune once with calibration inputs, and correct the weights that stay, without training.

    Use it for one-shot pruning at 50 to 70 percent, or for 2:4, when there is no time or no labels
    to retrain. Every layer is pruned to the same sparsity, in the order of the forward pass, on the
    inputs that the layers pruned before it give. With the inverse `G` of the (damped) Gram matrix
    of the inputs a weight costs `W[j, o]^2 / G[j, j]`, given that the inputs before `j` are
    settled; the cheapest go, and what they contributed is passed on to the weights of later inputs
    of the same output. Biases stay as they are; `reconstruct` refits the result exactly.

    Args:
        model: A built `keras.Model`; it is changed.
        data: Calibration inputs: arrays, `(x, ...)`, `PyDataset`, `tf.data`, `DataLoader` or
            batches; labels are ignored. Every layer takes a pass over them.
        sparsity: Float in `[0, 1)`, share of the weights of every layer to zero.
        pattern: A `Pattern`, such as N:M; `None` for single weights. Defaults to `None`.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            for all dense, einsum, convolution and depthwise layers, also inside attention. The last
            layer is often better left out. Defaults to `None`.
        damping: Float > 0, share of the mean square of the inputs that is added to all. Defaults to
            `0.01`.
        block_size: Integer >= 1, inputs for which weights are chosen at once; with a `pattern` all
            are. Defaults to `128`.
        batch_size: Integer >= 1, where `data` are arrays. Defaults to `32`.

    Returns:
        A `PruningReport`; its `masks` are bool arrays of the shapes of the kernels.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If the model is not built, a number is outside its range, a layer is unknown or
            not called, or the pattern cannot reach the sparsity.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(4)])
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    kc.retraining.prune_reconstruct(model, x, 0.5)
    assert kc.sparsity_report(model).sparsity == 0.5
    ```

    Reference:
        Frantar and Alistarh, "SparseGPT: Massive Language Models Can be Accurately Pruned in
        One-Shot", ICML 2023, arXiv 2301.00774, algorithm 1; github.com/IST-DASLab/sparsegpt.

    Deviations:
        The official code prunes one weight too many in each block (a threshold with `<=`); here the
        layer has exactly `round(sparsity * n)` zeros. Patterns are chosen for the whole kernel from
        its weights before the sweep, not group by group within it.

    Cost:
        A forward pass and the inverse of a matrix of the size of the inputs for each layer.
    """
    check_built(model, "prune_reconstruct")
    check_sparsity("sparsity", sparsity)
    part = check_pattern(pattern)
    part.check(sparsity)
    check_number("damping", damping, exclusive_minimum=0.0)
    check_integer("block_size", block_size, minimum=1)
    check_integer("batch_size", batch_size, minimum=1)
    chosen = calibrated_layers(model, layers)
    sync_model(model)
    paths = list(chosen)
    order = order_of_calls(model, list(chosen.values()), first_batch(data, batch_size))
    skipped = {path: "not called" for n, path in enumerate(paths) if n not in order}
    touched, masks = {}, {}
    for path in [paths[number] for number in order]:
        layer = chosen[path]
        statistics = collect_input_statistics(
            model, data, layers=[layer], moments=["gram"], batch_size=batch_size
        )
        whole = None if pattern is None else _pattern_chooser(model, layer, part, sparsity)
        weight, mask = _prune(
            kernel_matrix(layer).astype("float64"),
            statistics[path].gram,
            sparsity,
            whole,
            damping,
            block_size,
        )
        layer.kernel.assign(kernel_of_matrix(layer, weight))
        name = layer.kernel.path
        masks[name] = kernel_of_matrix(layer, mask)
        touched[name] = mask.size
    return PruningReport(touched, skipped, masks)


def _prune(weight, gram, sparsity, whole, damping, block_size):
    """The new matrix and its mask; groups of a convolution are layers of their own."""
    grouped = weight.ndim == 3
    weights, grams = (weight, gram) if grouped else (weight[None], gram[None])
    factors, deads = zip(*(inverse_factor(one, damping) for one in grams), strict=True)
    # A weight of an input that is never active costs nothing.
    weights = np.where(np.stack(deads)[..., None], 0.0, weights)
    if whole is None:
        pruned = [None] * len(weights)
    else:
        diagonals = np.stack([np.diag(factor) for factor in factors])
        saliency = np.square(weights / diagonals[..., None])
        mask = whole(saliency if grouped else saliency[0])
        pruned = ~mask if grouped else ~mask[None]
    found = [
        obs_sweep(one, factor, _block_chooser(sparsity, one.shape[1]), block_size)
        if chosen is None
        else obs_sweep(one, factor, _given(chosen), len(one))
        for one, factor, chosen in zip(weights, factors, pruned, strict=True)
    ]
    weight, mask = (np.stack(part) for part in zip(*found, strict=True))
    return (weight, mask) if grouped else (weight[0], mask[0])


def _given(pruned):
    return lambda block, saliency: pruned[block]


def _block_chooser(sparsity, outputs):
    """The lowest of every block, as many that the layer has exactly its share in the end."""

    def choose(block, saliency):
        goals = [round(sparsity * end * outputs) for end in (block.start, block.stop)]
        count = goals[1] - goals[0]
        pruned = np.zeros(saliency.size, "bool")
        pruned[np.argsort(saliency, axis=None, kind="stable")[:count]] = True
        return pruned.reshape(saliency.shape)

    return choose


def _pattern_chooser(model, layer, pattern, sparsity):
    variable = layer.kernel
    own = pattern.for_variable(variable, layer)
    context = PruningContext(model, [variable], [variable.path], [own])

    def choose(saliency):
        scores = [kernel_of_matrix(layer, saliency)]
        (mask,) = next_masks(scores, UniformAllocation(min_keep=0.0), sparsity, context=context)
        return kernel_matrix(layer, mask.astype("float32")) != 0

    return choose
