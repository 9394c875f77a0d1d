"""Separation of the features of classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.losses.batch_loss import BatchLoss
from keras_reweight.metric_learning._pairs import only, pair_masks, similarity_matrix
from keras_reweight.metric_learning.n_pair_weighting import NPairWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class FeatureSeparationLoss(BatchLoss):
    """Draws features of one class together and those of other classes apart.

    Use it beside a classification loss, on the features before the last layer, where weights of
    classes alone hurt the frequent ones: features of rare classes that overlap with others gain
    nothing from a larger weight. `kr.adversarial.SRAT` takes it to the features of adversarial
    inputs; for plain training put it on a second output. With the cosines `S` of the features, the
    loss of an anchor `i` is the mean over its positives `p`, the other samples of its class, of

    `-log(exp(S_ip / temperature) / sum_{a != i} exp(S_ia / temperature))`,

    and the loss of the batch is the mean over the anchors that have a positive, zero without any.
    A batch needs several samples of a class. `NPairLoss(contrast="all")` has the same anchors with
    a loss of their own, divided by the number of all samples.

    Args:
        temperature: Float > 0, small values look at the most similar pairs only. Defaults to `0.1`.
        reduction: `"sum"` multiplies by the sum of the weights; others give the loss itself.
            Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"feature_separation_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        features of shape `(batch, features)`: a scalar. `sample_weight` weights anchors; samples
        of weight zero are no partners either.

    Raises:
        TypeError: If `temperature` is not a number.
        ValueError: If `temperature` is not positive, or, on a call, for other shapes.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    inputs = keras.Input((4,))
    features = keras.layers.Dense(8, "relu", name="features")(inputs)
    model = keras.Model(inputs, [keras.layers.Dense(3, name="logits")(features), features])
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        "adam", [crossentropy, kr.losses.FeatureSeparationLoss()], loss_weights=[1.0, 0.5]
    )
    x, y = np.random.default_rng(0).normal(size=(12, 4)), np.arange(12) % 3
    model.fit(x, [y, y], verbose=0)
    ```

    Reference:
        Wang et al., "Imbalanced Adversarial Training with Reweighting", ICDM 2022, arXiv
        2107.13639, section 4 (separation of features); Khosla et al., "Supervised Contrastive
        Learning", NeurIPS 2020, arXiv 2004.11362, equation 2.

    Deviations:
        No code of the authors is public; the division by the anchors that count is ours.

    Cost:
        One product of the features with themselves, `(batch, batch)`.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "feature_separation_loss",
        dtype=None,
    ):
        check_number("temperature", temperature, exclusive_minimum=0.0)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = temperature

    def batch_loss(self, y_true, y_pred, sample_weight):
        values, anchors = separations(y_true, y_pred, sample_weight > 0, self.temperature)
        weights = only(ops.cast(sample_weight, values.dtype), anchors)
        total = ops.sum(weights)
        return ops.sum(weights * values) / ops.where(total > 0, total, ops.ones_like(total))

    def get_config(self) -> dict:
        return {**super().get_config(), "temperature": self.temperature}


def separations(labels: Any, features: Any, valid: Any, temperature: float) -> tuple[Any, Any]:
    """The loss of every anchor, and which of them have one: both of shape `(batch,)`."""
    similarity = similarity_matrix(features, "cosine")
    positives, negatives = pair_masks(labels, valid)
    values = NPairWeighting(temperature, contrast="all").losses(similarity, positives, negatives)
    return values, ops.any(positives, axis=-1)
