"""Callbacks that `iterative_prune` puts into a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.pruning.masked_training import MaskedTraining
from keras_reweight.core.no_config import NoConfig
from keras_reweight.core.state import sync_model


class FixedMasks(MaskedTraining):
    """Holds given masks, one for each prunable variable."""

    get_config = NoConfig("it holds masks")

    def __init__(self, masks: Sequence[np.ndarray], *, layers: Any = None):
        super().__init__(layers=layers)
        self.given = list(masks)

    def on_attach(self, model):
        super().on_attach(model)
        self.mask_set.write(self.given)


class WeightsAtStep(keras.callbacks.Callback):
    """Copies all weights once this many steps have been trained."""

    def __init__(self, step: int):
        super().__init__()
        self.step = step
        self.weights: list[np.ndarray] | None = None
        self._before_epoch = 0
        self._in_epoch = 0

    def on_train_batch_end(self, batch, logs=None):
        self._in_epoch = batch + 1
        if self.weights is None and self._before_epoch + self._in_epoch >= self.step:
            self.weights = host_weights(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self._before_epoch += self._in_epoch
        self._in_epoch = 0


def host_weights(model: keras.Model) -> list[np.ndarray]:
    """Copies of all weights."""
    sync_model(model)
    return [
        np.array(ops.convert_to_numpy(ops.convert_to_tensor(variable)))
        for variable in model.weights
    ]
