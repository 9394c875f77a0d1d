"""Grids over a range that is chosen once and kept."""

from __future__ import annotations

import functools

import numpy as np
from keras import ops

from keras_compress.quantizers._range_quantizer import TYPICAL_RANGE, RangeQuantizer
from keras_compress.quantizers.quantizer import on_host


class FixedRangeQuantizer(RangeQuantizer):
    """Base of quantizers that hold the bounds of their range in two variables.

    Subclasses define `observed_range`: the range that suits a tensor. Weights start from their own
    values, activations from calibration, which averages the ranges of its batches. Training does
    not change them.
    """

    scale_follows_values = False

    def observed_range(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and the largest value of a range that suits `x`, in float64."""
        raise NotImplementedError(f"{type(self).__name__} must define observed_range(x).")

    def build(self, input_shape):
        super().build(input_shape)
        source = self._source

        @functools.cache
        def bounds():
            return self.statistic(source().value)

        def initial(position):
            def initializer(shape, dtype=None):
                if source is None:
                    return ops.full(shape, (2 * position - 1) * TYPICAL_RANGE, dtype)
                return ops.convert_to_tensor(bounds()[position], dtype)

            return initializer

        self.low, self.high = (
            self.add_weight(
                name=name,
                shape=self.granularity.scale_shape,
                initializer=initial(position),
                dtype="float32",
                trainable=False,
                autocast=False,
            )
            for position, name in enumerate(("low", "high"))
        )

    def compute_range(self, x):
        return ops.convert_to_tensor(self.low), ops.convert_to_tensor(self.high)

    def statistic(self, x):
        return np.stack(self.observed_range(on_host(x))).astype("float32")

    def set_statistic(self, value) -> None:
        value = ops.cast(value, "float32")
        self.low.assign(value[0])
        self.high.assign(value[1])
