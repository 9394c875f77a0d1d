"""TripletWeighting: the three choices of triplets against loops."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.metric_learning.pairs import (
    batch,
    check_weights_are_the_gradient,
    numerical_weights,
)


def chosen(row, near, far, triplets):
    near, far = np.flatnonzero(near), np.flatnonzero(far)
    if not len(near) or not len(far):
        return []
    if triplets == "all":
        return [(p, n) for p in near for n in far]
    if triplets == "hardest":
        return [(near[np.argmin(row[near])], far[np.argmax(row[far])])]
    found = []
    for p in near:
        farther = [n for n in far if row[n] < row[p]]
        best = max(farther, key=lambda n: row[n]) if farther else min(far, key=lambda n: row[n])
        found.append((p, best))
    return found


def reference_losses(similarity, positives, negatives, margin=0.2, triplets="hardest", soft=False):
    found = []
    for row, near, far in zip(similarity, positives, negatives, strict=True):
        gaps = [row[n] - row[p] + margin for p, n in chosen(row, near, far, triplets)]
        values = [np.log1p(np.exp(gap)) if soft else max(gap, 0.0) for gap in gaps]
        found.append(np.mean(values) if values else 0.0)
    return np.array(found)


def reference(similarity, positives, negatives, **arguments):
    return numerical_weights(
        lambda *pairs: reference_losses(*pairs, **arguments), similarity, positives, negatives
    )


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("triplets", ["hardest", "semi_hard", "all"])
def test_the_weights_are_the_gradient(triplets, soft):
    weighting = kr.metric_learning.TripletWeighting(0.1, triplets=triplets, soft=soft)
    check_weights_are_the_gradient(weighting)
    given = batch(3)
    found = ops.convert_to_numpy(weighting.losses(*map(ops.convert_to_tensor, given.values())))
    expected = reference_losses(**given, margin=0.1, triplets=triplets, soft=soft)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_equal_similarities_make_one_triplet_for_each_positive():
    given = batch()
    given["similarity"] = np.zeros_like(given["similarity"])
    weighting = kr.metric_learning.TripletWeighting(triplets="semi_hard")
    weights = ops.convert_to_numpy(weighting(*given.values()))
    np.testing.assert_allclose(weights.sum(axis=1), [2.0] * 9 + [0.0], rtol=1e-6)
