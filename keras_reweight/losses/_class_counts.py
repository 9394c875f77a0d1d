"""What the losses made from class counts share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_reweight.core.labels import labels_like


def class_labels(y_true: Any, y_pred: Any, class_counts: Sequence[float]):
    """Labels as class probabilities of the shape of `y_pred`, which must have those classes."""
    labels = labels_like(y_true, y_pred)
    if y_pred.shape[-1] != len(class_counts):
        raise ValueError(
            f"`class_counts` has {len(class_counts)} classes ({class_counts!r}), but `y_pred` of "
            f"shape {tuple(y_pred.shape)} has {y_pred.shape[-1]} on its last axis."
        )
    return labels


def cross_entropy(labels, logits):
    """Cross-entropy of class probabilities and logits; rows of zeros have no loss."""
    return -ops.sum(labels * ops.log_softmax(logits, axis=-1), axis=-1)


def log_prior(class_counts, tau: float = 1.0, epsilon: float = 1e-12):
    """Float64 `log(pi^tau + epsilon)` of shape `(classes,)`, `pi` the shares of the classes."""
    # On the host in float64: float32 would lose an epsilon of this size.
    counts = np.asarray(class_counts, "float64")
    return np.log((counts / counts.sum()) ** tau + epsilon)
