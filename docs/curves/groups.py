"""How weights of groups follow their losses."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

import keras_reweight as kr
from docs.curves._picture import Picture

_LOSSES = np.array([0.3, 0.6, 1.2], "float32")
_STEPS = 80
_RATIOS = np.linspace(0.1, 1.6, 16)


class _Given(keras.losses.Loss):
    """The losses are the predictions."""

    def call(self, y_true, y_pred):
        return y_pred[:, 0]


def _of_the_worst(callback):
    """Weight of the worst of three groups in every step, with losses that do not change."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
    model.compile(keras.optimizers.SGD(0.0), _Given())
    kr.data.enable_aux_targets(model)
    # Every batch is the same, and one epoch is all steps: epochs of one step take much longer.
    targets = kr.data.pack_targets(
        np.zeros(3 * _STEPS, "float32"), group=np.tile(np.arange(3), _STEPS)
    )
    weights = []
    spy = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: weights.append(_weight_of_the_worst(callback))
    )
    losses = np.tile(_LOSSES, _STEPS)[:, None]
    model.fit(losses, targets, batch_size=3, shuffle=False, verbose=0, callbacks=[callback, spy])
    return np.arange(1, _STEPS + 1), np.array(weights)


def _weight_of_the_worst(callback):
    callback.model  # noqa: B018 - on JAX this brings the running state back into the variables
    return callback.group_weights[2]


def _weights():
    callbacks = {
        f"GroupDRO, step size {size}": kr.callbacks.GroupDRO(3, step_size=size)
        for size in (0.01, 0.05, 0.2)
    }
    for bound in (5.0, 1.5):
        callbacks[f"GroupHedge, bound {bound}"] = kr.callbacks.GroupHedge(3, loss_bound=bound)
    return {label: _of_the_worst(callback) for label, callback in callbacks.items()}


def _recap():
    def weight(ratio, temperature):
        history = np.array([[1.0, 1.0], [ratio, 1.0]], "float32")
        weights = kr.functional.recap_weights(history, temperature=temperature)
        return float(ops.convert_to_numpy(weights)[0])

    return {
        f"temperature {temperature}": (
            _RATIOS,
            np.array([weight(ratio, temperature) for ratio in _RATIOS]),
        )
        for temperature in (5.0, 1.0, 0.3)
    }


PICTURES = {
    "weights": Picture("step", "weight of the worst of three groups", _weights),
    "recap": Picture("new loss / old loss, the other objective standing still", "weight", _recap),
}
