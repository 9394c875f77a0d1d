"""Weights are drawn to the level they are rounded to."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_compress.qat._quantized_training import QuantizedTraining
from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
    value_at,
)


@keras.saving.register_keras_serializable(package="keras_compress")
class OscillationDampening(QuantizedTraining):
    """Draw every weight to its own level, away from the boundary at which it would oscillate.

    Adds the gradient of the regularization `strength * sum((q(w) - w)**2)` to that of the loss,
    with `q(w)` held fixed and only for weights inside the range of the grid:

        g <- g + 2 * strength * (w - q(w))

    Weights in the middle of a bin hardly feel it, weights at a boundary the most. It costs less and
    interferes less than freezing; with a strong pull from the beginning weights cannot change codes
    at all, so let the strength rise late: the authors raise it from 0 to 0.1 along a cosine. Any
    callable of the step does, `kc.schedules.PolynomialDecay(0.0, 0.1, end_step=1000)` for example.
    Each epoch's logs get `dampening_loss`, the regularization at that moment; it is no part of the
    loss that Keras reports.

    Args:
        strength: Float >= 0, callable of the step, or `Schedule`. Defaults to `0.01`.
        layers: Names, paths, `re.Pattern`, layers, predicates or a list of these, of
            quantization-aware layers; `None` for all. Defaults to `None`.
        name: String, unique among the callbacks of one `fit`. Defaults to
            `"oscillation_dampening"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`.

    Raises:
        TypeError: If `strength` is neither a number nor callable.
        ValueError: If `strength` is negative or not finite; in `fit`, before anything changes, if
            the model is not compiled or has no such quantized weights.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    quantized = kc.quantize_aware(model, weights=2)
    quantized.compile("adam", "mse")
    dampening = kc.callbacks.OscillationDampening(
        kc.schedules.PolynomialDecay(0.0, 0.1, end_step=2, power=1.0)
    )
    quantized.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[dampening])
    ```

    Reference:
        Nagel et al., "Overcoming Oscillations in Quantization-Aware Training", ICML 2022,
        arXiv 2203.11086, equation 8; github.com/Qualcomm-AI-research/oscillations-qat.

    Deviations:
        A gradient instead of a term of the loss, which is the same for the update. For grids
        without levels at their ends, such as `StatsQuantizer`, the range ends at the outer levels.

    Cost:
        One quantization of each weight in every step.
    """

    def __init__(
        self, strength: ScheduleLike = 0.01, *, layers: Any = None, name: str | None = None
    ):
        check_schedule_like("strength", strength, minimum=0.0)
        super().__init__(layers=layers, name=name)
        self.strength = strength

    def before_update(self, target, gradient, step):
        strength = ops.cast(value_at(self.strength, step), gradient.dtype)
        away = ops.cast(_away_from_level(target), gradient.dtype)
        return gradient + 2.0 * strength * away, None

    def measures(self):
        step = int(self.get_state()["step"])
        strength = float(ops.convert_to_numpy(value_at(self.strength, max(step - 1, 0))))
        away = [ops.convert_to_numpy(_away_from_level(target)) for target in self._targets]
        return {"dampening_loss": strength * sum(float((value**2).sum()) for value in away)}

    def get_config(self):
        return {"strength": serialize_schedule(self.strength), **super().get_config()}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "strength": deserialize_schedule(config["strength"])})


def _away_from_level(target):
    """`w - q(w)`, zero beyond the ends of the grid."""
    value = ops.convert_to_tensor(target.variable)
    codes, scale, zero_point = target.quantizer.codes(value)
    away = value - ops.cast(target.quantizer.dequantize(codes, scale, zero_point), value.dtype)
    low, high = target.quantizer.code_range
    beyond = ops.logical_or(
        ops.logical_and(codes >= high, away > 0), ops.logical_and(codes <= low, away < 0)
    )
    return ops.where(beyond, ops.zeros_like(away), away)
