"""Power grids: the reference, exponent one, the search, the learned exponent."""

import keras
import numpy as np
from keras import ops

import keras_compress as kc
from keras_reweight.core.testing.backends import Compiled, gradient
from tests.compress.quantization.common import (
    KERNEL,
    assert_bitwise_equal,
    normal,
    numpy,
)


def reference(inputs, bits, weights=(), exponent=None):
    exponent = float(weights[0]) if len(weights) else exponent
    steps = 2 ** (bits - 1) - 1
    largest = np.abs(inputs).max(axis=0, keepdims=True)
    codes = np.round(steps * (np.abs(inputs) / largest) ** exponent)
    return np.sign(inputs) * largest * (codes / steps) ** (1.0 / exponent)


def test_exponent_one_is_the_symmetric_grid_bitwise():
    x, bits = normal(12, 3), 5
    uniform = kc.quantizers.MinMaxQuantizer(bits, symmetric=True)
    power = kc.quantizers.PowerQuantizer(bits, exponent=1.0)
    assert_bitwise_equal(numpy(power(x)), numpy(uniform(x)))


def test_the_search_is_never_worse_than_uniform_and_helps_long_tails():
    bits = 4
    x = np.random.default_rng(0).standard_t(3, size=(60, 3)).astype("float32")
    found = kc.quantizers.PowerQuantizer(bits)
    found.initialize_from(x)
    errors = {}
    for exponent in np.arange(8, 49) / 40:
        errors[exponent] = np.sum((reference(x.astype("float64"), bits, (), exponent) - x) ** 2)
    best = min(errors, key=errors.get)
    np.testing.assert_allclose(float(found.power), best, rtol=1e-6)
    assert best < 1.0 and errors[best] < 0.8 * errors[1.0]
    assert not found.trainable_variables


def test_two_bits_do_not_need_an_exponent():
    found = kc.quantizers.PowerQuantizer(2, axis=None)
    found.initialize_from(np.array([-1.0, 0.1, 0.0, 1.0, 0.9], "float32"))
    assert float(found.power) == 1.0


def test_gradient_of_the_learned_exponent():
    x, upstream = normal(12, 2), normal(12, 2, seed=1)
    quantizer = kc.quantizers.PowerQuantizer(3, exponent="learn")
    quantizer.initialize_from(x)
    quantizer.power.assign(0.7)
    exact = x.astype("float64")
    u = np.maximum(np.abs(exact) / np.abs(exact).max(axis=0), 1e-6)
    y = np.round(3 * u**0.7) / 3
    safe = np.where(y > 0, y, 1.0)
    slope = reference(exact, 3, [0.7]) / 0.7 * (u**0.7 / safe * np.log(u) - np.log(safe) / 0.7)
    expected = np.sum(upstream * slope) / np.sqrt(24 * 3)
    factor = ops.convert_to_tensor(upstream)

    def loss(tensor):
        with keras.StatelessScope([(quantizer.power, tensor)]):
            return ops.sum(quantizer(x) * factor)

    found = gradient(Compiled(loss), np.float32(0.7))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # Without rounding the exponent has no effect, which the two terms must show.
    np.testing.assert_allclose(u**0.7 / u**0.7 * np.log(u) - np.log(u**0.7) / 0.7, 0.0, atol=1e-12)


def test_exponents_outside_of_the_bounds_are_read_as_the_bounds():
    quantizer = kc.quantizers.PowerQuantizer(4, exponent="learn")
    quantizer.initialize_from(KERNEL)
    quantizer.power.assign(-3.0)
    low = numpy(quantizer(KERNEL))
    quantizer.power.assign(0.1)
    assert_bitwise_equal(numpy(quantizer(KERNEL)), low)
    assert np.all(np.isfinite(low))
