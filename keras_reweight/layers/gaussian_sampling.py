"""Samples from a diagonal Gaussian, with gradients to its parameters."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_integer


@keras.saving.register_keras_serializable(package="keras_reweight")
class GaussianSampling(keras.layers.Layer):
    """Draws `z = mean + exp(log_variance / 2) * noise` in training, gives the mean otherwise.

    Use it between encoder and decoder of a variational autoencoder. `KLRegularizer` and `ARDPrior`
    are this layer plus the divergence from a prior. The encoder may end in one `Dense(2 * latent)`
    or in two layers.

    Args:
        seed: Integer or `None`, seed of the noise. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Returns:
        Called with a list `[mean, log_variance]` of float tensors of shape `(batch, ..., latent)`,
        or one tensor of shape `(batch, ..., 2 * latent)` that holds both: a tensor of shape
        `(batch, ..., latent)`.

    Raises:
        TypeError: If `seed` is not an integer.
        ValueError: When built, if the shapes of mean and log-variance differ or the last axis of
            one tensor is not even.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    inputs = keras.Input((8,))
    parameters = keras.layers.Dense(2 * 3)(inputs)
    latent = kr.layers.GaussianSampling(seed=0)(parameters)
    model = keras.Model(inputs, keras.layers.Dense(8)(latent))
    ```

    Reference:
        Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, arXiv 1312.6114,
        section 2.4.

    Cost:
        One normal sample per latent value in training.
    """

    def __init__(self, *, seed: int | None = None, **kwargs):
        if seed is not None:
            check_integer("seed", seed)
        super().__init__(**kwargs)
        self.seed = seed
        self.supports_masking = True

    def build(self, input_shape):
        self.latent_size(input_shape)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.built = True

    def latent_size(self, input_shape: Any) -> int:
        """Number of latent axes for inputs of this shape."""
        if _is_pair(input_shape):
            first, second = (tuple(shape) for shape in input_shape)
            if first != second:
                raise ValueError(
                    f"{self.name}: mean and log-variance must have one shape, got {first} and "
                    f"{second}."
                )
            return first[-1]
        if input_shape[-1] is None or input_shape[-1] % 2:
            raise ValueError(
                f"{self.name}: the last axis of one input holds mean and log-variance, so it must "
                f"be even, got shape {tuple(input_shape)}."
            )
        return input_shape[-1] // 2

    def parameters(self, inputs: Any):
        """Mean and log-variance in float32, or float64 if the inputs are."""
        if isinstance(inputs, (list, tuple)):
            mean, log_variance = inputs
        else:
            mean, log_variance = ops.split(inputs, 2, axis=-1)
        if keras.backend.standardize_dtype(mean.dtype) == "float64":
            return mean, log_variance
        return ops.cast(mean, "float32"), ops.cast(log_variance, "float32")

    def call(self, inputs, training=False):
        mean, log_variance = self.parameters(inputs)
        if training:
            noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator)
            mean = mean + ops.exp(0.5 * log_variance) * noise
        return ops.cast(mean, self.compute_dtype)

    def compute_mask(self, inputs, previous_mask=None):
        if isinstance(previous_mask, (list, tuple)):
            return previous_mask[0]
        return previous_mask

    def compute_output_shape(self, input_shape):
        leading = input_shape[0] if _is_pair(input_shape) else input_shape
        return (*tuple(leading)[:-1], self.latent_size(input_shape))

    def get_config(self) -> dict:
        return {**super().get_config(), "seed": self.seed}


def _is_pair(shape):
    return len(shape) == 2 and all(isinstance(part, (list, tuple)) for part in shape)
