import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_compress.structured.channel_graph import ChannelGraph
from tests.compress.structured.pruned import check_pruning, images, sizes


def test_bare_operations_between_layers():
    x = keras.Input((6, 6, 3))
    y = layers.Conv2D(8, 1, name="conv")(x)
    a, b = ops.split(y, 2, axis=-1)
    y = ops.relu(a) * ops.sigmoid(b) * 2.0 - 1.0
    y = ops.concatenate([y, ops.abs(a)], axis=-1)
    y = ops.pad(y, ((0, 0), (1, 1), (0, 0), (0, 0)))[:, 1:-1]
    y = ops.reshape(ops.transpose(y, (0, 3, 1, 2)), (-1, 8, 36))
    y = ops.transpose(ops.expand_dims(y, 1), (0, 1, 3, 2))
    y = ops.squeeze(y, 1) * np.ones((36, 1), "float32")
    y = ops.stop_gradient(ops.maximum(y, ops.mean(y, axis=1, keepdims=True)))
    graph, _ = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y[:, 3])), images())
    assert sizes(graph) == {"conv": 4}


@pytest.mark.parametrize(
    "operation",
    [
        lambda y: y * np.arange(4.0, dtype="float32"),
        lambda y: ops.sum(y, axis=-1, keepdims=True),
        lambda y: ops.max(y),
        lambda y: y[..., :2],
        lambda y: y[:, :, 1:],
        lambda y: ops.pad(y, ((0, 0), (0, 0), (1, 0))),
        lambda y: ops.split(y, [1], axis=-1)[1],
        lambda y: ops.softmax(y),
        lambda y: ops.matmul(y, ops.transpose(y, (0, 2, 1))),
    ],
)
def test_what_needs_all_channels_freezes_them(operation):
    x = keras.Input((3, 5))
    y = operation(layers.Dense(4, name="dense")(x))
    y = ops.reshape(y, (-1, 1)) if len(y.shape) == 0 else y
    graph = ChannelGraph(keras.Model(x, layers.Dense(2, name="head")(y)))
    assert not graph.groups and graph.frozen["dense"]
