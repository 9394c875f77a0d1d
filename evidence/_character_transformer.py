"""The small transformer over characters that is pruned and quantized."""

from __future__ import annotations

import keras
from keras import layers

from evidence._characters import LENGTH

WIDTH, BLOCKS = 64, ("block_0", "block_1", "block_2")


def transformer(num_characters: int) -> keras.Model:
    """Logits of the next character at every position."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = Places(name="places")(layers.Embedding(num_characters, WIDTH, name="characters")(inputs))
    for name in BLOCKS:
        x = Block(name=name)(x)
    x = layers.LayerNormalization(name="norm")(x)
    return keras.Model(inputs, layers.Dense(num_characters, name="head")(x))


class Places(layers.Layer):
    """Adds a learned vector to each position."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer="uniform", name="table")

    def call(self, x):
        return x + self.table


class Block(layers.Layer):
    """Attention to what came before and a dense layer, each added to its input."""

    def __init__(self, **options):
        super().__init__(**options)
        self.norms = [layers.LayerNormalization(name=f"norm_{n}") for n in range(2)]
        self.attention = layers.MultiHeadAttention(4, WIDTH // 4, name="attention")
        self.up = layers.Dense(4 * WIDTH, "relu", name="up")
        self.down = layers.Dense(WIDTH, name="down")

    def build(self, shape):
        self.attention.build(shape, shape)
        for part in (*self.norms, self.up):
            part.build(shape)
        self.down.build((*shape[:-1], 4 * WIDTH))

    def call(self, x):
        h = self.norms[0](x)
        x = x + self.attention(h, h, use_causal_mask=True)
        return x + self.down(self.up(self.norms[1](x)))
