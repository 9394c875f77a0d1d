"""The range of the values themselves."""

from __future__ import annotations

import keras

from keras_compress.quantizers._range_quantizer import RangeQuantizer


@keras.saving.register_keras_serializable(package="keras_compress")
class MinMaxQuantizer(RangeQuantizer):
    """Uniform grid from the smallest to the largest value, anew on every call.

    Use it for weights at 4 to 8 bits, and as the plain baseline below that. For activations the
    range is that of the batch at hand, in training and afterwards; take
    `MovingAverageQuantizer` where a file must hold the range. Not for tensors with outliers: one
    far value spends most of the levels on nothing. With `low = min(x, 0)`, `high = max(x, 0)`,

        s = (high - low) / (2**b - 1),    z = round(-low / s)
        q(x) = s * (limit(round(x / s) + z, 0, 2**b - 1) - z)

    and for `symmetric=True`

        s = max|x| / (2**(b-1) - 1),    q(x) = s * limit(round(x / s), -2**(b-1), 2**(b-1) - 1)

    Zero is always a level. The gradient is one for values that have a level and zero for those
    that are cut off, which rounding of `z` can do to one end of the range.

    Args:
        bits: Integer, bit width of the codes, 1 to 8, symmetric 2 to 8. Defaults to `8`.
        axis: Integer or tuple of integers, the dimensions that keep a range of their own; `None`
            for one range per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means what is
            usual there: the output channels of a weight, one range for an activation.
        symmetric: Boolean, whether the grid is symmetric around zero. Defaults to `False`.
        group_size: Integer >= 1, for weights: that many consecutive inputs of a channel share a
            range, the last group may be shorter; `None` for no groups. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values on the grid.

    Raises:
        TypeError: If `bits`, `axis` or `group_size` is not made of integers or `symmetric` is no
            boolean.
        ValueError: If `bits` is outside its range or `group_size` below 1; when built, if `axis`
            does not fit the shape.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    kernel = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    rounded = kc.quantizers.MinMaxQuantizer(bits=4, group_size=8)(kernel)
    ```

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877, section 3.

    Deviations:
        The bounds of the range move by less than a step when the zero point is rounded; the paper
        moves both, here the scale stays and the zero point is rounded. A channel of zeros has
        scale 1e-8.

    Cost:
        No variables; two reductions and some elementwise operations on each value per call.
    """

    def compute_range(self, x):
        return self.granularity.min(x), self.granularity.max(x)
