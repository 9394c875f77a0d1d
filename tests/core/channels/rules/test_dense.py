import keras
from keras import layers

from keras_compress.structured.channel_graph import ChannelGraph
from tests.compress.structured.pruned import check_pruning, sequences, sizes, vectors


def test_units_of_dense_layers_go_with_what_reads_them():
    x = keras.Input((5,))
    y = layers.Dense(6, activation="gelu", name="first")(x)
    y = layers.Dense(4, use_bias=False, activation=layers.LeakyReLU(), name="second")(y)
    graph, small = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), vectors())
    assert sizes(graph) == {"first": 6, "second": 4}
    assert (small.get_layer("first").units, small.get_layer("second").units) == (3, 2)


def test_einsum_dense_with_the_equation_of_a_dense_layer():
    x = keras.Input((5, 3))
    y = layers.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d", name="einsum")(x)
    y = layers.EinsumDense("...x,xy->...y", 4, activation="tanh", name="dots")(y)
    graph, small = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), sequences())
    assert sizes(graph) == {"einsum": 6, "dots": 4}
    other = layers.EinsumDense("abc,cde->abde", (None, 2, 2), name="two")(y)
    frozen = ChannelGraph(keras.Model(x, layers.Dense(2, name="head")(other))).frozen
    assert "equation" in frozen["two"]


def test_a_dense_layer_on_another_axis_passes_the_channels():
    x = keras.Input((5, 3))
    y = layers.Dense(4, name="channels")(x)
    y = layers.Permute((2, 1))(layers.Dense(5, name="time")(layers.Permute((2, 1))(y)))
    graph, _ = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), sequences())
    assert sizes(graph) == {"channels": 4}
    assert "rows" in graph.frozen["time"]


def test_what_mixes_units_or_is_no_plain_kernel_stays():
    x = keras.Input((4,))
    y = layers.Dense(4, activation="softmax", name="mixed")(x)
    y = layers.Dense(4, activation=lambda z: z * 2, name="unknown")(y)
    quantized = layers.Dense(8, name="quantized")
    lora = layers.Dense(4, name="lora")
    y = lora(quantized(y))
    quantized.quantize("int8")
    lora.enable_lora(2)
    frozen = ChannelGraph(keras.Model(x, layers.Dense(2, name="head")(y))).frozen
    assert "softmax" in frozen["mixed"] and "elementwise" in frozen["unknown"]
    assert "int8" in frozen["quantized"] and "LoRA" in frozen["lora"]
    assert frozen["head"] == "output of the model"
