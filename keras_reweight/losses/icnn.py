"""Purity and compactness of neighborhoods as a loss."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_integer
from keras_reweight.losses.batch_loss import BatchLoss
from keras_reweight.metric_learning._pairs import (
    FAR,
    at_least_float32,
    mean_over,
    only,
    pair_masks,
    squared_distances,
)

_SMOOTH = 1e-6
_EPSILON = 1e-7


@keras.saving.register_keras_serializable(package="keras_reweight")
class ICNNLoss(BatchLoss):
    """Minus the logarithm of how pure and compact the classes are among nearest neighbors.

    Use it beside a cross-entropy in few-shot training, where it shapes whole neighborhoods and not
    pairs. Among the `k` nearest neighbors of each sample the score averages three numbers in
    [0, 1]: how close neighbors of its class are, relative to the nearest neighbor of another class,
    how far neighbors of other classes are, relative to the farthest such one of the batch, and the
    share of neighbors of its class, which counts twice and has no gradient:

    `loss = -log(((near + far) / 2 + purity) / 2)`.

    One number for the batch; `sample_weight` weights the rows of all means, and samples of weight
    zero are nobody's neighbors.

    Args:
        num_neighbors: Integer >= 1, `k`; all neighbors, with purity one, in a batch of at most
            `k + 2` samples. Defaults to `4`.
        reduction: `"sum"` multiplies the loss by the sum of the weights; every other reduction of
            Keras gives the loss itself. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"icnn_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        embeddings of shape `(batch, features)`: a float scalar.

    Raises:
        TypeError: If `num_neighbors` is not an integer.
        ValueError: If `num_neighbors` is less than one.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.ICNNLoss(num_neighbors=3))
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    model.fit(x, np.arange(12) % 3, batch_size=12, verbose=0)
    ```

    Reference:
        Mendez-Ruiz et al., "SuSana Distancia is all you need", 2023, arXiv 2305.09062; the score
        is that of Mendez-Ruiz et al., "Finding Significant Features for Few-Shot Learning using
        Dimensionality Reduction", 2021, arXiv 2107.06992.

    Deviations:
        As the authors' code, which leaves the variance term of the paper out; it looks one neighbor
        farther than `k` for the nearest neighbor of another class. Neighbors are those in the
        batch, and the sample itself is left out by position, not as the nearest neighbor.
    """

    def __init__(
        self,
        num_neighbors: int = 4,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "icnn_loss",
        dtype=None,
    ):
        check_integer("num_neighbors", num_neighbors, minimum=1)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.num_neighbors = num_neighbors

    def batch_loss(self, y_true, y_pred, sample_weight):
        embeddings = at_least_float32(y_pred)
        valid = sample_weight > 0.0
        same, other = pair_masks(y_true, valid)
        distances = ops.sqrt(squared_distances(embeddings, embeddings) + _SMOOTH)

        size = ops.sum(ops.cast(valid, "int32"))
        few = size <= self.num_neighbors + 2
        wanted = ops.where(few, size - 2, self.num_neighbors)
        order = only(ops.stop_gradient(distances), ops.logical_or(same, other), FAR)
        # Ranks instead of sorted values: the number of neighbors may depend on the batch.
        rank = ops.argsort(ops.argsort(order, axis=-1), axis=-1)
        near_same = ops.logical_and(same, rank < wanted)
        near_other = ops.logical_and(other, rank < wanted)

        rows = ops.where(valid, sample_weight, ops.zeros_like(sample_weight))
        around = ops.logical_and(other, rank < wanted + 1)
        nearest = ops.min(only(distances, around, FAR), axis=-1, keepdims=True)
        relative = distances / (nearest + _EPSILON)
        relative = only(relative, ops.any(around, axis=-1, keepdims=True))
        near = ops.logical_or(near_same, near_other)
        largest = ops.max(only(relative, near), axis=-1, keepdims=True)
        relative = relative / ops.maximum(largest, 1.0)
        compact = 1.0 - _mean_of_rows(relative, near_same, rows)

        farthest = ops.max(only(distances, near_other))
        apart = _mean_of_rows(distances / (farthest + _EPSILON), near_other, rows)
        apart = ops.where(ops.any(near_other), apart, 1.0)

        share = ops.sum(ops.cast(near_same, rows.dtype), axis=-1) / self.num_neighbors
        purity = ops.sum(share * rows) / ops.maximum(ops.sum(rows), _EPSILON)
        purity = ops.where(few, 1.0, purity)
        score = 0.5 * (0.5 * (compact + apart) + purity)
        return -ops.log(ops.maximum(score, _EPSILON))

    def get_config(self) -> dict:
        return {**super().get_config(), "num_neighbors": self.num_neighbors}


def _mean_of_rows(values, mask, rows):
    """Weighted mean over the rows with an entry in the mask of the means of these entries."""
    rows = only(rows, ops.any(mask, axis=-1))
    return ops.sum(mean_over(values, mask) * rows) / ops.maximum(ops.sum(rows), _EPSILON)
