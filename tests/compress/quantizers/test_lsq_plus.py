"""LSQ+: NumPy reference with gradients of input, step and offset; the start."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from keras_reweight.core.testing.backends import Compiled, gradient
from tests.compress.quantization.common import KERNEL, normal, numpy


def reference(inputs, bits, weights):
    scale, offset = np.abs(weights[0]), weights[1]
    return np.round(np.clip((inputs - offset) / scale, 0, 2**bits - 1)) * scale + offset


def reference_gradients(inputs, bits, weights, cotangent):
    """Of the input, the step and the offset, for one scale per column."""
    scale, offset = np.abs(weights[0]), weights[1]
    high = 2**bits - 1
    v = (inputs - offset) / scale
    inside = (v > 0) & (v < high)
    slope = np.where(v <= 0, 0, np.where(v >= high, high, np.round(v) - v))
    factor = 1.0 / np.sqrt(len(inputs) * high)
    totals = [np.sum(cotangent * one, axis=0, keepdims=True) for one in (slope, ~inside)]
    return [cotangent * inside, *(factor * total for total in totals)]


def reference_gradient(inputs, bits, weights, cotangent):
    return reference_gradients(inputs, bits, weights, cotangent)[0]


def test_gradients_of_step_and_offset():
    x, upstream = normal(12, 3), normal(12, 3, seed=1)
    quantizer = kc.quantizers.LSQPlusQuantizer(2)
    quantizer.initialize_from(x)
    quantizer.scale.assign(0.6 * numpy(quantizer.scale))
    values = [numpy(variable) for variable in (quantizer.scale, quantizer.offset)]
    exact = [value.astype("float64") for value in values]
    expected = reference_gradients(x.astype("float64"), 2, exact, upstream)
    factor = ops.convert_to_tensor(upstream)
    for variable, value, right in zip(quantizer.variables, values, expected[1:], strict=True):

        def loss(tensor, variable=variable):
            with keras.StatelessScope([(variable, tensor)]):
                return ops.sum(quantizer(x) * factor)

        np.testing.assert_allclose(gradient(Compiled(loss), value), right, rtol=2e-5, atol=1e-6)


def test_the_start_loses_less_than_the_extremes():
    x = np.append(normal(200), np.float32([12.0]))
    quantizer = kc.quantizers.LSQPlusQuantizer(3, axis=None)
    quantizer.initialize_from(x)
    step = (x.max() - x.min()) / 7
    plain = np.round((x - x.min()) / step) * step + x.min()
    assert np.mean((numpy(quantizer(x)) - x) ** 2) < 0.8 * np.mean((plain - x) ** 2)


def test_skewed_values_use_all_levels():
    x = np.append(np.abs(normal(199)), np.float32([-0.5, -0.25]))
    quantizer = kc.quantizers.LSQPlusQuantizer(3, axis=None)
    quantizer.initialize_from(x)
    assert len(np.unique(numpy(quantizer(x)))) == 8
    signed = kc.quantizers.LSQQuantizer(3, axis=None)
    signed.initialize_from(x)
    assert np.mean((numpy(quantizer(x)) - x) ** 2) < 0.5 * np.mean((numpy(signed(x)) - x) ** 2)


@pytest.mark.parametrize("group_size", [None, 4])
def test_constant_channels_are_a_valid_start(group_size):
    x = KERNEL.copy()
    x[:, 1] = 0.0
    quantizer = kc.quantizers.LSQPlusQuantizer(4, group_size=group_size)
    quantizer.initialize_from(x)
    found = numpy(quantizer(x))
    assert np.all(np.isfinite(found)) and np.abs(found[:, 1]).max() < 0.1
