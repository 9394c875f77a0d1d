import keras
import pytest
from keras import layers

from keras_compress.structured.channel_graph import ChannelGraph
from tests.compress.structured.pruned import check_pruning, sequences, sizes


@pytest.mark.parametrize("merge_mode", ["concat", "sum"])
def test_both_directions(merge_mode):
    x = keras.Input((5, 3))
    inner = layers.GRU(4, return_sequences=True, name="gru")
    y = layers.Bidirectional(inner, merge_mode=merge_mode, name="both")(x)
    graph, _ = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), sequences())
    names = {
        "concat": {"both/forward_gru": 4, "both/backward_gru": 4},
        "sum": {"both/forward_gru": 4},
    }
    assert sizes(graph) == names[merge_mode]


def test_every_time_step():
    x = keras.Input((5, 3))
    y = layers.TimeDistributed(layers.Dense(4, name="inner"), name="dense")(x)
    y = layers.TimeDistributed(layers.BatchNormalization())(y)
    y = layers.Reshape((5, 1, 4))(y)
    y = layers.TimeDistributed(layers.Conv1D(4, 1, name="inner"), name="conv")(y)
    graph, small = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), sequences())
    assert sizes(graph) == {"dense/inner": 4, "conv/inner": 4}
    assert small.get_layer("dense").layer.units == 2


def test_other_wrapped_layers_stay():
    x = keras.Input((5, 3))
    y = layers.Dense(4, name="dense")(x)
    y = layers.TimeDistributed(layers.Reshape((2, 2)), name="wrapped")(y)
    y = layers.Flatten()(y)
    frozen = ChannelGraph(keras.Model(x, layers.Dense(2, name="head")(y))).frozen
    assert "Reshape" in frozen["wrapped"] and frozen["dense"].startswith("wrapped: ")
