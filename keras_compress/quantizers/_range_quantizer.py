"""Grids laid over a range of values."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_compress.quantizers.groups import array_module
from keras_compress.quantizers.quantizer import SMALLEST_SCALE, Quantizer
from keras_reweight.core.rounding.backend import rounding
from keras_reweight.core.validation import check_boolean

# Half-width of the range, in standard deviations, where there are no values to take it from.
TYPICAL_RANGE = 3.0


class RangeQuantizer(Quantizer):
    """Base of quantizers with evenly spaced levels between two bounds; zero is one of them.

    Subclasses define `compute_range`. The gradient is one for values whose nearest level exists
    and zero for those that are cut off; the range has none.
    """

    supports_activations = True
    smallest_bits = 1

    def __init__(
        self,
        bits: int = 8,
        *,
        axis: int | tuple[int, ...] | None = -1,
        symmetric: bool = False,
        group_size: int | None = None,
        **kwargs,
    ):
        check_boolean("symmetric", symmetric)
        super().__init__(bits, axis=axis, group_size=group_size, **kwargs)
        if symmetric and bits == 1:
            raise ValueError(
                "`bits` must be >= 2 for a symmetric grid, got 1. Use BinaryQuantizer, or "
                "`symmetric=False`."
            )
        self.symmetric = symmetric

    @property
    def code_range(self) -> tuple[int, int]:
        if self.symmetric:
            return super().code_range
        return 0, 2**self.bits - 1

    @property
    def num_steps(self) -> int:
        """Steps between the bounds, of a symmetric grid between zero and the larger one."""
        return 2 ** (self.bits - 1) - 1 if self.symmetric else 2**self.bits - 1

    def compute_range(self, x) -> tuple[Any, Any]:
        """Smallest and largest value of the grid, of shape `granularity.scale_shape`."""
        raise NotImplementedError(f"{type(self).__name__} must define compute_range(x).")

    def compute_scale(self, x):
        return self.compute_grid(x)[0]

    def compute_grid(self, x):
        low, high = (ops.cast(bound, x.dtype) for bound in self.compute_range(x))
        return self.grid_of_range(ops.minimum(low, 0.0), ops.maximum(high, 0.0))

    def grid_of_range(self, low, high):
        """Scale and zero point of a grid from `low` <= 0 to `high` >= 0."""
        module = array_module(low)
        # Compilers turn a division by a constant into this product; the codes must not depend on
        # whether one is at work.
        step = 1.0 / self.num_steps
        if self.symmetric:
            bound = module.maximum(-low, high)
            return module.maximum(bound * step, SMALLEST_SCALE), self.zero_point
        scale = module.maximum((high - low) * step, SMALLEST_SCALE)
        return scale, module.clip(module.round(-low / scale), 0, self.num_steps)

    def nearest_code(self, x, scale):
        return self.encode(x, scale, self.expanded_grid(x)[1])

    def encode(self, x, scale, zero_point):
        return ops.clip(ops.round(x / scale) + zero_point, *self.code_range)

    def fake_quantize(self, x):
        scale, zero_point = self.expanded_grid(ops.stop_gradient(x))
        return rounding().nearest_inside(x, scale, zero_point, *self.code_range)

    def get_config(self) -> dict:
        return {**super().get_config(), "symmetric": self.symmetric}
