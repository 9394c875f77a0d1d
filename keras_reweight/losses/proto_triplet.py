"""Triplets of samples and class means."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_choice, check_number
from keras_reweight.losses.masked_loss import MaskedLoss
from keras_reweight.metric_learning._pairs import (
    FAR,
    at_least_float32,
    only,
    own_pairs,
    pair_masks,
    squared_distances,
)

_SMOOTH = 1e-6


@keras.saving.register_keras_serializable(package="keras_reweight")
class ProtoTripletLoss(MaskedLoss):
    """Each sample closer to the mean of its class than to any other mean, by a margin.

    Use it for few-shot and prototype classifiers, alone or beside a cross-entropy. With the mean
    `c_k` of the embeddings of class `k` in the batch and `d(z, c) = sqrt(|z - c|^2 + 1e-6)`,

    `l_i = max(d(z_i, c_own) - min_k d(z_i, c_k) + margin, 0)`, `k` over the other classes present.

    Samples without another class in the batch have no loss. Each sample has a loss of its own;
    `sample_weight` weights samples as queries, masked samples enter no mean.

    Args:
        margin: Float, by how much the own mean shall be closer. Defaults to `0.5`.
        prototypes: `"batch"`: means of all samples, the sample itself among them, or
            `"leave_one_out"`: its own mean without the sample; a sample alone in its class then
            has no loss. Defaults to `"batch"`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"proto_triplet_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        embeddings of shape `(batch, features)`: the reduced loss.

    Raises:
        TypeError: If `margin` is not a number.
        ValueError: If `prototypes` is unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    layers = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.UnitNormalization()]
    model = keras.Sequential(layers)
    model.compile("adam", kr.losses.ProtoTripletLoss(prototypes="leave_one_out"))
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    model.fit(x, np.arange(12) % 3, batch_size=12, verbose=0)
    ```

    Reference:
        Mendez-Ruiz et al., "SuSana Distancia is all you need: Enforcing class separability in
        metric learning via two novel distance-based loss functions for few-shot image
        classification", 2023, arXiv 2305.09062.

    Deviations:
        The paper takes means of a support set and losses of a query set; here both are the batch.

    Cost:
        Distances of all samples to the mean of each sample's class, shape `(batch, batch)`.
    """

    def __init__(
        self,
        margin: float = 0.5,
        *,
        prototypes: str = "batch",
        reduction: str | None = "sum_over_batch_size",
        name: str = "proto_triplet_loss",
        dtype=None,
    ):
        check_number("margin", margin)
        check_choice("prototypes", prototypes, ("batch", "leave_one_out"))
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = margin
        self.prototypes = prototypes

    def losses(self, y_true, y_pred, mask):
        embeddings = at_least_float32(y_pred)
        others, negatives = pair_masks(y_true, mask)
        own = ops.logical_and(own_pairs(mask), ops.expand_dims(mask, axis=-1))
        members = ops.logical_or(others, own)
        # The mean of the class of sample j, once for each j: no number of classes is needed.
        squares = squared_distances(embeddings, _means(members, embeddings))
        push = ops.min(only(ops.sqrt(squares + _SMOOTH), negatives, FAR), axis=-1)
        counted = ops.any(negatives, axis=-1)
        if self.prototypes == "leave_one_out":
            members = others
            counted = ops.logical_and(counted, ops.any(others, axis=-1))
        gaps = embeddings - _means(members, embeddings)
        pull = ops.sqrt(ops.sum(ops.square(gaps), axis=-1) + _SMOOTH)
        return only(ops.relu(pull - push + self.margin), counted)

    def get_config(self) -> dict:
        config = super().get_config()
        return {**config, "margin": self.margin, "prototypes": self.prototypes}


def _means(members, embeddings):
    shares = ops.cast(members, embeddings.dtype)
    number = ops.maximum(ops.sum(shares, axis=-1, keepdims=True), 1.0)
    return ops.matmul(shares / number, embeddings)
