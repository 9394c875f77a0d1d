"""BatchHardMiner takes one pair of each kind."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.metric_learning.pairs import batch


def reference(similarity, positives, negatives):
    found = []
    for mask, sign in ((positives, -1.0), (negatives, 1.0)):
        chosen = np.zeros_like(mask)
        for i in range(len(mask)):
            partners = np.flatnonzero(mask[i])
            if len(partners):
                chosen[i, partners[np.argmax(sign * similarity[i, partners])]] = True
        found.append(chosen)
    return tuple(found)


def test_of_equally_hard_pairs_the_first_is_taken():
    given = batch()
    given["similarity"] = np.zeros_like(given["similarity"])
    found = [ops.convert_to_numpy(m) for m in kr.metric_learning.BatchHardMiner()(*given.values())]
    for mask, expected in zip(found, reference(**given), strict=True):
        np.testing.assert_array_equal(mask, expected)
        assert mask.sum(axis=1).max() == 1
    assert not found[0][-1].any()  # the last sample is alone in its class
