"""Quantization with a scale from weight statistics."""

from __future__ import annotations

import keras
from keras import ops

from keras_compress.quantizers.limits import limited
from keras_compress.quantizers.quantizer import SMALLEST_SCALE, Quantizer
from keras_reweight.core.rounding.backend import rounding


@keras.saving.register_keras_serializable(package="keras_compress")
class StatsQuantizer(Quantizer):
    """Weight grid whose scale follows the mean absolute weight, with no level at zero.

    Use it for weights at 2 to 4 bits when learned steps make weights jump between two levels. With
    `n = 2**(bits - 1)`, for each channel,

        s = 2 * mean(|w|)
        r = round(limit(n w / s - 1/2, -n, n - 1))
        q(w) = s * (r + 1/2) / n

    so the levels are `±1/(2n), ±3/(2n), ..., ±(2n - 1)/(2n)` times `s`. The gradient is one for
    every weight, clipped ones included, and the scale has no gradient.

    There is no zero level: a weight that pruning holds at zero comes out as `s / (2n)`. Use
    `LSQQuantizer` for pruned models.

    Args:
        bits: Integer, bit width of the codes, 1 to 8. Defaults to `4`.
        axis: Integer or tuple of integers, the dimensions that keep a scale of their own; `None`
            for one scale per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means the
            output channels of the layer.
        group_size: Integer >= 1, for weights: that many consecutive inputs of a channel share a
            scale, the last group may be shorter; `None` for no groups. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values on the grid.

    Raises:
        TypeError: If `bits`, `axis` or `group_size` is not made of integers.
        ValueError: If `bits` is outside 1 to 8 or `group_size` below 1; when built, if `axis` does
            not fit the shape.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    kernel = np.array([[0.1], [-0.2], [0.9], [-1.5], [0.4]], "float32")
    rounded = kc.quantizers.StatsQuantizer(bits=2)(kernel)
    ```

    Reference:
        Liu et al., "Oscillation-free Quantization for Low-bit Vision Transformers", ICML 2023,
        arXiv 2302.02210 (StatsQ); official code github nbasyl/OFQ.

    Deviations:
        Codes are limited to the grid after the shift by one half; the official code limits `w / s`
        to [-1, 1 - 1e-6] before it, which is the same but at one bit, where it leaves the grid. A
        channel of zeros has scale 1e-8 instead of a division by zero. For kernels of rank above
        two the mean runs over all dimensions without a scale at once.

    Cost:
        No variables; one mean and some elementwise operations on each weight per step.
    """

    smallest_bits = 1

    @property
    def zero_point(self) -> float:
        return -0.5

    def compute_scale(self, x):
        scale = ops.maximum(2.0 * self.granularity.mean(ops.abs(x)), SMALLEST_SCALE)
        return ops.stop_gradient(scale / 2 ** (self.bits - 1))

    def nearest_code(self, x, scale):
        # `x / scale` is `n w / s`; the division by a power of two is exact.
        return ops.round(limited(x / scale + self.zero_point, *self.code_range))

    def fake_quantize(self, x):
        scale, zero_point = self.expanded_grid(ops.stop_gradient(x))
        return rounding().nearest(x, scale, zero_point, *self.code_range)
