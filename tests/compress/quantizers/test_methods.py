"""Every method of quantization, by name, in one model: trained, calibrated, stored."""

import keras
import numpy as np
import pytest

import keras_compress as kc
from keras_compress.quantization.quantized_form import activation_range
from tests.compress.quantization.common import Drawn, assert_bitwise_equal, normal, numpy

WEIGHTS = {
    "a": "lsq_plus3",
    "b": "mse3",
    "c": "power3",
    "d": "codebook2",
    "e": kc.quantizers.StatsQuantizer(2, group_size=3),
}
ACTIVATIONS = {"a": "moving_average8", "b": "percentile8"}


def test_all_methods_train_and_are_stored_as_they_compute():
    layers = [keras.layers.Dense(5, name=name, kernel_initializer=Drawn()) for name in WEIGHTS]
    model = keras.Sequential([keras.Input((5,)), *layers])
    x, y = normal(16, 5), normal(16, 5, seed=1)
    quantized = kc.quantize_aware(
        model, weights=WEIGHTS, activations=ACTIVATIONS, calibration_data=x
    )
    found = quantized.get_layer("b").activation_quantizer
    assert float(found.low) < -0.5 < 0.5 < float(found.high)
    quantized.compile(keras.optimizers.SGD(0.01), "mse")
    before = [numpy(variable.value).copy() for variable in quantized.trainable_variables]
    quantized.fit(x, y, batch_size=8, verbose=0)
    after = [numpy(variable.value) for variable in quantized.trainable_variables]
    assert all(np.all(np.isfinite(value)) for value in after)
    changed = [np.any(one != other) for one, other in zip(before, after, strict=True)]
    assert sum(changed) >= len(changed) - 1
    plain = kc.freeze(quantized, activations="drop")
    for name in WEIGHTS:
        wrapper = quantized.get_layer(name)
        ((variable, quantizer),) = wrapper.quantized_matrices().values()
        stored = quantizer.stored(variable, -1).values()
        assert_bitwise_equal(numpy(plain.get_layer(name).kernel.value), stored)
        assert len(np.unique(stored[:, 0])) <= min(5, 2**quantizer.bits)


def test_ranges_that_follow_the_batch_have_no_stored_form():
    fixed = kc.quantizers.MSEQuantizer(8, axis=None)
    fixed.initialize_from(np.array([-1.0, 2.0], "float32"))
    found = activation_range(fixed)
    assert -1.1 < -found.scale * found.zero_point < 0.0
    following = kc.quantizers.MinMaxQuantizer(8, axis=None)
    following.build((2,))
    with pytest.raises(ValueError, match="values of each batch"):
        activation_range(following)
