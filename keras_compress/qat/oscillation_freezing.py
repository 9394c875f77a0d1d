"""Weights that jump between two codes too often stay at one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.qat._oscillations import new_oscillations, observe_codes
from keras_compress.qat._quantized_training import QuantizedTraining, share
from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
    value_at,
)
from keras_reweight.core.validation import check_number

# In codes: so far may a frozen weight be from its level.
_CLOSE = 0.25


@keras.saving.register_keras_serializable(package="keras_compress")
class OscillationFreezing(QuantizedTraining):
    """Freeze the code of every weight that oscillates too often.

    Iterative weight freezing: the frequency `f` of oscillations is averaged as by
    `OscillationMonitor`, and so is the code of each weight, `c <- c + momentum * (code - c)`. Once
    `f` exceeds `threshold`, the weight takes the code `round(c)`, in which it has spent most of its
    time, and keeps it to the end of the training under any optimizer. The rest of the model goes on
    learning around it. Use it in the last part of a quantization-aware training at 2 to 4 bits,
    above all with batch normalization and depthwise convolutions; not together with a large
    learning rate, or weights freeze before they have found their place.

    A threshold below `momentum` freezes a weight at its first oscillation; two to three times
    `momentum` and more is usual. The authors lower it from 0.1 to 0.01 along a cosine; pass
    `keras.optimizers.schedules.CosineDecay(0.1, steps, alpha=0.1)` for that. Each epoch's logs get
    `frozen_weights` (share).

    Args:
        threshold: Float > 0, callable of the step, or `Schedule`: frequency above which a weight
            freezes. Defaults to `0.02`.
        momentum: Float in `(0, 1]`, weight of the newest step in both averages. Defaults to `0.01`.
        layers: Names, paths, `re.Pattern`, layers, predicates or a list of these, of
            quantization-aware layers; `None` for all. Defaults to `None`.
        name: String, unique among the callbacks of one `fit`. Defaults to
            `"oscillation_freezing"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `frozen` is a dict from the path of a matrix to a
        bool array.

    Raises:
        TypeError: If `momentum` is not a number, or `threshold` neither a number nor callable.
        ValueError: If an argument is outside its range; in `fit`, before anything changes, if the
            model is not compiled or has no such quantized weights.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    quantized = kc.quantize_aware(model, weights=2)
    quantized.compile(keras.optimizers.SGD(0.1), "mse")
    freezing = kc.callbacks.OscillationFreezing(0.03)
    quantized.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[freezing])
    assert all(mask.dtype == bool for mask in freezing.frozen.values())
    ```

    Reference:
        Nagel et al., "Overcoming Oscillations in Quantization-Aware Training", ICML 2022,
        arXiv 2203.11086, algorithm 1; github.com/Qualcomm-AI-research/oscillations-qat.

    Deviations:
        The official code replaces codes in the forward pass; here the master weight is moved to the
        level of its code and held, so that plain saving and freezing of the model see it; it is
        put back when a moving scale has carried it a quarter of a code away. With `LSQQuantizer` a
        frozen weight pulls at its step like any weight at that place. The official code treats no
        matrices above 4 bits: choose with `layers`. With `use_ema` the moving averages follow the
        updates before they are undone.

    Cost:
        One quantization and twelve bytes a weight in every step.
    """

    def __init__(
        self,
        threshold: ScheduleLike = 0.02,
        *,
        momentum: float = 0.01,
        layers: Any = None,
        name: str | None = None,
    ):
        check_schedule_like("threshold", threshold, exclusive_minimum=0.0)
        check_number("momentum", momentum, exclusive_minimum=0.0, maximum=1.0)
        super().__init__(layers=layers, name=name)
        self.threshold = threshold
        self.momentum = momentum

    @property
    def frozen(self) -> dict[str, np.ndarray]:
        """Path of a matrix -> present or last known mask, true where frozen."""
        return self.remembered("frozen")

    def initial_state(self, target):
        state = new_oscillations(target)
        return {
            **state,
            "average": state["codes"].astype("float32"),
            "frozen": np.zeros(state["codes"].shape, "bool"),
        }

    def before_update(self, target, gradient, step):
        frozen = ops.copy(target.value("frozen"))
        gradient = ops.where(frozen, ops.zeros_like(gradient), gradient)
        return gradient, (target.copied(), frozen)

    def after_update(self, target, kept, step):
        before, frozen = kept
        held = ops.where(frozen, before, target.copied())
        codes = target.codes(held)
        observe_codes(target, codes, self.momentum)
        average = ops.copy(target.value("average"))
        goal = ops.cast(ops.round(average), "int32")
        moved = average + self.momentum * (ops.cast(codes, "float32") - average)
        target.state["average"].assign(ops.where(frozen, average, moved))
        threshold = ops.cast(value_at(self.threshold, step), "float32")
        frozen = ops.logical_or(frozen, target.value("frequency") > threshold)
        target.state["frozen"].assign(frozen)
        target.variable.assign(_drawn_back(target.quantizer, held, frozen, goal))

    def measures(self):
        return {"frozen_weights": share(self.frozen.values())}

    def get_config(self):
        return {
            "threshold": serialize_schedule(self.threshold),
            "momentum": self.momentum,
            **super().get_config(),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "threshold": deserialize_schedule(config["threshold"])})


def _drawn_back(quantizer, values, frozen, goal):
    """`values` with frozen weights on the level of their code, unless they are close to it.

    A scale may carry a weight that does not move away from its level. It is not put back each
    time: under a scale from statistics that would change the scale, and that the weight, and so on.
    """
    _, scale, zero_point = quantizer.codes(values)
    level = quantizer.dequantize(goal, scale, zero_point)
    neighbor = ops.where(goal < quantizer.code_range[1], goal + 1, goal - 1)
    step = ops.abs(quantizer.dequantize(neighbor, scale, zero_point) - level)
    far = ops.abs(ops.cast(values, level.dtype) - level) > _CLOSE * step
    return ops.where(ops.logical_and(frozen, far), ops.cast(level, values.dtype), values)
