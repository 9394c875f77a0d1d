"""What every quantizer does: map floats to a few levels, in training and for storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_compress.grids import AffineGrid, QuantizedMatrix
from keras_compress.grids.grid import Grid
from keras_compress.quantizers.granularity import Granularity, check_axis
from keras_compress.quantizers.stored_layout import StoredLayout
from keras_compress.quantizers.straight_through import straight_through
from keras_reweight.core.validation import check_integer

# Below this a scale says nothing but "all zeros"; it only keeps divisions finite.
SMALLEST_SCALE = 1e-8


class Quantizer(keras.layers.Layer):
    """Base of quantizers: a layer that returns its input rounded to `2**bits` levels.

    Subclass it for a grid of your own. The grid is affine, `value = scale * (code - zero_point)`
    with integer codes. A subclass defines `compute_scale` and `nearest_code`; what is left is here:
    rounding with gradient one (`fake_quantize`, override it for another gradient), integer codes
    (`codes`) and back (`dequantize`), and the form a file stores (`stored`), whose `values()` are
    those of a call to the last bit. A grid whose zero point depends on the tensor defines
    `compute_grid` and `encode` instead. Scales have the shape `granularity.scale_shape`; the means,
    sums and extremes of `granularity` have it, too. Decorate the subclass with
    `keras.saving.register_keras_serializable`.

    Computed in float32 whatever the dtype policy (float64 for float64 input); the result has the
    dtype of the input.

    Args:
        bits: Integer, bit width of the codes, `smallest_bits` (2, or 1 where the grid allows it) to
            8. Defaults to `4`.
        axis: Integer or tuple of integers, the dimensions that keep a scale of their own; `None`
            for one scale per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means what is
            usual there: the output channels of a weight, one scale for an activation.
        group_size: Integer >= 1, for weights: that many consecutive inputs of a channel share a
            scale, the last group may be shorter; `None` for no groups. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values on the grid.

    Raises:
        TypeError: If `bits`, `axis` or `group_size` is not made of integers.
        ValueError: If `bits` is outside its range or `group_size` below 1; when built, if `axis`
            does not fit the shape.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    @keras.saving.register_keras_serializable(package="example")
    class MaxAbs(kc.quantizers.Quantizer):
        def compute_scale(self, x):
            largest = self.granularity.max(keras.ops.abs(x))
            return keras.ops.maximum(largest, 1e-8) / self.code_range[1]

        def nearest_code(self, x, scale):
            return keras.ops.round(x / scale)

    kernel = np.array([[1.0, -3.0], [0.4, 7.0]], "float32")
    quantizer = MaxAbs(bits=4)
    rounded = quantizer(kernel)
    assert np.array_equal(quantizer.stored(kernel, channel_axes=(1,)).values(), rounded)
    ```

    Reference:
        None; base of the quantizers of this package.
    """

    #: Whether the quantizer also suits activations, whose values differ from batch to batch.
    supports_activations: ClassVar[bool] = False
    #: Fewest bits the grid makes sense with.
    smallest_bits: ClassVar[int] = 2
    #: Whether scales follow the values of each call, so that no constant can stand for them.
    scale_follows_values: ClassVar[bool] = True
    #: Whether `group_size` is offered.
    supports_groups: ClassVar[bool] = True

    def __init__(
        self,
        bits: int = 4,
        *,
        axis: int | tuple[int, ...] | None = -1,
        group_size: int | None = None,
        **kwargs,
    ):
        check_integer("bits", bits, minimum=self.smallest_bits, maximum=8)
        check_axis(axis)
        if group_size is not None:
            check_integer("group_size", group_size, minimum=1)
            if not self.supports_groups:
                raise ValueError(
                    f"`group_size`: {type(self).__name__} has no groups, got {group_size!r}."
                )
        # A mixed-precision policy must not round the weights before the grid does.
        kwargs["dtype"] = "float32"
        super().__init__(autocast=False, **kwargs)
        self.bits = bits
        self.axis = axis
        self.group_size = group_size
        self.supports_masking = True
        self.granularity: Any = None
        self._source: Callable[[], keras.Variable] | None = None

    @property
    def code_range(self) -> tuple[int, int]:
        """Smallest and largest code."""
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1

    @property
    def zero_point(self) -> float:
        """The code (not always an integer) for the value zero, where it is always the same."""
        return 0.0

    @property
    def levels(self) -> np.ndarray:
        """All representable values in units of the scale: float64, shape `(2**bits,)`."""
        low, high = self.code_range
        return np.arange(low, high + 1, dtype="float64") - self.zero_point

    def build(self, input_shape):
        self.granularity = Granularity.of(input_shape, self.axis, self.group_size)

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
        """The scales, of shape `granularity.scale_shape`, for a float32 or float64 tensor."""
        raise NotImplementedError(f"{type(self).__name__} must define compute_scale(x).")

    def nearest_code(self, x, scale):
        """Codes of `x` as integer-valued floats inside `code_range`; `scale` broadcasts to `x`."""
        raise NotImplementedError(f"{type(self).__name__} must define nearest_code(x, scale).")

    def compute_grid(self, x) -> tuple:
        """Scales and zero points (or one number), of shape `granularity.scale_shape`."""
        return self.compute_scale(x), self.zero_point

    def encode(self, x, scale, zero_point):
        """`nearest_code` for grids whose zero point depends on the tensor."""
        return self.nearest_code(x, scale)

    def fake_quantize(self, x):
        """`x` on the grid, with the gradient used in training."""
        # Without a gradient from the start: eager backends need not remember what led here.
        fixed = ops.stop_gradient(x)
        scale, zero_point = self.expanded_grid(fixed)
        codes = self.encode(fixed, scale, zero_point)
        return straight_through(self.dequantize(codes, scale, zero_point), x)

    def call(self, inputs):
        return ops.cast(self.fake_quantize(_computable(inputs)), _output_dtype(inputs))

    def expanded_grid(self, x) -> tuple:
        """Scale and zero point in shapes that broadcast to `x`, without a gradient."""
        scale, zero_point = self.compute_grid(x)
        if not isinstance(zero_point, (int, float)):
            zero_point = ops.stop_gradient(self.granularity.expand(zero_point))
        return ops.stop_gradient(self.granularity.expand(scale)), zero_point

    def codes(self, x) -> tuple:
        """Integer codes (int32, shape of `x`), scale and zero point, which broadcast to `x`."""
        self._check_is_built()
        x = _computable(x)
        scale, zero_point = self.expanded_grid(x)
        return ops.cast(self.encode(x, scale, zero_point), "int32"), scale, zero_point

    def dequantize(self, codes, scale, zero_point: Any = None):
        """`scale * (codes - zero_point)`, to the last bit what a call returns."""
        zero_point = self.zero_point if zero_point is None else zero_point
        codes = ops.cast(codes, scale.dtype)
        if isinstance(zero_point, (int, float)) and zero_point == 0:
            return codes * scale
        return (codes - zero_point) * scale

    def stored(self, x, channel_axes: tuple[int, ...] | int | None = -1) -> QuantizedMatrix:
        """The stored form of `x`, with `values()` equal to those of a call, bit for bit.

        Args:
            x: Float array or variable, what the quantizer is called with.
            channel_axes: Axes of `x` that hold the outputs of the layer, `None` or `()` for none.
                A quantizer whose scales belong to other axes stores the matrix along those.
        """
        self._check_is_built()
        x = _computable(x)
        shape = tuple(int(size) for size in x.shape)
        layout = self.stored_layout(shape, channel_axes)
        scale, zero_point = self.expanded_grid(x)
        codes = ops.convert_to_numpy(self.encode(x, scale, zero_point)) - self.code_range[0]
        matrix = np.ascontiguousarray(layout.matrix(codes).astype("uint8"))
        return QuantizedMatrix(matrix, self.stored_grid(x, layout), shape, layout.channel_axes)

    def stored_layout(self, shape: tuple[int, ...], channel_axes: Any) -> StoredLayout:
        """How a tensor of `shape` becomes a matrix."""
        return StoredLayout.of(shape, self.granularity, channel_axes)

    def stored_grid(self, x, layout: StoredLayout) -> Grid:
        """The grid of `x` for unsigned codes, its scales arranged by `layout`."""
        scale, zero_point = self.compute_grid(x)
        if not isinstance(zero_point, (int, float)):
            zero_point = layout.scales(ops.convert_to_numpy(zero_point))
        return AffineGrid(
            self.bits,
            scale=layout.scales(ops.convert_to_numpy(scale)),
            # Exact: both are small multiples of one half.
            zero_point=zero_point - self.code_range[0],
            group_size=layout.group_size,
            group_axis=layout.group_axis,
        )

    def statistic(self, x):
        """What `initialize_from` must know about a float tensor; calibration averages it.

        A tensor or a NumPy array; not called in compiled code.
        """
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
        config |= {"bits": self.bits, "axis": self.axis}
        return {**config, "group_size": self.group_size} if self.supports_groups else config

    def _check_is_built(self) -> None:
        if not self.built:
            raise ValueError(
                f"{self.name} is not built. Call it on a tensor, or `build(shape)` it, first."
            )


def on_host(x: Any) -> np.ndarray:
    """A tensor as a float64 array."""
    return ops.convert_to_numpy(ops.cast(x, "float32")).astype("float64")


def _output_dtype(inputs):
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    return dtype if "float" in dtype else "float32"


def _computable(x):
    """`x` as a float32 tensor, or float64 if it is one."""
    x = ops.convert_to_tensor(x)
    exact = keras.backend.standardize_dtype(x.dtype) == "float64"
    return ops.cast(x, "float64" if exact else "float32")
