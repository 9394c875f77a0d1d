"""Learned step size and offset."""

from __future__ import annotations

import functools

import keras
import numpy as np
from keras import ops

from keras_compress.quantizers._range_quantizer import TYPICAL_RANGE
from keras_compress.quantizers.learned_scale import learned_scale, step_factor
from keras_compress.quantizers.limits import limited
from keras_compress.quantizers.quantizer import SMALLEST_SCALE, Quantizer, on_host
from keras_compress.quantizers.straight_through import scale_gradient
from keras_reweight.core.rounding.backend import rounding

# Shares of the widest range that are tried for the start.
_SHARES = np.arange(24, 4, -1) / 25.0


@keras.saving.register_keras_serializable(package="keras_compress")
class LSQPlusQuantizer(Quantizer):
    """Uniform grid whose step and offset are trained together with the weights.

    Use it at 2 to 4 bits for activations that reach a little below zero (swish, GELU, hard swish):
    an unsigned grid loses what is negative, a signed one half of its levels. Not for pruned weights
    or padded inputs: zero is in general no level. With the step `s`, the offset `o` and
    `p = 2**b - 1`

        v = (x - o) / s,    q(x) = s * round(limit(v, 0, p)) + o

    and the gradients, for `0 < v < p`, of rounding as identity:

        dq/dx = 1 inside, 0 outside
        dq/ds = round(v) - v inside, 0 or p outside, times 1 / sqrt(n * p)
        dq/do = 0 inside, 1 outside, times 1 / sqrt(n * p)

    where `n` counts the values that share a step (of an activation: per sample). Step and offset
    start from a range of small squared error. Exclude both from decoupled weight decay:
    `optimizer.exclude_from_weight_decay(var_names=["scale", "offset"])`.

    Args:
        bits: Integer, bit width of the codes, 1 to 8. Defaults to `4`.
        axis: Integer or tuple of integers, the dimensions that keep a step of their own; `None`
            for one step per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means what is
            usual there: the output channels of a weight, one step for an activation.
        group_size: Integer >= 1, for weights: that many consecutive inputs of a channel share a
            step, the last group may be shorter; `None` for no groups. Defaults to `None`.
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
    import keras
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    activations = keras.ops.silu(x)
    quantizer = kc.quantizers.LSQPlusQuantizer(bits=3, axis=None)
    quantizer.initialize_from(activations)
    rounded = quantizer(activations)
    ```

    Reference:
        Bhalgat et al., "LSQ+: Improving low-bit quantization through learnable offsets and better
        initialization", CVPR 2020 workshops, arXiv 2004.09576, equations 1 to 6.

    Deviations:
        The start comes from a search over the two ends of the range, one after the other, for the
        least squared error, not from an optimizer. The paper uses no offset for weights; here it is
        up to the user. The absolute value of the variable is the step.

    Cost:
        Two float32 values for each step; some elementwise operations on each value per call.
    """

    supports_activations = True
    smallest_bits = 1
    scale_follows_values = False

    @property
    def code_range(self) -> tuple[int, int]:
        return 0, 2**self.bits - 1

    def build(self, input_shape):
        super().build(input_shape)
        source = self._source

        @functools.cache
        def bounds():
            if source is None:
                ends = np.array([-TYPICAL_RANGE, TYPICAL_RANGE])
                return np.multiply.outer(ends, np.ones(self.granularity.scale_shape))
            return self.statistic(source().value)

        def initial(position):
            def initializer(shape, dtype=None):
                return ops.convert_to_tensor(self._grid_for(bounds())[position], dtype)

            return initializer

        self.scale, self.offset = (
            self.add_weight(
                name=name,
                shape=self.granularity.scale_shape,
                initializer=initial(position),
                dtype="float32",
                autocast=False,
            )
            for position, name in enumerate(("scale", "offset"))
        )

    def compute_scale(self, x):
        return learned_scale(self.scale, x.dtype)

    def compute_grid(self, x):
        scale = self.compute_scale(x)
        return scale, -ops.cast(ops.convert_to_tensor(self.offset), x.dtype) / scale

    def nearest_code(self, x, scale):
        return self.encode(x, scale, self.expanded_grid(x)[1])

    def encode(self, x, scale, zero_point):
        return ops.round(limited(x / scale + zero_point, *self.code_range))

    def fake_quantize(self, x):
        low, high = self.code_range
        factor = step_factor(self.granularity.values_per_scale, high)
        scale = learned_scale(self.scale, x.dtype, factor)
        offset = ops.cast(ops.convert_to_tensor(self.offset), x.dtype)
        zero_point = -ops.stop_gradient(offset) / ops.stop_gradient(scale)
        offset = scale_gradient(offset, factor)
        scale, zero_point, offset = map(self.granularity.expand, (scale, zero_point, offset))
        return rounding().learned_step(x, scale, zero_point, offset, low, high)

    def statistic(self, x):
        x = on_host(x)
        low, high = self.granularity.min(x), self.granularity.max(x)
        least = self._error(x, low, high)
        widest = high - low
        for share in _SHARES:
            candidate = low + share * widest
            error = self._error(x, low, candidate)
            high = np.where(error < least, candidate, high)
            least = np.minimum(error, least)
        top, widest = high, high - low
        for share in _SHARES:
            candidate = top - share * widest
            error = self._error(x, candidate, top)
            low = np.where(error < least, candidate, low)
            least = np.minimum(error, least)
        return np.stack([low, high]).astype("float32")

    def set_statistic(self, value) -> None:
        scale, offset = self._grid_for(np.asarray(value))
        self.scale.assign(scale)
        self.offset.assign(offset)

    def _grid_for(self, bounds):
        """Step and offset of a grid between two bounds; of a fresh kernel if they are the same."""
        low, high = bounds.astype("float64")
        typical = 1.0 / np.sqrt(self.granularity.values_per_scale)
        wide = high > low
        scale = np.where(wide, high - low, 2.0 * typical) / self.code_range[1]
        return scale.astype("float32"), np.where(wide, low, low - typical).astype("float32")

    def _error(self, x, low, high):
        scale = np.maximum((high - low) / self.code_range[1], SMALLEST_SCALE)
        low, scale = self.granularity.expand(low), self.granularity.expand(scale)
        codes = np.rint(np.clip((x - low) / scale, *self.code_range))
        return self.granularity.sum(np.square(codes * scale + low - x))
