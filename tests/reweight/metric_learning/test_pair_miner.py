"""The interface of miners."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient
from tests.reweight.metric_learning.pairs import batch


def test_a_subclass_must_define_mine():
    with pytest.raises(NotImplementedError, match="mine"):
        kr.metric_learning.PairMiner()(*batch().values())


def test_it_gets_float32_similarities_without_a_gradient():
    class Scores(kr.metric_learning.PairMiner):
        def mine(self, similarity, positives, negatives):
            assert "float32" in str(similarity.dtype)
            return similarity, negatives

    given = batch()
    half = ops.cast(given["similarity"], "bfloat16")
    Scores()(half, given["positives"], given["negatives"])
    slope = gradient(
        lambda s: ops.sum(s) + ops.sum(Scores()(s, given["positives"], given["negatives"])[0]),
        given["similarity"],
    )
    np.testing.assert_array_equal(slope, np.ones_like(slope))


def test_the_representation_is_the_call():
    miner = kr.metric_learning.MultiSimilarityMiner(0.2)
    assert repr(miner) == "MultiSimilarityMiner(epsilon=0.2, drop_duplicates=False)"
