import keras
from keras import layers

from keras_compress.structured.channel_graph import ChannelGraph
from tests.compress.structured.pruned import check_pruning, images, sizes


def test_everything_that_works_on_single_numbers():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(4, 1, name="conv")(layers.Rescaling(0.5)(x))
    for layer in (
        layers.Activation("silu"),
        layers.ReLU(6.0, negative_slope=0.5),
        layers.LeakyReLU(),
        layers.ELU(),
        layers.PReLU(name="slopes"),
        layers.PReLU(shared_axes=[1, 2]),
        layers.Dropout(0.5, noise_shape=(None, 1, 1, None)),
        layers.SpatialDropout2D(0.5),
        layers.GaussianNoise(0.1),
        layers.Identity(),
        layers.Softmax(axis=(1, 2)),
    ):
        y = layer(y)
    graph, small = check_pruning(keras.Model(x, layers.Conv2D(2, 1)(y)), images())
    assert sizes(graph) == {"conv": 4}
    assert tuple(small.get_layer("slopes").alpha.shape) == (6, 6, 2)


def test_what_knows_the_number_of_channels_stays():
    for layer, reason in (
        (layers.Softmax(), "softmax"),
        (layers.Activation("softmax"), "softmax"),
        (layers.Rescaling([1.0, 2.0, 3.0]), "constants"),
        (layers.Dropout(0.5, noise_shape=(1, 1, 1, 3)), "noise_shape"),
    ):
        x = keras.Input((2, 2, 3))
        y = layer(layers.Dense(3, name="dense")(x))
        graph = ChannelGraph(keras.Model(x, layers.Dense(2, name="head")(y)))
        assert not graph.groups and reason in graph.frozen["dense"]
