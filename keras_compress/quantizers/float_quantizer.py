"""Levels of a small floating point format."""

from __future__ import annotations

import keras
from keras import ops

from keras_compress.quantizers._table_quantizer import TableQuantizer
from keras_compress.quantizers.float_levels import FORMATS, float_levels
from keras_compress.quantizers.quantizer import SMALLEST_SCALE
from keras_compress.quantizers.straight_through import with_slope
from keras_reweight.core.validation import check_boolean, check_choice


@keras.saving.register_keras_serializable(package="keras_compress")
class FloatQuantizer(TableQuantizer):
    """Rounding to an 8-bit or 4-bit floating point format.

    Use it to train for hardware that computes in FP8, and at 4 bits (`"e2m1"`) for weights with
    heavy tails: the levels are dense near zero and far apart at the ends. For normally distributed
    weights at 8 bits a uniform grid is more exact. With the largest number `M` of the format,

        s = max|x| / M,    q(x) = s * (the number of the format nearest to x / s)

    a value half way between two numbers going to the one with an even mantissa. With
    `scaled=False` the scale is one and values beyond `M` become `M`. The gradient is one, and zero
    beyond `M`. For activations the maximum is that of the batch at hand.

    Args:
        format: `"e4m3"` (8 bits, largest 448), `"e5m2"` (8 bits, largest 57344) or `"e2m1"` (4
            bits: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives). Defaults to `"e4m3"`.
        axis: Integer or tuple of integers, the dimensions that keep a scale of their own; `None`
            for one scale per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means what is
            usual there: the output channels of a weight, one scale for an activation.
        scaled: Boolean, whether the largest magnitude becomes the largest number of the format.
            Defaults to `True`.
        group_size: Integer >= 1, for weights: that many consecutive inputs of a channel share a
            scale (32 in the MX formats), the last group may be shorter; `None` for no groups.
            Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values on the grid.

    Raises:
        TypeError: If `axis` or `group_size` is not made of integers or `scaled` is no boolean.
        ValueError: If `format` is not one of these, or `group_size` is below 1 or without scales;
            when built, if `axis` does not fit the shape.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    x = np.array([0.3, -2.4, 5.0, 7.0], "float32")
    rounded = kc.quantizers.FloatQuantizer("e2m1", axis=None, scaled=False)(x)
    assert np.array_equal(rounded, [0.5, -2.0, 4.0, 6.0])
    ```

    Reference:
        Micikevicius et al., "FP8 Formats for Deep Learning", arXiv 2209.05433, table 1; Open
        Compute Project, "OCP Microscaling Formats (MX) Specification", version 1.0, section 5.3
        (`"e2m1"`).

    Deviations:
        Scales are float32, not powers of two.

    Cost:
        No variables; one maximum, and for each value as many comparisons and look-ups as the code
        has bits.
    """

    supports_activations = True
    supports_groups = True

    def __init__(
        self,
        format: str = "e4m3",
        *,
        axis: int | tuple[int, ...] | None = -1,
        scaled: bool = True,
        group_size: int | None = None,
        **kwargs,
    ):
        check_choice("format", format, FORMATS)
        check_boolean("scaled", scaled)
        super().__init__(FORMATS[format].bits, axis=axis, group_size=group_size, **kwargs)
        if group_size is not None and not scaled:
            raise ValueError(f"`group_size`={group_size}: without scales there are no groups.")
        self.format = format
        self.scaled = scaled

    @property
    def num_levels(self) -> int:
        return len(float_levels(self.format)[0])

    def level_table(self, dtype):
        return ops.convert_to_tensor(float_levels(self.format)[0], dtype)

    def borders(self, dtype):
        return ops.convert_to_tensor(float_levels(self.format)[1], dtype)

    def compute_scale(self, x):
        if not self.scaled:
            return super().compute_scale(x)
        largest = self.granularity.max(ops.abs(x)) * (1.0 / FORMATS[self.format].largest)
        return ops.maximum(largest, SMALLEST_SCALE)

    def fake_quantize(self, x):
        if self.scaled:
            return super().fake_quantize(x)
        fixed = ops.stop_gradient(x)
        scale, zero_point = self.expanded_grid(fixed)
        value = self.dequantize(self.nearest_code(fixed, scale), scale, zero_point)
        return with_slope(value, x, ops.abs(fixed) <= FORMATS[self.format].largest)

    def get_config(self) -> dict:
        config = {**super().get_config(), "format": self.format, "scaled": self.scaled}
        config.pop("bits")
        return config
