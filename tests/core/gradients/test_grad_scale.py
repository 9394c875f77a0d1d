import keras
import numpy as np
import pytest
from keras import ops

from keras_reweight.core.gradients import grad_scale, make_input_gradient, make_jvp
from keras_reweight.core.testing.compare import assert_close

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


@pytest.mark.parametrize("scale", [1.5, 0.0, -1.0, np.array([1.0, 0.0, -2.0], "float32")])
def test_the_value_stays_exactly_and_the_gradient_is_scaled(scale):
    np.testing.assert_array_equal(ops.convert_to_numpy(grad_scale(X, scale)), X)
    slope = make_input_gradient(lambda x: ops.sum(ops.square(grad_scale(x, scale)), axis=-1))
    assert_close(ops.convert_to_numpy(slope(X)), 2 * X * scale, "gradient")


def test_forward_mode():
    weight = keras.Variable(np.float32(3.0))
    derivative = make_jvp(lambda x: grad_scale(x * weight, -0.5), [weight])
    value, tangent = derivative([np.float32(1.0)], X)
    assert_close(ops.convert_to_numpy(value), 3 * X, "value", relative=1e-6)
    assert_close(ops.convert_to_numpy(tangent), -0.5 * X, "tangent", relative=1e-6)


def test_inside_a_model_and_bad_inputs():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, grad_scale(inputs, 0.5))
    np.testing.assert_array_equal(ops.convert_to_numpy(model(X)), X)
    half = ops.cast(X, "bfloat16")
    assert keras.backend.standardize_dtype(grad_scale(half, 2.0).dtype) == "bfloat16"
    with pytest.raises(TypeError, match="floating point"):
        grad_scale(np.arange(3), 1.0)
