"""MultiSimilarityMiner against loops."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.metric_learning.pairs import LABELS, embeddings, masks, similarities


def reference(similarity, positives, negatives, epsilon=0.1, drop_duplicates=False):
    kept = [np.zeros_like(positives), np.zeros_like(negatives)]
    for i, row in enumerate(similarity):
        near = np.flatnonzero(positives[i])
        if drop_duplicates:
            near = near[row[near] < 1 - 1e-5]
        far = np.flatnonzero(negatives[i])
        if not len(near) or not len(far):
            continue
        for j in near:
            kept[0][i, j] = row[j] - epsilon < row[far].max()
        for j in far:
            kept[1][i, j] = row[j] + epsilon > row[near].min()
    return tuple(kept)


def mine(z, labels, **arguments):
    masked = masks(labels)
    miner = kr.metric_learning.MultiSimilarityMiner(**arguments)
    found = miner(similarities(z).astype("float32"), *masked)
    return [ops.convert_to_numpy(mask) for mask in found]


def test_the_masks_of_the_reference_embeddings():
    found = mine(embeddings(), LABELS, epsilon=0.1)
    expected = reference(similarities(embeddings()), *masks(LABELS))
    for mask, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mask, wanted)
        assert 0 < mask.sum() < 24


def test_duplicates_are_dropped_on_demand():
    z = embeddings()
    z[1] = z[0]
    with_copies, _ = mine(z, LABELS, epsilon=2.0)
    without, _ = mine(z, LABELS, epsilon=2.0, drop_duplicates=True)
    assert with_copies[0, 1] and with_copies[1, 0]
    assert not without[0, 1] and not without[1, 0]
    assert without[0, 6]


def test_an_anchor_without_positives_keeps_nothing():
    positives, negatives = mine(embeddings(), [0, 0, 1, 1, 2, 3, 0, 1])
    assert not positives[4:6].any() and not negatives[4:6].any()
