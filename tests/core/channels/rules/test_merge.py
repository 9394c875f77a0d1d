import keras
from keras import layers

from keras_compress.structured.channel_graph import ChannelGraph
from tests.compress.structured.pruned import check_pruning, images, sizes


def test_elementwise_merges_couple_and_concatenation_joins():
    x = keras.Input((6, 6, 3))
    parts = [layers.Conv2D(4, 1, name=f"part{index}")(x) for index in range(6)]
    y = layers.Add()(parts[:2])
    y = layers.Maximum()([layers.Minimum()([y, y]), parts[2]])
    z = layers.Average()([layers.Subtract()(parts[3:5]), parts[3]])
    y = layers.Concatenate()([y, x, z])
    y = layers.Concatenate(axis=1)([layers.Conv2D(11, 1, name="wide")(y), y])
    graph, _ = check_pruning(keras.Model(x, layers.Conv2D(2, 1)(y)), images())
    assert graph.group("part0").producers == ("part0", "part1", "part2", "wide")
    assert graph.group("part3").producers == ("part3", "part4", "wide")
    # Three channels of `wide` meet the input of the model.
    assert sizes(graph) == {"part0": 4, "part3": 4} and "3 of 11" in graph.frozen["wide"]


def test_what_does_not_meet_channel_by_channel_stays():
    x = keras.Input((4, 4))
    one = layers.Dense(1, name="one")(x)
    y = layers.Multiply()([layers.Dense(4, name="first")(x), one])
    z = layers.Permute((2, 1))(layers.Dense(4, name="second")(x))
    y = layers.Dense(4, name="third")(layers.Dot(axes=(2, 2), name="dot")([y, z]))
    w = layers.Permute((2, 1))(layers.Dense(4, name="fourth")(x))
    y = layers.Add(name="add")([y, w])
    graph = ChannelGraph(keras.Model(x, layers.Dense(2, name="head")(y)))
    assert not graph.groups
    assert "stretches" in graph.frozen["one"]
    assert "Dot" in graph.frozen["first"] and "Dot" in graph.frozen["second"]
    assert "different axes" in graph.frozen["third"]
