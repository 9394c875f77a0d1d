"""What the tests of weightings made of other weightings share."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient

LOGITS = np.array([[2.0, 0.5], [0.2, 0.1], [-1.0, 1.0], [0.0, 3.0], [1.0, 1.5]], "float32")
LABELS = np.array([0, 1, 0, 1, 0])


@keras.saving.register_keras_serializable(package="keras_reweight_tests")
class Doubled(kr.weightings.Weighting):
    """Raw weights `2 * loss` that let gradients through."""

    stop_gradient = False

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        return 2.0 * losses


def slope_of(weighting, losses, **arguments):
    """Gradient of the squared weights with respect to the losses."""
    return gradient(lambda value: keras.ops.sum(weighting(value, **arguments) ** 2), losses)


def through_json(weighting):
    """Saved and loaded in safe mode."""
    config = keras.saving.serialize_keras_object(weighting)
    return keras.saving.deserialize_keras_object(config, safe_mode=True)
