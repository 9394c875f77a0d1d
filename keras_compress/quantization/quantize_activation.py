"""Quantization of what passes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras

from keras_compress.quantization._given_quantizers import (
    deserialized,
    serialized,
    working_copy,
)
from keras_compress.quantizers.quantizer import Quantizer


@keras.saving.register_keras_serializable(package="keras_compress")
class QuantizeActivation(keras.layers.Layer):
    """A layer that rounds its input to the grid of a quantizer.

    Use it where integer hardware requantizes what `QuantizeAware` layers do not: after additions
    and concatenations, whose inputs have different scales, and at the output of a model.
    `quantize_outputs` puts it into a model and calibrates it. In training it has the gradient of
    the quantizer; `freeze` leaves it out.

    Args:
        quantizer: `Quantizer` to copy. Its default `axis=-1` stands for one scale.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values on the grid.

    Raises:
        TypeError: If `quantizer` is no `Quantizer`.
        ValueError: If `quantizer` is made for weights only.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    layer = kc.layers.QuantizeActivation(kc.quantizers.LSQQuantizer(8, signed=False))
    x = np.array([[0.0, 1.0, 3.0]], "float32")
    rounded = layer(x)
    ```

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877, appendix A.

    Cost:
        Some elementwise operations on each value.
    """

    def __init__(self, quantizer: Quantizer, **kwargs):
        if not isinstance(quantizer, Quantizer):
            raise TypeError(f"`quantizer` must be a keras_compress Quantizer, got {quantizer!r}.")
        if not quantizer.supports_activations:
            raise ValueError(
                f"`quantizer`: {type(quantizer).__name__} is for weights only. Use LSQQuantizer."
            )
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True
        # If set, called with each input, which passes as it is; for calibration with eager calls.
        self.observer: Any = None
        self.activation_quantizer: Quantizer | None = None
        # The argument is only copied from; held here, Keras does not track it.
        self._given = SimpleNamespace(quantizer=quantizer)

    @property
    def quantizer(self) -> Quantizer:
        """What was given; `activation_quantizer` is the working copy."""
        return self._given.quantizer

    def build(self, input_shape):
        axis = None if self.quantizer.axis == -1 else self.quantizer.axis
        self.activation_quantizer = working_copy(self.quantizer, axis, "quantizer")
        self.activation_quantizer.build((None, *input_shape[1:]))
        self.activation_quantizer.trainable = self.trainable

    def call(self, inputs):
        if self.observer is not None:
            self.observer(inputs)
            return inputs
        if self.activation_quantizer is None:
            raise ValueError(f"{self.name} is not built.")
        return self.activation_quantizer(inputs)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "quantizer": serialized(self.quantizer)}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        return cls(**{**config, "quantizer": deserialized(config["quantizer"], custom_objects)})
