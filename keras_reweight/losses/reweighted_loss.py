"""Any per-sample loss, weighted inside the batch."""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.core.loss_evaluation import LossEvaluation
from keras_reweight.core.loss_resolution import resolve_loss
from keras_reweight.core.step_hooks import multiply_weights
from keras_reweight.weightings._apply import check_weighting_arguments, loss_weights
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class ReweightedLoss(keras.losses.Loss):
    """A loss whose samples are weighted by a `Weighting` of the same batch.

    Use it in `compile` when the weighting needs neither a warm-up nor memory; otherwise use the
    `Reweight` callback, which works with any compiled loss. The wrapped loss keeps its reduction,
    `sample_weight` and mask semantics: the weights made from the batch are multiplied by the
    `sample_weight` that the user passes, padded tokens never enter the weighting, and with the
    default reduction the result is `sum_i w_i loss_i` for weights that sum to one. Validation
    losses are weighted too; the callback leaves them alone.

    Args:
        loss: Loss name, function of `(y_true, y_pred)` or `keras.losses.Loss` that gives one value
            per sample, shape `(batch,)`, or per token, shape `(batch, time)`.
        weighting: A `keras_reweight.weightings.Weighting`.
        granularity: `"sample"` weights whole samples by their mean loss, `"token"` each entry of
            `(batch, time)` losses. Defaults to `"sample"`.
        token_weighted: Boolean, whether long samples count more at sample granularity. Defaults to
            `False`: each sample counts by its mean loss.
        name: String, name of the loss. Defaults to `"reweighted_loss"`.

    Returns:
        Called with `y_true` and `y_pred` of shape `(batch, ...)` and an optional `sample_weight` of
        shape `(batch,)`: the reduced loss, a scalar for every reduction but `"none"`.

    Raises:
        TypeError: If `weighting` is not a `Weighting` or `loss` is none of the kinds above.
        ValueError: If `granularity` is unknown, or, on a call, if `loss` gives one scalar for the
            whole batch.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", kr.losses.ReweightedLoss(loss, kr.weightings.LinUpper(0.4)))
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model.fit(x, np.arange(32) % 3, verbose=0)
    ```

    Reference:
        Sow et al., "Dynamic Loss-Based Sample Reweighting for Improved Large Language Model
        Pretraining", ICLR 2025, arXiv 2502.06733, for the weighted batch loss.

    Cost:
        A few operations on `(batch,)` values besides the loss itself.
    """

    def __init__(
        self,
        loss: Any,
        weighting: Weighting,
        *,
        granularity: str = "sample",
        token_weighted: bool = False,
        name: str = "reweighted_loss",
    ):
        check_weighting_arguments(weighting, granularity, token_weighted)
        resolved = resolve_loss(loss)
        super().__init__(name=name, reduction=resolved.reduction, dtype=resolved.dtype)
        self.loss = loss
        self.weighting = weighting
        self.granularity = granularity
        self.token_weighted = token_weighted
        self._resolved = resolved

    def __call__(self, y_true, y_pred, sample_weight=None):
        evaluation = LossEvaluation(self._resolved, y_true, y_pred)
        weights = self._weights(evaluation, y_true, y_pred)
        return evaluation.reduce(multiply_weights(sample_weight, weights))

    def call(self, y_true, y_pred):
        """Weighted losses before reduction, shape `(batch,)` or `(batch, time)`."""
        evaluation = LossEvaluation(self._resolved, y_true, y_pred)
        return evaluation.losses * self._weights(evaluation, y_true, y_pred)

    def _weights(self, evaluation, y_true, y_pred):
        return loss_weights(
            self.weighting,
            evaluation.losses,
            y_true,
            y_pred,
            mask=evaluation.mask,
            granularity=self.granularity,
            token_weighted=self.token_weighted,
        )

    def get_config(self) -> dict:
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "weighting": keras.saving.serialize_keras_object(self.weighting),
            "granularity": self.granularity,
            "token_weighted": self.token_weighted,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict):
        config = dict(config)
        for key in ("loss", "weighting"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)
