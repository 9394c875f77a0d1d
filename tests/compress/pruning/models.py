"""Small models and data that the tests of pruning share."""

import keras
import numpy as np
from keras import ops

X = np.random.default_rng(0).normal(size=(24, 6)).astype("float32")
Y = X[:, :1] * X[:, 1:2]


def sequential(optimizer="adam", *, seed=0, dtype=None, **compile_arguments):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(10, activation="relu", dtype=dtype),
            keras.layers.Dense(1, dtype=dtype),
        ]
    )
    model.compile(optimizer, "mse", **compile_arguments)
    return model


def fit(model, *callbacks, epochs=1, **arguments):
    """Six steps an epoch."""
    return model.fit(
        X, Y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks),
        **arguments,
    )  # fmt: skip


def kernels(model):
    """Host copies of the kernels, in order."""
    return [
        np.array(ops.convert_to_numpy(ops.convert_to_tensor(v)), "float32")
        for v in model.weights
        if v.name in ("kernel", "recurrent_kernel", "pointwise_kernel", "embeddings")
    ]


def num_zeros(model):
    return sum(int((kernel == 0).sum()) for kernel in kernels(model))


def weights(model):
    return [np.array(ops.convert_to_numpy(ops.convert_to_tensor(v))) for v in model.weights]


class Spy(keras.callbacks.Callback):
    """Records what a function of the model gives before every batch and after every epoch."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.batches, self.epochs = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.batches.append(self.function(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.function(self.model))


class Interrupt(keras.callbacks.Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, epoch, batch=2):
        super().__init__()
        self.epoch, self.batch = epoch, batch
        self._now = None

    def on_epoch_begin(self, epoch, logs=None):
        self._now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self._now, batch) == (self.epoch, self.batch):
            raise KeyboardInterrupt
