"""Small pruned networks that the tests of retraining share."""

import keras
import numpy as np
from keras import layers, ops

X = np.random.default_rng(0).normal(size=(24, 6)).astype("float32")
Y = (np.arange(24) % 3).astype("int32")


def numpy(value):
    return np.array(ops.convert_to_numpy(ops.convert_to_tensor(value)))


def numbered(model, seed=0):
    """Give a model weights from NumPy: the same on every backend, and quick to make."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        fan_in = int(np.prod(variable.shape[:-1])) or 1
        variable.assign(rng.normal(size=variable.shape) / np.sqrt(fan_in))
    return model


def pruned(model, share=0.5, seed=1):
    """Zero random entries of all kernels."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if len(variable.shape) > 1:
            variable.assign(numpy(variable) * (rng.random(variable.shape) >= share))
    return model


def mlp(seed=0):
    return numbered(
        keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(8, activation="relu", kernel_initializer="zeros", name="first"),
                layers.BatchNormalization(name="norm"),
                layers.Dense(3, kernel_initializer="zeros", name="head"),
            ]
        ),
        seed,
    )


def twin(model):
    """A copy with the same weights."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def compiled(model, learning_rate=0.05):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(learning_rate), loss)
    return model


def fit(model, epochs=1):
    return model.fit(X, Y, batch_size=12, epochs=epochs, shuffle=False, verbose=0)
