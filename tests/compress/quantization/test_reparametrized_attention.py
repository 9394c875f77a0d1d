"""Attention with one matrix for query and key: the same function, another grid."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from tests.compress.quantizers import test_stats

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 6)).astype("float32")
OTHER = RNG.normal(size=(2, 4, 8)).astype("float32")
convert = kc.layers.ReparametrizedAttention.from_attention


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def reference(inputs, product, value, output, value_bias, output_bias, product_bias, key_dim):
    """Self-attention without masks."""
    q = np.einsum("btd,dhk->bhtk", inputs, product) + product_bias[None, :, None]
    weights = softmax(np.einsum("bhtk,bsk->bhts", q, inputs) / np.sqrt(key_dim))
    values = np.einsum("bsd,dhv->bhsv", inputs, value) + value_bias[None, :, None]
    return np.einsum("bhtv,hvd->btd", weights @ values, output) + output_bias


def reference_quantized(inputs, weights, key_dim, bits):
    """For the catalog: matrices through StatsQuantizer, in the order the layer makes them."""
    product, value, output, *biases = weights
    rounded = [
        test_stats.reference(matrix, bits, axes)
        for matrix, axes in ((product, (0,)), (value, (0,)), (output, (0, 1)))
    ]
    return reference(inputs, *rounded, *biases, key_dim)


def trained(use_bias=True, **shapes):
    attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=3, use_bias=use_bias)
    attention.build(shapes.get("query", X.shape), shapes.get("value", X.shape))
    for index, variable in enumerate(attention.weights):
        values = np.random.default_rng(index).normal(size=variable.shape, scale=0.5)
        variable.assign(values.astype("float32"))
    return attention


def host(variable):
    return ops.convert_to_numpy(variable.value)


def close(first, second):
    np.testing.assert_allclose(
        ops.convert_to_numpy(first), ops.convert_to_numpy(second), rtol=1e-4, atol=1e-5
    )


def test_a_converted_attention_computes_the_same():
    attention = trained(use_bias=False, value=OTHER.shape)
    layer = convert(attention)
    where = RNG.random((2, 5, 4)) > 0.4
    where[..., 0] = True
    close(layer(X, OTHER, attention_mask=where), attention(X, OTHER, attention_mask=where))
    attention = trained()
    layer = convert(attention)
    close(layer(X), attention(X, X))
    close(layer(X, use_causal_mask=True), attention(X, X, use_causal_mask=True))


def test_masks_of_keras_are_seen():
    attention = trained()
    inputs = keras.Input((5, 6))
    masked = keras.layers.Masking()(inputs)
    model = keras.Model(inputs, attention(masked, masked))
    twin = keras.Model(inputs, convert(attention)(masked))
    x = X.copy()
    x[0, 3:] = 0.0
    # What comes out where the input is masked does not matter.
    close(twin(x)[0, :3], model(x)[0, :3])
    close(twin(x)[1], model(x)[1])


def test_the_product_is_quantized_as_one_matrix():
    attention = trained()
    layer = convert(attention, weight=kc.quantizers.StatsQuantizer(bits=3))
    found = layer.quantized_matrices()
    assert list(found) == ["product_kernel", "value_kernel", "output_kernel"]
    variable, quantizer = found["product_kernel"]
    query, key = (ops.convert_to_numpy(one.kernel.value).astype("float64")
                  for one in (attention.query_dense, attention.key_dense))  # fmt: skip
    product = np.einsum("dhi,khi->dhk", query, key)
    np.testing.assert_allclose(ops.convert_to_numpy(variable.value), product, atol=1e-6)
    close(quantizer(variable.value), test_stats.reference(product, 3, (0,)))
    weights = [ops.convert_to_numpy(one.value).astype("float64") for one in layer.weights]
    close(layer(X), reference_quantized(X, weights, 3, 3))


def test_activations_are_quantized_and_calibrated():
    attention = trained()
    layer = convert(attention, activation=kc.quantizers.LSQQuantizer(bits=8))
    exact = ops.convert_to_numpy(attention(X, X))
    layer.calibrate(X)
    found = ops.convert_to_numpy(layer(X))
    error = np.abs(found - exact).max() / np.abs(exact).max()
    assert 1e-4 < error < 0.1
    assert list(layer.activation_quantizers) == ["input", "product"]
    # Both learned biases of the product count in the scores.
    for bias in (layer.product_bias, layer.product_offset):
        bias.assign_add(RNG.normal(size=bias.shape).astype("float32"))
        changed = ops.convert_to_numpy(layer(X))
        assert np.abs(changed - found).max() > 1e-3
        found = changed
    with pytest.raises(ValueError, match="activation"):
        convert(attention).calibrate(X)


def test_everything_is_trained():
    inputs = keras.Input((5, 6))
    layer = kc.layers.ReparametrizedAttention(
        2,
        3,
        dropout=0.2,
        weight=kc.quantizers.LSQQuantizer(bits=3),
        activation=kc.quantizers.LSQQuantizer(bits=8),
    )
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    model.fit(X, X[..., :1], verbose=0)
    still = [
        variable.path
        for variable, old in zip(model.weights, before, strict=True)
        if np.array_equal(ops.convert_to_numpy(variable.value), old)
    ]
    assert not still
    twin = type(layer).from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()


def test_annealing_and_monitors_find_the_product():
    layer = convert(trained(), weight=kc.quantizers.StatsQuantizer(bits=2))
    inputs = keras.Input((5, 6))
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    annealing = kc.callbacks.ConfidenceGuidedAnnealing(0.05)
    before = ops.convert_to_numpy(layer.product_kernel.value)
    model.fit(X, X, verbose=0, callbacks=[annealing])
    moved = ops.convert_to_numpy(layer.product_kernel.value) != before
    assert moved.mean() < 0.5


def attention_model(**quantizers):
    """A model of one quantized attention, and the attention."""
    layer = convert(trained(), **quantizers)
    inputs = keras.Input((5, 6))
    return keras.Model(inputs, layer(inputs)), layer


def test_freezing_leaves_the_product_on_its_grid(tmp_path):
    model, layer = attention_model(weight=kc.quantizers.StatsQuantizer(bits=3))
    plain = kc.freeze(model)
    (frozen,) = (one for one in plain.layers if isinstance(one, kc.layers.ReparametrizedAttention))
    assert not frozen.is_quantized and not frozen.quantized_matrices()
    for name, values in layer.computed_matrices().items():
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (getattr(frozen, name), values)))
    close(plain(X), model(X))
    form = kc.quantization.quantized_form(model)
    assert {matrix.bits for matrix in form.matrices.values()} == {3}
    sizes = {matrix.shape: matrix.num_bytes for matrix in form.matrices.values()}
    # Codes, and a scale for each head and key position, head and value, output.
    assert sizes == {(6, 2, 6): 27 + 48, (6, 2, 3): 14 + 24, (2, 3, 6): 14 + 24}
    size = sum(sizes.values()) + 4 * (2 * 6 + 2 * 3 + 6)
    assert kc.quantization.packed_size(model) == kc.quantization.packed_size(form) == size
    summary = kc.quantization.quantization_summary(model)
    assert summary.packed_bytes == size and summary.layers[0].weight_bits["product_kernel"] == 3
    assert not summary.skipped
    kc.quantization.save_packed(model, tmp_path / "model")
    close(kc.quantization.load_packed(tmp_path / "model")(X), plain(X))


@pytest.mark.parametrize("use_bias", [True, False])
def test_frozen_activations_are_float_and_their_ranges_kept(use_bias):
    layer = convert(trained(use_bias=use_bias), activation=kc.quantizers.LSQQuantizer(bits=8))
    layer.calibrate(X)
    for bias in (layer.product_bias, layer.product_offset):
        bias.assign(RNG.normal(size=bias.shape).astype("float32"))
    inputs = keras.Input((5, 6))
    model = keras.Model(inputs, layer(inputs))
    with pytest.raises(ValueError, match="quantize activations"):
        kc.freeze(model)
    names = ["product_kernel", "value_kernel", "output_kernel", "value_bias", "output_bias"]
    biases = {"value_bias": np.zeros((2, 3)), "output_bias": np.zeros(6)}
    values = [
        biases[name] if getattr(layer, name) is None else host(getattr(layer, name))
        for name in names
    ]
    both = host(layer.product_bias) + host(layer.product_offset)
    frozen = kc.freeze(model, activations="drop")
    close(frozen(X), reference(X, *values, both, 3))
    form = kc.quantization.quantized_form(model)
    assert [one.bits for one in form.ranges.values()] == [8]
    assert list(form.report["outputs"]) == [f"{layer.name}/product"]
    summary = kc.quantization.quantization_summary(model)
    assert summary.layers[0].activation_bits == 8


def test_an_attention_that_a_subclassed_model_holds_is_frozen():
    @keras.saving.register_keras_serializable(package="tests")
    class Net(keras.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.attention = kc.layers.ReparametrizedAttention(
                2, 3, weight=kc.quantizers.LSQQuantizer(bits=4)
            )

        def call(self, x):
            return self.attention(x)

    net = Net()
    expected = net(X)
    plain = kc.freeze(net)
    assert type(plain) is Net and not plain.attention.is_quantized
    close(plain(X), expected)


def test_what_cannot_be_converted():
    with pytest.raises(TypeError, match="attention"):
        convert(keras.layers.Dense(2))
    with pytest.raises(ValueError, match="not built"):
        convert(keras.layers.MultiHeadAttention(2, 3))
    other = keras.layers.MultiHeadAttention(2, 3, output_shape=5)
    other.build(X.shape, X.shape)
    with pytest.raises(ValueError, match="another width"):
        convert(other)
    with pytest.raises(ValueError, match="weights only"):
        kc.layers.ReparametrizedAttention(2, 3, activation=kc.quantizers.StatsQuantizer())
