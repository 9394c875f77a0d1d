"""Stages of training with PESG."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_reweight.core.state import sync_model
from keras_reweight.core.stateful_loss import LossMemory, stateful_losses
from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.losses.auc_min_max import AUCMinMaxLoss
from keras_reweight.optimizers.pesg import PESG


@keras.saving.register_keras_serializable(package="keras_reweight")
class PESGSchedule(keras.callbacks.Callback):
    """Ends the stages of PESG at given epochs: smaller steps, a new reference to pull to.

    Use it with `kr.optimizers.PESG`, as the paper trains: at the beginning of each listed epoch the
    learning rate is divided by `decay_factor`, and the weights (and `a` and `b` of an
    `AUCMinMaxLoss`) are from then on pulled to their averages over the stage that ends. A common
    choice is half and three quarters of all epochs.

    Args:
        epochs: List of integers >= 0, the epochs, counted from 0, that begin a stage.
        decay_factor: Float > 0, divisor of the learning rate. Defaults to `10.0`.

    Returns:
        A `keras.callbacks.Callback` for `fit`. It holds no state: the optimizer does.

    Raises:
        TypeError: If `epochs` is not a list of integers or `decay_factor` not a number.
        ValueError: If an epoch is negative or `decay_factor` not positive; in `fit`, if the
            optimizer is not `PESG` or its learning rate follows a schedule.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(kr.optimizers.PESG(0.1), kr.losses.AUCMarginLoss())
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    schedule = kr.callbacks.PESGSchedule(epochs=[2, 3])
    model.fit(x, x[:, 0] > 0, epochs=4, batch_size=20, verbose=0, callbacks=[schedule])
    ```

    Reference:
        Yuan et al., "Large-scale Robust Deep AUC Maximization", ICCV 2021, arXiv 2012.03173
        (PESG); LibAUC `PESG.update_regularizer`.
    """

    def __init__(self, epochs: Sequence[int], *, decay_factor: float = 10.0):
        if isinstance(epochs, (str, bytes, dict)) or not hasattr(epochs, "__len__"):
            raise TypeError(f"`epochs` must be a list of integers, got {epochs!r}.")
        for epoch in epochs:
            check_integer("epochs", epoch, minimum=0)
        check_number("decay_factor", decay_factor, exclusive_minimum=0.0)
        super().__init__()
        self.epochs = epochs
        self.decay_factor = decay_factor

    def _optimizer(self):
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)

    def on_train_begin(self, logs=None):
        optimizer = self._optimizer()
        if not isinstance(optimizer, PESG):
            raise ValueError(
                f"PESGSchedule: the `optimizer` must be keras_reweight.optimizers.PESG, got "
                f"{optimizer!r}."
            )
        config = optimizer.get_config()["learning_rate"]
        if not isinstance(config, float):
            raise ValueError(
                f"PESGSchedule divides the learning rate, so that of the `optimizer` must be a "
                f"number, got {config!r}."
            )

    def on_epoch_begin(self, epoch, logs=None):
        if epoch not in self.epochs:
            return
        sync_model(self.model)
        self._optimizer().update_regularizer(self.decay_factor)
        for loss in stateful_losses(self.model.loss):
            if isinstance(loss, AUCMinMaxLoss) and isinstance(loss.memory, LossMemory):
                loss.update_regularizer()

    def get_config(self) -> dict:
        return {"epochs": list(self.epochs), "decay_factor": self.decay_factor}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**config)
