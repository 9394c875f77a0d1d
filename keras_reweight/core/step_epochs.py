"""Epochs of `fit`, told to a train step of our own."""

from __future__ import annotations

import keras


class StepEpochs(keras.callbacks.Callback):
    """Sets `model.epoch`, which the step reads, and calls `model.finish_epoch()` afterwards."""

    def on_epoch_begin(self, epoch, logs=None):
        # Through the property: it fetches the state on JAX.
        self.model.epoch.assign(float(epoch))

    def on_epoch_end(self, epoch, logs=None):
        self.model.finish_epoch()
