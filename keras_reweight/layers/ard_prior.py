"""Gaussian sampling with a prior whose variances follow the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.layers.kl_regularizer import KLRegularizer

# A collapsed axis must not divide by zero.
SMALLEST_VARIANCE = 1e-8


@keras.saving.register_keras_serializable(package="keras_reweight")
class ARDPrior(KLRegularizer):
    """Samples a latent Gaussian against a prior `N(0, v)` with one variance an axis.

    Use it in place of `KLRegularizer` when the number of latent axes is unknown: give it too many
    and the callback `ARDPriorUpdate`, which sets `v` to the second moments of the encodings once an
    epoch. Axes that the decoder does not need shrink; `kr.functional.relevance_scores` says which.
    The layer adds `kl_weight * mean_batch sum_l (log v_l - log_variance_l + (mean_l^2 +
    exp(log_variance_l)) / v_l - 1) / 2` to the loss of the model. `v` is one before the first
    update, is saved with the model and has no gradient.

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
    latent = kr.layers.ARDPrior(0.05, seed=0)(keras.layers.Dense(2 * 4)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(6)(latent))
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    model.fit(x, x, verbose=0, callbacks=[kr.callbacks.ARDPriorUpdate(x)])
    ```

    Reference:
        Saha, Joshi and Whitaker, "ARD-VAE: A Statistical Formulation to Find the Relevant Latent
        Dimensions of Variational Autoencoders", WACV 2025, arXiv 2501.10901.

    Deviations:
        The official code adds `v` in place of `log v`; both are constant within an epoch, so that
        gradients agree and only the logged loss differs.

    Cost:
        A few operations on the latent values.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.prior_variance = self.add_weight(
            shape=(self.latent_size(input_shape),),
            initializer="ones",
            trainable=False,
            dtype="float32",
            name="prior_variance",
        )
        self._observer: Callable[[np.ndarray], Any] | None = None

    def divergence(self, mean: Any, log_variance: Any):
        prior = ops.maximum(ops.convert_to_tensor(self.prior_variance), SMALLEST_VARIANCE)
        prior = ops.cast(prior, mean.dtype)
        spread = (ops.square(mean) + ops.exp(log_variance)) / prior
        return 0.5 * ops.sum(ops.log(prior) - log_variance + spread - 1.0, axis=-1)

    def observe(self, observer: Callable[[np.ndarray], Any] | None) -> None:
        """Hand second moments `(samples, latent)` of every eager call to `observer`, or to none."""
        self._observer = observer

    def call(self, inputs, training=False):
        if self._observer is not None:
            mean, log_variance = self.parameters(inputs)
            second = ops.stop_gradient(ops.square(mean) + ops.exp(log_variance))
            second = ops.convert_to_numpy(second)
            self._observer(second.reshape((-1, second.shape[-1])))
        return super().call(inputs, training=training)
