"""Multiply-accumulates against numbers worked out by hand, and by counting a slow loop."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc


def total(shape, *stack):
    model = keras.Sequential([keras.Input(shape), *stack])
    report = kc.analysis.count_macs(model)
    assert report.num_parameters == model.count_params()
    assert report.uncounted == ()
    return report.macs


def slow_convolution(size, channels, filters, kernel, stride, groups):
    """One for every product that a loop over places, filters and the window would make."""
    places = len(range(0, size - kernel + 1, stride))
    count = 0
    for _ in range(places * places):
        for _ in range(filters):
            count += kernel * kernel * (channels // groups)
    return count


@pytest.mark.parametrize("stride, groups", [(1, 1), (2, 1), (2, 2)])
def test_convolution_equals_a_slow_count(stride, groups):
    layer = layers.Conv2D(6, 3, strides=stride, groups=groups)
    assert total((9, 9, 4), layer) == slow_convolution(9, 4, 6, 3, stride, groups)


@pytest.mark.parametrize(
    "shape, layer, expected",
    [
        ((5,), layers.Dense(3), 15),
        ((7, 5), layers.Dense(3), 7 * 15),
        ((7, 5), layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3)), 7 * 5 * 6),
        ((7, 5), layers.EinsumDense("...x,xy->...y", output_shape=4), 7 * 20),
        ((8, 3), layers.Conv1D(4, 3, padding="same", dilation_rate=2), 8 * 3 * 3 * 4),
        ((4, 4, 4, 2), layers.Conv3D(3, 2), 27 * 8 * 2 * 3),
        ((5, 5, 2), layers.Conv2DTranspose(3, 4, strides=2), 25 * 16 * 2 * 3),
        ((8, 8, 3), layers.DepthwiseConv2D(3, depth_multiplier=2), 36 * 9 * 3 * 2),
        ((8, 8, 3), layers.SeparableConv2D(5, 3, depth_multiplier=2), 36 * (9 * 6 + 6 * 5)),
        ((6, 4), layers.LSTM(3), 6 * 4 * (4 * 3 + 3 * 3)),
        ((6, 4), layers.GRU(3, return_sequences=True), 6 * 3 * (4 * 3 + 3 * 3)),
        ((6, 4), layers.SimpleRNN(3), 6 * (4 * 3 + 3 * 3)),
        ((6, 4), layers.Bidirectional(layers.GRU(3)), 2 * 6 * 3 * (4 * 3 + 3 * 3)),
        ((6, 4), layers.TimeDistributed(layers.Dense(2)), 6 * 8),
        (
            (3, 5, 5, 2),
            layers.ConvLSTM2D(4, 3, return_sequences=True),
            3 * 9 * 9 * 4 * (2 * 4 + 4 * 4),
        ),
        ((8, 8, 3), layers.BatchNormalization(), 0),
        ((8, 8, 3), layers.MaxPooling2D(), 0),
        ((6,), layers.Embedding(10, 4), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_equal_hand_counted_numbers(shape, layer, expected):
    assert total(shape, layer) == expected


def attention_by_hand(t_query, t_key, dim, heads, size):
    projections = 2 * t_query * dim * heads * size + 2 * t_key * dim * heads * size
    return projections + 2 * t_query * t_key * heads * size


def test_attention_counts_its_projections_and_products():
    query, value = keras.Input((4, 6)), keras.Input((5, 6))
    attention = layers.MultiHeadAttention(2, 3)
    model = keras.Model([query, value], attention(query, value))
    assert kc.analysis.count_macs(model).macs == attention_by_hand(4, 5, 6, 2, 3)
    by_hand = 4 * (6 * 8 + 8 * 6) + 5 * (6 * 2 + 6 * 2) + 2 * 4 * 5 * 8
    grouped = layers.GroupQueryAttention(2, 4, 1)
    model = keras.Model([query, value], grouped(query, value))
    assert kc.analysis.count_macs(model).macs == by_hand
    model = keras.Model([query, value], layers.Attention()([query, value]))
    assert kc.analysis.count_macs(model).macs == 2 * 4 * 5 * 6


class Shared(keras.Model):
    def __init__(self):
        super().__init__()
        self.block = keras.Sequential([layers.Dense(3, name="inner"), layers.ReLU()], name="block")
        self.scale = self.add_weight(shape=(), name="scale")

    def call(self, inputs):
        return self.scale * self.block(self.block(inputs))


def test_subclassed_nested_and_shared_layers():
    model = Shared()
    model(np.zeros((2, 3), "float32"))
    report = kc.analysis.count_macs(model)
    assert report.macs == 2 * 9
    assert report.num_parameters == model.count_params() == 13
    (inner,) = [row for row in report.layers if row.path == "block/inner"]
    assert (inner.calls, inner.output_shape, inner.kind) == (2, (3,), "Dense")
    assert "18 MACs" in str(report)


def test_counting_changes_nothing():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2), layers.BatchNormalization()])
    before = [np.array(value) for value in model.get_weights()]
    kc.analysis.count_macs(model)
    assert "call" not in vars(model.layers[0])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_shapes_of_inputs():
    model = keras.Sequential([keras.Input((None, 4)), layers.Dense(2)])
    assert kc.analysis.count_macs(model, (5, 4)).macs == 5 * 8
    with pytest.raises(ValueError, match="input_shapes"):
        kc.analysis.count_macs(model)
    first, second = keras.Input((3,), name="first"), keras.Input((None, 3), name="second")
    out = layers.Dense(2)(first) + layers.GlobalAveragePooling1D()(layers.Dense(2)(second))
    model = keras.Model({"first": first, "second": second}, out)
    assert kc.analysis.count_macs(model, {"first": (3,), "second": (4, 3)}).macs == 6 + 24
    fixed = keras.Sequential([keras.Input(batch_shape=(8, 4)), layers.Dense(2)])
    assert kc.analysis.count_macs(fixed).macs == 8


def test_ids_keep_their_dtype():
    model = keras.Sequential(
        [keras.Input((None,), dtype="int32"), layers.Embedding(10, 4), layers.Dense(3)]
    )
    assert kc.analysis.count_macs(model, (7,)).macs == 7 * 12


class Unknown(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2), name="kernel")

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.kernel)


def test_matrices_without_a_rule_are_named():
    model = keras.Sequential([keras.Input((3,)), Unknown(name="own"), layers.Dense(2)])
    report = kc.analysis.count_macs(model)
    assert report.uncounted == ("own",) and report.macs == 4
    assert "without the MACs of own" in str(report)
