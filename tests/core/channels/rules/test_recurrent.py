import keras
from keras import layers

from keras_compress.structured.channel_graph import ChannelGraph
from tests.compress.structured.pruned import check_pruning, sequences, sizes


def test_units_with_gates_recurrent_rows_and_states():
    x = keras.Input((5, 3))
    y = layers.LSTM(4, return_sequences=True, name="lstm")(x)
    y, state = layers.GRU(4, return_sequences=True, return_state=True, name="gru")(y)
    y = layers.SimpleRNN(4, name="rnn")(y, initial_state=state)
    y = layers.RepeatVector(2)(y)
    y = layers.GRU(3, reset_after=False, use_bias=False, name="old")(y)
    graph, small = check_pruning(keras.Model(x, layers.Dense(2, name="head")(y)), sequences())
    # Starting from the state of the other layer couples the two.
    assert sizes(graph) == {"lstm": 4, "gru": 4, "old": 3}
    assert graph.group("gru").producers == ("gru", "rnn")
    assert tuple(small.get_layer("gru").cell.bias.shape) == (2, 6)


def test_stateful_layers_stay():
    x = keras.Input(batch_shape=(2, 5, 3))
    y = layers.GRU(4, stateful=True, name="gru")(x)
    assert "stateful" in ChannelGraph(keras.Model(x, layers.Dense(2, name="head")(y))).frozen["gru"]
