"""Inputs on a grid that calibration has fixed, for Keras' int8 layers."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_integer, check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class StaticQuantizer(keras.quantizers.Quantizer):
    """A Keras quantizer with a scale that does not depend on the input.

    Keras' int8 layers measure the largest value of every input they get. With this quantizer as
    their `activation_quantizer` they use the range that training or calibration has found:
    `round(clip(x / scale, low, high))`. `to_keras_layers` makes it; a file of a model with it needs
    this package to load.

    Args:
        scale: Float > 0, the step.
        low: Integer, smallest code, at least -128. Defaults to `-128`.
        high: Integer, largest code, at most 127. Defaults to `127`.

    Returns:
        Called with a float tensor: the pair of an int8 tensor of its shape and of the reciprocal of
        the step, of the shape of `x` with the axes `axis` reduced to 1.

    Raises:
        TypeError: If `low` or `high` is no integer.
        ValueError: If `scale` is not positive or a code does not fit in 8 bits.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_compress as kc

    layer = keras.layers.Dense(4)
    layer.build((None, 8))
    static = kc.export.StaticQuantizer(scale=0.05)
    layer.quantize("int8", config=keras.quantizers.Int8QuantizationConfig(
        activation_quantizer=static))
    outputs = layer(np.ones((2, 8), "float32"))
    ```

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877, section 2.
    """

    def __init__(self, scale: float, *, low: int = -128, high: int = 127):
        check_number("scale", scale, exclusive_minimum=0.0)
        check_integer("low", low, minimum=-128, maximum=0)
        check_integer("high", high, minimum=1, maximum=127)
        super().__init__(output_dtype="int8")
        self.scale = scale
        self.low = low
        self.high = high

    def __call__(self, x, axis=-1, to_numpy: bool = False):
        x = ops.convert_to_tensor(x)
        codes = ops.cast(ops.round(ops.clip(x / self.scale, self.low, self.high)), "int8")
        axes = axis if isinstance(axis, (tuple, list)) else (axis,)
        reduced = {one % len(x.shape) for one in axes}
        first = tuple(slice(0, 1) if one in reduced else slice(None) for one in range(len(x.shape)))
        return codes, ops.full_like(x[first], 1.0 / self.scale)

    def get_config(self) -> dict:
        return {"scale": self.scale, "low": self.low, "high": self.high}
