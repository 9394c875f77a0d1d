"""A small network whose numbers NumPy can follow, and models that the tests share."""

import keras
import numpy as np
from keras import layers

LOSS = keras.losses.MeanSquaredError()
X = np.sin(1.7 * np.arange(7)[:, None] + 0.9 * np.arange(3)).astype("float32")
Y = np.cos(np.arange(14)).reshape(7, 2).astype("float32")
DATA = (X, Y)
_ZEROS = {"kernel_initializer": "zeros"}


def network():
    """3 - 4 tanh - 4 tanh - 2, layers `first`, `middle` and `last`."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, "tanh", name="first", **_ZEROS),
            layers.Dense(4, "tanh", name="middle", **_ZEROS),
            layers.Dense(2, name="last", **_ZEROS),
        ]
    )
    number = 0
    for variable in model.weights:
        size = int(np.prod(variable.shape))
        values = 0.8 * np.sin(2.3 * np.arange(number, number + size) ** 1.1)
        variable.assign(values.reshape(variable.shape).astype("float32"))
        number += size
    model.compile("sgd", LOSS)
    return model


def weights_of(model):
    """The weights in float64: kernel and bias of each layer in turn."""
    return [np.asarray(w, "float64") for w in model.get_weights()]


def losses(weights, x=X, y=Y):
    """Loss of each sample: the mean of the squared errors of its outputs."""
    x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
    hidden = np.tanh(x @ weights[0] + weights[1])
    hidden = np.tanh(hidden @ weights[2] + weights[3])
    return np.mean((hidden @ weights[4] + weights[5] - y) ** 2, axis=1)


def derivative(function, at, step=1e-5):
    """Central differences of a function of one array, entry by entry, in the last axes."""
    found = []
    for index in np.ndindex(at.shape):
        moved = [at.copy(), at.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        found.append((function(moved[0]) - function(moved[1])) / (2 * step))
    return np.moveaxis(np.array(found), 0, -1)


def kernels(weights):
    """Path to index of the kernel among the weights."""
    return dict(zip(("first", "middle", "last"), range(0, len(weights), 2), strict=True))


def with_kernel(weights, index, kernel):
    return [kernel if number == index else w for number, w in enumerate(weights)]


def reference_rounding(kernel, bits):
    """Column by column: levels from the smallest to the largest weight, zero among them."""
    result = np.zeros_like(kernel)
    for column in range(kernel.shape[1]):
        low, high = min(kernel[:, column].min(), 0.0), max(kernel[:, column].max(), 0.0)
        if high == low:
            continue
        step = (high - low) / (2**bits - 1)
        zero = np.round(-low / step)
        for row in range(kernel.shape[0]):
            code = np.clip(np.round(kernel[row, column] / step) + zero, 0, 2**bits - 1)
            result[row, column] = step * (code - zero)
    return result
