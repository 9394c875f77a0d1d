"""One weight whose best value lies between two levels, step by step."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

import keras_compress as kc
from docs.curves._picture import Picture

_STEPS, _BEST = 90, 0.4


def _weight(*callbacks):
    """The weight over the steps of gradient descent on `(q(w) - best)**2 / 2`, levels 0 and 1."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    layer = kc.layers.QuantizeAware(dense, weight=kc.quantizers.LSQQuantizer(3))
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    quantizer = layer.weight_quantizers["kernel"]
    quantizer.scale.assign(np.ones(quantizer.scale.shape))
    for callback in callbacks:
        callback.set_model(model)
    values = []
    for _ in range(_STEPS):
        values.append(ops.convert_to_numpy(dense.kernel).item())
        gap = ops.convert_to_numpy(quantizer(dense.kernel)).item() - _BEST
        gradients = [np.full(v.shape, gap * (v is dense.kernel)) for v in layer.trainable_variables]
        gradients = [ops.convert_to_tensor(value.astype("float32")) for value in gradients]
        model.optimizer.apply(gradients, layer.trainable_variables)
    for callback in callbacks:
        callback.detach()
    return np.arange(_STEPS), np.array(values)


def _weights():
    pull = kc.schedules.PolynomialDecay(0.0, 0.6, end_step=_STEPS, power=1.0)
    return {
        "plain": _weight(),
        "OscillationFreezing": _weight(kc.callbacks.OscillationFreezing(0.08, momentum=0.02)),
        "OscillationDampening": _weight(kc.callbacks.OscillationDampening(pull)),
    }


PICTURES = {"weight": Picture("training step", "weight, in units of its scale", _weights)}
