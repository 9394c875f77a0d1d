import keras
import numpy as np
from keras import layers

from keras_compress.structured.channel_graph import ChannelGraph
from tests.compress.structured.pruned import check_pruning, sizes


def test_columns_go_and_ids_stay():
    x = keras.Input((4,), dtype="int32")
    y = layers.Embedding(7, 6, name="embedding")(x)
    y = layers.GlobalAveragePooling1D()(y)
    ids = np.array([[1, 2, 3, 0], [6, 6, 5, 4]], "int32")
    graph, small = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), ids)
    assert sizes(graph) == {"embedding": 6}
    assert tuple(small.get_layer("embedding").embeddings.shape) == (7, 3)


def test_a_table_that_another_layer_uses_too_stays():
    table = layers.Embedding(7, 4, name="embedding")

    class Tied(layers.Layer):
        def __init__(self, table):
            super().__init__(name="tied")
            self.table = table

        def call(self, inputs):
            return keras.ops.matmul(inputs, keras.ops.transpose(self.table.embeddings))

    x = keras.Input((4,), dtype="int32")
    model = keras.Model(x, Tied(table)(layers.Dense(4, name="dense")(table(x))))
    graph = ChannelGraph(model)
    assert not graph.groups
    assert "tied" in graph.frozen["embedding"] and "no rule for Tied" in graph.frozen["tied"]
