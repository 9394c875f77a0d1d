"""A last training in which only undecided weights move."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_compress.qat._quantized_training import QuantizedTraining, share
from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
    value_at,
)


@keras.saving.register_keras_serializable(package="keras_compress")
class ConfidenceGuidedAnnealing(QuantizedTraining):
    """Fine-tune a quantization-aware model with all weights held but those at a boundary.

    A weight that lies well inside the bin of its code is sure of it; one next to the boundary of
    two codes is not, and it is these that oscillate. In every step a weight at position
    `t = w / scale` (in codes) is trained if and only if

        |t - i - 1/2| <= boundary_range   for an integer i from the smallest code to the
                                          second largest,

    all others, clipped ones included, get no gradient and their old value back after the update, so
    that neither momentum nor weight decay moves them. What is not quantized (biases, normalization,
    learned scales) goes on learning. Use it in a separate last `fit` of some epochs, from a trained
    quantization-aware model, best with `StatsQuantizer`, whose scale hardly moves when most weights
    are held. Not for training from scratch. Each epoch's logs get `free_weights` (share).

    In a `ReparametrizedAttention` the product of query and key kernel is the variable that is
    trained: its entries are held or let go by their own codes, as those of any kernel.

    Args:
        boundary_range: Float in `(0, 0.5]`, callable of the step, or `Schedule`, half the width of
            the trained zone around each boundary in codes; the authors use 0.003 to 0.01. Defaults
            to `0.005`.
        layers: Names, paths, `re.Pattern`, layers, predicates or a list of these, of
            quantization-aware layers; `None` for all. Defaults to `None`.
        name: String, unique among the callbacks of one `fit`. Defaults to
            `"confidence_guided_annealing"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`.

    Raises:
        TypeError: If `boundary_range` is neither a number nor callable.
        ValueError: If `boundary_range` is outside `(0, 0.5]`; in `fit`, before anything changes, if
            the model is not compiled or has no such quantized weights.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    quantized = kc.quantize_aware(model, weights=2, method="stats")
    quantized.compile("adam", "mse")
    quantized.fit(x, x[:, :1], verbose=0)
    annealing = kc.callbacks.ConfidenceGuidedAnnealing(0.007)
    quantized.fit(x, x[:, :1], verbose=0, callbacks=[annealing])
    ```

    Reference:
        Liu et al., "Oscillation-free Quantization for Low-bit Vision Transformers", ICML 2023,
        arXiv 2302.02210, section 5.2; official code github.com/nbasyl/OFQ.

    Deviations:
        The authors leave the first and the last layer out: choose with `layers`. For grids whose
        boundaries are not half way between levels (`PowerQuantizer`) half way is taken. With
        `use_ema` the moving averages follow the updates before they are undone.

    Cost:
        One quantization and one copy of each weight in every step.
    """

    def __init__(
        self, boundary_range: ScheduleLike = 0.005, *, layers: Any = None, name: str | None = None
    ):
        check_schedule_like("boundary_range", boundary_range, exclusive_minimum=0.0, maximum=0.5)
        super().__init__(layers=layers, name=name)
        self.boundary_range = boundary_range

    def before_update(self, target, gradient, step):
        before = target.copied()
        free = near_boundary(target.quantizer, before, value_at(self.boundary_range, step))
        return ops.where(free, gradient, ops.zeros_like(gradient)), (before, free)

    def after_update(self, target, kept, step):
        before, free = kept
        target.variable.assign(ops.where(free, target.copied(), before))

    def measures(self):
        step = max(int(self.get_state()["step"]) - 1, 0)
        within = value_at(self.boundary_range, step)
        return {
            "free_weights": share(
                ops.convert_to_numpy(near_boundary(target.quantizer, target.copied(), within))
                for target in self._targets
            )
        }

    def get_config(self):
        return {"boundary_range": serialize_schedule(self.boundary_range), **super().get_config()}

    @classmethod
    def from_config(cls, config):
        boundary_range = deserialize_schedule(config["boundary_range"])
        return cls(**{**config, "boundary_range": boundary_range})


def near_boundary(quantizer, x, within):
    """Bool tensor: which entries lie within `within` codes of a boundary inside the grid."""
    codes, scale, zero_point = quantizer.codes(x)
    level = quantizer.dequantize(codes, scale, zero_point)
    away = ops.cast(x, level.dtype) - level
    neighbor = ops.clip(codes + ops.cast(ops.sign(away), codes.dtype), *quantizer.code_range)
    # The neighbor beyond an end is the end itself: a step of zero, and no boundary.
    step = ops.abs(quantizer.dequantize(neighbor, scale, zero_point) - level)
    within = ops.cast(within, level.dtype)
    return ops.logical_and(neighbor != codes, ops.abs(ops.abs(away) - step / 2.0) <= within * step)
