"""Channels by the curvature of the loss at their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.importances.data_means import mean_over_samples
from keras_compress.structured.importances.group_importance import GroupImportance, weight_values
from keras_reweight.core.gradients import fisher_diagonal
from keras_reweight.core.no_config import NoConfig
from keras_reweight.core.validation import check_integer


class GroupHessian(GroupImportance):
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

    get_config = NoConfig("it holds data")

    def __init__(
        self,
        data: Any,
        *,
        loss: Any = None,
        batch_size: int = 32,
        normalizer: str = "mean",
        reduction: str = "mean",
        bias: bool = False,
    ):
        super().__init__(normalizer=normalizer, reduction=reduction, bias=bias)
        self.data = data
        self.loss = loss
        self.batch_size = batch_size

    def values(self, graph: ChannelGraph, keys: Sequence[str]) -> dict[str, np.ndarray]:
        variables = [graph.variables[key] for key in keys]

        def squares(x, y, sample_weight):
            options = {"loss": self.loss, "sample_weight": sample_weight, "variables": variables}
            return fisher_diagonal(graph.model, x, y, **options)

        curvature = mean_over_samples(squares, variables, self.data, self.batch_size)
        return {
            key: np.square(weight_values(variable)) * diagonal
            for key, variable, diagonal in zip(keys, variables, curvature, strict=True)
        }

    def member(self, rows: np.ndarray) -> np.ndarray:
        return rows.sum(axis=1)

    def check(self) -> None:
        super().check()
        check_integer("batch_size", self.batch_size, minimum=1)
