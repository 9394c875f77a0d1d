"""Several losses of one output with learned weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.loss_resolution import resolve_loss
from keras_reweight.core.stateful_loss import StatefulLoss
from keras_reweight.core.validation import check_number
from keras_reweight.losses._uncertainty import descend, initial_log_variance, term_weight


@keras.saving.register_keras_serializable(package="keras_reweight")
class AutoWeightedLoss(StatefulLoss):
    """Sum of several losses of one output that learns their weights while training.

    Use it to combine losses of different scale (overlap, cross-entropy, focal) without tuning
    weights by hand. The value is `sum_i L_i / (2 s_i^2) + log(1 + s_i^2)`; the `LossState` callback
    moves each `log s_i^2` down the gradient of this sum once a training step. Large losses get
    small weights, near `0.7 / sqrt(L)` for small `L`. Without `LossState` the weights stay at
    `1 / (2 initial_variance)`. Losses of several outputs are weighted by the callback
    `AutoWeightedLosses`.

    Args:
        losses: List of losses as `compile` takes them. Each gives values of one shape, or one
            scalar for the batch.
        learning_rate: Float > 0, of the log-variances alone. Defaults to `0.05`.
        initial_variance: Float > 0, `s_i^2` at the start. Defaults to `1.0`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"auto_weighted_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with `y_true` and `y_pred` of shape `(batch, ...)`: the reduced loss. `memory` holds
        `log_variance` of shape `(num_losses,)` during and after `fit`.

    Raises:
        TypeError: If `losses` is no list of losses, or a number is of another type.
        ValueError: If `losses` is empty or a number not positive; on a call, if the losses give
            values of different shapes.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("adam", kr.losses.AutoWeightedLoss(["mse", "mae", keras.losses.Huber()]))
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model.fit(x, 10.0 * x[:, :2], verbose=0, callbacks=[kr.callbacks.LossState()])
    ```

    Reference:
        Tsai et al., "UU-Mamba: Uncertainty-aware U-Mamba for Cardiovascular Segmentation",
        arXiv 2409.14305; the idea is that of Kendall et al., arXiv 1705.07115.

    Deviations:
        The official code builds its optimizer with scales that training never uses, so that they
        stay at one; here they are learned. They are learned as `log s^2` by plain gradient descent,
        at most 1 a step, and a negative loss counts as zero there.

    Cost:
        Every loss is computed twice a training step (once without gradient), once in validation.
    """

    def __init__(
        self,
        losses: list[Any],
        *,
        learning_rate: float = 0.05,
        initial_variance: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "auto_weighted_loss",
        dtype=None,
    ):
        if not isinstance(losses, (list, tuple)):
            raise TypeError(f"`losses` must be a list of losses, got {losses!r}.")
        if not losses:
            raise ValueError(f"`losses` must name at least one loss, got {losses!r} (empty).")
        check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
        check_number("initial_variance", initial_variance, exclusive_minimum=0.0)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.losses = losses
        self.learning_rate = learning_rate
        self.initial_variance = initial_variance
        self._terms = [resolve_loss(loss, "losses") for loss in losses]

    def state_spec(self):
        initial = initial_log_variance(self.initial_variance)
        return {"log_variance": np.full(len(self.losses), initial, "float32")}

    def advance(self, y_true, y_pred, sample_weight):
        values = [ops.mean(term(y_true, y_pred, sample_weight)) for term in self._terms]
        losses = ops.cast(ops.stop_gradient(ops.stack(values)), "float32")
        state = self.memory["log_variance"]
        self.memory.assign("log_variance", descend(state, losses, self.learning_rate))

    def call(self, y_true, y_pred):
        values = [term.call(y_true, y_pred) for term in self._terms]
        shapes = {tuple(value.shape) for value in values if len(value.shape)}
        if len(shapes) > 1:
            raise ValueError(
                f"{self.name}: `losses`={self.losses!r} must give values of one shape, got "
                f"{sorted(shapes)}."
            )
        if self.memory is None:
            log_variance = ops.convert_to_tensor(self.state_spec()["log_variance"])
        else:
            log_variance = self.memory["log_variance"]
        log_variance = ops.cast(log_variance, values[0].dtype)
        weights = term_weight(log_variance)
        total = ops.sum(ops.softplus(log_variance))
        for index, value in enumerate(values):
            total = total + weights[index] * value
        return total

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "losses": [keras.saving.serialize_keras_object(loss) for loss in self.losses],
            "learning_rate": self.learning_rate,
            "initial_variance": self.initial_variance,
        }

    @classmethod
    def from_config(cls, config: dict):
        losses = [keras.saving.deserialize_keras_object(loss) for loss in config["losses"]]
        return cls(**{**config, "losses": losses})
