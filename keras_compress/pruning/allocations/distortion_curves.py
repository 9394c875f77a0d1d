"""What pruning one variable alone does to the output of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops, tree

from keras_compress.pruning.context import PruningContext
from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.layer_calls import gives_probabilities, without_last_activation


def distortion_curves(
    context: PruningContext,
    scores: Sequence[np.ndarray],
    levels: Sequence[np.ndarray],
    data: Any,
    *,
    batch_size: int,
    reduce: str,
) -> list[np.ndarray]:
    """Mean squared change of the outputs for each variable and number of pruned units.

    The lowest scores go first. A last softmax or sigmoid is left out. The model has its weights
    back afterwards, whatever happens.

    Returns:
        A float array of shape `(len(levels[i]),)` for each variable.
    """
    model = context.model
    inputs = [
        as_model_inputs(model, x) for x, _, _ in iterate_batches(data, batch_size, argument="data")
    ]
    forward = make_forward(lambda x: predictions_of(model, x), model.variables)
    with contextlib.ExitStack() as stack:
        if gives_probabilities(model):
            stack.enter_context(without_last_activation(model))
        outputs = [forward(x) for x in inputs]

        def distortion():
            parts = [_distances(forward(x), y) for x, y in zip(inputs, outputs, strict=True)]
            return getattr(np, reduce)(np.concatenate(parts))

        curves = []
        for number, counts in enumerate(levels):
            variable, pattern = context.variables[number], context.patterns[number]
            original = ops.copy(ops.convert_to_tensor(variable))
            ranks = order_of_units(scores[number])
            curve = np.zeros(len(counts))
            try:
                for level, count in enumerate(counts):
                    mask = pattern.expand(ranks >= count, tuple(variable.shape))
                    variable.assign(ops.where(ops.convert_to_tensor(mask), original, 0))
                    curve[level] = distortion()
            finally:
                variable.assign(original)
            # An output that overflows is as far off as can be.
            curves.append(np.nan_to_num(curve, nan=np.inf))
    return curves


def order_of_units(score):
    """Place of every unit in the order in which they go, ties by index."""
    ranks = np.empty(score.size, "int64")
    ranks[np.argsort(score, axis=None, kind="stable")] = np.arange(score.size)
    return ranks.reshape(score.shape)


def _distances(outputs, reference):
    """Mean squared difference of each sample, several outputs added up."""
    total = 0.0
    for one, two in zip(tree.flatten(outputs), tree.flatten(reference), strict=True):
        difference = ops.cast(one, "float32") - ops.cast(two, "float32")
        rows = ops.reshape(ops.square(difference), (one.shape[0], -1))
        total = total + ops.convert_to_numpy(ops.mean(rows, axis=1)).astype("float64")
    return total
