"""Channels by what the loss would lose with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.importances._loss_importance import LossImportance
from keras_compress.structured.importances.group_importance import weight_values
from keras_reweight.core.gradients import value_and_grad
from keras_reweight.core.validation import check_boolean


class GroupTaylor(LossImportance):
    """Score a channel by the first-order change of the loss if its weights were zero.

    For choosing by the loss where some hundred labelled samples are at hand, best some that the
    model has not fitted: near the minimum of the loss the gradients vanish, and this can be worse
    than chance (see `GroupHessian`). With the gradient `g` of the mean loss over all of
    `data` (inference mode, no regularizers):

    `I(c) = mean over members m of sum over the weights of c in m of |w g|`, then normalized; with
    `multivariable`, `|sum w g|` of each member, which lets weights make up for each other.

    Args:
        data: Labelled samples `(x, y)` or `(x, y, sample_weight)`: arrays of shape
            `(num_samples, ...)` and any dtype, or batches as `fit` takes them.
        loss: Loss as for `compile`. Defaults to `None`, the compiled loss of the model.
        batch_size: Integer, samples at a time, for arrays. Defaults to `32`.
        multivariable: Bool, whether products are added up before their absolute value is taken.
            Defaults to `False`.
        normalizer: String, as for `GroupImportance`. Defaults to `"mean"`.
        reduction: String, as for `GroupImportance`. Defaults to `"mean"`.
        bias: Bool, whether biases and offsets count, too. Defaults to `False`.

    Returns:
        A `ChannelImportance` for `prune_structured`, which also takes `"taylor"` with `data`.

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
        model, 0.5, importance=kc.structured.GroupTaylor((x, y), loss=loss)
    )
    ```

    Reference:
        Molchanov et al., "Importance Estimation for Neural Network Pruning", arXiv 1906.10771,
        equation 8; `GroupTaylorImportance` of github.com/VainF/Torch-Pruning.

    Deviations:
        The paper squares the products of every sample. Torch-Pruning takes the gradient of the last
        batch; here that of all data counts. It leaves out batch normalization; here its scales are
        members.

    Cost:
        A forward and a backward pass over `data`.
    """

    def __init__(
        self,
        data: Any,
        *,
        loss: Any = None,
        batch_size: int = 32,
        multivariable: bool = False,
        normalizer: str = "mean",
        reduction: str = "mean",
        bias: bool = False,
    ):
        super().__init__(
            data,
            loss=loss,
            batch_size=batch_size,
            normalizer=normalizer,
            reduction=reduction,
            bias=bias,
        )
        self.multivariable = multivariable

    def values(self, graph: ChannelGraph, keys: Sequence[str]) -> dict[str, np.ndarray]:
        def gradients(*batch, **options):
            return value_and_grad(*batch, **options)[1]

        return {
            key: weight_values(graph.variables[key]) * gradient
            for key, gradient in self.mean_derivatives(gradients, graph, keys).items()
        }

    def member(self, rows: np.ndarray) -> np.ndarray:
        if self.multivariable:
            return np.abs(rows.sum(axis=1))
        return np.abs(rows).sum(axis=1)

    def check(self) -> None:
        super().check()
        check_boolean("multivariable", self.multivariable)
