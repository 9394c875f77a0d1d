"""Subclassed models: attributes are wrapped in a copy, and unwrapped again."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from tests.compress.quantization.common import Drawn, normal, numpy, weights_of

X = normal(8, 4)


class Own(keras.Model):
    """Layers in an attribute, a list, a dict, a nested model, and one used twice."""

    def __init__(self, units=4):
        super().__init__()
        made = {"units": units, "kernel_initializer": Drawn()}
        self.first = layers.Dense(**made)
        self.blocks = [layers.Dense(**made), layers.ReLU(), layers.Dense(**made)]
        self.by_name = {"a": layers.Dense(**made)}
        self.alias = self.by_name["a"]
        self.inner = keras.Sequential([layers.Dense(**made)], name="inner")

    def call(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.inner(self.by_name["a"](x) + self.alias(x))


@pytest.fixture(scope="module")
def model():
    own = Own()
    own(X)
    return own


def test_attributes_are_wrapped_in_a_copy(model):
    before, expected = weights_of(model), numpy(model(X))
    quantized = kc.quantize_aware(
        model, weights={"*": 8, "inner": 4}, activations=8, calibration_data=X
    )
    assert type(quantized) is Own and type(model.first) is layers.Dense
    aware = kc.layers.QuantizeAware
    assert isinstance(quantized.first, aware) and isinstance(quantized.blocks[2], aware)
    assert quantized.by_name["a"] is quantized.alias and isinstance(quantized.alias, aware)
    assert isinstance(quantized.inner, aware) and type(quantized.blocks[1]) is layers.ReLU
    np.testing.assert_allclose(numpy(quantized(X)), expected, atol=1.0)
    for old, new in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(old, new)
    quantized.compile(keras.optimizers.SGD(0.05), "mse")
    start = {id(one): numpy(one.value).copy() for one in quantized.trainable_variables}
    assert len(start) == 2 * 5 + 5 + 5
    quantized.fit(X, np.ones((8, 4)), batch_size=4, verbose=0)
    for one in quantized.trainable_variables:
        assert np.any(numpy(one.value) != start[id(one)]), one.path
    summary = kc.quantization.quantization_summary(quantized)
    assert len(summary.layers) == 5 and "ReLU has no weight matrix" in summary.skipped.values()


def test_freezing_gives_the_plain_class(model, tmp_path):
    quantized = kc.quantize_aware(model, weights=3, layers=lambda layer: layer is not model.first)
    assert type(quantized.first) is layers.Dense
    frozen = kc.freeze(quantized)
    assert type(frozen) is Own and type(frozen.blocks[0]) is layers.Dense
    np.testing.assert_allclose(numpy(frozen(X)), numpy(quantized(X)), rtol=1e-5, atol=1e-6)
    assert len(kc.quantization.quantized_form(quantized).matrices) == 4
    quantized.save_weights(tmp_path / "model.weights.h5")
    again = kc.quantize_aware(model, weights=3, layers=lambda layer: layer is not model.first)
    for variable in again.weights:
        variable.assign(np.zeros(variable.shape, "float32"))
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(numpy(again(X)), numpy(quantized(X)))


class Reading(keras.Model):
    """Uses the kernel of a layer without calling it."""

    def __init__(self):
        super().__init__()
        self.read = layers.Dense(4)
        self.called = layers.Dense(4)

    def call(self, x):
        return self.called(x) if not self.read.built else ops.matmul(x, self.read.kernel)

    def build(self, input_shape):
        self.read.build(input_shape)
        self.called.build(input_shape)


class Unknown(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return self.layer(x)


class Made(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = kc.layers.QuantizeAware(layers.Dense(2), weight=kc.quantizers.LSQQuantizer(4))

    def call(self, x):
        return self.dense(x)


def test_what_is_not_safe_is_refused():
    reading = Reading()
    reading.build((None, 4))
    with pytest.raises(ValueError, match="Reading does not call the attributes .* \\['dense"):
        kc.quantize_aware(reading)
    unknown = Unknown(layers.Dense(2))
    unknown(X)
    with pytest.raises(ValueError, match="cannot be made again from its configuration"):
        kc.quantize_aware(unknown)
    made = Made()
    made(X)
    with pytest.raises(ValueError, match="constructor of Made makes the QuantizeAware layers"):
        kc.freeze(made)
