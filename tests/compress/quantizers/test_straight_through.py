"""Values exact to the last bit, gradients as stated."""

import numpy as np
from keras import ops

from keras_compress.quantizers.straight_through import scale_gradient, straight_through
from keras_reweight.core.testing.backends import gradient
from tests.compress.quantization.common import assert_bitwise_equal, numpy

X = np.concatenate(
    [np.linspace(-200, 200, 8001), [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 1e-30, 3e7]]
).astype("float32")


def test_rounds_halves_to_even_with_gradient_one():
    def rounded(x):
        return straight_through(ops.round(x), x)

    np.testing.assert_array_equal(numpy(rounded(ops.convert_to_tensor(X))), np.round(X))
    np.testing.assert_array_equal(gradient(lambda x: ops.sum(rounded(x)), X), 1.0)


def test_value_of_one_and_gradient_of_the_other():
    value = np.full_like(X, 0.1)
    found = straight_through(ops.convert_to_tensor(value), ops.convert_to_tensor(X))
    assert_bitwise_equal(numpy(found), value)
    found = gradient(lambda x: ops.sum(straight_through(x * 5.0, x * 2.0)), X)
    np.testing.assert_array_equal(found, 2.0)


def test_scaled_gradient_leaves_the_value_bitwise():
    assert_bitwise_equal(numpy(scale_gradient(ops.convert_to_tensor(X), 0.123)), X)
    found = gradient(lambda x: ops.sum(scale_gradient(x, 0.123)), X)
    np.testing.assert_allclose(found, 0.123, rtol=1e-6)
