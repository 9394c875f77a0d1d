"""Signs times a mean magnitude."""

from __future__ import annotations

import keras
from keras import ops

from keras_compress.quantizers._sign_quantizer import SignQuantizer
from keras_compress.quantizers.quantizer import SMALLEST_SCALE


@keras.saving.register_keras_serializable(package="keras_compress")
class BinaryQuantizer(SignQuantizer):
    """One bit: the sign of each value, times the mean magnitude of its channel.

    Use it for weights of one bit; the mean magnitude is the factor of least squared error. For
    activations the mean is that of the batch at hand; `BooleanQuantizer` gives plain signs. Not for
    pruned models: there is no zero, and zero counts as positive. With `a = mean|x|`,

        q(x) = a for x >= 0, -a for x < 0

    The gradient with respect to `x` is one for `|x| <= limit` and zero beyond, the factor has none.

    Args:
        axis: Integer or tuple of integers, the dimensions that keep a mean of their own; `None`
            for one mean per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means what is
            usual there: the output channels of a weight, one mean for an activation.
        limit: Float > 0, magnitude beyond which a value gets no gradient, or `None` for none.
            Defaults to `1.0`.
        group_size: Integer >= 1, for weights: that many consecutive inputs of a channel share a
            mean, the last group may be shorter; `None` for no groups. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype with two values a channel.

    Raises:
        TypeError: If `axis` or `group_size` is not made of integers or `limit` is no number.
        ValueError: If `limit` is not positive or `group_size` below 1; when built, if `axis` does
            not fit the shape.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    kernel = np.array([[0.5, -2.0], [-1.5, 4.0]], "float32")
    rounded = kc.quantizers.BinaryQuantizer()(kernel)
    assert np.array_equal(rounded, [[1.0, -3.0], [-1.0, 3.0]])
    ```

    Reference:
        Rastegari et al., "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural
        Networks", ECCV 2016, arXiv 1603.05279, section 3.1.

    Deviations:
        The factor has no gradient; the paper adds a small term for it.

    Cost:
        No variables; one mean and some elementwise operations on each value per call.
    """

    def compute_scale(self, x):
        # The two codes are half a step to the left and right of zero.
        return 2.0 * ops.maximum(self.granularity.mean(ops.abs(x)), SMALLEST_SCALE)
