"""Class probabilities from cumulative logits."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_number


def ordinal_probabilities(cumulative_logits: Any, *, floor: float = 1e-8):
    """Probabilities of ordered classes from the logits of `P(y <= k)`.

    Use it on the outputs of `OrdinalHead`. With `c_k` the logit of `P(y <= k)` the classes have
    the probabilities `sigmoid(c_k) - sigmoid(c_{k-1})`, the first `sigmoid(c_1)` and the last
    `1 - sigmoid(c_{K-1})`. Where boundaries have weights of their own they can cross and a
    difference become negative: whatever is below `floor` is set to it, then all are divided by
    their sum.

    Args:
        cumulative_logits: Float tensor of shape `(..., classes - 1)`.
        floor: Float in `(0, 0.1]`, the smallest probability before dividing. Defaults to `1e-8`.

    Returns:
        Float tensor of shape `(..., classes)`, positive, sum one over the last axis.

    Raises:
        TypeError: If `floor` is not a number.
        ValueError: If `floor` is out of range or the last axis is empty or not static.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    probabilities = kr.functional.ordinal_probabilities(np.array([[-1.0, 0.5, 2.0]], "float32"))
    ```

    Reference:
        Faletto and Bien, "Predicting Rare Events by Shrinking Towards Proportional Odds", ICML
        2023, arXiv 2305.18700; floor as in its official code.
    """
    check_number("floor", floor, exclusive_minimum=0.0, maximum=0.1)
    logits = ops.convert_to_tensor(cumulative_logits)
    if not keras.backend.is_float_dtype(logits.dtype):
        logits = ops.cast(logits, "float32")
    if not len(logits.shape) or not logits.shape[-1]:
        raise ValueError(
            "`cumulative_logits` must have shape (..., classes - 1) with a static last axis, got "
            f"shape {tuple(logits.shape)}."
        )
    above, below = logits[..., 1:], logits[..., :-1]
    # sigmoid(a) - sigmoid(b) = sigmoid(a) * sigmoid(-b) * (1 - exp(b - a)), without the loss of
    # digits that the difference has where both are close to one.
    gap = ops.minimum(below - above, 0.0)
    between = ops.sigmoid(above) * ops.sigmoid(-below) * -ops.expm1(gap)
    raw = ops.concatenate(
        [ops.sigmoid(logits[..., :1]), between, ops.sigmoid(-logits[..., -1:])], axis=-1
    )
    raw = ops.maximum(raw, floor)
    return raw / ops.sum(raw, axis=-1, keepdims=True)
