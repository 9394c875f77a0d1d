import functools
import re

import keras
import numpy as np
import pytest

from keras_compress.pruning import prune_weights
from keras_compress.pruning.prunable_weights import find_prunable_weights

L = keras.layers


def names(model, layers=None, **arguments):
    return [
        "/".join(p.split("/")[-2:]) for p in find_prunable_weights(model, layers, **arguments).paths
    ]


@functools.cache
def composite():
    """Embedding, recurrent cell, attention, a shared layer and a nested model in one."""
    tokens = keras.Input((4,), dtype="int32")
    x = L.Embedding(7, 6, name="embedding")(tokens)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(x)
    x = L.MultiHeadAttention(2, 3, name="attention")(x, x)
    shared = L.Dense(6, name="shared")
    x = shared(shared(x))
    block = keras.Sequential(
        [keras.Input((4, 6)), L.SeparableConv1D(5, 2, name="separable"), L.LayerNormalization()],
        name="block",
    )
    outputs = L.Dense(1, name="head")(L.Flatten()(block(x)))
    return keras.Model(tokens, outputs)


def test_finds_every_kind_of_kernel_once_and_leaves_the_rest():
    model = composite()
    assert names(model) == [
        "embedding/embeddings",
        "lstm_cell/kernel",
        "lstm_cell/recurrent_kernel",
        "lstm_cell/kernel",
        "lstm_cell/recurrent_kernel",
        "query/kernel",
        "key/kernel",
        "value/kernel",
        "attention_output/kernel",
        "shared/kernel",
        "separable/pointwise_kernel",
        "head/kernel",
    ]
    skipped = find_prunable_weights(model).skipped
    assert skipped["block/layer_normalization"] == "no prunable weights"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("head", ["head/kernel"]),
        ("block", ["separable/pointwise_kernel"]),
        (
            ["both", "shared"],
            ["lstm_cell/kernel", "lstm_cell/recurrent_kernel"] * 2 + ["shared/kernel"],
        ),
        (re.compile("attention/(query|key)"), ["query/kernel", "key/kernel"]),
        (lambda layer: isinstance(layer, L.Dense), ["shared/kernel", "head/kernel"]),
    ],
)
def test_layer_choice(layers, expected):
    assert names(composite(), layers) == expected


def test_what_is_not_chosen_is_reported():
    skipped = find_prunable_weights(composite(), "head").skipped
    assert skipped["shared"] == "not selected"
    assert "head" not in skipped


def test_depthwise_kernels_stay_dense_unless_their_layer_is_named():
    block = keras.Sequential([keras.Input((5, 5, 2)), L.DepthwiseConv2D(2, name="deep")], name="b")
    model = keras.Sequential([keras.Input((5, 5, 2)), block, L.Conv2D(3, 2, name="conv")])
    depthwise, conv = block.layers[0], model.layers[1]
    found = find_prunable_weights(model)
    assert found.variables == [conv.kernel]
    assert found.skipped == {depthwise.path: "depthwise kernels stay dense"}
    assert find_prunable_weights(model, "deep").variables == [depthwise.kernel]
    assert find_prunable_weights(model, depthwise).layers == [depthwise]
    both = find_prunable_weights(model, re.compile("deep|conv"))
    assert both.variables == [depthwise.kernel, conv.kernel]
    with pytest.raises(ValueError, match="selects no layer"):
        find_prunable_weights(model, "b")
    with pytest.raises(ValueError, match="depthwise kernels stay dense"):
        find_prunable_weights(block)


def test_the_depthwise_part_of_separable_convolutions_is_chosen_with_its_layer():
    model = composite()
    assert names(model, "separable") == ["separable/depthwise_kernel", "separable/pointwise_kernel"]
    assert names(model, "block") == ["separable/pointwise_kernel"]


@pytest.mark.parametrize(
    ("layer", "shape", "pruned"),
    [
        (L.Conv1D(3, 2), (5, 2), ["kernel"]),
        (L.Conv3D(3, 2), (4, 4, 4, 2), ["kernel"]),
        (L.Conv1DTranspose(3, 2), (5, 2), ["kernel"]),
        (L.Conv2DTranspose(3, 2), (4, 4, 2), ["kernel"]),
        (L.Conv3DTranspose(3, 2), (4, 4, 4, 2), ["kernel"]),
        (L.DepthwiseConv1D(2), (5, 2), ["kernel"]),
        (L.SeparableConv2D(3, 2), (4, 4, 2), ["depthwise_kernel", "pointwise_kernel"]),
        (L.SimpleRNN(3), (5, 2), ["kernel", "recurrent_kernel"]),
        (L.GRU(3), (5, 2), ["kernel", "recurrent_kernel"]),
        (L.EinsumDense("ab,bc->ac", 3), (2,), ["kernel"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, L.Layer) else None,
)
def test_layer_kinds(layer, shape, pruned):
    model = keras.Sequential([keras.Input(shape), layer])
    assert [v.name for v in find_prunable_weights(model, layer).variables] == pruned
    report = prune_weights(model, 0.5, layers=layer)
    for mask, variable in zip(
        report.masks.values(), find_prunable_weights(model, layer).variables, strict=True
    ):
        value = keras.ops.convert_to_numpy(variable.value)
        np.testing.assert_array_equal(value != 0, mask)


def test_frozen_layers_are_skipped_in_training_only():
    model = composite()
    frozen = [model.get_layer("block"), model.get_layer("head")]
    for layer in frozen:
        layer.trainable = False
    assert "head/kernel" not in names(model)
    assert find_prunable_weights(model).skipped["head"] == "not trainable"
    assert "head/kernel" in names(model, trainable_only=False)
    with pytest.raises(ValueError, match="selects no layer.*not trainable"):
        find_prunable_weights(model, frozen)
    for layer in frozen:
        layer.trainable = True


def test_wrappers_are_looked_into():
    class Wrapper(L.Wrapper):
        def call(self, inputs):
            return self.layer(inputs)

    model = keras.Sequential(
        [keras.Input((4,)), Wrapper(L.Dense(2, name="inside"), name="outside")]
    )
    assert names(model) == names(model, "inside") == names(model, "outside")
    assert len(names(model)) == 1


def test_subclassed_models_with_weights_of_their_own_and_equal_names():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [L.Dense(2, name="part"), L.Dense(2, name="part")]
            self.own = self.add_weight(shape=(2, 2), name="kernel")

        def call(self, inputs):
            return self.parts[1](self.parts[0](inputs)) @ self.own

    model = Net()
    model(keras.ops.ones((1, 2)))
    found = find_prunable_weights(model)
    assert len(found.variables) == 3
    assert len(set(found.paths)) == 3


def test_quantized_kernels_are_skipped():
    model = keras.Sequential([keras.Input((4,)), L.Dense(4, name="int"), L.Dense(2, name="float")])
    model.get_layer("int").quantize("int8")
    found = find_prunable_weights(model, trainable_only=False)
    assert found.variables == [model.get_layer("float").kernel]
    assert "int8" in found.skipped[model.get_layer("int").path]


def test_bad_arguments():
    with pytest.raises(ValueError, match="not built"):
        find_prunable_weights(keras.Sequential([L.Dense(2)]))
    with pytest.raises(TypeError, match="keras.Model"):
        find_prunable_weights(L.Dense(2))
    with pytest.raises(ValueError, match="'nowhere'"):
        find_prunable_weights(composite(), "nowhere")
    with pytest.raises(ValueError, match="selects no layer"):
        find_prunable_weights(composite(), [])
    with pytest.raises(ValueError, match="selects no layer"):
        find_prunable_weights(keras.Sequential([keras.Input((4,)), L.ReLU()]))
