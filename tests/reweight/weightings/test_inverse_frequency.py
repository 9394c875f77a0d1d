"""InverseFrequency against its formula."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.functional.test_class_weights import reference as class_weights
from tests.reweight.long_tail import COUNTS, LABELS


def reference(losses, y_true, class_counts, power=1.0, normalization=None):
    weights = class_weights(class_counts, "inverse_frequency", power=power)
    weights = weights[np.asarray(y_true).astype(int)]
    return weights / weights.mean() if normalization == "mean_one" else weights


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_formula(power):
    found = kr.weightings.InverseFrequency(COUNTS, power=power)(np.ones(4, "float32"), LABELS)
    expected = reference(np.ones(4), LABELS, COUNTS, power)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-6)


def test_bad_power():
    with pytest.raises(ValueError, match="power"):
        kr.weightings.InverseFrequency(COUNTS, power=-1.0)
