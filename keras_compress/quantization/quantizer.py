"""What every quantizer does: map floats to a few levels, in training and for storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.quantization.granularity import Granularity, check_axis
from keras_compress.quantization.straight_through import straight_through
from keras_reweight.core.validation import check_integer

# Below this a scale says nothing but "all zeros"; it only keeps divisions finite.
SMALLEST_SCALE = 1e-8


class Quantizer(keras.layers.Layer):
    """Base of quantizers: a layer that returns its input rounded to `2**bits` levels.

    Subclass it for a grid of your own. The grid is affine, `value = scale * (code - zero_point)`
    with integer codes. A subclass defines `compute_scale` and `nearest_code`; what is left is here:
    rounding with gradient one (`fake_quantize`, override it for another gradient), integer codes
    for storage (`codes`) and back (`dequantize`). Decorate the subclass with
    `keras.saving.register_keras_serializable`.

    Computed in float32 whatever the dtype policy (float64 for float64 input); the result has the
    dtype of the input.

    Args:
        bits: Integer, bit width of the codes, 2 to 8. Defaults to `4`.
        axis: Integer or tuple of integers, the dimensions that keep a scale of their own; `None`
            for one scale per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means what is
            usual there: the output channels of a weight, one scale for an activation.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values on the grid.

    Raises:
        TypeError: If `bits` or `axis` is not made of integers.
        ValueError: If `bits` is outside 2 to 8; when built, if `axis` does not fit the shape.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    @keras.saving.register_keras_serializable(package="example")
    class MaxAbs(kc.quantization.Quantizer):
        def compute_scale(self, x):
            largest = keras.ops.max(keras.ops.abs(x), axis=self.granularity.reduced, keepdims=True)
            return keras.ops.maximum(largest, 1e-8) / self.code_range[1]

        def nearest_code(self, x, scale):
            return keras.ops.round(x / scale)

    kernel = np.array([[1.0, -3.0], [0.4, 7.0]], "float32")
    rounded = MaxAbs(bits=4)(kernel)
    ```

    Reference:
        None; base of the quantizers of this package.
    """

    # Whether the quantizer also suits activations, whose values differ from batch to batch.
    supports_activations = False

    def __init__(self, bits: int = 4, *, axis: int | tuple[int, ...] | None = -1, **kwargs):
        check_integer("bits", bits, minimum=2, maximum=8)
        check_axis(axis)
        # A mixed-precision policy must not round the weights before the grid does.
        kwargs["dtype"] = "float32"
        super().__init__(autocast=False, **kwargs)
        self.bits = bits
        self.axis = axis
        self.supports_masking = True
        self.granularity: Any = None
        self._source: Callable[[], keras.Variable] | None = None

    @property
    def code_range(self) -> tuple[int, int]:
        """Smallest and largest code."""
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1

    @property
    def zero_point(self) -> float:
        """The code (not always an integer) that stands for the value zero."""
        return 0.0

    @property
    def levels(self) -> np.ndarray:
        """All representable values in units of the scale: float64, shape `(2**bits,)`."""
        low, high = self.code_range
        return np.arange(low, high + 1, dtype="float64") - self.zero_point

    def build(self, input_shape):
        self.granularity = Granularity.of(input_shape, self.axis)

    def build_from(self, variable: keras.Variable) -> None:
        """Build for a variable; state that depends on values starts from the variable's."""
        # The value may not exist yet when a model is built inside a traced step. Keras then
        # initializes variables later in order of creation, so the source comes first.
        self._source = lambda: variable
        try:
            self.build(variable.shape)
        finally:
            self._source = None

    def compute_scale(self, x):
        """The scale, broadcastable to `x` (a float32 or float64 tensor)."""
        raise NotImplementedError(f"{type(self).__name__} must define compute_scale(x).")

    def nearest_code(self, x, scale):
        """Codes of `x` as integer-valued floats inside `code_range`."""
        raise NotImplementedError(f"{type(self).__name__} must define nearest_code(x, scale).")

    def fake_quantize(self, x):
        """`x` on the grid, with the gradient used in training."""
        scale = ops.stop_gradient(self.compute_scale(x))
        return straight_through(self.dequantize(self.nearest_code(x, scale), scale), x)

    def call(self, inputs):
        return ops.cast(self.fake_quantize(_computable(inputs)), _output_dtype(inputs))

    def codes(self, x) -> tuple:
        """Integer codes (int32, shape of `x`), scale and zero point of `x`."""
        self._check_is_built()
        x = _computable(x)
        scale = self.compute_scale(x)
        return ops.cast(self.nearest_code(x, scale), "int32"), scale, self.zero_point

    def dequantize(self, codes, scale, zero_point: float | None = None):
        """`scale * (codes - zero_point)`, to the last bit what a call returns."""
        zero_point = self.zero_point if zero_point is None else zero_point
        return (ops.cast(codes, scale.dtype) - zero_point) * scale

    def statistic(self, x):
        """What `initialize_from` must know about a float tensor; calibration averages it."""
        return ops.zeros(())

    def set_statistic(self, value) -> None:
        """Set the state from a (possibly averaged) `statistic`."""

    def initialize_from(self, array) -> None:
        """Choose the state that depends on values, such as a learned scale, from `array`.

        Builds the quantizer for the shape of `array` if it is not built.
        """
        array = _computable(array)
        if not np.all(np.isfinite(ops.convert_to_numpy(array))):
            raise ValueError(f"{self.name}: `array` has values that are not finite.")
        if not self.built:
            self.build(array.shape)
        self.set_statistic(self.statistic(array))

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, dtype=_output_dtype(inputs))

    def get_config(self) -> dict:
        config = super().get_config()
        config.pop("dtype")
        return {**config, "bits": self.bits, "axis": self.axis}

    def _check_is_built(self) -> None:
        if not self.built:
            raise ValueError(
                f"{self.name} is not built. Call it on a tensor, or `build(shape)` it, first."
            )


def _output_dtype(inputs):
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    return dtype if "float" in dtype else "float32"


def _computable(x):
    """`x` as a float32 tensor, or float64 if it is one."""
    x = ops.convert_to_tensor(x)
    exact = keras.backend.standardize_dtype(x.dtype) == "float64"
    return ops.cast(x, "float64" if exact else "float32")
