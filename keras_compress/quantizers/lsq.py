"""Learned step size quantization."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

from keras_compress.quantizers.learned_scale import learned_scale, step_factor
from keras_compress.quantizers.limits import limited
from keras_compress.quantizers.quantizer import SMALLEST_SCALE, Quantizer
from keras_reweight.core.rounding.backend import rounding

# Mean of |x| for values of unit variance; the scale of a quantizer that has seen no data.
_TYPICAL_MAGNITUDE = math.sqrt(2.0 / math.pi)


@keras.saving.register_keras_serializable(package="keras_compress")
class LSQQuantizer(Quantizer):
    """Uniform grid whose step is trained together with the weights.

    Use it for weights and activations at 2 to 8 bits; the usual choice. With the step `s` and the
    code range `[Q_N, Q_P]` (`[-2**(b-1), 2**(b-1) - 1]`, unsigned `[0, 2**b - 1]`)

        v = x / s,    q(x) = s * round(limit(v, Q_N, Q_P))

    and the gradients, for `Q_N < v < Q_P`, of rounding as identity:

        dq/dx = 1 inside, 0 outside
        dq/ds = round(v) - v inside, Q_N or Q_P outside, times 1 / sqrt(n * Q_P)

    where `n` counts the values that share a step (of an activation: per sample). Zero is a level,
    so weights that pruning holds at zero stay zero. Exclude the steps from decoupled weight decay:
    `optimizer.exclude_from_weight_decay(var_names=["scale"])`.

    Args:
        bits: Integer, bit width of the codes, 2 to 8, unsigned also 1. Defaults to `4`.
        axis: Integer or tuple of integers, the dimensions that keep a step of their own; `None`
            for one step per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means what is
            usual there: the output channels of a weight, one step for an activation.
        signed: Boolean, whether values below zero exist. Use `False` for activations after a
            ReLU. Defaults to `True`.
        group_size: Integer >= 1, for weights: that many consecutive inputs of a channel share a
            step, the last group may be shorter; `None` for no groups. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values on the grid.

    Raises:
        TypeError: If `bits`, `axis` or `group_size` is not made of integers or `signed` is no
            boolean.
        ValueError: If `bits` is outside its range or `group_size` below 1; when built, if `axis`
            does not fit the shape.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    kernel = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    quantizer = kc.quantizers.LSQQuantizer(bits=3)
    quantizer.initialize_from(kernel)
    rounded = quantizer(kernel)
    codes, scale, zero_point = quantizer.codes(kernel)
    ```

    Reference:
        Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153, section 2.

    Deviations:
        The paper uses one step per layer, here one per output channel is the default. Weights
        start from the mean of each channel instead of the layer's; an all-zero channel of `n`
        values from a mean of `1 / sqrt(n)`, as of a fresh kernel. Until `initialize_from` the step
        suits values of unit variance. The absolute value of the variable is the step, so an update
        across zero does no harm.

    Cost:
        One float32 scale per channel; some elementwise operations on each weight per step.
    """

    supports_activations = True
    smallest_bits = 1
    scale_follows_values = False

    def __init__(
        self,
        bits: int = 4,
        *,
        axis: int | tuple[int, ...] | None = -1,
        signed: bool = True,
        group_size: int | None = None,
        **kwargs,
    ):
        if not isinstance(signed, bool):
            raise TypeError(f"`signed` must be a boolean, got {signed!r}.")
        super().__init__(bits, axis=axis, group_size=group_size, **kwargs)
        if signed and bits == 1:
            raise ValueError(
                "`bits` must be >= 2 for signed values, got 1. Use BinaryQuantizer for weights of "
                "one bit."
            )
        self.signed = signed

    @property
    def code_range(self) -> tuple[int, int]:
        if self.signed:
            return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        return 0, 2**self.bits - 1

    def build(self, input_shape):
        super().build(input_shape)
        source = self._source

        def initial_scale(shape, dtype=None):
            if source is None:
                magnitude = ops.full(shape, _TYPICAL_MAGNITUDE, dtype="float32")
            else:
                magnitude = self.statistic(ops.cast(source().value, "float32"))
            return ops.cast(self._scale_for(magnitude), dtype)

        self.scale = self.add_weight(
            name="scale",
            shape=self.granularity.scale_shape,
            initializer=initial_scale,
            dtype="float32",
            autocast=False,
        )

    def compute_scale(self, x):
        return learned_scale(self.scale, x.dtype)

    def nearest_code(self, x, scale):
        return ops.round(limited(x / scale, *self.code_range))

    def fake_quantize(self, x):
        low, high = self.code_range
        factor = step_factor(self.granularity.values_per_scale, high)
        scale = self.granularity.expand(learned_scale(self.scale, x.dtype, factor))
        return rounding().learned_step(x, scale, 0.0, None, low, high)

    def statistic(self, x):
        return self.granularity.mean(ops.abs(x))

    def set_statistic(self, value) -> None:
        self.scale.assign(self._scale_for(ops.cast(value, "float32")))

    def _scale_for(self, magnitude):
        """Initial step for the mean absolute values of the channels."""
        typical = 1.0 / np.sqrt(self.granularity.values_per_scale).astype("float32")
        magnitude = ops.where(magnitude > 0.0, magnitude, typical)
        return ops.maximum(2.0 * magnitude / math.sqrt(self.code_range[1]), SMALLEST_SCALE)

    def get_config(self) -> dict:
        return {**super().get_config(), "signed": self.signed}
