"""What the tests of quantization share: the reference data and small helpers."""

import keras
import numpy as np
from keras import ops
from keras.src.backend import get_keras_mask as mask_of  # noqa: F401

# The reference kernel (inputs, outputs) of the official runs.
KERNEL = np.array(
    [[np.cos(1.3 * a + 2.1 * b) * (1 + 0.5 * a) for b in range(3)] for a in range(6)], "float32"
)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy(value):
    return ops.convert_to_numpy(value)


@keras.saving.register_keras_serializable(package="tests.quantization")
class Drawn(keras.initializers.Initializer):
    """Normal values from NumPy. JAX compiles its own for every shape, longer than a test takes."""

    def __call__(self, shape, dtype=None):
        fan_in = int(np.prod(shape[:-1]))
        return ops.convert_to_tensor(normal(*shape) / np.sqrt(fan_in), dtype=dtype)


def dense_model(units=4, features=8, **kwargs):
    return keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(units, name="dense", kernel_initializer=Drawn(), **kwargs),
        ]
    )


def weights_of(model):
    return [numpy(variable.value).copy() for variable in model.weights]


def assert_bitwise_equal(first, second):
    first, second = np.asarray(first), np.asarray(second)
    assert first.dtype == second.dtype and first.shape == second.shape
    assert first.tobytes() == second.tobytes()
