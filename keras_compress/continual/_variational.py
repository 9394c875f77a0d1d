"""What layers with a distribution over binary weights share."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_integer, check_number

# Keeps the slope of the square root finite where every weight is certain.
_SMALLEST_VARIANCE = 1e-12


class BinaryVariational(keras.layers.Layer):
    """Weights +1 or -1, each with mean `tanh(theta)`; subclasses say what is multiplied how.

    A subclass gives `kernel_shape(input_shape)`, the number of inputs of a unit as
    `fan_in(kernel_shape)`, the linear map `product(inputs, kernel)`, and `plain_layer()`.
    """

    def __init__(
        self, *, activation: Any = None, kl_weight: float = 1e-4, seed: Any = None, **kwargs
    ):
        check_number("kl_weight", kl_weight, minimum=0.0)
        if seed is not None:
            check_integer("seed", seed, minimum=0)
        keras.activations.get(activation)  # Raises for what is no activation.
        super().__init__(**kwargs)
        self.activation = activation
        self.kl_weight = kl_weight
        self.seed = seed

    def build(self, input_shape):
        shape = self.kernel_shape(input_shape)
        self.theta = self.add_weight(
            name="theta",
            shape=shape,
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
        )
        self.prior = self.add_weight(
            name="prior", shape=shape, initializer="zeros", trainable=False
        )
        # Zero until the first task has ended: before that there is nothing to hold on to.
        self.pull = self.add_weight(name="pull", shape=(), initializer="zeros", trainable=False)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, inputs, training=None):
        if self.kl_weight:
            self.add_loss(self.kl_weight * ops.cast(self.pull, "float32") * self.divergence())
        fan_in = self.fan_in(self.theta.shape)
        mean = ops.tanh(ops.cast(self.theta, self.compute_dtype))
        outputs = self.product(inputs, mean) / math.sqrt(fan_in)
        if training:
            # In float32: the square of a half-precision activation may overflow.
            wide = ops.cast(inputs, "float32")
            variance = 1.0 - ops.square(ops.tanh(ops.cast(self.theta, "float32")))
            variance = self.product(ops.square(wide), variance) / fan_in
            noise = keras.random.normal(
                ops.shape(variance), dtype="float32", seed=self.seed_generator
            )
            spread = noise * ops.sqrt(variance + _SMALLEST_VARIANCE)
            outputs = outputs + ops.cast(spread, outputs.dtype)
        return keras.activations.get(self.activation)(outputs)

    def divergence(self):
        """Sum over the weights of the divergence from the prior: float32, shape `()`."""
        new = 2.0 * ops.cast(self.theta, "float32")
        old = 2.0 * ops.cast(self.prior, "float32")
        plus = ops.sigmoid(new) * (ops.log_sigmoid(new) - ops.log_sigmoid(old))
        minus = ops.sigmoid(-new) * (ops.log_sigmoid(-new) - ops.log_sigmoid(-old))
        return ops.sum(plus + minus)

    def consolidate(self) -> None:
        """Make what the weights are now the prior of what is learned next."""
        # Through NumPy: on JAX two variables must not share a buffer.
        self.prior.assign(ops.convert_to_numpy(self.theta.value))
        self.pull.assign(1.0)

    def kernel_shape(self, input_shape) -> tuple[int, ...]:
        raise NotImplementedError(f"{type(self).__name__} must define kernel_shape(input_shape).")

    def fan_in(self, kernel_shape) -> int:
        return math.prod(kernel_shape[:-1])

    def product(self, inputs, kernel):
        raise NotImplementedError(f"{type(self).__name__} must define product(inputs, kernel).")

    def plain_layer(self) -> keras.layers.Layer:
        """A Keras layer without bias that computes with fixed weights, not built."""
        raise NotImplementedError(f"{type(self).__name__} must define plain_layer().")

    def get_config(self) -> dict:
        activation = self.activation
        if callable(activation):
            activation = keras.activations.serialize(activation)
        return {
            **super().get_config(),
            "activation": activation,
            "kl_weight": self.kl_weight,
            "seed": self.seed,
        }
