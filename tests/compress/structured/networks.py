"""Small networks that the tests of structured pruning share."""

import keras
import numpy as np
from keras import layers

LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
X = np.sin(7 * np.linspace(-1, 1, 4 * 8 * 8 * 3)).reshape(4, 8, 8, 3).astype("float32")
Y = np.array([0, 1, 2, 1])


# The weights come from `numbered`; random ones would only take time.
ZEROS = {"kernel_initializer": "zeros"}
_CELL = {**ZEROS, "recurrent_initializer": "zeros"}


def numbered(model, seed=7):
    """Weights that are the same everywhere; variances of normalizations are positive."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        values = [
            rng.uniform(0.5, 1.5, size=value.shape)
            if isinstance(layer, layers.BatchNormalization) and number == 3
            else rng.normal(size=value.shape)
            for number, value in enumerate(layer.get_weights())
        ]
        layer.set_weights([value.astype("float32") for value in values])
    return model


def residual():
    """Two residual blocks with a convolution between them, and two dense layers."""

    def convolution(x, filters, name, strides=1):
        x = layers.ZeroPadding2D(1)(x)
        x = layers.Conv2D(filters, 3, strides=strides, use_bias=False, name=name, **ZEROS)(x)
        return layers.BatchNormalization(epsilon=1e-5, name=f"{name}_norm")(x)

    def block(x, filters, name):
        y = layers.ReLU()(convolution(x, filters, f"{name}_first"))
        y = convolution(y, x.shape[-1], f"{name}_second")
        return layers.ReLU()(layers.Add()([x, y]))

    inputs = keras.Input((8, 8, 3))
    x = layers.ReLU()(convolution(inputs, 4, "stem", strides=2))
    x = block(x, 5, "one")
    x = layers.ReLU()(convolution(x, 6, "down", strides=2))
    x = block(x, 5, "two")
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(6, activation="relu", name="hidden", **ZEROS)(x)
    return numbered(keras.Model(inputs, layers.Dense(3, name="head", **ZEROS)(x)))


def dense(units=(8, 6), inputs=5, outputs=3):
    """A network of dense layers `hidden0`, `hidden1`, ... and `head`."""
    stack = [keras.Input((inputs,))]
    for number, size in enumerate(units):
        stack.append(layers.Dense(size, activation="relu", name=f"hidden{number}", **ZEROS))
    return numbered(keras.Sequential([*stack, layers.Dense(outputs, name="head", **ZEROS)]))


def recurrent():
    """Embedding, LSTM, GRU."""
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(11, 4, embeddings_initializer="zeros", name="embedding"),
            layers.LSTM(3, return_sequences=True, name="lstm", **_CELL),
            layers.GRU(4, name="gru", **_CELL),
            layers.Dense(2, name="head", **ZEROS),
        ]
    )
    return numbered(model)


def flattened():
    """A convolution whose channels come several times behind `Flatten`, and a depthwise one."""
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.Conv2D(4, 3, name="first", **ZEROS),
            layers.DepthwiseConv2D(2, padding="same", name="depthwise"),
            layers.Flatten(),
            layers.Dense(2, name="head", **ZEROS),
        ]
    )
    return numbered(model)
