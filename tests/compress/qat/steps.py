"""Training by hand: given gradients, no forward pass, nothing to compile."""

import keras
import numpy as np
from keras import ops

import keras_compress as kc

RATE, MOMENTUM = 0.25, 0.5
_RNG = np.random.default_rng(5)
KERNEL = _RNG.normal(size=(5, 3)).astype("float32")
# Signs go back and forth, so that codes do.
GRADIENTS = {
    "kernel": (_RNG.normal(size=(14, 5, 3)) + 2.0 * (-1.0) ** np.arange(14)[:, None, None]).astype(
        "float32"
    ),
    "scale": (0.05 * _RNG.normal(size=(14, 1, 3))).astype("float32"),
}


def quantized(kernel=KERNEL, weight=None, optimizer=None):
    """A model of one quantized layer without a bias."""
    weight = kc.quantizers.LSQQuantizer(2) if weight is None else weight
    dense = keras.layers.Dense(kernel.shape[1], use_bias=False, name="dense")
    layer = kc.layers.QuantizeAware(dense, weight=weight)
    model = keras.Sequential([keras.Input((kernel.shape[0],)), layer])
    dense.kernel.assign(kernel)
    layer.weight_quantizers["kernel"].initialize_from(kernel)
    model.compile(optimizer or keras.optimizers.SGD(RATE, momentum=MOMENTUM), "mse")
    return model


def apply(model, *callbacks, gradients=None, each=None):
    """One update for each step of the gradients, with the callbacks attached; gives the model."""
    gradients = GRADIENTS if gradients is None else gradients
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    variables = model.trainable_variables
    for step in range(len(gradients["kernel"])):
        given = [ops.convert_to_tensor(gradients[variable.name][step]) for variable in variables]
        model.optimizer.apply(given, variables)
        if each is not None:
            each()
    logs = {}
    for callback in callbacks:
        callback.on_epoch_end(0, logs)
        callback.on_train_end()
    model.last_logs = logs
    return model


def host(variable):
    return np.array(ops.convert_to_numpy(variable))


def kernel_of(model):
    return host(model.layers[0].layer.kernel)


def scale_of(model):
    return host(model.layers[0].weight_quantizers["kernel"].scale)


def reference_scale(kernel, bits=2):
    """Initial LSQ steps of the outputs."""
    return 2.0 * np.abs(kernel).mean(axis=0, keepdims=True) / np.sqrt(2 ** (bits - 1) - 1)


class Momentum:
    """Keras' SGD with momentum, in float64."""

    def __init__(self, value):
        self.value = np.asarray(value, "float64")
        self.velocity = np.zeros_like(self.value)

    def step(self, gradient):
        self.velocity = MOMENTUM * self.velocity - RATE * gradient
        self.value = self.value + self.velocity


def lsq_codes(kernel, scale, bits=2):
    return np.clip(np.round(kernel / np.abs(scale)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
