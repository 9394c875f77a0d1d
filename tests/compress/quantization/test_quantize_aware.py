"""quantize_aware: what is rewritten, what stays, calibration, training."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from tests.compress.quantization.common import dense_model, normal, numpy, weights_of

X = normal(40, 6)


def network():
    """Shared layer, residual, nested model, two inputs and outputs."""
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    shared = layers.Dense(6, activation="relu", name="shared")
    z = keras.Input((6,))
    nested = keras.Model(z, layers.Dense(6, name="deep")(z), name="nested")
    hidden = nested(shared(a)) + shared(b)
    return keras.Model(
        [a, b], [layers.Dense(2, name="first")(hidden), layers.Dense(3, name="second")(hidden)]
    )


def rounded(kernel, bits):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = 2 * np.abs(kernel).mean(axis=0, keepdims=True) / np.sqrt(high)
    return np.round(np.clip(kernel / scale, low, high)) * scale


def test_wraps_nested_and_shared_layers_once_and_leaves_the_model_alone():
    model = network()
    model.compile("sgd", "mse")
    before = weights_of(model)
    expected = [numpy(y) for y in model([X, X])]
    quantized = kc.quantize_aware(model, weights={"deep": 2, "*": 8})
    wrappers = [
        quantized.get_layer("shared"),
        quantized.get_layer("nested").get_layer("deep"),
        quantized.get_layer("first"),
        quantized.get_layer("second"),
    ]
    assert all(isinstance(layer, kc.layers.QuantizeAware) for layer in wrappers)
    assert [layer.weight.bits for layer in wrappers] == [8, 2, 8, 8]
    assert not quantized.compiled and model.compiled
    assert len(quantized.weights) == len(model.weights) + 4
    for old, new in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(expected, model([X, X]), strict=True):
        np.testing.assert_array_equal(old, numpy(new))
    plain = [layer for layer in model.layers if isinstance(layer, layers.Dense)]
    kernels = {
        layer.name: rounded(numpy(layer.kernel.value), 2 if layer.name == "deep" else 8)
        for layer in (model.get_layer("nested").get_layer("deep"), *plain)
    }
    hidden = np.maximum(X @ kernels["shared"], 0.0)  # all biases are zero
    hidden = hidden @ kernels["deep"] + hidden
    for name, found in zip(("first", "second"), quantized([X, X]), strict=True):
        np.testing.assert_allclose(numpy(found), hidden @ kernels[name], rtol=1e-4, atol=1e-5)


def test_sequential_models_stay_sequential():
    quantized = kc.quantize_aware(dense_model(), weights="int3")
    assert type(quantized) is keras.Sequential
    assert quantized.get_layer("dense").layer.name == "dense"


def test_layers_left_out_are_copied_as_they_are():
    quantized = kc.quantize_aware(network(), weights=4, layers=["first", "deep"])
    kinds = {layer.name: type(layer) for layer in quantized.layers}
    assert kinds["first"] is kc.layers.QuantizeAware
    assert kinds["second"] is layers.Dense and kinds["shared"] is layers.Dense


def test_quantizers_configs_and_methods():
    for weights in (
        kc.quantizers.StatsQuantizer(3),
        keras.saving.serialize_keras_object(kc.quantizers.StatsQuantizer(3)),
    ):
        layer = kc.quantize_aware(dense_model(), weights=weights).get_layer("dense")
        assert type(layer.weight) is kc.quantizers.StatsQuantizer and layer.weight.bits == 3
    layer = kc.quantize_aware(dense_model(), weights=2, method="stats").get_layer("dense")
    assert type(layer.weight) is kc.quantizers.StatsQuantizer
    layer = kc.quantize_aware(dense_model(), weights=np.int64(2)).get_layer("dense")
    assert type(layer.weight.bits) is int


def test_activation_scales_come_from_the_calibration_data():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, activation="relu", name="first"),
            layers.Dense(2, name="second"),
        ]
    )
    quantized = kc.quantize_aware(model, weights=None, activations=4, calibration_data=X)
    first, second = quantized.layers
    assert (first.activation.signed, second.activation.signed) == (True, False)
    hidden = np.maximum(X @ numpy(model.layers[0].kernel.value), 0.0)
    for layer, inputs, high in ((first, X, 7), (second, hidden, 15)):
        expected = 2 * np.abs(inputs).mean() / np.sqrt(high)
        scale = layer.activation_quantizer.scale
        assert scale.shape == ()
        np.testing.assert_allclose(numpy(scale.value), expected, rtol=1e-5)
    assert first.observers == {} and first.weight is None
    doubled = kc.quantize_aware(model, weights=None, activations=4, calibration_data=2 * X)
    np.testing.assert_allclose(
        numpy(doubled.layers[0].activation_quantizer.scale.value),
        2 * numpy(first.activation_quantizer.scale.value),
        rtol=1e-5,
    )


def test_calibration_sees_quantized_weights_and_all_calls_of_a_shared_layer():
    model = network()
    quantized = kc.quantize_aware(
        model, weights=2, activations={"shared": 8, "deep": 8}, calibration_data=[X, 3 * X]
    )
    shared = quantized.get_layer("shared")
    expected = 2 * np.abs(np.concatenate([X, 3 * X])).mean() / np.sqrt(127)
    found = numpy(shared.activation_quantizer.scale.value)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    hidden = np.maximum(X @ rounded(numpy(model.get_layer("shared").kernel.value), 2), 0.0)
    deep = quantized.get_layer("nested").get_layer("deep")
    expected = 2 * np.abs(hidden).mean() / np.sqrt(255)
    found = numpy(deep.activation_quantizer.scale.value)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_an_activation_quantizer_of_ones_own_is_used_as_it_is():
    quantizer = kc.quantizers.LSQQuantizer(8, axis=1, signed=True)
    quantized = kc.quantize_aware(
        dense_model(features=6), activations=quantizer, calibration_data=np.abs(X)
    )
    layer = quantized.get_layer("dense")
    assert layer.activation.signed and layer.activation_quantizer.scale.shape == (1, 6)
    expected = 2 * np.abs(X).mean(axis=0, keepdims=True) / np.sqrt(127)
    found = numpy(layer.activation_quantizer.scale.value)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_zeros_that_pruning_holds_stay_zeros_with_lsq_only():
    model = dense_model()
    kernel = normal(8, 4)
    kernel[::2] = 0.0
    model.layers[0].kernel.assign(kernel)
    for method, zeros in (("lsq", True), ("stats", False)):
        plain = kc.freeze(kc.quantize_aware(model, weights=8, method=method))
        assert np.all(numpy(plain.layers[0].kernel.value)[::2] == 0.0) == zeros


@pytest.mark.parametrize("method", ["lsq", "stats"])
def test_training_lowers_the_loss_at_every_bit_width(method):
    inputs = keras.Input((6,))
    outputs = {str(bits): layers.Dense(2, name=str(bits))(inputs) for bits in range(2, 9)}
    model = keras.Model(inputs, outputs)
    widths = {str(bits): bits for bits in range(2, 9)}
    quantized = kc.quantize_aware(model, weights=widths, method=method)
    quantized.compile(keras.optimizers.SGD(0.05), dict.fromkeys(outputs, "mse"))
    targets = {name: X @ normal(6, 2, seed=9) for name in outputs}
    history = quantized.fit(X, targets, batch_size=8, epochs=4, verbose=0).history
    for name in outputs:
        losses = history[f"{name}_loss"]
        assert losses[-1] < 0.7 * losses[0], (name, losses)


def test_two_bit_training_beats_two_bit_rounding_on_digits():
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = (digits.data / 16.0).astype("float32")
    train, test = slice(0, 1200), slice(1200, None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = keras.Sequential(
        [keras.Input((64,)), layers.Dense(16, activation="relu"), layers.Dense(10)]
    )
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.fit(x[train], digits.target[train], batch_size=60, epochs=6, verbose=0)
    quantized = kc.quantize_aware(model, weights=2)
    quantized.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    _, before = quantized.evaluate(x[test], digits.target[test], batch_size=300, verbose=0)
    quantized.fit(x[train], digits.target[train], batch_size=60, epochs=3, verbose=0)
    _, after = quantized.evaluate(x[test], digits.target[test], batch_size=300, verbose=0)
    assert after > before + 0.05, (before, after)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"weights": 0}, ValueError, "`weights`.* got 0"),
        ({"weights": 9}, ValueError, "`weights`.* got 9"),
        ({"weights": {"nowhere": 4}}, ValueError, "no layer matches 'nowhere'"),
        ({"layers": "nowhere"}, ValueError, "no layer named 'nowhere'"),
        ({"weights": None}, ValueError, "assign nothing"),
        ({"method": "ste"}, ValueError, "`method`.* got 'ste'"),
        ({"activations": 8}, ValueError, "needs `calibration_data`"),
        ({"calibration_data": X}, ValueError, "`calibration_data` is only used for"),
        ({"activations": 1, "calibration_data": X}, ValueError, "`activations`.* got 1"),
        ({"activations": 8, "calibration_data": []}, ValueError, "does not reach"),
        ({"activations": 8, "calibration_data": X * np.nan}, ValueError, "not finite"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        kc.quantize_aware(dense_model(features=6), **arguments)


def test_models_that_cannot_be_rewritten_are_refused():
    with pytest.raises(ValueError, match="not built"):
        kc.quantize_aware(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(TypeError, match="`model` must be a keras.Model"):
        kc.quantize_aware(layers.Dense(2))
    with pytest.raises(ValueError, match="already quantization-aware"):
        kc.quantize_aware(kc.quantize_aware(dense_model()))
    with pytest.raises(ValueError, match="BatchNormalization has no weight matrix"):
        kc.quantize_aware(keras.Sequential([keras.Input((2,)), layers.BatchNormalization()]))
    broken = dense_model()
    broken.layers[0].kernel.assign(np.full((8, 4), np.nan, "float32"))
    with pytest.raises(ValueError, match="'dense': kernel has values that are not finite"):
        kc.quantize_aware(broken)


def test_a_wrapped_layer_in_a_subclassed_model_trains():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = kc.layers.QuantizeAware(
                layers.Dense(2), weight=kc.quantizers.LSQQuantizer(4)
            )

        def call(self, x):
            return ops.tanh(self.dense(x))

    model = Own()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, np.ones((40, 2)), batch_size=20, verbose=0)
    scale = model.dense.weight_quantizers["kernel"].scale
    kernel = numpy(model.dense.layer.kernel.value)
    initial = 2 * np.abs(kernel).mean(axis=0) / np.sqrt(7)
    assert 0.3 < np.mean(numpy(scale.value)[0] / initial) < 3.0
