import keras
import numpy as np
from keras import layers

from keras_compress.structured.channel_graph import ChannelGraph
from tests.compress.structured.pruned import (
    check_pruning,
    images,
    keep_half,
    randomized,
    run,
    sizes,
    vectors,
)


def test_statistics_of_single_channels_are_exact():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(4, 1, name="conv")(layers.Normalization(mean=0.5, variance=2.0)(x))
    y = layers.BatchNormalization(name="batch")(y)
    y = layers.GroupNormalization(groups=-1, name="instance")(y)
    y = layers.LayerNormalization(axis=(2, 3), name="space")(layers.Permute((3, 1, 2))(y))
    y = layers.Permute((2, 3, 1))(y)
    graph, small = check_pruning(keras.Model(x, layers.Conv2D(2, 1)(y)), images())
    assert not graph.inexact
    assert small.get_layer("instance").groups == 2
    assert tuple(small.get_layer("batch").moving_mean.shape) == (2,)


def test_normalizations_over_channels_see_the_kept_ones():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(8, 1, name="conv")(x)
    y = layers.GroupNormalization(groups=2, name="group")(y)
    y = layers.LayerNormalization(axis=(1, 2, 3), name="layer")(y)
    y = layers.RMSNormalization(name="rms")(y)
    y = layers.UnitNormalization(name="unit")(y)
    graph, small = check_pruning(keras.Model(x, layers.Conv2D(2, 1)(y)), images())
    assert set(graph.inexact) == {"group", "layer", "rms", "unit"}
    assert sizes(graph) == {"conv": 4} and small.get_layer("group").groups == 2


def test_layer_normalization_of_the_kept_channels_by_hand():
    model = randomized(
        keras.Sequential(
            [
                keras.Input((5,)),
                layers.Dense(6, name="dense"),
                layers.LayerNormalization(epsilon=1e-3),
                layers.Dense(2, name="head"),
            ]
        )
    )
    graph = ChannelGraph(model)
    keep = keep_half(graph)
    w, b, gamma, beta, out, last = (value.astype("float64") for value in model.get_weights())
    stays = keep["dense"]
    h = (vectors() @ w + b)[:, stays]
    h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-3)
    expected = (h * gamma[stays] + beta[stays]) @ out[stays] + last
    np.testing.assert_allclose(run(graph.rebuild(keep), vectors()), expected, rtol=1e-5)
