"""Focal weights: less for samples that the model classifies well."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.labels import labels_like
from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
)
from keras_reweight.core.validation import check_boolean, check_choice
from keras_reweight.weightings._class_weighting import check_normalization
from keras_reweight.weightings._masked import normalized
from keras_reweight.weightings._scheduled import scheduled_value
from keras_reweight.weightings.weighting import Weighting

# Smallest `1 - p` that is raised to the power, whose slope at zero may be infinite.
_SMALLEST = 1e-7


@keras.saving.register_keras_serializable(package="keras_reweight")
class Focal(Weighting):
    """Weights that fall as the probability of the right class grows.

    Use it to turn training to the samples that are still wrong: easy backgrounds, frequent
    classes. A sample whose right class has the probability `p_y` gets `(1 - p_y)^gamma`. Not for
    noisy labels, which stay wrong and get the highest weights. For one sigmoid per class Keras has
    `BinaryFocalCrossentropy`.

    With `stop_gradient=False`, as in the original focal loss, gradients flow through the weights
    too: use that in `ReweightedLoss` or `Reweight` around a cross-entropy.

    Args:
        gamma: Float >= 0, schedule or callable of the step; `0` gives equal weights.
            Defaults to `2.0`.
        from_logits: Boolean, whether the predictions are logits. Defaults to `False`.
        probability: Where `p_y` is taken from: `"predictions"`, or `"loss"` for `exp(-loss)`, which
            is the same for a plain cross-entropy and also works for binary ones.
            Defaults to `"predictions"`.
        stop_gradient: Boolean, whether the weights count as constants. Defaults to `True`.
        normalization: `None` for the weights above, or `"mean_one"` to divide those of each batch
            by their mean. Defaults to `None`.

    Returns:
        Called with losses of shape `(batch, ...)`, `y_true`, class ids of that shape or one-hot
        labels, and `y_pred` of shape `(batch, ..., classes)`: float32 weights of the shape of the
        losses.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range or, on a call, the shapes do not fit or
            `gamma` follows a schedule and no `step` is given.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    focal = kr.weightings.Focal(1.0, from_logits=True, stop_gradient=False)
    value = kr.losses.ReweightedLoss(loss, focal)(np.array([0, 1]), np.eye(2, 3))
    ```

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, arXiv 1708.02002,
        equation 4.

    Deviations:
        The paper lets gradients flow through the weights, the code of the survey arXiv 2110.04596
        does not. The code of LDAM takes `p_y` from the loss after class weights were multiplied to
        it; that is `probability="loss"` around a `ReweightedLoss`.
    """

    def __init__(
        self,
        gamma: ScheduleLike = 2.0,
        *,
        from_logits: bool = False,
        probability: str = "predictions",
        stop_gradient: bool = True,
        normalization: str | None = None,
    ):
        check_schedule_like("gamma", gamma, minimum=0.0)
        check_boolean("from_logits", from_logits)
        check_choice("probability", probability, ("predictions", "loss"))
        check_boolean("stop_gradient", stop_gradient)
        check_normalization(normalization)
        self.gamma = gamma
        self.from_logits = from_logits
        self.probability = probability
        self.stop_gradient = stop_gradient
        self.normalization = normalization
        self.reads = ("y_true", "y_pred") if probability == "predictions" else ()

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        missing = self._missing(losses, y_true, y_pred)
        smallest = ops.full_like(missing, _SMALLEST)
        missing = ops.where(missing > smallest, missing, smallest)
        weights = ops.power(missing, scheduled_value("gamma", self.gamma, step, losses))
        return normalized(weights, valid, self.normalization)

    def _missing(self, losses, y_true, y_pred):
        """`1 - p_y`, as the sum of the other probabilities: exact where it is small."""
        if self.probability == "loss":
            return -ops.expm1(-ops.maximum(losses, 0.0))
        y_pred = ops.cast(ops.convert_to_tensor(y_pred), losses.dtype)
        labels = labels_like(y_true, y_pred)
        if self.from_logits:
            probabilities = ops.softmax(y_pred, axis=-1)
        else:
            total = ops.sum(y_pred, axis=-1, keepdims=True)
            probabilities = y_pred / ops.where(total > 0, total, ops.ones_like(total))
        return ops.sum((1.0 - labels) * probabilities, axis=-1)

    def get_config(self) -> dict:
        return {
            "gamma": serialize_schedule(self.gamma),
            "from_logits": self.from_logits,
            "probability": self.probability,
            "stop_gradient": self.stop_gradient,
            "normalization": self.normalization,
        }

    @classmethod
    def from_config(cls, config: dict):
        return cls(**{**config, "gamma": deserialize_schedule(config["gamma"])})
