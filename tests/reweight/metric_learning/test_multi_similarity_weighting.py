"""MultiSimilarityWeighting: its closed form is the gradient of its loss."""

import numpy as np

import keras_reweight as kr
from tests.reweight.metric_learning.pairs import check_weights_are_the_gradient, numerical_weights


def reference_losses(similarity, positives, negatives, alpha=2.0, beta=50.0, base=0.5):
    found = []
    for row, near, far in zip(similarity, positives, negatives, strict=True):
        pull = np.log1p(np.exp(-alpha * (row[near] - base)).sum()) / alpha
        found.append(pull + np.log1p(np.exp(beta * (row[far] - base)).sum()) / beta)
    return np.array(found)


def reference(similarity, positives, negatives, **arguments):
    return numerical_weights(
        lambda *pairs: reference_losses(*pairs, **arguments), similarity, positives, negatives
    )


def test_the_weights_are_the_gradient():
    slope = check_weights_are_the_gradient(kr.metric_learning.MultiSimilarityWeighting(beta=20.0))
    assert (slope <= 0).any()
    miner = kr.metric_learning.MultiSimilarityMiner(0.3)
    check_weights_are_the_gradient(kr.metric_learning.MultiSimilarityWeighting(), miner)
