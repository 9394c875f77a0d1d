"""A random calibrated loss for every batch."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.binary_labels import binary_columns
from keras_reweight.core.counter_random import normal_like, uniform_like
from keras_reweight.core.ranking import ranks
from keras_reweight.core.stateful_loss import FinalMemory, StatefulLoss, only_shapes_matter
from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.losses.masked_loss import MaskedLoss

# Keeps the power below finite; what is smaller ends at a derivative of zero or of -1 anyway.
_SMALLEST_BASE = 1e-30
# Every sample keeps some pull, so that the loss stays calibrated.
_SMALLEST_SLOPE = 1e-6
_DRAWS, _REDRAWS = 0, 1


@keras.saving.register_keras_serializable(package="keras_reweight")
class EnsLoss(MaskedLoss, StatefulLoss):
    """Draws the derivatives of a new calibrated loss for each batch: dropout over losses.

    Use it for binary or multi-label classifiers that overfit, with plain SGD and with the callback
    `kr.callbacks.LossState`, which counts the draws. With margins `s = (2 y - 1) logit` and
    standard normal numbers `z` the derivatives are `g = -min(r, 1)`, where `r` is the inverse
    Box-Cox transform of `z`: `exp(z)` for `box_cox=0`, else `max(1 + box_cox z, 0)^(1 / box_cox)`.
    They are sorted and given to the samples by rank: the smallest margin gets the most negative
    one. Beyond a margin of 1 they are divided by the margin. The value of a sample is `g s` with
    `g` held constant.

    Only the gradient has a meaning: the value is random and may be negative. Watch an accuracy,
    never `val_loss`.

    Args:
        box_cox: Float, parameter of the Box-Cox transform (the first one, where `redraw_steps` is
            given). Defaults to `0.0`.
        redraw_steps: Integer >= 1, number of training steps after which `box_cox` is drawn anew
            from (-1, 1), or `None` to keep it. Defaults to `None`.
        seed: Integer, seed of the draws. Defaults to `0`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"ens_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with labels 0 or 1 and logits, both of shape `(batch,)`, `(batch, 1)` or
        `(batch, columns)`: the reduced loss. Columns are ranked on their own and averaged. Masked
        samples take no part in the ranking; `sample_weight` multiplies after it.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, or, on a call, the shapes do not fit.
        RuntimeError: On a call without the memory that `LossState` gives.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    accuracy = keras.metrics.BinaryAccuracy(threshold=0.0)
    model.compile(keras.optimizers.SGD(0.1), kr.losses.EnsLoss(), metrics=[accuracy])
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model.fit(x, x[:, 0] > 0, verbose=0, callbacks=[kr.callbacks.LossState()])
    ```

    Reference:
        Dai, "EnsLoss: Stochastic Calibrated Loss Ensembles for Preventing Overfitting in
        Classification", ICML 2025, arXiv 2409.00908.

    Deviations:
        The period of `box_cox` is in steps, where the code counts epochs. Draws are a hash of
        seed, step and position, the same on every backend, not those of a library's generator.
    """

    def __init__(
        self,
        box_cox: float = 0.0,
        *,
        redraw_steps: int | None = None,
        seed: int = 0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "ens_loss",
        dtype=None,
    ):
        check_number("box_cox", box_cox)
        if redraw_steps is not None:
            check_integer("redraw_steps", redraw_steps, minimum=1)
        check_integer("seed", seed)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.box_cox = box_cox
        self.redraw_steps = redraw_steps
        self.seed = seed

    def state_spec(self):
        return {"step": np.zeros((), "int32"), "box_cox": np.asarray(self.box_cox, "float32")}

    def advance(self, y_true, y_pred, sample_weight):
        step = self.memory["step"] + 1
        self.memory.assign("step", step)
        if self.redraw_steps is not None:
            box_cox = self.memory["box_cox"]
            drawn = uniform_like(ops.reshape(box_cox, (1, 1)), self.seed, step, _REDRAWS)[0, 0]
            redraw = ops.equal(ops.mod(step, self.redraw_steps), 0)
            self.memory.assign("box_cox", ops.where(redraw, 2.0 * drawn - 1.0, box_cox))

    def losses(self, y_true, y_pred, mask):
        if self.memory is None and not only_shapes_matter():
            raise RuntimeError(
                f"{self.name} draws random numbers in every step and needs the callback that "
                "counts the steps: `fit(..., callbacks=[keras_reweight.callbacks.LossState()])`. "
                "`evaluate` takes it too."
            )
        labels, logits = binary_columns(y_true, y_pred)
        margins = (2.0 * labels - 1.0) * logits
        memory = FinalMemory(self.state_spec()) if self.memory is None else self.memory
        slopes = ops.stop_gradient(self._slopes(margins, mask, memory))
        return ops.mean(slopes * margins, axis=-1)

    def _slopes(self, margins, mask, memory):
        """Derivatives by rank; the draws of masked rows would be those of the last rows."""
        normal = normal_like(margins, self.seed, memory["step"], _DRAWS)
        draws = -_magnitudes(normal, memory["box_cox"])
        valid = ops.cast(mask, "int32")
        row = ops.cumsum(ops.ones_like(valid)) - 1
        used = (row < ops.sum(valid))[:, None]
        draws = ops.where(used, ops.cast(draws, margins.dtype), 1.0)
        ordered = ops.where(mask[:, None], margins, np.float32(3e38))
        by_rank = ops.sort(ops.transpose(draws), axis=-1)
        rank = ranks(ops.transpose(ordered))
        slopes = ops.transpose(ops.take_along_axis(by_rank, rank, axis=-1))
        return slopes / ops.maximum(margins, 1.0) - _SMALLEST_SLOPE

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "box_cox": self.box_cox,
            "redraw_steps": self.redraw_steps,
            "seed": self.seed,
        }


def _magnitudes(normal, box_cox):
    """The inverse Box-Cox transform of normal numbers, at most 1."""
    is_zero = ops.equal(box_cox, 0.0)
    power = ops.where(is_zero, 1.0, box_cox)
    base = ops.log(ops.maximum(1.0 + power * normal, _SMALLEST_BASE)) / power
    return ops.exp(ops.minimum(ops.where(is_zero, normal, base), 0.0))
