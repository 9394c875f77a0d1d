import numpy as np
import pytest
from keras import ops

from keras_reweight.core.clamp import clamp
from keras_reweight.core.gradients.input_step import input_step


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_values_are_those_of_clip_in_every_precision(dtype):
    x = ops.cast(ops.convert_to_tensor(np.linspace(-2.0, 2.0, 9, dtype="float32")), dtype)
    found = clamp(x, -1.1, 0.3)
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(
        ops.convert_to_numpy(ops.cast(found, "float32")),
        ops.convert_to_numpy(ops.cast(ops.clip(x, -1.1, 0.3), "float32")),
    )


def test_the_gradient_passes_inside_of_the_bounds():
    x = ops.convert_to_tensor(np.float32([-2.0, -0.5, 0.0, 0.5, 2.0]))
    *_, gradient = input_step(lambda x: (3.0 * clamp(x, -1.0, 1.0), None), x)
    np.testing.assert_array_equal(ops.convert_to_numpy(gradient), [0.0, 3.0, 3.0, 3.0, 0.0])


def test_nan_stays():
    x = ops.convert_to_tensor(np.float32([np.nan, 1.0]))
    assert np.isnan(ops.convert_to_numpy(clamp(x, 0.0, 0.5))[0])
