"""The same share everywhere but at both ends."""

from __future__ import annotations

import math

import keras
import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.min_keep import (
    exact_counts,
    held_counts,
    prune_total,
    refine_sparsities,
)
from keras_reweight.core.layer_calls import output_layer
from keras_reweight.core.selection import all_layers
from keras_reweight.core.validation import check_number

_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


@keras.saving.register_keras_serializable(package="keras_compress")
class UniformPlusAllocation(Allocation):
    """Prune the same share of every variable, but spare the first convolution and the last layer.

    The first convolution has few weights and sees every pixel: it stays dense. The last layer keeps
    at least `last_keep` of its weights. The others give more, so that the total is the wanted one.
    Far better than `UniformAllocation` for convolutional networks at 90 % and more, and the
    baseline that papers mean by uniform magnitude pruning.

    Args:
        min_keep: Float in `[0, 1)`, share of all prunable weights that must survive in each
            variable, at least one if above 0; smaller variables stay dense. Defaults to `0.0005`.
        last_keep: Float in `[0, 1]`, share of the weights of the last layer that survives. Defaults
            to `0.2`.

    Returns:
        A callable `(scores, sparsity) -> list of int`, where `scores` is a list of float arrays of
        the shapes of the variables.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is outside its range; when called, if `sparsity` is outside
            `[0, 1)` or leaves less than `min_keep`, `last_keep` and a dense first convolution
            demand.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    scores = [np.ones((3, 3, 3, 4)), np.ones((3, 3, 4, 40)), np.ones((40, 10))]
    assert kc.pruning.UniformPlusAllocation()(scores, 0.8) == [0, 1238, 320]
    ```

    Reference:
        Gale et al., "The State of Sparsity in Deep Neural Networks", arXiv 1902.09574, section 5.2.

    Deviations:
        Without a model to look at, the first array counts as a convolution if it has more than two
        axes, and the last array belongs to the last layer.
    """

    def __init__(self, min_keep: float = 0.0005, *, last_keep: float = 0.2):
        super().__init__(min_keep)
        check_number("last_keep", last_keep, minimum=0.0, maximum=1.0)
        self.last_keep = last_keep

    def plan(self, scores, sparsity, floors, context):
        sizes = [score.size for score in scores]
        floors = list(floors)
        first, last = _ends(scores, context)
        for index in last:
            least = math.ceil(self.last_keep * sizes[index] - 1e-9)
            floors[index] = max(floors[index], least)
        if first is not None:
            floors[first] = sizes[first]
        highest = 1.0 - sum(floors) / sum(sizes)
        patterned = sum(int(np.isposinf(score).sum()) for score in scores)
        if not patterned and sparsity > highest + 1e-12:
            raise ValueError(
                f"`sparsity`={sparsity!r} cannot be reached with a dense first convolution and "
                f"`last_keep`={self.last_keep!r}: at most {highest:.6f} can be pruned. Lower "
                "`last_keep` or `sparsity`, or take `UniformAllocation`."
            )
        total = prune_total(sparsity, sizes, floors)
        sparsities = refine_sparsities(np.ones(len(sizes)), sizes, total / sum(sizes), floors)
        return exact_counts(sparsities, sizes, total, floors, held_counts(scores))

    def get_config(self):
        return {**super().get_config(), "last_keep": self.last_keep}


def _ends(scores, context):
    """Index of the first convolution or `None`, and the indices of the last layer."""
    if context is None:
        return (0 if scores[0].ndim > 2 else None), [len(scores) - 1]
    layers = all_layers(context.model)
    convolved = {
        id(v) for layer in layers if isinstance(layer, _CONVOLUTIONS) for v in layer.weights
    }
    ids = [id(variable) for variable in context.variables]
    first = next((index for index, key in enumerate(ids) if key in convolved), None)
    layer = output_layer(context.model)
    of_last = {id(variable) for variable in layer.weights} if layer is not None else set()
    last = [index for index, key in enumerate(ids) if key in of_last] or [len(ids) - 1]
    return first, last
