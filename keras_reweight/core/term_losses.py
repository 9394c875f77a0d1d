"""The compiled losses of a step one by one, as Keras reduces them."""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.core.step_hooks import replaced_losses


def term_losses(
    model: keras.Model, x: Any, y: Any, y_pred: Any, sample_weight: Any
) -> dict[str, Any]:
    """Scalar by name of the output, times its compiled loss weight; regularization left out.

    Goes through `model.compute_loss`, so that masks, sample weights, the trackers of the single
    losses and whatever is installed on it do what they always do. Several losses of one output
    are numbered.
    """
    found: dict[str, Any] = {}

    def wrap(index, entry, count):
        def recorded(y_true, prediction, sample_weight=None):
            value = entry.loss(y_true, prediction, sample_weight)
            name = entry.name or "loss"
            number = sum(1 for known in found if known.split("#")[0] == name)
            weight = 1.0 if entry.loss_weights is None else entry.loss_weights
            found[f"{name}#{number + 1}" if number else name] = value * weight
            return value

        return entry._replace(loss=recorded)

    with replaced_losses(model._compile_loss, wrap):
        model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
    return found
