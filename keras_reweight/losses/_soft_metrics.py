"""Metrics of a confusion matrix as smooth functions of its four shares.

Every function takes the shares of true positives, false positives, false negatives and true
negatives, tensors of one shape that add up to 1, and returns a tensor of that shape.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# Inside square roots, whose slope at zero is infinite.
_SMALLEST_SQUARE = 1e-12


def accuracy(tp: Any, fp: Any, fn: Any, tn: Any):
    return tp + tn


def f_beta(tp: Any, fp: Any, fn: Any, tn: Any, beta: float = 1.0):
    squared = beta**2
    return _ratio((1.0 + squared) * tp, (1.0 + squared) * tp + squared * fn + fp)


def balanced_accuracy(tp: Any, fp: Any, fn: Any, tn: Any):
    """Mean of the recalls of the classes that are there."""
    classes = _present(tp + fn) + _present(tn + fp)
    return _ratio(_ratio(tp, tp + fn) + _ratio(tn, tn + fp), classes)


def gmean(tp: Any, fp: Any, fn: Any, tn: Any):
    """Geometric mean of the recalls; the recall of an absent class is left out."""
    positive = ops.where(tp + fn > 0.0, _ratio(tp, tp + fn), 1.0)
    negative = ops.where(tn + fp > 0.0, _ratio(tn, tn + fp), 1.0)
    return ops.sqrt(ops.maximum(positive * negative, _SMALLEST_SQUARE))


def jaccard(tp: Any, fp: Any, fn: Any, tn: Any):
    return _ratio(tp, tp + fp + fn)


def mcc(tp: Any, fp: Any, fn: Any, tn: Any):
    """Matthews' correlation."""
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / ops.sqrt(ops.maximum(product, _SMALLEST_SQUARE))


def _present(share):
    return ops.cast(share > 0.0, share.dtype)


def _ratio(numerator, denominator):
    return ops.where(
        denominator > 0.0, numerator / ops.where(denominator > 0.0, denominator, 1.0), 0.0
    )


METRICS = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f_beta,
    "fbeta": f_beta,
    "gmean": gmean,
    "jaccard": jaccard,
    "mcc": mcc,
}
