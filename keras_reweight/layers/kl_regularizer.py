"""Gaussian sampling whose divergence from the prior is part of the loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.layers.gaussian_sampling import GaussianSampling


@keras.saving.register_keras_serializable(package="keras_reweight")
class KLRegularizer(GaussianSampling):
    """Samples a latent Gaussian and adds its weighted divergence from `N(0, 1)` to the loss.

    Use it as the bottleneck of a variational autoencoder. The layer adds
    `kl_weight * mean_batch sum_axes (mean^2 + exp(log_variance) - log_variance - 1) / 2` to the
    loss of the model. The weight is a variable that is not trained and is saved with the model;
    the callback `KLAnnealing` moves it inside the compiled step.

    Args:
        initial_weight: Float >= 0, weight of the divergence until something changes it.
            Defaults to `1.0`.
        seed: Integer or `None`, seed of the noise. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`, such as `name`.

    Returns:
        Called with a list `[mean, log_variance]` of float tensors of shape `(batch, ..., latent)`,
        or one tensor of shape `(batch, ..., 2 * latent)` that holds both: a tensor of shape
        `(batch, ..., latent)`, a sample in training and the mean otherwise.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `initial_weight` is negative, or, when built, the shapes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    inputs = keras.Input((6,))
    latent = kr.layers.KLRegularizer(0.2, seed=0)(keras.layers.Dense(2 * 3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(6)(latent))
    model.compile("adam", kr.losses.MultinomialNLL())
    clicks = np.random.default_rng(0).integers(0, 2, (16, 6)).astype("float32")
    model.fit(clicks, clicks, verbose=0)
    ```

    Reference:
        Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, arXiv 1312.6114,
        appendix B; Liang et al., arXiv 1802.05814, for the weight.

    Cost:
        A few operations on the latent values.
    """

    def __init__(self, initial_weight: float = 1.0, *, seed: int | None = None, **kwargs):
        check_number("initial_weight", initial_weight, minimum=0.0)
        super().__init__(seed=seed, **kwargs)
        self.initial_weight = initial_weight

    def build(self, input_shape):
        super().build(input_shape)
        self.kl_weight = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.initial_weight),
            trainable=False,
            dtype="float32",
            name="kl_weight",
        )

    def divergence(self, mean: Any, log_variance: Any):
        """Divergence of each sample from the prior, shape `(batch, ...)`."""
        terms = ops.square(mean) + ops.exp(log_variance) - log_variance - 1.0
        return 0.5 * ops.sum(terms, axis=-1)

    def call(self, inputs, training=False):
        mean, log_variance = self.parameters(inputs)
        divergence = ops.mean(self.divergence(mean, log_variance))
        # A new tensor: `KLAnnealing` writes the variable before torch runs the backward pass.
        weight = ops.cast(ops.convert_to_tensor(self.kl_weight) * 1.0, divergence.dtype)
        self.add_loss(weight * divergence)
        return super().call(inputs, training=training)

    def get_config(self) -> dict:
        return {**super().get_config(), "initial_weight": self.initial_weight}
