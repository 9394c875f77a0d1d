"""ContrastiveWeighting: one for pairs on the wrong side."""

import numpy as np

import keras_reweight as kr
from tests.reweight.metric_learning.pairs import check_weights_are_the_gradient, numerical_weights


def reference_losses(similarity, positives, negatives, positive_margin=1.0, negative_margin=0.5):
    found = []
    for row, near, far in zip(similarity, positives, negatives, strict=True):
        pull = sum(max(positive_margin - s, 0.0) for s in row[near])
        found.append(pull + sum(max(s - negative_margin, 0.0) for s in row[far]))
    return np.array(found)


def reference(similarity, positives, negatives, **arguments):
    return numerical_weights(
        lambda *pairs: reference_losses(*pairs, **arguments), similarity, positives, negatives
    )


def test_the_weights_are_the_gradient():
    weighting = kr.metric_learning.ContrastiveWeighting(0.4, negative_margin=-0.1)
    check_weights_are_the_gradient(weighting)
    check_weights_are_the_gradient(weighting, kr.metric_learning.BatchHardMiner())
