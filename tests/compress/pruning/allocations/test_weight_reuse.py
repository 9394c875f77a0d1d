import keras

from keras_compress.pruning.allocations.weight_reuse import weight_reuse
from keras_compress.pruning.prunable_weights import find_prunable_weights

L = keras.layers


def test_places_steps_and_calls():
    tokens = keras.Input((6,), dtype="int32")
    x = L.Embedding(9, 4, name="embedding")(tokens)
    x = L.Conv1D(4, 3, name="conv")(x)
    x = L.SeparableConv1D(4, 2, name="separable")(x)
    x = L.LSTM(4, return_sequences=True, name="lstm")(x)
    x = L.MultiHeadAttention(2, 2, name="attention")(x, x)
    shared = L.Dense(4, name="shared")
    x = L.Flatten()(shared(shared(x)))
    model = keras.Model(tokens, L.Dense(2, name="head")(x))
    weights = find_prunable_weights(model)
    found = dict(zip(weights.paths, weight_reuse(model, weights.variables), strict=True))
    by_layer = {}
    for path, reuse in found.items():
        by_layer.setdefault(path.split("/")[0], set()).add(reuse)
    # Six tokens, four places after the convolution, three after the separable one.
    assert by_layer == {
        "embedding": {0.0},
        "conv": {4.0},
        "separable": {3.0},
        "lstm": {3.0},
        "attention": {3.0},
        "shared": {6.0},
        "head": {1.0},
    }
