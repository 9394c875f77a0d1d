"""Learned scales whose gradient pushes one way all the time are given a rest."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.qat._oscillations import sign_flips
from keras_compress.qat._quantized_training import QuantizedTraining, share
from keras_compress.qat._targets import find_scales
from keras_reweight.core.validation import check_integer, check_number


@keras.saving.register_keras_serializable(package="keras_compress")
class ScaleGradientFreezing(QuantizedTraining):
    """Hold the learned scales whose gradients are too orderly, window by window.

    For every learned scale (each entry of it) the disorder of its gradient over `interval` steps is
    the share of steps in which the sign flips. At the end of each window a scale with a disorder
    below `threshold` is held during the next window: it gets no gradient and keeps its value under
    any optimizer. Its gradients are still observed, so it is let go when they have become noisy.
    It is meant for scales that the training data drive away steadily, at the expense of data from
    other domains, in trainings at 3 and 4 bits with `LSQQuantizer`. Compare it with the plain
    training: on rotated digits this rule alone brought nothing (docs/evidence.md). Not for the
    first epochs after rounding, in which the scales still have to find their size. Each epoch's
    logs get `frozen_scales` (share).

    Args:
        threshold: Float in `(0, 1]`, disorder below which a scale is held; noise has one half.
            Defaults to `0.3`.
        interval: Integer >= 2, steps in a window. Defaults to `100`.
        layers: Names, paths, `re.Pattern`, layers, predicates or a list of these, of
            quantization-aware layers; `None` for all. Defaults to `None`.
        name: String, unique among the callbacks of one `fit`. Defaults to
            `"scale_gradient_freezing"`.

    Returns:
        A `keras.callbacks.Callback` for `fit`; `frozen` is a dict from the path of a scale to a
        bool array.

    Raises:
        TypeError: If `threshold` is not a number or `interval` no integer.
        ValueError: If an argument is outside its range; in `fit`, before anything changes, if the
            model is not compiled or has no learned scales.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    quantized = kc.quantize_aware(model, weights=3)
    quantized.compile("adam", "mse")
    freezing = kc.callbacks.ScaleGradientFreezing(interval=4)
    quantized.fit(x, x[:, :1], batch_size=4, verbose=0, callbacks=[freezing])
    assert all(mask.dtype == bool for mask in freezing.frozen.values())
    ```

    Reference:
        Jiang et al., "GAQAT: gradient-adaptive quantization-aware training for domain
        generalization", arXiv 2412.05551.

    Deviations:
        This is the freezing rule alone, for one gradient. The paper trains with a second,
        sharpness-aware gradient (SAGM) and takes only the gradient of the task away from a frozen
        scale, which the other one still moves; here a frozen scale rests, also where the model is
        trained by `keras_reweight.sharpness.SharpnessAware`, which may wrap it. Window and
        threshold of the paper are not public, the defaults are ours, and so is the treatment of
        each channel's scale by itself.

    Cost:
        Ten bytes a scale; nothing for the weights.
    """

    def __init__(
        self,
        threshold: float = 0.3,
        *,
        interval: int = 100,
        layers: Any = None,
        name: str | None = None,
    ):
        check_number("threshold", threshold, exclusive_minimum=0.0, maximum=1.0)
        check_integer("interval", interval, minimum=2)
        super().__init__(layers=layers, name=name)
        self.threshold = threshold
        self.interval = interval

    @property
    def frozen(self) -> dict[str, np.ndarray]:
        """Path of a scale -> present or last known mask, true where held."""
        return self.remembered("frozen")

    def find_targets(self, model):
        return find_scales(model, self.layers, self.name)

    def initial_state(self, target):
        shape = tuple(target.variable.shape)
        return {
            "sign": np.zeros(shape, "int8"),
            "flips": np.zeros(shape, "float32"),
            "frozen": np.zeros(shape, "bool"),
        }

    def before_update(self, target, gradient, step):
        frozen = ops.copy(target.value("frozen"))
        flips = target.value("flips") + sign_flips(target, gradient)
        closes = (step + 1) % self.interval == 0
        # The first gradient has none before it to differ from.
        pairs = ops.where(step < self.interval, self.interval - 1, self.interval)
        orderly = flips < self.threshold * ops.cast(pairs, "float32")
        target.state["frozen"].assign(ops.where(closes, orderly, frozen))
        target.state["flips"].assign(ops.where(closes, ops.zeros_like(flips), flips))
        return ops.where(frozen, ops.zeros_like(gradient), gradient), (target.copied(), frozen)

    def after_update(self, target, kept, step):
        before, frozen = kept
        target.variable.assign(ops.where(frozen, before, target.copied()))

    def measures(self):
        return {"frozen_scales": share(self.frozen.values())}

    def get_config(self):
        return {"threshold": self.threshold, "interval": self.interval, **super().get_config()}
