"""The running range: its average, the first batch, inference, calibration."""

import numpy as np

import keras_compress as kc
from tests.compress.quantization.common import normal, numpy
from tests.compress.quantizers.test_min_max import rounded, slope


def reference(inputs, bits, symmetric, weights):
    return rounded(inputs, weights[0], weights[1], bits, symmetric)


def reference_gradient(inputs, bits, symmetric, weights, cotangent):
    return cotangent * slope(inputs, weights[0], weights[1], bits, symmetric)


def test_bounds_follow_the_batches_of_training():
    batches = normal(3, 8, 2).astype("float64") * [[[1.0]], [[3.0]], [[0.2]]]
    quantizer = kc.quantizers.MovingAverageQuantizer(3, momentum=0.8)
    low = high = None
    for batch in batches:
        found = numpy(quantizer(batch.astype("float32"), training=True))
        ends = batch.min(axis=0, keepdims=True), batch.max(axis=0, keepdims=True)
        low = ends[0] if low is None else 0.8 * low + 0.2 * ends[0]
        high = ends[1] if high is None else 0.8 * high + 0.2 * ends[1]
        np.testing.assert_allclose(found, rounded(batch, low, high, 3), rtol=1e-5, atol=1e-6)
    quantizer(batches[1].astype("float32"))
    np.testing.assert_allclose(numpy(quantizer.low), low, rtol=1e-6)
    np.testing.assert_allclose(numpy(quantizer.high), high, rtol=1e-6)


def test_calibration_comes_before_the_first_batch():
    quantizer = kc.quantizers.MovingAverageQuantizer(8, axis=None, momentum=0.5)
    quantizer.initialize_from(np.array([-4.0, 2.0], "float32"))
    quantizer(np.array([-2.0, 1.0], "float32"), training=True)
    assert (float(quantizer.low), float(quantizer.high)) == (-3.0, 1.5)
    assert quantizer.trainable_variables == []
