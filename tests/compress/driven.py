"""Training without `fit`, whose data pipeline takes longer than the few steps of a test."""

import keras

from tests.compress.pruning.models import X, Y

BATCH = 4
STEPS = len(X) // BATCH


class Logs(keras.callbacks.Callback):
    """Keeps what the callbacks before it have logged."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(dict(logs or {}))


def drive(model, *callbacks, epochs=1, steps=STEPS):
    """The steps of `models.fit` one by one, with all calls of callbacks; gives the logs."""
    record = Logs()
    group = keras.callbacks.CallbackList(
        [*callbacks, record], model=model, epochs=epochs, steps=steps, verbose=0
    )
    group.on_train_begin()
    for epoch in range(epochs):
        group.on_epoch_begin(epoch)
        for step in range(steps):
            rows = slice(BATCH * step, BATCH * (step + 1))
            group.on_train_batch_begin(step)
            model.train_on_batch(X[rows], Y[rows])
            group.on_train_batch_end(step)
        group.on_epoch_end(epoch)
    group.on_train_end()
    return record.epochs
