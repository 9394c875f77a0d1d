import keras
from keras import layers
from keras.src.applications.convnext import LayerScale, StochasticDepth

from keras_reweight.core.channels.rules import find_rule
from tests.compress.structured.pruned import check_pruning, images, sizes


def test_a_convnext_block():
    x = keras.Input((6, 6, 3))
    y = z = layers.Conv2D(4, 2, strides=2, name="stem")(x)
    z = layers.DepthwiseConv2D(3, padding="same")(z)
    z = layers.LayerNormalization(epsilon=1e-6)(z)
    z = layers.Dense(8, activation="gelu", name="expand")(z)
    z = layers.Dense(4, name="project")(z)
    z = StochasticDepth(0.1)(LayerScale(1e-6, 4, name="scale")(z))
    y = layers.GlobalAveragePooling2D()(layers.Add()([y, z]))
    graph, small = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), images())
    assert sizes(graph) == {"stem": 4, "expand": 8}
    assert tuple(small.get_layer("scale").gamma.shape) == (2,)


def test_their_names_are_those_in_keras():
    assert find_rule(LayerScale(1e-6, 4)) and find_rule(StochasticDepth(0.1))
