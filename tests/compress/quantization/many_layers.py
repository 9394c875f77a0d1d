"""One small model with a layer of many kinds, for tests in this and in fresh processes."""

import sys

import keras
import numpy as np
from keras import layers

import keras_compress as kc
from tests.compress.quantization.common import Drawn, normal

IDS = np.array([[1, 2, 3], [4, 2, 0]], "int32")
KERNEL = {"kernel_initializer": Drawn()}
RECURRENT = {**KERNEL, "recurrent_initializer": Drawn()}


@keras.saving.register_keras_serializable(package="tests.quantization")
class Block(layers.Layer):
    """A layer made of layers, with a residual connection and an argument of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.norm = layers.LayerNormalization()
        self.dense = [layers.Dense(4, "tanh", **KERNEL), layers.Dense(4, **KERNEL)]

    def build(self, input_shape):
        for layer in (self.norm, *self.dense):
            layer.build(input_shape)

    def call(self, inputs, skip=None, flip=False):
        hidden = self.dense[1](self.dense[0](self.norm(inputs)))
        return (inputs if skip is None else skip) + (-hidden if flip else hidden)


def many_layers():
    """Ids to `(batch, 2)` and attention scores."""
    ids = keras.Input((3,), dtype="int32")
    embedded = layers.Embedding(5, 4, embeddings_initializer=Drawn(), name="embedding")(ids)
    attended, scores = layers.MultiHeadAttention(1, 4, dropout=0.5, name="attention", **KERNEL)(
        embedded, embedded, use_causal_mask=True, return_attention_scores=True
    )
    grouped = layers.GroupQueryAttention(4, 1, 1, name="grouped", **KERNEL)(attended, attended)
    block = Block(name="block")(grouped, skip=embedded, flip=True)
    sequence, state, _ = layers.LSTM(
        4, return_sequences=True, return_state=True, name="lstm", **RECURRENT
    )(block)
    gru = layers.GRU(4, name="gru", **RECURRENT)(sequence, initial_state=state)
    both = layers.Bidirectional(layers.SimpleRNN(4, **RECURRENT), name="both")(sequence)
    timed = layers.TimeDistributed(layers.Dense(4, **KERNEL), name="timed")(sequence)
    cells = [layers.LSTMCell(4, **RECURRENT), layers.SimpleRNNCell(4, **RECURRENT)]
    stacked = layers.RNN(cells, name="stacked")(timed)
    joined = layers.Concatenate(name="join")([gru, both, stacked])
    return keras.Model(ids, {"y": layers.Dense(2, name="head", **KERNEL)(joined), "scores": scores})


def quantized_many_layers():
    """Quantization-aware, weights and scales as after training."""
    model = kc.quantize_aware(
        many_layers(),
        weights={"<first>": 8, "lstm/recurrent_kernel": 5, "block": "lsq4", "*": "stats3"},
    )
    for index, variable in enumerate(model.trainable_variables):
        change = 1.0 + 0.2 * np.abs(normal(*variable.shape, seed=index))
        variable.assign(keras.ops.convert_to_numpy(variable.value) * change)
    return model


def outputs_of(model):
    found = model.predict_on_batch(IDS)
    return np.concatenate([np.ravel(found["y"]), np.ravel(found["scores"])])


if __name__ == "__main__":
    folder = sys.argv[1]
    loaded = keras.saving.load_model(f"{folder}/model.keras", safe_mode=True)
    np.save(f"{folder}/model.npy", outputs_of(loaded))
    for variable in loaded.weights:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    loaded.load_weights(f"{folder}/model.weights.h5")
    np.save(f"{folder}/weights.npy", outputs_of(loaded))
