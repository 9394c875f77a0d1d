"""Channels by the curvature of the loss at their weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.importances._loss_importance import LossImportance
from keras_compress.structured.importances.group_importance import weight_values
from keras_reweight.core.gradients import fisher_diagonal


class GroupHessian(LossImportance):
    """Score a channel by the second-order change of the loss (grouped Optimal Brain Damage).

    For trained models, whose gradients nearly vanish, so that `GroupTaylor` sees mostly noise. The
    diagonal of the Hessian is that of the empirical Fisher, the mean of the squared gradients of
    the samples:

    `I(c) = mean over members m of sum over the weights of c in m of w^2 mean_i(g_i^2)`, normalized.

    Args:
        data: Labelled samples `(x, y)`: arrays of shape `(num_samples, ...)` and any dtype, or
            batches as `fit` takes them.
        loss: Loss as for `compile`. Defaults to `None`, the compiled loss of the model.
        batch_size: Integer, samples at a time, for arrays. Defaults to `32`.
        normalizer: String, as for `GroupImportance`. Defaults to `"mean"`.
        reduction: String, as for `GroupImportance`. Defaults to `"mean"`.
        bias: Bool, whether biases and offsets count, too. Defaults to `False`.

    Returns:
        A `ChannelImportance` for `prune_structured`, which also takes `"hessian"` with `data`.

    Raises:
        ValueError: In `scores`, if `data` has no labels or samples, the model no loss, an argument
            is none of its choices, or a weight is NaN.
        TypeError: In `scores`, if an argument is of the wrong kind.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(2)])
    x, y = np.random.default_rng(0).normal(size=(20, 3)).astype("float32"), np.arange(20) % 2
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    small = kc.prune_structured(
        model, 0.5, importance=kc.structured.GroupHessian((x, y), loss=loss)
    )
    ```

    Reference:
        LeCun et al., "Optimal Brain Damage", NeurIPS 1989; `GroupHessianImportance` of
        github.com/VainF/Torch-Pruning.

    Deviations:
        Without the factor 1/2, which no ranking sees.

    Cost:
        Gradients of every sample of `data`.
    """

    def values(self, graph: ChannelGraph, keys: Sequence[str]) -> dict[str, np.ndarray]:
        return {
            key: np.square(weight_values(graph.variables[key])) * diagonal
            for key, diagonal in self.mean_derivatives(fisher_diagonal, graph, keys).items()
        }

    def member(self, rows: np.ndarray) -> np.ndarray:
        return rows.sum(axis=1)
