import keras
import pytest
from keras import layers

from keras_compress.structured.channel_graph import ChannelGraph
from tests.compress.structured.pruned import check_pruning, sequences, sizes


def test_heads_inputs_and_outputs_of_attention():
    x = keras.Input((5, 3))
    y = layers.Dense(6, name="stream")(x)
    memory = layers.Dense(4, name="memory")(x)
    y = layers.Add()([y, layers.MultiHeadAttention(4, 2, name="self")(y, y)])
    crossed = layers.MultiHeadAttention(2, 2, output_shape=4, name="cross")
    y = crossed(y, memory, key=y)
    graph, small = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), sequences())
    assert sizes(graph) == {"stream": 6, "memory": 4, "self:heads": 4, "cross:heads": 2, "cross": 4}
    assert graph.group("stream").producers == ("stream", "self")
    assert graph.group("self:heads").kind == "heads"
    config = small.get_layer("self").get_config()
    assert config["num_heads"] == 2 and config["output_shape"] is None
    assert small.get_layer("cross").get_config()["output_shape"] == (2,)


@pytest.mark.parametrize(("num_shared", "heads"), [(2, 2), (1, 4)])
def test_grouped_queries(num_shared, heads):
    x = keras.Input((5, 3))
    y = layers.Dense(4, name="stream")(x)
    attention = layers.GroupQueryAttention(2, 4, num_shared, name="grouped", use_gate=True)
    y = layers.Add()([y, attention(y, y)])
    graph, small = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), sequences())
    assert sizes(graph) == {"stream": 4, "grouped:heads": heads}
    assert small.get_layer("grouped").num_query_heads == 2


def test_scores_as_an_output_freeze_the_heads():
    x = keras.Input((5, 3))
    attention = layers.MultiHeadAttention(2, 2, name="attention")
    y, scores = attention(x, x, return_attention_scores=True)
    frozen = ChannelGraph(keras.Model(x, [layers.Dense(2, name="head")(y), scores])).frozen
    assert "scores" in frozen["attention"]
