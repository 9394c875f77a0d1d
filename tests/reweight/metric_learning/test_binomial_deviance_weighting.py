"""BinomialDevianceWeighting: sigmoids, averaged for each kind."""

import numpy as np

import keras_reweight as kr
from tests.reweight.metric_learning.pairs import check_weights_are_the_gradient, numerical_weights


def reference_losses(similarity, positives, negatives, alpha=2.0, beta=50.0, base=0.5):
    found = []
    for row, near, far in zip(similarity, positives, negatives, strict=True):
        pull = np.log1p(np.exp(alpha * (base - row[near])))
        push = np.log1p(np.exp(beta * (row[far] - base)))
        found.append(sum(part.mean() if part.size else 0.0 for part in (pull, push)))
    return np.array(found)


def reference(similarity, positives, negatives, **arguments):
    return numerical_weights(
        lambda *pairs: reference_losses(*pairs, **arguments), similarity, positives, negatives
    )


def test_the_weights_are_the_gradient():
    check_weights_are_the_gradient(kr.metric_learning.BinomialDevianceWeighting(3.0, beta=10.0))
