"""Cauchy-Schwarz mutual information as a penalty on a representation."""

from __future__ import annotations

import keras

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.functional._gaussian_kernels import check_sigma
from keras_reweight.functional.cs_qmi import cs_qmi


@keras.saving.register_keras_serializable(package="keras_reweight")
class CSQMIRegularizer(keras.layers.Layer):
    """Adds a penalty on what a representation keeps of the inputs, and passes it on.

    Use it as an information bottleneck for regression: `t = CSQMIRegularizer(0.01)([x, t])` between
    encoder and decoder adds `beta` times the Cauchy-Schwarz mutual information of `x` and `t`
    (`kr.functional.cs_qmi`, over the samples of the batch) to the loss of the model. Keras hands
    layers no `sample_weight`, so every sample of the batch counts the same.

    Args:
        beta: Float >= 0, factor of the penalty. Defaults to `1e-2`.
        sigma: Float > 0, width of the kernels, or `"median"`, the median distance between two
            samples of each variable. Defaults to `1.0`.
        normalized: Boolean, whether to divide by the geometric mean of the values of `(x, x)` and
            `(t, t)`. Defaults to `True`.
        **kwargs: Options of `keras.layers.Layer`.

    Returns:
        Called with a list `[x, t]` of float tensors of shape `(batch, ...)`: `t`, unchanged.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, or the input is no list of two.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    x = keras.Input((4,))
    code = kr.layers.CSQMIRegularizer(0.1)([x, keras.layers.Dense(2)(x)])
    model = keras.Model(x, keras.layers.Dense(1)(code))
    model.compile("adam", "mse")
    data = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model.fit(data, data[:, :1], verbose=0)
    ```

    Reference:
        Yu et al., "Cauchy-Schwarz Divergence Information Bottleneck for Regression", ICLR 2024,
        arXiv 2404.17951.

    Cost:
        Memory `batch^2 (features of x + features of t)`, also when evaluating.
    """

    def __init__(
        self,
        beta: float = 1e-2,
        *,
        sigma: float | str = 1.0,
        normalized: bool = True,
        **kwargs,
    ):
        check_number("beta", beta, minimum=0.0)
        check_sigma(sigma)
        check_boolean("normalized", normalized)
        # Without casting: distances in half precision are mostly rounding.
        super().__init__(autocast=False, **kwargs)
        self.beta = beta
        self.sigma = sigma
        self.normalized = normalized
        self.supports_masking = True

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(f"{self.name}: the input must be a list [x, t], got {inputs!r:.80}.")
        x, t = inputs
        self.add_loss(self.beta * cs_qmi(x, t, sigma=self.sigma, normalized=self.normalized))
        return t

    def compute_output_shape(self, input_shape):
        return input_shape[1]

    def compute_mask(self, inputs, previous_mask=None):
        return previous_mask[1] if isinstance(previous_mask, (list, tuple)) else previous_mask

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "beta": self.beta,
            "sigma": self.sigma,
            "normalized": self.normalized,
        }
