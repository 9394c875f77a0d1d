"""The three things the checks need from a backend: compile, count compilations, differentiate.

Separate from the gradients the packages offer, which these checks are there to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

BACKENDS = ("jax", "tensorflow", "torch")


class Compiled:
    """A function of tensors as it runs inside a compiled step.

    JAX and TensorFlow compile it and count how often they trace it. PyTorch steps are eager in
    Keras; there the first call also runs on tensors without values, where a Python branch on the
    value of a tensor fails as it would under tracing.

    Args:
        function: Function of tensors.
    """

    def __init__(self, function: Callable):
        self.traces = 0
        self._function = function
        backend = keras.backend.backend()
        if backend == "jax":
            import jax

            self._run = jax.jit(self._traced)
        elif backend == "tensorflow":
            import tensorflow as tf

            # Keras' own step is not converted by AutoGraph either.
            self._run = tf.function(self._traced, autograph=False)
        else:
            self._run = self._eager_after_fake

    def __call__(self, *arrays):
        return self._run(*[ops.convert_to_tensor(array) for array in arrays])

    def _traced(self, *tensors):
        self.traces += 1
        return self._function(*tensors)

    def _eager_after_fake(self, *tensors):
        if self.traces == 0:
            self.traces = 1
            # The documented home of fake tensors; PyTorch has no other name for them.
            from torch._subclasses.fake_tensor import FakeTensorMode

            with FakeTensorMode(allow_non_fake_inputs=True) as mode:
                self._function(*[mode.from_tensor(tensor) for tensor in tensors])
        return self._function(*tensors)


def gradient(function: Callable, array: np.ndarray) -> np.ndarray:
    """Gradient of a scalar function of one tensor, as a NumPy array."""
    backend = keras.backend.backend()
    tensor = ops.convert_to_tensor(array)
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(lambda value: function(value))(tensor))
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensor)
            value = function(tensor)
        found = tape.gradient(value, tensor, unconnected_gradients="zero")
        return np.asarray(tf.convert_to_tensor(found))
    tensor = tensor.detach().clone().requires_grad_(True)
    value = function(tensor)
    if not value.requires_grad:
        return np.zeros(tensor.shape, "float32")
    value.backward()
    found = tensor.grad
    return np.zeros(tensor.shape, "float32") if found is None else found.cpu().numpy()


def numerical_gradient(
    function: Callable[[np.ndarray], float], array: np.ndarray, step: float = 1e-5
) -> np.ndarray:
    """Central differences in float64."""
    array = np.asarray(array, "float64")
    found = np.zeros_like(array)
    for index in np.ndindex(*array.shape):
        values = []
        for sign in (1.0, -1.0):
            moved = array.copy()
            moved[index] += sign * step
            values.append(float(function(moved)))
        found[index] = (values[0] - values[1]) / (2.0 * step)
    return found


def other_backends() -> Sequence[str]:
    """The backends Keras does not run on now."""
    return tuple(name for name in BACKENDS if name != keras.backend.backend())


def with_keras_mask(array: np.ndarray, mask: np.ndarray):
    """A tensor that carries a mask the way layers with `supports_masking` hand it on."""
    from keras.src.backend.common.masking import set_keras_mask

    tensor = ops.convert_to_tensor(array)
    set_keras_mask(tensor, ops.convert_to_tensor(mask))
    return tensor
