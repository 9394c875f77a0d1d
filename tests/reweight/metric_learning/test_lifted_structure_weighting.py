"""LiftedStructureWeighting: a softmax over the positives and one over the negatives."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.metric_learning.pairs import (
    batch,
    check_weights_are_the_gradient,
    numerical_weights,
)


def reference_losses(similarity, positives, negatives, margin=1.0):
    found = []
    for row, near, far in zip(similarity, positives, negatives, strict=True):
        if not near.any() or not far.any():
            found.append(0.0)
            continue
        pull = np.log(np.exp(margin - row[near]).sum())
        found.append(max(pull + np.log(np.exp(row[far]).sum()), 0.0))
    return np.array(found)


def reference(similarity, positives, negatives, **arguments):
    return numerical_weights(
        lambda *pairs: reference_losses(*pairs, **arguments), similarity, positives, negatives
    )


def test_the_weights_are_the_gradient():
    check_weights_are_the_gradient(kr.metric_learning.LiftedStructureWeighting(0.3))
    # Some anchors are beyond the margin.
    check_weights_are_the_gradient(kr.metric_learning.LiftedStructureWeighting(-2.75))


def test_each_active_anchor_hands_out_one_for_each_kind():
    weights = ops.convert_to_numpy(kr.metric_learning.LiftedStructureWeighting()(*batch().values()))
    np.testing.assert_allclose(weights.sum(axis=1), [2.0] * 9 + [0.0], rtol=1e-5)
