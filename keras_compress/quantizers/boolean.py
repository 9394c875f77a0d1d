"""Plain signs."""

from __future__ import annotations

import keras
from keras import ops

from keras_compress.quantizers._sign_quantizer import SignQuantizer


@keras.saving.register_keras_serializable(package="keras_compress")
class BooleanQuantizer(SignQuantizer):
    """One bit: +1 or -1.

    Use it for networks of signs: activations that are binary, weights whose size a following
    normalization takes up. For weights in other networks take `BinaryQuantizer`, whose values have
    the right size.

        q(x) = 1 for x >= 0, -1 for x < 0

    The gradient is one for `|x| <= limit` and zero beyond.

    Args:
        limit: Float > 0, magnitude beyond which a value gets no gradient, or `None` for none.
            Defaults to `1.0`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype of 1 and -1.

    Raises:
        TypeError: If `limit` is no number.
        ValueError: If `limit` is not positive.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    rounded = kc.quantizers.BooleanQuantizer()(np.array([0.5, -2.0, 0.0], "float32"))
    assert np.array_equal(rounded, [1.0, -1.0, 1.0])
    ```

    Reference:
        Hubara et al., "Binarized Neural Networks", NeurIPS 2016, arXiv 1602.02830, equations 1
        and 4.

    Cost:
        No variables; some elementwise operations on each value per call.
    """

    supports_groups = False
    scale_follows_values = False

    def __init__(self, limit: float | None = 1.0, **kwargs):
        # Wrappers set the axis of every quantizer; without a scale it has no effect.
        kwargs["axis"] = None
        super().__init__(limit=limit, **kwargs)

    def compute_scale(self, x):
        return ops.cast(2.0, x.dtype)

    def get_config(self) -> dict:
        config = super().get_config()
        config.pop("axis")
        return config
