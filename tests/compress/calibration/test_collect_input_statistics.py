"""Moments of layer inputs against NumPy, for every kind of layer and model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from keras_compress.calibration.kernel_rows import (
    input_rows,
    kernel_matrix,
    kernel_of_matrix,
    num_groups,
    rows_as_kernel,
)
from keras_reweight.core.forward import make_forward
from keras_reweight.core.testing.compare import identical, snapshot

ALL = ["mean", "var", "second_moment", "gram"]


def reference_statistics(rows):
    """All moments of rows `(count, features)` in float64."""
    rows = np.asarray(rows, "float64")
    return {
        "count": len(rows),
        "mean": rows.mean(0),
        "var": rows.var(0),
        "second_moment": np.square(rows).mean(0),
        "gram": rows.T @ rows,
    }


def check(found, rows):
    expected = reference_statistics(rows)
    assert found.count == expected.pop("count")
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=2e-5, atol=2e-5, err_msg=name)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def collect(model, chosen, data, **options):
    return kc.calibration.collect_input_statistics(
        model, data, layers=chosen, moments=ALL, **options
    )


@pytest.fixture(scope="module")
def network():
    """A Functional model with a nested part, a shared layer and a subclassed layer."""

    class Doubled(layers.Layer):
        def __init__(self):
            super().__init__(name="doubled")
            self.inner = layers.Dense(5, name="inner")

        def call(self, inputs):
            return 2.0 * self.inner(inputs)

    entry = keras.Input((4,))
    nested = keras.Sequential([keras.Input((5,)), layers.Dense(5, name="deep")], name="nested")
    shared = layers.Dense(5, name="shared")
    x = layers.Dense(5, activation="relu", name="first")(entry)
    outputs = nested(Doubled()(shared(shared(x))))
    return keras.Model(entry, outputs)


def test_every_model_kind_and_shared_layers(network):
    x = draw(7, 4) + 30.0
    before = snapshot({"model": network})
    found = collect(network, None, x, batch_size=3)
    assert identical(before, snapshot({"model": network}))
    assert list(found) == ["first", "shared", "doubled/inner", "nested/deep"]
    check(found["first"], x)
    first = network.get_layer("first")
    shared = network.get_layer("shared")
    hidden = np.maximum(through(first, x), 0.0)
    again = through(shared, hidden)
    check(found["shared"], np.concatenate([hidden, again]))
    check(found["doubled/inner"], through(shared, again))


def through(layer, x):
    kernel, bias = layer.get_weights()
    return x @ kernel + bias


def test_batches_do_not_matter_and_all_data_kinds_work(network):
    x = draw(6, 4)
    whole = collect(network, ["first"], x)["first"]
    batches = iter([(x[:4], np.zeros(4)), (x[4:], np.zeros(2))])
    parts = collect(network, ["first"], batches)["first"]
    np.testing.assert_allclose(parts.gram, whole.gram, rtol=1e-5, atol=1e-5)
    assert parts.count == 6


def test_a_large_mean_does_not_hide_a_small_variance(network):
    x = draw(64, 4) * 1e-2 + 100.0
    found = collect(network, "first", x, batch_size=8)["first"]
    np.testing.assert_allclose(found.var, x.astype("float64").var(0), rtol=1e-4)


def test_only_what_is_asked_for(network):
    found = kc.calibration.collect_input_statistics(
        network, draw(3, 4), layers="first", moments=["var"]
    )
    assert found["first"].var is not None
    assert found["first"].mean is None and found["first"].gram is None


CONVOLUTIONS = {
    "strides": (lambda: layers.Conv2D(3, (3, 2), strides=2, padding="same"), (6, 5, 2)),
    "groups": (lambda: layers.Conv2D(4, 2, groups=2), (4, 4, 6)),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), (4, 4, 3)),
    "causal": (lambda: layers.Conv1D(3, 3, padding="causal", dilation_rate=2), (7, 2)),
    "3d": (lambda: layers.Conv3D(2, 2, strides=2), (4, 4, 4, 2)),
    "einsum out": (lambda: layers.EinsumDense("abcd,cde->abe", (None, 3)), (5, 2, 4)),
    "ellipsis": (lambda: layers.EinsumDense("...x,xy->...y", 3), (5, 4)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_rows_times_matrix_is_the_layer(name):
    make, shape = CONVOLUTIONS[name]
    layer = make()
    x = draw(2, *shape)
    layer.build((None, *shape))
    rows, outputs = make_forward(
        lambda x: (input_rows(layer, x), ops.zeros(()) if name == "groups" else layer(x))
    )(x)
    rows, outputs = ops.convert_to_numpy(rows), ops.convert_to_numpy(outputs)
    matrix = kernel_matrix(layer)
    kernel = ops.convert_to_numpy(layer.kernel)
    np.testing.assert_array_equal(kernel_of_matrix(layer, matrix), kernel)
    if num_groups(layer) > 1:
        product = np.einsum("...gr,gro->...go", rows, matrix)
        product = product.reshape(*product.shape[:-2], -1)
    else:
        product = rows @ matrix
    if name == "groups":  # as its parts: TensorFlow has no such kernel on the CPU
        halves = np.split(x, 2, axis=-1)
        kernels = np.split(kernel, 2, axis=-1)
        outputs = np.concatenate(
            [ops.convert_to_numpy(ops.conv(a, b)) for a, b in zip(halves, kernels, strict=True)], -1
        )
    np.testing.assert_allclose(product.reshape(outputs.shape), outputs, rtol=1e-4, atol=1e-5)
    one_a_row = rows_as_kernel(layer, np.arange(matrix[..., 0].size).reshape(matrix.shape[:-1]))
    assert one_a_row.shape == tuple(layer.kernel.shape)
    assert np.ptp(kernel_matrix(layer, one_a_row), axis=-1).max() == 0


def test_statistics_of_patches_and_of_groups():
    model = keras.Sequential(
        [
            keras.Input((5, 5, 2)),
            layers.Conv2D(3, 3, name="conv"),
            layers.DepthwiseConv2D(2, name="depthwise"),
        ]
    )
    x = draw(3, 5, 5, 2)
    found = collect(model, None, x, batch_size=2)
    rows = windows(x, 3).reshape(3, 3, 3, 18)
    check(found["conv"], rows.reshape(-1, 18))
    kernel, bias = model.layers[0].get_weights()
    rows = windows(rows @ kernel.reshape(18, 3) + bias, 2)
    assert found["depthwise"].gram.shape == (3, 4, 4)
    for group in range(3):
        check(
            kc.calibration.InputStatistics(
                found["depthwise"].count,
                *(getattr(found["depthwise"], name)[group] for name in ALL),
            ),
            rows[..., group].reshape(-1, 4),
        )


def windows(maps, size):
    """Patches `(batch, places, places, size, size, channels)` without padding."""
    places = range(maps.shape[1] - size + 1)
    parts = [[maps[:, i : i + size, j : j + size] for j in places] for i in places]
    return np.moveaxis(np.array(parts), 2, 0)


def test_masked_tokens_do_not_count_also_inside_attention():
    tokens = np.array([[1, 2, 0, 0], [3, 4, 5, 0]])
    entry = keras.Input((4,), dtype="int32")
    x = layers.Embedding(6, 4, mask_zero=True)(entry)
    attention = layers.MultiHeadAttention(2, 3, name="attention")
    model = keras.Model(entry, layers.Dense(2, name="dense")(attention(x, x)))
    found = collect(model, None, tokens)
    paths = [f"attention/{name}" for name in ("query", "key", "value", "attention_output")]
    assert set(found) == {*paths, "dense"}
    embedded = model.layers[1].get_weights()[0][tokens]
    valid = tokens > 0
    for path in paths[:3]:
        check(found[path], embedded[valid])
    assert found["attention/attention_output"].count == found["dense"].count == 5
    # The projection is linear, which ties the mean of what comes out to that of what goes in.
    kernel, bias = (ops.convert_to_numpy(v) for v in attention.output_dense.weights)
    mean = found["attention/attention_output"].mean @ kernel.reshape(6, 4) + bias
    np.testing.assert_allclose(found["dense"].mean, mean, rtol=1e-4, atol=1e-5)


def test_a_window_counts_if_one_token_in_it_does():
    x = draw(2, 3, 2)
    x[0, 1:] = 9.0
    entry = keras.Input((3, 2))
    masked, convolutions = layers.Masking(9.0)(entry), [layers.Conv1D(2, n) for n in (1, 2)]
    for layer in convolutions:
        layer.supports_masking = True
    model = keras.Model(entry, [layer(masked) for layer in convolutions])
    single, double = collect(model, convolutions, x).values()
    check(single, np.concatenate([x[0, :1], x[1]]))
    assert double.count == 3


def test_arguments(network):
    x = draw(3, 4)
    for changes, error, name in (
        ({"moments": "mean"}, TypeError, "moments"),
        ({"moments": ["median"]}, ValueError, "median"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"verbose": 3}, ValueError, "verbose"),
        ({"layers": "missing"}, ValueError, "missing"),
        ({"data": np.full((2, 4), np.nan, "float32")}, ValueError, "not finite"),
    ):
        with pytest.raises(error, match=name):
            kc.calibration.collect_input_statistics(**{"model": network, "data": x, **changes})


def test_what_cannot_be_collected_is_refused():
    model = keras.Sequential(
        [keras.Input((3, 2)), layers.TimeDistributed(layers.Dense(2, name="stepped"))]
    )
    with pytest.raises(ValueError, match="step by step"):
        collect(model, lambda layer: layer.name == "stepped", draw(2, 3, 2))
    entry = keras.Input((2,), dtype="int32")
    ids = keras.Model(entry, layers.Embedding(3, 2, name="table")(entry))
    with pytest.raises(ValueError, match="floating point"):
        collect(ids, "table", np.ones((2, 2), "int32"))
