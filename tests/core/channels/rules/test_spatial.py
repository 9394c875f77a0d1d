import keras
from keras import layers

from tests.compress.structured.pruned import check_pruning, images, sequences, sizes


def test_images():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(4, 1, name="conv")(x)
    y = layers.ZeroPadding2D(1)(y)
    y = layers.AveragePooling2D(2)(y)
    y = layers.UpSampling2D()(y)
    y = layers.Cropping2D(1)(y)
    y = layers.MaxPooling2D(2)(y)
    y = layers.GlobalAveragePooling2D()(y)
    graph, _ = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), images())
    assert sizes(graph) == {"conv": 4}


def test_sequences():
    x = keras.Input((5, 3))
    y = layers.Conv1D(4, 1, name="conv")(x)
    y = layers.UpSampling1D(2)(layers.Cropping1D(1)(layers.ZeroPadding1D(1)(y)))
    y = layers.MaxPooling1D(2)(y)
    y = layers.RepeatVector(3)(layers.GlobalMaxPooling1D()(y))
    graph, _ = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), sequences())
    assert sizes(graph) == {"conv": 4}
