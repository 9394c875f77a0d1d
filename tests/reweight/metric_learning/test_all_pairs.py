"""AllPairs leaves the masks as they are."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.metric_learning.pairs import batch


def test_the_masks_are_unchanged():
    given = batch()
    positives, negatives = kr.metric_learning.AllPairs()(*given.values())
    np.testing.assert_array_equal(ops.convert_to_numpy(positives), given["positives"])
    np.testing.assert_array_equal(ops.convert_to_numpy(negatives), given["negatives"])
