"""Two levels, one below and one above zero."""

from __future__ import annotations

from keras import ops

from keras_compress.quantizers.quantizer import Quantizer
from keras_compress.quantizers.straight_through import straight_through, with_slope
from keras_reweight.core.validation import check_number


class SignQuantizer(Quantizer):
    """Base of quantizers of one bit; subclasses define the distance of the levels as the scale."""

    supports_activations = True
    smallest_bits = 1

    def __init__(
        self,
        *,
        axis: int | tuple[int, ...] | None = -1,
        limit: float | None = 1.0,
        group_size: int | None = None,
        **kwargs,
    ):
        if limit is not None:
            check_number("limit", limit, exclusive_minimum=0.0)
        super().__init__(1, axis=axis, group_size=group_size, **kwargs)
        self.limit = limit

    @property
    def zero_point(self) -> float:
        return -0.5

    def nearest_code(self, x, scale):
        return ops.where(x >= 0.0, ops.zeros_like(x), -ops.ones_like(x))

    def fake_quantize(self, x):
        fixed = ops.stop_gradient(x)
        scale, zero_point = self.expanded_grid(fixed)
        value = self.dequantize(self.nearest_code(fixed, scale), scale, zero_point)
        if self.limit is None:
            return straight_through(value, x)
        return with_slope(value, x, ops.abs(fixed) <= self.limit)

    def get_config(self) -> dict:
        config = {**super().get_config(), "limit": self.limit}
        config.pop("bits")
        return config
