"""The min-max surrogate of the area under the ROC curve, on one batch."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops


class ClassStatistics(NamedTuple):
    """Weighted class means of scores; every entry has shape `(columns,)`."""

    positive: Any
    negative: Any
    has_positive: Any
    has_negative: Any
    rate: Any

    @property
    def has_both(self):
        return ops.logical_and(self.has_positive, self.has_negative)


def class_means(values: Any, labels: Any, weights: Any):
    """Means of `(batch, columns)` values over the positives and over the negatives."""
    of_positive, of_negative = labels * weights[:, None], (1.0 - labels) * weights[:, None]
    return _mean(values, of_positive), _mean(values, of_negative)


def class_statistics(scores: Any, labels: Any, weights: Any) -> ClassStatistics:
    """Class means of the scores, which classes there are, and the share of positives."""
    positive, negative = class_means(scores, labels, weights)
    number = ops.sum(labels * weights[:, None], axis=0)
    total = ops.sum(weights)
    rest = ops.sum((1.0 - labels) * weights[:, None], axis=0)
    rate = number / ops.where(total > 0.0, total, 1.0)
    return ClassStatistics(positive, negative, number > 0.0, rest > 0.0, rate)


def best_dual(statistics: ClassStatistics, margin: float):
    """The `a`, `b` and `alpha` that solve the inner problems, without gradient."""
    gap = margin + statistics.negative - statistics.positive
    solution = (statistics.positive, statistics.negative, ops.maximum(gap, 0.0))
    return tuple(ops.stop_gradient(value) for value in solution)


def objective(scores: Any, labels: Any, weights: Any, dual: Any, margin: float):
    """The objective of every column at `dual = (a, b, alpha)`; terms of absent classes drop."""
    a, b, alpha = dual
    statistics = class_statistics(scores, labels, weights)
    spread_positive, _ = class_means(ops.square(scores - a), labels, weights)
    _, spread_negative = class_means(ops.square(scores - b), labels, weights)
    gap = margin + statistics.negative - statistics.positive
    gap = 2.0 * alpha * gap - ops.square(alpha)
    return spread_positive + spread_negative + ops.where(statistics.has_both, gap, 0.0)


def prior_factor(prior: float | str | None, rate: Any):
    """`p (1 - p)` for the share `p` of positives that `prior` names, or 1."""
    if prior is None:
        return ops.ones_like(rate)
    share = rate if prior == "batch" else ops.full_like(rate, prior)
    return share * (1.0 - share)


def _mean(values, weights):
    total = ops.sum(weights, axis=0)
    return ops.sum(values * weights, axis=0) / ops.where(total > 0.0, total, 1.0)
