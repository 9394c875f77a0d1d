"""LogFrequency against its formula."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.functional.test_class_weights import reference as class_weights
from tests.reweight.long_tail import COUNTS, LABELS


def reference(losses, y_true, class_counts, normalization="mean_one"):
    weights = class_weights(class_counts, "log_frequency")[np.asarray(y_true).astype(int)]
    return weights / weights.mean() if normalization == "mean_one" else weights


def test_numbers_of_the_official_code():
    weighting = kr.weightings.LogFrequency(COUNTS, normalization=None)
    found = ops.convert_to_numpy(weighting(np.ones(4, "float32"), LABELS))
    np.testing.assert_allclose(found, [1.0, 3.302585, 5.605170, 5.605170], rtol=1e-6)


def test_the_default_is_a_weighted_mean():
    found = ops.convert_to_numpy(kr.weightings.LogFrequency(COUNTS)(np.ones(4, "float32"), LABELS))
    np.testing.assert_allclose(found, reference(np.ones(4), LABELS, COUNTS), rtol=1e-6)
