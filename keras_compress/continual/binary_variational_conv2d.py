"""A convolution with a distribution over binary weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_compress.continual._variational import BinaryVariational
from keras_reweight.core.validation import check_choice, check_integer


@keras.saving.register_keras_serializable(package="keras_compress")
class BinaryVariationalConv2D(BinaryVariational):
    """A convolution whose weights are +1 or -1 with learned probabilities.

    `BinaryVariationalDense` tells what such layers are for. The pre-activation has the mean
    `conv(a, mu) / sqrt(n)` and the variance `conv(a^2, 1 - mu^2) / n`, where `n` is the number of
    weights of a filter; every position draws its own noise. Images are in the data format of
    `keras.config.image_data_format()`.

    Args:
        filters: Integer >= 1, number of output channels.
        kernel_size: Integer >= 1, or two of them.
        strides: Integer >= 1, or two of them. Defaults to `1`.
        padding: `"valid"` or `"same"`. Defaults to `"valid"`.
        activation: Activation as in `keras.layers.Conv2D`. Defaults to `None`, linear.
        kl_weight: Float >= 0, factor of the divergence, which is a sum over all weights. Defaults
            to `1e-4`.
        seed: Integer >= 0 for the same initial weights and noise in every run, or `None`. Defaults
            to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Returns:
        Called with a float tensor of shape `(batch, height, width, channels)`: a float tensor of
        shape `(batch, new height, new width, filters)`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    layer = kc.continual.BinaryVariationalConv2D(4, 3, strides=2, padding="same", seed=1)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    assert layer(images).shape == (2, 4, 4, 4)
    ```

    Reference:
        Li et al., "Statistical mechanics of continual learning: Variational principle and
        mean-field potential", Physical Review E 108, 014309, 2023, arXiv 2212.02846.

    Deviations:
        The paper has dense layers only; this is the same moments for a convolution.

    Cost:
        Two convolutions instead of one in training, one in inference; one float slot more for each
        weight.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        *,
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
        activation: Any = None,
        kl_weight: float = 1e-4,
        seed: int | None = None,
        **kwargs,
    ):
        check_integer("filters", filters, minimum=1)
        _check_pair("kernel_size", kernel_size)
        _check_pair("strides", strides)
        check_choice("padding", padding, ["valid", "same"])
        super().__init__(activation=activation, kl_weight=kl_weight, seed=seed, **kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding

    def kernel_shape(self, input_shape):
        channels = input_shape[-1 if _is_channels_last() else 1]
        return (*_pair(self.kernel_size), int(channels), self.filters)

    def product(self, inputs, kernel):
        return ops.conv(
            inputs,
            kernel,
            strides=_pair(self.strides),
            padding=self.padding,
            data_format=keras.config.image_data_format(),
        )

    def compute_output_shape(self, input_shape):
        return self.plain_layer().compute_output_shape(input_shape)

    def plain_layer(self):
        return keras.layers.Conv2D(
            self.filters,
            _pair(self.kernel_size),
            strides=_pair(self.strides),
            padding=self.padding,
            activation=self.activation,
            use_bias=False,
            name=self.name,
            dtype=self.dtype_policy,
            trainable=self.trainable,
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
        }


def _is_channels_last():
    return keras.config.image_data_format() == "channels_last"


def _check_pair(name, value):
    items = value if isinstance(value, (tuple, list)) else (value,)
    if len(items) not in (1, 2):
        raise ValueError(f"`{name}` must be an integer or two of them, got {value!r}.")
    for item in items:
        check_integer(name, item, minimum=1)


def _pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)
