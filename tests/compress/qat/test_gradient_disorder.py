import numpy as np
import pytest

import keras_compress as kc


def reference(gradients):
    flips = np.zeros(np.shape(gradients)[1:])
    for before, now in zip(gradients[:-1], gradients[1:], strict=True):
        flips = flips + ((before > 0) & (now < 0)) + ((before < 0) & (now > 0))
    return flips / (len(gradients) - 1)


def test_alternating_is_one_and_steady_is_zero():
    assert kc.qat.gradient_disorder([1.0, -2.0, 0.5, -0.1]) == 1.0
    assert kc.qat.gradient_disorder([1.0, 2.0, 0.5, 0.1]) == 0.0
    np.testing.assert_array_equal(
        kc.qat.gradient_disorder([[1.0, 1.0], [0.0, -1.0], [-1.0, -1.0]]), [0.0, 0.5]
    )


@pytest.mark.parametrize("bad", [[1.0], 3.0, [1.0, np.nan]])
def test_what_has_no_disorder_is_refused(bad):
    with pytest.raises(ValueError, match="`gradients`"):
        kc.qat.gradient_disorder(bad)
