import keras
import pytest
from keras import layers

from tests.compress.structured.pruned import check_pruning, images, sequences, sizes


def test_grouped_depthwise_separable_and_transposed():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(8, 3, padding="same", activation="relu", name="plain")(x)
    y = layers.Conv2D(8, 1, groups=2, name="grouped")(y)
    y = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(y)
    y = layers.SeparableConv2D(6, 2, depth_multiplier=2, name="separable")(y)
    y = layers.Conv2DTranspose(4, 2, name="transposed")(y)
    y = layers.Conv2D(4, 1, groups=4, use_bias=False, name="one_each")(y)
    graph, small = check_pruning(keras.Model(x, layers.Conv2D(2, 1)(y)), images())
    # The grouped layer loses the same position in each of its two groups, on both sides.
    assert sizes(graph) == {"plain": 4, "grouped": 4, "separable": 6, "transposed": 4}
    assert small.get_layer("grouped").filters == 4 and small.get_layer("grouped").groups == 2
    assert small.get_layer("one_each").filters == small.get_layer("one_each").groups == 2


def test_one_and_three_dimensions():
    x = keras.Input((5, 3))
    y = layers.Conv1D(4, 2, name="one")(x)
    y = layers.DepthwiseConv1D(2)(y)
    y = layers.SeparableConv1D(4, 2, name="separable")(y)
    y = layers.Conv1DTranspose(4, 2, name="transposed")(y)
    y = layers.Reshape((1, 1, 3, 4))(y)
    y = layers.Conv3D(4, 1, name="three")(y)
    y = layers.Conv3DTranspose(4, 1, name="back")(y)
    graph, _ = check_pruning(keras.Model(x, layers.Conv3D(2, 1)(y)), sequences())
    assert set(sizes(graph)) == {"one", "separable", "transposed", "three", "back"}


@pytest.mark.parametrize("groups", [1, 2])
def test_channels_first(groups):
    x = keras.Input((3, 6, 6))
    given = {"data_format": "channels_first"}
    y = layers.Conv2D(4, 1, name="first", **given)(x)
    y = layers.BatchNormalization(axis=1)(y)
    y = layers.GlobalMaxPooling2D(keepdims=True, **given)(y)
    y = layers.Concatenate(axis=1)([y, y])
    y = layers.Conv2D(4, 1, groups=groups, name="second", **given)(y)
    y = layers.Flatten(**given)(y)
    graph, _ = check_pruning(
        keras.Model(x, layers.Dense(2, name="head")(y)), images().transpose(0, 3, 1, 2)
    )
    assert sizes(graph)["first"] == 4
