"""Uniform levels after a power."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.quantizers._table_quantizer import TableQuantizer
from keras_compress.quantizers.quantizer import SMALLEST_SCALE, on_host
from keras_compress.quantizers.straight_through import scale_gradient, straight_through
from keras_reweight.core.validation import check_choice, check_number

_SMALLEST, _LARGEST = 0.1, 2.0
# Exponents that are tried, those near one first: it wins where others are no better.
_CANDIDATES = sorted(np.arange(8, 49) / 40.0, key=lambda exponent: abs(exponent - 1.0))


@keras.saving.register_keras_serializable(package="keras_compress")
class PowerQuantizer(TableQuantizer):
    """Symmetric grid whose levels are evenly spaced after the power `sign(w) |w|**a`.

    Use it for weights at 3 to 8 bits whose distribution has long tails: with `a < 1` the levels are
    dense near zero and far apart at the ends. At 2 bits (levels -1, 0, 1) the exponent has next to
    no effect. With `p = 2**(b-1) - 1`, `s = max|w| / p` for each channel,

        r = round(p * (|w| / (s p))**a)
        q(w) = sign(w) * s * p * (r / p)**(1/a)

    so `a = 1` is the symmetric grid of `MinMaxQuantizer`. The exponent is one number for the
    tensor: given, searched for the least squared error when the quantizer is initialized, or
    learned from there. The gradient with respect to `w` is one; that of `a` takes rounding as
    identity,

        dq/da = q(w) / a * ((u**a / y) ln(u) - ln(y) / a),    u = |w| / (s p),  y = r / p

    (zero for `r = 0`), times `1 / sqrt(n p)` for `n` weights.

    Args:
        bits: Integer, bit width of the codes, 2 to 8. Defaults to `4`.
        axis: Integer or tuple of integers, the dimensions that keep a scale of their own; `None`
            for one scale per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means the
            output channels of the layer.
        exponent: Float from 0.1 to 2, `"search"` (0.2 to 1.2 in steps of 0.025) or `"learn"`.
            Defaults to `"search"`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values on the grid.

    Raises:
        TypeError: If `bits` or `axis` is not made of integers or `exponent` is no number or string.
        ValueError: If `bits` or `exponent` is outside its range; when built, if `axis` does not fit
            the shape.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    kernel = np.random.default_rng(0).standard_t(3, size=(64, 4)).astype("float32")

    def error(quantizer):
        quantizer.initialize_from(kernel)
        return np.mean((quantizer.stored(kernel).values() - kernel) ** 2)

    uniform = kc.quantizers.PowerQuantizer(bits=4, exponent=1.0)
    assert error(kc.quantizers.PowerQuantizer(bits=4)) < error(uniform)
    ```

    Reference:
        Yvinec et al., "PowerQuant: Automorphism Search for Non-Uniform Quantization", ICLR 2023,
        arXiv 2301.09858; Yvinec et al., "NUPES: Non-Uniform Post-Training Quantization via Power
        Exponent Search", TPAMI 2025, arXiv 2308.05600.

    Deviations:
        PowerQuant searches one exponent for the whole network with Nelder-Mead, here each tensor
        has its own from a grid. NUPES learns the codes on layer outputs with a soft assignment;
        `"learn"` is a straight-through variant of ours for training. Products in the power domain
        are not offered.

    Cost:
        One float32 number unless the exponent is given; 41 roundings of the tensor for the search,
        one power for each weight per call.
    """

    smallest_bits = 2

    def __init__(
        self,
        bits: int = 4,
        *,
        axis: int | tuple[int, ...] | None = -1,
        exponent: float | str = "search",
        **kwargs,
    ):
        if isinstance(exponent, str):
            check_choice("exponent", exponent, ["search", "learn"])
        else:
            check_number("exponent", exponent, minimum=_SMALLEST, maximum=_LARGEST)
        super().__init__(bits, axis=axis, **kwargs)
        self.exponent = exponent

    @property
    def num_levels(self) -> int:
        return 2**self.bits - 1

    @property
    def code_range(self) -> tuple[int, int]:
        return -self.num_steps, self.num_steps

    @property
    def num_steps(self) -> int:
        """Levels above zero."""
        return 2 ** (self.bits - 1) - 1

    def build(self, input_shape):
        super().build(input_shape)
        source = self._source

        def initial(shape, dtype=None):
            if source is None:
                return ops.ones(shape, dtype)
            return ops.convert_to_tensor(self.statistic(source().value), dtype)

        self.power = None
        if isinstance(self.exponent, str):
            self.power = self.add_weight(
                name="exponent",
                shape=(),
                initializer=initial,
                dtype="float32",
                trainable=self.exponent == "learn",
                autocast=False,
            )

    def level_table(self, dtype):
        if self.power is None:
            # On the host, where a power of one is exact.
            steps = np.arange(self.num_steps + 1)
            positive = _levels(steps, float(self.exponent), self.num_steps, np)
            table = np.concatenate([-positive[:0:-1], positive])
            return ops.convert_to_tensor(table, dtype)
        steps = ops.convert_to_tensor(np.arange(self.num_steps + 1), dtype)
        positive = _levels(steps, self._current(dtype), self.num_steps, ops)
        return ops.concatenate([-ops.flip(positive[1:]), positive])

    def compute_scale(self, x):
        # A product as in `MinMaxQuantizer`, so that an exponent of one gives the same grid.
        return ops.maximum(
            self.granularity.max(ops.abs(x)) * (1.0 / self.num_steps), SMALLEST_SCALE
        )

    def nearest_code(self, x, scale):
        share = ops.clip(ops.abs(x) / (scale * self.num_steps), 0.0, 1.0)
        power = ops.power(share, self._current(x.dtype))
        return ops.sign(x) * ops.round(power * self.num_steps)

    def dequantize(self, codes, scale, zero_point: Any = None):
        entries = ops.cast(codes, "int32") + self.num_steps
        return ops.take(self.level_table(scale.dtype), entries) * scale

    def fake_quantize(self, x):
        scale, _ = self.expanded_grid(x)
        fixed = ops.stop_gradient(x)
        codes = ops.stop_gradient(self.nearest_code(fixed, scale))
        value = ops.stop_gradient(self.dequantize(codes, scale))
        if self.exponent != "learn":
            return straight_through(value, x)
        exponent = ops.stop_gradient(self._current(x.dtype))
        share = ops.abs(codes) / self.num_steps
        share = ops.where(share > 0.0, share, 1.0)
        size = ops.clip(ops.abs(fixed) / (scale * self.num_steps), 1e-6, 1.0)
        slope = ops.power(size, exponent) / share * ops.log(size) - ops.log(share) / exponent
        slope = value * slope / exponent
        factor = 1.0 / math.sqrt(math.prod(x.shape) * self.num_steps)
        learned = scale_gradient(ops.cast(ops.convert_to_tensor(self.power), x.dtype), factor)
        return straight_through(value, x + slope * learned)

    def statistic(self, x):
        magnitude = np.abs(on_host(x))
        scale = np.maximum(self.granularity.max(magnitude) / self.num_steps, SMALLEST_SCALE)
        shares = magnitude / (scale * self.num_steps)
        errors = []
        for exponent in _CANDIDATES if self.power is not None else ():
            codes = np.rint(shares**exponent * self.num_steps)
            rounded = _levels(codes, exponent, self.num_steps, np) * scale
            errors.append(np.sum(np.square(rounded - magnitude)))
        return np.float32(_CANDIDATES[int(np.argmin(errors))] if errors else 1.0)

    def set_statistic(self, value) -> None:
        if self.power is not None:
            self.power.assign(ops.cast(value, "float32"))

    def _current(self, dtype):
        """The exponent as a tensor."""
        if self.power is None:
            return ops.cast(float(self.exponent), dtype)
        return ops.clip(ops.cast(ops.convert_to_tensor(self.power), dtype), _SMALLEST, _LARGEST)

    def get_config(self) -> dict:
        return {**super().get_config(), "exponent": self.exponent}


def _levels(steps, exponent, num_steps, backend):
    """`num_steps * (steps / num_steps)**(1 / exponent)`, exact for an exponent of one."""
    inverse = 1.0 / exponent
    rest = backend.power(float(num_steps) + 0.0 * inverse, 1.0 - inverse)
    return backend.power(1.0 * steps, inverse) * rest
