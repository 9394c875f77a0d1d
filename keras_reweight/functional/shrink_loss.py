"""Consistency loss in a class space without the confusing classes."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.metric_learning._pairs import FAR, at_least_float32, only

_TINY = 1e-12


def shrink_loss(
    weak_probabilities: Any,
    strong_logits: Any,
    *,
    threshold: float = 0.95,
    weight_by_confidence: bool = True,
):
    """Cross-entropy of uncertain samples among the classes that leave them certain.

    Use it for unlabeled samples whose weak view is below the confidence threshold and which
    FixMatch would ignore. The runner-up classes are dropped, the second most probable first, until
    the top class reaches the threshold among the rest:
    `p_(0) / (p_(0) + sum_{j >= c} p_(j)) >= threshold` for the first rank `c >= 2`. The loss is the
    cross-entropy of the top class for the strong view within the classes of the ranks 0 and
    `c, c + 1, ...`, times `p_(0)`. It is zero for samples that are certain already and for those
    that no shrinking makes certain.

    Args:
        weak_probabilities: Float tensor of shape `(batch, classes)`, probabilities of the weakly
            augmented view, a constant for the gradient.
        strong_logits: Float tensor of shape `(batch, classes)`, logits of the strongly augmented
            view, in the paper those of an auxiliary head.
        threshold: Float in (0, 1), confidence that counts as certain. Defaults to `0.95`.
        weight_by_confidence: Boolean, whether the loss is multiplied by the confidence `p_(0)`
            before shrinking. Defaults to `True`.

    Returns:
        Float32 tensor of shape `(batch,)`, not negative; with two classes it is zero.

    Raises:
        TypeError: If `threshold` is not a number or `weight_by_confidence` not a boolean.
        ValueError: If `threshold` is not between 0 and 1, or the two shapes are not the same
            `(batch, classes)`.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weak = np.array([[0.5, 0.3, 0.15, 0.03, 0.02]], "float32")
    strong = np.array([[1.0, 0.5, 0.0, -0.5, -1.0]], "float32")
    losses = kr.functional.shrink_loss(weak, strong, threshold=0.8)
    ```

    Reference:
        Yang et al., "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning",
        ICCV 2023, arXiv 2308.06777; LiheYoung/ShrinkMatch.

    Deviations:
        The certainty ramp, the second weight of the paper, is a property of the training: see
        `ShrinkMatchLoss`. Equally probable classes are ranked by their number.
    """
    check_number("threshold", threshold, exclusive_minimum=0.0, exclusive_maximum=1.0)
    check_boolean("weight_by_confidence", weight_by_confidence)
    weak = ops.stop_gradient(at_least_float32(weak_probabilities))
    strong = at_least_float32(strong_logits)
    shapes = tuple(weak.shape), tuple(strong.shape)
    if len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][-1] != shapes[1][-1]:
        raise ValueError(
            "`weak_probabilities` and `strong_logits` must be of one shape (batch, classes), got "
            f"{shapes[0]} and {shapes[1]}."
        )
    num_classes = shapes[0][-1]
    if num_classes < 3:
        return ops.zeros_like(strong[:, 0])
    order = ops.argsort(-weak, axis=-1)
    ranked = ops.reshape(ops.take_along_axis(weak, order, axis=-1), (-1, num_classes))
    scores = ops.reshape(ops.take_along_axis(strong, order, axis=-1), (-1, num_classes))
    top = ranked[:, :1]
    remaining = ops.flip(ops.cumsum(ops.flip(ranked, axis=-1), axis=-1), axis=-1)[:, 2:]
    certain = top / ops.maximum(top + remaining, _TINY) >= threshold
    first = ops.argmax(ops.cast(certain, "int32"), axis=-1, keepdims=True) + 2
    ranks = ops.arange(num_classes, dtype="int32")
    kept = ops.logical_or(ranks == 0, ranks >= ops.cast(first, "int32"))
    losses = ops.logsumexp(only(scores, kept, -FAR), axis=-1) - scores[:, 0]
    if weight_by_confidence:
        losses = losses * ranked[:, 0]
    return only(losses, ops.logical_and(ranked[:, 0] < threshold, ops.any(certain, axis=-1)))
