"""EL2N: the distance of a prediction from its label."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_boolean


def el2n(y_true: Any, y_pred: Any, *, from_logits: bool = False):
    """Error L2 norm of each sample, `||p - onehot(y)||_2`.

    High values early in training mark samples that matter; the very highest are often mislabeled.
    The paper scores with the network in inference mode, averaged over several short runs.

    Args:
        y_true: Integer labels of shape `(batch,)` or `(batch, 1)`, or one-hot / probability
            vectors of shape `(batch, num_classes)`.
        y_pred: Float tensor of shape `(batch, num_classes)`, or `(batch, 1)` for a sigmoid head,
            whose value `p` counts as the pair `(1 - p, p)` so that both heads share one scale.
        from_logits: Boolean, whether `y_pred` holds logits. Defaults to `False`.

    Returns:
        Float32 tensor of shape `(batch,)`, between 0 and sqrt(2).

    Raises:
        TypeError: If `from_logits` is not a boolean.
        ValueError: If `y_pred` is not of rank 2 or `y_true` does not fit it.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    logits = np.array([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]], "float32")
    scores = kr.scores.el2n(np.array([0, 1]), logits, from_logits=True)
    ```

    Reference:
        Paul, Ganguli and Dziugaite, "Deep Learning on a Data Diet", NeurIPS 2021, arXiv
        2107.07075, definition of the EL2N score in section 2.
    """
    check_boolean("from_logits", from_logits)
    y_pred = ops.convert_to_tensor(y_pred)
    if keras.backend.standardize_dtype(y_pred.dtype) != "float64":
        y_pred = ops.cast(y_pred, "float32")
    y_true = ops.convert_to_tensor(y_true)
    if len(y_pred.shape) != 2:
        raise ValueError(f"`y_pred` must be of shape (batch, classes), got {tuple(y_pred.shape)}.")
    classes = y_pred.shape[-1]
    if classes == 1:
        positive = ops.sigmoid(y_pred) if from_logits else y_pred
        labels = ops.reshape(ops.cast(y_true, y_pred.dtype), (-1,))
        return 2.0**0.5 * ops.abs(ops.squeeze(positive, axis=-1) - labels)
    if len(y_true.shape) == 2 and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, axis=-1)
    if len(y_true.shape) == 1:
        y_true = ops.one_hot(ops.cast(y_true, "int32"), classes, dtype=y_pred.dtype)
    elif tuple(y_true.shape[1:]) != (classes,):
        raise ValueError(
            f"`y_true` must be of shape (batch,) or (batch, {classes}), got {tuple(y_true.shape)}."
        )
    probabilities = ops.softmax(y_pred, axis=-1) if from_logits else y_pred
    errors = probabilities - ops.cast(y_true, y_pred.dtype)
    return ops.sqrt(ops.sum(ops.square(errors), axis=-1))
