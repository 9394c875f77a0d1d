"""A range that leaves out the farthest values."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.quantizers._fixed_range_quantizer import FixedRangeQuantizer
from keras_reweight.core.validation import check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class PercentileQuantizer(FixedRangeQuantizer):
    """Uniform grid over the range that holds a given share of the values.

    Use it for activations with a few very large values, and for weights at 4 bits and more: what
    is cut off costs less than the finer steps gain. Not below 4 bits, where the best share is
    much smaller and `MSEQuantizer` finds it. With the percentile `p`,

        low = quantile(x, 1 - p / 100),    high = quantile(x, p / 100)

    (linear between neighbors), for `symmetric=True` `high = -low = quantile(|x|, p / 100)`; then
    the grid of `MinMaxQuantizer`. The range is chosen once, for weights from their first values,
    for activations as the average over the calibration batches, and kept. Values outside are cut
    off and get no gradient.

    Args:
        bits: Integer, bit width of the codes, 1 to 8, symmetric 2 to 8. Defaults to `8`.
        axis: Integer or tuple of integers, the dimensions that keep a range of their own; `None`
            for one range per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means what is
            usual there: the output channels of a weight, one range for an activation.
        symmetric: Boolean, whether the grid is symmetric around zero. Defaults to `False`.
        percentile: Float above 50, at most 100, the percentile of the upper bound; 100 is the
            range of `MinMaxQuantizer`. Defaults to `99.9`.
        group_size: Integer >= 1, for weights: that many consecutive inputs of a channel share a
            range, the last group may be shorter; `None` for no groups. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values on the grid.

    Raises:
        TypeError: If `bits`, `axis` or `group_size` is not made of integers, `percentile` is no
            number or `symmetric` no boolean.
        ValueError: If `bits` or `percentile` is outside its range or `group_size` below 1; when
            built, if `axis` does not fit the shape.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    values = np.random.default_rng(0).standard_t(2, size=(1000,)).astype("float32")
    quantizer = kc.quantizers.PercentileQuantizer(bits=4, axis=None, percentile=99.0)
    quantizer.initialize_from(values)
    rounded = quantizer(values)
    ```

    Reference:
        Li et al., "Fully Quantized Network for Object Detection", CVPR 2019, section 3.2
        (percentiles of activations); Wu et al., "Integer Quantization for Deep Learning
        Inference", arXiv 2004.09602, section 3.3.

    Deviations:
        Calibration averages the percentiles of its batches instead of keeping a histogram of all
        values.

    Cost:
        Two float32 values for each range; a sort of the values when the range is chosen, some
        elementwise operations on each value per call.
    """

    def __init__(
        self,
        bits: int = 8,
        *,
        axis: int | tuple[int, ...] | None = -1,
        symmetric: bool = False,
        percentile: float = 99.9,
        group_size: int | None = None,
        **kwargs,
    ):
        check_number("percentile", percentile, exclusive_minimum=50.0, maximum=100.0)
        super().__init__(bits, axis=axis, symmetric=symmetric, group_size=group_size, **kwargs)
        self.percentile = percentile

    def observed_range(self, x):
        share = self.percentile / 100.0
        if self.symmetric:
            bound = self._quantile(np.abs(x), share)
            return -bound, bound
        return self._quantile(x, 1.0 - share), self._quantile(x, share)

    def _quantile(self, x, share):
        def quantile(values, axis, keepdims):
            return np.quantile(values, share, axis=axis, keepdims=keepdims)

        return self.granularity.reduce(quantile, x)

    def get_config(self) -> dict:
        return {**super().get_config(), "percentile": self.percentile}
