"""Three levels: zero and two of the same size."""

from __future__ import annotations

import keras
from keras import ops

from keras_compress.quantizers.quantizer import SMALLEST_SCALE, Quantizer
from keras_reweight.core.validation import check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class TernaryQuantizer(Quantizer):
    """Weights of minus one, zero or one, times a factor for each channel.

    Use it for weights at 2 bits that are to be sparse as well: about half of normally distributed
    weights become zero, and weights that pruning holds at zero stay there. With the threshold `t`,
    for each channel,

        d = t * mean|w|
        a = mean of |w| over the weights with |w| > d
        q(w) = a * sign(w) for |w| > d, 0 otherwise

    where `a` is the factor of least squared error for that choice of zeros. The gradient is one for
    every weight, `d` and `a` have none.

    Args:
        threshold: Float >= 0, in units of the mean magnitude; magnitudes up to it become zero.
            Defaults to `0.7`.
        axis: Integer or tuple of integers, the dimensions that keep a factor of their own; `None`
            for one factor per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means the
            output channels of the layer.
        group_size: Integer >= 1, that many consecutive inputs of a channel share a factor, the
            last group may be shorter; `None` for no groups. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, three values a channel.

    Raises:
        TypeError: If `axis` or `group_size` is not made of integers or `threshold` is no number.
        ValueError: If `threshold` is negative or `group_size` below 1; when built, if `axis` does
            not fit the shape.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    kernel = np.array([[0.1], [-2.0], [1.0], [0.9]], "float32")
    rounded = kc.quantizers.TernaryQuantizer()(kernel)
    assert np.allclose(rounded, [[0.0], [-1.3], [1.3], [1.3]])
    ```

    Reference:
        Li et al., "Ternary Weight Networks", arXiv 1605.04711, equations 5 and 6.

    Deviations:
        One factor per channel by default, the paper has one per layer. A channel without a weight
        above the threshold has factor 1e-8.

    Cost:
        No variables; three reductions and some elementwise operations on each weight per call.
        Codes take 2 bits each in a file.
    """

    def __init__(
        self,
        threshold: float = 0.7,
        *,
        axis: int | tuple[int, ...] | None = -1,
        group_size: int | None = None,
        **kwargs,
    ):
        check_number("threshold", threshold, minimum=0.0)
        super().__init__(2, axis=axis, group_size=group_size, **kwargs)
        self.threshold = threshold

    @property
    def code_range(self) -> tuple[int, int]:
        return -1, 1

    def compute_scale(self, x):
        large = ops.cast(self._is_large(x), x.dtype)
        count = ops.maximum(self.granularity.sum(large), 1.0)
        total = self.granularity.sum(ops.where(large > 0.0, ops.abs(x), 0.0))
        return ops.maximum(total / count, SMALLEST_SCALE)

    def nearest_code(self, x, scale):
        return ops.where(self._is_large(x), ops.sign(x), 0.0)

    def _is_large(self, x):
        magnitude = ops.abs(x)
        bound = self.granularity.expand(self.threshold * self.granularity.mean(magnitude))
        return magnitude > bound

    def get_config(self) -> dict:
        config = {**super().get_config(), "threshold": self.threshold}
        config.pop("bits")
        return config
