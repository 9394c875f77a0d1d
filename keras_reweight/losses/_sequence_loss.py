"""What losses of token sequences share: one value per sequence, token masks inside it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.loss_evaluation import keras_mask, loss_arguments, reduce_values
from keras_reweight.core.token_log_prob import sequence_sums, token_log_prob
from keras_reweight.core.validation import check_integer


class SequenceLoss(keras.losses.Loss):
    """Base of losses of `(nll, count, y_true)` per sequence, from logits `(batch, time, classes)`.

    Keras would refuse a mask of shape `(batch, time)` beside values of shape `(batch,)`; here
    masked tokens leave the sums, and sequences without a token left do not count.
    """

    def __init__(self, *, ignore_id, reduction, name, dtype):
        if ignore_id is not None:
            check_integer("ignore_id", ignore_id)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.ignore_id = ignore_id

    def tokens(self, y_true: Any, y_pred: Any):
        """The token ids in `y_true`, shape `(batch, time)`."""
        return y_true

    def values(self, nll: Any, count: Any, y_true: Any):
        """One value per sequence from summed token losses and numbers of tokens, `(batch,)`."""
        raise NotImplementedError(f"{type(self).__name__} must define values(...).")

    def call(self, y_true, y_pred):
        return self._evaluate(y_true, y_pred)[0]

    def __call__(self, y_true, y_pred, sample_weight=None):
        with keras.name_scope(self.name):
            values, present = self._evaluate(*loss_arguments(self, y_true, y_pred))
            return reduce_values(self, values, sample_weight, present)

    def _evaluate(self, y_true, y_pred):
        y_true, y_pred = ops.convert_to_tensor(y_true), _with_mask(y_pred)
        if len(y_pred.shape) != 3:
            raise ValueError(
                f"{self.name}: `y_pred` must be logits of shape (batch, time, classes), got shape "
                f"{tuple(y_pred.shape)}."
            )
        log_probs, valid = token_log_prob(y_pred, self.tokens(y_true, y_pred), self.ignore_id)
        total, count = sequence_sums(log_probs, valid, keras_mask(y_pred))
        return self.values(-total, count, y_true), count > 0

    def get_config(self) -> dict:
        return {**super().get_config(), "ignore_id": self.ignore_id}


def _with_mask(tensor):
    # A tensor keeps its Keras mask only if it is not converted.
    return tensor if ops.is_tensor(tensor) else ops.convert_to_tensor(tensor)
