"""Any metric of the confusion matrix as a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_reweight.core.binary_labels import binary_columns
from keras_reweight.core.labels import labels_like
from keras_reweight.core.validation import check_boolean, check_choice, check_number
from keras_reweight.losses._soft_metrics import METRICS, f_beta
from keras_reweight.losses.batch_loss import BatchLoss


@keras.saving.register_keras_serializable(package="keras_reweight")
class AnyLoss(BatchLoss):
    """One minus a metric of the confusion matrix, made differentiable by a steep sigmoid.

    Use it to train for the metric a classifier is judged by (F-score, balanced accuracy, ...),
    with batches large enough to estimate it. A probability `p` counts as a prediction of the class
    by `h = sigmoid(amplifier (p - threshold))`; with labels `y` the shares of the batch are
    `tp = mean(h y)`, `fp = mean(h (1 - y))`, `fn = mean((1 - h) y)`, `tn = mean((1 - h) (1 - y))`.
    For several classes each is set against the rest and the metrics are averaged.

    Steep sigmoids have no slope away from the threshold: with the paper's amplifier of 73 samples
    with `|p - threshold| > 0.15` are hardly moved. Where training stalls, 5 to 20 is better, or
    some `bce_weight`.

    Args:
        metric: One of `"accuracy"`, `"balanced_accuracy"`, `"f1"`, `"fbeta"`, `"gmean"`,
            `"jaccard"`, `"mcc"`, or a callable `(tp, fp, fn, tn) -> metric` of four shares, float
            tensors of shape `(columns,)` that add up to one. Defaults to `"f1"`.
        amplifier: Float > 0, steepness of the sigmoid. Defaults to `73.0`.
        threshold: Float in (0, 1), probability that counts as half a prediction. Defaults to
            `0.5`.
        beta: Float > 0, weight of recall against precision in `"fbeta"`. Defaults to `1.0`.
        bce_weight: Float in [0, 1], share of class-balanced cross-entropy in the loss. Defaults to
            `0.0`.
        from_logits: Boolean, whether to apply a softmax (one column, or `multi_label`: a sigmoid)
            to `y_pred`. Defaults to `False`.
        multi_label: Boolean, whether columns are labels of their own, not classes. Defaults to
            `False`.
        reduction: As in `BatchLoss`. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"any_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with probabilities of shape `(batch,)` or `(batch, 1)` and labels 0 or 1, or with
        probabilities of shape `(batch, classes)` and class ids or one-hot labels (`multi_label`:
        labels 0 or 1 of that shape): a float scalar. `sample_weight` weights the four means.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, `beta` is given for another metric, or, on a
            call, the shapes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", kr.losses.AnyLoss("balanced_accuracy", amplifier=10.0))
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    model.fit(x, x[:, 0] > 1.0, batch_size=40, verbose=0)
    ```

    Reference:
        Han, Moniz and Chawla, "AnyLoss: Transforming Classification Metrics into Loss Functions",
        KDD 2024, arXiv 2405.14745.

    Deviations:
        Means are over the batch, where the published notebook divides sums of a batch by the size
        of the training set. The geometric mean keeps its square root. Recalls of a class that the
        batch lacks are left out. The cross-entropy weights positives by the share of negatives and
        the other way round, as the authors' extension does.
    """

    def __init__(
        self,
        metric: str | Callable[..., Any] = "f1",
        *,
        amplifier: float = 73.0,
        threshold: float = 0.5,
        beta: float = 1.0,
        bce_weight: float = 0.0,
        from_logits: bool = False,
        multi_label: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "any_loss",
        dtype=None,
    ):
        if isinstance(metric, str):
            check_choice("metric", metric, METRICS)
        elif not callable(metric):
            raise TypeError(
                f"`metric` must be one of {sorted(METRICS)} or a function of four shares, got "
                f"{metric!r}."
            )
        check_number("amplifier", amplifier, exclusive_minimum=0.0)
        check_number("threshold", threshold, exclusive_minimum=0.0, exclusive_maximum=1.0)
        check_number("beta", beta, exclusive_minimum=0.0)
        if beta != 1.0 and metric != "fbeta":
            raise ValueError(
                f'`beta` belongs to the metric "fbeta"; got `beta`={beta!r} with {metric!r}.'
            )
        check_number("bce_weight", bce_weight, minimum=0.0, maximum=1.0)
        check_boolean("from_logits", from_logits)
        check_boolean("multi_label", multi_label)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.metric = metric
        self.amplifier = amplifier
        self.threshold = threshold
        self.beta = beta
        self.bce_weight = bce_weight
        self.from_logits = from_logits
        self.multi_label = multi_label

    def batch_loss(self, y_true, y_pred, sample_weight):
        labels, probabilities = self._labels_and_probabilities(y_true, y_pred)
        total = ops.sum(sample_weight)
        shares = (sample_weight / ops.where(total > 0.0, total, 1.0))[:, None]
        found = ops.sigmoid(self.amplifier * (probabilities - self.threshold))
        missed = 1.0 - found
        parts = (found * labels, found * (1.0 - labels), missed * labels, missed * (1.0 - labels))
        metric = self._metric(*(ops.sum(shares * part, axis=0) for part in parts))
        value = 1.0 - ops.mean(metric)
        if self.bce_weight:
            entropy = self._balanced_crossentropy(labels, probabilities, shares)
            value = (1.0 - self.bce_weight) * value + self.bce_weight * entropy
        return value

    def _labels_and_probabilities(self, y_true, y_pred):
        columns = y_pred.shape[-1] if len(y_pred.shape) > 1 else 1
        if columns == 1 or self.multi_label:
            labels, scores = binary_columns(y_true, y_pred)
            return labels, ops.sigmoid(scores) if self.from_logits else scores
        if len(y_pred.shape) != 2:
            raise ValueError(f"`y_pred` must have shape (batch, classes), got {y_pred.shape}.")
        labels = labels_like(y_true, y_pred)
        return labels, ops.softmax(y_pred, axis=-1) if self.from_logits else y_pred

    def _metric(self, tp, fp, fn, tn):
        if self.metric == "fbeta":
            return f_beta(tp, fp, fn, tn, self.beta)
        metric = METRICS[self.metric] if isinstance(self.metric, str) else self.metric
        return metric(tp, fp, fn, tn)

    @staticmethod
    def _balanced_crossentropy(labels, probabilities, shares):
        smallest = keras.config.epsilon()
        probabilities = ops.clip(probabilities, smallest, 1.0 - smallest)
        rate = ops.sum(shares * labels, axis=0)
        total = ops.sum(shares)
        entropy = (total - rate) * labels * ops.log(probabilities)
        entropy = entropy + rate * (1.0 - labels) * ops.log(1.0 - probabilities)
        return -ops.mean(ops.sum(shares * entropy, axis=0))

    def get_config(self) -> dict:
        metric = self.metric
        if not isinstance(metric, str):
            metric = keras.saving.serialize_keras_object(metric)
        return {
            **super().get_config(),
            "metric": metric,
            "amplifier": self.amplifier,
            "threshold": self.threshold,
            "beta": self.beta,
            "bce_weight": self.bce_weight,
            "from_logits": self.from_logits,
            "multi_label": self.multi_label,
        }

    @classmethod
    def from_config(cls, config: dict):
        metric = config["metric"]
        if isinstance(metric, dict):
            metric = keras.saving.deserialize_keras_object(metric)
        return cls(**{**config, "metric": metric})
