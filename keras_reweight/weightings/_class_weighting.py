"""What the weightings by class share: one weight for each class, looked up by the label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_reweight.core.labels import check_class_counts, labels_like
from keras_reweight.core.validation import check_choice
from keras_reweight.weightings._masked import normalized
from keras_reweight.weightings.weighting import Weighting


def check_normalization(value: Any) -> None:
    """Raise unless `value` is a normalization that a user may choose."""
    check_choice("normalization", value, (None, "mean_one"))


class ClassWeighting(Weighting):
    """Weights that depend on the class of the label alone."""

    reads = ("y_true",)

    def __init__(self, class_counts: Sequence[float], normalization: str | None):
        check_class_counts("class_counts", class_counts)
        check_normalization(normalization)
        self.class_counts = class_counts
        self.normalization = normalization

    def class_weights(self) -> np.ndarray:
        """Weight of each class, float64 array of shape `(classes,)`."""
        raise NotImplementedError(f"{type(self).__name__} must define class_weights().")

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        vector = ops.convert_to_tensor(self.class_weights(), dtype=losses.dtype)
        weights = ops.sum(self._labels(losses, y_true, y_pred) * vector, axis=-1)
        return normalized(weights, valid, self.normalization)

    def _labels(self, losses, y_true, y_pred):
        """Class probabilities; the scores only tell labels of tokens from one-hot ones."""
        y_true = ops.convert_to_tensor(y_true)
        shape = tuple(y_true.shape)
        rank = len(losses.shape)
        if y_pred is not None:
            rank = max(rank, len(y_pred.shape) - 1)
        classes = len(self.class_counts)
        if len(shape) == rank + 1 and shape[-1] in (1, classes):
            one_of_each = y_true[..., :1]
        elif len(shape) == rank:
            one_of_each = ops.expand_dims(y_true, axis=-1)
        else:
            raise ValueError(
                f"`y_true` of shape {shape} does not fit the {classes} classes of `class_counts`="
                f"{self.class_counts!r}: pass class ids, one for each loss, or one-hot labels."
            )
        template = ops.zeros((classes,), dtype=losses.dtype)
        template = ops.cast(ops.zeros_like(one_of_each), losses.dtype) + template
        return labels_like(y_true, template)

    def get_config(self) -> dict:
        return {
            "class_counts": np.asarray(self.class_counts).tolist(),
            "normalization": self.normalization,
        }
