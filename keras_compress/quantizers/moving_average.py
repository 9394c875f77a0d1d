"""A running average of the range of batches."""

from __future__ import annotations

import keras
from keras import ops

from keras_compress.quantizers._fixed_range_quantizer import FixedRangeQuantizer
from keras_reweight.core.validation import check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class MovingAverageQuantizer(FixedRangeQuantizer):
    """Uniform grid over a running average of the ranges seen in training.

    Use it for activations, above all at 8 bits: the range that stays after training is a constant
    a file or an integer runtime can hold. With the momentum `m`, every call in training does

        low  <- m * low  + (1 - m) * min(x),    high <- m * high + (1 - m) * max(x)

    and then rounds as `MinMaxQuantizer` does between the new bounds. Inference leaves the bounds
    alone. The first batch sets them unless calibration did. Values outside of the bounds are cut
    off and get no gradient. Not for 2 or 3 bits, where learned bounds (`LSQQuantizer`,
    `LSQPlusQuantizer`) lose less.

    Args:
        bits: Integer, bit width of the codes, 1 to 8, symmetric 2 to 8. Defaults to `8`.
        axis: Integer or tuple of integers, the dimensions that keep a range of their own; `None`
            for one range per tensor. Defaults to `-1`. Inside `QuantizeAware`, `-1` means what is
            usual there: the output channels of a weight, one range for an activation.
        symmetric: Boolean, whether the grid is symmetric around zero. Defaults to `False`.
        momentum: Float in [0, 1), the weight of the past. Defaults to `0.99`.
        group_size: Integer >= 1, for weights: that many consecutive inputs of a channel share a
            range, the last group may be shorter; `None` for no groups. Defaults to `None`.
        **kwargs: Arguments of `keras.layers.Layer`: `name`, `trainable`.

    Returns:
        Called with a float tensor: a tensor of the same shape and dtype, its values on the grid.

    Raises:
        TypeError: If `bits`, `axis` or `group_size` is not made of integers, `momentum` is no
            number or `symmetric` no boolean.
        ValueError: If `bits` or `momentum` is outside its range or `group_size` below 1; when
            built, if `axis` does not fit the shape.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    batches = np.random.default_rng(0).normal(size=(3, 8, 4)).astype("float32")
    quantizer = kc.quantizers.MovingAverageQuantizer(bits=8, axis=None)
    for batch in batches:
        rounded = quantizer(batch, training=True)
    ```

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877, section 3.1.

    Deviations:
        The first batch sets the bounds instead of being averaged with an arbitrary start. As in
        `MinMaxQuantizer`, the zero point is rounded and the scale is not.

    Cost:
        Two float32 values for each range and a flag; two reductions and some elementwise
        operations on each value per call.
    """

    def __init__(
        self,
        bits: int = 8,
        *,
        axis: int | tuple[int, ...] | None = -1,
        symmetric: bool = False,
        momentum: float = 0.99,
        group_size: int | None = None,
        **kwargs,
    ):
        check_number("momentum", momentum, minimum=0.0, exclusive_maximum=1.0)
        super().__init__(bits, axis=axis, symmetric=symmetric, group_size=group_size, **kwargs)
        self.momentum = momentum

    def build(self, input_shape):
        from_values = self._source is not None
        super().build(input_shape)
        self.seen = self.add_weight(
            name="seen",
            shape=(),
            initializer="ones" if from_values else "zeros",
            dtype="float32",
            trainable=False,
            autocast=False,
        )

    def call(self, inputs, training=None):
        if training:
            self._update(ops.stop_gradient(ops.cast(inputs, "float32")))
        return super().call(inputs)

    def observed_range(self, x):
        return self.granularity.min(x), self.granularity.max(x)

    def set_statistic(self, value) -> None:
        super().set_statistic(value)
        self.seen.assign(1.0)

    def _update(self, x):
        known = ops.convert_to_tensor(self.seen) > 0.0
        bounds = (self.low, self.granularity.min(x)), (self.high, self.granularity.max(x))
        for variable, observed in bounds:
            past = ops.convert_to_tensor(variable)
            averaged = self.momentum * past + (1.0 - self.momentum) * observed
            variable.assign(ops.where(known, averaged, observed))
        self.seen.assign(1.0)

    def get_config(self) -> dict:
        return {**super().get_config(), "momentum": self.momentum}
