"""A dense layer of cosines, the head that losses with margins need."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.validation import check_integer, check_number

# Smallest squared length that is divided by.
_SMALLEST = 1e-12


@keras.saving.register_keras_serializable(package="keras_reweight")
class NormedDense(keras.layers.Layer):
    """Cosines between the input and one direction for each class.

    Use it as the last layer under `LDAMLoss` or another loss with margins: logits of free size
    would outgrow any margin, and on long-tailed data the columns of frequent classes grow longer.
    The output is `scale * cos(x, w_c)`, computed as `(x / |x|) (w_c / |w_c|)` without a bias. A
    plain cross-entropy needs `scale` of 10 to 30, as cosines alone make a flat softmax;
    `LDAMLoss` brings its own.

    Args:
        units: Integer >= 1, number of classes.
        scale: Float > 0, factor of the cosines. Defaults to `1.0`.
        kernel_initializer: Initializer of the directions, name or object; only the directions
            matter, their lengths set how fast they turn. Defaults to `"glorot_uniform"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Returns:
        Called with floats of shape `(batch, ..., features)`: shape `(batch, ..., units)`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, or `kernel_initializer` unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), kr.layers.NormedDense(3)])
    model.compile("adam", kr.losses.LDAMLoss([5, 2, 1]))
    model.fit(np.ones((8, 4)), np.array([0, 0, 0, 0, 0, 1, 1, 2]), verbose=0)
    ```

    Reference:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
        NeurIPS 2019, arXiv 1906.07413, section 3.2 (normalized features and weights).

    Deviations:
        The official layer starts from columns of length one; here the initializer decides.
    """

    def __init__(
        self,
        units: int,
        *,
        scale: float = 1.0,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ):
        check_integer("units", units, minimum=1)
        check_number("scale", scale, exclusive_minimum=0.0)
        _initializer(kernel_initializer)
        super().__init__(**kwargs)
        self.units = units
        self.scale = scale
        self.kernel_initializer = kernel_initializer
        self.supports_masking = True

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units),
            initializer=_initializer(self.kernel_initializer),
            name="kernel",
        )
        self.built = True

    def call(self, inputs):
        # Squares of half-precision features overflow.
        features = _normalized(ops.cast(inputs, "float32"), axis=-1)
        kernel = _normalized(ops.cast(self.kernel, "float32"), axis=0)
        return ops.cast(self.scale * ops.matmul(features, kernel), inputs.dtype)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "units": self.units,
            "scale": self.scale,
            "kernel_initializer": keras.saving.serialize_keras_object(self.kernel_initializer),
        }

    @classmethod
    def from_config(cls, config: dict):
        initializer = keras.saving.deserialize_keras_object(config["kernel_initializer"])
        return cls(**{**config, "kernel_initializer": initializer})


def _normalized(tensor, axis):
    squared = ops.sum(ops.square(tensor), axis=axis, keepdims=True)
    return tensor * ops.rsqrt(ops.maximum(squared, _SMALLEST))


def _initializer(value):
    try:
        return keras.initializers.get(value)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`kernel_initializer` must be the name of an initializer of Keras or an initializer, "
            f"got {value!r}."
        ) from error
