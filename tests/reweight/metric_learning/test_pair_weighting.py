"""The interface of pair weightings."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient
from tests.reweight.metric_learning.pairs import batch


@pytest.mark.parametrize("method", ["losses", "weights"])
def test_a_subclass_must_define(method):
    with pytest.raises(NotImplementedError, match=method):
        getattr(kr.metric_learning.PairWeighting(), method)(*batch().values())


def test_called_it_gives_weights_without_a_gradient():
    weighting, given = kr.metric_learning.MultiSimilarityWeighting(), batch()
    slope = gradient(
        lambda s: ops.sum(s) + ops.sum(weighting(s, given["positives"], given["negatives"])),
        given["similarity"],
    )
    np.testing.assert_array_equal(slope, np.ones_like(slope))


def test_half_precision_similarities_are_weighted_in_float32():
    given = batch()
    weights = kr.metric_learning.NPairWeighting()(
        ops.cast(given["similarity"], "bfloat16"), given["positives"], given["negatives"]
    )
    assert "float32" in str(weights.dtype)
