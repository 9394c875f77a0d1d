"""How far the predictions of two models are apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_reweight.core.prediction_agreement import paired_scores
from keras_reweight.core.validation import check_boolean


def js_divergence(first: Any, second: Any, *, from_logits: bool = False) -> float:
    """Jensen-Shannon divergence of the predictions of two models, averaged over the samples.

    `(KL(p || m) + KL(q || m)) / 2` with `m = (p + q) / 2`, in nats: 0 for equal predictions,
    `log(2)` for predictions that share nothing.

    Args:
        first: Float array of shape `(..., classes)`, predictions of one model.
        second: Float array of the same shape, those of the other.
        from_logits: Boolean, whether a softmax is still to be taken. Defaults to `False`.

    Returns:
        Float in `[0, log(2)]`.

    Raises:
        TypeError: If `first` or `second` is no array of numbers, or `from_logits` no boolean.
        ValueError: If the shapes differ, there is no axis of classes, a number is not finite, or
            probabilities are negative or do not sum to one.

    Example:

    ```python
    import numpy as np
    from keras_compress.analysis import js_divergence

    found = js_divergence(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert abs(found - np.log(2.0)) < 1e-9
    ```

    Reference:
        Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Transactions on Information
        Theory 37(1), 1991; as in github.com/YefanZhou/ThreeRegimePruning.

    Deviations:
        The official code clips the mixture at 1e-7; here `0 log 0` is 0.
    """
    check_boolean("from_logits", from_logits)
    first, second = paired_scores(first, second)
    if from_logits:
        first, second = (_softmax(scores) for scores in (first, second))
    for name, array in (("first", first), ("second", second)):
        if (array < 0.0).any() or not np.allclose(array.sum(axis=-1), 1.0, atol=1e-4):
            raise ValueError(
                f"`{name}` must be probabilities, got {array.ravel()[:4].tolist()}; pass "
                "`from_logits=True` for logits."
            )
    mixture = (first + second) / 2.0
    each = (_divergence(first, mixture) + _divergence(second, mixture)) / 2.0
    return max(float(np.mean(each)), 0.0)


def _softmax(scores):
    away = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return away / away.sum(axis=-1, keepdims=True)


def _divergence(probabilities, mixture):
    positive = probabilities > 0.0
    ratio = np.divide(probabilities, mixture, out=np.ones_like(mixture), where=positive)
    return np.sum(probabilities * np.log(ratio), axis=-1)
